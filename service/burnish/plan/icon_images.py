"""Stage: makes the icons that a profile demands or the site wants, once for each instance."""

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sqlalchemy import select

from burnish.application_profiles.icon import IconRule, acceptable
from burnish.db.session import Database
from burnish.db.tables import IconImage
from burnish.dicomdir import icons
from burnish.plan.candidates import Icon, Wanted
from burnish.plan.conversion import confine
from burnish.spool import Spool

#: Icons made in one go: the planner looks after other requests between two.
_AT_ONCE = 64
#: Instances looked up in one statement.
_BATCH = 500


class Icons:
    """The icons of this service. `busy` tells that more are to be made for a request."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self.busy = False

    def of(self, wanted: Iterable[Wanted], rule: IconRule | None) -> dict[int, Icon] | None:
        """The icons of instances by their id, of the size that `rule` says.

        Of those that are not there yet some are made; None while some are still missing.
        """
        pixels = rule.size if rule else icons.PIXELS
        missing = {
            one.instance_id: one
            for one in wanted
            if one.header.directory_record_type == "IMAGE"
            and not (one.supplied_icon and acceptable(one.supplied_icon, rule))
        }
        known = self._known(list(missing), pixels)
        left = [one for one in missing.values() if one.instance_id not in known]
        if not left:
            return known
        self.busy = True
        some = left[:_AT_ONCE]
        items = _make([self._spool.path(one.spool_key) for one in some], pixels)
        with self._database.writing() as session:
            session.add_all(
                IconImage(instance_id=one.instance_id, pixels=pixels, item=item)
                for one, item in zip(some, items, strict=True)
            )
        return None

    def _known(self, instance_ids: Sequence[int], pixels: int) -> dict[int, Icon]:
        found: dict[int, Icon] = {}
        with self._database.reading() as session:
            for start in range(0, len(instance_ids), _BATCH):
                rows = session.scalars(
                    select(IconImage).where(
                        IconImage.instance_id.in_(instance_ids[start : start + _BATCH]),
                        IconImage.pixels == pixels,
                    )
                )
                found |= {row.instance_id: Icon(row.id, row.item) for row in rows}
        return found


def _make(paths: Sequence[Path], pixels: int) -> list[bytes]:
    """An icon of each file, in processes of their own: a decoder may crash on what it is given."""
    try:
        with _pool(min(len(paths), os.cpu_count() or 1)) as pool:
            return list(pool.map(icons.make, paths, [pixels] * len(paths)))
    except BrokenProcessPool:
        return [_make_alone(path, pixels) for path in paths]


def _make_alone(path: Path, pixels: int) -> bytes:
    try:
        with _pool(1) as pool:
            return pool.submit(icons.make, path, pixels).result()
    except BrokenProcessPool:
        return b""


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=confine, initargs=(workers,)
    )
