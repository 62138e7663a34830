"""Stage: the plan for the media of some instances: candidates, volumes, or why there are none.

No database: the service plans the instances of a request with it (`planner`), `burnish disc build`
the files it is given (`offline`). Conversions and icons are made by whoever calls; while they are
not there yet, there is no plan yet.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol

from burnish.application_profiles.icon import acceptable
from burnish.content.content_terms import ContentTerms
from burnish.content.model import Rendition
from burnish.content.readme_txt import NO_DETAILS, ReadmeDetails
from burnish.content.rendition import RenditionOptions
from burnish.contradictions import Contradiction
from burnish.dicomdir.profile_keys import icon_rule
from burnish.dicomdir.stand_ins import stand_ins
from burnish.instance_header import instance_faults
from burnish.instance_header.element_checks import attribute
from burnish.media import MEDIA
from burnish.plan import eligibility
from burnish.plan.attempts import (
    Attempt,
    Conversion,
    FailedConversions,
    Failures,
    needed_conversions,
)
from burnish.plan.candidates import Candidate
from burnish.plan.eligibility import InstanceFailure
from burnish.plan.grouping import Series, group_into_series
from burnish.plan.profile_choice import Choice
from burnish.plan.remarks import damage_remark, reasons_by_uid, remarks_of_set
from burnish.plan.set_content import SetContent
from burnish.plan.source_instances import Icon, SourceInstance
from burnish.plan.volumes import PlannedVolume, divide_into_volumes, fewest_volumes
from burnish.transcode import icons
from burnish.vocabulary import ExecutionStatusInfo, FailureReason
from burnish.wording import quantity

_REMEDY_OF_DAMAGE = (
    "correct the instances and send them again, then `burnish request retry`; or request the others"
    " without them; damaged_images in the configuration lets them pass or leaves them out"
)
_REMEDY_OF_CONVERSION = (
    "if the instances are damaged, send them again or request the others without them;"
    " if they are not, request a profile that permits their transfer syntax"
)

#: What becomes of damaged instances: the request fails, they are put on media as they are, or the
#: media are made of the others.
DamagedImages = Literal["refuse", "keep", "leave_out"]


@dataclass(frozen=True, slots=True)
class Terms:
    """The requirements that hold for all the media.

    `sealed_size` gives the bytes of a Secure DICOM File from those of its content; None for media
    that are not secure. `readme_details` are added to README.TXT. `icons_always`: icons also where
    the profile does not require them. `contradictions` are those between the instances; some keep
    instances off one volume, so that without `split_allowed` there is no plan. `left_out` are
    damaged instances that the request names and the media do not have. `content` says what the
    media hold for people; None: README.TXT in English alone.
    """

    lossy_allowed: bool = False
    sealed_size: Callable[[int], int] | None = None
    readme_details: ReadmeDetails = NO_DETAILS
    icons_always: bool = False
    contradictions: Sequence[Contradiction] = ()
    split_allowed: bool = True
    damaged_images: DamagedImages = "refuse"
    left_out: Failures = field(default_factory=dict)
    content: ContentTerms | None = None

    @property
    def file_sets(self) -> int:
        """The File-sets that the instances need at least."""
        return max((contradiction.file_sets for contradiction in self.contradictions), default=1)

    @property
    def why_apart(self) -> str:
        """The contradictions that keep instances off one volume, "" for none."""
        return ", ".join(
            contradiction.text for contradiction in self.contradictions if contradiction.apart
        )

    def with_remarks_on(
        self, instances: Sequence[SourceInstance], damaged: Failures, absent_keys: Sequence[int]
    ) -> "Terms":
        """The same, with remarks on the instances in README.TXT."""
        remarks = remarks_of_set(
            instances, self.contradictions, damaged, self.left_out, absent_keys
        )
        details = replace(self.readme_details, remarks=tuple(remarks))
        return replace(self, readme_details=details)


@dataclass(frozen=True, slots=True)
class Plan:
    """The volumes, and the medium and profiles they are planned for.

    `why_apart` tells which contradictions keep instances off one volume. `damage` tells which
    damaged instances are on the media, in words; `left_out` are those that are not. `stand_ins`
    names the keys that the DICOMDIR has and the instances lack.
    """

    choice: Choice
    volumes: list[PlannedVolume]
    why_apart: str = ""
    damage: str = ""
    left_out: Failures = field(default_factory=dict)
    stand_ins: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the media cannot be planned, with the instances that rule it out."""

    info: ExecutionStatusInfo
    why: str
    failures: Failures = field(default_factory=dict)
    remedy: str = ""

    @property
    def has_damage(self) -> bool:
        """Whether an image that cannot be shown or decoded is among the instances."""
        encoder_faults = any(failure.encoder_fault for failure in self.failures.values())
        return self.info is ExecutionStatusInfo.PROC_FAILURE and not encoder_faults

    @property
    def damaged(self) -> Failures:
        """The damaged instances among those that rule the media out."""
        if not self.has_damage:
            return {}
        return {
            instance: failure for instance, failure in self.failures.items() if failure.is_damage
        }


