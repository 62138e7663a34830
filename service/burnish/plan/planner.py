"""Stage: turns a PENDING request into File-sets that each fit one volume, and their pieces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import structlog
from sqlalchemy import exists, select

from burnish.content.readme_txt import Says
from burnish.db.history import inform
from burnish.db.queue import by_priority
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest, TranscodedInstance
from burnish.dicomdir.profile_keys import icon_rule
from burnish.errors import BurnishError, InvalidSettings, OutOfResources
from burnish.media import MEDIA
from burnish.plan import attempts, eligibility, persist, profile_choice
from burnish.plan.candidates import Failures, Icon, Wanted, load
from burnish.plan.conversion import Conversions, record
from burnish.plan.grouping import Series, group
from burnish.plan.icon_images import Icons
from burnish.plan.persist import Plan, Refusal
from burnish.plan.profile_choice import Choice
from burnish.plan.volumes import divide
from burnish.secure_files import Sealer, protection
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import (
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    YesNo,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request says of all its media.

    Whether the set may be split over several volumes, and compressed with loss; who can open
    secure media, empty where the settings say it; the one device that is to make them, if any;
    what README.TXT says besides.
    """

    split: bool
    lossy: bool
    recipients: str
    password_file: str
    device: str
    says: Says


def _asked(request: MediaCreationRequest) -> _Asked:
    return _Asked(
        request.allow_media_splitting == YesNo.YES,
        request.allow_lossy_compression == YesNo.YES,
        request.recipients,
        request.password_file,
        request.device,
        Says(
            request.label_text,
            request.label_using_information_extracted_from_instances == YesNo.YES,
        ),
    )


