"""Craft: reads SignedData or DigestedData around a DICOM File, and verifies it (RFC 5652 5, 7)."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from burnish.errors import Unreadable
from burnish.secure_files import algorithms
from burnish.secure_files.algorithms import SIGNATURES, read_digest
from burnish.secure_files.der import OCTET_STRING, SEQUENCE, SET, DerReader
from burnish.secure_files.protection import issuer_and_serial_number

#: The DICOM File starts within this many bytes of the decrypted content.
LONGEST_START = 1 << 10

_EXPLICIT = _IMPLICIT = 0xA0
_REVOCATIONS = 0xA1


@dataclass(frozen=True, slots=True)
class EncapsulatedContent:
    """Where the DICOM File is in the decrypted content: `size` bytes from `start` on.

    `end` is the end of the SignedData or DigestedData around it.
    """

    signed: bool
    digest: hashes.HashAlgorithm
    start: int
    size: int
    end: int


def read_content_head(head: bytes, *, signed: bool) -> EncapsulatedContent:
    """Reads the beginning of decrypted content; raises Unreadable if the key was a wrong one."""
    reader = DerReader(head)
    outer = reader.enter(SEQUENCE)
    reader.integer()
    algorithm = reader.inside(SET).inside(SEQUENCE) if signed else reader.inside(SEQUENCE)
    digest = read_digest(algorithm)
    encapsulated = reader.enter(SEQUENCE)
    if reader.oid() != algorithms.DATA:
        raise Unreadable("the content of the SignedData or DigestedData is not of type data")
    reader.enter(_EXPLICIT)
    octets = reader.enter(OCTET_STRING)
    if octets.end != encapsulated.end or encapsulated.end > outer.end:
        raise Unreadable("the content of the SignedData or DigestedData has a wrong length")
    size = octets.end - octets.contents
    return EncapsulatedContent(signed, digest, octets.contents, size, outer.end)


def verify_content(content: EncapsulatedContent, tail: bytes, digest: bytes) -> None:
    """Verifies the digest or the signatures in `tail`, which follows the DICOM File.

    Raises Unreadable unless they match `digest`, the digest of the DICOM File. Whether a signer's
    certificate is trustworthy is not examined.
    """
    fields = DerReader(tail)
    if not content.signed:
        if fields.contents(OCTET_STRING) != digest:
            raise _wrong_digest()
        return
    certificates: list[x509.Certificate] = []
    if fields.next_tag() == _IMPLICIT:
        certificates = _certificates(fields.inside(_IMPLICIT))
    if fields.next_tag() == _REVOCATIONS:
        fields.value(_REVOCATIONS)
    signer_infos = fields.inside(SET)
    if not signer_infos:
        raise Unreadable("the SignedData has no signature")
    while signer_infos:
        _verify_signature(signer_infos.inside(SEQUENCE), content.digest, digest, certificates)


def _wrong_digest() -> Unreadable:
    return Unreadable("the digest does not match the content, which was changed or is damaged")


def _certificates(fields: DerReader) -> list[x509.Certificate]:
    certificates = []
    while fields:
        tag = fields.next_tag()
        encoded = fields.encoded(tag)
        if tag == SEQUENCE:
            try:
                certificates.append(x509.load_der_x509_certificate(encoded))
            except ValueError:
                raise Unreadable("a certificate in the SignedData cannot be read") from None
    return certificates


def _verify_signature(
    info: DerReader,
    algorithm: hashes.HashAlgorithm,
    digest: bytes,
    certificates: list[x509.Certificate],
) -> None:
    """Verifies one SignerInfo (RFC 5652 5.3)."""
    info.integer()
    signer_name = info.encoded(SEQUENCE)
    if read_digest(info.inside(SEQUENCE)).name != algorithm.name:
        raise Unreadable("a signature does not use the digest of its SignedData")
    signed_bytes = digest
    signed_algorithm: Prehashed | hashes.HashAlgorithm = Prehashed(algorithm)
    if info.next_tag() == _IMPLICIT:
        attributes = info.encoded(_IMPLICIT)
        _verify_attributes(DerReader(attributes).inside(_IMPLICIT), digest)
        # Attributes are written as [0] but signed as a SET (RFC 5652 5.4).
        signed_bytes = bytes((SET,)) + attributes[1:]
        signed_algorithm = algorithm
    signature_algorithm = info.inside(SEQUENCE).oid()
    signature = info.contents(OCTET_STRING)
    if signature_algorithm not in SIGNATURES:
        raise Unreadable("a signature is not made with RSA")
    key = _public_key(signer_name, certificates)
    if key is None:
        raise Unreadable("the SignedData has no usable certificate for a signature")
    try:
        key.verify(signature, signed_bytes, padding.PKCS1v15(), signed_algorithm)
    except (InvalidSignature, ValueError):
        raise Unreadable(
            "a signature does not match the content, which was changed or is damaged"
        ) from None


def _public_key(signer_name: bytes, certificates: list[x509.Certificate]) -> RSAPublicKey | None:
    """The RSA key of the certificate with a certain issuer and serial number, if there is one."""
    for certificate in certificates:
        if issuer_and_serial_number(certificate) == signer_name:
            try:
                key = certificate.public_key()
            except (ValueError, UnsupportedAlgorithm):
                return None
            return key if isinstance(key, RSAPublicKey) else None
    return None


def _verify_attributes(attributes: DerReader, digest: bytes) -> None:
    """The signed attributes must have a message digest that matches (RFC 5652 11.2)."""
    while attributes:
        attribute = attributes.inside(SEQUENCE)
        if attribute.oid() == algorithms.MESSAGE_DIGEST:
            if attribute.inside(SET).contents(OCTET_STRING) == digest:
                return
            break
    raise _wrong_digest()
