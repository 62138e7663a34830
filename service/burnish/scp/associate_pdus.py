"""Surface: A-ASSOCIATE-RQ and A-ASSOCIATE-AC as bytes (PS3.8 9.3.2, 9.3.3, PS3.7 D.3).

An SCU may propose 128 contexts. With an object of pynetdicom and a validated UID for each of their
items, a request takes a hundred times as long.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from burnish.errors import Malformed

# Item types of the PDUs (PS3.8 9.3.2, 9.3.3).
_APPLICATION_CONTEXT = 0x10
_PROPOSED_CONTEXT = 0x20
_CONTEXT_RESULT = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
# Item types of the user information (PS3.7 D.3.3, PS3.8 D.1).
MAXIMUM_LENGTH = 0x51
IMPLEMENTATION_CLASS = 0x52
ROLE_SELECTION = 0x54
IMPLEMENTATION_VERSION = 0x55
EXTENDED = 0x56
COMMON_EXTENDED = 0x57
USER_IDENTITY = 0x58
USER_IDENTITY_RESPONSE = 0x59
#: Length of the fields before the variable items: version, AE titles and reserved bytes.
_FIXED_LENGTH = 68


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A proposed presentation context."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ; `user_items` are the type and value of each user information sub-item.

    `protocol_version` has a bit for each version of the protocol that the requestor supports.
    """

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    application_context_name: str
    contexts: tuple[ProposedContext, ...]
    user_items: tuple[tuple[int, bytes], ...]


def decode_associate_rq(body: bytes) -> AssociateRequest:
    """Reads a PDU without its header; raises Malformed."""
    if len(body) < _FIXED_LENGTH:
        raise Malformed("A-ASSOCIATE-RQ is truncated")
    application_context_name = ""
    contexts: list[ProposedContext] = []
    user_items: list[tuple[int, bytes]] = []
    for item_type, value in _items(body[_FIXED_LENGTH:]):
        if item_type == _APPLICATION_CONTEXT:
            application_context_name = decode_uid(value)
        elif item_type == _PROPOSED_CONTEXT:
            contexts.append(_proposed_context(value))
        elif item_type == _USER_INFORMATION:
            user_items += _items(value)
    if not contexts:
        raise Malformed("A-ASSOCIATE-RQ without presentation contexts")
    return AssociateRequest(
        protocol_version=int.from_bytes(body[:2], "big"),
        called_ae_title=_ae_title(body[4:20]),
        calling_ae_title=_ae_title(body[20:36]),
        application_context_name=application_context_name,
        contexts=tuple(contexts),
        user_items=tuple(user_items),
    )


def _proposed_context(value: bytes) -> ProposedContext:
    if len(value) < 4:
        raise Malformed("a presentation context is truncated")
    abstract_syntax = ""
    transfer_syntaxes = []
    for item_type, uid in _items(value[4:]):
        if item_type == _ABSTRACT_SYNTAX:
            abstract_syntax = decode_uid(uid)
        elif item_type == _TRANSFER_SYNTAX:
            transfer_syntaxes.append(decode_uid(uid))
    return ProposedContext(value[0], abstract_syntax, tuple(transfer_syntaxes))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each item; raises Malformed."""
    start = 0
    while start < len(data):
        if len(data) - start < 4:
            raise Malformed("an item is truncated")
        end = start + 4 + int.from_bytes(data[start + 2 : start + 4], "big")
        if end > len(data):
            raise Malformed("an item is longer than the item or PDU around it")
        yield data[start], data[start + 4 : end]
        start = end


def read_field(value: bytes, start: int) -> tuple[bytes, int]:
    """A field after its length in two bytes at `start`, and the offset of its end.

    Raises Malformed.
    """
    end = start + 2 + int.from_bytes(value[start : start + 2], "big")
    if end > len(value):
        raise Malformed("a field is longer than its item")
    return value[start + 2 : end], end


def decode_uid(value: bytes) -> str:
    """A UID without the padding that some devices add; raises Malformed."""
    try:
        return value.rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("a UID is not in ASCII") from None


def _ae_title(field: bytes) -> str:
    """Some devices pad AE titles with NUL where PS3.8 9.3.2 has spaces."""
    return field.replace(b"\0", b" ").decode("ascii", "replace").strip(" ")


def encode_associate_ac(
    request_body: bytes,
    application_context_name: str,
    results: Iterable[tuple[int, int, str]],
    user_items: Iterable[tuple[int, bytes]],
) -> bytes:
    """The A-ASSOCIATE-AC that answers a request, from which it takes the AE titles.

    `results` are the context id, result and transfer syntax of each proposed context.
    """
    items = [_item(_APPLICATION_CONTEXT, application_context_name.encode())]
    for context_id, result, transfer_syntax in results:
        transfer_syntax_item = _item(_TRANSFER_SYNTAX, transfer_syntax.encode())
        items.append(
            _item(_CONTEXT_RESULT, bytes((context_id, 0, result, 0)) + transfer_syntax_item)
        )
    user_information = b"".join(_item(item_type, value) for item_type, value in user_items)
    items.append(_item(_USER_INFORMATION, user_information))
    ae_titles = request_body[4:36].replace(b"\0", b" ")
    body = struct.pack(">HH32s32x", 1, 0, ae_titles) + b"".join(items)
    return struct.pack(">BBI", 2, 0, len(body)) + body


def _item(item_type: int, value: bytes) -> bytes:
    return struct.pack(">BBH", item_type, 0, len(value)) + value
