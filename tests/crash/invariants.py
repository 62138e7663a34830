"""What must hold of a storage root, whatever has happened to it."""

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from burnish.db import instance_records
from burnish.file_slice import Slice
from burnish.spool import segment
from digesting import digest_of

Rows = list[sqlite3.Row]


class Root:
    """A storage root, read beside the service."""

    def __init__(self, root: Path, outbox: Path | None = None) -> None:
        self.root = root
        self.outbox = outbox or root / "outbox"

    def rows(self, query: str) -> Rows:
        with closing(sqlite3.connect(self.root / "burnish.db", timeout=120)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query).fetchall()

    def spooled(self, key: str, size: int) -> Slice:
        """Where an instance is; worked out without the service."""
        segment_name, _, offset = key.partition("@")
        if offset:
            path = self.root / "spool" / "segments" / f"{segment_name}.seg"
            return Slice(str(path), int(offset), size)
        return Slice(str(self.root / "spool" / "instances" / key[:2] / key), 0, size)

    # --- what holds at every moment --------------------------------------------------------------

    def faults(
        self, stored: Mapping[str, bytes] = {}, *, rows_may_follow: bool = False
    ) -> Iterator[str]:
        """What is wrong at any moment at all; `stored` are the data sets that must be here.

        `rows_may_follow`: some may have no row yet, but then they are in a segment.
        """
        yield from self._database()
        yield from self._instances(stored, self._appended() if rows_may_follow else set())
        yield from self._histories()
        yield from self._requests()

    def _database(self) -> Iterator[str]:
        for row in self.rows("PRAGMA integrity_check"):
            if row[0] != "ok":
                yield f"database: {row[0]}"
        for row in self.rows("PRAGMA foreign_key_check"):
            yield f"database: {tuple(row)} refers to what is not there"

    def _appended(self) -> set[str]:
        """The digests of all instances that are in segments, or in files that these name."""
        digests = set()
        for path in (self.root / "spool" / "segments").glob("*.seg"):
            with path.open("rb") as file:
                for record in segment.all_records(file.fileno()):
                    if segment.is_released(file.fileno(), record):
                        continue
                    row = instance_records.decode(record.row, f"{path.stem}@{record.payload}", "")
                    source = self.spooled(row["spool_key"], record.size)
                    if source.is_whole():
                        digests.add(digest_of(source.read(record.data_set_offset, record.size)))
        return digests

    def _instances(self, stored: Mapping[str, bytes], appended: set[str]) -> Iterator[str]:
        live = self.rows("SELECT * FROM instance WHERE released_at IS NULL")
        published = self.rows(
            "SELECT t.* FROM transcoded_instance t JOIN instance i ON t.instance_id = i.id"
            " WHERE i.released_at IS NULL"
        )
        for row in [*live, *published]:
            source = self.spooled(row["spool_key"], row["size"])
            if not source.is_whole():
                yield f"instance {row['id']}: a row without its file"
                continue
            data = source.read(0, source.size)
            if (
                len(data) != row["size"]
                or digest_of(data[row["data_set_offset"] :]) != (row["digest"])
            ):
                yield f"instance {row['id']}: its file is not what its row says"
        by_uid: dict[str, list[sqlite3.Row]] = defaultdict(list)
        for row in live:
            by_uid[row["sop_instance_uid"]].append(row)
        for uid, rows in by_uid.items():
            if sum(row["replaced_at"] is None for row in rows) > 1:
                yield f"{uid} has several newest contents"
        for uid, data in stored.items():
            if digest_of(data) in appended:
                continue
            if uid not in by_uid:
                yield f"{uid} was acknowledged and is not here"
            elif digest_of(data) not in [row["digest"] for row in by_uid[uid]]:
                yield f"{uid} is not what was acknowledged"
            elif all(row["replaced_at"] for row in by_uid[uid]):
                yield f"{uid} has no newest content"

    def _histories(self) -> Iterator[str]:
        """Each state follows from the one before, and a piece is claimed by one at a time."""
        chains: dict[tuple[str, int], list[sqlite3.Row]] = defaultdict(list)
        for row in self.rows("SELECT * FROM event WHERE after <> '' ORDER BY id"):
            key = ("piece", row["piece_id"]) if row["piece_id"] else ("request", row["request_id"])
            chains[key].append(row)
        pieces = {row["id"]: row for row in self.rows("SELECT * FROM piece")}
        requests = {row["id"]: row for row in self.rows("SELECT * FROM media_creation_request")}
        for (kind, number), chain in chains.items():
            for before, after in pairwise(chain):
                if after["before"] != before["after"]:
                    yield f"{kind} {number}: {before['after']} before, {after['before']} after"
            if kind == "piece":
                claims = sum(row["event"] == "CLAIMED" for row in chain)
                now = pieces.get(number)
                if now is not None and (
                    chain[-1]["after"] != now["state"] or claims > now["lease_epoch"]
                ):
                    yield f"piece {number}: {now['state']} is not where its history ends"
            elif chain[-1]["after"] != requests[number]["execution_status"]:
                yield f"request {number}: its status is not where its history ends"

    def _requests(self) -> Iterator[str]:
        live = "SELECT file_set_id, copy_number FROM piece WHERE state = 'CREATED'"
        created = [tuple(row) for row in self.rows(live)]
        if len(set(created)) < len(created):
            yield "a copy was created twice"
        sets: dict[int, list[sqlite3.Row]] = defaultdict(list)
        for row in self.rows("SELECT * FROM file_set"):
            sets[row["request_id"]].append(row)
        for row in self.rows("SELECT * FROM media_creation_request"):
            status, info = row["execution_status"], row["execution_status_info"]
            copies = range(1, row["number_of_copies"] + 1)
            if status == "FAILURE" and info in ("NORMAL", "UNKNOWN", "QUEUED"):
                yield f"request {row['id']}: FAILURE for no reason"
            if status == "DONE" and not all(
                (file_set["id"], copy) in created for file_set in sets[row["id"]] for copy in copies
            ):
                yield f"request {row['id']}: DONE with a piece missing"

    def published(self) -> Iterator[str]:
        """What is wrong in the outbox: a volume with a manifest is whole, and a CREATED one has it.

        So is every label beside it.
        """
        intact: set[tuple[str, int]] = set()
        for manifest in self.outbox.glob("R*/*.json"):
            try:
                description = json.loads(manifest.read_bytes())
            except ValueError:
                yield f"{manifest.name} is not whole"
                continue
            for label in manifest.parent.glob(f"{manifest.stem}*.pdf"):
                data = label.read_bytes()
                if not (data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")):
                    yield f"{label.name} is not whole"
            image = manifest.parent / description["image"]
            if not image.is_file():
                yield f"{manifest.name} without its image"
                continue
            data = image.read_bytes()
            if (
                len(data) != description["size"]
                or hashlib.sha256(data).hexdigest() != description["sha256"]
            ):
                yield f"{image.name} is not what its manifest says"
            intact.add((description["file_set_uid"], description["copy_number"]))
        for row in self.rows(
            "SELECT f.file_set_uid, p.copy_number FROM piece p"
            " JOIN file_set f ON p.file_set_id = f.id WHERE p.state = 'CREATED'"
        ):
            if tuple(row) not in intact:
                yield f"a piece that was CREATED is not there: {tuple(row)}"

    # --- what holds when nothing is under way ----------------------------------------------------

    def unsettled(self) -> Iterator[str]:
        """What has no next step and no end, once everything has had its turn."""
        for row in self.rows("SELECT * FROM media_creation_request"):
            if row["execution_status"] in ("PENDING", "CREATING"):
                yield (
                    f"request {row['id']}: {row['execution_status']}"
                    f" {row['execution_status_info']} {row['remedy']}"
                )
        for row in self.rows("SELECT * FROM piece"):
            if row["state"] in ("QUEUED", "IMAGING", "WRITING", "VERIFYING"):
                yield f"piece {row['id']}: {row['state']}"

    def orphans(self) -> Iterator[str]:
        """Files that no row needs, once retention and the sweep have run."""
        named = {
            *self._column("SELECT spool_key FROM instance WHERE released_at IS NULL"),
            *self._column(
                "SELECT t.spool_key FROM transcoded_instance t JOIN instance i"
                " ON t.instance_id = i.id WHERE i.released_at IS NULL"
            ),
        }
        for path in (self.root / "spool" / "instances").glob("*/*"):
            if path.name not in named:
                yield f"orphan {path.relative_to(self.root)}"
        for folder in (self.root / "spool" / "incoming", self.outbox / ".staging"):
            for path in folder.glob("*"):
                yield f"orphan {path.relative_to(folder.parent)}"
        needed = self._column(
            "SELECT file_set_id FROM piece WHERE state NOT IN ('CREATED', 'SPOILED', 'DROPPED')"
        )
        for path in (self.root / "images").glob("*"):
            if int(path.name.partition("-")[0]) not in needed:
                yield f"orphan {path.relative_to(self.root)}"
        for path in self.outbox.glob("R*/**/*"):
            folder, *parts = path.relative_to(self.outbox).parts
            stem = parts[0].partition(".")[0].removesuffix("-ADDRESS")
            if path.is_file() and not (self.outbox / folder / f"{stem}.json").is_file():
                yield f"half published {path.relative_to(self.outbox)}"

    def _column(self, query: str) -> set[Any]:
        return {row[0] for row in self.rows(query)}


def open_references(root: Root) -> set[str]:
    """The instances that a request which has not ended needs."""
    return root._column(
        "SELECT referenced_sop_instance_uid FROM referenced_instance r"
        " JOIN media_creation_request m ON r.request_id = m.id"
        " WHERE execution_status IN ('IDLE', 'PENDING', 'CREATING')"
    )
