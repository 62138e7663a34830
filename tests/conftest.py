"""Fixtures for every test: real files, and a port nobody uses."""

import socket

import pytest

import material


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
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
