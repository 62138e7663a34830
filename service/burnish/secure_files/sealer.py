"""Craft: writes Secure DICOM Files (PS3.15 D.1.1) of a size that is known in advance.

All lengths are definite, so the file is written while the DICOM File is read, and memory holds only
what passes through.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from hashlib import pbkdf2_hmac
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from burnish.errors import Conflict
from burnish.secure_files import algorithms, der
from burnish.secure_files.algorithms import (
    AES_BY_NAME,
    SHA256,
    algorithm_identifier,
    algorithm_identifier_with_null,
)
from burnish.secure_files.der import OCTET_STRING, SEQUENCE, SET
from burnish.secure_files.protection import CertificateHolder, Protection, Signer

_DIGEST_LENGTH = 32
_SALT_LENGTH = 16
#: Context-specific tags: [0] constructed, [0] primitive, and [3] of PasswordRecipientInfo.
_EXPLICIT = _IMPLICIT = 0xA0
_ENCRYPTED_CONTENT = 0x80
_PASSWORD_RECIPIENT = 0xA3


class _Layer(NamedTuple):
    """A value around another one: its tag, and the rest of its contents.

    `before` are the bytes before the inner value, `after` is the number of bytes after it.
    """

    tag: int
    before: bytes = b""
    after: int = 0


def _layered_start(layers: Sequence[_Layer], length: int) -> bytes:
    """The bytes before the innermost contents, which have `length` bytes.

    The layers are listed from the inside out.
    """
    start = b""
    for layer in layers:
        start = layer.before + start
        length += layer.after
        start = der.header(layer.tag, len(start) + length) + start
    return start


def _layered_length(layers: Sequence[_Layer], length: int) -> int:
    """The length of the outermost value around `length` bytes of innermost contents."""
    for layer in layers:
        length = der.encoded_length(len(layer.before) + length + layer.after)
    return length


class Sealer:
    """Seals the DICOM Files of one File-set, each with a key of its own."""

    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._signer = protection.signer
        self._cipher = AES_BY_NAME[protection.cipher]
        self._salt = secrets.token_bytes(_SALT_LENGTH)
        # PBKDF2 is slow on purpose, so all files of the File-set share the key that it derives.
        self._key_encryption_key = b""
        self._content_layers = self._signed_or_digested_layers(
            len(self._content_end(bytes(_DIGEST_LENGTH), blank=True))
        )
        self._blank_envelope_layers = self._envelope_layers(
            self._recipient_infos(b""), bytes(self._cipher.block_size)
        )

    def new_key(self) -> bytes:
        """A key for the content of one file."""
        return secrets.token_bytes(self._cipher.key_size)

    def size(self, plain_size: int) -> int:
        """The size of the Secure DICOM File of a DICOM File of `plain_size` bytes."""
        content = _layered_length(self._content_layers, plain_size)
        return _layered_length(self._blank_envelope_layers, content + self._padding(content))

    def seal(self, key: bytes, plain_size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The Secure DICOM File of the DICOM File in `chunks`; it has `size(plain_size)` bytes.

        Raises Conflict if `chunks` do not have `plain_size` bytes.
        """
        content_length = _layered_length(self._content_layers, plain_size)
        pad = self._padding(content_length)
        iv = secrets.token_bytes(self._cipher.block_size)
        envelope_layers = self._envelope_layers(self._recipient_infos(key), iv)
        yield _layered_start(envelope_layers, content_length + pad)
        encryptor = self._cipher.cbc(key, iv).encryptor()
        yield encryptor.update(self._content_start(plain_size))
        digest = hashes.Hash(hashes.SHA256())
        actual_size = 0
        for chunk in chunks:
            actual_size += len(chunk)
            digest.update(chunk)
            yield encryptor.update(chunk)
        if actual_size != plain_size:
            raise Conflict(f"a file has {actual_size} bytes where {plain_size} were expected")
        end = self._content_end(digest.finalize()) + bytes((pad,)) * pad
        yield encryptor.update(end) + encryptor.finalize()

    def _padding(self, content_length: int) -> int:
        """The number of padding bytes, at least one (RFC 5652 6.3)."""
        return self._cipher.block_size - content_length % self._cipher.block_size

    def _envelope_layers(self, recipient_infos: bytes, iv: bytes) -> list[_Layer]:
        """ContentInfo with EnvelopedData around the encrypted content (RFC 5652 3, 6.1)."""
        version = der.integer(3 if self._protection.password else 0)
        content_type = algorithms.SIGNED_DATA if self._signer else algorithms.DIGESTED_DATA
        return [
            _Layer(_ENCRYPTED_CONTENT),
            _Layer(SEQUENCE, der.oid(content_type) + self._cipher.identifier(iv)),
            _Layer(SEQUENCE, version + recipient_infos),
            _Layer(_EXPLICIT),
            _Layer(SEQUENCE, der.oid(algorithms.ENVELOPED_DATA)),
        ]

    def _signed_or_digested_layers(self, end_length: int) -> list[_Layer]:
        """SignedData or DigestedData around the DICOM File (RFC 5652 5.1, 7)."""
        digest = algorithm_identifier(SHA256)
        if self._signer:
            version_and_digest = der.integer(1) + der.encode(SET, digest)
        else:
            version_and_digest = der.integer(0) + digest
        return [
            _Layer(OCTET_STRING),
            _Layer(_EXPLICIT),
            _Layer(SEQUENCE, der.oid(algorithms.DATA)),
            _Layer(SEQUENCE, version_and_digest, end_length),
        ]

    def _content_start(self, plain_size: int) -> bytes:
        """SignedData or DigestedData up to the DICOM File."""
        return _layered_start(self._content_layers, plain_size)

    def _content_end(self, digest: bytes, *, blank: bool = False) -> bytes:
        """SignedData or DigestedData after the DICOM File; `blank` gives only the right length."""
        if self._signer is None:
            return der.octets(digest)
        certificate = self._signer.holder.certificate.public_bytes(Encoding.DER)
        info = _signer_info(self._signer, digest, blank=blank)
        return der.encode(_IMPLICIT, certificate) + der.encode(SET, info)

    def _recipient_infos(self, key: bytes) -> bytes:
        """RecipientInfos with the wrapped content key; without a key, only the right length."""
        infos = [_key_transport(holder, key) for holder in self._protection.recipients]
        if self._protection.password:
            infos.append(self._password_recipient(key))
        return der.set_of(SET, infos)

    def _password_recipient(self, key: bytes) -> bytes:
        """PasswordRecipientInfo (RFC 5652 6.2.4, RFC 8018 A.2, RFC 3211 2.3)."""
        pbkdf2_parameters = der.encode(
            SEQUENCE,
            der.octets(self._salt),
            der.integer(self._protection.password_iterations),
            der.integer(self._cipher.key_size),
            algorithm_identifier_with_null(algorithms.HMAC_SHA256),
        )
        iv = secrets.token_bytes(self._cipher.block_size)
        return der.encode(
            _PASSWORD_RECIPIENT,
            der.integer(0),
            der.encode(_IMPLICIT, der.oid(algorithms.PBKDF2), pbkdf2_parameters),
            algorithm_identifier(algorithms.PWRI_KEK, self._cipher.identifier(iv)),
            der.octets(self._wrapped_key(key, iv)),
        )

    def _wrapped_key(self, key: bytes, iv: bytes) -> bytes:
        """The content key with its length and a check, encrypted twice (RFC 3211 2.3.1)."""
        key_size = self._cipher.key_size
        fill = -(4 + key_size) % self._cipher.block_size
        if not key:
            return bytes(4 + key_size + fill)
        if not self._key_encryption_key:
            self._key_encryption_key = pbkdf2_hmac(
                "sha256",
                self._protection.password,
                self._salt,
                self._protection.password_iterations,
                key_size,
            )
        check = bytes(octet ^ 0xFF for octet in key[:3])
        encryptor = self._cipher.cbc(self._key_encryption_key, iv).encryptor()
        wrapped_once = encryptor.update(
            bytes((key_size,)) + check + key + secrets.token_bytes(fill)
        )
        return encryptor.update(wrapped_once)


