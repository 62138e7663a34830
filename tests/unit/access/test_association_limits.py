"""Limits on associations hold over all receiver processes."""

import os

import pytest

from burnish.access.association_limits import AssociationLimits
from burnish.settings import DicomSettings, PeerSettings, Settings

SETTINGS = Settings(
    dicom=DicomSettings(maximum_associations=4, maximum_unknown_associations=8),
    peer=(PeerSettings(ae_title="CT1", maximum_associations=2), PeerSettings(ae_title="PACS")),
)


def accepted_by_a_receiver(number: int, limits: AssociationLimits, *ae_titles: str) -> int:
    """Forks a receiver that exits without releasing; returns how many associations it got."""
    child = os.fork()
    if not child:
        limits.begin(number)
        os._exit(sum(not limits.acquire(ae_title, "10.0.0.1") for ae_title in ae_titles))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_each_peer_and_all_peers_together_have_a_limit() -> None:
    limits = AssociationLimits(SETTINGS)
    limits.begin(0)
    assert [bool(limits.acquire("CT1", "10.0.0.1")) for _ in range(3)] == [False, False, True]
    assert (
        limits.acquire("CT1", "10.0.0.1")
        == "2 associations at once of AE CT1 (peer.maximum_associations)"
    )
    assert [bool(limits.acquire("ANY", "10.0.0.2")) for _ in range(3)] == [False, False, True]
    assert (
        limits.acquire("PACS", "10.0.0.1") == "4 associations at once (dicom.maximum_associations)"
    )
    limits.release("CT1", "10.0.0.1")
    assert limits.acquire("CT1", "10.0.0.1") == ""
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


def limits_of(**dicom: int) -> AssociationLimits:
    limits = AssociationLimits(
        Settings(dicom=DicomSettings(**dicom), peer=(PeerSettings(ae_title="PACS"),)), receivers=2
    )
    limits.begin(0)
    return limits


@pytest.mark.parametrize(
    ("dicom", "limit"),
    [
        ({"maximum_associations": 50}, 5),
        ({"maximum_associations": 10}, 1),
        ({"maximum_associations": 50, "maximum_unknown_associations": 7}, 3),
    ],
)
def test_unknown_aes_of_one_address_share_a_limit(dicom: dict[str, int], limit: int) -> None:
    limits = limits_of(**dicom)
    for number in range(limit):
        assert limits.acquire(f"STRANGER{number}", "10.0.0.1") == ""
    refusal = limits.acquire("ANOTHER", "10.0.0.1")
    assert refusal.startswith(f"{limit} associations at once of AEs without a [[peer]] table")
    assert "10.0.0.1 (half of dicom.maximum_unknown_associations)" in refusal
    assert limits.in_use == limit
    assert limits.acquire("PACS", "10.0.0.1") == ""
    limits.release("STRANGER0", "10.0.0.1")
    assert limits.acquire("ANOTHER", "10.0.0.1") == ""


@pytest.mark.parametrize(
    ("dicom", "limit"),
    [
        ({"maximum_associations": 50}, 10),
        ({"maximum_associations": 4}, 1),
        ({"maximum_associations": 50, "maximum_unknown_associations": 7}, 7),
    ],
)
def test_unknown_aes_of_many_addresses_share_a_limit(dicom: dict[str, int], limit: int) -> None:
    limits = limits_of(**dicom)
    for number in range(limit):
        assert limits.acquire("ANY", f"10.0.0.{number}") == ""
    refusal = limits.acquire("ANY", "10.0.1.1")
    assert refusal == (
        f"{limit} associations at once of all AEs without a [[peer]] table"
        " (dicom.maximum_unknown_associations)"
    )
    assert limits.in_use == limit
    assert limits.acquire("PACS", "10.0.1.1") == "", "a configured peer has a limit of its own"
    limits.release("ANY", "10.0.0.0")
    assert limits.acquire("ANY", "10.0.1.1") == ""


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
    ],
)
def test_an_ipv6_address_counts_by_its_first_64_bits(
    first: str, second: str, is_shared: bool
) -> None:
    limits = limits_of(maximum_associations=50, maximum_unknown_associations=3)
    assert limits.acquire("ANY", first) == ""
    assert bool(limits.acquire("ANY", second)) == is_shared


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_limit_of_unknown_aes_holds_over_all_receivers() -> None:
    limits = limits_of(maximum_associations=10, maximum_unknown_associations=4)
    assert accepted_by_a_receiver(0, limits, "ANY") == 1
    assert accepted_by_a_receiver(1, limits, "ANY", "OTHER", "PACS") == 2


def test_a_receiver_knows_whether_another_one_has_fewer_connections() -> None:
    """The counts of a receiver that was killed are forgotten when its successor begins."""
    limits = AssociationLimits(SETTINGS, receivers=2)
    limits.begin(1)
    limits.count_connection(1)
    limits.begin(0)
    assert not limits.has_more_connections
    limits.count_connection(1)
    assert not limits.has_more_connections, "both have one"
    limits.count_connection(1)
    assert limits.has_more_connections
    limits.count_connection(-1)
    assert not limits.has_more_connections
    limits.begin(1)
    limits.begin(0)
    limits.count_connection(1)
    assert limits.has_more_connections
    assert limits.in_use == 0, "a connection is not yet an association"
