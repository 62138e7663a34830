"""Surface: A-ASSOCIATE-RQ and A-ASSOCIATE-AC as bytes (PS3.8 9.3.2, 9.3.3, PS3.7 D.3).

An SCU may propose 128 contexts. An object and a validated UID for each of their items would cost
the acceptor a hundred times what it takes to read them.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from burnish.errors import Malformed

_APPLICATION_CONTEXT, _PROPOSED, _RESULT, _ABSTRACT, _TRANSFER = 0x10, 0x20, 0x21, 0x30, 0x40
_USER_INFORMATION = 0x50
#: Item types of the user information (PS3.7 D.3.3, PS3.8 D.1).
MAXIMUM_LENGTH, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION = 0x51, 0x52, 0x55
ROLE_SELECTION, EXTENDED, COMMON_EXTENDED = 0x54, 0x56, 0x57
USER_IDENTITY, USER_IDENTITY_RESPONSE = 0x58, 0x59
_FIXED = 68


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposed presentation context."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """What an A-ASSOCIATE-RQ says; `user_items` are its user information by item type."""

    called_ae_title: str
    calling_ae_title: str
    application_context_name: str
    contexts: tuple[Proposed, ...]
    user_items: tuple[tuple[int, bytes], ...]


def decode_rq(body: bytes) -> AssociateRequest:
    """Reads all behind the PDU's header; raises Malformed."""
    if len(body) < _FIXED:
        raise Malformed("A-ASSOCIATE-RQ ends before its end")
    name = ""
    contexts: list[Proposed] = []
    user_items: list[tuple[int, bytes]] = []
    for kind, value in _items(body[_FIXED:]):
        if kind == _APPLICATION_CONTEXT:
            name = uid(value)
        elif kind == _PROPOSED:
            contexts.append(_proposed(value))
        elif kind == _USER_INFORMATION:
            user_items += _items(value)
    if not contexts:
        raise Malformed("A-ASSOCIATE-RQ without presentation contexts")
    called, calling = _ae_title(body[4:20]), _ae_title(body[20:36])
    return AssociateRequest(called, calling, name, tuple(contexts), tuple(user_items))


def _proposed(value: bytes) -> Proposed:
    if len(value) < 4:
        raise Malformed("a presentation context is too short")
    abstract, syntaxes = "", []
    for kind, name in _items(value[4:]):
        if kind == _ABSTRACT:
            abstract = uid(name)
        elif kind == _TRANSFER:
            syntaxes.append(uid(name))
    return Proposed(value[0], abstract, tuple(syntaxes))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each item; raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        if end - at < 4:
            raise Malformed("an item ends before its end")
        behind = at + 4 + (data[at + 2] << 8 | data[at + 3])
        if behind > end:
            raise Malformed("an item is longer than what holds it")
        yield data[at], data[at + 4 : behind]
        at = behind


def counted(value: bytes, at: int) -> tuple[bytes, int]:
    """A field with its length in two bytes before it, and the offset behind; raises Malformed."""
    behind = at + 2 + int.from_bytes(value[at : at + 2], "big")
    if behind > len(value) or behind < at + 2:
        raise Malformed("a field is longer than its item")
    return value[at + 2 : behind], behind


def uid(value: bytes) -> str:
    """A UID, which some devices pad; raises Malformed."""
    try:
        return value.rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("a UID is not in ASCII") from None


def _ae_title(field: bytes) -> str:
    """Some devices pad AE titles with NUL where PS3.8 9.3.2 has spaces."""
    return field.replace(b"\0", b" ").decode("ascii", "replace").strip(" ")


def encode_ac(
    request_body: bytes,
    application_context_name: str,
    results: Iterable[tuple[int, int, str]],
    user_items: Iterable[tuple[int, bytes]],
) -> bytes:
    """`results` are context id, result and transfer syntax; the AE titles are as asked."""
    parts = [_item(_APPLICATION_CONTEXT, application_context_name.encode())]
    for context_id, result, syntax in results:
        inner = _item(_TRANSFER, syntax.encode())
        parts.append(_item(_RESULT, bytes((context_id, 0, result, 0)) + inner))
    parts.append(_item(_USER_INFORMATION, b"".join(_item(*item) for item in user_items)))
    titles = request_body[4:36].replace(b"\0", b" ")
    body = struct.pack(">HH32s32x", 1, 0, titles) + b"".join(parts)
    return struct.pack(">BBI", 2, 0, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value
