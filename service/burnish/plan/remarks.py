"""Stage: what README.TXT and the events of a request say of the instances of a set, in words."""

from collections.abc import Iterable, Mapping, Sequence

from burnish.contradictions import Contradiction
from burnish.dicomdir.keys import MODALITY, PATIENT_ID, STUDY_DATE
from burnish.instance_header import instance_faults
from burnish.instance_header.element_checks import attribute
from burnish.plan.attempts import Failures
from burnish.plan.source_instances import SourceInstance
from burnish.wording import quantity

#: Keys that people read, and would take for true (PS3.3 F.5).
_TELLING_KEYS = frozenset({PATIENT_ID, STUDY_DATE, MODALITY})
#: The most instances that a remark names.
_MOST_NAMED = 20


def remarks_of_set(
    instances: Sequence[SourceInstance],
    contradictions: Iterable[Contradiction],
    damaged: Failures,
    left_out: Failures,
    absent_keys: Sequence[int],
) -> Iterable[str]:
    """The remarks in README.TXT."""
    for contradiction in contradictions:
        yield contradiction.remark
    faults = [source.header.fault for source in instances if source.header.fault]
    empty = sum(map(instance_faults.has_no_pixel_data, faults))
    if empty:
        images, verb = quantity(empty, "image"), "has" if empty == 1 else "have"
        yield f"{images} of this set {verb} no pixel data: a viewer shows nothing."
    doubtful = sum(map(instance_faults.has_doubtful_text, faults))
    if doubtful:
        yield (
            f"Text of {quantity(doubtful, 'instance')} of this set is not in the character set that"
            " the instance names. It is on the media as received; names may be shown wrong. A byte"
            " that cannot be shown is printed as \\ and three digits."
        )
    if damaged:
        yield damage_remark(reasons_by_uid(damaged))
    if left_out:
        yield left_out_remark(left_out)
    absent = [attribute(tag) for tag in absent_keys if tag in _TELLING_KEYS]
    if absent:
        yield (
            f"Instances of this set have no {', '.join(absent)}. What a viewer shows of that stands"
            " in for the missing value: UNKNOWN and digits, 1900-01-01, 00:00:00 or OT."
        )


def damage_remark(damaged: Mapping[str, str]) -> str:
    """Which instances are on the media although damaged: faults by SOP Instance UID."""
    if not damaged:
        return ""
    verb, pronoun = ("is", "it") if len(damaged) == 1 else ("are", "them")
    return (
        f"{quantity(len(damaged), 'instance')} of this set {verb} damaged, and on the media as"
        f" received. A viewer may show nothing of {pronoun}, or something wrong: {_named(damaged)}."
    )


def left_out_remark(left_out: Failures) -> str:
    """Which damaged instances of the request are not on the media."""
    number, verb = quantity(len(left_out), "instance"), "is" if len(left_out) == 1 else "are"
    reasons = _named(reasons_by_uid(left_out))
    return f"{number} of this set {verb} damaged and NOT on the media: {reasons}."


def reasons_by_uid(failures: Failures) -> dict[str, str]:
    """The reasons by SOP Instance UID."""
    return {instance.header.sop_instance_uid: failure.why for instance, failure in failures.items()}


def _named(reasons: Mapping[str, str]) -> str:
    """Each instance with its reason."""
    named = [f"{uid} ({why})" for uid, why in list(reasons.items())[:_MOST_NAMED]]
    if len(reasons) > len(named):
        named.append(f"and {len(reasons) - len(named)} more")
    return ", ".join(named)
