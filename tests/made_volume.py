"""Volumes that are encoded element by element, so that a test can damage any of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from burnish.dicom_elements import encode, encode_item
from burnish.values import ExpectedInstance
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, MEDIA_STORAGE_DIRECTORY_STORAGE
from digesting import digest_of

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FILE_SET_UID = "1.2.3.4"

Elements = dict[int, tuple[bytes, bytes]]


@dataclass
class Node:
    """A directory record and those below it; `reference` is the one that leads to its file."""

    elements: Elements
    below: list["Node"] = field(default_factory=list)
    offset: int = 0
    reference: "Node | None" = None

    def set(self, tag: int, vr: bytes, value: bytes | str) -> None:
        self.elements[tag] = (vr, value.encode() if isinstance(value, str) else value)


class MemoryVolume:
    """A volume in memory."""

    def __init__(self, files: dict[str, bytes], volume_identifier: str = "TEST") -> None:
        self.volume_identifier = volume_identifier
        self.contents = files

    def files(self) -> Mapping[str, int]:
        return {name: len(data) for name, data in self.contents.items()}

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self.contents[name][offset : None if length is None else offset + length]

    def disagreements(self) -> dict[str, str]:
        return {}

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        data = self.contents[name]
        for at in range(0, len(data), 100):
            yield memoryview(data)[at : at + 100]


def file_meta(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    group = b"".join(
        (
            encode(0x00020001, b"OB", b"\0\1"),
            encode(0x00020002, b"UI", sop_class.encode()),
            encode(0x00020003, b"UI", sop_instance.encode()),
            encode(0x00020010, b"UI", transfer_syntax.encode()),
            encode(0x00020012, b"UI", b"1.2.3"),
        )
    )
    length = encode(0x00020000, b"UL", len(group).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + length + group


def instance(uid: str, transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, **more: bytes) -> bytes:
    """A small Secondary Capture image; `more` may have values: `image_type`, `patient_id`."""
    data_set = [
        encode(0x00080008, b"CS", more["image_type"]) if "image_type" in more else b"",
        encode(0x00080016, b"UI", SECONDARY_CAPTURE.encode()),
        encode(0x00080018, b"UI", uid.encode()),
        encode(0x00100010, b"PN", b"Doe^J"),
        encode(0x00100020, b"LO", more["patient_id"]) if "patient_id" in more else b"",
        encode(0x00280002, b"US", b"\1\0"),
        encode(0x00280004, b"CS", b"MONOCHROME2"),
        encode(0x00280010, b"US", b"\x10\0"),
        encode(0x00280011, b"US", b"\x10\0"),
        encode(0x00280100, b"US", b"\x08\0"),
        encode(0x00280101, b"US", b"\x08\0"),
        encode(0x00280102, b"US", b"\x07\0"),
        encode(0x00280103, b"US", b"\0\0"),
        encode(0x7FE00010, b"OW", bytes(range(256))),
    ]
    return file_meta(SECONDARY_CAPTURE, uid, transfer_syntax) + b"".join(data_set)


def leaf(number: int, file_id: str) -> Node:
    uid = f"1.2.9.{number}".encode()
    return Node(
        {
            0x00041430: (b"CS", b"IMAGE"),
            0x00041500: (b"CS", file_id.encode()),
            0x00041510: (b"UI", SECONDARY_CAPTURE.encode()),
            0x00041511: (b"UI", uid),
            0x00041512: (b"UI", EXPLICIT_VR_LITTLE_ENDIAN.encode()),
            0x00200013: (b"IS", str(number).encode()),
        }
    )


def series(number: int, *below: Node) -> Node:
    keys = {
        0x00041430: (b"CS", b"SERIES"),
        0x00080060: (b"CS", b"OT"),
        0x0020000E: (b"UI", f"1.2.8.{number}".encode()),
        0x00200011: (b"IS", str(number).encode()),
    }
    return Node(keys, list(below))


def study(number: int, *below: Node) -> Node:
    keys = {
        0x00041430: (b"CS", b"STUDY"),
        0x00080020: (b"DA", b"20240101"),
        0x00080030: (b"TM", b"120000"),
        0x00080050: (b"SH", b""),
        0x00081030: (b"LO", b""),
        0x0020000D: (b"UI", f"1.2.7.{number}".encode()),
        0x00200010: (b"SH", str(number).encode()),
    }
    return Node(keys, list(below))


def patient(number: int, *below: Node) -> Node:
    keys = {
        0x00041430: (b"CS", b"PATIENT"),
        0x00100010: (b"PN", b"Doe^J"),
        0x00100020: (b"LO", f"UNKNOWN-{number}".encode()),
    }
    return Node(keys, list(below))


@dataclass
class SampleVolume:
    """A File-set without faults: two patients, four images.

    No offset of an entity leads to the records that are `apart`.
    """

    root: list[Node] = field(default_factory=list)
    apart: list[Node] = field(default_factory=list)
    header: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN
    volume_identifier: str = "TEST"
    explicit: bool = True

    def __post_init__(self) -> None:
        for number in range(4):
            self.files[f"DICOM\\I{number}"] = instance(f"1.2.9.{number}")
        leaves = [leaf(number, f"DICOM\\I{number}") for number in range(4)]
        self.root = [
            patient(1, study(1, series(1, *leaves[:2]), series(2, leaves[2]))),
            patient(2, study(2, series(3, leaves[3]))),
        ]

    def at(self, *path: int) -> Node:
        node = self.root[path[0]]
        for index in path[1:]:
            node = node.below[index]
        return node

    def encode(self, tag: int, vr: bytes, value: bytes) -> bytes:
        if self.explicit:
            return encode(tag, vr, value)
        value += b"\0" * (len(value) % 2)
        return (
            (tag >> 16).to_bytes(2, "little")
            + (tag & 0xFFFF).to_bytes(2, "little")
            + len(value).to_bytes(4, "little")
            + value
        )

    def dicomdir(self) -> bytes:
        head = file_meta(MEDIA_STORAGE_DIRECTORY_STORAGE, FILE_SET_UID, self.transfer_syntax)
        self._encode_data_set(len(head))
        return head + self._encode_data_set(len(head))

    def _encode_data_set(self, start: int) -> bytes:
        """Encodes the data set and sets the offset of each record; a second call uses these."""
        header = {
            0x00041130: (b"CS", b"TEST"),
            0x00041200: (b"UL", self.root[0].offset.to_bytes(4, "little")),
            0x00041202: (b"UL", self.root[-1].offset.to_bytes(4, "little")),
            0x00041212: (b"US", b"\0\0"),
            **self.header,
        }
        data = b"".join(self.encode(tag, *header[tag]) for tag in sorted(header))
        at = start + len(data) + (12 if self.explicit else 8)
        items: list[bytes] = []
        entities = [self.root]
        while entities:
            entity = entities.pop()
            for node, following in zip(entity, [*entity[1:], None], strict=True):
                node.offset = at
                items.append(encode_item(self._encode_record(node, following)))
                at += len(items[-1])
                if node.below:
                    entities.append(node.below)
        for node in self.apart:
            node.offset = at
            items.append(encode_item(self._encode_record(node, None)))
            at += len(items[-1])
        return data + self.encode(0x00041220, b"SQ", b"".join(items))

    def _encode_record(self, node: Node, following: Node | None) -> bytes:
        lower = node.below[0].offset if node.below else 0
        elements = {
            0x00041400: (b"UL", (following.offset if following else 0).to_bytes(4, "little")),
            0x00041410: (b"US", b"\xff\xff"),
            0x00041420: (b"UL", lower.to_bytes(4, "little")),
            **node.elements,
        }
        if node.reference:
            elements[0x00041504] = (b"UL", node.reference.offset.to_bytes(4, "little"))
        return b"".join(self.encode(tag, *elements[tag]) for tag in sorted(elements))

    def volume(self) -> MemoryVolume:
        return MemoryVolume({"DICOMDIR": self.dicomdir(), **self.files}, self.volume_identifier)

    def expected(self) -> list[ExpectedInstance]:
        offset = len(file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN))
        return [
            ExpectedInstance(
                file_id=name,
                sop_class_uid=SECONDARY_CAPTURE,
                sop_instance_uid=f"1.2.9.{name[-1]}",
                transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
                size=len(data),
                data_set_offset=offset,
                digest=digest_of(data[offset:]),
            )
            for name, data in self.files.items()
        ]