class ConversionRunner(Protocol):
    """Converts instances. `failed` has the conversions that failed, and why."""

    @property
    def failed(self) -> FailedConversions: ...

    def start(self, conversions: Iterable[Conversion]) -> None:
        """Start conversions.

        When the instances are read again later, they include the converted files.
        """


class IconMaker(Protocol):
    """Makes icons of images."""

    def icons(self, images: Sequence[SourceInstance], pixels: int) -> dict[int, Icon] | None:
        """Icons `pixels` wide and high, by the id of the instance; None while some are missing."""


class RenditionMaker(Protocol):
    """Makes what people look at of instances (see `content.rendition`)."""

    def renditions(
        self, instances: Sequence[SourceInstance], options: RenditionOptions
    ) -> dict[int, Rendition] | None:
        """Renditions by the id of the instance; None while some are being made."""


class NoRenditions:
    """Makes none, for plans without content."""

    def renditions(
        self,
        instances: Sequence[SourceInstance],  # noqa: ARG002
        options: RenditionOptions,  # noqa: ARG002
    ) -> dict[int, Rendition] | None:
        return {}


def plan_media(  # noqa: PLR0917
    instances: Sequence[SourceInstance],
    attempts: Iterable[Attempt],
    terms: Terms,
    conversions: ConversionRunner,
    icon_maker: IconMaker,
    rendition_maker: RenditionMaker | None = None,
) -> Plan | Refusal | None:
    """The plan of the first attempt that succeeds, or all that rules out the last one.

    None where conversions were started or icons are being made: plan again when they are there.
    """
    damaged = _damaged(instances) if terms.damaged_images == "keep" else {}
    absent_keys = stand_ins([instance.header for instance in instances])
    outcome: Plan | Refusal | None = None
    for attempt in attempts:
        attempt_terms = terms.with_remarks_on(instances, damaged, absent_keys)
        plan_attempt = partial(
            _plan_attempt,
            terms=attempt_terms,
            conversions=conversions,
            icon_maker=icon_maker,
            rendition_maker=rendition_maker or NoRenditions(),
        )
        outcome = plan_attempt(instances, attempt)
        if not isinstance(outcome, Refusal):
            break
        last_attempt = attempt
        if outcome.has_damage:
            if terms.damaged_images != "keep":
                break  # another profile would only put it on media without a word
            damaged = {**outcome.failures, **damaged}
    if isinstance(outcome, Refusal):
        plan_attempt = partial(plan_attempt, terms=replace(attempt_terms, content=None))
        outcome = _complete_refusal(outcome, last_attempt, instances, plan_attempt)
    if isinstance(outcome, Refusal) and terms.damaged_images == "keep":
        outcome = _why_not_kept(outcome, last_attempt, instances)
    if isinstance(outcome, Plan):
        outcome = replace(
            outcome,
            damage=damage_remark(reasons_by_uid(damaged)),
            left_out=terms.left_out,
            stand_ins=", ".join(map(attribute, absent_keys)),
        )
    if outcome is None or terms.split_allowed or not terms.why_apart:
        return outcome
    others = [outcome] if isinstance(outcome, Refusal) else []
    return merge_refusals([_contradiction_refusal(instances, terms), *others])


