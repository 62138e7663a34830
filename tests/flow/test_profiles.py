"""Real files against every profile, judged by DCMTK's and dicom3tools' programs and by ours."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import material
import oracles
from burnish.application_profiles import OFFERED, PROFILES
from burnish.errors import BurnishError
from burnish.image.reader import open_volume
from burnish.instance_header.header import IndexedFile, index_file
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.plan.eligibility import conflict, kind_of, media_syntaxes
from burnish.verify import examine_volume

#: dcmmkdir's option for each profile; profiles that differ only in their medium share one option.
OPTIONS = {
    "STD-GEN-CD": "-Pgp",
    "STD-GEN-DVD-JPEG": "-Pdv",
    "STD-GEN-DVD-J2K": "-Pd2",
    "STD-GEN-BD-MPEG4-HPLV42-2D": "--general-bd-mpeg4-hp2d",
    "STD-DVD-MPEG2-MPML": "-Pmp",
    "STD-XABC-CD": "-Pbc",
    "STD-XA1K-CD": "-Pxa",
    "STD-DEN-CD": "-Pde",
    "STD-CTMR-CD": "-Pcm",
    "STD-US-ID-SF-CDR": "-Pus",
    "STD-US-SC-SF-CDR": "--ultrasound-sc-sf",
    "STD-US-CC-MF-CDR": "--ultrasound-cc-mf",
}
#: Accepted differences from dcmmkdir and their reasons; the patterns are searched in the reason of
#: Burnish followed by that of dcmmkdir.
DIFFERENCES = {
    r"no file meta information|missing in file meta": "Burnish writes its own",
    r"attribute (Rows|Columns|Modality).* missing": "supplied in the records (PS3.11 H.3.3.1)",
    r"requires Image Type: present; the instance has no Image Type": (
        "dcmmkdir with +I invents the value; Burnish does not"
    ),
    r"STD-CTMR-CD requires Bits Allocated.*the instance has Bits Allocated 16, Bits Stored 12": (
        "a Secondary Capture that does not use all of its bits, which dcmmkdir lets pass"
    ),
}


@pytest.fixture(scope="module")
def sample(
    real_studies: material.RealStudies, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, IndexedFile]:
    """One file of each kind, in one folder under names that are File IDs."""
    folder = tmp_path_factory.mktemp("sample")
    first_of_kind: dict[object, IndexedFile] = {}
    files: dict[Path, IndexedFile] = {}
    wider = material.wider_collection()
    for path in (*real_studies.all, *_files(wider.root)):
        try:
            indexed = index_file(path)
        except BurnishError:
            continue
        kind = (
            indexed.header.sop_class_uid,
            indexed.transfer_syntax_uid,
            indexed.header.limited_attributes,
        )
        if first_of_kind.setdefault(kind, indexed) is indexed:
            copy = folder / f"F{len(files):06d}"
            shutil.copy(path, copy)
            files[copy] = indexed
    return files


def _files(root: Path) -> list[Path]:
    """The instances below `root`, without the damaged ones, which other tests use."""
    if not root.is_dir():
        return []
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and "nasty" not in path.parts
        and not path.name.startswith("DICOMDIR")
        and path.suffix not in (".csv", ".txt")
    ]


@pytest.mark.parametrize("label", OPTIONS)
def test_burnish_and_dcmmkdir_judge_files_alike(
    label: str, sample: dict[Path, IndexedFile]
) -> None:
    """dcmmkdir, which does not transcode, takes the files that Burnish takes without conversion."""
    profile = PROFILES[label]
    unexplained = []
    for path, indexed in sample.items():
        syntax = indexed.transfer_syntax_uid
        kind = kind_of(indexed.header, syntax)
        refusal = conflict(kind, profile)
        fit = refusal is None and media_syntaxes(kind, profile).default == syntax
        dcmmkdir = subprocess.run(
            [
                "dcmmkdir",
                "-a",
                "-w",
                "+I",
                OPTIONS[label],
                "+D",
                path.with_name("NONE"),
                "+id",
                path.parent,
                path.name,
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if fit != (dcmmkdir.returncode == 0):
            reasons = f"{refusal.why if refusal else ''} / {dcmmkdir.stderr[-500:]}"
            if not any(re.search(pattern, reasons) for pattern in DIFFERENCES):
                unexplained.append((path.name, fit, reasons))
    assert not unexplained


@pytest.mark.parametrize(
    "label",
    ["STD-GEN-CD", "STD-GEN-DVD-JPEG", "STD-CTMR-CD", "STD-US-ID-MF-CDR"],
)
def test_every_instance_that_the_profile_permits_is_on_the_volumes(
    label: str, sample: dict[Path, IndexedFile], tmp_path: Path
) -> None:
    """Everything that the profile permits is on its media, and no reader finds a fault."""
    profile = OFFERED[label]
    options = BuildOptions(profile, MEDIA[profile.media[0]], None, "SAMPLE", split=True)
    outcome = build(list(sample), tmp_path / "out", options, lambda *_: None)
    assert outcome.built
    fit = {path for path, indexed in sample.items() if _is_fit(indexed, label)}
    reasons = {file.path: file.why for file in (*outcome.skipped, *outcome.refused)}
    assert sample.keys() - reasons.keys() <= fit
    for path in fit & reasons.keys():
        assert re.search(
            r"same instance|other content|UID|decod|Pixel Data|frame", reasons[path]
        ), reasons[path]
    for volume in outcome.built:
        assert volume.report.good
        with open_volume(volume.image) as opened:
            report = examine_volume(opened, profile, size=volume.image.stat().st_size)
        assert report.faults == ()
        root = oracles.extract(volume.image, tmp_path / f"{volume.image.stem}-tree")
        gaps = re.compile("|".join(KNOWN_GAPS))
        errors = oracles.dciodvfy_errors(root / "DICOMDIR")
        assert not [error for error in errors if not gaps.search(error)]
        oracles.dcdirdmp(root / "DICOMDIR")
        oracles.dcmdump(root / "DICOMDIR")
        assert len(oracles.file_set(root)) == report.instances


#: Errors that dciodvfy of 2022 reports of a correct DICOMDIR.
KNOWN_GAPS = (
    r"Unrecognized enumerated value <(PLAN|SURFACE SCAN|TRACT|ASSESSMENT|ANNOTATION|INVENTORY"
    r"|WF PRESENTATION)>",
    r"Stereometric.*(ContentLabel|ContentDescription)",
    r"(BlendingSequence|ReferencedSeriesSequence).*Presentation",
    r"ReferencedImageEvidenceSequence.*Spectroscopy",
    r"HangingProtocolUserIdentificationCodeSequence|ProcedureCodeSequence.*HP",
)


def _is_fit(indexed: IndexedFile, label: str) -> bool:
    kind = kind_of(indexed.header, indexed.transfer_syntax_uid)
    return conflict(kind, PROFILES[label]) is None
