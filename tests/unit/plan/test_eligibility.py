"""Why instances may not go on media of a profile, in words."""

from burnish.plan.eligibility import InstanceFailure, in_words
from burnish.vocabulary import FailureReason

CONFLICT = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT


def test_reasons_are_counted_and_the_commonest_come_first() -> None:
    found = [InstanceFailure(CONFLICT, "too deep"), *[InstanceFailure(CONFLICT, "too wide")] * 2]
    assert in_words(found) == "too wide (2 instances); too deep (1 instance)"


def test_a_great_many_reasons_are_not_all_told() -> None:
    said = in_words(InstanceFailure(CONFLICT, f"reason {number}") for number in range(9))
    assert said.endswith("; reason 4 (1 instance); and 4 other reasons")
