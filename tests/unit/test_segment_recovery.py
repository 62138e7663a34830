"""Rows made anew from the records of segments, and segments compared with the rows."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

import segments
from burnish import compaction, recovery, removal, retention, roles
from burnish.db import backup, instance_count, instance_records
from burnish.db.tables import Instance, Segment, Tally
from burnish.errors import OperatorError, OutOfResources
from burnish.receive import buffers
from burnish.receive.replay import replay
from burnish.schedule import Schedule
from burnish.settings import StorageSettings
from burnish.spool import Spool, appender, release, segment
from factories import Ground, SampleInstance, instance

SIZE = 20_000


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "SEGMENT_SIZE", 200_000)
    monkeypatch.setattr(compaction, "_LEAST_GAIN", 0)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "root") as opened:
        yield opened


def samples(count: int, size: int = SIZE) -> list[SampleInstance]:
    return [instance(instance_number=number, size=size) for number in range(count)]


def rows(ground: Ground) -> list[dict[str, Any]]:
    """Every column of every live instance but its number and when it was replaced."""
    names = [column.name for column in Instance.__table__.columns]
    with ground.database.reading() as session:
        instances = session.scalars(
            select(Instance)
            .where(Instance.released_at.is_(None))
            .order_by(Instance.sop_instance_uid, Instance.received_at)
        ).all()
        return [
            {name: getattr(row, name) for name in names if name not in ("id", "replaced_at")}
            | {"is_newest": row.replaced_at is None}
            for row in instances
        ]


def lose_database(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(Segment))


def recover(ground: Ground, **options: Any) -> recovery.Recovery:
    outcome = recovery.recover(ground.database, ground.spool, called_ae_title="NOBODY", **options)
    ground.spool.erase_durably(outcome.unneeded)
    return outcome


def remove(ground: Ground, instances: list[SampleInstance]) -> None:
    selection = removal.Selection([sample.sop_instance_uid for sample in instances])
    removal.remove(ground.database, ground.spool, selection, even_if_needed=True)


def contents_of(instances: list[SampleInstance]) -> dict[str, bytes]:
    return {sample.sop_instance_uid: sample.data_set for sample in instances}


def test_recovered_rows_equal_the_lost_ones(ground: Ground) -> None:
    """Every column: also the AE title that was called, and when each instance arrived."""
    segments.receive(ground, instances := samples(25))
    assert len(segments.names(ground.spool)) > 2
    before = rows(ground)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(25, 0, 0, 0)
    assert rows(ground) == before
    assert segments.contents(ground) == contents_of(instances)
    assert recover(ground) == recovery.Recovery(0, 0, 0, 0)
    assert rows(ground) == before


def test_recovered_segments_are_sealed(ground: Ground) -> None:
    segments.receive(ground, samples(25))
    with ground.database.reading() as session:
        before = {
            row.name: (row.indexed_offset, row.sealed_size, row.digest)
            for row in session.scalars(select(Segment))
        }
    lose_database(ground)
    recover(ground)
    with ground.database.reading() as session:
        after = {
            row.name: (row.indexed_offset, row.sealed_size, row.digest)
            for row in session.scalars(select(Segment).where(Segment.sealed_at.is_not(None)))
        }
    assert after == before
    assert replay(ground.database, ground.spool, "newest") == 0


def test_a_segment_that_was_not_sealed_gives_back_what_was_allocated(tmp_path: Path) -> None:
    storage = StorageSettings(root=tmp_path / "root", durability="full")
    with Ground(tmp_path / "root", storage=storage) as ground:
        ground.__dict__["spool"] = roles.open_spool(ground.settings)
        segments.receive(ground, instances := samples(3), close=False)
        (name,) = segments.names(ground.spool)
        path = segment.path(ground.spool.segments, name)
        assert path.stat().st_size >= 200_000
        assert recover(ground) == recovery.Recovery(3, 0, 0, 0)
        with segment.opened(ground.spool.segments, name) as descriptor:
            *_, last = segment.records(descriptor)
        assert path.stat().st_size == last.end
        assert segments.contents(ground) == contents_of(instances)


def test_headers_alone_are_read_of_segments_that_were_sealed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.receive(ground, samples(25, size=40_000))
    lose_database(ground)
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        content = pread(descriptor, length, offset)
        read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counted)
    assert recover(ground).recovered == 25
    stored = sum(
        segment.path(ground.spool.segments, name).stat().st_size
        for name in segments.names(ground.spool)
    )
    assert sum(read) < stored / 2


def test_of_two_contents_the_later_one_is_the_newest_again(ground: Ground) -> None:
    older = instance(patient_id="WRONG")
    newer = instance(sop_instance_uid=older.sop_instance_uid, patient_id="RIGHT")
    segments.receive(ground, [older, newer, older])
    before = rows(ground)
    assert [row["is_newest"] for row in before] == [False, False, True]
    lose_database(ground)
    assert recover(ground).recovered == 3
    assert rows(ground) == before


def test_large_instances_are_recovered_from_their_records(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 100_000)
    segments.receive(ground, instances := [*samples(3, size=300_000), *samples(3)])
    assert len(list(ground.spool.published_keys())) == 3
    before = rows(ground)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(6, 0, 0, 0)
    assert rows(ground) == before
    assert segments.contents(ground) == contents_of(instances)


def test_files_of_an_earlier_version_are_recovered_with_segments(ground: Ground) -> None:
    segments.receive(ground, before := samples(3))
    segments.give_files(ground)
    corrected = instance(sop_instance_uid=before[0].sop_instance_uid, patient_id="RIGHT")
    segments.receive(ground, [corrected, *(others := samples(3))])
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(7, 0, 0, 0)
    assert segments.contents(ground) == contents_of([*before[1:], corrected, *others])
    assert {row["called_ae_title"] for row in rows(ground)} == {"BURNISH", "NOBODY"}


def test_released_instances_do_not_come_back(ground: Ground) -> None:
    segments.receive(ground, instances := samples(5))
    remove(ground, instances[1:3])
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(3, 0, 0, 0)
    assert segments.contents(ground) == contents_of([instances[0], *instances[3:]])


def test_what_was_received_twice_is_recovered_once(ground: Ground) -> None:
    """The duplicate was not erased: the process was killed before."""
    (sample,) = samples(1)
    receiver = segments.receive(ground, [sample, sample], close=False)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(1, 1, 0, 0)
    assert segments.contents(ground) == contents_of([sample])
    assert recover(ground) == recovery.Recovery(0, 0, 0, 0)
    receiver.index()


@pytest.mark.parametrize("marked", [True, False])
def test_both_copies_of_a_moved_instance_are_recovered_once(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    """Whether or not the process was killed before it marked the records that it moved."""
    monkeypatch.setattr(release, "punch_hole", lambda *_: False)
    if not marked:
        monkeypatch.setattr(ground.spool, "mark_as_moved", lambda _: None)
    older = instance(patient_id="WRONG", size=SIZE)
    newer = instance(sop_instance_uid=older.sop_instance_uid, patient_id="RIGHT", size=SIZE)
    segments.receive(ground, [older, newer, *(others := samples(6))])
    remove(ground, others)
    assert compaction.compact(ground.database, ground.spool).rewritten == 1
    before = rows(ground)
    assert len(before) == 2
    rowless = recovery.compare(ground.database, ground.spool).rowless_instances
    assert rowless == (0 if marked else 2)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(2, 0 if marked else 2, 0, 0)
    after = rows(ground)
    for row in (*before, *after):
        del row["spool_key"]
    assert after == before
    assert segments.contents(ground) == contents_of([newer])
    # what is left of the other copies is given back
    for _ in range(2):
        compaction.compact(ground.database, ground.spool, grace=0)
    assert len(segments.names(ground.spool)) == 1


def test_a_moved_instance_that_was_released_does_not_come_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment that had it before is still there."""
    monkeypatch.setattr(release, "punch_hole", lambda *_: False)
    segments.receive(ground, instances := samples(8))
    remove(ground, instances[2:])
    compaction.compact(ground.database, ground.spool)
    remove(ground, instances[:1])
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(1, 0, 0, 0)
    assert segments.contents(ground) == contents_of(instances[1:2])


