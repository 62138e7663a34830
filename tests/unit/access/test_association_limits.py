"""Limits that hold over processes."""

import os

import pytest

from burnish.access.association_limits import Seats
from burnish.settings import DicomSettings, PeerSettings, Settings

FEW = Settings(
    dicom=DicomSettings(maximum_associations=4),
    peer=(PeerSettings(ae_title="CT1", maximum_associations=2), PeerSettings(ae_title="PACS")),
)


def in_a_receiver(number: int, seats: Seats, *titles: str) -> int:
    """Forks one that takes seats and is gone without a word; how many it got."""
    child = os.fork()
    if not child:
        seats.begin(number)
        os._exit(sum(not seats.take(title) for title in titles))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_peer_has_so_many_and_all_have_so_many() -> None:
    seats = Seats(FEW)
    seats.begin(0)
    assert [bool(seats.take("CT1")) for _ in range(3)] == [False, False, True]
    assert "2 associations at once of this peer" in seats.take("CT1")
    assert [bool(seats.take("ANY")) for _ in range(3)] == [False, False, True]
    assert seats.take("PACS") == "4 associations at once"
    seats.give_back("CT1")
    assert seats.take("CT1") == ""
    assert seats.taken == 4


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_one_receiver_takes_another_does_not_have() -> None:
    seats = Seats(FEW, receivers=3)
    assert in_a_receiver(0, seats, "CT1", "CT1", "CT1") == 2
    assert in_a_receiver(1, seats, "CT1", "PACS", "ANY", "ANY") == 2
    assert seats.taken == 4
    assert in_a_receiver(1, seats) == 0, "one that was killed is forgotten by its successor"
    assert seats.taken == 2
    assert in_a_receiver(2, seats, "PACS", "PACS", "PACS") == 2
