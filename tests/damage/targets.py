"""The targets of coverage-guided fuzzing: each parser of foreign bytes, alone and in memory.

A target takes any bytes, and may raise only the errors that its parser may raise. The bytes come
from atheris (`tests/damage/cover.py`) or from earlier findings (`test_targets.py`).
"""

import os
import socket
import struct
import tempfile
import tomllib
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from burnish.access.peers import Caller
from burnish.dicom_elements import ITEM, encode, encode_item, items, scan
from burnish.errors import BurnishError
from burnish.image.reader import open_volume
from burnish.scp import attributes, messages, upper_layer
from burnish.scp.negotiation import Negotiator
from burnish.secure_files import Sealer, ber, encapsulated_content, envelope
from burnish.secure_files.der import DerReader
from burnish.secure_files.protection import load_protection
from burnish.settings import SecuritySettings, Settings, value_types
from burnish.transcode import frames, jpeg_lossless, jpeg_lossy
from burnish.verify import examine_volume
from burnish.verify.dicomdir_checks import check_dicomdir
from burnish.verify.faults import Faults
from burnish.verify.structure import check_structure
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from damage.mutations import bombs
from damage.readers import directories, files, index, volumes
from fuzz import corpus

SYNTAXES = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
_SMALL = 16_000
_SECTOR = 2048
#: Bytes of a block of an image; only blocks that are not empty are patched.
_BLOCK = 512


@dataclass(frozen=True)
class Target:
    """A parser, valid inputs (seeds), the errors that it may raise, and the longest input."""

    parse: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    errors: tuple[type[Exception], ...] = (BurnishError,)
    longest: int = 1 << 14


def attempt(target: Target, data: bytes) -> None:
    """Parses the bytes; raises any error that the parser must not raise."""
    with suppress(*target.errors):
        target.parse(data)


