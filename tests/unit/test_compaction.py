"""Segments give back their room, and nothing that is wanted is lost or disappears from a reader."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import select

import segments
from burnish import compaction, removal
from burnish.db.tables import Instance, Segment
from burnish.errors import OutOfResources
from burnish.receive import buffers
from burnish.receive.replay import replay
from burnish.request import operations
from burnish.spool import Spool, appender, release, segment
from factories import Ground, SampleInstance, instance
from syncs import recorded_syncs

#: Bytes of the pixels of an instance.
SIZE = 50_000
HOUR = 3600.0


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small segments on a file system that can make no holes: it leaves most to be done."""
    monkeypatch.setattr(appender, "SEGMENT_SIZE", 1 << 20)
    monkeypatch.setattr(compaction, "_LEAST_GAIN", 0)
    monkeypatch.setattr(release, "punch_hole", lambda *_: False)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "root") as opened:
        yield opened


def samples(count: int, size: int = SIZE) -> list[SampleInstance]:
    return [instance(instance_number=number, size=size) for number in range(count)]


def remove(ground: Ground, instances: list[SampleInstance]) -> None:
    selection = removal.Selection([sample.sop_instance_uid for sample in instances])
    removal.remove(ground.database, ground.spool, selection, even_if_needed=True)


def compact(ground: Ground, grace: float = 0) -> compaction.Compaction:
    return compaction.compact(ground.database, ground.spool, grace=grace)


def contents_of(instances: list[SampleInstance]) -> dict[str, bytes]:
    return {sample.sop_instance_uid: sample.data_set for sample in instances}