def _why_not_kept(
    refusal: Refusal, attempt: Attempt, instances: Sequence[SourceInstance]
) -> Refusal:
    """The refusal, which tells of each damaged instance why it cannot go on the media as it is."""
    profiles = dict(zip(instances, attempt.choice.profiles, strict=True))
    # the examination names the attribute, where a conversion only tells that it has failed
    examined = _damaged(instances)
    failures = dict(refusal.failures)
    for instance, failure in refusal.damaged.items():
        damage = examined.get(instance, failure).why
        why = (
            f"{damage}; it cannot be kept as it is, for {profiles[instance].label} does not"
            f" permit its Transfer Syntax {instance.kind.transfer_syntax_uid}"
        )
        failures[instance] = replace(failure, why=why)
    if failures.keys() != refusal.damaged.keys():
        return replace(refusal, failures=failures)
    why = f"damaged instances: {eligibility.in_words(failures.values())}"
    return replace(refusal, failures=failures, why=why)


def _damaged(instances: Sequence[SourceInstance]) -> Failures:
    """The instances that are damaged, as far as headers and codestreams tell."""
    return {
        instance: eligibility.damage(instance.header)
        for instance in instances
        if instance.header.fault and instance_faults.prevents_media(instance.header.fault)
    }


def _contradiction_refusal(instances: Sequence[SourceInstance], terms: Terms) -> Refusal:
    """The refusal of instances that may not share a File-set, where splitting is not allowed."""
    failures: dict[SourceInstance, InstanceFailure] = {}
    for contradiction in terms.contradictions:
        failure = InstanceFailure(FailureReason.PROCESSING_FAILURE, contradiction.text)
        for instance in instances:
            if contradiction.concerns(instance.header):
                failures.setdefault(instance, failure)
    return Refusal(
        ExecutionStatusInfo.DIR_PROC_ERR,
        f"one DICOMDIR cannot list the instances: {terms.why_apart}",
        failures,
        "send the corrected instances, then `burnish request retry`; or allow splitting",
    )


def _complete_refusal(
    refusal: Refusal,
    attempt: Attempt,
    instances: Sequence[SourceInstance],
    plan_attempt: Callable[[Sequence[SourceInstance], Attempt], Plan | Refusal | None],
) -> Refusal | None:
    """The refusal of an attempt, with all further reasons. None as in `plan_media`.

    Instances already refused are left out, and the rest are tried again, to find further reasons.
    Files for people are never a reason, so that none are made.
    """
    refusals = [refusal]
    while refusals[-1].failures:
        ruled_out = merge_refusals(refusals).failures
        kept = [
            position for position, instance in enumerate(instances) if instance not in ruled_out
        ]
        if not kept:
            break
        choice = attempt.choice
        profiles = tuple(choice.profiles[position] for position in kept)
        # whether images can be compressed does not matter any more
        rest = Attempt(replace(choice, profiles=profiles), split=attempt.split)
        outcome = plan_attempt([instances[position] for position in kept], rest)
        if outcome is None:
            return None
        if isinstance(outcome, Plan):
            break
        refusals.append(outcome)
    return merge_refusals(refusals)


def merge_refusals(refusals: Sequence[Refusal]) -> Refusal:
    """All refusals as one; the first gives the Execution Status Info."""
    failures: dict[SourceInstance, InstanceFailure] = {}
    for refusal in refusals:
        for instance, failure in refusal.failures.items():
            failures.setdefault(instance, failure)
    return Refusal(
        refusals[0].info,
        "; ".join(refusal.why for refusal in refusals),
        failures,
        "; ".join(dict.fromkeys(refusal.remedy for refusal in refusals if refusal.remedy)),
    )


def name_damage(refusal: Refusal, instances: Sequence[SourceInstance]) -> Refusal:
    """The refusal, which also tells the damage of instances that it refuses for another reason.

    The Failed SOP Sequence gives one reason for each instance; without this, damage would be found
    only by the next request.
    """
    damaged = {
        instance: failure
        for instance, failure in _damaged(instances).items()
        if instance in refusal.failures and not refusal.failures[instance].is_damage
    }
    if not damaged:
        return refusal
    why = f"damaged instances: {eligibility.in_words(damaged.values())}"
    return merge_refusals([refusal, Refusal(refusal.info, why, damaged, _REMEDY_OF_DAMAGE)])


