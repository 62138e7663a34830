"""Inserts instance rows directly, hundreds of thousands of them, without files."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from workloads import EXPLICIT_VR_LITTLE_ENDIAN, Workload, uid, write_files

#: The number of the run; study, series and number of each row are those of `Instance.become`.
RUN = 900_000_000


def database(storage_root: Path) -> Path:
    return storage_root / "burnish.db"


def insert(path: Path, workload: Workload, count: int, scratch: Path) -> None:
    """Inserts `count` rows of live instances of run RUN, like those that are received."""
    from burnish.db import instance_rows
    from burnish.instance_header.header import index_file

    (sample,) = write_files(workload, 1, RUN, scratch)
    indexed = index_file(sample)
    row = {
        **instance_rows.header_values(indexed.header),
        "transfer_syntax_uid": EXPLICIT_VR_LITTLE_ENDIAN,
        "size": sample.stat().st_size,
        "data_set_offset": indexed.data_set_offset,
        "calling_ae_title": "BENCHMARK",
        "called_ae_title": "BURNISH",
        "received_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "released_at": None,
        "replaced_at": None,
    }
    fixed = [name for name in row if name not in _VARYING]
    names = [*fixed, *_VARYING]
    marks = ",".join("?" * len(names))
    columns = ",".join(names)
    first_study, first_series = (uid(kind, RUN, 0).encode() for kind in ("study", "series"))
    entity_keys = indexed.header.entity_keys

    def rows():
        values = [row[name] for name in fixed]
        for number in range(count):
            series = number // workload.per_series
            study = series // workload.series_per_study
            study_uid, series_uid = uid("study", RUN, study), uid("series", RUN, series)
            keys = entity_keys.replace(first_study, study_uid.encode())
            keys = keys.replace(first_series, series_uid.encode())
            yield (
                *values,
                uid("instance", RUN, number),
                study_uid,
                series_uid,
                number % workload.per_series + 1,
                f"{number:024x}",
                f"blake3:{number:064x}",
                keys,
            )

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(
            f"INSERT INTO instance ({columns}) VALUES ({marks})",  # noqa: S608  our own names
            rows(),
        )
    connection.close()


_VARYING = (
    "sop_instance_uid",
    "study_instance_uid",
    "series_instance_uid",
    "instance_number",
    "spool_key",
    "digest",
    "entity_keys",
)
