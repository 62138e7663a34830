"""The expected digest of bytes, computed without the code of the service."""

from blake3 import blake3


def digest_of(data: bytes) -> str:
    return f"blake3:{blake3(data).hexdigest()}"
