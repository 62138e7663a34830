"""Text in every Specific Character Set, compared with pydicom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import material
from burnish import character_sets
from burnish.instance_header.header import index_file


def test_names_in_every_character_set(real_studies: material.RealStudies) -> None:
    for path in real_studies.charsets:
        expected = str(material.read(path).PatientName).rstrip("=")
        assert index_file(path).header.patient_name.rstrip("=") == expected, path.name


@pytest.mark.parametrize("character_set", [b"", b"ISO_IR 6", b"WRONG"])
def test_an_undeclared_character_set_is_guessed(character_set: bytes) -> None:
    assert character_sets.decode("Jérôme".encode(), character_set) == "Jérôme"
    assert character_sets.decode("Jérôme".encode("latin-1"), character_set) == "Jérôme"


@given(st.binary(max_size=64), st.sampled_from(sorted(character_sets.CODECS)))
def test_decoding_never_fails(value: bytes, term: str) -> None:
    assert isinstance(character_sets.decode(value, term.encode()), str)
    extended = term.replace("ISO_IR", "ISO 2022 IR")
    assert isinstance(character_sets.decode(b"\x1b$B" + value, extended.encode()), str)
