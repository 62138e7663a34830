"""Craft: algorithms and object identifiers of PS3.15 D.1 (RFC 5652, 3370, 3565, 3211, 5754)."""

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

#: Pseudorandom functions of PBKDF2, with the names that hashlib uses for their digests.
PSEUDORANDOM_FUNCTIONS = {
    HMAC_SHA1: "sha1",
    HMAC_SHA256: "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}

#: The digest that Burnish writes. It reads all digests of PS3.15 D.1.
SHA256 = "2.16.840.1.101.3.4.2.1"
DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1,
    SHA256: hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}
#: RSA with PKCS #1 v1.5, alone or together with a digest (RFC 5754 3.2).
SIGNATURES = frozenset(
    {
        RSA_ENCRYPTION,
        "1.2.840.113549.1.1.5",
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
    }
)


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A block cipher in CBC mode; sizes are in bytes."""

    name: str
    oid: str
    key_size: int
    block_size: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]

    def cbc(self, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
        return Cipher(self.algorithm(key), modes.CBC(iv))

    def identifier(self, iv: bytes) -> bytes:
        """The AlgorithmIdentifier with the initialisation vector as its parameter."""
        return algorithm_identifier(self.oid, der.octets(iv))


_AES_128 = ContentCipher("AES-128", "2.16.840.1.101.3.4.1.2", 16, 16, AES)
_AES_192 = ContentCipher("AES-192", "2.16.840.1.101.3.4.1.22", 24, 16, AES)
_AES_256 = ContentCipher("AES-256", "2.16.840.1.101.3.4.1.42", 32, 16, AES)
_TRIPLE_DES = ContentCipher("DES-EDE3", "1.2.840.113549.3.7", 24, 8, TripleDES)
#: Ciphers that Burnish reads, by object identifier.
CIPHERS = {cipher.oid: cipher for cipher in (_AES_128, _AES_192, _AES_256, _TRIPLE_DES)}
#: Ciphers that Burnish writes, by name.
AES_BY_NAME = {cipher.name: cipher for cipher in (_AES_128, _AES_192, _AES_256)}


def algorithm_identifier(oid: str, *parameters: bytes) -> bytes:
    return der.encode(SEQUENCE, der.oid(oid), *parameters)


def algorithm_identifier_with_null(oid: str) -> bytes:
    """An AlgorithmIdentifier whose parameter has to be NULL (RFC 3370 4.2.1)."""
    return algorithm_identifier(oid, der.encode(NULL))


def read_cipher(identifier: DerReader) -> tuple[ContentCipher, bytes]:
    """The cipher of an AlgorithmIdentifier and its initialisation vector."""
    oid = identifier.oid()
    cipher = CIPHERS.get(oid)
    if cipher is None:
        raise Unreadable(f"PS3.15 D.1 does not permit the cipher {oid}")
    iv = identifier.contents(der.OCTET_STRING)
    if len(iv) != cipher.block_size:
        raise Unreadable("the initialisation vector is not as long as a block of the cipher")
    return cipher, iv


def read_digest(identifier: DerReader) -> hashes.HashAlgorithm:
    """The digest of an AlgorithmIdentifier."""
    oid = identifier.oid()
    if oid not in DIGESTS:
        raise Unreadable(f"PS3.15 D.1 does not permit the digest {oid}")
    return DIGESTS[oid]()
