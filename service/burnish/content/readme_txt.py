"""Craft: README.TXT, for people who open a medium without a DICOM viewer (PS3.10 8.3, PS3.12)."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from burnish import __version__
from burnish.content.content_terms import NO_CONTENT, ContentTerms
from burnish.content.patients_and_studies import summarize_patients, summary_lines
from burnish.values import InstanceHeader

#: Its name on the volume. A File ID has no extension, so the DICOMDIR cannot reference it as
#: File-set Descriptor File ID (0004,1141); that element is optional (PS3.3 F.3.2.1).
NAME = "README.TXT"

_TEXT = """\
{heading}

{file_set_id_title:<19}{file_set_id:<16}
{profiles}{volume}
{instances_title:<19}{instances:<10}
{made_by}{details}{remarks}
{open_title}
{decryption}
{open}

{organised_title}

{files}

{standard}
{product}
"""

_REMARKS = """
{title}

{remarks}
"""
#: The width of the text in columns; a UID is not broken.
_WIDTH = 72
#: The most volumes of a set: the line that counts them has room for as many.
_MOST_VOLUMES = 99_999

#: The object identifiers in the script are those of DigestedData (1.2.840.113549.1.7.5) and
#: SignedData (1.2.840.113549.1.7.2). OpenSSL decrypts a file to its content alone, but checks a
#: digest or signature only where the content is wrapped in a ContentInfo with one of these.
_DECRYPTION = r"""
{secure}

{openssl}

  set -- -recip CERTIFICATE.PEM -inkey KEY.PEM
  # or: set -- -pwri_password 'THE PASSWORD'
  TO=$HOME/opened
  wrap() {{
    printf '\060\200\006\011\052\206\110\206\367\015\001\007'"\\$1"
    printf '\240\200'; cat "$TO/inner"; printf '\0\0\0\0'
  }}
  find . -type f ! -name '*.*' | while read -r F; do
    mkdir -p "$TO/$(dirname "$F")"
    openssl cms -decrypt -inform DER -binary "$@" \
      -in "$F" -out "$TO/inner" || break
    wrap 005 | openssl cms -digest_verify -inform DER -binary \
      -out "$TO/$F" 2>"$TO/log" ||
    wrap 002 | openssl cms -verify -noverify -inform DER -binary \
      -out "$TO/$F" 2>"$TO/log" || {{ echo "CHANGED: $F"; rm "$TO/$F"; }}
  done
  rm "$TO/inner" "$TO/log"

{then}
"""

_DETAILS = """
{title}

