"""Pages and viewer decode text by the rule for every text of an instance."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from burnish import character_sets
from burnish.content import instance_reader
from burnish.content.documents.values import items_of, meaning_of, text_of
from burnish.content.texts import decode_texts
from burnish.dicom_elements import encode, encode_item

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

LATIN, UTF8 = "Günther".encode("latin-1"), "Günther".encode()


def data_set(*elements: tuple[int, bytes, bytes]) -> Dataset:
    encoded = b"".join(encode(*element) for element in elements)
    return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


def with_name(character_set: bytes, name: bytes) -> Dataset:
    result = data_set(
        (0x00080005, b"CS", character_set),
        (0x00081030, b"LO", name),
        (0x00100010, b"PN", name),
        (0x00102000, b"LO", b"one\\" + name),
    )
    decode_texts(result)
    return result


@pytest.mark.parametrize("character_set", [b"", b"ISO_IR 100", b"ISO-IR 100", b"ISO_IR 999", b"x"])
@pytest.mark.parametrize("name", [LATIN, UTF8])
def test_pages_show_what_labels_and_lists_show(character_set: bytes, name: bytes) -> None:
    result = with_name(character_set, name)
    shown = character_sets.decode(name, character_set)
    assert text_of(result, "StudyDescription") == shown
    assert text_of(result, "PatientName") == shown
    assert text_of(result, "MedicalAlerts") == f"one, {shown}"
    assert instance_reader.describe(result).patient_name == shown


def test_bytes_that_cannot_be_decoded_remain_different() -> None:
    assert text_of(with_name(b"ISO_IR 999", LATIN), "PatientName") == r"G\374nther"
    assert text_of(with_name(b"ISO_IR 192", LATIN), "PatientName") == r"G\374nther"


def test_items_have_the_character_set_of_the_data_set_around_them() -> None:
    own = encode(0x00080005, b"CS", b"ISO_IR 144")
    meaning = encode(0x00080104, b"LO", "Ärztin".encode("latin-1"))
    other = encode(0x00080104, b"LO", "Врач".encode("iso8859-5"))
    items = encode_item(meaning) + encode_item(own + other)
    result = data_set((0x00080005, b"CS", b"ISO_IR 999"), (0x0040A043, b"SQ", items))
    decode_texts(result)
    assert meaning_of(result, "ConceptNameCodeSequence") == r"\304rztin"
    assert text_of(items_of(result, "ConceptNameCodeSequence")[1], "CodeMeaning") == "Врач"
