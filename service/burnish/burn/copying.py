"""Craft: copies an image, or the files of a volume into a folder."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

#: Bytes between two reports of progress.
_STRETCH = 8 << 20
#: What the system says if it cannot link, or copy in the kernel, between these file systems.
_UNSUPPORTED = {
    errno.EXDEV,
    errno.EPERM,
    errno.EMLINK,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
}


def link(image: Path, target: Path) -> bool:
    """Gives the image a second name in another folder; False if that is not possible."""
    try:
        os.link(image, target, follow_symlinks=True)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def copy(image: int, target: int, size: int, progress: Callable[[int], None] | None) -> None:
    """Copies in the kernel, which shares the blocks if the file system can."""
    can_share = True
    done = 0
    while done < size:
        length = min(_STRETCH, size - done)
        try:
            if can_share:
                count = os.copy_file_range(image, target, length, done)
            else:
                count = os.sendfile(target, image, done, length)
        except OSError as error:
            if not can_share or error.errno not in _UNSUPPORTED:
                raise
            can_share = False
            continue
        if not count:
            raise OSError(errno.EIO, "the image is shorter than it was")
        done += count
        if progress:
            progress(done)


def write_files(
    files: Iterable[tuple[str, Iterable[bytes | memoryview]]],
    folder: Path,
    progress: Callable[[int], None] | None,
) -> Iterator[Path]:
    """Writes files, given by File ID, below a folder; yields the path of each durable file."""
    done = 0
    for file_id, chunks in files:
        path = folder.joinpath(*file_id.split("\\"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            for chunk in chunks:
                done += stream.write(chunk)
                if progress:
                    progress(done)
            stream.flush()
            os.fsync(stream.fileno())
        yield path
