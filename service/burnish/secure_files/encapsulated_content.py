"""Craft: reads SignedData and DigestedData around a DICOM File, and checks them (RFC 5652 5, 7)."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from burnish.errors import Unreadable
from burnish.secure_files import algorithms, der
from burnish.secure_files.algorithms import SIGNATURES, read_digest
from burnish.secure_files.der import OCTET_STRING, SEQUENCE, SET, DerReader
from burnish.secure_files.protection import issuer_and_serial_number

#: So much of the content at most comes before the DICOM File.
LONGEST_START = 1 << 10

_EXPLICIT = _IMPLICIT = 0xA0
_REVOCATIONS = 0xA1


@dataclass(frozen=True, slots=True)
class EncapsulatedContent:
    """Where the DICOM File lies in the decrypted content, and where that ends."""

    signed: bool
    digest: hashes.HashAlgorithm
    start: int
    size: int
    end: int


def parse(head: bytes, *, signed: bool) -> EncapsulatedContent:
    """The beginning of decrypted content; raises Unreadable where the key was not the right one."""
    outer = der.read_header(head)
    version = der.read_header(head, outer.contents)
    kinds = der.read_header(head, version.end)
    if (outer.tag, version.tag, kinds.tag) != (SEQUENCE, der.INTEGER, SET if signed else SEQUENCE):
        raise Unreadable("what it encrypts is not what it says")
    fields = DerReader(head, kinds.start, kinds.end)
    digest = read_digest(fields.inside(SET).inside(SEQUENCE) if signed else fields.inside(SEQUENCE))
    encapsulated = der.read_header(head, kinds.end)
    kind = der.read_header(head, encapsulated.contents)
    if head[kind.start : kind.end] != der.oid(algorithms.DATA):
        raise Unreadable("the content of its SignedData or DigestedData is not called data")
    explicit = der.read_header(head, kind.end)
    octets = der.read_header(head, explicit.contents)
    tags = (encapsulated.tag, explicit.tag, octets.tag)
    if tags != (SEQUENCE, _EXPLICIT, OCTET_STRING) or octets.end != encapsulated.end > outer.end:
        raise Unreadable("its SignedData or DigestedData is not as it should be")
    return EncapsulatedContent(
        signed, digest, octets.contents, octets.end - octets.contents, outer.end
    )


def check(content: EncapsulatedContent, end: bytes, digest: bytes) -> None:
    """Raises Unreadable unless `digest`, of the DICOM File, is as `end`, what follows it, says."""
    fields = DerReader(end)
    if not content.signed:
        if fields.contents(OCTET_STRING) != digest:
            raise Unreadable("its digest is not that of its content: it was changed or is damaged")
        return
    certificates = list(_certificates(fields)) if fields.peek() == _IMPLICIT else []
    if fields.peek() == _REVOCATIONS:
        fields.value(_REVOCATIONS)
    infos = fields.inside(SET)
    if not infos:
        raise Unreadable("nobody has signed its SignedData")
    while infos:
        _check_signature(infos.inside(SEQUENCE), content.digest, digest, certificates)


def _certificates(fields: DerReader) -> list[x509.Certificate]:
    found = []
    own = fields.inside(_IMPLICIT)
    while own:
        tag = own.peek()
        encoded = own.whole(tag)
        if tag == SEQUENCE:
            try:
                found.append(x509.load_der_x509_certificate(encoded))
            except ValueError:
                raise Unreadable("a certificate in its SignedData cannot be read") from None
    return found


def _check_signature(
    info: DerReader,
    algorithm: hashes.HashAlgorithm,
    digest: bytes,
    certificates: list[x509.Certificate],
) -> None:
    """One SignerInfo (RFC 5652 5.3). Whether its certificate is to be trusted is not asked."""
    info.integer()
    name = info.whole(SEQUENCE)
    if read_digest(info.inside(SEQUENCE)).name != algorithm.name:
        raise Unreadable("a signature has another digest than its SignedData names first")
    signed, hashed = digest, True
    if info.peek() == _IMPLICIT:
        attributes = info.whole(_IMPLICIT)
        _check_attributes(DerReader(attributes).inside(_IMPLICIT), digest)
        signed, hashed = bytes((SET,)) + attributes[1:], False
    kind = info.inside(SEQUENCE).oid()
    signature = info.contents(OCTET_STRING)
    key = _key_of(name, certificates)
    if kind not in SIGNATURES or key is None:
        raise Unreadable("a signature is not RSA, or its certificate is not there")
    try:
        how = Prehashed(algorithm) if hashed else algorithm
        key.verify(signature, signed, padding.PKCS1v15(), how)
    except (InvalidSignature, ValueError):
        raise Unreadable("a signature of it does not hold: it was changed or is damaged") from None


def _key_of(name: bytes, certificates: list[x509.Certificate]) -> RSAPublicKey | None:
    """The RSA key of the certificate with that issuer and serial number, if it is there."""
    for certificate in certificates:
        if issuer_and_serial_number(certificate) == name:
            try:
                key = certificate.public_key()
            except (ValueError, UnsupportedAlgorithm):
                return None
            return key if isinstance(key, RSAPublicKey) else None
    return None


def _check_attributes(attributes: DerReader, digest: bytes) -> None:
    while attributes:
        attribute = attributes.inside(SEQUENCE)
        if attribute.oid() == algorithms.MESSAGE_DIGEST:
            if attribute.inside(SET).contents(OCTET_STRING) != digest:
                break
            return
    raise Unreadable("its digest is not that of its content: it was changed or is damaged")
