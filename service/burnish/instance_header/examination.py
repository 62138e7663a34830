"""Craft: examines an instance completely, where its header could not tell whether it is damaged."""

from pathlib import Path

from burnish.errors import Unreadable
from burnish.instance_header import instance_faults
from burnish.instance_header.header import index_file


def examine_file(path: Path) -> str:
    """The faults of the instance in a DICOM file, in words; "" if it has none.

    Its frames are not decoded. Raises OSError.
    """
    try:
        fault = index_file(path).header.fault
    except Unreadable as error:
        return f"its data set cannot be read: {error}"
    return instance_faults.known(fault)
