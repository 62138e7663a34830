"""Offline: `burnish disc import`: the instances of a File-set to where they are wanted.

Where that is, a `Destination` knows: an archive, or the spool of this service. Of an instance, the
data set goes there as it is, in its own transfer syntax.
"""

import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from burnish.errors import BurnishError, InvalidSettings
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.examination import examine
from burnish.instance_header.header import IndexedFile, index_file
from burnish.offline.file_set import ListedInstance, OpenedFileSet, check_uids, copy_instance
from burnish.values import FileToStore, NoResponse, Progress, StoreResponse

#: So many instances one after another that the destination has not taken end the import: it is
#: full, or does not answer.
_FAILURES_IN_A_ROW = 5


class Destination(Protocol):
    """Where instances are imported to."""

    def store(self, file: FileToStore) -> StoreResponse:
        """Store a DICOM file."""
        ...


class Imported(NamedTuple):
    """One instance of an import: the name of its file, and what is to be said of it.

    `status` is that of the response to its C-STORE, None where there was none.
    """

    file: str
    sop_instance_uid: str
    status: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ImportSelection:
    """Which instances of a File-set are imported; without patients or studies, all that it lists.

    With `unlisted`, also DICOM files that the DICOMDIR does not list. They are imported in any case
    if the DICOMDIR is missing or damaged, or if they lie outside of its folder.
    """

    patient_ids: Collection[str] = ()
    study_instance_uids: Collection[str] = ()
    unlisted: bool = False

    @property
    def is_of_some(self) -> bool:
        """Whether patients or studies are named."""
        return bool(self.patient_ids or self.study_instance_uids)

    def has(self, patient_id: str, study_instance_uid: str) -> bool:
        """Whether an instance of this patient and study is selected."""
        if self.patient_ids and patient_id not in self.patient_ids:
            return False
        return not self.study_instance_uids or study_instance_uid in self.study_instance_uids

    def may_have(self, instance: ListedInstance) -> bool:
        """Whether an instance is selected, as far as its directory records tell."""
        patient_id, study = instance.patient_id, instance.study_instance_uid
        if self.patient_ids and patient_id is not None and patient_id not in self.patient_ids:
            return False
        return not self.study_instance_uids or study is None or study in self.study_instance_uids


@dataclass(slots=True)
class ImportResult:
    """The result of an import.

    `accepted` counts the instances that the destination has taken, `warnings` are those of them
    with a warning. `before` counts those that an earlier import has brought there. `failed` were
    refused or could not be read, `not_sent` were not tried any more for the reason `stopped`.
    `missing` are listed in the DICOMDIR but not on the volume, `unlisted` DICOM files that were
    found but are not listed. `doubtful` were taken although something is wrong with them.
    """

    damage: str = ""
    accepted: int = 0
    before: int = 0
    skipped: list[Imported] = field(default_factory=list)
    warnings: list[Imported] = field(default_factory=list)
    doubtful: list[Imported] = field(default_factory=list)
    failed: list[Imported] = field(default_factory=list)
    not_sent: list[Imported] = field(default_factory=list)
    missing: list[Imported] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def found_any(self) -> bool:
        """Whether any instance was selected, whatever has become of it."""
        counted = self.accepted or self.before
        return bool(counted or self.failed or self.not_sent or self.missing)

    @property
    def complete(self) -> bool:
        """Whether all that was selected is at the destination, and the DICOMDIR could be read."""
        return not (self.damage or self.failed or self.not_sent or self.missing)


class ImportState:
    """Which instances a destination has taken, in a file of one line for each.

    Raises InvalidSettings for a file that is no such state, or that cannot be written.
    """

    def __init__(self, path: Path | None, destination: str) -> None:
        self._path = path
        self._destination = destination
        self._taken: set[tuple[str, str]] = set()
        if path is None:
            return
        try:
            for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                self._read(line)
            with path.open("a", encoding="utf-8"):
                pass
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettings(
                f"{path} cannot hold the state of the import: {error}",
                hint="--state FILE names another file",
            ) from None

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
            key = str(entry["sop_instance_uid"]), str(entry["file"])
            is_of_destination = entry["destination"] == self._destination
        except (ValueError, TypeError, KeyError):
            # the last line of an import that was killed; the instance is sent again
            return
        if is_of_destination:
            self._taken.add(key)

    def has(self, sop_instance_uid: str, file: str) -> bool:
        """Whether the destination has taken the instance of this file of the volume."""
        return (sop_instance_uid, file) in self._taken

    def add(self, sop_instance_uid: str, file: str, status: int | None) -> None:
        """Note that the destination has taken an instance."""
        if self._path is None:
            return
        entry = {
            "destination": self._destination,
            "sop_instance_uid": sop_instance_uid,
            "file": file,
            "status": f"{status or 0:04X}H",
        }
        with self._path.open("a", encoding="utf-8") as state:
            # a line that was cut off must not spoil this one
            state.write(f"\n{json.dumps(entry)}")


