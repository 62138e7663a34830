"""Segments driven at random beside a model of them: nothing wanted is lost, nothing comes back.

Receivers append, die and are replayed; instances are released, and room is given back; segments are
rewritten; the database is lost and recovered, or an older one is restored; readers hold instances
open meanwhile.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import delete, select

import segments
from burnish import compaction, recovery, removal, retention
from burnish.db.session import Database
from burnish.db.tables import Instance, Segment
from burnish.file_slice import Slice
from burnish.receive import Receiver, buffers
from burnish.receive.replay import replay
from burnish.spool import appender, release, segment
from factories import Ground, SampleInstance, instance

#: Bytes of the pixels of an instance; larger ones have files of their own.
_SIZES = (200, 5_000, 40_000)
_BUFFER = 30_000


class SegmentModel(RuleBasedStateMachine):
    """`self.wanted` is what must be here: the acknowledged data sets by SOP Instance UID."""

    readers = Bundle("readers")

    @initialize(holes=st.booleans())
    def begin(self, holes: bool) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(appender, "SEGMENT_SIZE", 60_000)
        self.patch.setattr(buffers, "BUFFER_SIZE", _BUFFER)
        self.patch.setattr(compaction, "_LEAST_GAIN", 0)
        if not holes:
            self.patch.setattr(release, "punch_hole", lambda *_: False)
        self.folder = Path(tempfile.mkdtemp(prefix="burnish-model-"))
        self.ground = Ground(self.folder / "root")
        self.wanted: dict[str, bytes] = {}
        #: Every data set that an instance ever had.
        self.contents: dict[str, set[bytes]] = {}
        self.released: set[str] = set()
        self.receivers: list[Receiver] = []
        self.numbers = 0

    def teardown(self) -> None:
        if hasattr(self, "ground"):
            for receiver in self.receivers:
                receiver.close()
            self.ground.database.close()
            shutil.rmtree(self.folder)
            self.patch.undo()

    # --- receiving -------------------------------------------------------------------------------

    def _receive(self, sample: SampleInstance, receiver: Receiver) -> None:
        receiver.receive(sample.arriving())
        self.wanted[sample.sop_instance_uid] = sample.data_set
        self.contents.setdefault(sample.sop_instance_uid, set()).add(sample.data_set)
        self.released.discard(sample.sop_instance_uid)

    def _receiver(self, number: int) -> Receiver:
        while len(self.receivers) <= number:
            self.receivers.append(Receiver(self.ground.database, self.ground.spool))
        return self.receivers[number]

    @rule(receiver=st.integers(0, 1), size=st.sampled_from(_SIZES), count=st.integers(1, 4))
    def append(self, receiver: int, size: int, count: int) -> None:
        for _ in range(count):
            self.numbers += 1
            self._receive(
                instance(instance_number=self.numbers, size=size), self._receiver(receiver)
            )

    @precondition(lambda self: self.wanted)
    @rule(receiver=st.integers(0, 1), data=st.data(), correct=st.booleans())
    def append_again(self, receiver: int, data: st.DataObject, correct: bool) -> None:
        """The same content, or other content, of an instance that is here."""
        uid = data.draw(st.sampled_from(sorted(self.wanted)))
        # whichever process received it last: both clocks are the same, and the rows are in order
        self._index_all()
        if correct:
            self.numbers += 1
            sample = instance(
                sop_instance_uid=uid, patient_id=f"P{self.numbers}", instance_number=self.numbers
            )
            self._receive(sample, self._receiver(receiver))
        else:
            template = instance(sop_instance_uid=uid)
            sample = SampleInstance(
                template.sop_class_uid, uid, template.transfer_syntax_uid, self.wanted[uid]
            )
            self._receive(sample, self._receiver(receiver))
        self._index_all()

    def _index_all(self) -> None:
        for receiver in self.receivers:
            receiver.index()

    @rule(receiver=st.integers(0, 1))
    def index(self, receiver: int) -> None:
        self._receiver(receiver).index()

    @rule(receiver=st.integers(0, 1))
    def stop(self, receiver: int) -> None:
        self._receiver(receiver).close()
        self.receivers[receiver] = Receiver(self.ground.database, self.ground.spool)

    @rule(receiver=st.integers(0, 1))
    def kill(self, receiver: int) -> None:
        """The process dies: its rows do not follow, and its segment is left unlocked."""
        killed = self._receiver(receiver)
        descriptor = killed._appender._descriptor
        if descriptor >= 0:
            os.close(descriptor)
            killed._appender._descriptor = -1
        for notice in killed._indexer._waiting:
            if isinstance(notice, appender.SealedSegment):
                os.close(notice.descriptor)
        self.receivers[receiver] = Receiver(self.ground.database, self.ground.spool)

    @rule()
    def replay(self) -> None:
        replay(self.ground.database, self.ground.spool, "newest")

    # --- letting go ------------------------------------------------------------------------------

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), many=st.booleans())
    def remove(self, data: st.DataObject, many: bool) -> None:
        self._settle()
        uids = data.draw(
            st.lists(
                st.sampled_from(sorted(self.wanted)),
                min_size=1,
                max_size=len(self.wanted) if many else 1,
                unique=True,
            )
        )
        removal.remove(self.ground.database, self.ground.spool, removal.Selection(uids))
        for uid in uids:
            del self.wanted[uid]
            self.released.add(uid)

    def _settle(self) -> None:
        """Have all rows follow, as they do within milliseconds."""
        self._index_all()
        replay(self.ground.database, self.ground.spool, "newest")

    @rule()
    def compact(self) -> None:
        compaction.compact(self.ground.database, self.ground.spool, grace=0)

    @rule()
    def sweep(self) -> None:
        self._settle()
        retention.sweep(self.ground.database, self.ground.spool, self.ground.settings)

    # --- recovering ------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        for receiver in self.receivers:
            receiver.close()
        self.receivers.clear()

    @rule()
    def recover(self) -> None:
        """The database is lost; everything comes from the spool."""
        self._stop_all()
        replay(self.ground.database, self.ground.spool, "newest")
        with self.ground.database.writing() as session:
            session.execute(delete(Instance))
            session.execute(delete(Segment))
        self._recover()

    @rule()
    def restore(self) -> None:
        """An older database is restored; what has come since is in the spool."""
        self._stop_all()
        saved = self.folder / "saved.db"
        if saved.exists():
            self.ground.database.close()
            for path in (self.folder / "root").glob("burnish.db*"):
                path.unlink()
            shutil.copy(saved, self.folder / "root" / "burnish.db")
            self.ground.database = Database(self.ground.url, durable=False)
        self._recover()

    def _recover(self) -> None:
        outcome = recovery.recover(
            self.ground.database, self.ground.spool, called_ae_title="BURNISH"
        )
        self.ground.spool.erase_durably(outcome.unneeded)

    @rule()
    def back_up(self) -> None:
        from burnish.db import backup

        (self.folder / "saved.db").unlink(missing_ok=True)
        backup.save(self.ground.url, self.folder / "saved.db")

    # --- reading ---------------------------------------------------------------------------------

    @precondition(lambda self: self.wanted)
    @rule(target=readers, data=st.data())
    def begin_reading(self, data: st.DataObject) -> object:
        """A reader that has begun to read an instance."""
        self._settle()
        uid = data.draw(st.sampled_from(sorted(self.wanted)))
        row = self._row(uid)
        source = self.ground.spool.slice(row.spool_key, row.size)
        return (uid, row.data_set_offset, source, source.pieces())

    @rule(reader=consumes(readers))
    def read_on(self, reader: tuple[str, int, Slice, Iterator[bytes]]) -> None:
        """It reads what was received, or is told that it was released: never anything else."""
        uid, data_set_offset, _, pieces = reader
        try:
            content = b"".join(pieces)
        except FileNotFoundError:
            return
        assert content[data_set_offset:] in self.contents[uid]

    def _row(self, uid: str) -> Instance:
        with self.ground.database.reading() as session:
            return session.scalars(
                select(Instance).where(Instance.sop_instance_uid == uid, Instance.is_newest())
            ).one()

    # --- what holds ------------------------------------------------------------------------------

    @invariant()
    def no_row_without_its_instance(self) -> None:
        if not hasattr(self, "ground"):
            return
        with self.ground.database.reading() as session:
            rows = session.scalars(select(Instance).where(Instance.released_at.is_(None))).all()
        for row in rows:
            content = b"".join(self.ground.spool.slice(row.spool_key, row.size).pieces())
            assert content[row.data_set_offset :] in self.contents[row.sop_instance_uid]
        keys = [row.spool_key for row in rows]
        assert len(set(keys)) == len(keys)

    @rule()
    def everything_wanted_is_here(self) -> None:
        self._settle()
        assert segments.contents(self.ground) == self.wanted
        differences = recovery.compare(self.ground.database, self.ground.spool)
        assert differences.fileless_instances == []
        assert differences.rowless_instances == 0

    @rule()
    def released_room_is_given_back(self) -> None:
        """After all rewriting and sweeping, little more than the live instances is left."""
        self._stop_all()
        for _ in range(3):
            self._settle()
            compaction.compact(self.ground.database, self.ground.spool, grace=0)
            retention.sweep(
                self.ground.database, self.ground.spool, self.ground.settings, orphan_age=-10
            )
        live_size = allocated = 0
        for use in compaction.survey(self.ground.database, self.ground.spool):
            live_size += use.rows.live_size
            allocated += use.allocated
            assert use.is_complete
            with segment.opened(self.ground.spool.segments, use.name) as descriptor:
                has_records = any(True for _ in segment.records(descriptor))
            assert has_records
        if not live_size:
            own_files = len(list(self.ground.spool.published_keys()))
            assert len(segments.names(self.ground.spool)) <= (1 if own_files else 0)


TestSegments = SegmentModel.TestCase
TestSegments.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "10")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
