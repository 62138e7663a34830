"""Craft: an image under another name, or its files in a folder."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_STRETCH = 8 << 20
_ELSEWHERE = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def link(image: Path, part: Path) -> bool:
    """Another name for the image, in another folder; False where that cannot be."""
    try:
        os.link(image, part, follow_symlinks=True)
    except OSError as error:
        if error.errno not in _ELSEWHERE:
            raise
        return False
    return True


def copy(image: int, target: int, size: int, progress: Callable[[int], None] | None) -> None:
    """Copies in the kernel, which shares the blocks where the file system can."""
    sharing = True
    done = 0
    while done < size:
        length = min(_STRETCH, size - done)
        try:
            if sharing:
                moved = os.copy_file_range(image, target, length, done)
            else:
                moved = os.sendfile(target, image, done, length)
        except OSError as error:
            if not sharing or error.errno not in _ELSEWHERE:
                raise
            sharing = False
            continue
        if not moved:
            raise OSError(errno.EIO, "the image ends before its end")
        done += moved
        if progress:
            progress(done)


def lay_out(
    files: Iterable[tuple[str, Iterable[bytes | memoryview]]],
    folder: Path,
    progress: Callable[[int], None] | None,
) -> Iterator[Path]:
    """Writes files, by File IDs, below a folder; gives the path of each when it is durable."""
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
