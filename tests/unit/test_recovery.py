"""The rows of instances made anew from the spool, and what the database was before."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import delete, select, update
from typer.testing import CliRunner

import segments
from burnish import recovery, roles, storage_register
from burnish.cli import app as cli
from burnish.db import backup, schema
from burnish.db.tables import Instance
from burnish.errors import AlreadyExists, OperatorError, OutOfResources
from burnish.request import operations
from burnish.schedule import Schedule
from burnish.settings import DatabaseSettings, Settings, StorageSettings
from factories import HANGING_PROTOCOL, Ground, SampleInstance, instance
from syncs import recorded_syncs


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "root") as ground:
        yield ground


def received(ground: Ground, *samples: SampleInstance) -> None:
    """By the receive stage itself, since what it writes is what can be recovered."""
    segments.receive(ground, samples)


def received_in_files(ground: Ground, *samples: SampleInstance) -> None:
    """As an earlier version did: each instance has a file of its own."""
    received(ground, *samples)
    segments.give_files(ground)


def rows(ground: Ground) -> list[dict[str, Any]]:
    """Every column of every live instance but its number and the moment it came."""
    with ground.database.reading() as session:
        instances = session.scalars(
            select(Instance)
            .where(Instance.released_at.is_(None))
            .order_by(Instance.sop_instance_uid)
        ).all()
        names = [c.name for c in Instance.__table__.columns if c.name not in ("id", "received_at")]
        return [{name: getattr(row, name) for name in names} for row in instances]


def do(ground: Ground) -> recovery.Recovery:
    return recovery.recover(ground.database, ground.spool, called_ae_title="BURNISH")


def forget_all(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(delete(Instance))


def test_recovered_rows_equal_the_lost_ones(ground: Ground) -> None:
    samples = [instance(instance_number=n, size=70_000 * n) for n in (1, 2)]
    received(ground, *samples, instance(sop_class_uid=HANGING_PROTOCOL))
    before = rows(ground)
    assert len(before) == 3
    forget_all(ground)
    assert do(ground) == recovery.Recovery(3, 0, 0, 0)
    assert rows(ground) == before
    assert do(ground) == recovery.Recovery(0, 0, 0, 0)


def test_a_conversion_is_not_taken_for_a_received_file(ground: Ground) -> None:
    received_in_files(ground, instance(sop_instance_uid="1.2.3"))
    [row] = before = rows(ground)
    path = ground.spool.path(row["spool_key"])
    conversion = ground.spool.path(ground.spool.new_converted_key())
    conversion.write_bytes(path.read_bytes()[:-1] + b"\x07")
    forget_all(ground)
    assert do(ground) == recovery.Recovery(1, 1, 0, 0)
    assert rows(ground) == before


def received_twice(ground: Ground) -> list[dict[str, Any]]:
    """An instance, and newer content of it; their rows, oldest first."""
    received_in_files(
        ground,
        instance(sop_instance_uid="1.2.3", patient_id="WRONG"),
        instance(sop_instance_uid="1.2.3", patient_id="RIGHT"),
    )
    before = sorted(rows(ground), key=lambda row: row["replaced_at"] is None)
    assert [row["patient_id"] for row in before] == ["WRONG", "RIGHT"]
    for row, seconds in zip(before, (1000, 2000), strict=True):
        os.utime(ground.spool.path(row["spool_key"]), (seconds, seconds))
    return before


def newest_patient(ground: Ground) -> str:
    (patient_id,) = [row["patient_id"] for row in rows(ground) if row["replaced_at"] is None]
    return str(patient_id)


def test_the_newest_content_is_the_newest_again_after_recovery(ground: Ground) -> None:
    received_twice(ground)
    forget_all(ground)
    assert do(ground) == recovery.Recovery(2, 0, 0, 0)
    assert len(rows(ground)) == 2
    assert newest_patient(ground) == "RIGHT"


@pytest.mark.parametrize("kept", ["WRONG", "RIGHT"])
def test_a_content_without_a_row_takes_its_place_by_its_age(ground: Ground, kept: str) -> None:
    """A backup from before the correction, or one that lacks the older content."""
    received_twice(ground)
    with ground.database.writing() as session:
        session.execute(delete(Instance).where(Instance.patient_id != kept))
        at = 1000 if kept == "WRONG" else 2000
        session.execute(
            update(Instance).values(replaced_at=None, received_at=datetime.fromtimestamp(at, UTC))
        )
    assert do(ground) == recovery.Recovery(1, 0, 0, 0)
    assert newest_patient(ground) == "RIGHT"


def test_if_the_first_content_counts_only_that_is_recovered(ground: Ground) -> None:
    received_twice(ground)
    forget_all(ground)
    outcome = recovery.recover(
        ground.database, ground.spool, called_ae_title="BURNISH", same_uid="first"
    )
    assert outcome == recovery.Recovery(1, 1, 0, 0)
    assert newest_patient(ground) == "WRONG"


def test_a_file_that_is_no_complete_instance_gets_no_row(ground: Ground) -> None:
    received_in_files(ground, instance(size=4000))
    path = ground.spool.path(rows(ground)[0]["spool_key"])
    forget_all(ground)
    ground.spool.path("00" * 12).write_bytes(path.read_bytes()[:-100])
    ground.spool.path("01" * 12).write_bytes(b"torn")
    ground.spool.path("02" * 12).write_bytes(b"")
    assert do(ground) == recovery.Recovery(1, 0, 3, 0)


def test_an_instance_whose_file_is_gone_can_be_sent_again(ground: Ground) -> None:
    sample = instance()
    received_in_files(ground, sample, instance())
    row = next(row for row in rows(ground) if row["sop_instance_uid"] == sample.sop_instance_uid)
    ground.spool.path(row["spool_key"]).unlink()
    assert do(ground) == recovery.Recovery(0, 0, 0, 1)
    assert len(rows(ground)) == 1
    received(ground, sample)
    assert len(rows(ground)) == 2


# --- the file ------------------------------------------------------------------------------------


def test_a_backup_is_consistent_while_others_write(ground: Ground, tmp_path: Path) -> None:
    received(ground, instance())
    target = tmp_path / "saved.db"
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        session.flush()
        backup.save(ground.url, target)
    with closing(sqlite3.connect(target)) as saved:
        assert saved.execute("SELECT count(*) FROM instance").fetchone() == (1,)
    with pytest.raises(AlreadyExists):
        backup.save(ground.url, target)
    assert [path.name for path in tmp_path.iterdir() if "saved" in path.name] == ["saved.db"]


def test_a_missing_database_beside_a_full_spool_is_refused(ground: Ground) -> None:
    received(ground, instance())
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    for lose in (path.unlink, lambda: path.write_bytes(b"")):
        lose()
        with pytest.raises(OperatorError) as refused:
            roles.prepare(ground.settings)
        assert "burnish db recover" in refused.value.hint
        assert backup.is_lost(ground.url)


def _empty_database(ground: Ground) -> None:
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    for file in backup.files_of(ground.url):
        file.unlink(missing_ok=True)
    schema.upgrade(ground.url)


@pytest.mark.parametrize("registered", [True, False])
def test_an_empty_database_above_a_spool_with_instances_is_refused(
    ground: Ground, registered: bool
) -> None:
    """Whether or not the service has ever seen the database that belongs to the spool."""
    received(ground, instance())
    if registered:
        roles.prepare(ground.settings)
    before = segments.names(ground.spool)
    _empty_database(ground)
    starts = [partial(roles.prepare, ground.settings)]
    starts += [partial(role, ground.settings) for role in (roles.run_receiver, roles.run_scheduler)]
    starts.append(partial(roles.run_writer, ground.settings, "outbox"))
    for start in starts:
        with pytest.raises(OperatorError) as refused:
            start()
        assert "new or empty" in str(refused.value)
        assert "burnish db recover" in refused.value.hint
    assert segments.names(ground.spool) == before
    assert burnish(ground, "db", "check").exit_code != 0
    assert burnish(ground, "db", "recover").exit_code == 0
    roles.prepare(ground.settings)
    assert len(rows(ground)) == 1


def test_the_database_of_another_spool_is_refused(ground: Ground, tmp_path: Path) -> None:
    received(ground, instance())
    roles.prepare(ground.settings)
    with Ground(tmp_path / "other") as other:
        received(other, instance())
        roles.prepare(other.settings)
        backup.save(other.url, tmp_path / "other.db")
    _empty_database(ground)
    (tmp_path / "other.db").replace(tmp_path / "root" / "burnish.db")
    with pytest.raises(OperatorError, match="not the one that was used with this spool"):
        roles.prepare(ground.settings)
    assert burnish(ground, "db", "recover").exit_code == 0
    roles.prepare(ground.settings)


def test_a_database_is_refused_above_a_spool_that_has_none_of_its_instances(
    tmp_path: Path,
) -> None:
    """It is that of another host, or the disk of the spool is not mounted."""
    storage = StorageSettings(root=tmp_path / "root", durability="full")
    with Ground(tmp_path / "root", storage=storage) as ground:
        received(ground, instance())
        roles.prepare(ground.settings)
        other = tmp_path / "other"
        settings = ground.settings.model_copy(
            update={
                "storage": StorageSettings(root=other, durability="full"),
                "database": DatabaseSettings(url=ground.url),
            }
        )
        with pytest.raises(
            OperatorError, match=r"has instances, but the spool in .*other"
        ) as error:
            roles.prepare(settings)
        assert "whether the disk is mounted" in error.value.hint
        assert not (other / storage_register.NAME).exists()
        (ground.settings.storage.root / "spool").rename(tmp_path / "unmounted")
        with pytest.raises(OperatorError, match="has none of them"):
            roles.prepare(ground.settings)
        assert burnish(ground, "db", "recover").exit_code == 0
        roles.prepare(ground.settings)


def test_a_backup_that_was_copied_to_its_place_is_refused(tmp_path: Path) -> None:
    """The sweep would remove every instance that was received after the backup."""
    storage = StorageSettings(root=tmp_path / "root", durability="full")
    with Ground(tmp_path / "root", storage=storage) as ground:
        received(ground, instance())
        roles.prepare(ground.settings)
        backup.save(ground.url, tmp_path / "saved.db")
        later = instance()
        received(ground, later)
        ground.admit([later])
        storage_register.raise_last_request(storage.root, 1)
        roles.prepare(ground.settings)
        ground.database.close()
        for file in backup.files_of(ground.url):
            file.unlink(missing_ok=True)
        (tmp_path / "saved.db").replace(storage.root / "burnish.db")
        with pytest.raises(OperatorError, match="is older than the spool"):
            roles.prepare(ground.settings)
        assert burnish(ground, "db", "recover").exit_code == 0
        roles.prepare(ground.settings)
        assert len(rows(ground)) == 2


def test_an_instance_of_which_no_row_was_committed_is_no_reason_to_refuse(ground: Ground) -> None:
    """A kill during the very first C-STORE leaves its file; the sender has got no success."""
    roles.prepare(ground.settings)
    ground.spool.path("00" * 12).write_bytes(b"not acknowledged")
    roles.prepare(ground.settings)
    roles.remove_leftovers(ground.settings)
    assert list(ground.spool.published_keys()) == []


def test_files_without_a_row_are_gone_at_the_next_start_and_others_stay(ground: Ground) -> None:
    received_in_files(ground, instance())
    [row] = rows(ground)
    roles.prepare(ground.settings)
    ground.spool.path("00" * 12).write_bytes(b"not acknowledged")
    ground.spool.arriving("01" * 12).write_bytes(b"cut off")
    roles.remove_leftovers(ground.settings)
    assert list(ground.spool.published_keys()) == [row["spool_key"]]
    assert list(ground.spool.incoming.iterdir()) == []


def test_a_recovery_that_fails_changes_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails at the second of three files: the first is not kept either."""
    received_in_files(ground, *(instance(instance_number=number) for number in range(3)))
    forget_all(ground)
    read_row = recovery._row_of_file
    calls: list[str] = []

    def fail_at_second(path: Path, key: str, called_ae_title: str) -> dict[str, Any]:
        calls.append(key)
        if len(calls) == 2:
            raise MemoryError
        return read_row(path, key, called_ae_title)

    monkeypatch.setattr(recovery, "_BATCH", 1)
    monkeypatch.setattr(recovery, "_row_of_file", fail_at_second)
    with pytest.raises(MemoryError):
        do(ground)
    assert rows(ground) == []
    with pytest.raises(OperatorError):
        roles.prepare(ground.settings)
    monkeypatch.undo()
    assert do(ground).recovered == 3


