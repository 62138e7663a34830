"""Ground: the frozen data classes (instances, studies, files) that stages and crafts exchange.

Values of which every instance has one are named tuples: they are made ten times as fast as frozen
dataclasses.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from burnish.file_slice import Slice


class AccountRole(StrEnum):
    """The rights of a user or token on the web, from least to most."""

    VIEWER = "viewer"  #: sees the work, but no patient data
    DESK = "desk"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    @property
    def rank(self) -> int:
        """0 for the least role."""
        return list(AccountRole).index(self)


#: Reports progress: the present step, the amount done, and the total amount (0: unknown).
Progress = Callable[[str, int, int], None]


class Actor(NamedTuple):
    """The person, peer or process that does something with a request.

    `address` is the network address that it came from, if it came over the network.
    """

    kind: Literal["ae", "standing order", "user", "token", "cli", "service"]
    name: str = ""
    address: str = ""

    def __str__(self) -> str:
        """The actor in words: "AE PACS1 (10.0.0.5)", "command line (anna)", "" for Burnish."""
        if self.kind == "service":
            return ""
        if self.kind == "cli":
            return f"command line ({self.name})" if self.name else "command line"
        kind = "AE" if self.kind == "ae" else self.kind
        named = f"{kind} {self.name}".rstrip()
        return f"{named} ({self.address})" if self.address else named


#: Burnish itself: the scheduler, the planner, a writer.
SERVICE = Actor("service")


class CheckFinding(NamedTuple):
    """The result of a check, in a sentence; with a remedy it is a problem."""

    text: str
    remedy: str = ""


class InstanceHeader(NamedTuple):
    """The header index of a SOP Instance: what planning and the DICOMDIR need, read on arrival.

    Text is decoded by Specific Character Set and has no padding; an absent or empty value is ""
    (a number: None).

    `entity_keys` are the keys of its PATIENT, STUDY and SERIES records, `record_keys` those of
    its own record: Data Elements in Explicit VR Little Endian, in ascending order, preceded by
    Specific Character Set (0008,0005) if one of them needs it. `missing_keys` are the Type 1 keys
    of its own record that the instance lacks. `limited_attributes` are the attributes that
    Application Profiles limit, encoded by `application_profiles.limits.pack`. `fault` says
    what is wrong with its elements, or why no viewer can show the image; "" if nothing is.

    The first three fields differ from instance to instance; on the others (`shared`) the instances
    of a series usually agree.
    """

    sop_instance_uid: str
    instance_number: int | None
    record_keys: bytes
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    study_date: str
    study_time: str
    modality: str
    series_number: int | None
    directory_record_type: str
    entity_keys: bytes
    limited_attributes: bytes = b""
    fault: str = ""
    missing_keys: tuple[int, ...] = ()

    @property
    def shared(self) -> tuple[object, ...]:
        """The fields on which the instances of a series usually agree."""
        return self[OWN_FIELDS:]


#: The number of fields that differ from instance to instance.
OWN_FIELDS = InstanceHeader._fields.index("sop_class_uid")


@dataclass(frozen=True, slots=True)
class Study:
    """One study, for labels and README.TXT. `study_date` is a DA value (PS3.5 6.2)."""

    study_date: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient with their studies, for labels and README.TXT.

    `patient_name` is a PN value, `birth_date` a DA value (PS3.5 6.2).
    """

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    studies: tuple[Study, ...] = ()


class WholeInstance(NamedTuple):
    """An instance that is received in one piece; `data_set` has the bytes as they were encoded."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    data_set: bytes


class FileToStore(NamedTuple):
    """A DICOM file to be stored somewhere, and the UIDs in its File Meta Information."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class NoResponse(StrEnum):
    """Why there is no response to a C-STORE, if that is not due to the instance."""

    NO_ASSOCIATION = "no association"
    ASSOCIATION_ENDED = "association ended"


class StoreResponse(NamedTuple):
    """The response to a C-STORE.

    Without a `status`, `comment` says why there is none, and `no_response` whether that is due to
    the destination; otherwise the instance cannot be stored there.
    """

    status: int | None
    comment: str = ""
    no_response: NoResponse | None = None


class DirectoryEntry(NamedTuple):
    """One file of a File-set, for its DICOMDIR.

    The components of `file_id` are separated by backslashes, as in Referenced File ID (0004,1500).
    `transfer_syntax_uid` is that of the file on the medium.
    """

    file_id: str
    header: InstanceHeader
    transfer_syntax_uid: str


class ContentShare(NamedTuple):
    """The content for people that an instance brings along on its volume, in bytes.

    `sizes` are those of files of its own; `text` is in pages and data, and `packed` in packs, which
    it shares with others.
    """

    sizes: tuple[int, ...] = ()
    text: int = 0
    packed: int = 0


