"""Labels: their content, and that nothing is drawn where a disc cannot be printed."""

import io
import subprocess
import unicodedata
from dataclasses import replace
from math import hypot
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from burnish.errors import InvalidSettings
from burnish.label import LABEL_FORMATS, LabelContent, LabelMaker, Patient, Ring, Study
from burnish.label.drawing import Drawing, PrintedPicture
from burnish.label.fields import label_fields
from burnish.label.fonts import Fonts
from burnish.label.label_layout import lay_out_address, lay_out_disc
from burnish.label.template import INCLUDED, choose_template, read_templates
from burnish.label.typesetting import Typesetter

#: Fonts for Chinese and Japanese, and for Korean: tests/packages installs them.
CJK = (
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
    Path("/usr/share/fonts/truetype/nanum/NanumGothic.ttf"),
)
STUDIES = (
    Study("20040826", "Abdomen", ("CT", "PR")),
    Study("20040119", "Hirnschädel", ("MR",)),
)
ONE = LabelContent(
    file_set_id="BURNISH_00000012",
    volume_number=2,
    volume_count=3,
    created="20261122",
    media_application_profile="STD-GEN-DVD-JPEG",
    medium="DVD",
    institution="St. Elsewhere",
    label_text="Για τον γιατρό\nпо запросу",
    barcode_value="A0012345678",
    patients=(Patient("Yamada^Tarou=山田^太郎=やまだ^たろう", "ID-1", "19700101", "M", STUDIES),),
)
MANY = replace(
    ONE, patients=tuple(Patient(f"Family{n}^Given", f"P{n}", "1950", "O") for n in range(60))
)
INCLUDED_STYLES = sorted(read_templates(None))
SAMPLES = "Aé Ωώ Жщ شرمو שרון 山田 홍 ใจ ễ\N{COMBINING RING ABOVE}"


@pytest.fixture(scope="module")
def fonts() -> Fonts:
    return Fonts(CJK, system_folders=())


@pytest.fixture
def label_maker() -> LabelMaker:
    return LabelMaker(fonts=CJK)


def lay_out(
    content: LabelContent, fonts: Fonts, style: str = "", ring: Ring | None = None
) -> Drawing:
    template = choose_template(content, style, None)
    return lay_out_disc(content, template, ring or Ring(), fonts)


def lines(drawing: Drawing) -> list[str]:
    return [text.line.text.replace("\N{LEFT-TO-RIGHT MARK}", "") for text in drawing.texts]


def test_a_label_has_these_lines(fonts: Fonts) -> None:
    drawing = lay_out(ONE, fonts)
    assert lines(drawing) == [
        "St. Elsewhere",
        "Yamada, Tarou",
        "山田 太郎 · やまだ たろう",
        "ID ID-1 · born 1970-01-01 · M",
        "DICOM",
        "DVD · STD-GEN-DVD-JPEG",
        "Volume 2 of 3",
        "BURNISH_00000012",
        "made 2026-11-22",
        "2004-08-26 · CT PR · Abdomen",
        "2004-01-19 · MR · Hirnschädel",
        "Για τον γιατρό",
        "по запросу",
        "A0012345678",
        "Contains personal health information",
    ]
    assert not drawing.shortened
    assert not drawing.missing
    assert drawing.boxes


@pytest.mark.parametrize("style", ["STANDARD", "LIST", "TEXT"])
def test_a_label_says_whether_there_are_pages(fonts: Fonts, style: str) -> None:
    content = replace(ONE, content_type="DICOM AND WEB")
    assert "DICOM AND WEB" in lines(lay_out(content, fonts, style))


def farthest(picture: PrintedPicture) -> float:
    """The distance of the farthest corner of a picture from the middle of the disc."""
    right, top = picture.x + picture.width, picture.y + picture.height
    return max(hypot(x, y) for x in (picture.x, right) for y in (picture.y, top))


def logo(width: int = 320, height: int = 80) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("style", ["STANDARD", "LIST", "TEXT"])
def test_a_label_has_the_statements_of_the_site(fonts: Fonts, style: str) -> None:
    content = replace(
        ONE, contact="Radiology\nphone 0123", disclaimer="Not for diagnosis.", logo=logo()
    )
    drawing = lay_out(content, fonts, style)
    assert lines(drawing)[-3:] == ["Radiology", "phone 0123", "Not for diagnosis."]
    (picture,) = drawing.pictures
    assert picture.width == pytest.approx(4 * picture.height)
    assert farthest(picture) <= Ring().reach + 1e-6
    assert picture.y > Ring().band
    # the logo is above all text
    assert all(picture.y >= text.ink.top for text in drawing.texts)
    assert not drawing.shortened


