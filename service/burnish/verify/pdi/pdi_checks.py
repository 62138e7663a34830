"""Craft: judges a volume by the rules of IHE PDI and of the DRG catalogue (see `rules`)."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from burnish.errors import Unreadable
from burnish.identifiers import is_file_name
from burnish.media import FileSystem
from burnish.values import ReadableVolume, SecureVolume
from burnish.verify.dicomdir_checks import CheckedDicomdir, check_dicomdir
from burnish.verify.examine import LARGEST_DICOMDIR, VolumeWithFileSystem, VolumeWithLongNames
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_details import file_details
from burnish.verify.file_meta_checks import PREAMBLE, is_dicom
from burnish.verify.pdi.disc_summary import PatientOnDisc, summarize, text
from burnish.verify.pdi.rules import Findings, PdiReport
from burnish.verify.pdi.web_pages import Link, WebPage, read_page, read_style_sheet, validate_strict
from burnish.verify.record_checks import Record
from burnish.verify.structure import check_structure

WEB_FOLDER = "IHE_PDI"
INDEX, README, DICOMDIR = "INDEX.HTM", "README.TXT", "DICOMDIR"
#: A larger page is not examined.
_LARGEST_PAGE = 16 << 20
_MOST_COMPONENTS = 8
_PAGES = {"HTM", "HTML", "XHT"}
_PICTURES = {"JPG", "JPE"}
_STYLES = {"CSS"}
_RECORD_TYPES_NOT_PERMITTED = {
    "VISIT",
    "RESULTS",
    "INTERPRETATION",
    "STUDY COMPONENT",
    "STORED PRINT",
    "TOPIC",
    "MRDR",
    "PRIVATE",
}
_PATIENT_ID = 0x00100020
_STUDY_KEYS = {0x00200010: "Study ID", 0x00080020: "Study Date", 0x00080030: "Study Time"}
#: The names of programs of Windows, macOS, Linux and Java, and of what starts one.
_PROGRAMS = frozenset(
    [
        "APP",
        "BAT",
        "CMD",
        "COM",
        "COMMAND",
        "CPL",
        "DEB",
        "DLL",
        "DMG",
        "EXE",
        "HTA",
        "JAR",
        "JSE",
        "LNK",
        "MSI",
        "OCX",
        "PIF",
        "PKG",
        "PS1",
        "RPM",
        "RUN",
        "SCR",
        "SH",
        "SYS",
        "VBE",
        "VBS",
        "WSF",
    ]
)
_PROGRAM_BEGINNINGS = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
)
_OUTSIDE = re.compile(r"(?:[a-z][a-z0-9+.-]+:)?//|[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_HARMLESS = re.compile(r"(?:mailto|tel|data|about):", re.IGNORECASE)

#: What Windows and macOS write to the root of a medium by themselves.
_TRACE = re.compile(
    r"\.DS_Store|\._.*|\.Trash.*|\.fseventsd|\.Spotlight-V100|\.TemporaryItems"
    r"|System Volume Information|\$RECYCLE\.BIN|RECYCLER|Thumbs\.db|desktop\.ini|FOUND\.\d+",
    re.IGNORECASE,
)
_FAT = (FileSystem.FAT, FileSystem.FAT16)

#: What tells that a text has a required statement; in the languages of Burnish's own media.
_INSTITUTION = re.compile(
    r"hospital|clinic|klini|praxis|\bpractice|\binstitut[eo]?\b|institution(?: name)?\s*[:=]"
    r"|universit|radiolog"
    r"|imaging cent|medical cent|spital\b|krankenh|h[oô]pita|cabinet|ospedal|szpital|przychod"
    r"|病院|クリニック|医院|مستشفى|عيادة"
    # not the line that names the product and its version
    r"|(?:(?:made|created|produced) (?:by|at)|erstellt (?:von|durch)|établi par|elaborado por"
    r"|prodotto da|produzido por)\b(?!.*\d\.\d)|作成者|作成機関",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+\.\w+|\bhttps?://|\bwww\.\w"
    r"|(?:tel|fon|phone|telefon|téléphone|fax|電話|هاتف)\S*\s*[:.]?\s*\+?[\d(]"
    r"|\+\d[\d ()/-]{6,}|\b0\d[\d ()/-]{6,}"
    r"|(?:contact|kontakt|contacto|contatto|contato|連絡先|للاتصال|جهة الاتصال)\w*\s*:\s*\S",
    re.IGNORECASE,
)
_PRODUCT = re.compile(r"[^\W\d_]{2,}[^\n]{0,60}?\b[vV]?\d+\.\d+", re.IGNORECASE)
_PURPOSE = re.compile(
    r"dicom|\bpdi\b|portable data|medical image|bilddaten|medizinische bild", re.IGNORECASE
)
_DISCLAIMER = re.compile(
    r"disclaim|liabilit|responsib|warrant|confidential|privacy|health information|diagnos|not for"
    r"|only for|haft|vertraulich|datenschutz|gesundheitsdaten|befundung|confiden|vie privée"
    r"|données de santé|responsabil|garant|datos personales|riservat|dati sanitari"
    r"|dados pessoais|poufn|dane osobowe|diagnoz|診断|個人|機密|تشخيص|سري|صحية",
    re.IGNORECASE,
)
#: The rules that need a part of a volume which it may lack, so that they cannot be judged.
_RULES_OF_DICOM_CONTENT = (202, 203, 204, 205, 206, 207)
_RULES_OF_INDEX = (401, 402, 403, 404)
_RULES_OF_STATEMENTS = (502, 503, 504, 505, 506)
#: How much of a text is searched for statements: what is longer is not for people.
_LONGEST_README, _LONGEST_LINE, _MOST_LINES = 1 << 16, 300, 2000
#: The first lines of README.TXT that may name its maker, and how many are quoted.
_QUOTED_LINES = 8


@dataclass(slots=True)
class PdiVolume:
    """A volume as the rules see it: paths in capital letters, with "/".

    `names` are the names on the volume by path. `instances` are the DICOM files, whether referenced
    or not, and `references` the records by the path of their file. `shown` are the paths that
    users see. `folders` are those of all files.
    """

    volume: ReadableVolume
    names: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    beginnings: dict[str, bytes] = field(default_factory=dict)
    instances: set[str] = field(default_factory=set)
    references: dict[str, Record] = field(default_factory=dict)
    dicomdir: CheckedDicomdir = field(default_factory=CheckedDicomdir)
    encrypted: bool = False
    folders: set[str] = field(default_factory=set)

    def read(self, path: str) -> bytes:
        return self.volume.read(self.names[path])

    def size(self, path: str) -> int:
        return self.volume.files()[self.names[path]]

    def below(self, folder: str) -> list[str]:
        return [path for path in self.names if path.startswith(f"{folder}/")]


def check_pdi(volume: ReadableVolume) -> tuple[PdiReport, list[PatientOnDisc]]:
    """Judges a volume, and says what its DICOMDIR lists.

    Of secure media that are not opened, the rules on DICOM content are not examined.
    """
    return _PdiCheck(volume).report()


class _PdiCheck:
    def __init__(self, volume: ReadableVolume) -> None:
        self._disc = PdiVolume(volume)
        self._findings = Findings()
        self._pages: dict[str, WebPage] = {}
        self._programs: list[str] = []
        self._misnamed: set[str] = set()
        self._not_judged: dict[str, str] = {}
        self._not_examined = [
            "the label, which names institution, date, patient and DICOM ONLY or DICOM AND WEB",
            "whether the pages show what the DICOM files hold",
            "malicious software",
            "the lower-case links and pages without CSS of the DRG catalogue (3.2.1.9, 3.2.1.10)",
        ]

    def report(self) -> tuple[PdiReport, list[PatientOnDisc]]:
        self._read_names()
        self._read_dicomdir()
        self._check_names()
        self._check_dicom_content()
        self._check_folders()
        self._read_pages()
        self._check_pages()
        self._check_index()
        maker = self._check_readme()
        self._check_programs()
        report = PdiReport(
            self._findings.all(),
            tuple(self._not_examined),
            dict(self._not_judged),
            has_web_content=INDEX in self._disc.names and bool(self._disc.below(WEB_FOLDER)),
            programs=tuple(self._programs),
            other_content=tuple(self._other_content()),
            maker=tuple(maker),
            images_misnamed=bool(
                self._misnamed & {DICOMDIR, *self._disc.instances, *self._disc.references}
            ),
            by_rule=dict(self._findings.counts),
        )
        return report, summarize(self._disc.dicomdir.records, self._birth_date_in_file)

    def _birth_date_in_file(self, file_id: str) -> str:
        return file_details(self._disc.volume, file_id).get("PatientBirthDate", "")

    def _leave_out(self, numbers: Iterable[int], reason: str) -> None:
        """Says why some rules are not judged."""
        self._not_judged |= {f"PDI-{number}": reason for number in numbers}

    def _add(self, number: int, path: str, observed: str) -> None:
        self._findings.add(number, self._disc.shown.get(path, path), observed)

    # --- reading ---

    def _read_names(self) -> None:
        disc = self._disc
        long_names = disc.volume.long_names if isinstance(disc.volume, VolumeWithLongNames) else {}
        for name in disc.volume.files():
            path = name.replace("\\", "/").upper()
            disc.names[path] = name
            disc.shown[path] = long_names.get(name, name).replace("\\", "/")
            components = path.split("/")
            disc.folders |= {"/".join(components[:level]) for level in range(1, len(components))}
        for path in disc.names:
            try:
                disc.beginnings[path] = disc.volume.read(
                    disc.names[path], 0, min(disc.size(path), PREAMBLE)
                )
            except Unreadable:
                disc.beginnings[path] = b""
            if path != DICOMDIR and is_dicom(disc.beginnings[path]):
                disc.instances.add(path)

    def _read_dicomdir(self) -> None:
        disc = self._disc
        disc.encrypted = isinstance(disc.volume, SecureVolume) and not disc.volume.opened
        if disc.encrypted:
            self._not_examined.insert(0, "the encrypted DICOMDIR and DICOM files")
            self._leave_out(_RULES_OF_DICOM_CONTENT, "DICOMDIR and DICOM files are encrypted")
            return
        if DICOMDIR not in disc.names:
            self._add(201, DICOMDIR, "there is none")
            return
        faults = Faults()
        try:
            if disc.size(DICOMDIR) > LARGEST_DICOMDIR:
                raise Unreadable(f"it has {disc.size(DICOMDIR)} bytes")
            disc.dicomdir = check_dicomdir(disc.read(DICOMDIR), faults)
        except Unreadable as error:
            self._add(202, DICOMDIR, f"it cannot be read: {error}")
            return
        about_encoding = (FaultCode.DICOMDIR_UNREADABLE, FaultCode.DICOMDIR_TRANSFER_SYNTAX)
        for fault in faults.all():
            if fault.code in about_encoding:
                self._add(202, DICOMDIR, fault.message)
        check_structure(disc.dicomdir, "", Faults())
        for record in disc.dicomdir.records:
            if record.file_id:
                disc.references[record.file_id.upper().replace("\\", "/")] = record

    # --- names and DICOM content ---

    def _check_names(self) -> None:
        shown = self._disc.shown
        # Linux shows the names of a disc in small letters if all of them have capital letters
        is_lowered = all(name == name.lower() for name in shown.values()) and not self._keeps_case()
        for path, name in shown.items():
            components = (name.upper() if is_lowered else name).split("/")
            # folders have no extension (ECMA-119 7.6)
            is_good = is_file_name(components[-1]) and all(
                is_file_name(folder) and "." not in folder for folder in components[:-1]
            )
            if not is_good:
                self._misnamed.add(path)
                self._add(101, path, f"the name {name}")
            if path.count("/") + 1 > _MOST_COMPONENTS:
                self._add(102, path, f"{path.count('/') + 1} components")

    def _keeps_case(self) -> bool:
        """Whether the names are those of the medium, letter for letter."""
        volume = self._disc.volume
        return isinstance(volume, VolumeWithFileSystem) and volume.file_system not in _FAT

    def _check_dicom_content(self) -> None:
        disc = self._disc
        for path in disc.instances:
            if "/" not in path:
                self._add(203, path, "a DICOM instance in the root")
        for record in disc.dicomdir.records:
            self._check_record(record)
        for path, record in disc.references.items():
            if path.startswith(f"{WEB_FOLDER}/"):
                self._add(206, path, f"{record} references it")
        folders = {posixpath.dirname(path) for path in disc.references} - {""}
        for path in disc.names:
            if posixpath.dirname(path) not in folders or path in disc.references:
                continue
            if path not in disc.instances and not path.startswith(f"{WEB_FOLDER}/"):
                self._add(208, path, "another file in a folder of DICOM instances")

    def _check_record(self, record: Record) -> None:
        if record.type == "PATIENT" and not text(record.keys, _PATIENT_ID):
            self._add(204, DICOMDIR, f"{record} has none")
        if record.type == "STUDY":
            empty = [name for tag, name in _STUDY_KEYS.items() if not text(record.keys, tag)]
            if empty:
                self._add(205, DICOMDIR, f"{record} has no {', '.join(empty)}")
        if record.type in _RECORD_TYPES_NOT_PERMITTED:
            self._add(207, DICOMDIR, f"{record}")
        elif any(tag >> 16 & 1 for tag in record.tags):
            self._add(207, DICOMDIR, f"{record} has private elements")

    # --- folders ---

    def _check_folders(self) -> None:
        disc = self._disc
        has_index, web_files = INDEX in disc.names, disc.below(WEB_FOLDER)
        if has_index and not web_files:
            self._add(301, INDEX, "INDEX.HTM without the folder IHE_PDI")
        if web_files and not has_index:
            self._add(301, WEB_FOLDER, "the folder IHE_PDI without INDEX.HTM in the root")
        if web_files and isinstance(disc.volume, SecureVolume):
            self._add(312, WEB_FOLDER, f"{len(web_files)} files that everybody can open")
        for entry in sorted({path.partition("/")[0] for path in disc.names}):
            if entry.startswith("IHE") and entry not in (WEB_FOLDER, "IHE_XDM"):
                self._add(302, entry, "a reserved name")
        for path in web_files:
            what = self._not_of_web(path)
            if what:
                self._add(303, path, what)

    def _not_of_web(self, path: str) -> str:
        """The kind of a file in IHE_PDI; "" for a web file."""
        extension = _extension(path)
        if path in self._disc.instances:
            return "a DICOM instance"
        if extension not in _PAGES | _PICTURES | _STYLES:
            return f"a file of another kind (.{extension})" if extension else "no web file"
        if extension in _PICTURES and not self._disc.beginnings[path].startswith(b"\xff\xd8"):
            return "no JPEG file, though it is called so"
        return ""

    def _other_content(self) -> list[str]:
        """The entries of the root that are neither DICOM, web content nor README.TXT.

        What Windows and macOS leave on a medium that can be written is not counted.
        """
        disc = self._disc
        known = {DICOMDIR, README, INDEX, WEB_FOLDER}
        known |= {path.partition("/")[0] for path in {*disc.references, *disc.instances}}
        if disc.encrypted:
            known |= {path.partition("/")[0] for path in disc.names if self._is_secure(path)}
        entries = {path.partition("/")[0]: shown for path, shown in disc.shown.items()}
        return sorted(
            entry
            for entry, shown in entries.items()
            if entry not in known and not _TRACE.fullmatch(shown.partition("/")[0])
        )

    def _is_secure(self, path: str) -> bool:
        volume = self._disc.volume
        try:
            return isinstance(volume, SecureVolume) and volume.is_secure(self._disc.names[path])
        except Unreadable:
            return True

    # --- pages ---

    def _read_pages(self) -> None:
        disc = self._disc
        strict: dict[str, bytes] = {}
        for path in [INDEX, *disc.below(WEB_FOLDER)]:
            extension = _extension(path)
            if path not in disc.names or extension not in _PAGES | _STYLES:
                continue
            if disc.size(path) > _LARGEST_PAGE:
                self._not_examined.append(f"{path}, which has {disc.size(path)} bytes")
                continue
            try:
                data = disc.read(path)
            except Unreadable as error:
                self._add(304, path, f"it cannot be read: {error}")
                continue
            if extension in _STYLES:
                self._pages[path] = read_style_sheet(data)
                continue
            page = self._pages[path] = read_page(data)
            if page.not_well_formed:
                self._add(304, path, page.not_well_formed)
            elif page.strict:
                strict[path] = data
            elif page.document_type:
                self._not_examined.append(f"validity of {path}, which is {page.document_type}")
            if not page.document_type:
                self._add(305, path, "none")
        self._validate(strict)

    def _validate(self, pages: dict[str, bytes]) -> None:
        errors = validate_strict(pages) if pages else {}
        if errors is None:
            self._not_examined.append(
                "validity of pages by the DTD of XHTML 1.0 Strict, for which xmllint (libxml2) and"
                " the DTD (w3c-sgml-lib) must be installed"
            )
            return
        for path, error in errors.items():
            self._add(306, path, error)

    def _check_pages(self) -> None:
        for path, page in self._pages.items():
            for active in dict.fromkeys(page.active):
                self._add(308, path, active)
            if path != INDEX:
                for script in dict.fromkeys(page.scripts):
                    self._add(309, path, script)
            # an address that is both loaded and linked to counts once, as loaded
            loaded_last = sorted(page.links, key=lambda link: link.loaded)
            for link in {link.address: link for link in loaded_last}.values():
                self._check_link(path, link)

    def _check_link(self, path: str, link: Link) -> None:
        if _HARMLESS.match(link.address):
            return
        if _OUTSIDE.match(link.address):
            self._add(310 if link.loaded else 311, path, link.address)
            return
        target, place = self._target(path, link)
        if target is None:
            self._add(307, path, f"{link.address}: no such file")
        elif place and target in self._pages and place not in self._pages[target].places:
            self._add(307, path, f"{link.address}: no such place in the page")

    def _target(self, path: str, link: Link) -> tuple[str | None, str]:
        """The file, or the folder, that a link leads to; None if there is none on the volume."""
        address, _, place = link.address.partition("#")
        address = unquote(address.partition("?")[0]).replace("\\", "/")
        if not address:
            return path, place
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), address)).upper()
        is_there = target in self._disc.names or target in self._disc.folders or target == "."
        return (target if is_there else None), place

    def _check_index(self) -> None:
        if INDEX not in self._pages:
            self._leave_out(_RULES_OF_INDEX, "there is no INDEX.HTM that can be read")
            return
        page = self._pages[INDEX]
        targets = {self._target(INDEX, link)[0] or "" for link in page.links if not link.loaded}
        if self._disc.below(WEB_FOLDER) and not any(
            target.partition("/")[0] == WEB_FOLDER for target in targets
        ):
            self._add(401, INDEX, "no link into IHE_PDI")
        if README in self._disc.names and README not in targets:
            self._add(402, INDEX, "no link to README.TXT")
        linked = {target.partition("/")[0] for target in targets}
        for entry in self._other_content():
            if entry not in linked and not entry.startswith("AUTORUN"):
                self._add(403, INDEX, f"no link to {entry}")
        if not _recognizes(_INSTITUTION, page.text.splitlines()[:_MOST_LINES]):
            self._add(404, INDEX, "no name of an institution was recognized")

    # --- README.TXT and programs ---

    def _check_readme(self) -> list[str]:
        """The lines of README.TXT that seem to say who made the medium."""
        if README not in self._disc.names:
            if self._claims_pdi():
                self._add(501, README, "there is none")
                self._leave_out(_RULES_OF_STATEMENTS, "there is no README.TXT")
            else:
                reason = "the volume holds DICOM files alone and does not claim IHE PDI"
                self._leave_out((501, *_RULES_OF_STATEMENTS), reason)
            return []
        try:
            data = self._disc.volume.read(
                self._disc.names[README], 0, min(self._disc.size(README), _LONGEST_README)
            )
        except Unreadable as error:
            self._add(501, README, f"it cannot be read: {error}")
            return []
        try:
            readme = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            readme = data.decode("latin-1")
        statements = {
            502: (_INSTITUTION, "an institution"),
            503: (_CONTACT, "a telephone number, e-mail or web address"),
            504: (_PRODUCT, "a product with its version"),
            505: (_PURPOSE, "DICOM or medical images"),
            506: (_DISCLAIMER, "a disclaimer"),
        }
        for number, (pattern, what) in statements.items():
            if not pattern.search(readme):
                self._add(number, README, f"no mention of {what} was recognized")
        lines = [" ".join(line.split()) for line in readme.splitlines()]
        return [line[:200] for line in lines if _INSTITUTION.search(line) or _CONTACT.search(line)][
            :_QUOTED_LINES
        ]

    def _claims_pdi(self) -> bool:
        """Whether there is anything for people, as IHE PDI has it, or at least a README.TXT."""
        disc = self._disc
        return bool(disc.below(WEB_FOLDER) or self._other_content() or INDEX in disc.names)

    def _check_programs(self) -> None:
        disc = self._disc
        for path in sorted(disc.names):
            if path in disc.instances or path == DICOMDIR:
                continue
            name = posixpath.basename(path)
            if "/" not in path and name.lstrip(".").startswith("AUTORUN"):
                self._add(601, path, _command(disc.beginnings[path]))
            is_in_bundle = ".APP/" in path
            is_program = _extension(path) in _PROGRAMS or disc.beginnings[path].startswith(
                _PROGRAM_BEGINNINGS
            )
            if is_program or (is_in_bundle and "/MACOS/" in path):
                self._programs.append(disc.shown[path])
                self._add(602, path, f"a program, {disc.size(path)} bytes")


def _recognizes(pattern: re.Pattern[str], lines: Iterable[str]) -> bool:
    return any(pattern.search(line[:_LONGEST_LINE]) for line in lines)


def _extension(path: str) -> str:
    return posixpath.basename(path).partition(".")[2]


def _command(beginning: bytes) -> str:
    """The command of an AUTORUN.INF, as far as its beginning has it."""
    match = re.search(rb"(?im)^\s*(?:open|shellexecute)\s*=\s*([^\r\n]+)", beginning)
    return f"it starts {match[1].decode('latin-1').strip()}" if match else "it starts something"
