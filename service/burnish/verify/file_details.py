"""Craft: what a file says of its patient that a DICOMDIR need not have.

Whether Patient's Birth Date, Patient's Sex and Institution Name are in the DICOMDIR depends on the
Application Profile of the volume (PS3.11).
"""

from contextlib import suppress

from burnish import character_sets, registered_uids
from burnish.dicomdir.reader import SPECIFIC_CHARACTER_SET
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Layout, layout
from burnish.instance_header.data_set_walk import DataSetWalk
from burnish.values import ReadableVolume
from burnish.verify.file_meta_checks import read_file_meta
from burnish.verify.volume_file import inflated_file
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN

_KEYWORDS = {
    0x00080080: "InstitutionName",
    0x00100030: "PatientBirthDate",
    0x00100040: "PatientSex",
}
#: The most bytes of a value that is kept.
_LONGEST_VALUE = 256
_WANTED = dict.fromkeys((SPECIFIC_CHARACTER_SET, *_KEYWORDS), _LONGEST_VALUE)


def file_details(volume: ReadableVolume, file_id: str) -> dict[str, str]:
    """The values by keyword, as far as the file has them; none if it cannot be read."""
    name = next((name for name in volume.files() if name.upper() == file_id.upper()), None)
    if name is None:
        return {}
    values: dict[int, bytes] = {}
    with suppress(Unreadable):
        values = _read_values(volume, name)
    character_set = values.get(SPECIFIC_CHARACTER_SET, b"")
    return {
        keyword: text
        for tag, keyword in _KEYWORDS.items()
        if (text := character_sets.decode(values.get(tag, b""), character_set))
    }


def _read_values(volume: ReadableVolume, name: str) -> dict[int, bytes]:
    """The values of a file, also of one that is cut off behind them; raises Unreadable."""
    meta = read_file_meta(volume, name)
    if meta is None or meta.transfer_syntax_uid not in registered_uids.transfer_syntaxes():
        return {}
    if meta.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        with inflated_file(volume, name, meta.data_set_offset) as (file, size):

            def read_inflated(offset: int, length: int) -> bytes:
                file.seek(offset)
                return file.read(length)

            encoding = Layout(explicit=True, big_endian=False)
            return _walk(DataSetWalk(read_inflated, 0, size, encoding, _ignore))

    def read(offset: int, length: int) -> bytes:
        return volume.read(name, offset, length)

    encoding = layout(meta.transfer_syntax_uid)
    size = volume.files()[name]
    return _walk(DataSetWalk(read, meta.data_set_offset, size, encoding, _ignore))


def _walk(walk: DataSetWalk) -> dict[int, bytes]:
    with suppress(Unreadable):
        walk.run(_WANTED)
    return walk.values


def _ignore(_kind: str, _message: str) -> None:
    """Do nothing: the faults of elements are told by `examine`."""