def _plan_attempt(
    instances: Sequence[SourceInstance],
    attempt: Attempt,
    terms: Terms,
    conversions: ConversionRunner,
    icon_maker: IconMaker,
    *,
    rendition_maker: RenditionMaker,
) -> Plan | Refusal | None:
    candidates = list_candidates(instances, attempt, terms, conversions, icon_maker)
    if not isinstance(candidates, list):
        return candidates
    bare = pack_candidates(instances, candidates, attempt, replace(terms, content=None))
    if isinstance(bare, Refusal):
        return bare
    plans: list[Plan | Refusal] = []
    for variant in _variants(terms):
        renditions: dict[int, Rendition] | None = {}
        if variant.content and variant.content.pages:
            renditions = rendition_maker.renditions(instances, variant.content.rendition)
            if renditions is None:
                return None
        plans.append(pack_candidates(instances, candidates, attempt, variant, renditions))
        if _number_of_volumes(plans[-1]) == len(bare.volumes):
            break
    return min(plans, key=_number_of_volumes)


def _variants(terms: Terms) -> list[Terms]:
    """The same terms with more and with less pixel values for the viewer, in order of choice."""
    content = terms.content
    if content is None or not content.viewer or not content.fewest_volumes:
        return [terms]
    return [
        replace(terms, content=content.with_pixels(pixels))
        for pixels in ("lossless", "near", "none")
    ]


def _number_of_volumes(plan: Plan | Refusal) -> int:
    """Of several plans, the first with the least number is taken; a refusal is the last resort."""
    return len(plan.volumes) if isinstance(plan, Plan) else sys.maxsize


def list_candidates(
    instances: Sequence[SourceInstance],
    attempt: Attempt,
    terms: Terms,
    conversions: ConversionRunner,
    icon_maker: IconMaker,
) -> list[Candidate] | Refusal | None:
    """Each instance as it will be on the media of an attempt. None as in `plan_media`."""
    choice = attempt.choice
    refusal = _refusal(instances, choice, terms)
    if refusal:
        return refusal
    needed = needed_conversions(instances, attempt, conversions.failed)
    if needed.failures:
        reasons = eligibility.in_words(needed.failures.values())
        return Refusal(
            ExecutionStatusInfo.PROC_FAILURE,
            f"instances that cannot be converted for the profile: {reasons}",
            needed.failures,
            _REMEDY_OF_CONVERSION,
        )
    if needed.conversions:
        conversions.start(needed.conversions)
        return None
    made_icons = _icons(instances, choice, terms, icon_maker)
    if not isinstance(made_icons, dict):
        return made_icons
    candidates = [
        instance.candidate(
            profile,
            choice.label,
            made_icons.get(instance.instance_id),
            lossless=attempt.lossless,
            lossy=instance.instance_id in attempt.lossy,
        )
        for instance, profile in zip(instances, choice.profiles, strict=True)
    ]
    sealed_size = terms.sealed_size
    if sealed_size:
        return [candidate._replace(size=sealed_size(candidate.size)) for candidate in candidates]
    return candidates


def _refusal(instances: Sequence[SourceInstance], choice: Choice, terms: Terms) -> Refusal | None:
    """The refusal for damaged instances or conflicts with profiles, which the headers show."""
    damaged = _damaged(instances) if terms.damaged_images != "keep" else {}
    if damaged:
        return Refusal(
            ExecutionStatusInfo.PROC_FAILURE,
            f"damaged instances: {eligibility.in_words(damaged.values())}",
            damaged,
            _REMEDY_OF_DAMAGE,
        )
    conflicts = _conflicts(instances, choice, lossy_allowed=terms.lossy_allowed)
    if conflicts:
        reasons = eligibility.in_words(conflicts.values())
        return Refusal(
            _conflict_status(conflicts),
            f"instances that the profile does not permit: {reasons}",
            conflicts,
        )
    return None


