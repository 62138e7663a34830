"""Craft: the report on a disc as one page to print, in plain words, for the import desk.

The page has no scripts and loads nothing. It names patients, as the disc does.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from burnish import __version__
from burnish.values import Fault, VolumeReport
from burnish.verify.faults import IMAGE_DAMAGE, FaultCode
from burnish.verify.pdi.disc_summary import PatientOnDisc
from burnish.verify.pdi.rules import Finding, PdiReport, Severity
from burnish.wording import quantity

#: The faults without which nothing of a volume can be imported.
_HOPELESS = {
    FaultCode.VOLUME_UNREADABLE,
    FaultCode.DICOMDIR_UNREADABLE,
    FaultCode.DICOMDIR_ABSENT,
    FaultCode.DICOMDIR_EMPTY,
}
#: The faults that concern neither an image nor its place in the DICOMDIR.
_OF_FORM = {
    FaultCode.VOLUME_IDENTIFIER_WRONG,
    FaultCode.FILE_SET_ID_INVALID,
    FaultCode.FILE_NAME_INVALID,
    FaultCode.FILE_SYSTEM_NOT_IN_PROFILE,
    FaultCode.VOLUME_TOO_LARGE,
}
#: The most rows of each list; of others only the number is given.
_MOST_ROWS = 200

#: Each rule's breach in plain words.
_IN_PLAIN_WORDS = {
    "PDI-101": "Names of files are not as all systems can read them.",
    "PDI-102": "Files lie too deep in folders.",
    "PDI-201": "The directory of the images (DICOMDIR) is missing.",
    "PDI-202": "The directory of the images (DICOMDIR) is damaged or in a wrong form.",
    "PDI-203": "Images lie outside the folders where they belong.",
    "PDI-204": "A patient has no patient ID: it must be entered at import.",
    "PDI-205": "A study has no ID, date or time: some systems refuse it.",
    "PDI-206": "Images lie among the web pages.",
    "PDI-207": "The directory of the images has entries that only some systems know.",
    "PDI-208": "Other files lie among the images.",
    "PDI-301": "The pages for a browser are incomplete.",
    "PDI-302": "A name is used that is reserved.",
    "PDI-303": "Among the web pages there are files that do not belong there.",
    "PDI-304": "Web pages are faulty.",
    "PDI-305": "Web pages do not say what form they are in.",
    "PDI-306": "Web pages are faulty.",
    "PDI-307": "Links in the web pages lead nowhere: pictures or pages are missing.",
    "PDI-308": "Web pages have active content, which can be a danger.",
    "PDI-309": "Web pages have scripts.",
    "PDI-310": "Web pages load something from the internet.",
    "PDI-311": "Web pages have links to the internet.",
    "PDI-312": "The disc is encrypted, but its web pages are not.",
    "PDI-401": "The first page does not lead to the other pages.",
    "PDI-402": "The first page does not lead to README.TXT.",
    "PDI-403": "The first page does not lead to the viewer or to other content.",
    "PDI-404": "The first page does not seem to say which institution made the disc.",
    "PDI-501": "There is no README.TXT, which says who made the disc and what it is.",
    "PDI-502": "README.TXT does not seem to say which institution made the disc.",
    "PDI-503": "README.TXT does not seem to say how to reach its maker.",
    "PDI-504": "README.TXT does not seem to say with which product the disc was made.",
    "PDI-505": "README.TXT does not seem to say what the disc is.",
    "PDI-506": "README.TXT does not seem to have a disclaimer.",
    "PDI-601": "The disc tries to start a program by itself.",
    "PDI-602": "There are programs on the disc.",
}

#: The faults that people at the desk can count, in plain words for one and for several.
_FAULTS_IN_PLAIN_WORDS = (
    (
        {FaultCode.FILE_MISSING},
        "1 image or document that the directory lists is not on the disc.",
        "{number} images or documents that the directory lists are not on the disc.",
    ),
    (
        {FaultCode.FILE_UNREFERENCED},
        "1 DICOM file is not in the directory: most systems do not import it.",
        "{number} DICOM files are not in the directory: most systems do not import them.",
    ),
    (
        IMAGE_DAMAGE | {FaultCode.FILE_UNREADABLE, FaultCode.FILE_NOT_DICOM},
        "1 image or document is damaged.",
        "{number} images or documents are damaged.",
    ),
)

_STYLE = """
body { font: 11pt/1.45 "Segoe UI", "Noto Sans", Arial, sans-serif; color: #1b2430;
  background: #eef1f4; margin: 0; padding: 2em 1em; }
main { max-width: 56em; margin: 0 auto; background: #fff; padding: 2em 2.5em;
  border-radius: 8px; box-shadow: 0 1px 4px #0002; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.15em; margin: 1.8em 0 .5em; }
p { margin: .4em 0; } .path, .small { color: #5a6675; font-size: .9em; overflow-wrap: anywhere; }
.verdict { border-left: 6px solid; padding: .8em 1.1em; margin: 1.3em 0; border-radius: 4px; }
.verdict b { font-size: 1.2em; } .yes { border-color: #1a7f4b; background: #e8f5ee; }
.partly { border-color: #b26a00; background: #fdf3e1; }
.no { border-color: #b3261e; background: #fceceb; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .4em .6em .4em 0;
  border-bottom: 1px solid #dde3ea; overflow-wrap: anywhere; }
th { color: #5a6675; font-weight: 600; white-space: nowrap; }
.studies td:nth-child(2), .studies td:nth-child(3) { white-space: nowrap; }
ul { margin: .3em 0; padding-left: 1.3em; }
.finding { border-top: 1px solid #dde3ea; padding: .6em 0; break-inside: avoid; }
.tag { display: inline-block; font-size: .8em; font-weight: 600; padding: .05em .6em;
  border-radius: 9px; margin-right: .6em; } .fault { background: #fceceb; color: #8c1d18; }
.note { background: #eef1f4; color: #3c4856; }
@media print { body { background: #fff; padding: 0; } main { box-shadow: none; padding: 0; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Report on a disc</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


class Verdict(NamedTuple):
    """Whether a disc can be imported: "yes", "partly" or "no", and why."""

    answer: str
    title: str
    reason: str


def verdict(report: VolumeReport, pdi: PdiReport) -> Verdict:
    """Whether a PACS can be expected to import a volume."""
    codes = {fault.code for fault in report.faults}
    if report.unexamined:
        return Verdict(
            "partly",
            "Only with the password or key",
            "The DICOM files on this disc are encrypted. Ask the sender for the password.",
        )
    if not report.instances and not codes & {FaultCode.VOLUME_UNREADABLE}:
        return Verdict("no", "No", "There is no DICOM file on it.")
    if codes & _HOPELESS:
        return Verdict("no", "No, not as it is", _why_not(report, codes))
    if codes - _OF_FORM or (FaultCode.FILE_NAME_INVALID in codes and pdi.images_misnamed):
        return Verdict(
            "partly",
            "Perhaps, and not all of it",
            f"{quantity(len(report.faults), 'fault')} of the files or their directory can make"
            " images fail or look wrong. Compare the number of images after the import.",
        )
    return Verdict(
        "yes", "Yes", f"The DICOM files and their directory are in order.{_but(report, pdi)}"
    )


def _but(report: VolumeReport, pdi: PdiReport) -> str:
    """What is wrong with a volume that can be imported."""
    if report.faults:
        return (
            " What is wrong concerns names and the form of the disc, which hardly any system minds"
            " at import."
        )
    return (
        "" if pdi.good else " The disc breaks other rules for such media, which are listed below."
    )


def _why_not(report: VolumeReport, codes: set[str]) -> str:
    """Why a volume cannot be imported as it is, and what can be done."""
    if FaultCode.DICOMDIR_MISPLACED in codes and FaultCode.DICOMDIR_ABSENT in codes:
        folder = next(
            fault.where.rpartition("\\")[0]
            for fault in report.faults
            if fault.code == FaultCode.DICOMDIR_MISPLACED
        )
        return (
            "The directory (DICOMDIR), through which systems import, is not in the root but in the"
            f" folder {folder}. Copy that folder to a computer and import from the copy."
        )
    return (
        "The directory (DICOMDIR), through which systems import, is missing or cannot be read."
        f" {quantity(report.instances, 'DICOM file')} can still be found on the disc: some"
        " systems can import a folder without it."
    )


def desk_report(
    path: str, report: VolumeReport, pdi: PdiReport, patients: Sequence[PatientOnDisc]
) -> str:
    """The page for the volume at `path`."""
    sections = [
        _heading(path, report, pdi),
        _content(report, pdi, patients),
        _problems(report, pdi),
        _whom_to_ask(pdi),
        _findings(pdi.findings),
        _faults(report.faults),
        _not_examined([*pdi.not_examined, *report.not_examined, *pdi.not_judged_lines()]),
        f'<p class="small">Burnish {escape(__version__)}, burnish disc verify --pdi. The rules are'
        " those of IHE Portable Data for Imaging and of the requirements catalogue of the German"
        " Radiological Society (DRG, 2006), under numbers of Burnish.</p>",
    ]
    return _PAGE.format(style=_STYLE, body="\n".join(filter(None, sections)))


def _heading(path: str, report: VolumeReport, pdi: PdiReport) -> str:
    answer, title, reason = verdict(report, pdi)
    name = f", {escape(report.volume_identifier)}" if report.volume_identifier else ""
    return (
        f'<h1>Report on a disc</h1>\n<p class="path">{escape(path)}{name}</p>\n'
        f'<div class="verdict {answer}"><p>Can this disc be imported?</p>'
        f"<p><b>{escape(title)}.</b> {escape(reason)}</p></div>"
    )


def _content(report: VolumeReport, pdi: PdiReport, patients: Sequence[PatientOnDisc]) -> str:
    web = "pages for a browser (open INDEX.HTM)" if pdi.has_web_content else "no pages to look at"
    lines = [
        "<h2>What is on it?</h2>",
        f"<p>{quantity(len(patients), 'patient')}, {quantity(report.instances, 'DICOM file')},"
        f" {quantity(report.files, 'file')} in total; {web}.</p>",
    ]
    rows = [
        (
            f"{patient.name} ({patient.id or 'no ID'})",
            patient.birth_date,
            study.date,
            study.description,
            " ".join(study.modalities),
            str(study.instances),
        )
        for patient in patients
        for study in patient.studies
    ]
    if rows:
        titles = ("Patient", "Born", "Study of", "Description", "Kinds", "Files")
        lines.append(_table(titles, rows, "studies"))
    if pdi.other_content:
        names = ", ".join(escape(name) for name in pdi.other_content[:20])
        lines.append(f"<p>Other content, which is not imported: {names}.</p>")
    if pdi.programs:
        count = quantity(len(pdi.programs), "program")
        names = ", ".join(escape(name) for name in pdi.programs[:10])
        lines.append(
            f"<p>It has {count}: {names}. Images are imported without them; do not start"
            " them on a computer of the hospital.</p>"
        )
    return "\n".join(lines)


def _problems(report: VolumeReport, pdi: PdiReport) -> str:
    """The findings, one sentence for each rule."""
    sentences: dict[str, str] = {}
    for finding in pdi.findings:
        more = pdi.by_rule.get(finding.rule, 1) - 1
        where = f"{finding.file} and {more} more" if more else finding.file
        sentences.setdefault(
            finding.rule,
            f"{escape(_IN_PLAIN_WORDS[finding.rule])}"
            f' <span class="small">{finding.rule}: {escape(where)}</span>',
        )
    lines = ["<h2>What is wrong?</h2>"]
    if not sentences and not report.faults:
        return "\n".join([*lines, "<p>Nothing that was examined.</p>"])
    of_files = _faults_in_plain_words(report)
    items = "".join(f"<li>{sentence}</li>" for sentence in (*of_files, *sentences.values()))
    return "\n".join([*lines, f"<ul>{items}</ul>" if items else ""])


def _faults_in_plain_words(report: VolumeReport) -> list[str]:
    """What the faults mean to people who import the disc, most important first."""
    sentences = []
    others = list(report.faults)
    for codes, of_one, of_several in _FAULTS_IN_PLAIN_WORDS:
        number = len({fault.where for fault in others if fault.code in codes})
        if number:
            sentences.append(of_one if number == 1 else of_several.format(number=number))
        others = [fault for fault in others if fault.code not in codes]
    if others:
        kind = "other fault" if sentences else "fault"
        sentences.append(f"{quantity(len(others), kind)} of files, their directory or the disc.")
    return [f'{each} <span class="small">See the end of this report.</span>' for each in sentences]


def _whom_to_ask(pdi: PdiReport) -> str:
    lines = ["<h2>Whom to ask?</h2>"]
    if pdi.maker:
        lines.append("<p>Those who made the disc. Its README.TXT says:</p>")
        lines.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in pdi.maker)}</ul>")
    else:
        lines.append(
            "<p>The disc does not say who made it. See its label, or ask the patient which"
            " institution it comes from.</p>"
        )
    lines.append(
        "<p>Send them this report: it says for each finding what is expected and what they can"
        " do.</p>"
    )
    return "\n".join(lines)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    blocks = []
    for finding in findings[:_MOST_ROWS]:
        severity = finding.severity.value
        blocks.append(
            f'<div class="finding"><p><span class="tag {severity}">{severity}</span>'
            f"<b>{escape(finding.rule)}</b> {escape(finding.file)}</p>"
            f"<p>Found: {escape(finding.observed)}</p><p>Expected: {escape(finding.expected)}</p>"
            f"<p>What can be done: {escape(finding.remedy)}</p>"
            f'<p class="small">{escape(finding.source)}</p></div>'
        )
    faults = sum(finding.severity is Severity.FAULT for finding in findings)
    count = f"{quantity(faults, 'fault')}, {quantity(len(findings) - faults, 'note')}"
    more = _more(len(findings))
    return f"<h2>Findings by the rules for discs: {count}</h2>\n" + "\n".join(blocks) + more


def _faults(faults: Sequence[Fault]) -> str:
    if not faults:
        return ""
    rows = [(fault.where, fault.message, str(fault.code)) for fault in faults[:_MOST_ROWS]]
    table = _table(("File", "What is wrong", "Code"), rows)
    return (
        f"<h2>Faults of DICOM files, their directory and the disc</h2>\n{table}{_more(len(faults))}"
    )


def _not_examined(subjects: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(subject)}</li>" for subject in subjects[:_MOST_ROWS])
    return f"<h2>What was not examined</h2>\n<ul>{items}</ul>"


def _more(count: int) -> str:
    return f"<p>and {count - _MOST_ROWS} more</p>" if count > _MOST_ROWS else ""


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "faults") -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows[:_MOST_ROWS]
    )
    return (
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"{_more(len(rows))}"
    )
