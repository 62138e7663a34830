"""Why instances may not go on media of a profile, in words."""

from burnish.plan.eligibility import InstanceFailure, in_words
from burnish.vocabulary import FailureReason

CONFLICT = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT


def test_the_most_frequent_reasons_come_first_with_their_counts() -> None:
    failures = [InstanceFailure(CONFLICT, "too deep"), *[InstanceFailure(CONFLICT, "too wide")] * 2]
    assert in_words(failures) == "too wide (2 instances); too deep (1 instance)"


def test_only_the_first_reasons_are_listed() -> None:
    listed = in_words(InstanceFailure(CONFLICT, f"reason {number}") for number in range(9))
    assert listed.endswith("; reason 4 (1 instance); and 4 other reasons")
