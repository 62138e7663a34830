"""Craft: reads the envelope of a Secure DICOM File, without its key (RFC 5652 6, PS3.15 D.1)."""

from collections.abc import Callable
from dataclasses import dataclass

from burnish.errors import Unreadable
from burnish.secure_files import algorithms, der
from burnish.secure_files.algorithms import ContentCipher, read_cipher
from burnish.secure_files.der import INTEGER, OCTET_STRING, SEQUENCE, SET, DerReader, Truncated

#: Returns `length` bytes of a file from `offset` on, fewer at its end.
Read = Callable[[int, int], bytes]

#: Bytes read of a file: first what suffices for a few recipients, then for very many. If that does
#: not suffice either, the file counts as damaged.
_HEAD_SIZES = (1 << 12, 4 << 20)
_EXPLICIT = _IMPLICIT = 0xA0
_ENCRYPTED_CONTENT = _SUBJECT_KEY_IDENTIFIER = 0x80
_PASSWORD_RECIPIENT = 0xA3
_MAXIMUM_ITERATIONS = 1 << 31
_ENVELOPED_DATA = der.oid(algorithms.ENVELOPED_DATA)


@dataclass(frozen=True, slots=True)
class KeyTransport:
    """A recipient with an RSA key; `identifier` names the certificate, as CMS encodes it."""

    identifier: bytes
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class PasswordRecipient:
    """The content key, wrapped with a key that PBKDF2 derives from the password."""

    salt: bytes
    iterations: int
    digest_name: str
    cipher: ContentCipher
    iv: bytes
    wrapped_key: bytes


Recipient = KeyTransport | PasswordRecipient


@dataclass(frozen=True, slots=True)
class Envelope:
    """An EnvelopedData; its encrypted content is `length` bytes of the file from `start` on."""

    recipients: tuple[Recipient, ...]
    signed: bool
    cipher: ContentCipher
    iv: bytes
    start: int
    length: int


def is_enveloped(head: bytes) -> bool:
    """Whether a file that begins with `head` is a ContentInfo with EnvelopedData (RFC 5652 3)."""
    if head[:1] != b"\x30" or len(head) < 2:
        return False
    contents = 2 + (head[1] & 0x7F if head[1] > 0x80 else 0)
    return head[contents : contents + len(_ENVELOPED_DATA)] == _ENVELOPED_DATA


def read_envelope(read: Read, size: int) -> Envelope:
    """The envelope of a file of `size` bytes.

    Raises Unreadable unless the file is exactly one EnvelopedData as PS3.15 D.1.1 describes it.
    """
    for head_size in _HEAD_SIZES:
        head = read(0, min(head_size, size))
        try:
            return _content_info(DerReader(head), size)
        except Truncated:
            if len(head) == size:
                raise
    raise Unreadable("the list of recipients is too long")


def _content_info(head: DerReader, size: int) -> Envelope:
    if head.enter(SEQUENCE).end != size:
        raise Unreadable("the CMS ContentInfo is not as long as the file")
    if head.oid() != algorithms.ENVELOPED_DATA:
        raise Unreadable("the file is not an EnvelopedData")
    if head.enter(_EXPLICIT).end != size:
        raise Unreadable("the EnvelopedData is not as long as the file")
    head.enter(SEQUENCE)
    head.integer()
    if head.next_tag() == _IMPLICIT:
        head.value(_IMPLICIT)  # OriginatorInfo
    recipients = _recipients(head.inside(SET))
    return _encrypted_content_info(head, size, recipients)


def _encrypted_content_info(
    head: DerReader, size: int, recipients: tuple[Recipient, ...]
) -> Envelope:
    """EncryptedContentInfo (RFC 5652 6.1), of which the encrypted content is the last field."""
    info = head.enter(SEQUENCE)
    content_type = head.oid()
    if content_type not in (algorithms.SIGNED_DATA, algorithms.DIGESTED_DATA):
        raise Unreadable(
            f"the encrypted content is neither SignedData nor DigestedData, but {content_type}"
        )
    cipher, iv = read_cipher(head.inside(SEQUENCE))
    content = head.enter(_ENCRYPTED_CONTENT)
    length = content.end - content.contents
    if content.end != info.end or content.end > size or not length:
        raise Unreadable("the encrypted content has a wrong length")
    if length % cipher.block_size:
        raise Unreadable("the encrypted content does not end with a block of the cipher")
    signed = content_type == algorithms.SIGNED_DATA
    return Envelope(recipients, signed, cipher, iv, content.contents, length)


def _recipients(infos: DerReader) -> tuple[Recipient, ...]:
    """RecipientInfos, which must be of the kinds that PS3.15 D.1.1 permits."""
    recipients: list[Recipient] = []
    while infos:
        tag = infos.next_tag()
        if tag == SEQUENCE:
            recipients.append(_key_transport(infos.inside(tag)))
        elif tag == _PASSWORD_RECIPIENT:
            recipients.append(_password_recipient(infos.inside(tag)))
        else:
            raise Unreadable("a recipient has neither an RSA key nor a password")
    if not recipients:
        raise Unreadable("the file has no recipient")
    return tuple(recipients)


def _key_transport(info: DerReader) -> KeyTransport:
    """KeyTransRecipientInfo (RFC 5652 6.2.1)."""
    info.integer()
    tag = info.next_tag()
    if tag not in (SEQUENCE, _SUBJECT_KEY_IDENTIFIER):
        raise Unreadable("a recipient is named neither by issuer nor by subject key")
    identifier = info.encoded(tag)
    oid = info.inside(SEQUENCE).oid()
    if oid != algorithms.RSA_ENCRYPTION:
        raise Unreadable(f"the key transport {oid} of a recipient is not RSA with PKCS #1 v1.5")
    return KeyTransport(identifier, info.contents(OCTET_STRING))


def _password_recipient(info: DerReader) -> PasswordRecipient:
    """PasswordRecipientInfo (RFC 5652 6.2.4, RFC 8018 A.2, RFC 3211 2.3)."""
    info.integer()
    derivation = info.inside(_IMPLICIT)
    if derivation.oid() != algorithms.PBKDF2:
        raise Unreadable("the key of the password is not derived with PBKDF2")
    parameters = derivation.inside(SEQUENCE)
    salt = parameters.contents(OCTET_STRING)
    iterations = parameters.integer()
    if parameters.next_tag() == INTEGER:
        parameters.integer()  # keyLength
    function = parameters.inside(SEQUENCE).oid() if parameters else algorithms.HMAC_SHA1
    if function not in algorithms.PSEUDORANDOM_FUNCTIONS:
        raise Unreadable(f"the pseudorandom function {function} of PBKDF2 is not supported")
    if not 1 <= iterations <= _MAXIMUM_ITERATIONS:
        raise Unreadable(f"PBKDF2 cannot have {iterations} iterations")
    wrap = info.inside(SEQUENCE)
    if wrap.oid() != algorithms.PWRI_KEK:
        raise Unreadable("the content key is not wrapped as RFC 3211 describes")
    cipher, iv = read_cipher(wrap.inside(SEQUENCE))
    wrapped_key = info.contents(OCTET_STRING)
    digest_name = algorithms.PSEUDORANDOM_FUNCTIONS[function]
    return PasswordRecipient(salt, iterations, digest_name, cipher, iv, wrapped_key)
