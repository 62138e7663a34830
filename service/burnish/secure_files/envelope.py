"""Craft: reads what a Secure DICOM File says of itself without its key (RFC 5652 6, PS3.15 D.1)."""

from collections.abc import Callable
from dataclasses import dataclass

from burnish.errors import Unreadable
from burnish.secure_files import algorithms, der
from burnish.secure_files.algorithms import ContentCipher, read_cipher
from burnish.secure_files.der import INTEGER, OCTET_STRING, SEQUENCE, SET, DerReader

#: Gives bytes of a file from an offset on, fewer where it ends.
Read = Callable[[int, int], bytes]

#: A head longer than this, of recipients and certificates, is taken for damage.
LONGEST_HEAD = 4 << 20

_FIRST = 1 << 12
_EXPLICIT = _IMPLICIT = 0xA0
_ENCRYPTED_CONTENT = _SUBJECT_KEY_IDENTIFIER = 0x80
_PASSWORD = 0xA3
_ENVELOPED = der.oid(algorithms.ENVELOPED_DATA)
_INNER = {algorithms.SIGNED_DATA, algorithms.DIGESTED_DATA}


@dataclass(frozen=True, slots=True)
class KeyTransport:
    """A recipient with an RSA key, and the content key encrypted for it."""

    identifier: bytes
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class PasswordRecipient:
    """Whoever knows the password, and the content key wrapped with what PBKDF2 makes of it."""

    salt: bytes
    iterations: int
    prf: str
    cipher: ContentCipher
    iv: bytes
    wrapped_key: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An EnvelopedData; its encrypted content begins at `start` and has `length` bytes."""

    recipients: tuple[KeyTransport | PasswordRecipient, ...]
    signed: bool
    cipher: ContentCipher
    iv: bytes
    start: int
    length: int


def is_enveloped(head: bytes) -> bool:
    """Whether a file that begins so is a CMS ContentInfo with EnvelopedData (RFC 5652 3)."""
    if head[:1] != b"\x30" or len(head) < 2:
        return False
    contents = 2 + (head[1] & 0x7F if head[1] > 0x80 else 0)
    return head[contents : contents + len(_ENVELOPED)] == _ENVELOPED


def parse(read: Read, size: int) -> Envelope:
    """The envelope of a file of `size` bytes.

    Raises Unreadable where it is not what PS3.15 D.1.1 says, whole and nothing more.
    """
    head = read(0, min(_FIRST, size))
    outer = der.read_header(head)
    if outer.tag != SEQUENCE or outer.end != size:
        raise Unreadable("its CMS ContentInfo is not as long as the file")
    at = outer.contents + len(_ENVELOPED)
    if head[outer.contents : at] != _ENVELOPED:
        raise Unreadable("it is no EnvelopedData")
    explicit = der.read_header(head, at)
    enveloped = der.read_header(head, explicit.contents)
    if (explicit.tag, enveloped.tag) != (_EXPLICIT, SEQUENCE) or explicit.end != size:
        raise Unreadable("its EnvelopedData is not as long as the file")
    version = der.read_header(head, enveloped.contents)
    infos = der.read_header(head, version.end)
    if infos.tag == _IMPLICIT:  # OriginatorInfo
        head = _more(read, head, infos.end + der.LONGEST_HEADER, size)
        infos = der.read_header(head, infos.end)
    if (version.tag, infos.tag) != (INTEGER, SET):
        raise Unreadable("its EnvelopedData does not begin as it should")
    # what follows the recipients and precedes the content takes less than _FIRST bytes
    head = _more(read, head, infos.end + _FIRST, size)
    recipients = tuple(_recipients(DerReader(head, infos.contents, infos.end)))
    return _content(head, infos.end, size, recipients)


def _more(read: Read, head: bytes, end: int, size: int) -> bytes:
    if end > LONGEST_HEAD:
        raise Unreadable("its recipients take more room than there can be")
    return head if min(end, size) <= len(head) else read(0, min(end, size))


def _content(
    head: bytes, at: int, size: int, recipients: tuple[KeyTransport | PasswordRecipient, ...]
) -> Envelope:
    """EncryptedContentInfo (RFC 5652 6.1), which must be the last there is."""
    info = der.read_header(head, at)
    fields = DerReader(head, info.contents, min(info.end, len(head)))
    inner = fields.oid()
    if inner not in _INNER:
        raise Unreadable(f"what it encrypts is neither SignedData nor DigestedData, but {inner}")
    cipher, iv = read_cipher(fields.inside(SEQUENCE))
    content = der.read_header(head, fields.at)
    if content.tag != _ENCRYPTED_CONTENT:
        raise Unreadable("its encrypted content is not one string")
    length = content.end - content.contents
    if content.end != info.end or content.end > size or not length:
        raise Unreadable("its encrypted content is not as long as it says")
    if length % cipher.block_size:
        raise Unreadable("its encrypted content does not end with a block")
    return Envelope(
        recipients, inner == algorithms.SIGNED_DATA, cipher, iv, content.contents, length
    )


def _recipients(infos: DerReader) -> list[KeyTransport | PasswordRecipient]:
    """RecipientInfos, of those kinds that PS3.15 D.1.1 has."""
    found: list[KeyTransport | PasswordRecipient] = []
    while infos:
        tag = infos.peek()
        info = infos.inside(tag)
        if tag == SEQUENCE:
            found.append(_key_transport(info))
        elif tag == _PASSWORD:
            found.append(_password_recipient(info))
        else:
            raise Unreadable("a recipient is neither for an RSA key nor for a password")
    if not found:
        raise Unreadable("it has no recipient")
    return found


def _key_transport(info: DerReader) -> KeyTransport:
    info.integer()
    tag = info.peek()
    if tag not in (SEQUENCE, _SUBJECT_KEY_IDENTIFIER):
        raise Unreadable("a recipient is not named as it should be")
    identifier = info.whole(tag)
    oid = info.inside(SEQUENCE).oid()
    if oid != algorithms.RSA_ENCRYPTION:
        raise Unreadable(f"the key transport {oid} of a recipient is not RSA with PKCS #1 v1.5")
    return KeyTransport(identifier, info.contents(OCTET_STRING))


def _password_recipient(info: DerReader) -> PasswordRecipient:
    info.integer()
    derivation = info.inside(_IMPLICIT)
    if derivation.oid() != algorithms.PBKDF2:
        raise Unreadable("its password is not used by PBKDF2")
    parameters = derivation.inside(SEQUENCE)
    salt, iterations = parameters.contents(OCTET_STRING), parameters.integer()
    if parameters.peek() == INTEGER:
        parameters.integer()
    prf = parameters.inside(SEQUENCE).oid() if parameters else algorithms.HMAC_SHA1
    if prf not in algorithms.PRFS or not 1 <= iterations <= 1 << 31:
        raise Unreadable("its password is not used by PBKDF2 in a way that is known")
    wrap = info.inside(SEQUENCE)
    if wrap.oid() != algorithms.PWRI_KEK:
        raise Unreadable("its key wrap is not that of RFC 3211")
    cipher, iv = read_cipher(wrap.inside(SEQUENCE))
    wrapped = info.contents(OCTET_STRING)
    return PasswordRecipient(salt, iterations, algorithms.PRFS[prf], cipher, iv, wrapped)
