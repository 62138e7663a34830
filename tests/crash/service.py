"""The whole service, killed at a step of one of its processes: that process, or all of them."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from crash.invariants import Root
from crash.modality import GONE, Modality
from crash.steps import Steps
from crash.sweep import Point, assert_no_faults
from flow.service import Service
from ports import free_port
from waiting import wait_until

_POINTS = 40
_DEVICE = [{"name": "outbox", "media": ["CD"], "capacity": "150KB"}]


def points(folder: Path, steps: Steps) -> Iterator[Point]:
    """So many steps, spread over all that a run has; in turn one process dies, or all."""
    total = _run(folder, steps, 0, group=False)
    for number in range(_POINTS):
        step = 1 + number * total // _POINTS
        group = number % 2 == 0
        what = "all" if group else "one"
        yield Point(f"step {step} of {what}", partial(_run, folder, steps, step, group=group))


def _run(folder: Path, steps: Steps, step: int, *, group: bool) -> int:
    """One service from its start to the end of what was asked of it; how many steps it took."""
    place = folder / "service"
    shutil.rmtree(place, ignore_errors=True)
    service = Service(place, free_port(), {"device": _DEVICE})
    service.start()
    try:
        modality = Modality(service.port)
        steps.watch(service.root)
        if step:
            steps.kill_at(step, group=group)
        failures: list[BaseException] = []
        thread = threading.Thread(target=_client, args=(modality, failures))
        thread.start()
        while thread.is_alive():
            thread.join(0.2)
            _revive(service)
        taken = steps.count
        steps.heal()
        _revive(service)
        for uid, _ in modality.asked.items():
            ended = partial(_ended, modality, uid)
            wait_until(ended, what=f"the end of {uid}")
        service.kill()
        assert not failures, failures
        root = Root(service.root)
        # the rows of instances that no request needs follow within seconds, or at the next start
        assert_no_faults(root.faults(modality.stored, rows_may_follow=True), root.unsettled())
        service.start()
        service.kill()
        assert_no_faults(root.faults(modality.stored))
    finally:
        steps.forget()
        if service.running:
            service.kill()
    return taken


def _client(modality: Modality, failures: list[BaseException]) -> None:
    try:
        uids: list[str] = []
        while len(uids) < 6:
            uids += modality.insist(partial(modality.store, 6 - len(uids)))
        uid = modality.insist(partial(modality.ask, uids, 2))
        modality.insist(partial(modality.ask, uids[:1], then_cancel=True))
        wait_until(partial(_ended, modality, uid), what="the end of the request")
    except GONE as failure:
        failures.append(failure)


def _ended(modality: Modality, uid: str) -> bool:
    try:
        status, info = modality.status(uid)
    except GONE:
        return uid in modality.cancelled
    assert status != "FAILURE", info
    return status == "DONE"


def _revive(service: Service) -> None:
    """Where all were killed, nobody but us starts them again."""
    if not service.running and not service.ended:
        service.kill()
        service.start()