#: Nothing but the DICOM file.
NO_SHARE = ContentShare()


class VolumeFile(NamedTuple):
    """One file of a volume image: its File ID (with backslashes), its size, and its content.

    `source` is a file on storage, the bytes themselves, or a function that yields the bytes in
    pieces of bounded size while they are written. The bytes from `digest_from` on have a digest of
    their own, by which they are compared when they are read back; None if they have none.
    """

    file_id: str
    size: int
    source: Slice | bytes | Callable[[], Iterator[bytes]]
    digest_from: int | None = None


class ExpectedInstance(NamedTuple):
    """A file that a volume must have under one File ID. `digest` is that of the data set alone."""

    file_id: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size: int
    data_set_offset: int
    digest: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a volume: a stable code, the file or record, and a message for people."""

    code: str
    where: str
    message: str


class FileDigest(NamedTuple):
    """Digests of a file as it lies on a volume.

    `digest` is that of the bytes from `offset` on, `head` that of the bytes before, "" for none. So
    the digest of a data set, which is known from its receipt, is not computed twice.
    """

    size: int
    digest: str
    offset: int = 0
    head: str = ""


class DecodedFrames(NamedTuple):
    """The result of decoding all frames of an image.

    `frames` were decoded; `fault` says why not all were. Unless the transfer syntax
    `is_supported`, none was tried.
    """

    frames: int = 0
    fault: str = ""
    is_supported: bool = True


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """The result of verifying one volume. `sha256` is that of the image; "" for a directory.

    `digests` are those of its files by File ID, if the volume was compared with what was written.
    `notes` tell what is odd but no fault. `kept_damaged` are faults of instances that were put on
    the volume on purpose although damaged, as its manifest says.

    `unexamined` is the number of Secure DICOM Files without a key: of these, everything but the
    encrypted content was examined. `decoded_frames` is the number of frames that were decoded;
    `not_examined` says what of the pixel data was not.
    """

    volume_identifier: str
    file_set_uid: str
    instances: int
    files: int
    bytes_read: int
    faults: tuple[Fault, ...]
    sha256: str = ""
    unexamined: int = 0
    notes: tuple[Fault, ...] = ()
    kept_damaged: tuple[Fault, ...] = ()
    decoded_frames: int = 0
    not_examined: tuple[str, ...] = ()
    digests: Mapping[str, FileDigest] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return not self.faults


class ReadableVolume(Protocol):
    """A volume that can be read: a directory or a volume image.

    Names of files are File IDs with backslashes.
    """

    volume_identifier: str

    def files(self) -> Mapping[str, int]:
        """The size in bytes of every file by name, in the order of the files on the volume."""
        ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of one file."""
        ...

    def disagreements(self) -> Mapping[str, str]:
        """Contradictions within its file system: a message for people by file or structure."""
        ...

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        """The bytes of one file in pieces of bounded size."""
        ...


@runtime_checkable
class SecureVolume(ReadableVolume, Protocol):
    """A volume whose DICOMDIR is a Secure DICOM File (PS3.10 7.4).

    `opened`: keys are available, and the volume returns the decrypted DICOM Files.
    """

    opened: bool

    def is_secure(self, name: str) -> bool:
        """Whether a file is a Secure DICOM File; raises Unreadable for a damaged one."""
        ...

    def check(self, name: str) -> None:
        """Raises Unreadable if a Secure DICOM File is damaged, as far as can be told."""
        ...


class OpenVolume(Protocol):
    """Opens the volume at a path."""

    def __call__(self, path: Path) -> AbstractContextManager[ReadableVolume]: ...


@dataclass(slots=True)
class HeaderValues:
    """Encoded values of an instance's header by tag, as `instance_header.scan` finds them.

    The items of sequences are in Explicit VR if `explicit`, except those of the tags in `implicit`.
    `pixel_data_length` is that of Pixel Data (7FE0,0010), 0xFFFFFFFF if it is encapsulated; None if
    there is none. `padding` is the number of zeros behind the data set. `odd_length` is the offset
    of the length of the last element, if that is odd, and the even length to be stored there.
    If elements are `irregular`, `fault` says what is wrong with them, `tolerable_fault` what is
    wrong that readers pass over. `has_sequences` is True if there may be sequences: what is within
    them was not looked at.
    """

    values: dict[int, bytes] = field(default_factory=dict)
    explicit: bool = True
    implicit: set[int] = field(default_factory=set)
    pixel_data_length: int | None = None
    padding: int = 0
    odd_length: tuple[int, bytes] | None = None
    irregular: bool = False
    fault: str = ""
    tolerable_fault: str = ""
    has_sequences: bool = False

    def is_explicit(self, tag: int) -> bool:
        """Whether the items of the sequence with this tag are in Explicit VR."""
        return self.explicit and tag not in self.implicit
