"""The rules of `disc verify --pdi`: each is broken by one change to a disc that keeps all."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

import content_sources
from burnish.application_profiles import PROFILES
from burnish.content.asked_for import content_terms
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.settings import ContentSettings
from burnish.values import VolumeReport
from burnish.verify.pdi import PdiReport, check_pdi
from burnish.verify.pdi.desk_report import desk_report
from burnish.verify.pdi.rules import MAXIMUM_OF_A_RULE, RULES, Findings, Severity
from burnish.verify.pdi.web_pages import read_page
from burnish.vocabulary import IncludeNonDICOMObjects

SITE = ContentSettings(
    institution="St. Example Hospital",
    contact="Radiology, telephone +44 20 7946 0000",
    disclaimer="Without any warranty.",
)
STRICT = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"'
    ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Page</title></head>'
    "<body><div>{body}</div></body></html>"
)


def judged(path: Path) -> PdiReport:
    with open_volume(path) as volume:
        return check_pdi(volume)[0]


def numbers(report: PdiReport) -> set[str]:
    return {finding.rule for finding in report.findings}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = content_sources.study(tmp_path_factory.mktemp("source"), slices=2)
    terms = content_terms(SITE, IncludeNonDICOMObjects.FOR_PATIENT, display_application=True)
    options = BuildOptions(
        PROFILES["STD-GEN-CD"], MEDIA["CD"], None, "CONTENT", split=True, content=terms
    )
    result = build([source], tmp_path_factory.mktemp("out"), options, lambda *_: None)
    return Path(result.built[0].image)


@pytest.fixture(scope="module")
def good_disc(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a disc of Burnish."""
    folder = tmp_path_factory.mktemp("disc")
    subprocess.run(
        ["7z", "x", "-y", f"-o{folder}", image], check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    return folder


@pytest.fixture
def disc(good_disc: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good_disc, tmp_path / "disc"))


def test_discs_of_burnish_with_content_have_no_finding(image: Path, good_disc: Path) -> None:
    for path in (image, good_disc):
        report = judged(path)
        assert report.findings == ()
        assert report.has_web_content
        assert report.other_content == ("VIEWER",)
        assert not any("DTD" in subject for subject in report.not_examined)


