"""What gives back room in the spool, and takes over the spool of an earlier version."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select, update

import segments
from burnish import compaction, recovery, removal, retention, roles
from burnish.db.tables import Instance, Segment
from burnish.receive import buffers
from burnish.receive.replay import replay
from crash.interrupted import Operation
from crash.invariants import Root
from crash.life import settings_of
from factories import SampleInstance, instance

_SIZE = 9_000
#: Instances in segments: those of the second study are wanted, with a corrected one among them.
_UNWANTED = [instance(study="1.2.1", instance_number=n, size=_SIZE) for n in range(6)]
_OLDER = instance(study="1.2.2", patient_id="WRONG", size=_SIZE)
_NEWER = instance(sop_instance_uid=_OLDER.sop_instance_uid, study="1.2.2", size=_SIZE)
_LARGE = instance(study="1.2.2", size=5 * _SIZE)
_OTHERS = [instance(study="1.2.2", instance_number=n, size=_SIZE) for n in range(2)]
_WANTED = [_OLDER, _NEWER, _LARGE, *_OTHERS]
_LATER = [instance(study="1.2.3", instance_number=n, size=_SIZE) for n in range(2)]


class _Site:
    """A storage root with its database and its spool."""

    def __init__(self, root: Path) -> None:
        self.settings = settings_of(root)
        self.database = roles.open_database(self.settings)
        self.spool = roles.open_spool(self.settings)

    @classmethod
    def filled(cls, root: Path) -> "_Site":
        """A new root with instances of two studies in its segments, one of them in a file."""
        root.mkdir(exist_ok=True)
        roles.prepare(settings_of(root))
        site = cls(root)
        buffers.BUFFER_SIZE = 4 * _SIZE
        segments.receive(site, [*_UNWANTED, *_WANTED])
        return site


def _check_contents(root: Path, wanted: list[SampleInstance], *, others_gone: bool) -> None:
    """All wanted instances are here, once, as they were received; the others may be gone."""
    site = _Site(root)
    replay(site.database, site.spool, "newest")
    newest = {sample.sop_instance_uid: sample.data_set for sample in wanted}
    faults = list(Root(root).faults(newest))
    assert not faults, faults
    with site.database.reading() as session:
        uids = session.scalars(
            select(Instance.sop_instance_uid).where(Instance.released_at.is_(None))
        ).all()
    live = sorted(uids)
    if others_gone:
        assert live == sorted(sample.sop_instance_uid for sample in wanted), live
    else:
        assert len([uid for uid in live if uid in newest]) == len(wanted), live
    differences = recovery.compare(site.database, site.spool)
    assert not differences.fileless_instances, differences
    site.database.close()


def _check_recovered(root: Path, wanted: list[SampleInstance]) -> None:
    """From the spool alone, the wanted instances come back, and nothing that was released."""
    site = _Site(root)
    with site.database.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(Segment))
    recovery.recover(site.database, site.spool, called_ae_title="BURNISH")
    site.database.close()
    _check_contents(root, wanted, others_gone=True)


class Compaction:
    """Segments are rewritten, then deleted."""

    name = "compaction"

    def prepare(self, root: Path) -> None:
        site = _Site.filled(root)
        removal.remove(site.database, site.spool, removal.Selection(study_instance_uids=["1.2.1"]))
        segments.receive(site, _LATER)
        removal.remove(site.database, site.spool, removal.Selection(study_instance_uids=["1.2.3"]))
        site.database.close()

    def act(self, root: Path) -> None:
        compaction._LEAST_GAIN = 0
        site = _Site(root)
        for _ in range(2):
            compaction.compact(site.database, site.spool, grace=0)
        site.database.close()

    def check(self, root: Path, *, done: bool) -> None:
        _check_contents(root, _WANTED, others_gone=True)
        if done:
            site = _Site(root)
            # that of the copies, and that of the record of the file
            assert len(segments.names(site.spool)) == 2
            site.database.close()


class Release:
    """Retention releases the instances of a study."""

    name = "release"

    def prepare(self, root: Path) -> None:
        site = _Site.filled(root)
        with site.database.writing() as session:
            session.execute(
                update(Instance)
                .where(Instance.study_instance_uid == "1.2.1")
                .values(received_at=datetime.now(UTC) - timedelta(days=400))
            )
        site.database.close()

    def act(self, root: Path) -> None:
        site = _Site(root)
        retention.release(site.database, site.spool, site.settings.retention)
        site.database.close()

    def check(self, root: Path, *, done: bool) -> None:
        _check_contents(root, _WANTED, others_gone=done)
        if done:
            _check_recovered(root, _WANTED)


class TakeOver:
    """The first start on the spool of an earlier version, and the first instances after it."""

    name = "take over"

    def prepare(self, root: Path) -> None:
        site = _Site.filled(root)
        segments.give_files(site)
        site.database.close()

    def act(self, root: Path) -> None:
        settings = settings_of(root)
        roles.prepare(settings)
        roles.remove_leftovers(settings)
        site = _Site(root)
        segments.receive(site, _LATER)  # the sender repeats what was not answered
        site.database.close()

    def check(self, root: Path, *, done: bool) -> None:
        before = [*_UNWANTED, *_WANTED]
        _check_contents(root, [*before, *_LATER] if done else before, others_gone=done)


UPKEEP: tuple[Operation, ...] = (Compaction(), Release(), TakeOver())
