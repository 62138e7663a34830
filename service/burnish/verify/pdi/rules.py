"""Craft: the rules for media of IHE PDI and of the DRG catalogue, with numbers of Burnish's own.

docs/verification.md says of which rules the original words were not at hand.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: The most findings of one rule that are listed; of the others only the number is reported.
MAXIMUM_OF_A_RULE = 50
#: The most characters of a volume's text that a finding quotes.
_LONGEST_QUOTE = 200

_RAD_47 = "IHE RAD TF-2, RAD-47"
_DRG = "DRG catalogue 2006"


class Severity(StrEnum):
    """A fault breaks a requirement of IHE; a note is a recommendation, a risk or a doubt."""

    FAULT = "fault"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class PdiRule:
    """One rule: where it comes from, what it expects, and what the maker of a disc can do."""

    number: str
    severity: Severity
    source: str
    expected: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule on a volume; `file` is a path on it, or "volume"."""

    rule: str
    severity: Severity
    source: str
    file: str
    observed: str
    expected: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PdiReport:
    """The findings, and what could not be examined.

    `programs` are the files that computers may run; `other_content` are the entries of the root
    that are neither DICOM nor web content. `maker` are the lines of README.TXT that seem to say who
    made the medium. `by_rule` is the number of findings of each rule, also of those not listed.
    `images_misnamed`: DICOM files or the DICOMDIR have names that not all systems find.
    `not_judged` are the numbers of rules that do not apply to the volume, each with the reason.
    """

    findings: tuple[Finding, ...]
    not_examined: tuple[str, ...]
    not_judged: Mapping[str, str] = field(default_factory=dict)
    has_web_content: bool = False
    programs: tuple[str, ...] = ()
    other_content: tuple[str, ...] = ()
    maker: tuple[str, ...] = ()
    images_misnamed: bool = False
    by_rule: Mapping[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """The numbers of the rules by which the volume was judged."""
        return [number for number in RULES if number not in self.not_judged]

    def not_judged_lines(self) -> list[str]:
        """For each reason for which rules were not judged, these rules and the reason."""
        numbers: dict[str, list[str]] = {}
        for number, reason in self.not_judged.items():
            numbers.setdefault(reason, []).append(number)
        return [f"{', '.join(rules)}: {reason}" for reason, rules in numbers.items()]

    @property
    def good(self) -> bool:
        return all(finding.severity is not Severity.FAULT for finding in self.findings)


def _rule(number: int, severity: str, source: str, expected: str, remedy: str) -> PdiRule:
    return PdiRule(f"PDI-{number}", Severity(severity), source, expected, remedy)


RULES = {
    rule.number: rule
    for rule in (
        _rule(
            101,
            "fault",
            f"{_RAD_47}; ISO 9660 Level 1",
            "names of files and folders have at most 8 characters and 3 of extension, of A-Z, 0-9"
            " and underscore",
            "rename the file, and the links to it",
        ),
        _rule(
            102,
            "fault",
            f"{_RAD_47}; ISO 9660 6.8.2.1",
            "a path has at most 8 components",
            "move the file to a folder nearer to the root",
        ),
        _rule(
            201,
            "fault",
            f"{_RAD_47}; {_DRG} 3.1.2; PS3.10 8.6",
            "there is a DICOMDIR in the root",
            "make the medium with a DICOMDIR, or import the folder without one if your system can",
        ),
        _rule(
            202,
            "fault",
            f"{_RAD_47}; {_DRG} 3.1.2; PS3.10 8.6",
            "the DICOMDIR can be read and is in Explicit VR Little Endian",
            "make the DICOMDIR again in Explicit VR Little Endian",
        ),
        _rule(
            203,
            "fault",
            _RAD_47,
            "no DICOM instance is in the root",
            "put DICOM instances into folders below the root",
        ),
        _rule(
            204,
            "fault",
            _RAD_47,
            "Patient ID (0010,0020) of a PATIENT record has a value",
            "give the patient an ID before the medium is made; at import, enter it by hand",
        ),
        _rule(
            205,
            "fault",
            _RAD_47,
            "Study ID (0020,0010), Study Date (0008,0020) and Study Time (0008,0030) of a STUDY"
            " record have values",
            "enter the missing values where the study is kept, and make the medium again",
        ),
        _rule(
            206,
            "fault",
            _RAD_47,
            "the DICOMDIR references no file in IHE_PDI",
            "keep DICOM instances outside IHE_PDI",
        ),
        _rule(
            207,
            "note",
            f"{_DRG} 3.1.2.4",
            "directory records have no private elements and are not of type VISIT, RESULTS,"
            " INTERPRETATION, STUDY COMPONENT, STORED PRINT, TOPIC, MRDR or PRIVATE",
            "make the DICOMDIR without them",
        ),
        _rule(
            208,
            "fault",
            _RAD_47,
            "folders of DICOM instances hold nothing else",
            "move other files to a folder of their own",
        ),
        _rule(
            301,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.2.1",
            "INDEX.HTM in the root and the folder IHE_PDI are both there, or neither",
            "add the missing part of the web content, or leave it out completely",
        ),
        _rule(
            302,
            "fault",
            _RAD_47,
            "no other name in the root than IHE_PDI (and IHE_XDM of IHE XDM) begins with IHE",
            "rename it: names that begin with IHE are reserved",
        ),
        _rule(
            303,
            "fault",
            _RAD_47,
            "IHE_PDI holds only web files: XHTML (.HTM), JPEG (.JPG) and CSS (.CSS)",
            "move the file to a folder of its own outside IHE_PDI",
        ),
        _rule(
            304,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.1",
            "pages are XHTML, which is well-formed XML",
            "mend the page, or report it to the maker of the software",
        ),
        _rule(
            305,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.1",
            "pages declare a document type of XHTML",
            "begin the page with the document type of XHTML 1.0 Strict",
        ),
        _rule(
            306,
            "fault",
            f"{_RAD_47}; XHTML 1.0",
            "a page that declares XHTML 1.0 Strict is valid by its DTD",
            "mend the page, or report it to the maker of the software",
        ),
        _rule(
            307,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.1",
            "every link leads to a file of the volume, and to a place that the page has",
            "add the missing file, or correct the link",
        ),
        _rule(
            308,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.1.10",
            "web content has no active content but JavaScript: no applets, objects, frames of other"
            " pages, or other script languages",
            "do not open the page on a computer of the hospital; ask for a medium without it",
        ),
        _rule(
            309,
            "note",
            f"{_DRG} 3.2.1.10",
            "pages in IHE_PDI work without scripts",
            "open the page with scripts switched off",
        ),
        _rule(
            310,
            "fault",
            _RAD_47,
            "web content loads nothing from outside the volume",
            "do not open the page with a network: it can tell others that the disc was opened",
        ),
        _rule(
            311,
            "note",
            "Burnish",
            "web content has no links to addresses outside the volume",
            "do not follow the link on a computer of the hospital",
        ),
        _rule(
            312,
            "fault",
            "PS3.15 D.1",
            "a medium of Secure DICOM Files has no web content, which shows what is encrypted",
            "treat the medium as unencrypted; tell the maker",
        ),
        _rule(
            401,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.2",
            "INDEX.HTM has a link to the entry page in IHE_PDI",
            "add the link",
        ),
        _rule(
            402,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.2",
            "INDEX.HTM has a link to README.TXT",
            "add the link",
        ),
        _rule(
            403,
            "fault",
            f"{_RAD_47}; {_DRG} 3.3.2",
            "INDEX.HTM has a link to a viewer and to other content if they are on the volume",
            "add a link to the entry of the viewer or other content",
        ),
        _rule(
            404,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.2",
            "INDEX.HTM names the institution that made the medium",
            "set the name of the institution in the system that makes media",
        ),
        _rule(
            501,
            "fault",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "there is a README.TXT in the root",
            "add README.TXT",
        ),
        _rule(
            502,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "README.TXT names the institution that made the medium",
            "set the name of the institution in the system that makes media",
        ),
        _rule(
            503,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "README.TXT says how to reach the institution: telephone, e-mail or address",
            "set the contact in the system that makes media",
        ),
        _rule(
            504,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "README.TXT names the product that made the medium, and its version",
            "report it to the maker of the software",
        ),
        _rule(
            505,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "README.TXT says what the medium is",
            "report it to the maker of the software",
        ),
        _rule(
            506,
            "note",
            f"{_RAD_47}; {_DRG} 3.2.3",
            "README.TXT has a disclaimer: on confidentiality, or on what the medium is not for",
            "set a disclaimer in the system that makes media",
        ),
        _rule(
            601,
            "note",
            f"{_RAD_47}; {_DRG} 2.3.1",
            "nothing on the volume starts by itself",
            "keep auto-run switched off; do not start it",
        ),
        _rule(
            602,
            "note",
            "Burnish",
            "there are no programs on the volume",
            "do not start it on a computer of the hospital; DICOM files are imported without it",
        ),
    )
}


class Findings:
    """The findings so far, in order; bounded, however many files break a rule."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def add(self, number: int, file: str, observed: str) -> None:
        """Adds a breach of rule PDI-`number`."""
        rule = RULES[f"PDI-{number}"]
        self.counts[rule.number] += 1
        if self.counts[rule.number] <= MAXIMUM_OF_A_RULE:
            self._listed.append(_finding(rule, file[:_LONGEST_QUOTE], observed[:_LONGEST_QUOTE]))

    def all(self) -> tuple[Finding, ...]:
        """Faults first, by rule; then one for each rule that has more, with their number."""
        more = [
            _finding(RULES[number], "volume", f"and {count - MAXIMUM_OF_A_RULE} more of this kind")
            for number, count in self.counts.items()
            if count > MAXIMUM_OF_A_RULE
        ]
        return tuple(
            sorted(
                [*self._listed, *more],
                key=lambda finding: (finding.severity is not Severity.FAULT, finding.rule),
            )
        )


def _finding(rule: PdiRule, file: str, observed: str) -> Finding:
    return Finding(
        rule=rule.number,
        severity=rule.severity,
        source=rule.source,
        file=file,
        observed=observed,
        expected=rule.expected,
        remedy=rule.remedy,
    )
