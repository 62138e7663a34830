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


@pytest.mark.parametrize("character_set", [b"", b"ISO_IR 6"])
def test_an_undeclared_character_set_is_guessed(character_set: bytes) -> None:
    assert character_sets.decode("Jérôme".encode(), character_set) == "Jérôme"
    assert character_sets.decode("Jérôme".encode("latin-1"), character_set) == "Jérôme"
    assert not character_sets.is_decodable("Jérôme".encode(), character_set)


def test_bytes_in_a_character_set_that_is_not_known_are_shown_in_octal_digits() -> None:
    """What they stand for is not known (PS3.5 6.1.2.3); UTF-8 has no other meaning."""
    assert character_sets.decode("Günther".encode("latin-1"), b"ISO_IR 999") == "G\\374nther"
    assert character_sets.decode("Günther".encode(), b"WRONG") == "Günther"
    assert character_sets.unknown_terms(b"ISO_IR 999\\ISO 2022 IR 87") == ("ISO_IR 999",)
    assert character_sets.unknown_terms("Müller".encode()) == ("a value that is no code",)


@pytest.mark.parametrize("term", [b"ISO-IR 100", b"ISO_IR_100", b"ISO2022 IR 100", b"ISO8859-1"])
def test_a_misspelt_character_set_is_read_as_the_one_that_is_meant(term: bytes) -> None:
    assert character_sets.decode("Günther".encode("latin-1"), term) == "Günther"
    assert character_sets.unknown_terms(term) == (term.decode(),)


def test_bytes_that_a_character_set_does_not_have_are_shown_in_octal_digits() -> None:
    assert character_sets.decode(b"G\xfcnther", b"ISO_IR 192") == "G\\374nther"
    assert not character_sets.is_decodable(b"G\xfcnther", b"ISO_IR 192")
    # names that differ in such a byte do not become alike
    assert character_sets.decode(b"M\xf6ller", b"ISO_IR 192") != character_sets.decode(
        b"M\xfcller", b"ISO_IR 192"
    )


def test_an_escape_sequence_that_is_not_known_does_not_hide_the_text_before_it() -> None:
    value = b"Yamada^Tarou=" + b"\x1b$B;3ED\x1b(B^\x1b$(X\x30\x21"
    shown = character_sets.decode(value, b"\\ISO 2022 IR 87")
    assert shown.startswith("Yamada^Tarou=山田^\\033")
    assert not character_sets.is_decodable(value, b"\\ISO 2022 IR 87")


def test_a_record_has_the_character_set_of_its_instance_if_it_is_a_code() -> None:
    assert character_sets.for_record(b"ISO_IR 999") == b"ISO_IR 999"
    assert character_sets.for_record(b"iso-ir 100") == b""


@given(st.binary(max_size=64), st.sampled_from(sorted(character_sets.CODECS)))
def test_decoding_never_fails(value: bytes, term: str) -> None:
    assert isinstance(character_sets.decode(value, term.encode()), str)
    extended = term.replace("ISO_IR", "ISO 2022 IR")
    assert isinstance(character_sets.decode(b"\x1b$B" + value, extended.encode()), str)
