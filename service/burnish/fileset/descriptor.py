"""Craft: the README of a medium, for who opens it without a DICOM viewer (PS3.10 8.3, PS3.12)."""

from burnish import __version__

#: Its name on the volume: not a File ID, which has no extension, so no DICOMDIR can name it as
#: File-set Descriptor File ID (0004,1141); that one is left out, as it may be (PS3.3 F.3.2.1).
NAME = "README.TXT"

_TEXT = """\
This medium holds medical images and documents: a DICOM File-set.

File-set ID:       {file_set_id:<16}
DICOM instances:   {instances:<10}

HOW TO OPEN IT

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


def readme(file_set_id: str, instances: int) -> bytes:
    """The text of README.TXT, equally long for every File-set; it says nothing of any patient."""
    text = _TEXT.format(file_set_id=file_set_id, instances=instances, version=__version__)
    return text.replace("\n", "\r\n").encode("ascii")
