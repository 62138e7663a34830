"""Offline: the instances of any File-set, as its DICOMDIR lists them and as its files are.

Nothing is required of the File-set but that its files can be read: records, SOP Classes and
transfer syntaxes that Burnish does not know are passed over or passed on (PS3.2 7.2).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from burnish import character_sets, file_meta
from burnish.directory_records import ROOT_TYPES
from burnish.errors import Unreadable, WrongKey
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid
from burnish.image.reader import open_volume
from burnish.instance_header.header import IndexedFile, repaired
from burnish.secure_files import Keyring, open_secure
from burnish.transcode.uncompressed import TranscodedFile
from burnish.values import InstanceHeader, ReadableVolume, SecureVolume
from burnish.verify.dicomdir_checks import check_dicomdir
from burnish.verify.faults import Faults
from burnish.verify.file_meta_checks import read_file_meta
from burnish.verify.record_checks import Record, records_above, with_entities_first
from burnish.verify.structure import check_structure
from burnish.vocabulary import MEDIA_STORAGE_DIRECTORY_STORAGE

_DICOMDIR = "DICOMDIR"
_SPECIFIC_CHARACTER_SET = 0x00080005
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """An instance that the DICOMDIR lists, with the UIDs of its directory record.

    `file_id` is the File ID, below the folder of the DICOMDIR if that is not at the root.
    `patient_id` and `study_instance_uid` are those of the records above it, None where the DICOMDIR
    is too damaged to lead there.
    """

    file_id: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str | None
    study_instance_uid: str | None


@dataclass(slots=True)
class OpenedFileSet:
    """A File-set on a volume.

    `listed` are the instances that the DICOMDIR lists and the volume has, by the name of their
    file; `missing` those whose file is not there; `unlisted` the names of all other files. `damage`
    says in words why the DICOMDIR cannot be read to its end, "" if it can or if there is none.
    A ZIP file or a directory may have the File-set in a folder, or several of them, each in one:
    then these are the instances of all, with names from the root. `sound_folders` are those whose
    DICOMDIR can be read to its end, "" for the root; `file_set_id` and `file_set_uid` those of the
    first.
    """

    volume: ReadableVolume
    file_set_id: str = ""
    file_set_uid: str = ""
    listed: dict[str, ListedInstance] = field(default_factory=dict)
    missing: list[ListedInstance] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    damage: str = ""
    has_dicomdir: bool = False
    sound_folders: list[str] = field(default_factory=list)

    def tells_of(self, name: str) -> bool:
        """Whether a DICOMDIR tells if this file belongs to a File-set."""
        return any(name.startswith(folder) for folder in self.sound_folders)

    def names(self) -> Iterator[str]:
        """The names of all files that may be instances, in the order in which they are read."""
        return (name for name in self.volume.files() if not _is_dicomdir(name))

    def is_instance(self, name: str) -> bool:
        """Whether a file that the DICOMDIR does not list is a DICOM file other than a DICOMDIR.

        Raises Unreadable if the file cannot be read.
        """
        meta = read_file_meta(self.volume, name)
        return meta is not None and meta.sop_class_uid != MEDIA_STORAGE_DIRECTORY_STORAGE

    def extract(self, name: str, target: Path) -> None:
        """Copy a file of the volume; that of a secure one is decrypted, and its digest verified.

        Raises Unreadable.
        """
        with target.open("wb") as out:
            for chunk in self.volume.chunks(name):
                out.write(chunk)


@contextmanager
def open_file_set(path: Path, keyring: Keyring) -> Iterator[OpenedFileSet]:
    """The File-set at `path`: an image, a drive, a directory, a ZIP file or a message.

    Raises Unreadable if there is no volume, WrongKey if it is secure and the keyring is empty or
    opens no file.
    """
    with open_volume(path) as opened:
        volume = open_secure(opened, keyring)
        if isinstance(volume, SecureVolume) and not volume.opened:
            raise WrongKey(
                "the files of the volume are Secure DICOM Files",
                hint="--key or --password-file opens them",
            )
        yield _read_file_set(volume)


def _read_file_set(volume: ReadableVolume) -> OpenedFileSet:
    # File IDs have capital letters; a mounted volume may show small ones
    names = {name.upper(): name for name in volume.files()}
    file_set = OpenedFileSet(volume)
    for dicomdir in _dicomdirs(volume.files()):
        file_set.has_dicomdir = True
        for instance in _read_dicomdir(file_set, dicomdir):
            name = names.get(instance.file_id.upper())
            if name is None:
                file_set.missing.append(instance)
            else:
                file_set.listed.setdefault(name, instance)
    file_set.unlisted = [name for name in file_set.names() if name not in file_set.listed]
    return file_set


def _is_dicomdir(name: str) -> bool:
    return name.upper().rpartition("\\")[2] == _DICOMDIR


def _folder(name: str) -> str:
    """The folder of a file with a backslash at its end, "" for the root."""
    return name[: name.rfind("\\") + 1]


def _dicomdirs(names: Iterable[str]) -> list[str]:
    """The DICOMDIRs, without those below the folder of another one, which is for all below it."""
    dicomdirs: list[str] = []
    for name in sorted(filter(_is_dicomdir, names), key=lambda name: name.count("\\")):
        folder = _folder(name).upper()
        if not any(folder.startswith(_folder(other).upper()) for other in dicomdirs):
            dicomdirs.append(name)
    return dicomdirs


def _read_dicomdir(file_set: OpenedFileSet, name: str) -> list[ListedInstance]:
    """The instances that a DICOMDIR lists, as far as it can be read."""
    folder = _folder(name)
    title = f"the DICOMDIR in {folder[:-1]}" if folder else "the DICOMDIR"
    try:
        data = file_set.volume.read(name)
    except Unreadable as error:
        file_set.damage = file_set.damage or f"{title} cannot be read: {error}"
        return []
    faults = Faults()
    dicomdir = check_dicomdir(data, faults, keeps_all_keys=False)
    check_structure(dicomdir, file_set.volume.volume_identifier, faults)
    file_set.file_set_id = file_set.file_set_id or dicomdir.file_set_id
    file_set.file_set_uid = file_set.file_set_uid or dicomdir.file_set_uid
    if dicomdir.complete:
        file_set.sound_folders.append(folder)
    else:
        file_set.damage = file_set.damage or f"{title} is damaged: it cannot be read to its end"
    records = with_entities_first(dicomdir.records)
    return [_listed(record, folder) for record in records if record.file_id and record.in_use]


def _listed(record: Record, folder: str) -> ListedInstance:
    above = {parent.type: parent for parent in records_above(record)}
    return ListedInstance(
        folder + record.file_id,
        record.sop_class_uid,
        record.sop_instance_uid,
        record.transfer_syntax_uid,
        _identity(above.get("PATIENT")),
        _identity(above.get("STUDY")),
    )


def _identity(record: Record | None) -> str | None:
    if record is None:
        return None
    return character_sets.decode(record.identity, record.keys.get(_SPECIFIC_CHARACTER_SET, b""))


def copy_instance(path: Path, indexed: IndexedFile, target: Path) -> TranscodedFile:
    """Copy a data set, repaired where it must be, with File Meta Information of our own."""
    header = indexed.header
    meta = file_meta.encode(
        header.sop_class_uid, header.sop_instance_uid, indexed.transfer_syntax_uid
    )
    hasher = new_hasher()
    with path.open("rb") as file, target.open("wb") as out:
        file.seek(indexed.data_set_offset)
        out.write(meta)
        size = path.stat().st_size - indexed.data_set_offset
        chunks = iter(lambda: file.read(_CHUNK), b"")
        for chunk in repaired(chunks, size, indexed.repair):
            hasher.update(chunk)
            out.write(chunk)
        return TranscodedFile(out.tell(), len(meta), digest_text(hasher))


def check_uids(header: InstanceHeader) -> None:
    """Raise Unreadable for an instance that no DICOMDIR can name; it says which UID is wrong."""
    uids = {
        "SOP Class UID (0008,0016)": header.sop_class_uid,
        "SOP Instance UID (0008,0018)": header.sop_instance_uid,
    }
    if header.directory_record_type not in ROOT_TYPES:
        uids["Study Instance UID (0020,000D)"] = header.study_instance_uid
        uids["Series Instance UID (0020,000E)"] = header.series_instance_uid
    wrong = [
        f"{name} is {'not a UID' if uid else 'missing or empty'}"
        for name, uid in uids.items()
        if not is_tolerable_uid(uid)
    ]
    if wrong:
        raise Unreadable("; ".join(wrong))