def segment_rows(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        return sorted(session.scalars(select(Segment.name)))


def test_a_survey_tells_the_room_of_each_segment(ground: Ground) -> None:
    instances = samples(30)
    segments.receive(ground, instances)
    uses = compaction.survey(ground.database, ground.spool)
    assert [use.name for use in uses] == segments.names(ground.spool)
    assert len(uses) == 2
    assert all(use.is_complete for use in uses)
    assert sum(len(use.rows.ids) for use in uses) == 30
    for use in uses:
        assert use.rows.live_size < use.allocated < 1.1 * use.rows.live_size + 10_000
        assert 0 < use.gain < use.rows.live_size


def test_a_segment_without_live_instances_is_deleted(ground: Ground) -> None:
    instances = samples(30)
    segments.receive(ground, instances)
    first, second = segments.names(ground.spool)
    in_first = [
        sample
        for sample in instances
        if segments.keys(ground)[sample.sop_instance_uid].startswith(first)
    ]
    remove(ground, in_first)
    assert compact(ground) == (1, 0)
    assert segments.names(ground.spool) == segment_rows(ground) == [second]
    stay = [sample for sample in instances if sample not in in_first]
    assert segments.contents(ground) == contents_of(stay)


def test_a_segment_that_was_just_released_is_kept_for_a_while(ground: Ground) -> None:
    segments.receive(ground, instances := samples(3))
    remove(ground, instances)
    assert compact(ground, grace=HOUR) == (0, 0)
    segments.age(ground, HOUR - 60)
    assert compact(ground, grace=HOUR) == (0, 0)
    segments.age(ground, 120)
    assert compact(ground, grace=HOUR) == (1, 0)


def test_a_segment_that_is_being_written_is_kept(ground: Ground) -> None:
    receiver = segments.receive(ground, instances := samples(3), close=False)
    assert compact(ground) == (0, 0)
    receiver.index()
    remove(ground, instances)
    assert compact(ground) == (0, 0)
    receiver.close()
    assert compact(ground) == (1, 0)


def test_a_segment_whose_instances_have_no_rows_yet_is_kept(ground: Ground) -> None:
    segments.receive(ground, samples(3), close=False)
    assert compact(ground) == (0, 0)


def test_a_mostly_released_segment_is_rewritten(ground: Ground) -> None:
    segments.receive(ground, instances := samples(20))
    (before,) = segments.names(ground.spool)
    stay = instances[3::6]
    remove(ground, [sample for sample in instances if sample not in stay])
    assert compact(ground, grace=HOUR) == (0, 1)
    assert segments.contents(ground) == contents_of(stay)
    assert not any(key.startswith(before) for key in segments.keys(ground).values())
    # once nobody can be reading it any more
    assert before in segments.names(ground.spool)
    segments.age(ground, HOUR + 60)
    assert compact(ground, grace=HOUR) == (1, 0)
    (after,) = segments.names(ground.spool)
    assert segment_rows(ground) == [after]
    assert segments.contents(ground) == contents_of(stay)
    live_size = sum(len(sample.data_set) for sample in stay)
    assert segments.allocated(ground.spool) < live_size + 30_000


def test_copies_are_durable_before_the_old_segment_can_go(ground: Ground) -> None:
    segments.receive(ground, instances := samples(20))
    (before,) = segments.names(ground.spool)
    remove(ground, instances[4:])
    durable_spool = Spool(ground.spool.segments.parent, durable=True)
    with recorded_syncs() as syncs:
        assert compaction.compact(ground.database, durable_spool, grace=HOUR) == (0, 1)
    (copies,) = set(segments.names(ground.spool)) - {before}
    syncs.assert_durable(segment.path(ground.spool.segments, copies))


def test_a_segment_that_is_mostly_wanted_is_not_rewritten(ground: Ground) -> None:
    segments.receive(ground, instances := samples(20))
    remove(ground, instances[:3])
    assert compact(ground) == (0, 0)


def test_several_segments_are_rewritten_into_one(ground: Ground) -> None:
    segments.receive(ground, instances := samples(60))
    assert len(segments.names(ground.spool)) > 2
    stay = instances[::10]
    remove(ground, [sample for sample in instances if sample not in stay])
    compact(ground)
    compact(ground)
    assert len(segments.names(ground.spool)) == 1
    assert segments.contents(ground) == contents_of(stay)


def test_a_rewritten_segment_can_be_rewritten_again(ground: Ground) -> None:
    segments.receive(ground, instances := samples(20))
    stay = instances
    for _ in range(3):
        remove(ground, [sample for sample in stay if sample not in stay[::3]])
        stay = stay[::3]
        compact(ground)
        compact(ground)
    assert segments.contents(ground) == contents_of(stay)
    assert len(segments.names(ground.spool)) == 1


def test_the_records_of_a_rewritten_segment_are_whole(ground: Ground) -> None:
    segments.receive(ground, instances := samples(20))
    stay = instances[:3]
    remove(ground, instances[3:])
    compact(ground)
    compact(ground)
    (name,) = segments.names(ground.spool)
    descriptor = os.open(segment.path(ground.spool.segments, name), os.O_RDONLY)
    assert segment.check_header(descriptor, name)
    records = list(segment.records(descriptor))
    assert len(records) == len(stay)
    assert all(segment.is_whole(descriptor, record) for record in records)
    with ground.database.reading() as session:
        row = session.get_one(Segment, name)
        assert row.sealed_size == row.indexed_offset == os.fstat(descriptor).st_size
        assert row.sealed_size == records[-1].end
        assert row.digest.startswith("blake3:")
    os.close(descriptor)


def test_rewriting_gives_back_what_holes_do_not(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room of records smaller than a few blocks, and the headers of all records."""
    punch_hole = release.punch_hole
    monkeypatch.undo()
    assert release.punch_hole is not punch_hole
    monkeypatch.setattr(compaction, "_LEAST_GAIN", 0)
    segments.receive(ground, instances := samples(100, size=10_000))
    before = segments.allocated(ground.spool)
    stay = instances[::20]
    remove(ground, [sample for sample in instances if sample not in stay])
    with_holes = segments.allocated(ground.spool)
    assert with_holes < 0.7 * before
    compact(ground)
    compact(ground)
    assert segments.allocated(ground.spool) < 0.3 * with_holes
    assert segments.contents(ground) == contents_of(stay)


def test_instances_that_an_open_request_needs_are_not_moved(ground: Ground) -> None:
    segments.receive(ground, instances := samples(10))
    uid = ground.create(instances[:1])
    keys = segments.keys(ground)
    remove(ground, instances[2:])
    assert compact(ground) == (0, 0)
    with ground.database.writing() as session:
        operations.cancel(session, uid)
    assert compact(ground) == (0, 1)
    moved = segments.keys(ground)
    assert moved.keys() == contents_of(instances[:2]).keys()
    assert not moved.items() & keys.items()


def test_an_instance_that_is_requested_during_the_rewriting_is_not_moved(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.receive(ground, instances := samples(10))
    keys = segments.keys(ground)
    remove(ground, instances[2:])
    record_moves = compaction._record_moves

    def request_and_record(*arguments: object) -> object:
        ground.create(instances[:1])
        return record_moves(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "_record_moves", request_and_record)
    compact(ground)
    requested, other = (sample.sop_instance_uid for sample in instances[:2])
    assert segments.keys(ground)[requested] == keys[requested]
    assert segments.keys(ground)[other] != keys[other]
    assert segments.contents(ground) == contents_of(instances[:2])
    assert released_records(ground, segments.keys(ground)[other]) == 1


def test_an_instance_that_is_released_during_the_rewriting_stays_released(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.receive(ground, instances := samples(10))
    remove(ground, instances[2:])
    record_moves = compaction._record_moves

    def remove_and_record(*arguments: object) -> object:
        remove(ground, instances[:1])
        return record_moves(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "_record_moves", remove_and_record)
    compact(ground)
    assert segments.contents(ground) == contents_of(instances[1:2])
    assert released_records(ground, segments.keys(ground)[instances[1].sop_instance_uid]) == 1


def test_an_instance_that_is_released_and_not_yet_erased_is_not_moved(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row stays until the spool can be written again."""
    segments.receive(ground, instances := samples(10))
    keys = segments.keys(ground)
    remove(ground, instances[2:])
    record_moves = compaction._record_moves

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    def release_and_record(*arguments: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(Spool, "erase_durably", fail)
            with pytest.raises(OutOfResources):
                remove(ground, instances[:1])
        return record_moves(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "_record_moves", release_and_record)
    compact(ground)
    released, other = (sample.sop_instance_uid for sample in instances[:2])
    with ground.database.reading() as session:
        rows = session.execute(select(Instance.sop_instance_uid, Instance.spool_key))
        now = {row.sop_instance_uid: row.spool_key for row in rows}
    assert now[released] == keys[released]
    assert now[other] != keys[other]
    assert released_records(ground, now[other]) == 1


def released_records(ground: Ground, key: str) -> int:
    """The number of released records in the segment that has the instance with this key."""
    name, _ = ground.spool.place_in_segment(key)
    descriptor = os.open(segment.path(ground.spool.segments, name), os.O_RDONLY)
    count = sum(segment.is_released(descriptor, record) for record in segment.records(descriptor))
    os.close(descriptor)
    return count


def test_a_reader_that_has_an_instance_open_reads_it_to_its_end(ground: Ground) -> None:
    segments.receive(ground, instances := samples(10))
    (stays,) = instances[:1]
    with ground.database.reading() as session:
        row = session.scalars(
            select(Instance).where(Instance.sop_instance_uid == stays.sop_instance_uid)
        ).one()
    source = ground.spool.slice(row.spool_key, row.size)
    remove(ground, instances[1:])
    pieces = source.pieces()
    content = next(pieces)
    assert compact(ground, grace=HOUR) == (0, 1)
    assert source.is_whole()  # who got the key before the instance was moved still finds it
    compact(ground)
    compact(ground)
    assert not source.is_whole()
    content += b"".join(pieces)
    assert content[row.data_set_offset :] == stays.data_set


def test_a_rewriting_that_was_killed_leaves_duplicates_that_are_recognised(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = instance(size=SIZE)
    newer = instance(sop_instance_uid=older.sop_instance_uid, size=SIZE, patient_id="P2")
    segments.receive(ground, [older, newer, *(others := samples(10))])
    remove(ground, others)
    rows = all_rows(ground)
    assert len(rows) == 2

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_record_moves", killed)
        patch.setattr(
            compaction._SegmentOfCopies, "__exit__", lambda self, *_: os.close(self._descriptor)
        )
        with pytest.raises(KeyboardInterrupt):
            compact(ground)
    assert len(segments.names(ground.spool)) == 2
    assert replay(ground.database, ground.spool, "newest") == 0
    assert all_rows(ground) == rows
    assert segments.contents(ground) == contents_of([newer])
    # the duplicates gave back their room, and their segment is deleted
    assert compact(ground) == (1, 1)
    compact(ground)
    assert len(segments.names(ground.spool)) == 1
    assert segments.contents(ground) == contents_of([newer])


def all_rows(ground: Ground) -> list[tuple[object, ...]]:
    with ground.database.reading() as session:
        rows = session.execute(
            select(Instance.id, Instance.spool_key, Instance.received_at, Instance.replaced_at)
        )
        return [tuple(row) for row in rows]


def test_a_rewriting_that_fails_leaves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.receive(ground, instances := samples(10))
    remove(ground, instances[1:])
    before = os.listdir(ground.spool.segments)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutOfResources, match="No space left"):
            compact(ground)
    assert os.listdir(ground.spool.segments) == before
    assert segments.contents(ground) == contents_of(instances[:1])
    assert compact(ground) == (0, 1)


def test_a_damaged_instance_is_left_where_it_is_and_told(ground: Ground) -> None:
    segments.receive(ground, instances := samples(10))
    remove(ground, instances[2:])
    damaged, whole = (sample.sop_instance_uid for sample in instances[:2])
    keys = segments.keys(ground)
    name, offset = ground.spool.place_in_segment(keys[damaged])
    with segment.path(ground.spool.segments, name).open("r+b") as file:
        file.seek(offset + 10_000)
        file.write(b"damage")
    with structlog.testing.capture_logs() as logged:
        compact(ground)
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == [
        "instance damaged"
    ]
    assert segments.keys(ground)[damaged] == keys[damaged]
    assert segments.keys(ground)[whole] != keys[whole]
    compact(ground)
    assert ground.spool.slice(keys[damaged], 1000).is_whole()


def test_the_records_of_instances_with_files_of_their_own_are_kept(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 100_000)
    large = samples(3, size=300_000)
    segments.receive(ground, [*large, *(small := samples(10))])
    assert len(list(ground.spool.published_keys())) == 3
    remove(ground, [*small, large[0]])
    before = segments.names(ground.spool)
    assert compact(ground) == (1, 0)
    (name,) = segments.names(ground.spool)
    assert [name] != before
    assert segment_rows(ground) == [name]
    descriptor = os.open(segment.path(ground.spool.segments, name), os.O_RDONLY)
    records = list(segment.records(descriptor))
    os.close(descriptor)
    assert all(record.has_own_file for record in records)
    assert len(records) == 2
    assert segments.contents(ground) == contents_of(large[1:])
    remove(ground, large[1:])
    assert compact(ground) == (1, 0)
    assert segments.names(ground.spool) == segment_rows(ground) == []


def test_the_row_of_a_segment_whose_file_is_gone_is_deleted(ground: Ground) -> None:
    """The process was killed after it had deleted the file."""
    segments.receive(ground, instances := samples(3))
    remove(ground, instances)
    (name,) = segments.names(ground.spool)
    segment.path(ground.spool.segments, name).unlink()
    compact(ground)
    assert segment_rows(ground) == []


def test_what_one_call_moves_is_bounded(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    segments.receive(ground, instances := samples(60))
    stay = instances[::10]
    remove(ground, [sample for sample in instances if sample not in stay])
    monkeypatch.setattr(compaction, "_MOST_MOVED", 3 * SIZE + 3000)
    assert [compact(ground).rewritten for _ in range(3)] == [2, 1, 0]
    assert segments.contents(ground) == contents_of(stay)


@pytest.mark.parametrize("holes", [True, False])
def test_the_room_returns_to_its_level_while_segments_turn_over(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, holes: bool
) -> None:
    """Each day as many instances arrive as are released; one in twelve is kept for good."""
    if holes:
        monkeypatch.undo()
        monkeypatch.setattr(compaction, "_LEAST_GAIN", 0)
    monkeypatch.setattr(appender, "SEGMENT_SIZE", 300_000)
    kept: list[SampleInstance] = []
    due: list[SampleInstance] = []
    segments_seen: set[str] = set()
    for _ in range(12):
        arrived = samples(24, size=12_000)
        segments.receive(ground, arrived)
        segments_seen.update(segments.names(ground.spool))
        if due:
            remove(ground, due)
        kept += arrived[::12]
        due = [sample for sample in arrived if sample not in arrived[::12]]
        for _ in range(2):
            compact(ground)
        segments_seen.update(segments.names(ground.spool))
        live_size = sum(len(sample.data_set) for sample in [*kept, *due])
        assert segments.allocated(ground.spool) < 1.5 * live_size + 100_000
    assert len(segments_seen) > 12
    remove(ground, due)
    for _ in range(3):
        compact(ground)
    assert segments.contents(ground) == contents_of(kept)
    assert segments.allocated(ground.spool) < 1.5 * 13_000 * len(kept) + 100_000
