"""Stage: makes the icons that a profile requires or the site wants, once for each instance."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from sqlalchemy import select

from burnish.codec_process import confine_codec_process
from burnish.db.session import Database
from burnish.db.tables import IconImage
from burnish.file_slice import Slice
from burnish.plan.source_instances import Icon, SourceInstance
from burnish.spool import Spool
from burnish.transcode import icons

#: Icons made in one call; between two calls the planner works on other requests.
_MADE_AT_ONCE = 64
#: Instances looked up in one statement.
_BATCH = 500


class IconImages:
    """The icons of the service. `unfinished` tells that more are to be made for a request."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self.unfinished = False

    def icons(self, images: Sequence[SourceInstance], pixels: int) -> dict[int, Icon] | None:
        """The icons of images, by the id of the instance; `pixels` wide and high.

        Where icons are missing, some of them are made and the result is None: call again.
        """
        known = self._load([image.instance_id for image in images], pixels)
        missing = [image for image in images if image.instance_id not in known]
        if not missing:
            return known
        self.unfinished = True
        batch = missing[:_MADE_AT_ONCE]
        files = [image.received for image in batch]
        slices = [self._spool.slice(file.spool_key, file.size) for file in files]
        items = _make_icons(slices, pixels)
        with self._database.writing() as session:
            session.add_all(
                IconImage(instance_id=image.instance_id, pixels=pixels, item=item)
                for image, item in zip(batch, items, strict=True)
            )
        return None

    def _load(self, instance_ids: Sequence[int], pixels: int) -> dict[int, Icon]:
        known: dict[int, Icon] = {}
        with self._database.reading() as session:
            for start in range(0, len(instance_ids), _BATCH):
                rows = session.scalars(
                    select(IconImage).where(
                        IconImage.instance_id.in_(instance_ids[start : start + _BATCH]),
                        IconImage.pixels == pixels,
                    )
                )
                for row in rows:
                    known[row.instance_id] = Icon(row.id, row.item)
        return known


def _make_icons(slices: Sequence[Slice], pixels: int) -> list[bytes]:
    """An icon of each file, made in other processes, since a decoder may crash on its input."""
    try:
        with _pool(min(len(slices), os.cpu_count() or 1)) as pool:
            return list(pool.map(icons.make_icon, slices, [pixels] * len(slices)))
    except BrokenProcessPool:
        return [_make_icon_alone(source, pixels) for source in slices]


def _make_icon_alone(source: Slice, pixels: int) -> bytes:
    try:
        with _pool(1) as pool:
            return pool.submit(icons.make_icon, source, pixels).result()
    except BrokenProcessPool:
        return b""


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=confine_codec_process, initargs=(workers,)
    )