def _key_transport(holder: CertificateHolder, key: bytes) -> bytes:
    """KeyTransRecipientInfo with RSA and PKCS #1 v1.5 (RFC 5652 6.2.1, RFC 3370 4.2.1)."""
    encrypted_key = bytes(holder.key_length)
    if key:
        encrypted_key = holder.public_key.encrypt(key, padding.PKCS1v15())
    return der.encode(
        SEQUENCE,
        der.integer(0),
        holder.issuer_and_serial_number,
        algorithm_identifier_with_null(algorithms.RSA_ENCRYPTION),
        der.octets(encrypted_key),
    )


def _signer_info(signer: Signer, digest: bytes, *, blank: bool) -> bytes:
    """SignerInfo that signs the content type and the digest (RFC 5652 5.3, 11.1, 11.2)."""
    attributes = [
        _attribute(algorithms.CONTENT_TYPE, der.oid(algorithms.DATA)),
        _attribute(algorithms.MESSAGE_DIGEST, der.octets(digest)),
    ]
    signature = bytes(signer.holder.key_length)
    if not blank:
        # The attributes are signed as a SET but written as [0] (RFC 5652 5.4).
        signed_attributes = der.set_of(SET, attributes)
        signature = signer.private_key.sign(signed_attributes, padding.PKCS1v15(), hashes.SHA256())
    return der.encode(
        SEQUENCE,
        der.integer(1),
        signer.holder.issuer_and_serial_number,
        algorithm_identifier(SHA256),
        der.set_of(_IMPLICIT, attributes),
        algorithm_identifier_with_null(algorithms.RSA_ENCRYPTION),
        der.octets(signature),
    )


def _attribute(oid: str, value: bytes) -> bytes:
    return der.encode(SEQUENCE, der.oid(oid), der.encode(SET, value))
