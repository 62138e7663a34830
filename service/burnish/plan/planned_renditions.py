"""Stage: the renditions of the instances of requests, which are made while a request is planned."""

from collections.abc import Sequence
from pathlib import Path

from burnish.content import rendition
from burnish.content.model import Rendition
from burnish.content.rendition import RenditionOptions
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.content.volume_files import rendition_path
from burnish.errors import OutOfResources, Unreadable
from burnish.plan.source_instances import SourceInstance
from burnish.spool import DISK_FAILS, Spool

#: Renditions made in one call; between two calls the planner works on other requests.
_MADE_AT_ONCE = 128


class PlannedRenditions:
    """The renditions of the instances of requests, some at a time (see `RenditionMaker`).

    `unfinished` tells that more are to be made for a request; `progress` are the number that there
    are and the number that it needs.
    """

    def __init__(self, pool: RenditionPool, spool: Spool) -> None:
        self._pool = pool
        self._spool = spool
        self.unfinished = False
        self.progress = (0, 0)
        # keys that were there in an earlier call: they are not looked for again each time
        self._present: set[str] = set()

    @property
    def folder(self) -> Path:
        return self._pool.folder

    def renditions(
        self, instances: Sequence[SourceInstance], options: RenditionOptions
    ) -> dict[int, Rendition] | None:
        """Renditions by the id of the instance.

        Where some are missing, they are made, but of many only a part: then the result is None.
        """
        keys = {instance.instance_id: options.key(instance.digest) for instance in instances}
        tasks = [
            RenditionTask(
                keys[instance.instance_id],
                self._spool.slice(instance.received.spool_key, instance.received.size),
            )
            for instance in instances
        ]
        unknown = [task for task in tasks if task.key not in self._present]
        missing = self._pool.missing(unknown)
        self._pool.make(missing[:_MADE_AT_ONCE], options)
        still_missing = missing[_MADE_AT_ONCE:]
        if still_missing:
            self._present |= {task.key for task in unknown}
            self._present -= {task.key for task in still_missing}
            self.unfinished = True
            self.progress = (len(tasks) - len(still_missing), len(tasks))
            return None
        self._present.clear()
        return {
            instance.instance_id: self._read(task, options)
            for instance, task in zip(instances, tasks, strict=True)
        }

    def _read(self, task: RenditionTask, options: RenditionOptions) -> Rendition:
        """The rendition of a task; one that is damaged or gone is made again.

        Raises OutOfResources where the disk fails: the request is tried again later.
        """
        folder = self._pool.folder
        try:
            return rendition.read_rendition(folder, task.key)
        except Unreadable as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in DISK_FAILS:
                raise OutOfResources(f"renditions cannot be read: {cause.strerror}") from cause
        rendition_path(folder, task.key).unlink(missing_ok=True)
        self._pool.make([task], options)
        return rendition.read_rendition(folder, task.key)
