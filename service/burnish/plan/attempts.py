"""Stage: attempts: the variants of a plan for some instances, in the order of trying (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.application_profiles import ApplicationProfile
from burnish.plan.candidates import Candidate
from burnish.plan.eligibility import InstanceFailure
from burnish.plan.profile_choice import Choice
from burnish.plan.source_instances import SourceInstance
from burnish.transcode.transfer_syntaxes import LOSSY
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

#: A set that is more than this many times larger than its medium is not compressed to make it fit:
#: no images become that much smaller.
_BEST_LOSSLESS_RATIO, _BEST_LOSSY_RATIO = 16, 64

#: The instances of a request, each with the profile it is to meet.
Pairs = Sequence[tuple[SourceInstance, ApplicationProfile]]
#: The conversions that failed, by the id of the instance and the transfer syntax.
FailedConversions = Mapping[tuple[int, str], InstanceFailure]
#: Why instances cannot be on media as planned.
Failures = Mapping[SourceInstance, InstanceFailure]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One variant of a plan: on one volume or several, with images compressed or not.

    `lossless` allows images compressed without loss. `lossy` has the ids of the instances that
    are compressed with loss where that is possible.
    """

    choice: Choice
    split: bool = False
    lossless: bool = False
    lossy: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversion:
    """One instance to be brought into another transfer syntax, from the file under a spool key.

    `size` is that of the file in bytes.
    """

    instance_id: int
    transfer_syntax_uid: str
    spool_key: str
    size: int
    source_ae_title: str

    @property
    def key(self) -> tuple[int, str]:
        return self.instance_id, self.transfer_syntax_uid


@dataclass(frozen=True, slots=True)
class NeededConversions:
    """The conversions that an attempt still needs, or the instances that rule it out."""

    conversions: list[Conversion] = field(default_factory=list)
    failures: dict[SourceInstance, InstanceFailure] = field(default_factory=dict)


def possible_attempts(
    instances: Sequence[SourceInstance],
    choices: Sequence[Choice],
    *,
    split_allowed: bool,
    lossy_allowed: bool = False,
    file_sets: int = 1,
) -> Iterator[Attempt]:
    """Attempts in the order in which to try them.

    The instances need at least `file_sets` File-sets, however large the media are.

    1. One volume for each File-set, of the smallest medium that may hold the set.
    2. Several volumes of the last profile, again of the smallest medium first.
    3. Images compressed without loss (PS3.4 S.3.2.1.1.6).
    4. Where loss is allowed and splitting is not, images compressed with loss
       (PS3.4 S.3.2.1.1.9).
    """
    total = sum(instance.received.size for instance in instances)
    last = choices[-1]
    for choice in choices:
        if total <= choice.capacity * file_sets or choice is last:
            yield Attempt(choice)
    if split_allowed:
        for choice in choices:
            if choice.profiles == last.profiles:
                yield Attempt(choice, split=True)
    for choice in choices:
        may_fit = total <= choice.capacity * _BEST_LOSSLESS_RATIO
        if may_fit and _any_compressible_without_loss(instances, choice):
            yield Attempt(choice, split=split_allowed, lossless=True)
    if lossy_allowed and not split_allowed:
        for choice in choices:
            lossy = compressible_with_loss(instances, choice)
            if lossy and total <= choice.capacity * _BEST_LOSSY_RATIO:
                yield Attempt(choice, lossless=True, lossy=lossy)


def _any_compressible_without_loss(instances: Sequence[SourceInstance], choice: Choice) -> bool:
    pairs = zip(instances, choice.profiles, strict=True)
    return any(instance.media_syntaxes(profile).lossless for instance, profile in pairs)


def compressible_with_loss(instances: Sequence[SourceInstance], choice: Choice) -> frozenset[int]:
    """The ids of those that may be compressed with loss, which makes other SOP Instances of them.

    If a study has documents, presentation states or other instances that are not images, none of
    its images is compressed with loss: what those instances refer to would not be on the media.
    """
    referring_studies = {
        instance.header.study_instance_uid
        for instance in instances
        if instance.header.directory_record_type != "IMAGE"
    }
    return frozenset(
        instance.instance_id
        for instance, profile in zip(instances, choice.profiles, strict=True)
        if instance.header.study_instance_uid not in referring_studies
        and instance.media_syntaxes(profile).lossy
    )


def needed_conversions(
    instances: Sequence[SourceInstance], attempt: Attempt, failed: FailedConversions
) -> NeededConversions:
    """The conversions that must be made before the candidates of an attempt can be listed.

    First come conversions into the default transfer syntax, and when those are made, compression.
    An instance whose compression failed goes on the media uncompressed, unless its encoder is at
    fault (PS3.4 S.3.2.1.1.6). All conversions are tried before one that failed counts, so that all
    instances that rule the attempt out are known together.
    """
    pairs = list(zip(instances, attempt.choice.profiles, strict=True))
    missing = list(_missing_default_files(pairs))
    fatal = [pair for pair in missing if _key(*pair) in failed]
    if attempt.lossless and not missing:
        missing = list(_missing_compressed_files(pairs, attempt, failed))
        fatal = [
            pair for pair in missing if _key(*pair) in failed and failed[_key(*pair)].encoder_fault
        ]
    untried = [_conversion(*pair) for pair in missing if _key(*pair) not in failed]
    if fatal and not untried:
        return NeededConversions(failures={pair[0]: failed[_key(*pair)] for pair in fatal})
    return NeededConversions(untried)


def _missing_default_files(pairs: Pairs) -> Iterator[tuple[SourceInstance, str]]:
    for instance, profile in pairs:
        syntax = instance.media_syntaxes(profile).default
        if syntax and instance.file(syntax) is None:
            yield instance, syntax


def _missing_compressed_files(
    pairs: Pairs, attempt: Attempt, failed: FailedConversions
) -> Iterator[tuple[SourceInstance, str]]:
    """Each image that is to be compressed and is not yet, with the transfer syntax.

    Where compression with loss is to be tried, compression without loss is tried only after that
    has failed.
    """
    for instance, profile in pairs:
        syntaxes = instance.media_syntaxes(profile)
        lossy = syntaxes.lossy if instance.instance_id in attempt.lossy else None
        if lossy and instance.file(lossy) is None:
            yield instance, lossy
        lossy_failed = lossy is not None and _key(instance, lossy) in failed
        lossless = syntaxes.lossless if lossy is None or lossy_failed else None
        if lossless and instance.file(lossless) is None:
            yield instance, lossless


def _key(instance: SourceInstance, transfer_syntax_uid: str) -> tuple[int, str]:
    return instance.instance_id, transfer_syntax_uid


def _conversion(instance: SourceInstance, transfer_syntax_uid: str) -> Conversion:
    """From the decoded file, where there is one, else from the file that was received."""
    source = instance.file(EXPLICIT_VR_LITTLE_ENDIAN) or instance.received
    return Conversion(
        instance.instance_id,
        transfer_syntax_uid,
        source.spool_key,
        source.size,
        instance.calling_ae_title,
    )


def number_compressed_with_loss(candidates: Iterable[Candidate]) -> int:
    """How many candidates are compressed with loss for these media."""
    return sum(
        candidate.transcoded_instance_id is not None and candidate.transfer_syntax_uid in LOSSY
        for candidate in candidates
    )
