"""Craft: the README of a medium, for who opens it without a DICOM viewer (PS3.10 8.3, PS3.12)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from burnish import __version__
from burnish.content import patients_and_studies
from burnish.values import InstanceHeader

#: Its name on the volume: not a File ID, which has no extension, so no DICOMDIR can name it as
#: File-set Descriptor File ID (0004,1141); that one is left out, as it may be (PS3.3 F.3.2.1).
NAME = "README.TXT"

_TEXT = """\
This medium holds medical images and documents: a DICOM File-set.

File-set ID:       {file_set_id:<16}
DICOM instances:   {instances:<10}
{label}
HOW TO OPEN IT
{opening}
Use a DICOM viewer, and let it open the file DICOMDIR. The other files
have no names that mean anything; DICOMDIR says what they are.

HOW IT IS ORGANISED

DICOMDIR           the directory of all DICOM files on this medium
DICOM              the DICOM files, by patient, study and series
README.TXT         this file, which is not a DICOM file

The medium follows the DICOM standard: PS3.10 (Media Storage and File
Format), PS3.11 (Media Storage Application Profiles) and PS3.12 (Media
Formats and Physical Media). It contains personal health information:
keep it, hand it on and destroy it with the care the law asks for.

Made by Burnish {version}.
"""


#: The object identifiers in it are those of DigestedData (1.2.840.113549.1.7.5) and SignedData
#: (1.2.840.113549.1.7.2): OpenSSL decrypts a file, but wants that named to check what was in it.
_SECURE = r"""
DICOMDIR and all DICOM files are encrypted: Secure DICOM Files by the
Basic DICOM Media Security Profile (PS3.15 D.1). They are for those who
have the password, or the private key to one of the certificates that
were chosen. A viewer that knows this profile asks for it.

For any other viewer, decrypt the files first. OpenSSL does that, in a
Unix shell with the medium as the working directory:

  set -- -recip CERTIFICATE.PEM -inkey KEY.PEM
  # or: set -- -pwri_password 'THE PASSWORD'
  TO=$HOME/opened
  wrap() {
    printf '\060\200\006\011\052\206\110\206\367\015\001\007'"\\$1"
    printf '\240\200'; cat "$TO/inner"; printf '\0\0\0\0'
  }
  find . -type f ! -name '*.*' | while read -r F; do
    mkdir -p "$TO/$(dirname "$F")"
    openssl cms -decrypt -inform DER -binary "$@" \
      -in "$F" -out "$TO/inner" || break
    wrap 005 | openssl cms -digest_verify -inform DER -binary \
      -out "$TO/$F" 2>"$TO/said" ||
    wrap 002 | openssl cms -verify -noverify -inform DER -binary \
      -out "$TO/$F" 2>"$TO/said" || { echo "CHANGED: $F"; rm "$TO/$F"; }
  done
  rm "$TO/inner" "$TO/said"

Then, with what is in the directory "opened":
"""


#: The line of a README that tells how many instances there are, with the room it has for them.
_COUNT = re.compile(rb"^(DICOM instances: +)(\d[\d ]*)", re.MULTILINE)

_LABEL = """
WHAT IS ON THE LABEL, IN FULL

{text}
"""


@dataclass(frozen=True, slots=True)
class Says:
    """What README.TXT is to give in full, since a label has not always room for it: the Label
    Text (2200,0002) of a request and, with `patients`, what its instances say of them."""

    label_text: str = ""
    patients: bool = False

    def text(self, headers: Iterable[InstanceHeader]) -> str:
        """All of it, for a volume with instances of these headers."""
        found = self.label_text.strip().splitlines()
        if self.patients:
            of_patients = patients_and_studies.lines(patients_and_studies.said_of(headers))
            found += ["", *of_patients] if found and of_patients else of_patients
        return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in found)


#: Nothing but what every README has.
NOTHING = Says()


def readme(file_set_id: str, instances: int, *, secure: bool = False, says: str = "") -> bytes:
    """The text of README.TXT with what it `says` of its label; of a secure File-set it does not.

    Equally long for every File-set that is secure, and for every one that is not and says the
    same. In ASCII, or else in UTF-8 with its mark.
    """
    text = _TEXT.format(
        file_set_id=file_set_id,
        instances=instances,
        label="" if secure or not says else _LABEL.format(text=says),
        opening=_SECURE if secure else "",
        version=__version__,
    )
    return text.replace("\n", "\r\n").encode("ascii" if text.isascii() else "utf-8-sig")


def renewed(earlier: bytes, instances: int) -> bytes:
    """A README that `readme` made, when there are so many instances; any other stays as it is."""
    return _COUNT.sub(lambda line: line[1] + b"%-*d" % (len(line[2]), instances), earlier, count=1)