def test_a_wide_logo_is_made_smaller(fonts: Fonts) -> None:
    (picture,) = lay_out(replace(ONE, logo=logo(3000, 100)), fonts).pictures
    assert picture.width == pytest.approx(30 * picture.height)
    assert farthest(picture) <= Ring().reach + 1e-6


def test_the_logo_is_printed(label_maker: LabelMaker) -> None:
    label = label_maker.disc(replace(ONE, logo=logo()), form="png")
    with Image.open(io.BytesIO(label.data)) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(int)
    is_logo = np.abs(pixels - (200, 30, 30)).max(axis=2) < 12
    # 28 by 7 mm at 300 dpi
    assert is_logo.sum() == pytest.approx(28 * 7 * (300 / 25.4) ** 2, rel=0.1)


def test_without_patients_the_label_names_none(fonts: Fonts) -> None:
    text = " ".join(lines(lay_out(replace(ONE, patients=()), fonts)))
    assert "Για τον γιατρό" in text
    assert "Yamada" not in text


def test_patients_that_have_no_room_are_counted(fonts: Fonts) -> None:
    for number in (20, 35, 3000):
        patients = tuple(Patient(f"Family{n}^Given", f"P{n}", "1950", "O") for n in range(number))
        drawing = lay_out(replace(ONE, patients=patients), fonts)
        texts = lines(drawing)
        named = sum(text.lstrip().startswith("Family") for text in texts)
        assert f"{number} patients" in texts
        assert f"… and {number - named} more" in texts
        assert named > 5
        assert drawing.shortened


@pytest.mark.parametrize("patients", [2, 3, 12])
@pytest.mark.parametrize("style", ["", *INCLUDED_STYLES])
def test_several_patients_are_never_labelled_as_one(
    patients: int, style: str, fonts: Fonts
) -> None:
    """Where the label has no room for all names it counts them; the first is never alone."""
    content = replace(MANY, patients=MANY.patients[:patients])
    fields = label_fields(content)
    assert not {"patient_name", "patient_id", "birth_date", "sex"} & {
        name for name, value in fields.items() if value
    }
    texts = lines(lay_out(content, fonts, style))
    named = sum("Family" in text for text in texts)
    assert named != 1
    assert named == patients or f"{patients} patients" in texts or named == 0


def test_several_studies_are_never_labelled_as_one() -> None:
    patient = replace(
        ONE.patients[0],
        studies=(
            Study("20040826", "Abdomen", ("CT", "PR"), "A1"),
            Study("20040119", "Hirnschädel", ("MR",), "A2"),
        ),
    )
    fields = label_fields(replace(ONE, patients=(patient,)))
    assert fields["patient_id"] == "ID-1"
    assert fields["studies"] == "2"
    assert fields["study_date"] == ""
    assert fields["study_description"] == ""
    assert fields["accession_number"] == ""
    assert fields["modalities"] == "CT MR PR"
    assert fields["study_dates"] == "2004-01-19 \N{EN DASH} 2004-08-26"


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("Compressed Samples", 8, ["Compressed", "Samples"]),
        ("Compressed-Samples", 8, ["Compressed-", "Samples"]),
        ("Compressed\N{HYPHEN}Samples", 8, ["Compressed\N{HYPHEN}", "Samples"]),
        ("Compressed^Samples", 8, ["Compressed^", "Samples"]),
        ("Compressed=Samples", 8, ["Compressed=", "Samples"]),
    ],
)
def test_a_line_ends_at_spaces_hyphens_and_carets(
    text: str, room: float, expected: list[str], fonts: Fonts
) -> None:
    wrapped = Typesetter(fonts).wrapped(text, lambda _: room, 3)
    assert [line.text for line in wrapped] == expected
    assert not any(line.breaks_word for line in wrapped)


