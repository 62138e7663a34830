"""Craft: examines an instance completely, where its header could not tell whether it is damaged."""

from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.header import index_slice


def examine(source: Slice) -> str:
    """The faults of the instance in a DICOM file, in words; "" if it has none.

    Its frames are not decoded. Raises OSError.
    """
    try:
        fault = index_slice(source).header.fault
    except Unreadable as error:
        return f"its data set cannot be read: {error}"
    return instance_faults.known(fault)