def test_a_torn_instance_is_left_out(ground: Ground) -> None:
    """The power failed before it was on disk, so it was not acknowledged."""
    segments.receive(ground, instances := samples(5), close=False)
    (name,) = segments.names(ground.spool)
    with segment.opened(ground.spool.segments, name) as descriptor:
        records = list(segment.records(descriptor))
    with segment.path(ground.spool.segments, name).open("r+b") as file:
        file.seek(records[-1].payload + 5000)
        file.write(bytes(4096))
    assert recover(ground) == recovery.Recovery(4, 0, 1, 0)
    assert segments.contents(ground) == contents_of(instances[:4])


def test_instances_behind_a_damaged_record_header_are_recovered(ground: Ground) -> None:
    segments.receive(ground, instances := samples(8))
    (name, *_) = segments.names(ground.spool)
    with segment.opened(ground.spool.segments, name) as descriptor:
        records = list(segment.records(descriptor))
    with segment.path(ground.spool.segments, name).open("r+b") as file:
        file.seek(records[2].offset + 20)
        file.write(b"damage")
    assert recover(ground) == recovery.Recovery(0, 0, 0, 0)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(7, 0, 0, 0)
    assert segments.contents(ground) == contents_of([*instances[:2], *instances[3:]])


def test_instances_whose_segment_is_gone_can_be_sent_again(ground: Ground) -> None:
    segments.receive(ground, instances := samples(15))
    first, *_ = segments.names(ground.spool)
    keys = segments.keys(ground)
    gone = [sample for sample in instances if keys[sample.sop_instance_uid].startswith(first)]
    segment.path(ground.spool.segments, first).unlink()
    assert recover(ground) == recovery.Recovery(0, 0, 0, len(gone))
    segments.receive(ground, gone)
    assert segments.contents(ground) == contents_of(instances)