def test_a_line_says_that_it_ends_within_a_word(fonts: Fonts) -> None:
    wrapped = Typesetter(fonts).wrapped("CompressedSamples", lambda _: 6, 3)
    assert [line.breaks_word for line in wrapped] == [True, False]


@pytest.mark.parametrize(
    "word",
    [
        "ประภาพรรณวรลักษณ์จันทร์เพ็ญศรีน้ำทิพย์เกียรติไพศาลแก้วโมทนา",
        "वेंकटरामनसुब्रमण्यनकृष्णमूर्तिराजलक्ष्मी",
    ],
)
def test_no_line_begins_or_ends_within_letters_that_are_drawn_together(
    word: str, fonts: Fonts
) -> None:
    """Vowel signs stay at their consonant; in Devanagari, so does what follows a virama."""
    typesetter = Typesetter(fonts)
    for tenths in range(20, 90, 4):
        room = tenths / 10
        for line in typesetter.wrapped(word, lambda _, room=room: room, 9):
            first, last = line.text[0], line.text.rstrip("…")[-1]
            assert not unicodedata.category(first).startswith("M")
            assert first != "\N{THAI CHARACTER SARA AM}"
            assert last not in "เแโใไ"
            assert line.shortened or last != "\N{DEVANAGARI SIGN VIRAMA}"


@pytest.mark.parametrize(
    "word",
    [
        "CompressedSamples",
        "Wolfeschlegelsteinhausen",
        "Mahalakshmivenkataraman",
        "W" * 14,
        "i" * 50,
    ],
)
def test_type_gets_smaller_before_a_word_is_broken(word: str, fonts: Fonts) -> None:
    patient = Patient(f"{word}^CT1", "CT1", "19700101", "O", STUDIES)
    for style in INCLUDED_STYLES:
        drawing = lay_out(replace(ONE, patients=(patient,)), fonts, style)
        assert not any(text.line.breaks_word for text in drawing.texts)
        assert all(word in text for text in lines(drawing) if word[:6] in text)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("aeimnorstWM"), min_size=3, max_size=16), min_size=1, max_size=4
    ),
    st.sampled_from([" ", "-", "^"]),
)
def test_no_word_of_a_name_is_broken_that_a_line_has_room_for(
    words: list[str], separator: str
) -> None:
    fonts = Fonts(CJK, system_folders=())
    patient = Patient(separator.join(words), "P1", "19700101", "O", STUDIES)
    drawing = lay_out(replace(ONE, patients=(patient,)), fonts)
    if not drawing.shortened:
        assert not any(text.line.breaks_word for text in drawing.texts)


def test_the_words_of_an_address_stay_whole_where_smaller_type_helps(fonts: Fonts) -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitaen"
    drawing = lay_out_address(f"{word}\nVienna", 100, 50, fonts)
    assert [text.line.text for text in drawing.texts] == [word, "Vienna"]
    assert not drawing.shortened


def test_a_text_that_is_too_long_ends_with_an_ellipsis(fonts: Fonts) -> None:
    drawing = lay_out(replace(ONE, label_text="word " * 500), fonts)
    assert drawing.shortened
    assert [line for line in lines(drawing) if line.startswith("word")][-1].endswith("…")
    assert "A0012345678" in lines(drawing)


@pytest.mark.parametrize("style", ["TEXT", "STANDARD", "LIST"])
@pytest.mark.parametrize("count", range(4, 9))
def test_no_line_disappears_unnoticed(style: str, count: int, fonts: Fonts) -> None:
    """High letters take more room than others; the lines they displace count as shortened."""
    text = [f"Ễ\N{COMBINING RING ABOVE}{number} שרון" for number in range(count)]
    drawing = lay_out(replace(ONE, label_text="\n".join(text)), fonts, style)
    printed = " ".join(lines(drawing))
    is_complete = all(line in printed for line in text)
    assert is_complete or drawing.shortened


def test_a_bar_code_that_has_no_room_is_printed_as_text(fonts: Fonts) -> None:
    drawing = lay_out(replace(ONE, barcode_value="X" * 60), fonts)
    assert drawing.shortened
    assert {box.colour for box in drawing.boxes} == {"#B8C4CE"}
    assert any(line.startswith("XXX") for line in lines(drawing))