def expected_encodings(
    file_set: OpenedFileSet, selection: ImportSelection
) -> Iterator[tuple[str, str]]:
    """SOP Class and transfer syntax of the selected instances, as the DICOMDIR has them."""
    pairs = {
        (instance.sop_class_uid, instance.transfer_syntax_uid): None
        for instance in file_set.listed.values()
        if selection.may_have(instance)
    }
    return (pair for pair in pairs if all(pair))


def import_file_set(
    file_set: OpenedFileSet,
    destination: Destination,
    selection: ImportSelection,
    state: ImportState,
    progress: Progress,
) -> ImportResult:
    """Bring the selected instances of a File-set to the destination, one after another.

    What fails is told in the result. What an earlier import has brought there, as `state` says, is
    not read again.
    """
    with tempfile.TemporaryDirectory(prefix="burnish-") as scratch:
        run = _ImportRun(file_set, destination, selection, state, Path(scratch))
        names = list(file_set.names())
        for number, name in enumerate(names):
            progress("importing", number, len(names))
            run.import_file(name)
        return run.result


class _ImportRun:
    """The files of a File-set, imported one by one."""

    def __init__(
        self,
        file_set: OpenedFileSet,
        destination: Destination,
        selection: ImportSelection,
        state: ImportState,
        scratch: Path,
    ) -> None:
        self.result = ImportResult(file_set.damage)
        self.result.missing = [
            Imported(instance.file_id, instance.sop_instance_uid, None)
            for instance in file_set.missing
            if selection.may_have(instance)
        ]
        self._file_set = file_set
        self._destination = destination
        self._selection = selection
        self._state = state
        self._extracted = scratch / "file"
        self._copy = scratch / "instance"
        self._failures = 0
        #: By SOP Instance UID: the file and the digest of the instance that was sent.
        self._sent: dict[str, tuple[str, str]] = {}

    def import_file(self, name: str) -> None:
        """Import a file of the volume if it is an instance and selected."""
        listed = self._file_set.listed.get(name)
        if listed is None:
            self._import_unlisted(name)
            return
        if not self._selection.may_have(listed):
            return
        if self._state.has(listed.sop_instance_uid, name):
            self.result.before += 1
            return
        if self.result.stopped:
            self._not_sent(name, listed.sop_instance_uid)
            return
        self._import(name, listed)

    def _import_unlisted(self, name: str) -> None:
        try:
            if not self._file_set.is_instance(name):
                return
        except BurnishError as error:
            if not self._file_set.tells_of(name):
                self._fail(name, "", f"it cannot be read: {error}")
            return
        self.result.unlisted.append(name)
        if not self._selection.unlisted and self._file_set.tells_of(name):
            return
        if self.result.stopped:
            self._not_sent(name, "")
            return
        self._import(name, None)

    def _import(self, name: str, listed: ListedInstance | None) -> None:
        uid = listed.sop_instance_uid if listed else ""
        try:
            self._file_set.extract(name, self._extracted)
            indexed = index_file(self._extracted)
            check_uids(indexed.header)
        except (BurnishError, OSError) as error:
            self._fail(name, uid, f"it cannot be read: {error}")
            return
        header = indexed.header
        uid = header.sop_instance_uid
        if listed and uid != listed.sop_instance_uid:
            self._fail(name, uid, "the DICOMDIR lists another SOP Instance UID for this file")
            return
        if not self._selection.has(header.patient_id, header.study_instance_uid):
            if listed and None not in (listed.patient_id, listed.study_instance_uid):
                self._fail(name, uid, "the DICOMDIR lists it under another patient or study")
            return
        if self._state.has(uid, name):
            self.result.before += 1
            return
        try:
            digest = copy_instance(self._extracted, indexed, self._copy).digest
        except OSError as error:
            self._fail(name, uid, f"it cannot be copied: {error.strerror}")
            return
        earlier = self._sent.setdefault(uid, (name, digest))
        if earlier[0] != name:
            self._leave_out_duplicate(name, uid, digest, *earlier)
            return
        self._send(name, indexed)

    def _leave_out_duplicate(
        self, name: str, uid: str, digest: str, first: str, first_digest: str
    ) -> None:
        if digest == first_digest:
            self.result.skipped.append(Imported(name, uid, None, f"the same instance as {first}"))
        else:
            self._fail(name, uid, f"its SOP Instance UID is that of {first}, with other content")

    def _send(self, name: str, indexed: IndexedFile) -> None:
        header = indexed.header
        uid = header.sop_instance_uid
        file = FileToStore(self._copy, header.sop_class_uid, uid, indexed.transfer_syntax_uid)
        response = self._destination.store(file)
        if response.no_response:
            # an association may end for a reason that has nothing to do with the instance
            response = self._destination.store(file)
        kind, meaning = status_meaning(response)
        if kind == "failed":
            self._fail(name, uid, meaning, response.status)
            self._note_failure(response, meaning)
            return
        self._failures = 0
        self.result.accepted += 1
        self._state.add(uid, name, response.status)
        if kind == "warning":
            self.result.warnings.append(Imported(name, uid, response.status, meaning))
        for fault in self._faults(indexed):
            self.result.doubtful.append(Imported(name, uid, response.status, fault))

    def _faults(self, indexed: IndexedFile) -> Sequence[str]:
        fault = indexed.header.fault
        if instance_faults.is_unexamined(fault):
            fault = examine(Slice.of_file(self._copy))
        repair = str(indexed.repair) if indexed.repair else ""
        return [text for text in (fault, repair) if text]

    def _note_failure(self, response: StoreResponse, why: str) -> None:
        """Stop the import if the destination is at fault for good."""
        is_out_of_resources = response.status is not None and response.status >> 8 == 0xA7
        if not response.no_response and not is_out_of_resources:
            return
        self._failures += 1
        if (
            response.no_response is NoResponse.NO_ASSOCIATION
            or self._failures == _FAILURES_IN_A_ROW
        ):
            self.result.stopped = why

    def _fail(self, name: str, uid: str, why: str, status: int | None = None) -> None:
        self.result.failed.append(Imported(name, uid, status, why))

    def _not_sent(self, name: str, uid: str) -> None:
        self.result.not_sent.append(Imported(name, uid, None, self.result.stopped))


