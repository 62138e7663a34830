"""Limits on associations hold over all receiver processes."""

import os

import pytest

from burnish.access.association_limits import AssociationLimits
from burnish.settings import DicomSettings, PeerSettings, Settings

SETTINGS = Settings(
    dicom=DicomSettings(maximum_associations=4),
    peer=(PeerSettings(ae_title="CT1", maximum_associations=2), PeerSettings(ae_title="PACS")),
)


def accepted_by_a_receiver(number: int, limits: AssociationLimits, *ae_titles: str) -> int:
    """Forks a receiver that exits without releasing; returns how many associations it got."""
    child = os.fork()
    if not child:
        limits.begin(number)
        os._exit(sum(not limits.acquire(ae_title) for ae_title in ae_titles))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_each_peer_and_all_peers_together_have_a_limit() -> None:
    limits = AssociationLimits(SETTINGS)
    limits.begin(0)
    assert [bool(limits.acquire("CT1")) for _ in range(3)] == [False, False, True]
    assert limits.acquire("CT1") == "2 associations at once of AE CT1 (peer.maximum_associations)"
    assert [bool(limits.acquire("ANY")) for _ in range(3)] == [False, False, True]
    assert limits.acquire("PACS") == "4 associations at once (dicom.maximum_associations)"
    limits.release("CT1")
    assert limits.acquire("CT1") == ""
    assert limits.in_use == 4


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_limits_hold_over_all_receivers() -> None:
    limits = AssociationLimits(SETTINGS, receivers=3)
    assert accepted_by_a_receiver(0, limits, "CT1", "CT1", "CT1") == 2
    assert accepted_by_a_receiver(1, limits, "CT1", "PACS", "ANY", "ANY") == 2
    assert limits.in_use == 4
    assert accepted_by_a_receiver(1, limits) == 0, "a successor clears the counts of one killed"
    assert limits.in_use == 2
    assert accepted_by_a_receiver(2, limits, "PACS", "PACS", "PACS") == 2
