"""Which profile and medium a request gets."""

import pytest

from burnish.application_profiles import OFFERED, PROFILES
from burnish.media import MEDIA
from burnish.plan.profile_choice import choices, unsupported
from burnish.settings import DeviceSettings

ALL = (DeviceSettings(name="all"),)
CD = (DeviceSettings(name="cd", media=("CD",)),)


def named(
    requested: list[str], devices: tuple[DeviceSettings, ...] = ALL
) -> list[tuple[str, str, int]]:
    return [(one.label, one.medium, one.capacity) for one in choices(requested, devices)]


def test_without_a_wish_cd_comes_before_dvd() -> None:
    assert named(["", ""]) == [
        ("STD-GEN-CD", "CD", MEDIA["CD"].capacity),
        ("STD-GEN-DVD-JPEG", "DVD", MEDIA["DVD"].capacity),
        ("STD-GEN-DVD-JPEG", "DVD-DL", MEDIA["DVD-DL"].capacity),
    ]


def test_a_wish_is_met_on_the_smallest_medium_first() -> None:
    assert [medium for _, medium, _ in named(["STD-GEN-DVD-J2K"])] == ["DVD", "DVD-DL"]


def test_who_wishes_nothing_gets_the_profile_of_the_others() -> None:
    (choice,) = choices(["", "STD-GEN-CD", ""], ALL)
    assert {profile.label for profile in choice.profiles} == {"STD-GEN-CD"}


def test_profiles_of_one_medium_share_it() -> None:
    assert {label for label, _, _ in named(["STD-GEN-DVD-J2K", "STD-GEN-DVD-JPEG"])} == {
        "STD-GEN-DVD-J2K+STD-GEN-DVD-JPEG"
    }


def test_profiles_without_a_medium_in_common_exclude_one_another() -> None:
    assert choices(["STD-GEN-CD", "STD-GEN-DVD-JPEG"], ALL) == []


@pytest.mark.parametrize("label", [*PROFILES, "", "STD-GEN-VHS"])
def test_what_is_not_supported_is_told_by_position(label: str) -> None:
    found = unsupported(["STD-GEN-CD", label], CD)
    possible = not label or (label in OFFERED and "CD" in OFFERED[label].media)
    assert found == ([] if possible else [1])


def test_the_capacity_is_that_of_the_device_that_holds_most() -> None:
    devices = (
        DeviceSettings(name="small", media=("CD",), capacity=1000),
        DeviceSettings(name="large", media=("CD",), capacity=10**12),
        DeviceSettings(name="other", media=("DVD",)),
    )
    assert named(["STD-GEN-CD"], devices) == [("STD-GEN-CD", "CD", MEDIA["CD"].capacity)]


def test_without_a_device_for_it_a_default_is_passed_over() -> None:
    assert [medium for _, medium, _ in named([""], CD)] == ["CD"]
    dvd = (DeviceSettings(name="dvd", media=("DVD",)),)
    assert [medium for _, medium, _ in named([""], dvd)] == ["DVD"]