@pytest.mark.parametrize("known_by", ["outbox", "register"])
def test_request_numbers_go_on_above_those_of_media(ground: Ground, known_by: str) -> None:
    if known_by == "outbox":
        (ground.settings.storage.root / "outbox" / "R000041").mkdir(parents=True)
    else:
        storage_register.raise_last_request(ground.settings.storage.root, 41)
    for _ in range(2):
        roles.prepare(ground.settings)
    ground.admit([instance()])
    lines = burnish(ground, "request", "list", "--json")
    assert [line["short_id"] for line in json.loads(lines.output)["items"]] == ["R000042"]


def test_the_number_of_an_admitted_request_is_in_the_register(ground: Ground) -> None:
    for _ in range(2):
        with ground.database.writing() as session:
            reference = operations.Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
            new = operations.NewRequest([reference])
            request = operations.create(session, ground.settings.request, new, origin="test")
            operations.initiate(session, ground.settings.request, request.sop_instance_uid)
    schedule = Schedule(ground.settings, ground.database, ground.spool, lambda: None)
    schedule.admit()
    assert storage_register.read(ground.settings.storage.root).last_request == 2


def test_a_restored_database_does_not_get_the_log_of_the_one_before(
    ground: Ground, tmp_path: Path
) -> None:
    """The log of the previous database still has transactions, since that one was killed."""
    received(ground, instance())
    saved = tmp_path / "saved.db"
    backup.save(ground.url, saved)
    received(ground, *(instance(instance_number=number) for number in range(20)))
    path = backup.file_of(ground.url)
    assert path
    log = path.with_name("burnish.db-wal")
    killed = log.read_bytes()
    assert killed
    ground.database.close()
    log.write_bytes(killed)
    assert burnish(ground, "db", "restore", str(saved)).exit_code == 0
    assert len(rows(ground)) == 21
    [kept] = path.parent.glob("burnish.db.before-*-wal")
    assert kept.read_bytes() == killed


