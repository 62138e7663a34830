"""A disk in a model: what is on it, and what only the system's memory has, when the power fails.

The rules are harsher than those of any file system in use: bytes are on disk when their file was
synced, names when their directory was, and nothing else is. What was not synced may be lost, torn,
or there.
"""

import copy
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from crash.steps import Op, Record


@dataclass(eq=False)
class File:
    """A file: what is read of it, what is on disk, and what was done to it since."""

    now: bytearray = field(default_factory=bytearray)
    kept: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def do(self, offset: int, data: bytes | None) -> None:
        """Writes, or without data truncates."""
        _apply(self.now, offset, data)
        self.since.append((offset, data))

    def sync(self) -> None:
        self.kept, self.since = bytes(self.now), []

    def survivor(self, chance: random.Random) -> bytes:
        """With some of what was done since, and some of that by half."""
        data = bytearray(self.kept)
        for offset, piece in self.since:
            if chance.random() < 0.5:
                torn = piece and chance.random() < 0.3
                _apply(data, offset, piece[: chance.randrange(len(piece))] if torn else piece)
        return bytes(data)

    def hollow(self) -> bytes:
        """As large as it was, without the bytes that were not synced."""
        return self.kept.ljust(len(self.now), b"\0")[: len(self.now)]


def _apply(data: bytearray, offset: int, piece: bytes | None) -> None:
    end = offset + len(piece or b"")
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if piece is None:
        del data[offset:]
    else:
        data[offset:end] = piece


Node = File | None  # None is a directory
Tree = dict[str, bytes | None]  # what is found: a name and its bytes; None is a directory
Change = tuple[str, Node, bool]  # a name, what it names, and whether it is there


class Disk:
    """The tree below `root`, which is taken as synced when it is looked at."""

    def __init__(self, root: Path) -> None:
        self._by_inode: dict[int, File] = {}
        self.names: dict[str, Node] = {}
        self._since: list[Change] = []
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            self.names[name] = None
            if path.is_file():
                data = path.read_bytes()
                file = self.names[name] = File(bytearray(data), data)
                self._by_inode[path.stat().st_ino] = file
        self.kept = dict(self.names)

    def copy(self) -> "Disk":
        """Another disk with the same tree."""
        return copy.deepcopy(self)

    def do(self, record: Record) -> None:
        """Takes one step. What others did, on media or on another machine, is on disk at once."""
        self._do(record)
        if record.outside:
            names = {record.path, record.other}
            for change in self._since:
                if change[0] in names:
                    _rename(self.kept, change)
            self._since = [change for change in self._since if change[0] not in names]
            file = self._by_inode.get(record.inode)
            if file is not None:
                file.sync()

    def _do(self, record: Record) -> None:
        path, op = record.path, record.op
        if op is Op.CREATE:
            self._by_inode[record.inode] = file = File()
            self._name(path, file)
        elif op is Op.TRUNCATE:
            self._by_inode[record.inode].do(record.offset, None)
        elif op in (Op.WRITE, Op.COPY):
            self._by_inode[record.inode].do(record.offset, record.data)
        elif op is Op.RENAME:
            self._name(record.other, self.names[path])
            self._name(path, self.names[path], there=False)
        elif op is Op.LINK:
            self._name(record.other, self.names[path])
        elif op is Op.MKDIR:
            self._name(path, None)
        elif op in (Op.UNLINK, Op.RMDIR):
            self._name(path, self.names[path], there=False)
        elif op is Op.SYNCFS:
            for file in self._by_inode.values():
                file.sync()
            self._sync_names(lambda _: True)
        elif op is Op.FSYNC:
            file = self._by_inode.get(record.inode)
            if file is not None and self.names.get(path) is file:
                file.sync()
            else:
                directory = PurePosixPath("" if path.startswith("/") else path)
                self._sync_names(lambda name: PurePosixPath(name).parent == directory)

    def _name(self, name: str, node: Node, *, there: bool = True) -> None:
        self._since.append((name, node, there))
        _rename(self.names, (name, node, there))

    def _sync_names(self, chosen: Callable[[str], bool]) -> None:
        for change in self._since:
            if chosen(change[0]):
                _rename(self.kept, change)
        self._since = [change for change in self._since if not chosen(change[0])]

    def unsynced(self, folder: str) -> list[str]:
        """What is below a folder, or is gone from it, and is not on disk yet."""
        return [
            name
            for name in sorted({*self.names, *self.kept})
            if name.startswith(f"{folder}/")
            and (
                (name in self.names) is not (name in self.kept)
                or self.names[name] is not self.kept[name]
                or bool((file := self.names[name]) and file.since)
            )
        ]

    # --- what may be found when the power is back -------------------------------------------------

    def least(self) -> Tree:
        """Nothing but what was synced."""
        return _reachable(self.kept, lambda file: file.kept)

    def hollow(self) -> Tree:
        """Every name, but of the bytes only those that were synced."""
        return _reachable(self.names, File.hollow)

    def by_chance(self, seed: int) -> Tree:
        """Some of the names, in the order in which they were made, and some of the bytes."""
        chance = random.Random(seed)
        names = dict(self.kept)
        for change in self._since[: chance.randrange(len(self._since) + 1)]:
            _rename(names, change)
        return _reachable(names, lambda file: file.survivor(chance))


def _rename(names: dict[str, Node], change: Change) -> None:
    name, node, there = change
    if there:
        names[name] = node
    else:
        names.pop(name, None)


def _reachable(names: dict[str, Node], content: Callable[[File], bytes]) -> Tree:
    contents: dict[int, bytes] = {}
    tree: Tree = {}
    for name in sorted(names):
        parent = name.rpartition("/")[0]
        node = names[name]
        if (parent and tree.get(parent, b"") is not None) or name.endswith("-shm"):
            continue  # its directory is not there; or it is shared memory, and not a file
        if node is None:
            tree[name] = None
            continue
        if id(node) not in contents:
            contents[id(node)] = content(node)
        tree[name] = contents[id(node)]
    return tree


def lay_out(tree: Tree, root: Path) -> None:
    """Makes `root` have this tree and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, data in tree.items():
        if data is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(data)


def moments(records: list[Record]) -> Iterator[int]:
    """After how many records the power may best fail: before a sync, and after a promise."""
    for number, record in enumerate(records):
        if record.op in (Op.FSYNC, Op.SYNCFS):
            yield number
        elif record.op is Op.NOTE:
            yield number + 1
    yield len(records)