{details}
"""

#: The line with the number of instances, which is padded to a fixed width.
_INSTANCE_COUNT = re.compile(rb"^([^\r\n:]*DICOM[^\r\n:]*: *)(\d[\d ]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ReadmeDetails:
    """The details that README.TXT gives in full, since a label may have no room for all of them.

    `label_text` is Label Text (2200,0002) of the request. `patients`: also what the instances
    say of their patients and studies. `remarks` are warnings for all who use the medium. `profiles`
    are the labels of the Application Profiles of the File-set, joined by `+`; the keys of its
    DICOMDIR are those of these profiles.
    """

    label_text: str = ""
    patients: bool = False
    remarks: tuple[str, ...] = ()
    profiles: str = ""

    def text(self, headers: Iterable[InstanceHeader], content: ContentTerms | None = None) -> str:
        """The details for a volume with instances of these headers; "" if there are none.

        `content` says in which language; None: in English.
        """
        texts = (content or NO_CONTENT).texts
        lines = self.label_text.strip().splitlines()
        if self.patients:
            patient_lines = summary_lines(summarize_patients(headers), texts)
            if lines and patient_lines:
                lines.append("")
            lines += patient_lines
        return "\n".join(map(_printable, lines))


NO_DETAILS = ReadmeDetails()


def build_readme(
    file_set_id: str,
    instances: int,
    *,
    volume: tuple[int, int] = (1, 1),
    profiles: str = "",
    secure: bool = False,
    details: str = "",
    remarks: Sequence[str] = (),
    content: ContentTerms | None = None,
    institutions: Sequence[str] = (),
) -> bytes:
    """README.TXT with text, remarks and profiles of `ReadmeDetails`.

    `volume` is the number of the volume, from 1, and how many the set has. Of a secure File-set it
    says only that there are remarks: everybody can read it.

    `content` says what else the medium has, and in which language; None: nothing, in English.
    Where it names no institution, README.TXT has the `institutions` of the instances; media for
    teaching have neither, and no `details`. Its length depends on all but the numbers of instances
    and of volumes and the length of the File-set ID, so that planning knows it. It is in ASCII, or
    else in UTF-8 with a byte order mark.
    """
    terms = content or NO_CONTENT
    texts = terms.texts
    has_details = not secure and not terms.teaching
    # README.TXT is not encrypted, and remarks name UIDs and damage
    shown_remarks = [texts.text("readme.secure_remarks")] if secure else remarks
    text = _TEXT.format(
        heading=_filled(texts.text("readme.heading")),
        file_set_id_title=texts.text("readme.file_set_id"),
        file_set_id=file_set_id,
        profiles=_profiles_line(terms, profiles),
        volume=_volume_line(terms, *volume),
        instances_title=texts.text("readme.instances"),
        instances=instances,
        made_by="" if secure else _made_by(terms, institutions),
        details=_details_section(details, terms) if details and has_details else "",
        remarks=_remarks_section(shown_remarks, terms) if remarks else "",
        open_title=texts.text("readme.open_title"),
        decryption=_decryption(terms) if secure else "",
        open="\n\n".join(_filled(paragraph) for paragraph in _ways_to_open(terms)),
        organised_title=texts.text("readme.organised_title"),
        files="\n".join(_file_lines(terms)),
        standard="\n\n".join(_filled(paragraph) for paragraph in _statements(terms)),
        product="\n" + _filled(texts.text("readme.product", version=__version__)),
    )
    return text.replace("\n", "\r\n").encode("ascii" if text.isascii() else "utf-8-sig")


def _profiles_line(terms: ContentTerms, profiles: str) -> str:
    """The Application Profiles, which nothing else on the medium tells (PS3.11)."""
    if not profiles:
        return ""
    title = terms.texts.text("readme.profile")
    return f"{title:<19}{profiles.replace('+', ', ')}\n"


def _volume_line(terms: ContentTerms, number: int, count: int) -> str:
    """Which volume of how many, in a line of always the same length."""
    longest = terms.texts.text("pages.volume", number=_MOST_VOLUMES, count=_MOST_VOLUMES)
    return terms.texts.text("pages.volume", number=number, count=count).ljust(len(longest))


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def institutions_of(headers: Iterable[InstanceHeader]) -> tuple[str, ...]:
    """The institutions that the instances of a volume name, as README.TXT can have them."""
    return tuple(_printable(name) for name in summarize_patients(headers).institutions)


def _printable(line: str) -> str:
    return "".join(filter(str.isprintable, line)).rstrip()


def _made_by(terms: ContentTerms, institutions: Sequence[str]) -> str:
    """The institution and how to reach it; nothing on media for teaching, as on their pages."""
    texts = terms.texts
    site = terms.shown_site
    institution = site.institution_or(() if terms.teaching else institutions)
    rows = []
    for key, value in (("made_by", institution), ("contact", site.contact)):
        title = texts.text(f"readme.{key}")
        for line in value.strip().splitlines():
            rows.append(f"{title:<19}{line.strip()}\n")
            title = ""
    return "".join(rows)


def _ways_to_open(terms: ContentTerms) -> list[str]:
    ways = []
    if terms.pages:
        ways.append("readme.open_viewer" if terms.viewer else "readme.open_pages")
    ways.append("readme.open_dicom")
    return [terms.texts.text(key) for key in ways]


def _file_lines(terms: ContentTerms) -> list[str]:
    """Descriptions of the files and folders in the root."""
    names = [("DICOMDIR", "dicomdir"), ("DICOM", "dicom"), (NAME, "readme")]
    if terms.pages:
        names += [("INDEX.HTM", "index"), ("IHE_PDI", "ihe_pdi")]
    if terms.viewer:
        names.append(("VIEWER", "viewer"))
    if terms.manifest:
        names.append(("MANIFEST", "manifest"))
    names += [(folder, "applications") for folder in terms.application_folders]
    return [f"{name:<19}{terms.texts.text('readme.' + key)}" for name, key in names]


def _statements(terms: ContentTerms) -> list[str]:
    texts = terms.texts
    standard = texts.text("readme.standard")
    if terms.pages:
        standard = f"{standard} {texts.text('readme.standard_web')}"
    statements = [f"{standard} {texts.text('readme.privacy')}"]
    if terms.teaching:
        pages = [texts.text("readme.teaching")] if terms.pages else []
        statements.append(" ".join([*pages, texts.text("readme.teaching_files")]))
    elif terms.pages:
        statements.append(texts.text("readme.not_for_diagnosis"))
    if terms.site.disclaimer:
        statements += [line for line in terms.site.disclaimer.splitlines() if line.strip()]
    return statements


def _decryption(terms: ContentTerms) -> str:
    """How to open a Secure File-set."""
    parts = {"secure": "secure", "openssl": "secure_openssl", "then": "secure_then"}
    texts = terms.texts
    return _DECRYPTION.format(
        **{name: _filled(texts.text(f"readme.{key}")) for name, key in parts.items()}
    )


def _details_section(details: str, terms: ContentTerms) -> str:
    return _DETAILS.format(title=terms.texts.text("readme.details_title"), details=details)


def _remarks_section(remarks: Sequence[str], terms: ContentTerms) -> str:
    title = terms.texts.text("readme.remarks_title")
    return _REMARKS.format(title=title, remarks="\n\n".join(map(_filled, remarks)))


def with_instance_count(readme: bytes, instances: int) -> bytes:
    """A README.TXT of any version of Burnish with another number of instances.

    A file without the line of that number is returned unchanged.
    """

    def count(line: re.Match[bytes]) -> bytes:
        return line[1] + b"%-*d" % (len(line[2]), instances)

    return _INSTANCE_COUNT.sub(count, readme, count=1)


def with_remarks(
    readme: bytes, remarks: Sequence[str], content: ContentTerms | None = None
) -> bytes:
    """A README.TXT of any version of Burnish, with further remarks at its end."""
    if not remarks:
        return readme
    return readme + _remarks_section(remarks, content or NO_CONTENT).replace("\n", "\r\n").encode()