class Planner:
    """Plans what is admitted, by priority; conversions go on beside it."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings = settings
        self._database = database
        self._conversions = Conversions(spool)
        self._converted: list[TranscodedInstance] = []
        self._icons = Icons(database, spool)
        self.stopping = Event()

    def tick(self) -> None:
        """Plans all that can be planned; returns when nothing is left to do or to wait for."""
        while not self.stopping.is_set():
            self._collect()
            self._icons.busy = False
            for request_id in self._admitted():
                self._plan(request_id)
            if self._icons.busy:
                continue
            if not self._conversions.running:
                return
            self._conversions.wait(0.25)

    def close(self) -> None:
        self._conversions.close()

    def _collect(self) -> None:
        try:
            rows = self._conversions.collect()
        except OutOfResources as error:
            self._explain(str(error))
            raise
        rows, self._converted = self._converted + rows, []
        if not rows:
            return
        try:
            with self._database.writing() as session:
                record(session, rows)
        except OutOfResources:
            self._converted = rows  # made once is enough
            raise

    def _explain(self, why: str) -> None:
        """The disk of the spool is full or fails: what waits for it says so."""
        remedy = "Free space on the disk of the spool, or mend it; work then goes on by itself."
        admitted = self._admitted()
        with self._database.writing() as session:
            for request_id in admitted:
                request = session.get_one(MediaCreationRequest, request_id)
                inform(
                    session, request, ExecutionStatusInfo.INSUFFIC_MEMORY, why=why, remedy=remedy
                )

    def _admitted(self) -> Sequence[int]:
        with self._database.reading() as session:
            return session.scalars(
                select(MediaCreationRequest.id)
                .where(
                    MediaCreationRequest.execution_status == ExecutionStatus.PENDING,
                    MediaCreationRequest.admitted_at.is_not(None),
                    MediaCreationRequest.held_at.is_(None),
                    ~exists().where(FileSet.request_id == MediaCreationRequest.id),
                )
                .order_by(*by_priority())
            ).all()

    def _plan(self, request_id: int) -> None:
        with self._database.reading() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None:
                return
            wanted = load(session, request_id)
            admitted_at, asked = request.admitted_at, _asked(request)
        try:
            decision = self._decide(wanted, asked)
        except OutOfResources:
            raise
        except BurnishError as error:
            log.error("cannot be planned", request_id=request_id, why=str(error))
            decision = Refusal(ExecutionStatusInfo.DIR_PROC_ERR, str(error), Failures({}))
        if decision is None:
            return
        if self._conversions.failed:
            self._conversions.forget(one.instance_id for one in wanted)
        with self._database.writing() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None or request.execution_status is not ExecutionStatus.PENDING:
                return
            # instances have joined it, or it is held: this plan is not wanted
            if request.admitted_at != admitted_at or request.held_at:
                return
            if isinstance(decision, Refusal):
                persist.refuse(session, request, decision)
            else:
                persist.record(
                    session, self._settings.request.file_set_id_prefix, request, decision
                )

    def _decide(self, wanted: Sequence[Wanted], asked: _Asked) -> Plan | Refusal | None:
        """The plan, the reason against one, or None while conversions are under way."""
        requested = [one.profile for one in wanted]
        devices = [each for each in self._settings.devices if asked.device in ("", each.name)]
        if unsupported := profile_choice.unsupported(requested, devices):
            return Refusal(
                ExecutionStatusInfo.NOT_SUPPORTED,
                "a profile is not supported by this service or its devices: "
                + ", ".join(sorted({requested[position] for position in unsupported})),
                Failures({wanted[position]: reason for position, reason in unsupported.items()}),
            )
        choices = profile_choice.choices(requested, devices)
        if not choices:
            reason = FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT
            return Refusal(
                ExecutionStatusInfo.INST_AP_CONFLICT,
                "the requested profiles have no medium in common",
                Failures(dict.fromkeys(wanted, reason)),
            )
        sealed = None
        if choices[0].secure:
            try:
                sealed = self._sealed(asked)
            except InvalidSettings as error:
                return _insecure(wanted, error)
        refusal: Refusal | None = None
        for attempt in attempts.attempts(wanted, choices, split=asked.split, lossy=asked.lossy):
            tried = self._try(wanted, attempt, sealed, asked)
            if not isinstance(tried, Refusal):
                return tried
            refusal = tried
        return refusal

    def _sealed(self, asked: _Asked) -> Callable[[int], int]:
        """Bytes of a Secure DICOM File from those of what is in it."""
        given = protection.load_protection(
            self._settings.security,
            recipients=asked.recipients,
            password_file=asked.password_file,
        )
        return Sealer(given).size

    def _try(
        self,
        wanted: Sequence[Wanted],
        attempt: attempts.Attempt,
        sealed: Callable[[int], int] | None,
        asked: _Asked,
    ) -> Plan | Refusal | None:
        choice, compressed, lossy = attempt.choice, attempt.compressed, attempt.lossy
        if unfit := dict(_unfit(wanted, choice, lossy=asked.lossy)):
            failures = Failures(
                {one: why.reason for one, why in unfit.items()},
                {one: why.attributes for one, why in unfit.items()},
            )
            reasons = eligibility.in_words(unfit.values())
            why = f"instances that the profile does not permit: {reasons}"
            return Refusal(failures.info(), why, failures)
        pairs = list(zip(wanted, choice.profiles, strict=True))
        missing = attempts.missing(
            pairs, self._conversions.failed, compressed=compressed, lossy=lossy
        )
        if missing.broken:
            why = next(iter(missing.broken.values())).why
            return Refusal(
                ExecutionStatusInfo.PROC_FAILURE,
                f"cannot be brought into the profile: {why}",
                missing.failures(),
            )
        if missing.conversions:
            self._conversions.start(missing.conversions)
            return None
        made = self._icons_for(wanted, choice)
        if made is None or isinstance(made, Refusal):
            return made
        candidates = [
            one.candidate(
                *(each, choice.label, made.get(one.instance_id)),
                compressed=compressed,
                lossy=one.instance_id in lossy,
            )
            for one, each in pairs
        ]
        if sealed:
            candidates = [one._replace(size=sealed(one.size)) for one in candidates]
        return _pack(wanted, group(candidates), choice, sealed, asked.says, split=attempt.split)

    def _icons_for(
        self, wanted: Sequence[Wanted], choice: Choice
    ) -> "dict[int, Icon] | Refusal | None":
        """The icons that the profiles demand or the site wants; None while they are made."""
        rule = icon_rule(choice.label)
        required = rule is not None and rule.required
        if not required and self._settings.request.icons != "always":
            return {}
        made = self._icons.of(wanted, rule)
        if made is None or not required:
            return made
        without = [one for one in wanted if (icon := made.get(one.instance_id)) and not icon.item]
        if not without:
            return made
        return Refusal(
            ExecutionStatusInfo.PROC_FAILURE,
            f"{len(without)} instances of which no icon can be made, which the profile demands",
            Failures(dict.fromkeys(without, FailureReason.PROCESSING_FAILURE)),
        )


def _unfit(
    wanted: Sequence[Wanted], choice: Choice, *, lossy: bool
) -> Iterator[tuple[Wanted, eligibility.Unfit]]:
    for one, profile in zip(wanted, choice.profiles, strict=True):
        unfit = eligibility.unfit(one.kind, profile, lossy=lossy)
        if unfit is not None:
            yield one, unfit


def _insecure(wanted: Sequence[Wanted], error: InvalidSettings) -> Refusal:
    reason = FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED
    return Refusal(
        ExecutionStatusInfo.NOT_SUPPORTED,
        f"the media cannot be made secure: {error}",
        Failures(dict.fromkeys(wanted, reason)),
        error.hint,
    )


def _pack(
    wanted: Sequence[Wanted],
    series: Sequence[Series],
    choice: Choice,
    sealed: Callable[[int], int] | None,
    says: Says,
    *,
    split: bool,
) -> Plan | Refusal:
    file_system = MEDIA[choice.medium].file_system
    volumes, oversized = divide(series, choice.capacity, file_system, sealed, says)
    if oversized:
        by_id = {one.instance_id: one for one in wanted}
        too_large = [by_id[candidate.instance_id] for candidate in oversized]
        return Refusal(
            ExecutionStatusInfo.INST_OVERSIZED,
            f"{len(too_large)} instances are larger than the medium {choice.medium}",
            Failures(dict.fromkeys(too_large, FailureReason.INSTANCE_SIZE_EXCEEDED)),
            "ask for a profile of a larger medium",
        )
    if len(volumes) > 1 and not split:
        return Refusal(
            ExecutionStatusInfo.SET_OVERSIZED,
            f"one volume {choice.medium} cannot hold the set, and it may not be split",
            Failures({}),
            "allow splitting, or ask for a profile of a larger medium",
        )
    return Plan(choice, volumes)