def _conflicts(
    instances: Sequence[SourceInstance], choice: Choice, *, lossy_allowed: bool
) -> dict[SourceInstance, InstanceFailure]:
    """The instances that the profiles of `choice` do not permit, and why."""
    conflicts: dict[SourceInstance, InstanceFailure] = {}
    for instance, profile in zip(instances, choice.profiles, strict=True):
        conflict = eligibility.conflict(instance.kind, profile, lossy_allowed=lossy_allowed)
        if conflict is not None:
            conflicts[instance] = conflict
    return conflicts


def _conflict_status(conflicts: Failures) -> ExecutionStatusInfo:
    """NOT_SUPPORTED where a SOP Class is not supported, else a conflict with the profile."""
    reasons = {failure.reason for failure in conflicts.values()}
    if FailureReason.SOP_CLASS_NOT_SUPPORTED in reasons:
        return ExecutionStatusInfo.NOT_SUPPORTED
    return ExecutionStatusInfo.INST_AP_CONFLICT


def _icons(
    instances: Sequence[SourceInstance], choice: Choice, terms: Terms, icon_maker: IconMaker
) -> dict[int, Icon] | Refusal | None:
    """The icons that the profiles require or the site wants; None while they are being made."""
    rule = icon_rule(choice.label)
    required = rule is not None and rule.required
    if not required and not terms.icons_always:
        return {}
    images = [
        instance
        for instance in instances
        if instance.header.directory_record_type == "IMAGE"
        and not (instance.supplied_icon and acceptable(instance.supplied_icon, rule))
    ]
    icon_images = icon_maker.icons(images, rule.size if rule else icons.PIXELS)
    if icon_images is None or not required:
        return icon_images
    without_icon = [image for image in images if not icon_images[image.instance_id].item]
    if not without_icon:
        return icon_images
    failure = InstanceFailure(
        FailureReason.PROCESSING_FAILURE,
        f"{choice.label} requires an icon, and none can be made of the image",
    )
    return Refusal(
        ExecutionStatusInfo.PROC_FAILURE,
        f"{failure.why} ({quantity(len(without_icon), 'instance')})",
        dict.fromkeys(without_icon, failure),
    )


def pack_candidates(
    instances: Sequence[SourceInstance],
    candidates: Sequence[Candidate],
    attempt: Attempt,
    terms: Terms,
    renditions: Mapping[int, Rendition] | None = None,
) -> Plan | Refusal:
    """The volumes that hold all candidates of an attempt."""
    choice = attempt.choice
    series = group_into_series(candidates)
    volumes, oversized = _divide(series, choice, terms, renditions or {})
    if oversized:
        failure = InstanceFailure(
            FailureReason.INSTANCE_SIZE_EXCEEDED, f"larger than one volume {choice.medium}"
        )
        by_id = {instance.instance_id: instance for instance in instances}
        return Refusal(
            ExecutionStatusInfo.INST_OVERSIZED,
            f"{failure.why} ({quantity(len(oversized), 'instance')})",
            {by_id[candidate.instance_id]: failure for candidate in oversized},
            "ask for a profile of a larger medium",
        )
    fewest = 1
    if len(volumes) > 1 and terms.why_apart:
        fewest = fewest_volumes(series, MEDIA[choice.medium].file_system)
    if len(volumes) > fewest and not attempt.split:
        return Refusal(
            ExecutionStatusInfo.SET_OVERSIZED,
            f"the set does not fit on one {choice.medium}, and splitting it is not allowed",
            remedy="allow splitting, or ask for a profile of a larger medium",
        )
    return Plan(choice, volumes, terms.why_apart if fewest > 1 else "")


def _divide(
    series: Sequence[Series],
    choice: Choice,
    terms: Terms,
    renditions: Mapping[int, Rendition],
) -> tuple[list[PlannedVolume], list[Candidate]]:
    """As `divide_into_volumes`. Pages and pictures never keep an instance off the media."""
    divide = partial(
        divide_into_volumes,
        series,
        choice.capacity,
        MEDIA[choice.medium].file_system,
        terms.sealed_size,
        replace(terms.readme_details, profiles=choice.label),
    )
    if terms.content is None:
        return divide()
    volumes, oversized = divide(SetContent.of_series(terms.content, renditions, series))
    if oversized and terms.content.pages:
        volumes, oversized = divide(SetContent(terms.content.without_pages()))
    return volumes, oversized
