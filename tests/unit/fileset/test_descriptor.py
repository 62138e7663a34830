"""The README of a medium."""

from burnish.fileset import descriptor


def test_it_is_plain_text_of_one_length() -> None:
    short, long = descriptor.readme("A", 1), descriptor.readme("ABCDEFGHIJKLMNOP", 999_999)
    assert len(short) == len(long)
    assert b"DICOMDIR" in short
    assert all(line.isascii() and len(line) < 80 for line in short.split(b"\r\n"))
    assert short.count(b"\n") == short.count(b"\r\n")
