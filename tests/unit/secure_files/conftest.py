import hashlib
from pathlib import Path

import pytest

from certificates import Identity, identity


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="session")
def alice(folder: Path) -> Identity:
    return identity(folder, "alice")


@pytest.fixture(scope="session")
def bob(folder: Path) -> Identity:
    return identity(folder, "bob", bits=3072, number=1)


@pytest.fixture(scope="session")
def signer(folder: Path) -> Identity:
    return identity(folder, "signer", number=2, usage="digital_signature")


@pytest.fixture(scope="session")
def dicom() -> bytes:
    """A stand-in for a DICOM File; its content does not matter to secure files."""
    return bytes(128) + b"DICM" + hashlib.shake_256(b"burnish").digest(70_001)
