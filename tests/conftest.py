"""Fixtures for all tests: real files and a free port."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import material
import ports
from burnish import application_profiles, site_records

# No deadline: the time of an example depends on the machine. The examples are the same in every
# run; --hypothesis-profile=search tries other ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tests", settings.get_profile("search"), derandomize=True)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def real_studies() -> material.RealStudies:
    """The DICOM files that come with pydicom."""
    return material.real_studies()


@pytest.fixture(scope="session")
def wider_collection() -> material.WiderCollection:
    """A wider collection of real files; empty if it is not installed."""
    return material.wider_collection()


@pytest.fixture(autouse=True)
def _profiles_of_the_test() -> Iterator[None]:
    """The profiles and keys of a configuration that a test reads end with the test."""
    yield
    application_profiles.use()
    site_records.use(site_records.SiteRecords())


@pytest.fixture
def free_port() -> int:
    """A free TCP port of the loopback address."""
    return ports.free_port()
