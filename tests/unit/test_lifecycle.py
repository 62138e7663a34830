"""A test for every cell of both state machines, the empty ones too."""

from itertools import product

import pytest

from burnish.errors import NotNow
from burnish.lifecycle import PIECE, REQUEST, PieceEvent, RequestEvent, advance
from burnish.vocabulary import ExecutionStatus, PieceState

#: One line per state, one column per event; "." is a cell that is not there.
REQUEST_CELLS = """
            INITIATED FAILED    CANCELLED STARTED   COMPLETED RETRIED   REPLANNED
    IDLE    PENDING   FAILURE   DELETED   .         .         .         .
    PENDING .         FAILURE   DELETED   CREATING  .         .         .
    CREATING .        FAILURE   DELETED   .         DONE      .         PENDING
    DONE    .         .         .         .         .         .         .
    FAILURE .         .         .         .         .         PENDING   .
    DELETED .         .         .         .         .         .         .
"""
PIECE_CELLS = """
              CLAIMED IMAGED  WRITTEN   VERIFIED RETURNED RUINED  CANCELLED
    QUEUED    IMAGING .       .         .        .        .       DROPPED
    IMAGING   .       WRITING .         .        QUEUED   SPOILED DROPPED
    WRITING   .       .       VERIFYING .        QUEUED   SPOILED SPOILED
    VERIFYING .       .       .         CREATED  QUEUED   SPOILED SPOILED
    CREATED   .       .       .         .        .        .       .
    SPOILED   .       .       .         .        .        .       .
    DROPPED   .       .       .         .        .        .       .
"""


def cells(text: str) -> dict[tuple[str, str], str]:
    """(state, event) → the state after it, of a table in words."""
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (state, event): after
        for state, *afters in rows
        for event, after in zip(header, afters, strict=True)
    }


@pytest.mark.parametrize(("state", "event"), [*product(ExecutionStatus, RequestEvent)])
def test_each_change_of_a_request_is_permitted_or_refused(
    state: ExecutionStatus, event: RequestEvent
) -> None:
    expected = cells(REQUEST_CELLS)[state, event]
    if expected == ".":
        with pytest.raises(NotNow, match=f"{event} is not possible while {state}"):
            advance(REQUEST, state, event)
    else:
        assert advance(REQUEST, state, event) is ExecutionStatus(expected)


@pytest.mark.parametrize(("state", "event"), [*product(PieceState, PieceEvent)])
def test_each_change_of_a_piece_is_permitted_or_refused(
    state: PieceState, event: PieceEvent
) -> None:
    expected = cells(PIECE_CELLS)[state, event]
    if expected == ".":
        with pytest.raises(NotNow, match=f"{event} is not possible while {state}"):
            advance(PIECE, state, event)
    else:
        assert advance(PIECE, state, event) is PieceState(expected)


@pytest.mark.parametrize("machine", [REQUEST, PIECE], ids=["request", "piece"])
def test_every_state_is_reached_from_the_first(machine: dict[tuple[str, str], str]) -> None:
    first = next(iter(machine))[0]
    reached = {first}
    for _ in machine:
        reached |= {after for (state, _), after in machine.items() if state in reached}
    assert reached == set(type(first))


def test_a_piece_that_is_being_written_is_spoiled_by_a_cancel_never_dropped() -> None:
    for state in (PieceState.WRITING, PieceState.VERIFYING):
        assert advance(PIECE, state, PieceEvent.CANCELLED) is PieceState.SPOILED
