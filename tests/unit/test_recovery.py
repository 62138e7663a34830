"""The rows of instances made anew from the spool, and what the database was before."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import delete, select, update
from typer.testing import CliRunner

from burnish import recovery, roles
from burnish.cli import app as cli
from burnish.db import backup
from burnish.db.tables import Instance
from burnish.errors import AlreadyExists, OperatorError
from burnish.receive import Receiver
from burnish.settings import Settings, StorageSettings
from factories import HANGING_PROTOCOL, Ground, SampleInstance, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "root") as made:
        yield made


def received(ground: Ground, *made: SampleInstance) -> None:
    """By the receive stage itself, since what it writes is what can be recovered."""
    receiver = Receiver(ground.database, ground.spool)
    for one in made:
        incoming = receiver.open(
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            transfer_syntax_uid=one.transfer_syntax_uid,
            calling_ae_title="MODALITY",
            called_ae_title="BURNISH",
        )
        incoming.write(memoryview(one.data_set))
        receiver.accept(incoming)


def rows(ground: Ground) -> list[dict[str, Any]]:
    """Every column of every live instance but its number and the moment it came."""
    with ground.database.reading() as session:
        found = session.scalars(
            select(Instance)
            .where(Instance.released_at.is_(None))
            .order_by(Instance.sop_instance_uid)
        ).all()
        names = [c.name for c in Instance.__table__.columns if c.name not in ("id", "received_at")]
        return [{name: getattr(row, name) for name in names} for row in found]


def do(ground: Ground) -> recovery.Recovery:
    return recovery.recover(ground.database, ground.spool, called_ae_title="BURNISH")


def forget_all(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(delete(Instance))


def test_recovered_rows_equal_the_lost_ones(ground: Ground) -> None:
    made = [instance(instance_number=n, size=70_000 * n) for n in (1, 2)]
    received(ground, *made, instance(sop_class_uid=HANGING_PROTOCOL))
    before = rows(ground)
    assert len(before) == 3
    forget_all(ground)
    assert do(ground) == recovery.Recovery(3, 0, 0, 0)
    assert rows(ground) == before
    assert do(ground) == recovery.Recovery(0, 0, 0, 0)


def test_a_conversion_is_not_taken_for_a_received_file(ground: Ground) -> None:
    received(ground, instance(sop_instance_uid="1.2.3"))
    [row] = before = rows(ground)
    path = ground.spool.path(row["spool_key"])
    conversion = ground.spool.path(ground.spool.new_converted_key())
    conversion.write_bytes(path.read_bytes()[:-1] + b"\x07")
    forget_all(ground)
    assert do(ground) == recovery.Recovery(1, 1, 0, 0)
    assert rows(ground) == before


def received_twice(ground: Ground) -> list[dict[str, Any]]:
    """An instance, and newer content of it; their rows, oldest first."""
    received(
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
    received(ground, instance(size=4000))
    path = ground.spool.path(rows(ground)[0]["spool_key"])
    forget_all(ground)
    ground.spool.path("00" * 12).write_bytes(path.read_bytes()[:-100])
    ground.spool.path("01" * 12).write_bytes(b"torn")
    ground.spool.path("02" * 12).write_bytes(b"")
    assert do(ground) == recovery.Recovery(1, 0, 3, 0)


def test_an_instance_whose_file_is_gone_can_be_sent_again(ground: Ground) -> None:
    made = instance()
    received(ground, made, instance())
    row = next(row for row in rows(ground) if row["sop_instance_uid"] == made.sop_instance_uid)
    ground.spool.path(row["spool_key"]).unlink()
    assert do(ground) == recovery.Recovery(0, 0, 0, 1)
    assert len(rows(ground)) == 1
    received(ground, made)
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


def test_an_empty_root_gets_a_new_database(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path / "new", durability="os"))
    roles.prepare(settings)
    roles.prepare(settings)


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


def burnish(ground: Ground, *arguments: str) -> Any:
    environment = {"BURNISH_STORAGE__ROOT": str(ground.settings.storage.root)}
    done = CliRunner().invoke(cli, arguments, env=environment)
    structlog.reset_defaults()
    return done


def test_a_lost_database_is_restored_by_the_command_line(ground: Ground, tmp_path: Path) -> None:
    """A backup, an instance after it, the loss, the restore: both instances are here."""
    made = [instance(), instance()]
    received(ground, made[0])
    saved = str(tmp_path / "saved.db")
    assert burnish(ground, "db", "backup", saved).exit_code == 0
    received(ground, made[1])
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