def test_a_backup_has_the_transactions_of_its_log(ground: Ground, tmp_path: Path) -> None:
    """A copy of a database in use, made by other means, has its newest rows in its log only."""
    received_in_files(ground, *(instance(instance_number=number) for number in range(3)))
    path = backup.file_of(ground.url)
    assert path
    copied = tmp_path / "copied.db"
    for suffix in ("", "-wal"):
        copied.with_name(copied.name + suffix).write_bytes(
            path.with_name(path.name + suffix).read_bytes()
        )
    ground.database.close()
    for key in list(ground.spool.published_keys()):
        ground.spool.path(key).rename(tmp_path / key)
    done = burnish(ground, "db", "restore", str(copied))
    assert "3 instances lost" in done.output


def test_a_backup_is_examined_and_synced_before_it_has_its_name(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(ground, instance())
    target = tmp_path / "saved.db"
    seen: list[str] = []
    sync, check_pages = backup.sync, backup.check_pages

    def spy(name: str, do: Callable[[Path], None], path: Path) -> None:
        seen.append(f"{name} {path.name}{' exists' if target.exists() else ''}")
        do(path)

    monkeypatch.setattr(backup, "sync", partial(spy, "sync", sync))
    monkeypatch.setattr(backup, "check_pages", partial(spy, "check", check_pages))
    backup.save(ground.url, target)
    part = "saved.db.part"
    assert seen == [f"check {part}", f"sync {part}", f"sync {tmp_path.name} exists"]


def test_what_sqlite_leaves_beside_a_backup_is_removed_before_its_folder_is_synced(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure would bring it back."""
    folder = tmp_path / "safe"
    folder.mkdir()
    beside: list[set[str]] = []
    sync, copy = backup.sync, backup._copy_checked

    def leave_a_log(source: Path, part: Path) -> None:
        copy(source, part)
        part.with_name(f"{part.name}-wal").touch()

    def look_and_sync(path: Path) -> None:
        if path == folder:
            beside.append({file.name for file in folder.iterdir()})
        sync(path)

    monkeypatch.setattr(backup, "_copy_checked", leave_a_log)
    monkeypatch.setattr(backup, "sync", look_and_sync)
    backup.save(ground.url, folder / "saved.db")
    assert beside == [{"saved.db"}]


def test_a_backup_that_is_damaged_on_the_way_is_not_kept(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(ground, *(instance(instance_number=number) for number in range(30)))
    check_pages = backup.check_pages

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[4096 * 3 : 4096 * 4] = os.urandom(4096)
        path.write_bytes(data)
        check_pages(path)

    monkeypatch.setattr(backup, "check_pages", damage)
    with pytest.raises(OperatorError, match="damaged"):
        backup.save(ground.url, tmp_path / "saved.db")
    assert [path for path in tmp_path.iterdir() if "saved" in path.name] == []


def test_what_sqlite_leaves_beside_an_unfinished_backup_is_removed(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(ground, instance())

    def fail(path: Path) -> None:
        path.with_name(f"{path.name}-journal").write_bytes(b"journal")
        raise OutOfResources("the disk fails")

    monkeypatch.setattr(backup, "check_pages", fail)
    with pytest.raises(OutOfResources):
        backup.save(ground.url, tmp_path / "saved.db")
    assert [path for path in tmp_path.iterdir() if "saved" in path.name] == []


def test_a_restore_whose_disk_fails_says_so_and_changes_nothing(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(ground, instance())
    saved = tmp_path / "saved.db"
    backup.save(ground.url, saved)
    received(ground, instance(instance_number=2))
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    before = path.read_bytes()
    connect = sqlite3.connect

    def fail(database: object, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if database == path.with_name("burnish.db.new"):
            raise sqlite3.OperationalError("disk I/O error")
        return connect(database, *arguments, **options)  # type: ignore[call-overload,no-any-return]

    recover = roles._recover

    def recover_then_fail(*arguments: Any) -> recovery.Recovery:
        outcome = recover(*arguments)
        monkeypatch.setattr(sqlite3, "connect", fail)
        return outcome

    monkeypatch.setattr(roles, "_recover", recover_then_fail)
    with pytest.raises(OutOfResources, match="disk I/O error"):
        roles.rebuild_database(ground.settings, saved)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("burnish.db.new*")] == []
    assert len(rows(ground)) == 2


def test_a_restored_database_is_durable_before_it_has_its_name(
    ground: Ground, tmp_path: Path
) -> None:
    received(ground, instance())
    saved = tmp_path / "saved.db"
    backup.save(ground.url, saved)
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    with recorded_syncs() as syncs:
        roles.rebuild_database(ground.settings, saved)
    syncs.assert_durable(path)


def test_the_name_of_a_restored_database_is_durable(ground: Ground) -> None:
    path = backup.file_of(ground.url)
    assert path
    new = path.with_name("new.db")
    backup.save(ground.url, new)
    ground.database.close()
    with recorded_syncs() as syncs:
        backup.complete_replacement(ground.url, new, owner=path.parent)
    syncs.assert_durable(path)


def test_the_register_is_durable_before_it_has_its_name(tmp_path: Path) -> None:
    with recorded_syncs() as syncs:
        storage_register.raise_last_request(tmp_path, 7)
    syncs.assert_durable(tmp_path / storage_register.NAME)


def test_a_backup_is_for_its_user_alone(ground: Ground, tmp_path: Path) -> None:
    received(ground, instance())
    before = os.umask(0o000)
    try:
        backup.save(ground.url, tmp_path / "saved.db")
    finally:
        os.umask(before)
    assert (tmp_path / "saved.db").stat().st_mode & 0o777 == 0o600


def test_a_restored_database_has_the_mode_of_the_one_before(ground: Ground, tmp_path: Path) -> None:
    received(ground, instance())
    backup.save(ground.url, tmp_path / "saved.db")
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    path.chmod(0o660)
    assert burnish(ground, "db", "restore", str(tmp_path / "saved.db")).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o660
    for file in backup.files_of(ground.url):
        file.unlink(missing_ok=True)
    assert burnish(ground, "db", "recover").exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_empty_root_gets_a_new_database(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path / "new", durability="os"))
    roles.prepare(settings)
    roles.prepare(settings)
    database = roles.open_database(settings)
    schema.check(database)
    database.close()


@pytest.mark.parametrize("how", ["page", "header", "short"])
def test_a_damaged_database_is_refused(ground: Ground, how: str) -> None:
    received(ground, *(instance(instance_number=n) for n in range(30)))
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    data = bytearray(path.read_bytes())
    if how == "short":
        del data[len(data) // 2 :]
    else:
        start = 0 if how == "header" else 4096 * 3
        data[start : start + 4096] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(OperatorError) as refused:
        roles.prepare(ground.settings)
    assert "burnish db restore" in refused.value.hint
    assert path.read_bytes() == data


def test_a_database_killed_during_a_change_is_not_damaged(ground: Ground) -> None:
    """Its rollback journal is still there, as after a kill while SQLite changes to a log."""
    received(ground, instance())
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    script = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA journal_mode=DELETE')\n"
        "database.execute('PRAGMA cache_size=1')\n"
        "database.execute('BEGIN')\n"
        "database.execute('CREATE TABLE large (content BLOB)')\n"
        "for _ in range(50): database.execute('INSERT INTO large VALUES (randomblob(9000))')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.with_name("burnish.db-journal").stat().st_size
    roles.prepare(ground.settings)
    assert len(rows(ground)) == 1


def burnish(ground: Ground, *arguments: str) -> Any:
    environment = {"BURNISH_STORAGE__ROOT": str(ground.settings.storage.root)}
    with pytest.MonkeyPatch.context() as patch:
        # a logger keeps the output that it has written to first, which is closed afterwards
        patch.setattr(recovery, "log", structlog.get_logger())
        done = CliRunner().invoke(cli, arguments, env=environment)
    structlog.reset_defaults()
    return done


def test_a_lost_database_is_restored_by_the_command_line(ground: Ground, tmp_path: Path) -> None:
    """A backup, an instance after it, the loss, the restore: both instances are here."""
    samples = [instance(), instance()]
    received(ground, samples[0])
    saved = str(tmp_path / "saved.db")
    assert burnish(ground, "db", "backup", saved).exit_code == 0
    received(ground, samples[1])
    before = rows(ground)
    ground.database.close()
    path = backup.file_of(ground.url)
    assert path
    path.write_bytes(b"damaged" * 1000)
    done = burnish(ground, "db", "restore", saved)
    assert done.exit_code == 0, done.output
    assert "1 instance recovered" in done.output
    assert rows(ground) == before
    [kept] = path.parent.glob("burnish.db.before-*")
    assert kept.read_bytes() == b"damaged" * 1000
    done = burnish(ground, "db", "check", "--spool")
    assert done.exit_code == 0, done.output
    assert "every instance has its complete file" in done.output


def test_a_database_is_not_replaced_while_the_service_runs(ground: Ground, tmp_path: Path) -> None:
    received(ground, instance())
    saved = str(tmp_path / "saved.db")
    assert burnish(ground, "db", "backup", saved).exit_code == 0
    held = roles.lock(ground.settings, "serve")
    for command in (("db", "restore", saved), ("db", "recover")):
        assert isinstance(burnish(ground, *command).exception, OperatorError)
    os.close(held)
    assert burnish(ground, "db", "recover").exit_code == 0
