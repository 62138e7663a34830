"""Stage: turns a PENDING request into File-sets that each fit one volume, and their pieces."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Event
from types import MappingProxyType

import structlog
from sqlalchemy import exists, select

from burnish.content.asked_for import content_terms
from burnish.content.content_terms import ContentTerms
from burnish.content.readme_txt import ReadmeDetails
from burnish.content.rendition_pool import RenditionPool
from burnish.contradictions import Contradiction, find_contradictions
from burnish.db.history import inform
from burnish.db.queue import by_priority
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest
from burnish.errors import BurnishError, InvalidSettings, OutOfResources
from burnish.instance_header import instance_faults
from burnish.instance_header.examination import examine
from burnish.plan import persist, profile_choice
from burnish.plan.attempts import Failures, possible_attempts
from burnish.plan.conversion import Conversions, Converted
from burnish.plan.eligibility import InstanceFailure
from burnish.plan.icon_images import IconImages
from burnish.plan.media_plan import (
    DamagedImages,
    Plan,
    Refusal,
    Terms,
    merge_refusals,
    name_damage,
    plan_media,
)
from burnish.plan.planned_renditions import PlannedRenditions
from burnish.plan.source_instances import SourceInstance
from burnish.secure_files import Sealer, protection
from burnish.settings import DeviceSettings, Settings
from burnish.spool import Spool
from burnish.values import InstanceHeader
from burnish.vocabulary import (
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    IncludeNonDICOMObjects,
    YesNo,
)

log = structlog.get_logger(__name__)

#: Seconds to wait for a conversion before looking for other requests.
_WAIT_FOR_CONVERSIONS = 0.25
_NONE: Failures = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _RequestedMedia:
    """The terms of a request that concern all its media.

    `recipients` and `password_file` say who can open secure media; empty where the settings say
    it. `device` is the only one that is to make the media, "" for any. `contradictions` are those
    between the instances.
    """

    split_allowed: bool
    lossy_allowed: bool
    recipients: str
    password_file: str
    device: str
    readme_details: ReadmeDetails
    contradictions: tuple[Contradiction, ...]
    damaged_images: DamagedImages
    audience: str
    display_application: bool


def _requested_media(
    request: MediaCreationRequest,
    instances: Sequence[SourceInstance],
    mates: Sequence[InstanceHeader],
    damaged_images: DamagedImages,
) -> _RequestedMedia:
    return _RequestedMedia(
        split_allowed=request.allow_media_splitting == YesNo.YES,
        lossy_allowed=request.allow_lossy_compression == YesNo.YES,
        recipients=request.recipients,
        password_file=request.password_file,
        device=request.device,
        readme_details=ReadmeDetails(
            request.label_text,
            request.label_using_information_extracted_from_instances == YesNo.YES,
        ),
        contradictions=_contradictions(instances, mates),
        damaged_images=damaged_images,
        audience=request.include_non_dicom_objects,
        display_application=request.include_display_application == YesNo.YES,
    )


def _contradictions(
    instances: Sequence[SourceInstance], mates: Sequence[InstanceHeader]
) -> tuple[Contradiction, ...]:
    """The contradictions between instances, and those to `mates`, which are not on these media."""
    headers = [instance.header for instance in instances]
    contradictions = find_contradictions(headers)
    known = {contradiction.text for contradiction in contradictions}
    for contradiction in find_contradictions([*headers, *mates]) if mates else ():
        if contradiction.text not in known:
            text = f"{contradiction.text}; the others are not on these media"
            contradictions.append(replace(contradiction, text=text, file_sets=1))
    return tuple(contradictions)


class Planner:
    """Plans the admitted requests by priority, while conversions go on in other processes."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool
        self._conversions = Conversions(spool)
        self._unrecorded: list[Converted] = []
        self._icons = IconImages(database, spool)
        self._pool = RenditionPool(settings.storage.root / "content")
        self._renditions = PlannedRenditions(self._pool, spool)
        self.stopping = Event()

    def tick(self) -> None:
        """Plan every request that can be planned; return when none is left to work on."""
        while not self.stopping.is_set():
            self._record_conversions()
            self._icons.unfinished = self._renditions.unfinished = False
            try:
                for request_id in self._admitted():
                    self._plan(request_id)
            except OutOfResources as error:
                if isinstance(error.__cause__, OSError):
                    self._tell_admitted_requests(str(error))
                raise
            if self._icons.unfinished or self._renditions.unfinished:
                continue
            self._pool.close()
            if not self._conversions.running:
                return
            self._conversions.wait(_WAIT_FOR_CONVERSIONS)

    def close(self) -> None:
        self._conversions.close()
        self._pool.close()

    def _record_conversions(self) -> None:
        try:
            self._unrecorded += self._conversions.collect()
        except OutOfResources as error:
            self._tell_admitted_requests(str(error))
            raise
        if self._unrecorded:
            # if the database cannot take them now, they are recorded at the next tick
            with self._database.writing() as session:
                persist.record_conversions(session, self._unrecorded)
            self._unrecorded = []

    def _tell_admitted_requests(self, why: str) -> None:
        """Tell in the requests that wait that the spool's disk is full or fails."""
        remedy = "Free space on the disk of the spool or repair it. Work then continues by itself."
        admitted = self._admitted()
        with self._database.writing() as session:
            for request_id in admitted:
                request = session.get_one(MediaCreationRequest, request_id)
                inform(
                    session, request, ExecutionStatusInfo.INSUFFIC_MEMORY, why=why, remedy=remedy
                )

    def _admitted(self) -> Sequence[int]:
        """The ids of the requests to be planned, by priority."""
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
            unmet = persist.load_unmet(session, request)
            instances = persist.load_instances(session, request_id)
            if unmet:
                instances = _without_unmet(instances, request)
            admitted_at = request.admitted_at
            damaged_images = self._damaged_images(request.standing_order)
            # a standing order groups by patient: instances of another one are in another group
            mates = persist.headers_of_studies(session, instances) if request.standing_order else ()
            requested_media = _requested_media(request, instances, mates, damaged_images)
        self._examine(instances)
        if self._holds_contradictions(request_id, requested_media.contradictions):
            return
        try:
            decision = self._decide(instances, requested_media) if instances else unmet
        except OutOfResources:
            raise
        except BurnishError as error:
            log.error("planning failed", request_id=request_id, why=str(error))
            decision = Refusal(ExecutionStatusInfo.DIR_PROC_ERR, str(error))
        if decision is None:
            self._tell_progress(request_id)
            return
        if unmet and decision is not unmet:
            others = [decision] if isinstance(decision, Refusal) else []
            decision = merge_refusals([unmet, *others])
        if self._conversions.failed:
            self._conversions.forget(instance.instance_id for instance in instances)
        with self._database.writing() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None or request.execution_status is not ExecutionStatus.PENDING:
                return
            # where instances have joined the request, or it is held, this plan is out of date
            if request.admitted_at != admitted_at or request.held_at:
                return
            if isinstance(decision, Refusal):
                persist.record_refusal(session, request, decision)
            else:
                prefix = self._settings.request.file_set_id_prefix
                persist.record_plan(session, prefix, request, decision, self._renditions.folder)

    def _damaged_images(self, standing_order: str) -> DamagedImages:
        """The setting for damaged instances; `standing_order` is "" if a person or a peer asked."""
        for order in self._settings.standing_order:
            if order.name == standing_order and order.damaged_images:
                return order.damaged_images
        return self._settings.request.damaged_images

    def _examine(self, instances: Sequence[SourceInstance]) -> None:
        """Examine the files of instances that were not examined completely when they arrived."""
        faults: dict[SourceInstance, str] = {}
        for instance in [instance for instance in instances if instance.header.fault]:
            if not instance_faults.is_unexamined(instance.header.fault) or self.stopping.is_set():
                continue
            with suppress(OSError):  # the writer tells of a file that is not there
                received = instance.received
                faults[instance] = examine(self._spool.slice(received.spool_key, received.size))
        if not faults:
            return
        with self._database.writing() as session:
            persist.record_faults(session, faults)
        for instance, fault in faults.items():
            instance.header = instance.header._replace(fault=fault)

    def _tell_progress(self, request_id: int) -> None:
        """Record how many pictures are made of a request whose pictures are being made."""
        number, needed = self._renditions.progress
        if needed:
            self._renditions.progress = (0, 0)
            with self._database.writing() as session:
                persist.record_pictures(session, request_id, number, needed)

    def _holds_contradictions(
        self, request_id: int, contradictions: Sequence[Contradiction]
    ) -> bool:
        """Report new contradictions once. Returns True if the request is held for a decision."""
        if not contradictions:
            return False
        with self._database.reading() as session:
            if not persist.untold(session, request_id, contradictions):
                return False
        hold = self._settings.request.contradictions == "hold"
        with self._database.writing() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None or request.execution_status is not ExecutionStatus.PENDING:
                return True
            persist.record_contradictions(session, request, contradictions, hold=hold)
        return hold

    def _decide(
        self, instances: Sequence[SourceInstance], requested_media: _RequestedMedia
    ) -> Plan | Refusal | None:
        """The plan, or why there is none; None while conversions or icons are being made."""
        devices = [
            device
            for device in self._settings.devices
            if requested_media.device in ("", device.name)
        ]
        refusals, supported = _unsupported(instances, devices)
        outcome = None
        if supported and requested_media.damaged_images == "leave_out":
            outcome = self._decide_without_damaged(supported, requested_media, devices)
        elif supported:
            outcome = self._decide_supported(supported, requested_media, devices)
        if outcome is None and supported:
            return None
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
        if not refusals:
            return outcome
        refusal = merge_refusals(refusals)
        if requested_media.damaged_images == "refuse":
            return name_damage(refusal, instances)
        return refusal

    def _decide_supported(
        self,
        instances: Sequence[SourceInstance],
        requested_media: _RequestedMedia,
        devices: Sequence[DeviceSettings],
        left_out: Failures = _NONE,
    ) -> Plan | Refusal | None:
        """As `_decide`, for instances whose requested profiles can be made.

        `left_out` are damaged instances that were among them.
        """
        kinds = [instance.kind for instance in instances]
        choices = profile_choice.choices(
            [instance.requested_profile for instance in instances], devices, kinds
        )
        if not choices:
            return Refusal(
                ExecutionStatusInfo.INST_AP_CONFLICT,
                "the requested profiles have no medium in common",
                _failures(instances, FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT),
            )
        sealed_size = None
        if choices[0].secure:
            try:
                sealed_size = self._sealed_size(requested_media)
            except InvalidSettings as error:
                return Refusal(
                    ExecutionStatusInfo.NOT_SUPPORTED,
                    f"the media cannot be made secure: {error}",
                    _failures(instances, FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED),
                    error.hint,
                )
        terms = self._terms(requested_media, sealed_size, left_out)
        attempts = possible_attempts(
            instances,
            choices,
            split_allowed=terms.split_allowed,
            lossy_allowed=terms.lossy_allowed,
            file_sets=terms.file_sets,
        )
        outcome = plan_media(
            instances, attempts, terms, self._conversions, self._icons, self._renditions
        )
        profile_conflict = (ExecutionStatusInfo.INST_AP_CONFLICT, ExecutionStatusInfo.NOT_SUPPORTED)
        if isinstance(outcome, Refusal) and outcome.info in profile_conflict and not outcome.remedy:
            return replace(outcome, remedy=profile_choice.remedy(kinds, devices))
        return outcome

    def _terms(
        self,
        requested_media: _RequestedMedia,
        sealed_size: Callable[[int], int] | None,
        left_out: Failures,
    ) -> Terms:
        return Terms(
            lossy_allowed=requested_media.lossy_allowed,
            sealed_size=sealed_size,
            readme_details=requested_media.readme_details,
            icons_always=self._settings.request.icons == "always",
            contradictions=requested_media.contradictions,
            split_allowed=requested_media.split_allowed,
            damaged_images=requested_media.damaged_images,
            left_out=left_out,
            content=None if sealed_size else self._content_terms(requested_media),
        )

    def _content_terms(self, requested_media: _RequestedMedia) -> ContentTerms:
        audience = requested_media.audience
        if audience not in [*IncludeNonDICOMObjects]:
            # other terms are permitted (PS3.3 C.22.1): the site decides what they get
            audience = self._settings.request.include_non_dicom_objects
        return content_terms(
            self._settings.content,
            IncludeNonDICOMObjects(audience),
            display_application=requested_media.display_application,
        )

    def _decide_without_damaged(
        self,
        instances: Sequence[SourceInstance],
        requested_media: _RequestedMedia,
        devices: Sequence[DeviceSettings],
    ) -> Plan | Refusal | None:
        """As `_decide_supported`, but damaged instances are left out while others are left."""
        left_out: dict[SourceInstance, InstanceFailure] = {}
        while True:
            outcome = self._decide_supported(instances, requested_media, devices, left_out)
            damaged = outcome.damaged if isinstance(outcome, Refusal) else {}
            whole = [instance for instance in instances if instance not in damaged]
            if not damaged or not whole:
                return outcome
            left_out.update(damaged)
            instances = whole

    def _sealed_size(self, requested_media: _RequestedMedia) -> Callable[[int], int]:
        """The bytes of a Secure DICOM File from those of its content."""
        protected_for = protection.load_protection(
            self._settings.security,
            recipients=requested_media.recipients,
            password_file=requested_media.password_file,
        )
        return Sealer(protected_for).size


