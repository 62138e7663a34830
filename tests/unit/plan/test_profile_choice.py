"""Which profile and medium a request gets."""

import pytest

from burnish.application_profiles import OFFERED, PROFILES
from burnish.media import MEDIA
from burnish.plan.profile_choice import choices, unsupported
from burnish.settings import DeviceSettings

ALL = (DeviceSettings(name="all"),)
CD = (DeviceSettings(name="cd", media=("CD",)),)


def described_choices(
    requested: list[str], devices: tuple[DeviceSettings, ...] = ALL
) -> list[tuple[str, str, int]]:
    return [(one.label, one.medium, one.capacity) for one in choices(requested, devices)]


def test_without_a_profile_cd_is_tried_before_dvd() -> None:
    assert described_choices(["", ""]) == [
        ("STD-GEN-CD", "CD", MEDIA["CD"].capacity),
        ("STD-GEN-DVD-JPEG", "DVD", MEDIA["DVD"].capacity),
        ("STD-GEN-DVD-JPEG", "DVD-DL", MEDIA["DVD-DL"].capacity),
    ]


def test_the_smallest_medium_of_a_profile_is_tried_first() -> None:
    assert [medium for _, medium, _ in described_choices(["STD-GEN-DVD-J2K"])] == ["DVD", "DVD-DL"]


def test_an_instance_without_a_profile_gets_that_of_the_others() -> None:
    (choice,) = choices(["", "STD-GEN-CD", ""], ALL)
    assert {profile.label for profile in choice.profiles} == {"STD-GEN-CD"}


def test_profiles_of_one_medium_share_it() -> None:
    assert {
        label for label, _, _ in described_choices(["STD-GEN-DVD-J2K", "STD-GEN-DVD-JPEG"])
    } == {"STD-GEN-DVD-J2K+STD-GEN-DVD-JPEG"}


def test_profiles_without_a_medium_in_common_exclude_one_another() -> None:
    assert choices(["STD-GEN-CD", "STD-GEN-DVD-JPEG"], ALL) == []


@pytest.mark.parametrize("label", [*PROFILES, "", "STD-GEN-VHS"])
def test_unsupported_profiles_are_listed_by_position(label: str) -> None:
    positions = unsupported(["STD-GEN-CD", label], CD)
    possible = not label or (label in OFFERED and "CD" in OFFERED[label].media)
    assert positions == ([] if possible else [1])


def test_the_capacity_is_that_of_the_device_that_holds_most() -> None:
    devices = (
        DeviceSettings(name="small", media=("CD",), capacity=1000),
        DeviceSettings(name="large", media=("CD",), capacity=10**12),
        DeviceSettings(name="other", media=("DVD",)),
    )
    assert described_choices(["STD-GEN-CD"], devices) == [
        ("STD-GEN-CD", "CD", MEDIA["CD"].capacity)
    ]


def test_a_default_profile_without_a_device_is_skipped() -> None:
    assert [medium for _, medium, _ in described_choices([""], CD)] == ["CD"]
    dvd = (DeviceSettings(name="dvd", media=("DVD",)),)
    assert [medium for _, medium, _ in described_choices([""], dvd)] == ["DVD"]
