"""Why instances may not go on media of a profile, in words."""

from burnish.application_profiles import PROFILES, limits
from burnish.plan.eligibility import InstanceFailure, InstanceKind, conflict, in_words
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason

CONFLICT = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT


def test_the_most_frequent_reasons_come_first_with_their_counts() -> None:
    failures = [InstanceFailure(CONFLICT, "too deep"), *[InstanceFailure(CONFLICT, "too wide")] * 2]
    assert in_words(failures) == "too wide (2 instances); too deep (1 instance)"


def test_only_the_first_reasons_are_listed() -> None:
    listed = in_words(InstanceFailure(CONFLICT, f"reason {number}") for number in range(9))
    assert listed.endswith("; reason 4 (1 instance); and 4 other reasons")


def test_a_transfer_syntax_that_depends_on_an_attribute_is_named_with_it() -> None:
    """The profile permits uncompressed ultrasound, but not in YBR_FULL (PS3.11 table C.3-2)."""
    limited_attributes = limits.pack({limits.PHOTOMETRIC_INTERPRETATION: b"YBR_FULL"})
    ultrasound = "1.2.840.10008.5.1.4.1.1.6.1"
    kind = InstanceKind(ultrasound, "IMAGE", limited_attributes, EXPLICIT_VR_LITTLE_ENDIAN)
    failure = conflict(kind, PROFILES["STD-US-ID-SF-CDR"])
    assert failure
    assert "1.2.840.10008.1.2.1 with Photometric Interpretation YBR_FULL, and" in failure.why
