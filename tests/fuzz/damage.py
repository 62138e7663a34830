"""Ways to damage a conversation: each takes its PDUs and returns the bytes to send."""

import random
import struct
from collections.abc import Callable

Damage = Callable[[random.Random, list[bytes]], bytes]

_LENGTHS = (0, 1, 2, 3, 5, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def none(_chance: random.Random, pdus: list[bytes]) -> bytes:
    """No damage."""
    return b"".join(pdus)


def flipped(chance: random.Random, pdus: list[bytes]) -> bytes:
    data = bytearray(b"".join(pdus))
    for _ in range(chance.randint(1, 12) if data else 0):
        byte = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        data[chance.randrange(len(data))] = byte
    return bytes(data)


def flipped_after_the_first(chance: random.Random, pdus: list[bytes]) -> bytes:
    return pdus[0] + flipped(chance, pdus[1:])


def truncated(chance: random.Random, pdus: list[bytes]) -> bytes:
    data = b"".join(pdus)
    return data[: chance.randrange(1, len(data))]


def wrong_pdu_length(chance: random.Random, pdus: list[bytes]) -> bytes:
    at = chance.randrange(len(pdus))
    wrong = struct.pack(">I", chance.choice((*_LENGTHS, len(pdus[at]) + chance.randint(-9, 9))))
    return b"".join((*pdus[:at], pdus[at][:2] + wrong + pdus[at][6:], *pdus[at + 1 :]))


def wrong_inner_length(chance: random.Random, pdus: list[bytes]) -> bytes:
    """A wrong length of a PDV, an item or an element, anywhere after the header of a PDU."""
    at = chance.randrange(len(pdus))
    data = bytearray(pdus[at])
    if len(data) > 12:
        where = chance.choice((6, chance.randrange(6, len(data) - 4)))
        form = chance.choice((">I", "<I", ">H", "<H"))
        value = chance.choice(_LENGTHS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
        struct.pack_into(form, data, where, value)
    return b"".join((*pdus[:at], bytes(data), *pdus[at + 1 :]))


def shuffled(chance: random.Random, pdus: list[bytes]) -> bytes:
    rest = [*pdus[1:], *chance.choices(pdus, k=chance.randint(0, 4))]
    chance.shuffle(rest)
    return b"".join((pdus[0], *rest))


def inserted(chance: random.Random, pdus: list[bytes]) -> bytes:
    data = b"".join(pdus)
    at = chance.choice((len(pdus[0]), chance.randrange(len(data))))
    return data[:at] + chance.randbytes(chance.choice((1, 2, 6, 100, 5000))) + data[at:]


def wrong_pdu_type(chance: random.Random, pdus: list[bytes]) -> bytes:
    """A PDU with another type."""
    at = chance.randrange(len(pdus))
    pdu_type = bytes((chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0x16, 0x47, 255)),))
    return b"".join((*pdus[:at], pdu_type + pdus[at][1:], *pdus[at + 1 :]))


def noise(chance: random.Random, _pdus: list[bytes]) -> bytes:
    return chance.randbytes(chance.choice((1, 5, 6, 7, 74, 300, 70_000)))


DAMAGES: tuple[Damage, ...] = (
    none,
    flipped,
    flipped_after_the_first,
    truncated,
    wrong_pdu_length,
    wrong_inner_length,
    shuffled,
    inserted,
    wrong_pdu_type,
    noise,
)
