"""Surface: `burnish disc verify --pdi`, the rules of IHE PDI and of the DRG catalogue."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from burnish.errors import Unreadable
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.secure_files import Keyring
    from burnish.values import VolumeReport
    from burnish.verify.pdi import PdiReport
    from burnish.verify.pdi.disc_summary import PatientOnDisc


class PdiJudgement(NamedTuple):
    """The findings on a volume, and the patients that its DICOMDIR lists."""

    report: "PdiReport"
    patients: "Sequence[PatientOnDisc]"


def judge(path: Path, keyring: "Keyring") -> PdiJudgement:
    """Judges the volume at `path`; of one that cannot be read, nothing is examined."""
    from burnish.image.reader import open_volume
    from burnish.secure_files import open_secure
    from burnish.verify.pdi import PdiReport, check_pdi

    try:
        with open_volume(path) as volume:
            return PdiJudgement(*check_pdi(open_secure(volume, keyring)))
    except Unreadable:
        return PdiJudgement(PdiReport((), ("anything: the volume cannot be read",)), ())


def pdi_fields(judgement: PdiJudgement) -> dict[str, object]:
    """The fields of the findings, for JSON; of patients there is nothing."""
    report = judgement.report
    return {
        "good": report.good,
        "findings": report.findings,
        "judged": report.judged,
        "not_judged": report.not_judged,
        "not_examined": report.not_examined,
        "has_web_content": report.has_web_content,
        "programs": report.programs,
        "other_content": report.other_content,
    }


def print_findings(path: Path, judgement: PdiJudgement) -> None:
    """One block for each finding; then their numbers, and what was not examined."""
    report = judgement.report
    for finding in report.findings:
        typer.echo(
            f"{finding.rule}  {finding.severity}: {finding.file}: {finding.observed}\n"
            f"         expected: {finding.expected} ({finding.source})\n"
            f"         remedy: {finding.remedy}"
        )
    faults = sum(finding.severity == "fault" for finding in report.findings)
    notes = len(report.findings) - faults
    typer.echo(
        f"{path}: by {len(report.judged)} rules for media (IHE PDI, DRG):"
        f" {quantity(faults, 'fault')}, {quantity(notes, 'note')}."
        f" Not examined: {'; '.join(report.not_examined)}"
    )
    for line in report.not_judged_lines():
        typer.echo(f"{path}: not judged: {line}")


def write_desk_report(
    target: Path, path: Path, report: "VolumeReport", judgement: PdiJudgement
) -> None:
    """Writes the page for the import desk to `target`, which only its owner can read."""
    from burnish.verify.pdi.desk_report import desk_report

    page = desk_report(str(path), report, judgement.report, judgement.patients)
    target.touch(mode=0o600)
    target.write_text(page, encoding="utf-8")
    typer.echo(f"report: {target}", err=True)
