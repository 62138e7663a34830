"""Craft: reads an ISO 9660 volume once more, by pycdlib, which Burnish did not write.

What writes a volume and what reads it back share their author's understanding of ECMA-119. Another
reader that finds every file at the same place with the same length does not.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from burnish.image.file_extents import Section

_SECTOR = 2048


def disagreements(image: BinaryIO, sections: Mapping[str, Sequence[Section]]) -> dict[str, str]:
    """File name → in what the other reader differs; none where it cannot read such a volume."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open_fp(image)
        found = dict(_files(iso))
        iso.close()
    except (PyCdlibException, struct.error, ValueError, LookupError, ArithmeticError):
        # it knows fewer kinds of volumes than there are
        return {}
    differing = {}
    for name in found.keys() | sections.keys():
        own = tuple(sections.get(name, ()))
        if len(own) <= 1 and found.get(name) != (own[0] if own else None):
            differing[name] = f"another reader finds it at {found.get(name)}, this one at {own}"
    return differing


def _files(iso: Any) -> Iterator[tuple[str, Section]]:
    directories = [("", "/")]
    while directories:
        parent, path = directories.pop()
        for record in iso.list_children(iso_path=path):
            if record is None or record.is_dot() or record.is_dotdot():
                continue
            identifier = record.file_identifier().decode("latin-1")
            if record.is_dir():
                directories.append((f"{parent}{identifier}\\", f"{path}{identifier}/"))
            else:
                name = parent + identifier.partition(";")[0].removesuffix(".")
                yield name, (record.extent_location() * _SECTOR, record.get_data_length())
