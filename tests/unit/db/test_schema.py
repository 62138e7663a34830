"""The migrations: what they make is what the tables say, and a wrong version is told apart."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from burnish.db import schema
from burnish.db.session import Database
from burnish.db.tables import Table
from burnish.errors import OperatorError, SchemaMismatch
from burnish.hashing import digest_text, hasher_like
from burnish.plan.planner import Planner
from factories import Ground, instance


def url(path: Path) -> str:
    return f"sqlite:///{path / 'burnish.db'}"


def test_the_migrations_make_the_schema_of_the_tables(tmp_path: Path) -> None:
    schema.upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    with database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    database.close()


def test_partial_indexes_are_there(tmp_path: Path) -> None:
    schema.upgrade(url(tmp_path))
    with sqlite3.connect(tmp_path / "burnish.db") as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        indexes = {name: sql for name, sql in rows if sql}
    connection.close()
    assert "WHERE released_at IS NULL" in indexes["uq_instance_live"]
    assert "WHERE state NOT IN" in indexes["uq_piece_live"]


def test_digests_of_sha_256_are_kept(tmp_path: Path) -> None:
    command.upgrade(schema.migration_config(url(tmp_path)), "0001")
    digest = hashlib.sha256(b"data set").digest()
    filled = {"id": 1, "sha256": digest, "size": 8, "received_at": "2026-01-02 03:04:05.000000"}
    with sqlite3.connect(tmp_path / "burnish.db") as connection:
        columns = connection.execute("PRAGMA table_info(instance)").fetchall()
        row = {name: filled.get(name, "") for _, name, _, required, *_ in columns if required}
        connection.execute(
            f"INSERT INTO instance ({','.join(row)}) VALUES ({','.join('?' * len(row))})",  # noqa: S608
            list(row.values()),
        )
    connection.close()
    schema.upgrade(url(tmp_path))
    with sqlite3.connect(tmp_path / "burnish.db") as connection:
        (kept,) = connection.execute("SELECT digest FROM instance").fetchone()
    connection.close()
    assert kept == f"sha256:{digest.hex()}"
    hasher = hasher_like(kept)
    hasher.update(b"data set")
    assert digest_text(hasher) == kept
    command.downgrade(schema.migration_config(url(tmp_path)), "0001")
    with sqlite3.connect(tmp_path / "burnish.db") as connection:
        assert connection.execute("SELECT sha256 FROM instance").fetchone() == (digest,)
    connection.close()


def test_volumes_planned_before_an_upgrade_are_made_as_they_were_planned(tmp_path: Path) -> None:
    """The size of their README.TXT is planned: it must not get patients, remarks or labels."""
    command.upgrade(schema.migration_config(url(tmp_path)), "0008")
    with closing(sqlite3.connect(tmp_path / "burnish.db")) as connection:
        for table in ("media_creation_request", "file_set"):
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            row = {name: "1" for _, name, _, required, *_ in columns if required}
            connection.execute(
                f"INSERT INTO {table} ({','.join(row)}) VALUES ({','.join('?' * len(row))})",  # noqa: S608
                list(row.values()),
            )
        connection.commit()
    command.upgrade(schema.migration_config(url(tmp_path)), "0009")
    with closing(sqlite3.connect(tmp_path / "burnish.db")) as connection:
        assert connection.execute("SELECT readme_patients FROM file_set").fetchall() == [(0,)]


def test_upgrading_again_changes_nothing(tmp_path: Path) -> None:
    assert schema.upgrade(url(tmp_path)) == schema.newest()
    before = (tmp_path / "burnish.db").read_bytes()
    assert schema.upgrade(url(tmp_path)) == schema.newest()
    assert (tmp_path / "burnish.db").read_bytes() == before
    database = Database(url(tmp_path))
    schema.check(database)
    assert schema.revision(database) == schema.newest()
    database.close()


def test_an_empty_database_is_reported(tmp_path: Path) -> None:
    database = Database(url(tmp_path))
    with pytest.raises(SchemaMismatch) as refused:
        schema.check(database)
    assert "burnish db upgrade" in refused.value.hint
    database.close()


def test_a_database_of_a_newer_burnish_is_reported(tmp_path: Path) -> None:
    schema.upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch):
        schema.check(database)
    with pytest.raises(SchemaMismatch) as refused:
        schema.upgrade(url(tmp_path))
    assert "newer" in refused.value.hint
    database.close()


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "burnish.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(OperatorError):
        schema.upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    with pytest.raises(OperatorError):
        schema.check(database)
    database.close()


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OperatorError):
        schema.upgrade(url(tmp_path / "nowhere"))


def test_a_url_may_have_a_percent_sign(tmp_path: Path) -> None:
    folder = tmp_path / "100%s"
    folder.mkdir()
    assert schema.upgrade(url(folder)) == schema.newest()


def test_down_and_up_again_with_rows_in_it(tmp_path: Path) -> None:
    """What the older schema has a column for is there afterwards."""

    def rows() -> dict[str, list[tuple[object, ...]]]:
        names = {
            "instance": "id, sop_instance_uid, digest, size, received_at, entity_keys",
            "media_creation_request": "id, sop_instance_uid, execution_status, initiated_at",
            "referenced_instance": "request_id, ordinal, referenced_sop_instance_uid",
            "file_set": "id, file_set_uid, predicted_size",
            "file_set_entry": "file_set_id, ordinal, instance_id, referenced_file_id",
            "piece": "id, file_set_id, copy_number, state, lease_epoch",
            "event": "id, request_id, event, before, after, at",
        }
        with closing(sqlite3.connect(tmp_path / "burnish.db")) as connection:
            return {
                table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608
                for table, columns in names.items()
            }

    with Ground(tmp_path) as ground:
        instances = [instance(instance_number=number) for number in range(3)]
        ground.store(*instances)
        ground.admit(instances, copies=2)
        Planner(ground.settings, ground.database, ground.spool).tick()
    before = rows()
    assert all(before.values())
    command.downgrade(schema.migration_config(url(tmp_path)), "0002")
    assert rows() == before
    schema.upgrade(url(tmp_path))
    assert rows() == before


def test_a_database_with_replaced_contents_can_be_downgraded(tmp_path: Path) -> None:
    """The older version knows one content for each SOP Instance UID: the newest."""
    now = datetime.now(UTC)
    with Ground(tmp_path) as ground:
        for patient_id, replaced_at in (("OLD", now), ("NEW", None)):
            stored_instance = instance(sop_instance_uid="1.2.3", patient_id=patient_id)
            ground.store(stored_instance, replaced_at=replaced_at)
    command.downgrade(schema.migration_config(url(tmp_path)), "0009")
    with closing(sqlite3.connect(tmp_path / "burnish.db")) as connection:
        live = "SELECT patient_id FROM instance WHERE released_at IS NULL"
        assert connection.execute(live).fetchall() == [("NEW",)]
    schema.upgrade(url(tmp_path))
    with closing(sqlite3.connect(tmp_path / "burnish.db")) as connection:
        newest = f"{live} AND replaced_at IS NULL"
        assert connection.execute(newest).fetchall() == [("NEW",)]
