"""Fixtures for every test: real files, and a port nobody uses."""

import pytest
from hypothesis import HealthCheck, settings

import material
import ports

# how long an example takes says more of the machine than of what is tested; and the same examples
# each time, or others each time by --hypothesis-profile=search
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tests", settings.get_profile("search"), derandomize=True)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def real_studies() -> material.RealStudies:
    """The DICOM files that come with pydicom."""
    return material.real_studies()


@pytest.fixture(scope="session")
def wider_collection() -> material.WiderCollection:
    """A wider collection of real files; empty where there is none."""
    return material.wider_collection()


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nobody else uses."""
    return ports.free_port()
