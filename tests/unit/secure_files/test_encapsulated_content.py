"""The beginning of decrypted content: SignedData or DigestedData around a DICOM File."""

import pytest
from cryptography.hazmat.primitives import hashes

from burnish.errors import Unreadable
from burnish.secure_files import algorithms, der
from burnish.secure_files.encapsulated_content import (
    EncapsulatedContent,
    read_content_head,
    verify_content,
)


def digested_data(plain: bytes, *, after_content: bytes = b"") -> bytes:
    content = der.encode(0xA0, der.octets(plain))
    return der.encode(
        der.SEQUENCE,
        der.integer(0),
        algorithms.algorithm_identifier(algorithms.SHA256),
        der.encode(der.SEQUENCE, der.oid(algorithms.DATA), content, after_content),
        der.octets(bytes(32)),
    )


def test_the_dicom_file_is_located() -> None:
    head = digested_data(b"plain")
    content = read_content_head(head, signed=False)
    assert head[content.start :][: content.size] == b"plain"
    assert content.end == len(head)


def test_bytes_between_the_dicom_file_and_the_end_of_its_content_are_refused() -> None:
    with pytest.raises(Unreadable, match="wrong length"):
        read_content_head(digested_data(b"plain", after_content=der.integer(1)), signed=False)


def test_signed_data_without_a_signature_does_not_count_as_signed() -> None:
    content = EncapsulatedContent(True, hashes.SHA256(), 0, 5, 5)
    with pytest.raises(Unreadable, match="has no signature"):
        verify_content(content, der.encode(der.SET), bytes(32))