def _without_unmet(
    instances: Sequence[SourceInstance], request: MediaCreationRequest
) -> list[SourceInstance]:
    """The instances that can be planned, each once, where admission found something amiss."""
    failed = {failure.referenced_sop_instance_uid for failure in request.failures}
    by_uid = {instance.header.sop_instance_uid: instance for instance in instances}
    return [instance for uid, instance in by_uid.items() if uid not in failed]


def _unsupported(
    instances: Sequence[SourceInstance], devices: Sequence[DeviceSettings]
) -> tuple[list[Refusal], Sequence[SourceInstance]]:
    """The refusal of instances whose profile nothing here can make, and the other instances."""
    requested_profiles = [instance.requested_profile for instance in instances]
    unsupported = set(profile_choice.unsupported(requested_profiles, devices))
    if not unsupported:
        return [], instances
    labels = sorted({requested_profiles[position] for position in unsupported})
    refusal = Refusal(
        ExecutionStatusInfo.NOT_SUPPORTED,
        f"neither the service nor a device supports {', '.join(labels)}",
        _failures(
            [instances[position] for position in sorted(unsupported)],
            FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED,
        ),
    )
    supported = [
        instance for position, instance in enumerate(instances) if position not in unsupported
    ]
    return [refusal], supported


def _failures(
    instances: Sequence[SourceInstance], reason: FailureReason
) -> Mapping[SourceInstance, InstanceFailure]:
    return dict.fromkeys(instances, InstanceFailure(reason, ""))
