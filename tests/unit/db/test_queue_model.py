"""The life of requests and their pieces against a model: workers that die, or work on after their
lease has gone to another; clocks that jump; people who cancel and try again."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select, update

from burnish import retention
from burnish.burn import BurnOutcome, BurnResult
from burnish.db import queue
from burnish.db.queue import Claim
from burnish.db.tables import Event, FileSet, MediaCreationRequest, Piece
from burnish.errors import AlreadyCompleted, StaleLease, Unknown
from burnish.lifecycle import PieceEvent
from burnish.request import operations
from burnish.settings import DeviceSettings, RequestSettings
from burnish.vocabulary import ExecutionStatus as R
from burnish.vocabulary import ExecutionStatusInfo as I
from burnish.vocabulary import PieceState as P
from burnish.write.worker import Worker
from factories import Ground, add_request

HELD = (P.IMAGING, P.WRITING, P.VERIFYING)
OPEN = (R.PENDING, R.CREATING)
ATTEMPTS = 2
DEVICES = (DeviceSettings(name="one", media=("CD",)), DeviceSettings(name="two", media=("CD",)))


@dataclass
class ModelPiece:
    """What a piece must be."""

    request: int
    key: tuple[int, int]
    state: P = P.QUEUED
    epoch: int = 0
    attempts: int = 0
    device: str = ""


@dataclass(frozen=True)
class Held:
    """A claim in the hands of a worker, be it alive, dead, or working on without a lease."""

    worker: Worker
    claim: Claim
    attempts: int

    @property
    def made(self) -> Any:
        burn_job = SimpleNamespace(request_name="R000001", medium="CD", device_job="")
        return SimpleNamespace(claim=self.claim, attempts=self.attempts, burn_job=burn_job)


class Life(RuleBasedStateMachine):
    """Rows beside a model of them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ground = Ground(
            Path(self.folder.name), request=RequestSettings(attempts=ATTEMPTS), device=DEVICES
        )
        self.requests: dict[int, R] = {}
        self.pieces: dict[int, ModelPiece] = {}
        self.held: list[Held] = []
        self.workers = [self._worker(number) for number in range(len(DEVICES))]

    def teardown(self) -> None:
        self.ground.database.close()
        self.folder.cleanup()

    def _worker(self, number: int) -> Worker:
        ground = self.ground
        return Worker(ground.settings, ground.settings.devices[number], ground.database, None)  # type: ignore[arg-type]

    # --- people ----------------------------------------------------------------------------------

    @rule(volumes=st.integers(1, 2), copies=st.integers(1, 2))
    def ask(self, volumes: int, copies: int) -> None:
        with self.ground.database.writing() as session:
            request = add_request(session, volumes=volumes, copies=copies)
            self.requests[request.id] = R.PENDING
        self._plan(request.id)

    def _plan(self, request_id: int) -> None:
        with self.ground.database.reading() as session:
            for piece in session.scalars(
                select(Piece).join(FileSet).where(FileSet.request_id == request_id)
            ):
                key = (piece.file_set_id, piece.copy_number)
                self.pieces[piece.id] = ModelPiece(request_id, key)

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        if not self.requests:
            return
        request_id = sorted(self.requests)[number % len(self.requests)]
        status = self.requests[request_id]

        def cancel() -> None:
            with self.ground.database.writing() as session:
                request = session.get_one(MediaCreationRequest, request_id)
                operations.cancel(session, request.sop_instance_uid)

        if status in OPEN:
            cancel()
            self.requests[request_id] = R.DELETED
            self._drop(request_id)
        else:
            self._refused(cancel, Unknown if status is R.DELETED else AlreadyCompleted)

    def _drop(self, request_id: int) -> None:
        for piece in self.pieces.values():
            if piece.request == request_id and piece.state in (P.QUEUED, *HELD):
                spoiled = piece.state in (P.WRITING, P.VERIFYING)
                piece.state = P.SPOILED if spoiled else P.DROPPED
                piece.epoch += 1

    # --- workers ---------------------------------------------------------------------------------

    @rule(number=st.integers(0, 1))
    def claim(self, number: int) -> None:
        worker = self.workers[number]
        got = worker.claim_piece(worker.recorder.capacities)
        queued = {
            id_
            for id_, piece in self.pieces.items()
            if piece.state is P.QUEUED and self.requests[piece.request] in OPEN
        }
        assert (got is not None) == bool(queued)
        if got is None:
            return
        assert got.piece_id in queued
        piece = self.pieces[got.piece_id]
        piece.state, piece.epoch, piece.attempts = P.IMAGING, piece.epoch + 1, piece.attempts + 1
        piece.device = DEVICES[number].name
        self.requests[piece.request] = R.CREATING
        self.held.append(Held(worker, got, piece.attempts))

    @rule(number=st.integers(0, 99), what=st.sampled_from(["go on", "hold", "ruin", "beat"]))
    def work(self, number: int, what: str) -> None:
        """Any claim that was ever given: those whose lease is gone have no effect at all."""
        if not self.held:
            return
        held = self.held[number % len(self.held)]
        piece = self.pieces.get(held.claim.piece_id)
        valid = piece is not None and piece.state in HELD and piece.epoch == held.claim.lease_epoch
        if what == "beat":
            with self.ground.database.writing() as session:
                assert queue.heartbeat(session, held.claim) == valid
        elif valid and piece:
            getattr(self, f"_{what.replace(' ', '_')}")(held, piece)
        else:
            effects: dict[str, Callable[[], None]] = {
                "go on": lambda: held.worker.recorder.created(held.piece_job),
                "hold": lambda: held.worker.recorder.hold(
                    held.piece_job, BurnResult(BurnOutcome.BUSY)
                ),
                "ruin": lambda: held.worker.recorder.ruined(held.piece_job, I.MCD_FAILURE, "bad"),
            }
            self._refused(effects[what], StaleLease)
            self._refused(
                lambda: held.worker.recorder.advance(held.claim, PieceEvent.IMAGED), StaleLease
            )

    def _go_on(self, held: Held, piece: ModelPiece) -> None:
        if piece.state is P.IMAGING:
            held.worker.recorder.advance(held.claim, PieceEvent.IMAGED)
            piece.state = P.WRITING
        elif piece.state is P.WRITING:
            held.worker.recorder.advance(held.claim, PieceEvent.WRITTEN)
            piece.state = P.VERIFYING
        else:
            held.worker.recorder.created(held.piece_job)
            piece.state = P.CREATED
            rest = [p for p in self.pieces.values() if p.request == piece.request]
            if all(p.state in (P.CREATED, P.SPOILED, P.DROPPED) for p in rest):
                self.requests[piece.request] = R.DONE

    def _hold(self, held: Held, piece: ModelPiece) -> None:
        held.worker.recorder.hold(
            held.piece_job, BurnResult(BurnOutcome.HOLD_OPERATOR, "tray open")
        )
        piece.state, piece.attempts = P.QUEUED, piece.attempts - 1
        self._all_are_due()

    def _all_are_due(self) -> None:
        """As when the pause after a hold or a ruined piece is over."""
        with self.ground.database.writing() as session:
            session.execute(update(Piece).values(not_before=None))

    def _ruin(self, held: Held, piece: ModelPiece) -> None:
        held.worker.recorder.ruined(held.piece_job, I.MCD_FAILURE, "bad")
        piece.state = P.SPOILED
        if held.attempts >= ATTEMPTS:
            self.requests[piece.request] = R.FAILURE
            self._drop(piece.request)
            return
        with self.ground.database.reading() as session:
            [new] = set(session.scalars(select(Piece.id))) - self.pieces.keys()
        self.pieces[new] = ModelPiece(piece.request, piece.key, attempts=piece.attempts)
        self._all_are_due()

    @rule(number=st.integers(0, 1))
    def die(self, number: int) -> None:
        """A worker is killed and started again; what it was may work on, and must not matter."""
        self.workers[number] = worker = self._worker(number)
        with self.ground.database.writing() as session:
            queue.reap(session, device=DEVICES[number].name, owner=worker._owner)
        for piece in self.pieces.values():
            if piece.state in HELD and piece.device == DEVICES[number].name:
                piece.state = P.QUEUED

    @rule(hours=st.sampled_from([-1000, -1, 1, 1000]))
    def jump(self, hours: int) -> None:
        """The clock jumps: leases have run out long ago, or run for ever."""
        with self.ground.database.writing() as session:
            until = datetime.now(UTC) - timedelta(hours=hours)
            session.execute(
                update(Piece).where(Piece.lease_until.is_not(None)).values(lease_until=until)
            )
        returned = retention.return_dead_work(self.ground.database)
        dead = [p for p in self.pieces.values() if p.state in HELD] if hours > 0 else []
        assert returned == len(dead)
        for piece in dead:
            piece.state = P.QUEUED

    # --- what must hold --------------------------------------------------------------------------

    def _refused(self, effect: Callable[[], None], error: type[Exception]) -> None:
        """It raises, and nothing has changed."""
        before = self._rows()
        with pytest.raises(error):
            effect()
        assert self._rows() == before

    def _rows(self) -> tuple[Any, ...]:
        with self.ground.database.reading() as session:
            return tuple(
                tuple(session.execute(select(*table.__table__.columns)).all())
                for table in (MediaCreationRequest, Piece, Event)
            )

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        if not hasattr(self, "ground"):
            return
        with self.ground.database.reading() as session:
            pieces = {
                row.id: (row.state, row.lease_epoch, row.attempts)
                for row in session.scalars(select(Piece))
            }
            requests = {
                row.id: row.execution_status
                for row in session.scalars(select(MediaCreationRequest))
            }
        assert requests == self.requests
        assert pieces == {
            id_: (piece.state, piece.epoch, piece.attempts) for id_, piece in self.pieces.items()
        }
        live = [p.key for p in self.pieces.values() if p.state not in (P.SPOILED, P.DROPPED)]
        assert len(set(live)) == len(live)


@pytest.mark.usefixtures("_quiet")
class TestLife(Life.TestCase):  # type: ignore[name-defined, misc]
    """The machine as a test."""

    settings = settings(
        max_examples=5,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(name="_quiet", autouse=True)
def quiet() -> Any:
    with structlog.testing.capture_logs():
        yield