#: Statuses of C-STORE by their first digits (PS3.4 B.2.3, PS3.7 9.1.1.1.9 and C).
STATUSES = {
    "0000": ("accepted", ""),
    "B000": ("warning", "coercion of data elements"),
    "B006": ("warning", "elements discarded"),
    "B007": ("warning", "the data set does not match the SOP Class"),
    "B": ("warning", "a warning"),
    "0001": ("warning", "a warning"),
    "0107": ("warning", "a warning about attributes"),
    "0116": ("warning", "an attribute value is out of range"),
    "A7": ("failed", "out of resources"),
    "A9": ("failed", "the data set does not match the SOP Class"),
    "A": ("failed", "a failure"),
    "C": ("failed", "the peer cannot understand it"),
    "0110": ("failed", "processing failure"),
    "0111": ("failed", "duplicate SOP Instance"),
    "0117": ("failed", "invalid SOP Instance"),
    "0122": ("failed", "SOP Class not supported"),
    "0124": ("failed", "not authorized"),
    "0210": ("failed", "duplicate invocation"),
    "0211": ("failed", "unrecognized operation"),
    "0212": ("failed", "mistyped argument"),
    "0213": ("failed", "resource limitation"),
}


def status_meaning(response: StoreResponse) -> tuple[str, str]:
    """Whether a response says accepted, warning or failed, and what it means in words."""
    if response.status is None:
        return "failed", response.comment
    code = f"{response.status:04X}"
    kind, meaning = next(
        (STATUSES[code[:length]] for length in (4, 2, 1) if code[:length] in STATUSES),
        ("failed", "a status that is not one of C-STORE"),
    )
    comment = f": {response.comment}" if response.comment else ""
    return kind, f"{code}H, {meaning}{comment}" if meaning or comment else ""
