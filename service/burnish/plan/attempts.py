"""Stage: the ways to make media of what is wanted, and the transfer syntaxes it needs (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from burnish.application_profiles import ApplicationProfile
from burnish.plan.candidates import Failures, Wanted
from burnish.plan.conversion import Broken, Conversion
from burnish.plan.grouping import Candidate
from burnish.plan.profile_choice import Choice
from burnish.transcode.lossy import METHODS as LOSSY
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

#: A set more than so many times larger than its medium is not compressed to make it fit, and one
#: so many times larger not even with loss.
_BEST_RATIO, _BEST_LOSSY_RATIO = 16, 64

Pairs = Sequence[tuple[Wanted, ApplicationProfile]]
Failed = Mapping[tuple[int, str], Broken]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to make the media: over several volumes or not, with images compressed or not.

    `lossy` are the ids of the instances that are compressed with loss.
    """

    choice: Choice
    split: bool = False
    compressed: bool = False
    lossy: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Missing:
    """What must yet be made of instances, and what cannot be made, which ends the matter."""

    conversions: list[Conversion] = field(default_factory=list)
    broken: dict[Wanted, Broken] = field(default_factory=dict)

    def failures(self) -> Failures:
        return Failures(
            {one: why.reason for one, why in self.broken.items()},
            {one: why.attributes for one, why in self.broken.items()},
        )


def missing(
    pairs: Pairs, failed: Failed, *, compressed: bool, lossy: AbstractSet[int] = frozenset()
) -> Missing:
    """What `pairs` lack of the forms that their profiles ask for.

    With `compressed`, then also of compressed forms, made of those, for the instances in `lossy`
    of forms with loss. What cannot be compressed goes without; but an encoder that errs ends the
    matter (PS3.4 S.3.2.1.1.6).
    """
    needed = _lacking([(one, one.permitted_form(profile)) for one, profile in pairs])
    broken = _known(needed, failed)
    if compressed and not needed:
        wished = _lacking(
            [
                (one, form)
                for one, profile in pairs
                for form in _wished(one, profile, failed, lossy=one.instance_id in lossy)
            ]
        )
        given_up = _known(wished, failed)
        needed = [(one, form) for one, form in wished if one not in given_up]
        broken = {one: why for one, why in given_up.items() if not why.harmless}
    if broken:
        return Missing(broken=broken)
    return Missing([_conversion(one, form) for one, form in needed])


def _wished(
    one: Wanted, profile: ApplicationProfile, failed: Failed, *, lossy: bool
) -> tuple[str | None, ...]:
    """The form with loss, unless that was found impossible: then the one without."""
    form = one.lossy_form(profile) if lossy else None
    if form and (one.instance_id, form) not in failed:
        return (form,)
    return form, one.compressed_form(profile)


def attempts(
    wanted: Sequence[Wanted], choices: Sequence[Choice], *, split: bool, lossy: bool = False
) -> Iterator[Attempt]:
    """What to try in turn: one volume first, the smallest that may do; else several of the last
    profiles, again on the smallest medium that does; else with images compressed without loss
    (PS3.4 S.3.2.1.1.6); else, where there may be loss but not several volumes, with those that
    can be compressed with loss (PS3.4 S.3.2.1.1.9)."""
    total = sum(one.size for one in wanted)
    last = choices[-1]
    for choice in choices:
        if total <= choice.capacity or choice is last:
            yield Attempt(choice)
    if split:
        for choice in choices:
            if choice.profiles == last.profiles:
                yield Attempt(choice, split=True)
    for choice in choices:
        pairs = zip(wanted, choice.profiles, strict=True)
        may_fit = total <= choice.capacity * _BEST_RATIO
        if may_fit and any(one.compressed_form(profile) for one, profile in pairs):
            yield Attempt(choice, split=split, compressed=True)
    if lossy and not split:
        for choice in choices:
            found = _compressible_with_loss(wanted, choice)
            if found and total <= choice.capacity * _BEST_LOSSY_RATIO:
                yield Attempt(choice, compressed=True, lossy=found)


def loss(candidates: Iterable[Candidate]) -> str:
    """What to say of those that are compressed with loss for the media."""
    made = (one for one in candidates if one.transcoded_instance_id is not None)
    count = sum(one.transfer_syntax_uid in LOSSY for one in made)
    return f", {count} instances compressed with loss" if count else ""


def _compressible_with_loss(wanted: Sequence[Wanted], choice: Choice) -> frozenset[int]:
    """Those that may be compressed with loss, which makes other SOP Instances of them.

    Not the images of a study of which the request has documents, presentation states or others
    too: what these refer to would no longer be there.
    """
    referring = {
        one.header.study_instance_uid
        for one in wanted
        if one.header.directory_record_type != "IMAGE"
    }
    return frozenset(
        one.instance_id
        for one, profile in zip(wanted, choice.profiles, strict=True)
        if one.header.study_instance_uid not in referring and one.lossy_form(profile)
    )


def _lacking(wanted: Sequence[tuple[Wanted, str | None]]) -> list[tuple[Wanted, str]]:
    return [(one, form) for one, form in wanted if form and one.lacks(form)]


def _known(wanted: Sequence[tuple[Wanted, str]], failed: Failed) -> dict[Wanted, Broken]:
    keys = {one: (one.instance_id, form) for one, form in wanted}
    return {one: failed[key] for one, key in keys.items() if key in failed}


def _conversion(one: Wanted, transfer_syntax_uid: str) -> Conversion:
    """From the decoded form, where there is one, else from what was received."""
    source = one.form(EXPLICIT_VR_LITTLE_ENDIAN) or one.received
    return Conversion(one.instance_id, transfer_syntax_uid, source.spool_key, one.calling_ae_title)
