"""Craft: makes Secure DICOM Files (PS3.15 D.1.1), as they are read, of a size known beforehand.

Each is a ContentInfo with EnvelopedData; what is encrypted is the DER of SignedData or
DigestedData, whose content is the DICOM File. Every length is definite, so that nothing need be
held in memory but what passes through.
"""

import secrets
from collections.abc import Iterable, Iterator
from hashlib import pbkdf2_hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from burnish.errors import Conflict
from burnish.secure_files import algorithms, der
from burnish.secure_files.algorithms import AES_BY_NAME, DIGEST, algorithm
from burnish.secure_files.der import OCTET_STRING, SEQUENCE, SET
from burnish.secure_files.protection import CertificateHolder, Protection, Signer

_DIGEST_LENGTH = 32
_SALT_LENGTH = 16
_DATA_LENGTH = len(der.oid(algorithms.DATA))
_ENVELOPED_LENGTH = len(der.oid(algorithms.ENVELOPED_DATA))
#: Context-specific tags: [0] constructed, [0] primitive, and PasswordRecipientInfo.
_EXPLICIT = _IMPLICIT = 0xA0
_ENCRYPTED_CONTENT = 0x80
_PASSWORD_RECIPIENT = 0xA3


class Sealer:
    """Seals the DICOM Files of one File-set, each with a key of its own.

    The key that PBKDF2 makes of the password is made once, since that takes long on purpose.
    """

    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._signer = protection.signer
        self._cipher = AES_BY_NAME[protection.cipher]
        self._salt = secrets.token_bytes(_SALT_LENGTH)
        self._key_encryption_key = b""
        self._blank_infos = self._recipient_infos(b"")
        self._end_length = len(self._content_end(bytes(_DIGEST_LENGTH), blank=True))

        self._first_length = len(self._content_first())
        self._kind_length = len(self._content_kind(bytes(self._cipher.block_size)))

    def new_key(self) -> bytes:
        """A key for the content of one file."""
        return secrets.token_bytes(self._cipher.key_size)

    def size(self, plain_size: int) -> int:
        """Bytes of the Secure DICOM File of a DICOM File of `plain_size` bytes.

        What `_content_start` and `_start` make is only added up here: planning asks often.
        """
        wrapped = der.wrapped
        encapsulated = _DATA_LENGTH + wrapped(wrapped(plain_size))
        content = wrapped(self._first_length + wrapped(encapsulated) + self._end_length)
        encrypted = content + self._padding(content)
        info = self._kind_length + wrapped(encrypted)
        enveloped = wrapped(3 + len(self._blank_infos) + wrapped(info))
        return wrapped(_ENVELOPED_LENGTH + wrapped(enveloped))

    def seal(self, key: bytes, plain_size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The Secure DICOM File of the DICOM File in `chunks`; it has `size(plain_size)` bytes.

        Raises Conflict where `chunks` do not have `plain_size` bytes.
        """
        start = self._content_start(plain_size)
        content = len(start) + plain_size + self._end_length
        pad = self._padding(content)
        iv = secrets.token_bytes(self._cipher.block_size)
        yield self._start(self._recipient_infos(key), content + pad, iv)
        encryptor = self._cipher.cbc(key, iv).encryptor()
        digest, left = hashes.Hash(hashes.SHA256()), plain_size
        yield encryptor.update(start)
        for chunk in chunks:
            left -= len(chunk)
            digest.update(chunk)
            yield encryptor.update(chunk)
        if left:
            raise Conflict(f"a file has {plain_size - left} bytes where {plain_size} were expected")
        end = self._content_end(digest.finalize()) + bytes((pad,)) * pad
        yield encryptor.update(end) + encryptor.finalize()

    def _padding(self, content: int) -> int:
        """Bytes that fill the last block, one at least (RFC 5652 6.3)."""
        return self._cipher.block_size - content % self._cipher.block_size

    def _start(self, infos: bytes, encrypted: int, iv: bytes) -> bytes:
        """ContentInfo with EnvelopedData up to the encrypted content (RFC 5652 3, 6.1)."""
        made = self._content_kind(iv) + der.header(_ENCRYPTED_CONTENT, encrypted)
        made = der.header(SEQUENCE, len(made) + encrypted) + made
        made = der.integer(3 if self._protection.password else 0) + infos + made
        made = der.header(SEQUENCE, len(made) + encrypted) + made
        made = der.header(_EXPLICIT, len(made) + encrypted) + made
        made = der.oid(algorithms.ENVELOPED_DATA) + made
        return der.header(SEQUENCE, len(made) + encrypted) + made

    def _content_kind(self, iv: bytes) -> bytes:
        """What is encrypted, and how (RFC 5652 6.1)."""
        inner = algorithms.SIGNED_DATA if self._signer else algorithms.DIGESTED_DATA
        return der.oid(inner) + self._cipher.identifier(iv)

    def _content_first(self) -> bytes:
        """Version and digest algorithm of SignedData or DigestedData."""
        digest = algorithm(DIGEST)
        if self._signer:
            return der.integer(1) + der.encode(SET, digest)
        return der.integer(0) + digest

    def _content_start(self, plain_size: int) -> bytes:
        """SignedData or DigestedData up to the DICOM File (RFC 5652 5.1, 7)."""
        made = der.header(OCTET_STRING, plain_size)
        made = der.header(_EXPLICIT, len(made) + plain_size) + made
        made = der.oid(algorithms.DATA) + made
        made = der.header(SEQUENCE, len(made) + plain_size) + made
        made = self._content_first() + made
        return der.header(SEQUENCE, len(made) + plain_size + self._end_length) + made

    def _content_end(self, digest: bytes, *, blank: bool = False) -> bytes:
        """What of them comes after the DICOM File; `blank`: only as long."""
        if self._signer is None:
            return der.octets(digest)
        certificate = self._signer.holder.certificate.public_bytes(Encoding.DER)
        info = _signer_info(self._signer, digest, blank=blank)
        return der.encode(_IMPLICIT, certificate) + der.encode(SET, info)

    def _recipient_infos(self, key: bytes) -> bytes:
        """RecipientInfos with the wrapped content key; without `key`, only as long."""
        infos = [_key_transport(holder, key) for holder in self._protection.recipients]
        if self._protection.password:
            infos.append(self._password_recipient(key))
        return der.set_of(SET, infos)

    def _password_recipient(self, key: bytes) -> bytes:
        """PasswordRecipientInfo (RFC 5652 6.2.4, RFC 8018 A.2, RFC 3211 2.3)."""
        derivation = der.encode(
            SEQUENCE,
            der.octets(self._salt),
            der.integer(self._protection.password_iterations),
            der.integer(self._cipher.key_size),
            algorithms.with_null(algorithms.HMAC_SHA256),
        )
        iv = secrets.token_bytes(self._cipher.block_size)
        return der.encode(
            _PASSWORD_RECIPIENT,
            der.integer(0),
            der.encode(_IMPLICIT, der.oid(algorithms.PBKDF2), derivation),
            algorithm(algorithms.PWRI_KEK, self._cipher.identifier(iv)),
            der.octets(self._wrap(key, iv)),
        )

    def _wrap(self, key: bytes, iv: bytes) -> bytes:
        """The content key with its length and a check, encrypted twice (RFC 3211 2.3.1)."""
        size, block = self._cipher.key_size, self._cipher.block_size
        fill = -(4 + size) % block
        if not key:
            return bytes(4 + size + fill)
        if not self._key_encryption_key:
            password, iterations = self._protection.password, self._protection.password_iterations
            self._key_encryption_key = pbkdf2_hmac("sha256", password, self._salt, iterations, size)
        check = bytes(octet ^ 0xFF for octet in key[:3])
        encryptor = self._cipher.cbc(self._key_encryption_key, iv).encryptor()
        once = encryptor.update(bytes((size,)) + check + key + secrets.token_bytes(fill))
        return encryptor.update(once)


def _key_transport(holder: CertificateHolder, key: bytes) -> bytes:
    """KeyTransRecipientInfo with RSA and PKCS #1 v1.5 (RFC 5652 6.2.1, RFC 3370 4.2.1)."""
    wrapped = bytes(holder.key_length)
    if key:
        wrapped = holder.public_key.encrypt(key, padding.PKCS1v15())
    return der.encode(
        SEQUENCE,
        der.integer(0),
        holder.issuer_and_serial_number,
        algorithms.with_null(algorithms.RSA_ENCRYPTION),
        der.octets(wrapped),
    )


def _signer_info(signer: Signer, digest: bytes, *, blank: bool) -> bytes:
    """SignerInfo that signs what content it is and its digest (RFC 5652 5.3, 11.1, 11.2)."""
    attributes = (
        (algorithms.CONTENT_TYPE, der.oid(algorithms.DATA)),
        (algorithms.MESSAGE_DIGEST, der.octets(digest)),
    )
    made = [der.encode(SEQUENCE, der.oid(oid), der.encode(SET, v)) for oid, v in attributes]
    signature = bytes(signer.holder.key_length)
    if not blank:
        signed = der.set_of(SET, made)  # signed as a SET, written as [0] (RFC 5652 5.4)
        signature = signer.private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return der.encode(
        SEQUENCE,
        der.integer(1),
        signer.holder.issuer_and_serial_number,
        algorithm(DIGEST),
        der.set_of(_IMPLICIT, made),
        algorithms.with_null(algorithms.RSA_ENCRYPTION),
        der.octets(signature),
    )
