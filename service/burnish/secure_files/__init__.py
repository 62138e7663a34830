"""Craft: Secure DICOM Files (PS3.10 7.4), written and read as PS3.15 D.1 says.

A Secure DICOM File is a CMS ContentInfo with EnvelopedData (RFC 5652). The encrypted content is
SignedData or DigestedData, and the content of that is the DICOM File.
"""

from burnish.secure_files.keyring import Keyring, read_keyring
from burnish.secure_files.protection import Protection
from burnish.secure_files.sealer import Sealer
from burnish.secure_files.secure_volume import ContentKeys, open_secure

__all__ = ["ContentKeys", "Keyring", "Protection", "Sealer", "open_secure", "read_keyring"]