def edited(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(disc: Path) -> None:
        text = (disc / file).read_text("utf-8")
        assert old in text
        (disc / file).write_text(text.replace(old, new), "utf-8")

    return edit


def added(file: str, content: str | bytes = "x") -> Callable[[Path], None]:
    def add(disc: Path) -> None:
        path = disc / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return add


def page(body: str) -> Callable[[Path], None]:
    return added("IHE_PDI/MORE.HTM", STRICT.format(body=body))


def removed(file: str) -> Callable[[Path], None]:
    return lambda disc: (disc / file).unlink()


def instance_at(file: str) -> Callable[[Path], None]:
    def copy(disc: Path) -> None:
        first = next(path for path in sorted((disc / "DICOM").rglob("*")) if path.is_file())
        shutil.copy(first, disc / file)

    return copy


def without_key(record_type: str, keyword: str) -> Callable[[Path], None]:
    def empty(disc: Path) -> None:
        data_set = pydicom.dcmread(disc / "DICOMDIR")
        for record in data_set.DirectoryRecordSequence:
            if record.DirectoryRecordType == record_type:
                setattr(record, keyword, "")
        data_set.save_as(disc / "DICOMDIR")

    return empty


def private_records(disc: Path) -> None:
    data_set = pydicom.dcmread(disc / "DICOMDIR")
    data_set.DirectoryRecordSequence[-1].DirectoryRecordType = "PRIVATE"
    data_set.save_as(disc / "DICOMDIR")


def reference_into_web_content(disc: Path) -> None:
    data_set = pydicom.dcmread(disc / "DICOMDIR")
    record = next(item for item in data_set.DirectoryRecordSequence if "ReferencedFileID" in item)
    record.ReferencedFileID = ["IHE_PDI", "IM1"]
    data_set.save_as(disc / "DICOMDIR")


def implicit_dicomdir(disc: Path) -> None:
    data_set = pydicom.dcmread(disc / "DICOMDIR")
    data_set.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(disc / "DICOMDIR", data_set, implicit_vr=True, little_endian=True)


def readme(text: str) -> Callable[[Path], None]:
    return added("README.TXT", text)


GOOD_README = "St. Example Hospital\nTel. 020 7946 0000\nAcme 3.1\nDICOM images\nConfidential\n"

BREACHES = [
    (101, "IHE_PDI/long name.htm", added("IHE_PDI/long name.htm", STRICT.format(body="<p/>"))),
    (102, "A/B/C/D/E/F/G/H/I", added("A/B/C/D/E/F/G/H/I")),
    (201, "DICOMDIR", removed("DICOMDIR")),
    (202, "DICOMDIR", implicit_dicomdir),
    (203, "IMAGE1", instance_at("IMAGE1")),
    (204, "DICOMDIR", without_key("PATIENT", "PatientID")),
    (205, "DICOMDIR", without_key("STUDY", "StudyID")),
    (205, "DICOMDIR", without_key("STUDY", "StudyDate")),
    (205, "DICOMDIR", without_key("STUDY", "StudyTime")),
    (206, "IHE_PDI/IM1", reference_into_web_content),
    (207, "DICOMDIR", private_records),
    (208, "DICOM/PA000001/ST000001/SE000001/X.TXT",
     added("DICOM/PA000001/ST000001/SE000001/X.TXT")),
    (301, "INDEX.HTM", lambda disc: shutil.rmtree(disc / "IHE_PDI")),
    (301, "IHE_PDI", removed("INDEX.HTM")),
    (302, "IHE_MORE", added("IHE_MORE/X.TXT")),
    (303, "IHE_PDI/X.PDF", added("IHE_PDI/X.PDF")),
    (303, "IHE_PDI/X.JPG", added("IHE_PDI/X.JPG", b"MZ")),
    (303, "IHE_PDI/IMAGE1.HTM", instance_at("IHE_PDI/IMAGE1.HTM")),
    (304, "IHE_PDI/MORE.HTM", page("<p>")),
    (305, "IHE_PDI/MORE.HTM", added("IHE_PDI/MORE.HTM", "<html><body/></html>")),
    (306, "IHE_PDI/MORE.HTM", page("<font>x</font>")),
    (307, "IHE_PDI/MORE.HTM", page('<p><a href="NONE.HTM">x</a></p>')),
    (307, "IHE_PDI/MORE.HTM", page('<p><a href="INDEX.HTM#none">x</a></p>')),
    (307, "IHE_PDI/MORE.HTM", page('<p><a href="../../INDEX.HTM">x</a></p>')),
    (308, "IHE_PDI/MORE.HTM", page('<applet code="X"></applet>')),
    (308, "IHE_PDI/MORE.HTM", page('<iframe src="INDEX.HTM"></iframe>')),
    (308, "IHE_PDI/MORE.HTM", page('<script type="text/vbscript">x</script>')),
    (309, "IHE_PDI/MORE.HTM", page('<script type="text/javascript">x</script>')),
    (309, "IHE_PDI/MORE.HTM", page('<p onclick="x()">x</p>')),
    (309, "IHE_PDI/MORE.HTM", page('<p><a href="java&#115;cript:x()">x</a></p>')),
    (310, "IHE_PDI/MORE.HTM", page('<p><img src="http://example.org/x.jpg" alt="" /></p>')),
    (310, "IHE_PDI/STYLE.CSS", added("IHE_PDI/STYLE.CSS", "@import 'https://example.org/x';")),
    (311, "IHE_PDI/MORE.HTM", page('<p><a href="https://example.org/">x</a></p>')),
    (401, "INDEX.HTM", edited("INDEX.HTM", 'href="IHE_PDI/INDEX.HTM"', 'href="README.TXT"')),
    (402, "INDEX.HTM", edited("INDEX.HTM", 'href="README.TXT"', 'href="INDEX.HTM"')),
    (403, "INDEX.HTM", added("TOOLS/X.TXT")),
    (404, "INDEX.HTM", added("INDEX.HTM", STRICT.format(body="<p>x</p>"))),
    (501, "README.TXT", removed("README.TXT")),
    (502, "README.TXT", readme(GOOD_README.replace("Hospital", ""))),
    (503, "README.TXT", readme(GOOD_README.replace("Tel. 020 7946 0000", ""))),
    (504, "README.TXT", readme(GOOD_README.replace("3.1", ""))),
    (505, "README.TXT", readme(GOOD_README.replace("DICOM", ""))),
    (506, "README.TXT", readme(GOOD_README.replace("Confidential", ""))),
    (601, "AUTORUN.INF", added("AUTORUN.INF", "[autorun]\r\nopen=VIEW.EXE\r\n")),
    (602, "VIEW.EXE", added("VIEW.EXE")),
    (602, "VIEW", added("VIEW", b"\x7fELF")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "file", "breach"), BREACHES, ids=[f"{row[0]}-{row[1]}" for row in BREACHES]
)
def test_a_breach_of_a_rule_is_found_with_its_file(
    disc: Path, number: int, file: str, breach: Callable[[Path], None]
) -> None:
    breach(disc)
    findings = [each for each in judged(disc).findings if each.rule == f"PDI-{number}"]
    assert [finding.file for finding in findings] == [file]
    assert findings[0].severity is RULES[f"PDI-{number}"].severity
    assert findings[0].expected
    assert findings[0].remedy


def test_each_rule_is_broken_by_a_test() -> None:
    in_other_tests = {"PDI-312"}
    assert {f"PDI-{row[0]}" for row in BREACHES} | in_other_tests == set(RULES)


def test_each_rule_has_plain_words_for_the_report() -> None:
    report = VolumeReport("", "", 0, 0, 0, ())
    for rule in RULES.values():
        findings = Findings()
        findings.add(int(rule.number[4:]), "FILE", "something")
        page = desk_report("disc", report, PdiReport(findings.all(), ()), [])
        assert f'<span class="small">{rule.number}: FILE</span>' in page


def test_a_good_readme_of_another_maker_has_no_finding(disc: Path) -> None:
    readme(GOOD_README)(disc)
    report = judged(disc)
    assert report.findings == ()
    assert report.maker == ("St. Example Hospital", "Tel. 020 7946 0000")


def test_the_command_that_starts_by_itself_is_named(disc: Path) -> None:
    added("AUTORUN.INF", "[autorun]\r\nopen=VIEW.EXE /x\r\n")(disc)
    (finding,) = judged(disc).findings
    assert finding.observed == "it starts VIEW.EXE /x"


def test_a_rule_that_many_files_break_is_listed_fifty_times(disc: Path) -> None:
    for number in range(MAXIMUM_OF_A_RULE + 5):
        added(f"IHE_PDI/X{number}.PDF")(disc)
    report = judged(disc)
    assert report.by_rule == {"PDI-303": MAXIMUM_OF_A_RULE + 5}
    assert len(report.findings) == MAXIMUM_OF_A_RULE + 1
    assert report.findings[-1].observed == "and 5 more of this kind"


def test_small_letters_of_a_mounted_disc_are_no_finding(disc: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered"
    for path in disc.rglob("*"):
        if path.is_file():
            target = lowered / str(path.relative_to(disc)).lower()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert judged(lowered).findings == ()


def test_without_the_validator_the_report_says_what_was_not_examined(
    disc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page("<font>x</font>")(disc)
    monkeypatch.setenv("PATH", "")
    report = judged(disc)
    assert report.findings == ()
    assert any("xmllint" in subject for subject in report.not_examined)


def test_a_disc_of_dcmmkdir_and_genisoimage_is_judged(good_disc: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(good_disc / "DICOM", root / "DICOM")
    subprocess.run(
        ["dcmmkdir", "+r", "+I", "+id", root, "-W", "DICOM"], cwd=root, check=True, timeout=60
    )
    (root / "AUTORUN.INF").write_text("[autorun]\nopen=VIEWER\\VIEW.EXE\n")
    (root / "VIEWER").mkdir()
    (root / "VIEWER" / "VIEW.EXE").write_bytes(b"MZ\x90")
    image = tmp_path / "foreign.iso"
    subprocess.run(["genisoimage", "-quiet", "-o", image, root], check=True, timeout=60)
    report = judged(image)
    assert numbers(report) == {"PDI-501", "PDI-601", "PDI-602"}
    assert report.programs == ("VIEWER/VIEW.EXE",)
    assert report.other_content == ("AUTORUN.INF", "VIEWER")
    assert not report.has_web_content


@pytest.mark.parametrize(
    "source",
    [b"<", b"<a ", b"<!--", b'<a href="', b"x<![CDATA[", b"<script>", b"<a" + b" " * 40, b"&#x;"],
)
def test_a_hostile_page_is_read_to_its_end(source: bytes) -> None:
    assert read_page(source * 20_000).not_well_formed


def test_faults_are_listed_before_notes(disc: Path) -> None:
    added("VIEW.EXE")(disc)
    removed("README.TXT")(disc)
    severities = [finding.severity for finding in judged(disc).findings]
    assert severities == sorted(severities, key=lambda severity: severity is Severity.NOTE)
    assert set(severities) == {Severity.FAULT, Severity.NOTE}
