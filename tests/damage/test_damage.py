"""A few damaged files through each reader; `make fuzz-files` takes as many as one likes."""

from pathlib import Path

import pytest

from burnish.errors import Unreadable
from damage.mutations import bombs, inputs
from damage.readers import Reader, readers
from damage.trial import attempt


@pytest.mark.parametrize(
    ("name", "count"),
    [("header", 30), ("directory", 10), ("instance", 10), ("volume", 10), ("convert", 5)],
)
def test_damaged_files_get_the_right_answer(tmp_path: Path, name: str, count: int) -> None:
    reader = readers(tmp_path)[name]
    tried = [*bombs(1 << 22), *inputs(reader.seeds(), count, seed=7)]
    assert attempt(reader, tried, tmp_path) == []


def test_an_unexpected_error_and_a_crash_are_reported(tmp_path: Path) -> None:
    """An error of another class and a crash of the process are each reported with their input."""

    def read(path: Path) -> None:
        what = path.read_bytes()
        if what == b"kill":
            import os

            os._exit(3)
        raise Unreadable("as it should") if what == b"good" else KeyError(what)

    reader = Reader(read, list)
    tried = [("one", b"good"), ("two", b"kill"), ("three", b"bad"), ("four", b"good")]
    died, wrong = attempt(reader, tried, tmp_path)
    assert died.startswith("two: the process died")
    assert wrong.startswith("three: ")
    assert "KeyError" in wrong
