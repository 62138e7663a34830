"""Many requests over two simulated robots with faults: each request ends, and all counts agree.

By hand: `python tests/soak/soak.py --requests 100 --seed 1`, which prints the figures as JSON.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import structlog
from sqlalchemy import select

from burnish.burn import hot_folder, open_burner
from burnish.db import devices
from burnish.db.tables import MediaCreationRequest, Piece
from burnish.plan.planner import Planner
from burnish.request import operations
from burnish.settings import DeviceSettings, RequestSettings
from burnish.vocabulary import ExecutionStatus, PieceState
from burnish.write import piece_state
from burnish.write import worker as working
from burnish.write.worker import Worker
from factories import Ground, instance
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from robots.robot import Robot

_ENDED = (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED)
_FAULTS = ["ruin"] * 6 + ["verify"] * 3 + ["forget"]


@dataclass
class Site:
    """A device, its simulated robot, and its present worker."""

    device: DeviceSettings
    robot: Robot
    worker: Worker | None = None
    thread: threading.Thread | None = None
    restarts: int = 0
    refills: int = 0
    resumed: int = 0

    def start(self, ground: Ground) -> None:
        self.worker = Worker(ground.settings, self.device, ground.database, ground.spool)
        self.worker.burner = open_burner(
            self.device.kind, self.device.name, **self.device.burner_options(), poll=0.02
        )
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()

    def stop(self) -> None:
        assert self.worker is not None
        assert self.thread is not None
        self.worker.stopping.set()
        self.thread.join()


@dataclass
class Soak:
    """One run.

    `chance`: the probability that a disc is ruined. `cancels`: the probability, in each tenth of a
    second, that a request is cancelled. `longest`: seconds after which the run fails.
    """

    root: Path
    requests: int
    seed: int
    chance: float = 0.15
    cancels: float = 0.005
    longest: float = 1800
    sites: list[Site] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Run all requests and return the figures; raises AssertionError if anything is wrong."""
        self._random = random.Random(self.seed)
        hot_folder.SILENCE = 1.0
        working._NOT_READY = 0.05
        piece_state.HOLD_TIME = type(piece_state.HOLD_TIME)(milliseconds=200)
        for name, kind in (("bravo", PrimeraRobot), ("producer", EpsonRobot)):
            self.sites.append(self._site(name, kind))
        tables = {"device": tuple(site.device for site in self.sites)}
        began = monotonic()
        with Ground(self.root / "root", request=RequestSettings(attempts=3), **tables) as ground:
            for _ in range(self.requests):
                self._add_request(ground)
            for site in self.sites:
                site.robot.start(0.01)
                site.start(ground)
            try:
                while self._open(ground):
                    assert monotonic() - began < self.longest, "the run does not end"
                    self._disturb(ground)
            finally:
                for site in self.sites:
                    site.stop()
                    site.robot.stop()
            return {**self._check(ground), "seconds": round(monotonic() - began, 1)}

    def _site(self, name: str, kind: type[Robot]) -> Site:
        folders = [self.root / name / part for part in ("jobs", "exchange")]
        for folder in folders:
            folder.mkdir(parents=True)
        robot = kind(*folders, blanks=5)
        robot.faults = [
            self._random.choice(_FAULTS) if self._random.random() < self.chance else ""
            for _ in range(20 * self.requests)
        ]
        options: dict[str, Any] = {"compares": True} if kind is EpsonRobot else {}
        device = DeviceSettings(
            name=name,
            kind="epson" if kind is EpsonRobot else "primera",
            media=("CD",),
            directory=folders[0],
            exchange=folders[1],
            **options,
        )
        return Site(device, robot)

    def _add_request(self, ground: Ground) -> None:
        instances = [instance(instance_number=n, size=2000) for n in (1, 2)]
        ground.store(*instances)
        ground.admit(
            instances,
            copies=self._random.choice((1, 1, 2)),
            priority=self._random.choice(("HIGH", "MED", "LOW")),
        )
        Planner(ground.settings, ground.database, ground.spool).tick()

    def _open(self, ground: Ground) -> bool:
        with ground.database.reading() as session:
            open_ = MediaCreationRequest.execution_status.not_in(_ENDED)
            return session.scalar(select(MediaCreationRequest.id).where(open_).limit(1)) is not None

    def _disturb(self, ground: Ground) -> None:
        """Refill a bin, silence a robot, restart a worker or cancel a request, by chance."""
        site = self._random.choice(self.sites)
        threading.Event().wait(0.1)
        if site.robot.blanks == 0:
            site.robot.blanks = self._random.randint(3, 9)
            site.refills += 1
        with ground.database.reading() as session:
            paused = devices.standing(session, site.device.name).paused_at is not None
        if paused:
            with ground.database.writing() as session:
                devices.resume(session, site.device.name)
            site.resumed += 1
        if self._random.random() < self.cancels:
            self._cancel(ground)
        site.robot.running = self._random.random() > 0.03
        if self._random.random() < 0.05:
            site.stop()
            site.start(ground)
            site.restarts += 1

    def _cancel(self, ground: Ground) -> None:
        """Cancel a request that has not ended, in whatever state its pieces are."""
        with ground.database.writing() as session:
            open_ = MediaCreationRequest.execution_status.not_in(_ENDED)
            uids = session.scalars(select(MediaCreationRequest.sop_instance_uid).where(open_)).all()
            if uids:
                operations.cancel(session, self._random.choice(uids))

    def _check(self, ground: Ground) -> dict[str, Any]:
        with ground.database.reading() as session:
            requests = session.scalars(select(MediaCreationRequest)).all()
            pieces = session.scalars(select(Piece)).all()
            for request in requests:
                states_of_request = [
                    piece.state for file_set in request.file_sets for piece in file_set.pieces
                ]
                if request.execution_status is ExecutionStatus.DONE:
                    assert states_of_request.count(PieceState.CREATED) == request.number_of_copies
                elif request.execution_status is ExecutionStatus.FAILURE:
                    assert request.remedy
                    assert states_of_request.count(PieceState.SPOILED) >= 3
        created = {piece.device_job for piece in pieces if piece.state is PieceState.CREATED}
        touched = [name for site in self.sites for name in site.robot.touched]
        good = {name for site in self.sites for name in site.robot.good}
        assert len(set(touched)) == len(touched), "a piece was burnt twice"
        assert created <= good, "a disc is claimed that is not good"
        states = Counter(str(piece.state) for piece in pieces)
        assert states["CREATED"] == len(created)
        assert not {"QUEUED", "IMAGING", "WRITING", "VERIFYING"} & states.keys()
        return {
            "requests": dict(Counter(str(request.execution_status) for request in requests)),
            "why": dict(Counter(str(request.execution_status_info) for request in requests)),
            "pieces": dict(states),
            "discs burnt": len(touched),
            "discs good": len(good),
            "good but unclaimed": len(good - created),
            "refills": sum(site.refills for site in self.sites),
            "restarts": sum(site.restarts for site in self.sites),
            "resumed": sum(site.resumed for site in self.sites),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chance", type=float, default=0.15)
    parser.add_argument("--cancels", type=float, default=0.005)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as root:
        soak = Soak(
            Path(root), arguments.requests, arguments.seed, arguments.chance, arguments.cancels
        )
        sys.stdout.write(json.dumps(soak.run(), indent=2) + "\n")


if __name__ == "__main__":
    main()
