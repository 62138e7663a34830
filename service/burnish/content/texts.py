"""Craft: decodes the texts of a data set by the rule for every text of an instance.

pydicom reads text of a character set that it does not know as ISO_IR 100, and has one sign for
all bytes that it cannot decode. Pages and viewer show what labels and lists show instead.
"""

import re
from typing import TYPE_CHECKING

from burnish import character_sets

if TYPE_CHECKING:
    from pydicom import Dataset

_SPECIFIC_CHARACTER_SET = 0x00080005
#: The VRs whose characters depend on the Specific Character Set (PS3.5 6.1.2.3), and those among
#: them in which a backslash does not separate values.
_TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SINGLE_TEXTS = frozenset({"LT", "ST", "UT"})
#: The group of functional groups, of which there may be thousands. Their texts are not shown.
_FUNCTIONAL_GROUPS = 0x5200
_SEPARATOR = "\\"
#: A separator that is not the beginning of a byte in octal digits.
_SEPARATOR_BESIDE_BYTES = re.compile(r"\\(?![0-7]{3})")


def decode_texts(data_set: "Dataset", inherited: bytes = b"") -> None:
    """Replace the texts of a data set and of its items, as far as they are beyond ASCII.

    `inherited` is the Specific Character Set of a data set that has none of its own.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR
    from pydicom.dataelem import DataElement, RawDataElement

    character_set = _character_set(data_set) or inherited
    for tag in list(data_set.keys()):
        element = data_set.get_item(tag)
        vr = element.VR if element is not None else None
        if vr is None and dictionary_has_tag(tag):
            vr = dictionary_VR(tag)
        if vr == "SQ" and tag >> 16 != _FUNCTIONAL_GROUPS:
            for item in data_set[tag].value or ():
                decode_texts(item, character_set)
        if vr not in _TEXTS or not isinstance(element, RawDataElement) or not element.value:
            continue
        if not character_sets.is_plain(element.value):
            data_set[tag] = DataElement(tag, vr, _decoded(element.value, vr, character_set))


def _character_set(data_set: "Dataset") -> bytes:
    element = data_set.get_item(_SPECIFIC_CHARACTER_SET)
    value = element.value if element is not None else b""
    if isinstance(value, bytes):
        return value
    values = [value] if isinstance(value, str) else list(value or ())
    return _SEPARATOR.join(values).encode("latin-1", "replace")


def _decoded(value: bytes, vr: str, character_set: bytes) -> str | list[str]:
    """A text, or several; pydicom would split one whose bytes stand in octal digits."""
    text = character_sets.decode(value, character_set)
    if vr in _SINGLE_TEXTS:
        return text
    if character_sets.is_decodable(value, character_set):
        return text.split(_SEPARATOR)
    return _SEPARATOR_BESIDE_BYTES.split(text)
