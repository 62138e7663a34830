"""The README of a medium."""

import pytest

from burnish.fileset import descriptor


@pytest.mark.parametrize("secure", [False, True])
def test_it_is_plain_text_of_one_length(secure: bool) -> None:
    short = descriptor.readme("A", 1, secure=secure)
    long = descriptor.readme("ABCDEFGHIJKLMNOP", 999_999, secure=secure)
    assert len(short) == len(long)
    assert b"DICOMDIR" in short
    assert all(line.isascii() and len(line) < 80 for line in short.split(b"\r\n"))
    assert short.count(b"\n") == short.count(b"\r\n")


def test_it_has_all_of_the_label_text() -> None:
    short = descriptor.readme("A", 1, label_text="first\x1b\r\nŁódź ")
    long = descriptor.readme("ABCDEFGHIJKLMNOP", 999_999, label_text="first\r\nŁódź ")
    assert len(short) == len(long)
    assert "first\r\nŁódź\r\n" in short.decode("utf-8-sig")
    assert descriptor.readme("A", 1, secure=True, label_text="first") == descriptor.readme(
        "A", 1, secure=True
    )


@pytest.mark.parametrize("label_text", ["", "first\r\nDICOM instances: 9\r\nŁódź"])
def test_it_is_renewed_when_there_are_more_instances(label_text: str) -> None:
    """Its text is kept, whichever version wrote it, but for the number."""
    for count in (12, 999_999):
        new = descriptor.renewed(descriptor.readme("A", 3, label_text=label_text), count)
        assert new == descriptor.readme("A", count, label_text=label_text)
    assert descriptor.renewed(b"something else\r\n", 4) == b"something else\r\n"