@contextmanager
def as_file(data: bytes) -> Iterator[Path]:
    """The bytes as a file in memory."""
    descriptor = os.memfd_create("input")
    try:
        os.write(descriptor, data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


# --- the network ---------------------------------------------------------------------------------


@cache
def _negotiator() -> Negotiator:
    return Negotiator(Settings.model_validate({"dicom": {"accept_unknown_peers": True}}))


_CALLER = Caller("127.0.0.1")


def _associate(data: bytes) -> None:
    _negotiator().answer(data, _CALLER)


def _associates() -> list[bytes]:
    return [pdus[0][6:] for pdus in corpus.conversations().values()]


class _Answering:
    """The sink of a request: decodes its data set and answers."""

    def __init__(self, context_id: int, syntax: str, command: messages.Command) -> None:
        self._context_id, self._syntax, self._command = context_id, syntax, command
        self._data = bytearray()

    def write(self, fragment: memoryview) -> None:
        self._data += fragment

    def finish(self) -> bytes:
        status = 0
        try:
            attributes.new_request(attributes.decode(bytes(self._data), self._syntax), "")
        except BurnishError:
            status = 0x0110
        answer = messages.response(self._command, status, comment="as it is")
        return messages.p_data(self._context_id, answer, b"", 16384)

    def abandon(self) -> None:
        self._data.clear()


def _association(data: bytes) -> None:
    """The bytes are all that a peer sends on its association before it closes it."""
    peer, own_end = socket.socketpair()
    with peer, own_end:
        peer.settimeout(5)
        peer.sendall(corpus.associate() + data)
        peer.shutdown(socket.SHUT_WR)
        upper_layer.Association(
            _Plain(own_end),
            _CALLER,
            _negotiator().answer,
            lambda _who, number, where, command: _Answering(number, where.transfer_syntax, command),
            acse_timeout=5,
            idle_timeout=5,
        ).serve()


class _Plain(socket.socket):
    """One end of a socket pair; ignores options of TCP, which a pair does not have."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(fileno=end.detach())

    def setsockopt(self, level: int, *arguments: object) -> None:
        if level == socket.SOL_SOCKET:
            super().setsockopt(level, *arguments)  # type: ignore[arg-type]


def _conversations() -> list[bytes]:
    conversations = [b"".join(pdus[1:]) for pdus in corpus.conversations().values()]
    return [data for data in conversations if len(data) <= _SMALL]


def _command(data: bytes) -> None:
    command = messages.Command.decode(data)
    command.text(messages.AFFECTED_SOP_INSTANCE_UID)
    if command.has_data_set:
        command.number(messages.MESSAGE_ID)
        answer = messages.response(command, 0x0110, comment="as it is")
        assert messages.Command.decode(answer).number(messages.STATUS) == 0x0110


def _commands() -> list[bytes]:
    command_fields = (1, 0x30, 0x110, 0x120, 0x130, 0x140, 0x8100)
    return [
        messages.encode(
            {
                messages.COMMAND_FIELD: struct.pack("<H", field),
                messages.MESSAGE_ID: b"\1\0",
                messages.COMMAND_DATA_SET_TYPE: b"\1\0",
                messages.AFFECTED_SOP_CLASS_UID: b"1.2.840.10008.5.1.1.33\0",
                messages.ATTRIBUTE_IDENTIFIER_LIST: b"\0\x22\x20\0",
            }
        )
        for field in command_fields
    ]


def _attributes(data: bytes) -> None:
    """The data set of a DIMSE-N request, in the syntax that the first byte selects."""
    syntax = SYNTAXES[data[0] % 3] if data else SYNTAXES[0]
    attributes.new_request(attributes.decode(data[1:], syntax), "1.2.3")


def _data_sets() -> list[bytes]:
    return [b"\0" + corpus._n_create(), b"\0" + corpus._nested(20)]


# --- files ---------------------------------------------------------------------------------------


def _header(data: bytes) -> None:
    """The header of a file, and the lengths of its directory records."""
    with as_file(data) as path:
        index(path)


def _data_set(data: bytes) -> None:
    """The elements of a data set, and those of the items of its sequences."""
    explicit = bool(data[:1] != b"\1")
    body = data[1:]
    for element in scan(body, 0, len(body), explicit=explicit):
        if element.vr in (b"SQ", b"") and element.length:
            for start, end in items(
                body, element.value, element.value + element.length, explicit=explicit
            ):
                list(scan(body, start, end, explicit=explicit))


def _small_files() -> list[bytes]:
    contents = [data for _, data in files() if len(data) <= _SMALL]
    return [*contents[:60], *(data for _, data in bombs(1 << 12) if len(data) <= _SMALL)]


def _elements() -> list[bytes]:
    inner = encode(0x00080100, b"SH", b"X")
    nested = encode(0x00081140, b"SQ", encode_item(inner) * 2)
    undefined = struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    undefined += struct.pack("<HHL", ITEM >> 16, ITEM & 0xFFFF, 0xFFFFFFFF) + inner
    undefined += struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    implicit = struct.pack("<HHL", 8, 0x60, 2) + b"CT"
    return [b"\0" + inner + nested + undefined, b"\1" + implicit]


def _dicomdir(data: bytes) -> None:
    faults = Faults()
    dicomdir = check_dicomdir(data, faults)
    check_structure(dicomdir, "X", faults)


def _dicomdirs() -> list[bytes]:
    return [data for _, data in directories() if len(data) <= _SMALL]


# --- volumes -------------------------------------------------------------------------------------


@cache
def _images() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        return [data for _, data in volumes(Path(name))]


@cache
def _blocks(number: int) -> list[int]:
    """The offsets of blocks that are not empty: the first 256 and the last 64."""
    image = _images()[number]
    starts = [at for at in range(0, len(image), _BLOCK) if any(image[at : at + _BLOCK])]
    return starts[:256] + starts[-64:]


def _image(data: bytes) -> None:
    """An image that the first byte selects, with patches: two bytes of place, one of length."""
    if not data:
        return
    number = data[0] % len(_images())
    image, blocks = bytearray(_images()[number]), _blocks(number)
    at = 1
    while at + 3 <= len(data):
        place, length = struct.unpack_from("<HB", data, at)
        patch = data[at + 3 : at + 3 + length]
        start = blocks[place // _BLOCK % len(blocks)] + place % _BLOCK
        image[start : start + len(patch)] = patch
        at += 3 + length
    _seal(image, _images()[number])
    _volume(bytes(image[: len(_images()[number])]))


def _seal(image: bytearray, before: bytes) -> None:
    """Corrects the checksums of UDF tags, so that a reader also parses what follows them."""
    for at in range(0, len(before) - _SECTOR + 1, _SECTOR):
        tag = image[at : at + 16]
        old_tag = before[at : at + 16]
        if not any(old_tag) or (sum(old_tag) - old_tag[4]) & 0xFF != old_tag[4]:
            continue
        if image[at : at + _SECTOR] == before[at : at + _SECTOR]:
            continue
        length = min(int.from_bytes(tag[10:12], "little"), _SECTOR - 16)
        struct.pack_into("<H", tag, 8, crc_hqx(bytes(image[at + 16 : at + 16 + length]), 0))
        tag[4] = (sum(tag) - tag[4]) & 0xFF
        image[at : at + 16] = tag


def _volume(data: bytes) -> None:
    with as_file(data) as path, open_volume(path, digest=True) as volume:
        examine_volume(volume)


def _patches() -> list[bytes]:
    """Patches that change nothing, so that the fuzzer starts from the contents of the blocks."""
    patches = [bytes((number,)) for number in range(len(_images()))]
    for number, image in enumerate(_images()):
        for place, start in enumerate(_blocks(number)[:40]):
            patch = image[start : start + 200]
            patches.append(struct.pack("<BHB", number, place * _BLOCK, len(patch)) + patch)
    return patches


def _streams() -> list[bytes]:
    """Volumes that are not images: a MIME message and a ZIP archive of small files."""
    message = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        b"Content-Type: application/dicom; id=DICOMDIR\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-ID: <DICOMDIR>\r\n\r\nAAAA\r\n--b\r\nContent-Type: multipart/mixed;"
        b" boundary=c\r\n\r\n--c\r\nContent-Type: application/dicom; name=A\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--c--\r\n--b--\r\n"
    )
    import zipfile

    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zip_file:
        zip_file.writestr("DICOMDIR", b"x" * 20)
        zip_file.writestr("DICOM/A", b"y" * 20, zipfile.ZIP_DEFLATED)
    return [message, archive.getvalue()]


# --- secure files --------------------------------------------------------------------------------


def _ber(data: bytes) -> None:
    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    view = ber.DerView(read, len(data), enveloped=bool(len(data) & 1))
    der = view.read(0, view.size)
    assert len(der) == view.size
    with suppress(BurnishError):
        envelope.read_envelope(lambda offset, length: der[offset : offset + length], len(der))


def _cms(data: bytes) -> None:
    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    with suppress(BurnishError):
        envelope.read_envelope(read, len(data))
    for signed in (False, True):
        with suppress(BurnishError):
            content = encapsulated_content.read_content_head(data, signed=signed)
            encapsulated_content.verify_content(content, data, b"")
    with suppress(BurnishError):
        reader = DerReader(data)
        while reader:
            reader.inside(reader.next_tag()).integer()


def _envelopes() -> list[bytes]:
    security = SecuritySettings(password="correct horse battery", password_iterations=1000)  # type: ignore[arg-type]  # noqa: S106
    sealer = Sealer(load_protection(security))
    plain = bytes(200)
    sealed_file = b"".join(sealer.seal(sealer.new_key(), len(plain), [plain]))
    inner = sealer._content_start(len(plain)) + plain + sealer._content_end(bytes(32))
    indefinite = b"\x30\x80\x24\x80\x04\x02ab\x04\x01c\0\0\xa0\x80\x02\x01\x01\0\0\0\0"
    return [sealed_file, inner, indefinite, indefinite + b"\0"]


# --- pixels --------------------------------------------------------------------------------------

_IMAGE = frames.ImagePixel(
    rows=2,
    columns=3,
    samples_per_pixel=1,
    bits_allocated=8,
    bits_stored=8,
    pixel_representation=0,
    photometric_interpretation="MONOCHROME2",
    planar_configuration=0,
    number_of_frames=1,
)


def _frame(data: bytes) -> None:
    """The checks of a frame before it is passed to a codec."""
    for syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"):
        with suppress(BurnishError, LookupError, struct.error):
            frames._refuse_other_size(data, syntax, _IMAGE)
    with suppress(LookupError):
        assert len(frames._with_all_coefficients(data)) == len(data)
    with suppress(*frames.CODEC_ERRORS, BurnishError):
        assert len(frames._inflate(data, _IMAGE)) == 6


def _jpegs() -> list[bytes]:
    ramp = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HHLLLL", 47, 0, 3, 2, 0, 0) + bytes(40)
    return [jpeg_lossy.encode(ramp, 8), jpeg_lossless.encode(ramp, 8), siz, b"\x4b\x04\x00"]


def _coding(data: bytes) -> None:
    """Encoding: JPEG Lossless decodes to the same samples, and lossy JPEG has the same size."""
    if len(data) < 4:
        return
    precision, columns = 2 + data[0] % 15, 1 + data[1] % 40
    components = 3 if data[2] & 1 else 1
    cells = np.frombuffer(data[3:], np.uint8).astype(np.uint16) * 257
    rows = len(cells) // (columns * components)
    if not rows:
        return
    samples = cells[: rows * columns * components].reshape(rows, columns, components)
    samples = samples & ((1 << precision) - 1)
    encoded = jpeg_lossless.encode(samples, precision)
    cell = 8 if precision <= 8 else 16
    image = frames.ImagePixel(
        rows=rows,
        columns=columns,
        samples_per_pixel=components,
        bits_allocated=cell,
        bits_stored=precision,
        pixel_representation=0,
        photometric_interpretation="RGB" if components == 3 else "MONOCHROME2",
        planar_configuration=0,
        number_of_frames=1,
    )
    native, _ = frames.decode_frame(encoded, "1.2.840.10008.1.2.4.70", image)
    assert native == samples.astype(f"<u{cell // 8}").tobytes()
    if precision in (8, 12):
        assert frames._jpeg_size(jpeg_lossy.encode(samples, precision)) == (rows, columns)


# --- settings ------------------------------------------------------------------------------------


def _settings(data: bytes) -> None:
    Settings(**tomllib.loads(data.decode()))


def _values(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (value_types._parse_duration, value_types._parse_size, value_types._parse_ae_title):
        with suppress(ValueError):
            read(text)


def _tables() -> list[bytes]:
    shipped = Path(__file__).resolve().parents[2] / "config" / "burnish.toml"
    device = b'[[device]]\nname = "a"\nkind = "folder"\nmedia = ["CD"]\ncapacity = "700MB"\n'
    return [b"[dicom]\nport = 1\nae_title = 'A'\n", device, shipped.read_bytes()[:4000]]


TARGETS = {
    "associate": Target(_associate, _associates),
    "association": Target(_association, _conversations),
    "command": Target(_command, _commands, longest=1024),
    "attributes": Target(_attributes, _data_sets, longest=4096),
    "header": Target(_header, _small_files),
    "elements": Target(_data_set, _elements, longest=2048),
    "dicomdir": Target(_dicomdir, _dicomdirs),
    "image": Target(_image, _patches, longest=2048),
    "stream": Target(_volume, _streams, longest=4096),
    "ber": Target(_ber, _envelopes, longest=2048),
    "cms": Target(_cms, _envelopes, longest=2048),
    "frame": Target(_frame, _jpegs, longest=1024),
    "coding": Target(_coding, lambda: [bytes(range(100)), b"\6\7\1" + bytes(60)], longest=512),
    "settings": Target(
        _settings,
        _tables,
        (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError),
        longest=4096,
    ),
    "values": Target(_values, lambda: [b"30s", b"4.7GB", b"BURNISH"], longest=500),
}
