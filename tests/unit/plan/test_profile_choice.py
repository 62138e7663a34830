"""Which profile and medium a request gets."""

import pytest

from burnish.application_profiles import OFFERED, PROFILES
from burnish.application_profiles.limits import NUMBER_OF_FRAMES, pack
from burnish.media import MEDIA
from burnish.plan.eligibility import InstanceKind, conflict
from burnish.plan.profile_choice import choices, remedy, unsupported
from burnish.settings import DeviceSettings
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

ALL = (DeviceSettings(name="all"),)
CD = (DeviceSettings(name="cd", media=("CD",)),)


def described_choices(
    requested: list[str], devices: tuple[DeviceSettings, ...] = ALL
) -> list[tuple[str, str, int]]:
    return [
        (choice.label, choice.medium, choice.capacity) for choice in choices(requested, devices)
    ]


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


CT = "1.2.840.10008.5.1.4.1.1.2"
ENDOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
STILL = InstanceKind(CT, "IMAGE", pack({}), EXPLICIT_VR_LITTLE_ENDIAN)
DVDS = (DeviceSettings(name="dvd", media=("CD", "DVD")),)


def video(syntax: int) -> InstanceKind:
    frames = pack({NUMBER_OF_FRAMES: b"25"})
    return InstanceKind(ENDOSCOPY, "IMAGE", frames, f"1.2.840.10008.1.2.4.{syntax}")


def media_of(kinds: list[InstanceKind], devices: tuple[DeviceSettings, ...] = ALL) -> list[str]:
    return [
        f"{choice.label} {choice.medium}" for choice in choices([""] * len(kinds), devices, kinds)
    ]


@pytest.mark.parametrize(
    ("syntax", "label"),
    [
        (100, "STD-GEN-BD-MPEG2-MPML"),
        (101, "STD-GEN-BD-MPEG2-MPHL"),
        (102, "STD-GEN-BD-MPEG4-HPLV41"),
        (103, "STD-GEN-BD-MPEG4-HPLV41BD"),
        (104, "STD-GEN-BD-JPEG+STD-GEN-BD-MPEG4-HPLV42-2D"),
        (105, "STD-GEN-BD-JPEG+STD-GEN-BD-MPEG4-HPLV42-3D"),
        (106, "STD-GEN-BD-JPEG+STD-GEN-BD-MPEG4-SHPLV42"),
    ],
)
def test_video_and_images_without_a_profile_get_one_that_permits_both(
    syntax: int, label: str
) -> None:
    assert f"{label} BD" in media_of([STILL, video(syntax), STILL])


def test_each_instance_gets_a_profile_that_permits_it() -> None:
    kinds = [STILL, video(104), video(102), STILL]
    for choice in choices([""] * len(kinds), ALL, kinds):
        for kind, profile in zip(kinds, choice.profiles, strict=True):
            assert conflict(kind, profile) is None


def test_video_alone_goes_on_the_smallest_medium() -> None:
    assert media_of([video(100)])[0] == "STD-DVD-MPEG2-MPML DVD"
    assert media_of([video(104)]) == [
        "STD-GEN-BD-MPEG4-HPLV42-2D BD",
        "STD-GEN-BD-MPEG4-HPLV42-2D BD-DL",
    ]


def test_video_needs_a_device_that_makes_its_medium() -> None:
    assert media_of([video(102), STILL], DVDS) == ["STD-GEN-CD CD", "STD-GEN-DVD-JPEG DVD"]
    assert media_of([video(100), STILL], DVDS) == ["STD-DVD-MPEG2-MPML+STD-GEN-DVD-JPEG DVD"]
    assert "STD-GEN-BD-MPEG4-HPLV41" in remedy([video(102), STILL], DVDS)
    assert remedy([video(102), STILL], DVDS).startswith("no device makes")
    assert remedy([video(102), STILL], ALL).startswith("ask for a profile")


def test_the_remedy_says_that_no_profile_permits_an_instance() -> None:
    """PS3.11 has no profile with HEVC: another request would fail as well."""
    alone = remedy([video(107)], ALL)
    assert alone.startswith("no Application Profile permits")
    assert "docs/application-profiles.md" in alone
    assert "request the others without them" not in alone
    assert "request the others without them" in remedy([video(107), STILL], ALL)


def test_requested_profiles_are_not_replaced_because_of_video() -> None:
    kinds = [video(102), STILL]
    (choice,) = choices(["STD-GEN-CD", ""], ALL, kinds)
    assert choice.label == "STD-GEN-CD"


def test_a_default_profile_without_a_device_is_skipped() -> None:
    assert [medium for _, medium, _ in described_choices([""], CD)] == ["CD"]
    dvd = (DeviceSettings(name="dvd", media=("DVD",)),)
    assert [medium for _, medium, _ in described_choices([""], dvd)] == ["DVD"]
