"""Stage: retrievals that run at the same time, one for each thing that somebody wants retrieved."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from burnish.request.query_retrieve import Archive, StoreInstance
from burnish.settings import PeerSettings, Settings

log = structlog.get_logger(__name__)


class RetrievalJobs:
    """Retrievals by number, `at_once` of them at the same time, and their associations.

    `retrieve` does one of them. `store` stores an instance that came by C-GET.
    """

    def __init__(
        self,
        settings: Settings,
        store: StoreInstance,
        retrieve: Callable[[int], None],
        *,
        at_once: int,
        thread_name: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._retrieve = retrieve
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix=thread_name)
        self._under_way: dict[int, Future[None]] = {}
        self._associations: list[Archive] = []
        self.stopping = False

    def forget_ended(self) -> list[int]:
        """Forget the retrievals that have ended; returns those that a defect has ended."""
        ended_by_defect = []
        for number, future in list(self._under_way.items()):
            if future.done():
                del self._under_way[number]
                if error := future.exception():
                    log.error("retrieval failed by a defect", exc_info=error)
                    ended_by_defect.append(number)
        return ended_by_defect

    def begin(self, number: int) -> None:
        """Begin a retrieval unless it is under way."""
        if number not in self._under_way:
            self._under_way[number] = self._pool.submit(self._retrieve, number)

    @contextmanager
    def association(self, peer: PeerSettings, sop_classes: Sequence[str]) -> Iterator[Archive]:
        """An association with an archive, which `close` aborts; raises NotRetrievedError."""
        with Archive(peer, self._settings, sop_classes=sop_classes, store=self._store) as archive:
            self._associations.append(archive)
            try:
                yield archive
            finally:
                self._associations.remove(archive)

    def close(self) -> None:
        """Abort what is under way; the next start begins it again."""
        self.stopping = True
        for archive in list(self._associations):
            archive.abort()
        self._pool.shutdown(cancel_futures=True)
