"""Ground: instances on storage, written whole or not at all."""

import ctypes
import errno
import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from burnish.durable_files import sync
from burnish.errors import OutOfResources
from burnish.file_slice import Slice
from burnish.spool import release, segment
from burnish.spool.appender import Appender, Notice
from burnish.spool.segments_ahead import SegmentsAhead

#: The errors of a disk that is full or fails. Work then waits, and resumes by itself.
DISK_FAILS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
#: Number of folders over which published files are spread, by the first byte of their key.
_FOLDERS = 256
#: The keys of conversions end with this. Other keys are hexadecimal digits.
_CONVERTED = "-c"
#: Seconds between two looks at how much of the disk is in use.
_ROOM_CHECK_INTERVAL = 1.0
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class Spool:
    """The spool below `root`: `incoming/` for what is arriving, `instances/` for what has arrived.

    An instance is known by its key. It has a file of its own, whose name is the key: random, never
    anything that a peer sent. Or it is part of a segment, a file in `segments/`: then its key is
    the name of the segment, `@`, and the offset of its first byte. Only this package knows how a
    key is written.

    With `durable`, what was published or appended is on disk; without, it is in the page cache.
    Once `high_water` of the disk is in use, `check_room` fails until no more
    than `low_water` is; both are shares of 1.
    """

    def __init__(
        self, root: Path, *, durable: bool, high_water: float = 1.0, low_water: float = 1.0
    ) -> None:
        self.durable = durable
        self._high_water = high_water
        self._low_water = min(low_water, high_water)
        self._room_checked_at = -60.0
        self._is_full = False
        self.incoming = root / "incoming"
        self.instances = root / "instances"
        self.segments = root / "segments"
        # joined as text: to make a Path costs as much as the system call that it is made for
        self._incoming_prefix = f"{self.incoming}/"
        self._instances_prefix = f"{self.instances}/"
        self._segments_prefix = f"{self.segments}/"
        is_new = not self.incoming.is_dir()
        for number in range(_FOLDERS):
            (self.instances / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        if durable and is_new:
            for folder in (self.instances, root, root.parent):
                sync(folder)
        self.incoming.mkdir(exist_ok=True)
        if not self.segments.is_dir():
            self.segments.mkdir(exist_ok=True)
            if durable:
                sync(root)
        # Open before the first byte is written, and for as long as the process lives: Linux reports
        # a failed write once to each descriptor that was open then, and not to one opened later.
        self._descriptor = os.open(self.instances, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def new_key(self) -> str:
        """A key that no file has, for an instance that is received."""
        return os.urandom(12).hex()

    def new_converted_key(self) -> str:
        """A key for a conversion, which can be told from the keys of received instances."""
        return self.new_key() + _CONVERTED

    def arriving(self, key: str) -> Path:
        """Where the bytes of `key` are until they are published."""
        return Path(self._incoming_prefix + key)

    def create(self, key: str) -> int:
        """Create the arriving file of `key`; a descriptor to write its bytes to."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return os.open(self._incoming_prefix + key, flags, 0o640)

    def path(self, key: str) -> Path:
        """Where the published file of `key` is."""
        return Path(self._published_name(key))

    def slice(self, key: str, size: int) -> Slice:
        """Where the `size` bytes of the published instance with this key are."""
        name, at, offset = key.partition("@")
        if at:
            return Slice(f"{self._segments_prefix}{name}{segment.SUFFIX}", int(offset), size)
        return Slice(self._published_name(key), 0, size)

    def has_whole(self, key: str, size: int) -> bool:
        """Whether an instance is complete. One that cannot be read counts as lost."""
        try:
            return self.slice(key, size).is_whole()
        except OSError:
            return False

    def key_in_segment(self, name: str, offset: int) -> str:
        """The key of the instance whose first byte is at `offset` of the segment `name`."""
        return f"{name}@{offset}"

    def place_in_segment(self, key: str) -> tuple[str, int]:
        """The name of a segment and the offset in it, for the key of an instance that is there."""
        name, _, offset = key.partition("@")
        return name, int(offset)

    def sync_segments(self) -> None:
        """Make the names of segments durable: those that were added, and those that are gone."""
        if self.durable:
            sync(self.segments)

    def appender(self, notify: Notice, ahead: SegmentsAhead | None = None) -> Appender:
        """Appends instances to segments of this spool; see `Appender`."""
        return Appender(self.segments, notify, durable=self.durable, ahead=ahead)

    def erase(self, key: str, size: int) -> None:
        """Give back the room of an instance that was released, if there is one.

        A file of its own is removed. In a segment the instance is first marked as released, then
        its range becomes a hole, where the file system can make one.
        """
        source = self.slice(key, size)
        if not source.offset:
            self.remove(key)
            return
        with suppress(FileNotFoundError), release.opened(source.path) as descriptor:
            release.release(descriptor, source)

    def erase_durably(self, files: Iterable[tuple[str, int]]) -> None:
        """Erase instances, given by key and size, so that they do not come back after a crash."""
        slices_by_segment: dict[str, list[Slice]] = {}
        for key, size in files:
            source = self.slice(key, size)
            if source.offset:
                slices_by_segment.setdefault(source.path, []).append(source)
            else:
                self.remove(key)
        for path, slices in slices_by_segment.items():
            with suppress(FileNotFoundError), release.opened(path) as descriptor:
                for source in slices:
                    release.release(descriptor, source)
                if self.durable:
                    os.fdatasync(descriptor)

    def mark_as_moved(self, keys: Iterable[str]) -> None:
        """Have the records of these instances in segments count as released.

        They can still be read by their keys.
        """
        payloads: dict[str, list[int]] = {}
        for key in keys:
            name, payload = self.place_in_segment(key)
            payloads.setdefault(name, []).append(payload)
        for name, payloads_of_segment in payloads.items():
            with release.opened(str(segment.path(self.segments, name))) as descriptor:
                for payload in payloads_of_segment:
                    release.mark_record(descriptor, payload)

    def check_room(self) -> None:
        """Raise OutOfResources while the disk is too full."""
        now = monotonic()
        if now - self._room_checked_at >= _ROOM_CHECK_INTERVAL:
            try:
                usage = shutil.disk_usage(self.incoming)
            except OSError as error:
                raise OutOfResources(f"the spool does not answer: {error.strerror}") from None
            share = usage.used / usage.total
            if self._is_full:
                self._is_full = share > self._low_water
            else:
                self._is_full = share >= self._high_water
            self._room_checked_at = now
        if self._is_full:
            raise OutOfResources(
                "the disk of the spool is above high water",
                hint="free some of the disk, or shorten [retention]",
            )

    def has_room_ahead(self, size: int) -> bool:
        """Whether the disk stays below low water with so many bytes more; raises OSError."""
        usage = shutil.disk_usage(self.incoming)
        return (usage.used + size) / usage.total < self._low_water

    def publish(self, keys: Sequence[str]) -> None:
        """Make arrived files durable under their final names, all of a group by one sync."""
        for key in keys:
            os.rename(self._incoming_prefix + key, self._published_name(key))
        if not self.durable:
            return
        if len(keys) == 1 or _SYNCFS is None:
            for key in keys:
                sync(self.path(key))
            for folder in {key[:2] for key in keys}:
                sync(self.instances / folder)
            return
        if _SYNCFS(self._descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")

    def remove(self, key: str) -> None:
        """Remove the file of `key`, arriving or published, if there is one."""
        self.arriving(key).unlink(missing_ok=True)
        self.path(key).unlink(missing_ok=True)

    def published_keys(self) -> Iterator[str]:
        """The key of every published file."""
        for folder in sorted(self.instances.iterdir()):
            with os.scandir(folder) as files:
                for file in files:
                    yield file.name

    def has_instances(self) -> bool:
        """Whether anything that was received is here."""
        if next(self.published_keys(), None) is not None:
            return True
        for name in segment.names(self.segments):
            with (
                suppress(FileNotFoundError),
                segment.opened(self.segments, name) as descriptor,
            ):
                for record in segment.records(descriptor):
                    if not record.has_own_file and not segment.is_released(descriptor, record):
                        return True
        return False

    def folders(self) -> list[Path]:
        """Every folder of the spool."""
        return [
            self.instances.parent,
            self.incoming,
            self.segments,
            self.instances,
            *self.instances.iterdir(),
        ]

    def _published_name(self, key: str) -> str:
        return f"{self._instances_prefix}{key[:2]}/{key}"


def is_converted(key: str) -> bool:
    """Whether a file is a conversion, so not what a peer sent."""
    return key.endswith(_CONVERTED)
