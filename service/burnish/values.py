"""Ground: the frozen values that stages and crafts hand to one another.

Those of which there is one for each instance are tuples, which are made ten times as fast.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

#: Reports progress: what is being done, how much is done, and how much there is (0: unknown).
Progress = Callable[[str, int, int], None]


class InstanceHeader(NamedTuple):
    """What a SOP Instance says of itself, read once when it arrives.

    Text is decoded by its Specific Character Set and stripped of padding; absent or empty values
    are "" (numbers: None). `entity_keys` and `record_keys` are Data Elements encoded in Explicit
    VR Little Endian in ascending order, values as the instance has them, with Specific
    Character Set (0008,0005) first where any of them needs it: the former the keys of its
    PATIENT, STUDY and SERIES records, the latter those of its own record. `missing_keys` are the
    Type 1 keys of its own record that the instance lacks. `limited_attributes` are those that
    Application Profiles limit, as `application_profiles.limits` packs them. First comes what each
    instance has for itself; the others of a series have the rest alike.
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
    missing_keys: tuple[int, ...] = ()

    @property
    def shared(self) -> tuple[object, ...]:
        """What the others of a series have alike."""
        return self[OWN_FIELDS:]


#: How many fields of a header each instance has for itself.
OWN_FIELDS = InstanceHeader._fields.index("sop_class_uid")


@dataclass(frozen=True, slots=True)
class Study:
    """One study, as labels and README.TXT say it; dates as DICOM has them (PS3.5 6.2, DA)."""

    study_date: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient and the studies of theirs; the name as DICOM has it (PS3.5 6.2, PN)."""

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    studies: tuple[Study, ...] = ()


class DirectoryEntry(NamedTuple):
    """One file of a File-set as its DICOMDIR names it.

    `file_id` has its components separated by backslashes, as Referenced File ID (0004,1500) has.
    `transfer_syntax_uid` is that of the file on the medium.
    """

    file_id: str
    header: InstanceHeader
    transfer_syntax_uid: str


class VolumeFile(NamedTuple):
    """One file of a volume image: its File ID (backslashes), and its bytes or where they lie.

    A source that is neither makes the bytes as they are written, in pieces of bounded size.
    """

    file_id: str
    size: int
    source: Path | bytes | Callable[[], Iterator[bytes]]


class ExpectedInstance(NamedTuple):
    """What must be found on a volume under one File ID. `digest` is of the data set alone."""

    file_id: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size: int
    data_set_offset: int
    digest: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a volume: a stable code, where, and what it means in words."""

    code: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """What verifying one volume found. `sha256` is of the image read, "" for a directory.

    `unexamined` Secure DICOM Files had no key at hand: only what is around their content was
    examined.
    """

    volume_identifier: str
    file_set_uid: str
    instances: int
    files: int
    bytes_read: int
    faults: tuple[Fault, ...]
    sha256: str = ""
    unexamined: int = 0

    @property
    def good(self) -> bool:
        return not self.faults


class ReadableVolume(Protocol):
    """A readable volume: a directory, or a volume image. Names are File IDs with backslashes."""

    volume_identifier: str

    def files(self) -> Mapping[str, int]:
        """Every file by name, in the order they lie on the volume, and its size in bytes."""
        ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of one file."""
        ...

    def disagreements(self) -> Mapping[str, str]:
        """Where its file system says one thing twice and not alike, and how, in words."""
        ...

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        """All the bytes of one file, in pieces of bounded size."""
        ...


@runtime_checkable
class SecureVolume(ReadableVolume, Protocol):
    """A volume whose DICOMDIR is a Secure DICOM File (PS3.10 7.4).

    `opened`: what it gives are the DICOM Files themselves, there being keys to them.
    """

    opened: bool

    def is_secure(self, name: str) -> bool:
        """Whether a file is a Secure DICOM File; raises Unreadable for one that is not sound."""
        ...

    def check(self, name: str) -> None:
        """Raises Unreadable unless a Secure DICOM File is sound as far as can be seen."""
        ...


class OpenVolume(Protocol):
    """Opens the volume at a path."""

    def __call__(self, path: Path) -> AbstractContextManager[ReadableVolume]: ...


@dataclass(slots=True)
class HeaderValues:
    """Values of an instance's header, by tag.

    The items of sequences are in Explicit VR, except those of the tags in `implicit`.
    """

    values: dict[int, bytes] = field(default_factory=dict)
    explicit: bool = True
    implicit: set[int] = field(default_factory=set)

    def is_explicit(self, tag: int) -> bool:
        """Whether the items of this sequence are in Explicit VR."""
        return self.explicit and tag not in self.implicit
