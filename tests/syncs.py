"""What a test sees of durability: which files and folders were synced, and before which renames."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Syncs:
    """The syncs and renames of a piece of code, in their order."""

    def __init__(self) -> None:
        self._done: list[tuple[Path, Path | None]] = []

    def synced(self, path: Path) -> None:
        self._done.append((path, None))

    def renamed(self, old: Path, new: Path) -> None:
        self._done.append((old, new))

    def paths(self) -> set[Path]:
        """Everything that was synced, under the name that it had."""
        return {path for path, new in self._done if new is None}

    def renamed_to(self) -> set[Path]:
        """Every name that a file or folder got by renaming."""
        return {new for _, new in self._done if new is not None}

    def order(self, path: Path) -> int:
        """When `path` was first synced, or first got its name: a number that grows with time."""
        return next(number for number, (old, new) in enumerate(self._done) if path == (new or old))

    def assert_durable(self, path: Path) -> None:
        """Fail unless the bytes of `path` were synced before it got its name, and then its name.

        The bytes may have been synced under an earlier name. A file that never had another name
        only has to be synced.
        """
        renames = [number for number, (_, new) in enumerate(self._done) if new == path]
        if not renames:
            assert path in self.paths(), f"{path.name} was not synced"
            return
        rename = renames[-1]
        earlier = self._done[:rename]
        names = {self._done[rename][0]}
        for old, new in reversed(earlier):
            if new in names:
                names.add(old)
        synced = {old for old, new in earlier if new is None}
        assert names & synced, f"{path.name} was not synced before it got its name"
        folder = (path.parent, None)
        assert folder in self._done[rename:], f"the folder of {path.name} was not synced"


@contextmanager
def recorded_syncs() -> Iterator[Syncs]:
    """The syncs and renames inside the block; they are done as well."""
    syncs = Syncs()
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def record_sync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        syncs.synced(Path(os.readlink(f"/proc/self/fd/{number}")))
        fsync(descriptor)

    def record_rename(old: Any, new: Any) -> None:
        rename(old, new)
        syncs.renamed(Path(old), Path(new))

    def record_replace(old: Any, new: Any) -> None:
        replace(old, new)
        syncs.renamed(Path(old), Path(new))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", record_sync)
        patch.setattr(os, "rename", record_rename)
        patch.setattr(os, "replace", record_replace)
        yield syncs