def test_characters_that_no_font_has_are_boxes_and_are_counted() -> None:
    drawing = lay_out(ONE, Fonts(system_folders=()))
    assert drawing.missing == len("山田太郎やまだたろう")
    assert "山田 太郎 · やまだ たろう" in lines(drawing)


@pytest.mark.parametrize(
    "text",
    ["Łódź Đặng", "Διονύσιος", "Люксембург Їжак", "قباني لنزار", "שרון דבורה", "山田 やま 홍길동"],
)
def test_every_script_has_its_glyphs(text: str, fonts: Fonts) -> None:
    drawing = lay_out(replace(ONE, patients=(Patient(text),)), fonts)
    assert text in lines(drawing)
    assert not drawing.missing


def test_arabic_letters_are_joined(fonts: Fonts) -> None:
    """Within a word, a letter has another glyph than alone."""
    drawing = lay_out(replace(ONE, label_text="ببب"), fonts)
    [word] = [text.line for text in drawing.texts if text.line.text == "ببب"]
    assert len({glyph.number for glyph in word.glyphs}) > 1


words = st.text(st.sampled_from(SAMPLES + "abcdefghi  \n-"), max_size=60)
contents = st.builds(
    LabelContent,
    file_set_id=st.sampled_from(["", "BURNISH_00000012"]),
    institution=words,
    label_text=words,
    barcode_value=st.text("0123456789ABC", max_size=30),
    patients=st.lists(
        st.builds(
            Patient,
            words,
            words,
            st.just("19700101"),
            st.just("F"),
            st.lists(st.builds(Study, st.just("20200101"), words), max_size=6).map(tuple),
        ),
        max_size=8,
    ).map(tuple),
)


@settings(max_examples=25, deadline=None)
@given(contents, st.sampled_from(["", "STANDARD", "LIST", "TEXT"]), st.sampled_from([22.0, 46.0]))
def test_nothing_is_drawn_outside_the_ring(
    fonts: Fonts, content: LabelContent, style: str, inner: float
) -> None:
    drawing = lay_out(content, fonts, style, Ring(inner))
    for left, bottom, right, top in drawing.inks():
        for x, y in ((left, bottom), (left, top), (right, bottom), (right, top)):
            assert hypot(x, y) <= 59
        nearest = hypot(max(left, min(0, right)), max(bottom, min(0, top)))
        assert nearest >= inner / 2


def test_pixels_keep_to_the_ring_and_a_scanner_reads_the_bars(label_maker: LabelMaker) -> None:
    image = Image.open(io.BytesIO(label_maker.disc(ONE, form="png").data))
    assert image.size == (1418, 1418)
    assert round(image.info["dpi"][0]) == 300
    rows, columns = np.nonzero(np.asarray(image.convert("L")) < 250)
    middle = (1418 - 1) / 2
    distance = np.hypot(rows - middle, columns - middle) / 300 * 25.4
    assert distance.min() > 11
    assert distance.max() < 59
    [barcode] = zxingcpp.read_barcodes(image)
    assert barcode.text == "A0012345678"


@pytest.mark.parametrize(
    ("value", "symbology"),
    [
        ("Ab-12/3", "CODE128"),
        ("ABC-12", "CODE39"),
        ("12345678", "INTER_2_5"),
        ("A99912345", "HIBC"),
    ],
)
def test_a_scanner_reads_each_symbology_from_the_label(
    value: str, symbology: str, label_maker: LabelMaker
) -> None:
    content = LabelContent(barcode_value=value, barcode_symbology=symbology)
    image = Image.open(io.BytesIO(label_maker.disc(content, form="png").data))
    formats = {"CODE39": zxingcpp.BarcodeFormat.Code39, "INTER_2_5": zxingcpp.BarcodeFormat.ITF}
    barcode_format = formats.get(symbology, zxingcpp.BarcodeFormat.Code128)
    [barcode] = zxingcpp.read_barcodes(image, formats=barcode_format)
    assert value in barcode.text


def test_the_text_of_the_pdf_can_be_searched(label_maker: LabelMaker, tmp_path: Path) -> None:
    (tmp_path / "label.pdf").write_bytes(label_maker.disc(ONE).data)
    pdftotext = subprocess.run(
        ["pdftotext", tmp_path / "label.pdf", "-"], capture_output=True, text=True, check=True
    )
    assert not pdftotext.stderr
    for phrase in ("Yamada, Tarou", "山田 太郎", "по запросу", "Volume 2 of 3", "Hirnschädel"):
        assert phrase in pdftotext.stdout


