"""Craft: the algorithms and object identifiers of PS3.15 D.1 (RFC 5652, 3370, 3565, 3211, 5754)."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from burnish.errors import Unreadable
from burnish.secure_files import der
from burnish.secure_files.der import NULL, SEQUENCE, DerReader

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
DIGESTED_DATA = "1.2.840.113549.1.7.5"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
PBKDF2 = "1.2.840.113549.1.5.12"
PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
HMAC_SHA1 = "1.2.840.113549.2.7"
HMAC_SHA256 = "1.2.840.113549.2.9"

#: Names by which PBKDF2 knows its functions.
PRFS = {
    HMAC_SHA1: "sha1",
    HMAC_SHA256: "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}

#: The digest that Burnish makes; of those of PS3.15 D.1 it reads all.
DIGEST = "2.16.840.1.101.3.4.2.1"
DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1,
    DIGEST: hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}
#: RSA with PKCS #1 v1.5, named by itself or together with the digest (RFC 5754 3.2).
SIGNATURES = {
    RSA_ENCRYPTION,
    "1.2.840.113549.1.1.5",
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
}


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A block cipher in CBC mode; sizes in bytes."""

    name: str
    oid: str
    key_size: int
    block_size: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]

    def cbc(self, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
        return Cipher(self.algorithm(key), modes.CBC(iv))

    def identifier(self, iv: bytes) -> bytes:
        """Its AlgorithmIdentifier, whose parameter is the initialisation vector."""
        return algorithm(self.oid, der.octets(iv))


CIPHERS = {
    cipher.oid: cipher
    for cipher in (
        ContentCipher("AES-128", "2.16.840.1.101.3.4.1.2", 16, 16, AES),
        ContentCipher("AES-192", "2.16.840.1.101.3.4.1.22", 24, 16, AES),
        ContentCipher("AES-256", "2.16.840.1.101.3.4.1.42", 32, 16, AES),
        ContentCipher("DES-EDE3", "1.2.840.113549.3.7", 24, 8, TripleDES),
    )
}
#: Those that Burnish writes with.
AES_BY_NAME = {cipher.name: cipher for cipher in CIPHERS.values() if cipher.block_size == 16}


def algorithm(oid: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier."""
    return der.encode(SEQUENCE, der.oid(oid), *parameters)


def with_null(oid: str) -> bytes:
    """An AlgorithmIdentifier whose parameters must be NULL (RFC 3370 4.2.1)."""
    return algorithm(oid, der.encode(NULL))


def read_cipher(identifier: DerReader) -> tuple[ContentCipher, bytes]:
    """The cipher of an AlgorithmIdentifier and its initialisation vector."""
    oid = identifier.oid()
    cipher = CIPHERS.get(oid)
    if cipher is None:
        raise Unreadable(f"its cipher {oid} is none of PS3.15 D.1")
    iv = identifier.contents(der.OCTET_STRING)
    if len(iv) != cipher.block_size:
        raise Unreadable("its initialisation vector is not as long as a block")
    return cipher, iv


def read_digest(identifier: DerReader) -> hashes.HashAlgorithm:
    """The digest of an AlgorithmIdentifier."""
    oid = identifier.oid()
    if oid not in DIGESTS:
        raise Unreadable(f"its digest {oid} is none of PS3.15 D.1")
    return DIGESTS[oid]()
