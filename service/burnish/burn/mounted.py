"""Craft: the device `mounted`: copies File-sets as files to a mounted stick or card."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from burnish.burn.burner import (
    IMAGE_GONE,
    BurnJob,
    BurnOutcome,
    BurnResult,
    Supply,
    Tell,
    error_result,
    operator_error,
)
from burnish.burn.copying import write_files
from burnish.burn.presence import free_space
from burnish.durable_files import sync
from burnish.errors import Unknown
from burnish.hashing import digest_of
from burnish.lifecycle import Custody

_STICKS = ("USB", "CF", "MMC", "SD")
_MOUNTS = Path("/proc/self/mountinfo")
_FAT = ("vfat", "msdos")
#: This file is on the stick while it is being written, so that an unfinished piece is recognised.
_UNDER_WAY = "BURNISH.TMP"
#: What operating systems put on a stick.
_SYSTEM_FOLDERS = {"System Volume Information", ".Trashes", ".fseventsd", ".Spotlight-V100"}
_ESCAPED = re.compile(r"\\([0-7]{3})")


class MountedBurner:
    """Copies to the FAT file system that is mounted at `directory`, which must be empty.

    An operator puts in an empty stick for each piece, and takes it out when the piece is created.
    """

    custody = Custody.AGAIN

    def __init__(self, name: str, *, directory: Path) -> None:
        self.name = name
        self._directory = directory
        #: The piece that is complete on the stick, and the digest of its DICOMDIR.
        self._finished = ("", "")

    def state(self) -> BurnResult:
        if _file_system_at(self._directory) not in _FAT:
            detail = f"no stick with FAT16 or FAT32 is mounted at {self._directory}"
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, "Put in an empty stick.")
        try:
            if self._foreign_files():
                remedy = "Take the stick out and put in an empty one."
                return self._result(BurnOutcome.HOLD_OPERATOR, "the stick is not empty", remedy)
            room = os.statvfs(self._directory)
        except OSError as error:
            return error_result(self.name, self._directory, error)
        free = room.f_bavail * room.f_frsize
        if (self._directory / _UNDER_WAY).exists():
            free = room.f_blocks * room.f_frsize  # the unfinished piece is removed
        return BurnResult(
            BurnOutcome.READY, "there is an empty stick", takes=dict.fromkeys(_STICKS, free)
        )

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,  # noqa: ARG002  it does not work on its own
    ) -> BurnResult:
        key = self._key(job)
        if not job.image.exists() or job.files is None:
            return IMAGE_GONE
        size = job.image.stat().st_size
        if not self._is_on_stick(job):
            ready = self.state()
            if ready.outcome is not BurnOutcome.READY:
                return ready
            try:
                self._clear()
                self._copy(key, job.files(), progress)
            except OSError as error:
                return error_result(self.name, self._directory, error)
            self._finished = (key, self._directory_digest())
        if progress:
            progress(size)
        return BurnResult(BurnOutcome.WRITTEN, f"copied to {self._directory}")

    def written(self, job: BurnJob) -> Path:
        if self._finished[0] != self._key(job):
            raise Unknown(f"{job.stem} of {job.request_name} is not on the stick")
        return self._directory

    def publish(self, job: BurnJob) -> Path:
        path = self.written(job)
        try:
            (path / _UNDER_WAY).unlink(missing_ok=True)
            sync(path)
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error
        return path

    def discard(self, job: BurnJob) -> None:
        is_ours = (self._directory / _UNDER_WAY).exists() or self._is_on_stick(job)
        self._finished = ("", "")
        try:
            if is_ours:
                self._clear()
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error

    def supplies(self) -> tuple[Supply, ...]:
        return free_space(self._directory)

    def tidy(self) -> None:
        with contextlib.suppress(OSError):
            if (self._directory / _UNDER_WAY).exists():
                self._clear()

    def _is_on_stick(self, job: BurnJob) -> bool:
        """Whether the piece was copied, and the stick with it is still there."""
        key, digest = self._finished
        return key == self._key(job) and digest == self._directory_digest()

    def _directory_digest(self) -> str:
        """The digest of the DICOMDIR on the stick; "" if there is none."""
        try:
            return digest_of((self._directory / "DICOMDIR").read_bytes())
        except OSError:
            return ""

    def _key(self, job: BurnJob) -> str:
        return f"{job.checked_name()} {job.stem} {job.file_set_uid}"

    def _foreign_files(self) -> list[str]:
        """The files on the stick that do not belong to an unfinished piece."""
        if (self._directory / _UNDER_WAY).exists():
            return []
        return [name for name in os.listdir(self._directory) if name not in _SYSTEM_FOLDERS]

    def _clear(self) -> None:
        for path in self._directory.iterdir():
            if path.name in (*_SYSTEM_FOLDERS, _UNDER_WAY):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        (self._directory / _UNDER_WAY).unlink(missing_ok=True)

    def _copy(
        self,
        key: str,
        files: Iterable[tuple[str, Iterable[bytes | memoryview]]],
        progress: Callable[[int], None] | None,
    ) -> None:
        mark = self._directory / _UNDER_WAY
        mark.write_text(key, encoding="ascii")
        for path in (mark, self._directory):
            sync(path)
        folders = {self._directory}
        for path in write_files(files, self._directory, progress):
            # each folder is a name in the one above it, up to the stick itself
            folders.update(path.parents[: path.parents.index(self._directory)])
            _drop_cache(path)
        for folder in folders:
            sync(folder)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)


def _file_system_at(directory: Path) -> str:
    """The type of the file system that is mounted at `directory`; "" if there is none."""
    file_system = ""
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split()[4])
        if Path(point) == directory:
            file_system = after.split()[0]  # the last one hides the others
    return file_system


def _drop_cache(path: Path) -> None:
    """Drops what the system has cached of a file, so that reading back reads the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