@pytest.mark.parametrize("form", LABEL_FORMATS)
def test_a_label_has_the_format_it_is_asked_for(form: str, label_maker: LabelMaker) -> None:
    label = label_maker.disc(LabelContent(file_set_id="A"), form=form)
    magic = {"pdf": b"%PDF-", "png": b"\x89PNG", "jpg": b"\xff\xd8", "bmp": b"BM"}
    assert label.data.startswith(magic[form])
    assert not label.notes


def test_a_proof_has_the_outlines_of_the_disc(label_maker: LabelMaker) -> None:
    plain = label_maker.disc(ONE, form="png").data
    proof = label_maker.disc(ONE, form="png", outlines=True).data
    darker = np.asarray(Image.open(io.BytesIO(proof))) != np.asarray(Image.open(io.BytesIO(plain)))
    assert darker[:, :20].any()


def test_the_same_content_gives_the_same_file(label_maker: LabelMaker) -> None:
    assert label_maker.disc(ONE).data == LabelMaker(fonts=CJK).disc(ONE).data


def test_an_address_label_has_its_lines(label_maker: LabelMaker, fonts: Fonts) -> None:
    drawing = lay_out_address(
        "Dr. María Álvarez\r\nCalle Mayor 12\r\n\r\n28013 Madrid", 89, 36, fonts
    )
    assert lines(drawing) == ["Dr. María Álvarez", "Calle Mayor 12", "28013 Madrid"]
    image = Image.open(io.BytesIO(label_maker.address("Dr. María Álvarez", "png").data))
    assert image.size == (1052, 426)


def test_notes_say_what_is_wrong_without_patient_data(label_maker: LabelMaker) -> None:
    notes = label_maker.disc(replace(MANY, barcode_value="é", barcode_symbology="CODE39")).notes
    assert len(notes) == 2
    assert not any("Family" in note or "é" in note for note in notes)


def test_a_site_adds_styles_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "LEGAL.toml").write_text(
        '[top]\nrows = [{ parts = ["Beweismittel {file_set_id}"], size = 12 }]\n', encoding="utf-8"
    )
    label_maker = LabelMaker(templates=tmp_path)
    assert set(read_templates(tmp_path)) == {"LEGAL", "LIST", "STANDARD", "TEXT"}
    assert len(label_maker.disc(ONE, "LEGAL").data) < len(label_maker.disc(ONE, "STANDARD").data)
    # A style that does not exist is a hint that cannot be followed.
    assert label_maker.disc(ONE, "OTHER").data == label_maker.disc(ONE).data


def test_the_example_in_the_documentation_is_a_valid_style(tmp_path: Path) -> None:
    documentation = Path(__file__).parents[3] / "docs" / "labels.md"
    example = documentation.read_text(encoding="utf-8").split("```toml\n")[-1].partition("```")[0]
    (tmp_path / "COURT.toml").write_text(example, encoding="utf-8")
    label = LabelMaker(templates=tmp_path, fonts=CJK).disc(ONE, "COURT")
    assert not label.notes


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("BAD", "[top]\nrows = [{ parts = ['{patient}'] }]", "no such field: patient"),
        ("BAD", "[top]\nrow = []", "row"),
        ("BAD", "[top]\nrows = [{ size = 8 }]", "has either parts or the bar code"),
        ("BAD", "not toml", "BAD.toml"),
        ("too long for a style", "", "1 to 16"),
    ],
)
def test_a_wrong_style_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSettings, match=message):
        LabelMaker(templates=tmp_path).check()


def test_a_wrong_font_is_named(tmp_path: Path) -> None:
    (tmp_path / "letters.ttf").write_bytes(b"no font")
    with pytest.raises(InvalidSettings, match=r"letters\.ttf"):
        LabelMaker(fonts=[tmp_path / "letters.ttf"]).check()
    with pytest.raises(InvalidSettings, match="does not exist"):
        LabelMaker(fonts=[tmp_path / "none"]).check()


def test_every_included_style_has_a_description() -> None:
    assert all(template.description for template in read_templates(None).values())
    assert len(list(INCLUDED.glob("*.toml"))) == 3