def test_an_instance_that_was_moved_after_the_backup_keeps_its_row(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row in the backup names a segment that is not there any more."""
    monkeypatch.setattr(release, "punch_hole", lambda *_: False)
    older = instance(patient_id="WRONG", size=SIZE)
    newer = instance(sop_instance_uid=older.sop_instance_uid, patient_id="RIGHT", size=SIZE)
    segments.receive(ground, [older, newer, *(others := samples(6))])
    ids = row_ids(ground, older.sop_instance_uid)
    backup.save(ground.url, tmp_path / "saved.db")
    remove(ground, others)
    compaction.compact(ground.database, ground.spool)
    compaction.compact(ground.database, ground.spool, grace=0)
    ground.database.close()
    outcome, _ = roles.rebuild_database(ground.settings, tmp_path / "saved.db")
    assert outcome == recovery.Recovery(0, 2, 0, 6)
    assert row_ids(ground, older.sop_instance_uid) == ids
    assert segments.contents(ground) == contents_of([newer])
    assert recovery.compare(ground.database, ground.spool).fileless_instances == []


def row_ids(ground: Ground, sop_instance_uid: str) -> list[int]:
    with ground.database.reading() as session:
        return list(
            session.scalars(
                select(Instance.id)
                .where(Instance.sop_instance_uid == sop_instance_uid)
                .order_by(Instance.id)
            )
        )


def test_what_came_after_the_backup_has_its_row_after_a_restore(
    ground: Ground, tmp_path: Path
) -> None:
    """In the same segment, and in others."""
    receiver = segments.receive(ground, before := samples(3), close=False)
    receiver.index()
    backup.save(ground.url, tmp_path / "saved.db")
    segments.receive(ground, after := samples(12))
    for sample in (more := samples(2)):
        receiver.receive(sample.arriving())
    receiver.close()
    expected = rows(ground)
    ground.database.close()
    outcome, _ = roles.rebuild_database(ground.settings, tmp_path / "saved.db")
    assert outcome == recovery.Recovery(14, 0, 0, 0)
    assert rows(ground) == expected
    assert segments.contents(ground) == contents_of([*before, *after, *more])


def test_an_instance_whose_release_was_cut_off_is_erased(ground: Ground) -> None:
    segments.receive(ground, instances := samples(5))
    with ground.database.writing() as session:
        session.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == instances[0].sop_instance_uid)
            .values(released_at=func.now())
        )
    assert recover(ground) == recovery.Recovery(0, 0, 0, 0)
    assert segments.contents(ground) == contents_of(instances[1:])
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(4, 0, 0, 0)


def test_headers_of_another_version_are_read_anew(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(instance_records, "HEADER_INDEX_VERSION", 0)
        segments.receive(ground, samples(3))
    with ground.database.writing() as session:
        session.execute(update(Instance).values(patient_name="as an earlier version read it"))
    before = rows(ground)
    lose_database(ground)
    assert recover(ground) == recovery.Recovery(3, 0, 0, 0)
    after = rows(ground)
    assert {row["patient_name"] for row in after} == {"Doe^Jane"}
    for row in (*before, *after):
        del row["patient_name"]
    assert after == before


def test_nothing_of_a_released_instance_is_left(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its pixels nor the name of its patient, which the record header had."""
    monkeypatch.setattr(appender, "SEGMENT_SIZE", 1 << 20)
    secret = instance(patient_name="Secret^Name", size=SIZE)
    segments.receive(ground, [instance(), secret, other := instance()])
    (name,) = segments.names(ground.spool)
    path = segment.path(ground.spool.segments, name)
    assert b"Secret^Name" in path.read_bytes()
    size = path.stat().st_size
    remove(ground, [secret])
    content = path.read_bytes()
    assert len(content) == size
    assert b"Secret" not in content
    assert secret.sop_instance_uid.encode() not in content
    lose_database(ground)
    assert recover(ground).recovered == 2
    assert other.sop_instance_uid in segments.contents(ground)


def test_a_small_instance_gives_back_all_but_a_few_blocks(ground: Ground) -> None:
    segments.receive(ground, instances := samples(9, size=12_000))
    remove(ground, instances[:-1])
    name, *_ = segments.names(ground.spool)
    assert segments.allocated(ground.spool) <= (len(instances) + 5) * 4096
    assert name


@pytest.mark.parametrize("torn", range(8, 72, 8))
def test_a_release_that_the_power_cuts_off_harms_no_other_instance(
    ground: Ground, torn: int
) -> None:
    """The header that it was writing is neither the old nor the new one."""
    receiver = segments.receive(ground, instances := samples(5), close=False)
    receiver.index()
    keys = segments.keys(ground)
    released, *others = instances
    name, payload = ground.spool.place_in_segment(keys[released.sop_instance_uid])
    with segment.opened(ground.spool.segments, name) as descriptor:
        record = segment.record_of(descriptor, payload)
    assert record is not None
    before = record.header
    ground.spool.erase(keys[released.sop_instance_uid], record.size)
    with segment.path(ground.spool.segments, name).open("r+b") as file:
        file.seek(record.offset + torn)
        file.write(before[torn:72])
    lose_database(ground)
    receiver._appender._descriptor = os.close(receiver._appender._descriptor) or -1
    replay(ground.database, ground.spool, "newest")
    assert segments.contents(ground) == contents_of(others)
    lose_database(ground)
    recover(ground)
    assert segments.contents(ground) == contents_of(others)


# --- the comparison ------------------------------------------------------------------------------


def test_instances_of_which_the_rows_follow_are_no_difference(ground: Ground) -> None:
    receiver = segments.receive(ground, samples(4), close=False)
    differences = recovery.compare(ground.database, ground.spool)
    assert differences == recovery.Differences([], 0, [], [])
    receiver.close()
    assert recovery.compare(ground.database, ground.spool) == differences


def test_an_instance_without_a_row_is_counted(ground: Ground) -> None:
    segments.receive(ground, instances := samples(4))
    with ground.database.writing() as session:
        session.execute(
            delete(Instance).where(Instance.sop_instance_uid == instances[0].sop_instance_uid)
        )
    assert recovery.compare(ground.database, ground.spool).rowless_instances == 1


def test_an_instance_that_was_erased_though_it_is_live_is_told(ground: Ground) -> None:
    segments.receive(ground, instances := samples(4))
    key = segments.keys(ground)[instances[1].sop_instance_uid]
    ground.spool.erase(key, len(instances[1].data_set))
    differences = recovery.compare(ground.database, ground.spool)
    assert differences.rowless_instances == 0
    assert differences.fileless_instances == row_ids(ground, instances[1].sop_instance_uid)


@pytest.mark.parametrize("has_own_file", [False, True])
def test_a_database_that_has_lost_the_rows_of_its_instances_is_refused(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, *, has_own_file: bool
) -> None:
    """Their segments are sealed and count as indexed, so that they would be deleted."""
    if has_own_file:
        monkeypatch.setattr(buffers, "BUFFER_SIZE", SIZE // 2)
    roles.prepare(ground.settings)
    segments.receive(ground, instances := samples(3))
    roles.prepare(ground.settings)
    with ground.database.writing() as session:
        session.execute(delete(Instance))
    with pytest.raises(OperatorError, match="has lost the rows of its instances") as refused:
        roles.prepare(ground.settings)
    assert "burnish db recover" in refused.value.hint
    assert recover(ground).recovered == len(instances)
    roles.prepare(ground.settings)
    roles.remove_leftovers(ground.settings)
    assert segments.contents(ground) == contents_of(instances)


@pytest.mark.parametrize("kind", ["segment", "own file", "earlier version", "older content"])
def test_rows_that_were_lost_in_part_are_restored_at_the_next_start(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "own file":
        monkeypatch.setattr(buffers, "BUFFER_SIZE", SIZE // 2)
    roles.prepare(ground.settings)
    instances = samples(4)
    if kind == "older content":
        newer = [
            instance(sop_instance_uid=older.sop_instance_uid, patient_id="CORRECTED", size=SIZE)
            for older in instances
        ]
        segments.receive(ground, instances)
        instances = newer
    segments.receive(ground, instances)
    if kind == "earlier version":
        segments.give_files(ground)
    before = rows(ground)
    with ground.database.writing() as session:
        is_lost = Instance.id.in_((2, 3, 6))
        session.execute(delete(Instance).where(is_lost))
    assert len(rows(ground)) < len(before)
    roles.prepare(ground.settings)
    roles.remove_leftovers(ground.settings)
    assert segments.contents(ground) == contents_of(instances)
    if kind != "earlier version":  # such files do not tell everything
        assert rows(ground) == before


def test_a_whole_segment_of_which_all_rows_were_lost_is_not_deleted(ground: Ground) -> None:
    roles.prepare(ground.settings)
    segments.receive(ground, first := samples(2))
    segments.receive(ground, second := [instance(size=SIZE) for _ in range(2)])
    lost = [sample.sop_instance_uid for sample in first]
    with ground.database.writing() as session:
        session.execute(delete(Instance).where(Instance.sop_instance_uid.in_(lost)))
    roles.remove_leftovers(ground.settings)
    assert segments.contents(ground) == contents_of([*first, *second])


def test_the_spool_is_not_read_at_a_start_without_lost_rows(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after instances were received twice, corrected, removed and released, either."""
    roles.prepare(ground.settings)
    instances = samples(6)
    segments.receive(ground, [*instances, instances[0]])
    segments.receive(ground, [instance(sop_instance_uid=instances[1].sop_instance_uid, size=SIZE)])
    remove(ground, instances[1:3])
    with ground.database.writing() as session:
        session.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == instances[3].sop_instance_uid)
            .values(received_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
    retention.release(ground.database, ground.spool, ground.settings.retention)
    assert len(rows(ground)) == 3

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the spool was compared with the database")

    monkeypatch.setattr(recovery, "recover", refuse)
    roles.prepare(ground.settings)
    roles.remove_leftovers(ground.settings)


def test_a_database_of_an_earlier_version_lacks_no_rows(ground: Ground) -> None:
    """It does not keep their number; instances may have been released since."""
    segments.receive(ground, samples(2))
    with ground.database.writing() as session:
        session.execute(delete(Tally))
    roles.prepare(ground.settings)
    with ground.database.reading() as session:
        assert instance_count.is_known(session)
        assert instance_count.lost_rows(session) == 0


@pytest.mark.parametrize("task", ["sweep", "compact"])
def test_nothing_is_removed_from_the_spool_while_rows_are_lost(ground: Ground, task: str) -> None:
    roles.prepare(ground.settings)
    segments.receive(ground, samples(2))
    segments.age(ground, 2 * compaction.GRACE)
    before = ground.stored_keys()
    with ground.database.writing() as session:
        session.execute(delete(Instance))
    schedule = Schedule(ground.settings, ground.database, ground.spool, lambda: None)
    with pytest.raises(OutOfResources, match=r"lost 2 rows of instances.*burnish db recover"):
        getattr(schedule, task)()
    assert ground.stored_keys() == before


def test_a_database_whose_instances_were_all_released_is_not_refused(ground: Ground) -> None:
    roles.prepare(ground.settings)
    segments.receive(ground, instances := samples(3))
    remove(ground, instances)
    with ground.database.writing() as session:
        session.execute(delete(Instance))
    roles.prepare(ground.settings)


def test_instances_that_have_no_rows_yet_are_no_reason_to_refuse(ground: Ground) -> None:
    roles.prepare(ground.settings)
    receiver = segments.receive(ground, instances := samples(3), close=False)
    roles.prepare(ground.settings)
    assert segments.contents(ground) == {}
    receiver.close()
    assert segments.contents(ground) == contents_of(instances)


def test_a_row_that_says_more_than_its_segment_has_is_not_believed(ground: Ground) -> None:
    segments.receive(ground, instances := samples(5))
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        session.execute(update(Segment).values(sealed_at=None, indexed_offset=1 << 30))
    assert replay(ground.database, ground.spool, "newest") == len(instances)
    assert segments.contents(ground) == contents_of(instances)


def test_the_hourly_sweep_erases_an_instance_whose_release_was_cut_off(ground: Ground) -> None:
    """Its row says that it was released; a power failure has kept its bytes."""
    segments.receive(ground, samples(3))
    released, *kept = rows(ground)
    with ground.database.writing() as session:
        session.execute(
            update(Instance)
            .where(Instance.spool_key == released["spool_key"])
            .values(released_at=datetime.now(UTC))
        )
    retention.sweep(ground.database, ground.spool, ground.settings)
    assert not ground.spool.slice(released["spool_key"], released["size"]).is_whole()
    assert all(ground.spool.slice(row["spool_key"], row["size"]).is_whole() for row in kept)


@pytest.mark.parametrize("durable", [True, False])
def test_an_erasure_is_durable_if_the_spool_is(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    segments.receive(ground, samples(3))
    spool = Spool(ground.spool.instances.parent, durable=durable)
    synced: list[str] = []
    real = os.fdatasync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", record)
    erased = [(row["spool_key"], row["size"]) for row in rows(ground)]
    spool.erase_durably(erased)
    paths = {spool.slice(key, size).path for key, size in erased}
    assert set(synced) == (paths if durable else set())
