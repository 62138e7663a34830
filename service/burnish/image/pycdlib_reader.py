"""Craft: reads an ISO 9660 volume a second time, by pycdlib, which is independent of Burnish.

The writer and the reader of Burnish share their author's understanding of ECMA-119. pycdlib does
not share it, and still has to find every file at the same place with the same size.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from burnish.image.file_extents import Section
from burnish.media import SECTOR


def disagreements(image: BinaryIO, sections: Mapping[str, Sequence[Section]]) -> dict[str, str]:
    """In what pycdlib differs, by file name; nothing if it cannot read such a volume."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open_fp(image)
        by_pycdlib = dict(_files(iso))
        iso.close()
    except (PyCdlibException, struct.error, ValueError, LookupError, ArithmeticError):
        # pycdlib supports fewer kinds of volumes than exist
        return {}
    differing = {}
    for name in by_pycdlib.keys() | sections.keys():
        burnish_sections = tuple(sections.get(name, ()))
        if len(burnish_sections) > 1:
            continue  # pycdlib reports one section of a file
        burnish_section = burnish_sections[0] if burnish_sections else None
        if by_pycdlib.get(name) != burnish_section:
            differing[name] = (
                f"another reader finds it at {by_pycdlib.get(name)}, this one at {burnish_sections}"
            )
    return differing


def _files(iso: Any) -> Iterator[tuple[str, Section]]:
    directories = [("", "/")]
    while directories:
        parent, iso_path = directories.pop()
        for record in iso.list_children(iso_path=iso_path):
            if record is None or record.is_dot() or record.is_dotdot():
                continue
            identifier = record.file_identifier().decode("latin-1")
            if record.is_dir():
                directories.append((f"{parent}{identifier}\\", f"{iso_path}{identifier}/"))
            else:
                name = parent + identifier.partition(";")[0].removesuffix(".")
                yield name, (record.extent_location() * SECTOR, record.get_data_length())
