"""Stage: what planning reads from the rows of a request, and what it writes to them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.orm import Session

from burnish.content import stored_content
from burnish.content.stored_content import StoredContent, stored_renditions
from burnish.contradictions import Contradiction
from burnish.db import instance_rows, tallies
from burnish.db.bulk import insert_rows
from burnish.db.history import fail, note
from burnish.db.session import in_batches
from burnish.db.tables import (
    Event,
    FailedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    TranscodedInstance,
    short_id,
)
from burnish.errors import Conflict
from burnish.identifiers import new_uid
from burnish.instance_header import instance_faults
from burnish.plan.attempts import Failures, number_compressed_with_loss
from burnish.plan.conversion import Converted
from burnish.plan.eligibility import kind_of
from burnish.plan.media_plan import Plan, Refusal, merge_refusals
from burnish.plan.remarks import left_out_remark
from burnish.plan.source_instances import InstanceFile, SourceInstance
from burnish.plan.volumes import PlannedVolume, numbered_file_set_id
from burnish.values import OWN_FIELDS, InstanceHeader
from burnish.vocabulary import ExecutionStatusInfo, FailureReason, PieceState
from burnish.wording import quantity

log = structlog.get_logger(__name__)

#: Values in one IN condition.
_BATCH = 500
_CONTRADICTION_EVENT = "CONTRADICTION"


def load_instances(session: Session, request_id: int) -> list[SourceInstance]:
    """The instances of a request, in the order of its references, with the files there are."""
    of_request = (
        (ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid)
        & (ReferencedInstance.request_id == request_id)
        & Instance.is_newest()
    )
    connection = session.connection()
    transcoded = _load_transcoded(connection, of_request)
    rows = connection.execute(
        select(
            *instance_rows.HEADER_COLUMNS,
            Instance.transfer_syntax_uid,
            Instance.id,
            Instance.size,
            Instance.spool_key,
            Instance.digest,
            ReferencedInstance.requested_media_application_profile,
            Instance.calling_ae_title,
            ReferencedInstance.icon_image_sequence,
        )
        .join(ReferencedInstance, of_request)
        .order_by(ReferencedInstance.ordinal)
    )
    header_of = instance_rows.HeaderReader().header
    return [
        _source_instance(header_of(row), row, transcoded) for row in instance_rows.in_chunks(rows)
    ]


def _source_instance(
    header: InstanceHeader, row: Any, transcoded: Mapping[int, Sequence[InstanceFile]]
) -> SourceInstance:
    (
        transfer_syntax_uid,
        instance_id,
        size,
        spool_key,
        digest,
        requested_profile,
        calling_ae_title,
        supplied_icon,
    ) = row[len(instance_rows.HEADER_COLUMNS) :]
    return SourceInstance(
        header,
        kind_of(header, transfer_syntax_uid),
        instance_id,
        InstanceFile(transfer_syntax_uid, size, spool_key),
        requested_profile,
        calling_ae_title,
        supplied_icon,
        transcoded.get(instance_id, ()),
        digest,
    )


def _load_transcoded(
    connection: Connection, of_request: ColumnElement[bool]
) -> dict[int, list[InstanceFile]]:
    """The files that were made of the instances of a request, by the id of the instance."""
    files: dict[int, list[InstanceFile]] = {}
    for row in connection.execute(
        select(
            TranscodedInstance.instance_id,
            TranscodedInstance.transfer_syntax_uid,
            TranscodedInstance.id,
            TranscodedInstance.size,
            TranscodedInstance.spool_key,
            TranscodedInstance.derived_sop_instance_uid,
            TranscodedInstance.derived_record_keys,
        )
        .join(Instance, Instance.id == TranscodedInstance.instance_id)
        .join(ReferencedInstance, of_request)
    ):
        files.setdefault(row.instance_id, []).append(
            InstanceFile(
                row.transfer_syntax_uid,
                row.size,
                row.spool_key,
                row.id,
                row.derived_sop_instance_uid,
                row.derived_record_keys,
            )
        )
    return files


def headers_of_studies(
    session: Session, instances: Iterable[SourceInstance]
) -> list[InstanceHeader]:
    """One header for each difference in what all instances of the same studies say of these.

    The instances may be on other media, or on none.
    """
    names = InstanceHeader._fields[OWN_FIELDS : InstanceHeader._fields.index("entity_keys") + 1]
    columns = [getattr(Instance, name) for name in names]
    studies = sorted({instance.header.study_instance_uid for instance in instances} - {""})
    rows: dict[tuple[Any, ...], None] = {}
    for batch in in_batches(studies, _BATCH):
        query = select(*columns).where(Instance.study_instance_uid.in_(batch), Instance.is_newest())
        rows.update((tuple(row), None) for row in session.execute(query.distinct()))
    return [InstanceHeader("", None, b"", *row) for row in rows]


def load_unmet(session: Session, request: MediaCreationRequest) -> Refusal | None:
    """The refusal of a request at admission, without the instances; None if there is none."""
    uid = ReferencedInstance.referenced_sop_instance_uid
    references, different = session.execute(
        select(func.count(), func.count(uid.distinct())).where(
            ReferencedInstance.request_id == request.id
        )
    ).one()
    reasons = Counter(failure.failure_reason for failure in request.failures)
    missing = reasons[FailureReason.NO_SUCH_OBJECT_INSTANCE]
    conflicting = reasons[FailureReason.CLASS_INSTANCE_CONFLICT]
    refusals = []
    if references > different:
        why = f"{quantity(references - different, 'reference')} given more than once"
        refusals.append(Refusal(ExecutionStatusInfo.DUPL_REF_INST, why))
    if missing:
        why = f"{quantity(missing, 'instance')} not received"
        remedy = "send the missing instances, then request again or `burnish request retry`"
        refusals.append(Refusal(ExecutionStatusInfo.NO_INSTANCE, why, remedy=remedy))
    if conflicting:
        why = f"{quantity(conflicting, 'instance')} of another SOP Class"
        remedy = "request again with the SOP Classes that the instances have"
        refusals.append(Refusal(ExecutionStatusInfo.INST_AP_CONFLICT, why, remedy=remedy))
    return merge_refusals(refusals) if refusals else None


def record_faults(session: Session, faults: Mapping[SourceInstance, str]) -> None:
    """Record what the examination of instances has found, and log damage."""
    ids_by_fault: dict[str, list[int]] = {}
    for instance, fault in faults.items():
        ids_by_fault.setdefault(fault, []).append(instance.instance_id)
    for fault, ids in ids_by_fault.items():
        for batch in in_batches(ids, _BATCH):
            session.execute(update(Instance).where(Instance.id.in_(batch)).values(fault=fault))
    for instance, fault in faults.items():
        if instance_faults.prevents_media(fault):
            log.warning(
                "instance is damaged",
                sop_instance_uid=instance.header.sop_instance_uid,
                calling_ae_title=instance.calling_ae_title,
                why=fault,
                hint="correct the instance and send it again",
            )


def record_conversions(session: Session, conversions: Iterable[Converted]) -> None:
    """Record converted files, for all copies, volumes and later requests."""
    conversions = list(conversions)
    for converted in conversions:
        syntax = converted.conversion.transfer_syntax_uid
        tallies.add(session, tallies.CONVERSIONS, syntax, converted.file.size)
    session.execute(
        insert(TranscodedInstance),
        [
            {
                "instance_id": converted.conversion.instance_id,
                "transfer_syntax_uid": converted.conversion.transfer_syntax_uid,
                "spool_key": converted.spool_key,
                "size": converted.file.size,
                "data_set_offset": converted.file.data_set_offset,
                "digest": converted.file.digest,
                "derived_sop_instance_uid": converted.file.derived_sop_instance_uid,
                "derived_record_keys": converted.file.derived_record_keys,
            }
            for converted in conversions
        ],
    )


def untold(
    session: Session, request_id: int, contradictions: Sequence[Contradiction]
) -> list[Contradiction]:
    """The contradictions that the history of the request does not have yet."""
    told = set(
        session.scalars(
            select(Event.why).where(
                Event.request_id == request_id, Event.event == _CONTRADICTION_EVENT
            )
        )
    )
    return [contradiction for contradiction in contradictions if contradiction.text not in told]


def record_contradictions(
    session: Session,
    request: MediaCreationRequest,
    contradictions: Sequence[Contradiction],
    *,
    hold: bool,
) -> None:
    """Tell of contradictions in log and history; with `hold`, a person must release the request."""
    for contradiction in untold(session, request.id, contradictions):
        log.warning(
            "instances contradict each other", request=short_id(request.id), why=contradiction.text
        )
        note(session, request.id, _CONTRADICTION_EVENT, contradiction.text)
    if hold and request.held_at is None:
        request.held_at = datetime.now(UTC)
        note(session, request.id, "HELD", "instances contradict each other: see [request]")


def record_refusal(session: Session, request: MediaCreationRequest, refusal: Refusal) -> None:
    """The request fails, with the instances that rule it out as its Failed SOP Sequence.

    Those that admission found come first.
    """
    unmet = list(request.failures)
    log.info("planning failed", request_id=request.id, info=refusal.info, why=refusal.why)
    fail(
        session,
        request,
        refusal.info,
        why=refusal.why,
        remedy=refusal.remedy,
        failures=[
            *unmet,
            *_failed_instances(refusal.failures, first_ordinal=len(unmet)),
        ],
    )


def _failed_instances(failures: Failures, first_ordinal: int = 0) -> list[FailedInstance]:
    return [
        FailedInstance(
            ordinal=ordinal,
            referenced_sop_class_uid=instance.header.sop_class_uid,
            referenced_sop_instance_uid=instance.header.sop_instance_uid,
            requested_media_application_profile=instance.requested_profile,
            failure_reason=failure.reason,
            failure_attributes=_hexadecimal(failure.attributes),
        )
        for ordinal, (instance, failure) in enumerate(failures.items(), first_ordinal)
    ]


def _hexadecimal(tags: Sequence[int]) -> str:
    return " ".join(f"{tag:08X}" for tag in tags)


def record_plan(
    session: Session, prefix: str, request: MediaCreationRequest, plan: Plan, renditions: Path
) -> None:
    """Write the File-sets, their entries and their pieces: from here on writers see them.

    `prefix` begins the File-set IDs of a request that names none. The cache of renditions lies in
    the folder `renditions`.
    """
    count = len(plan.volumes)
    planned_at = datetime.now(UTC)
    for number, volume in enumerate(plan.volumes, start=1):
        file_set = _file_set(
            request, plan, number, volume_file_set_id(prefix, request, number, count)
        )
        file_set.planned_at = planned_at
        file_set.predicted_size = volume.size(file_set.file_set_id, file_set.file_set_uid)
        file_set.content = _encoded_content(volume, file_set, renditions)
        if file_set.predicted_size > plan.choice.capacity:
            raise Conflict("a planned volume is larger than its medium")
        session.add(file_set)
        session.flush()
        _record_entries(session, file_set.id, volume)
        for copy_number in range(1, request.number_of_copies + 1):
            session.add(
                Piece(file_set_id=file_set.id, copy_number=copy_number, state=PieceState.QUEUED)
            )
    if request.admitted_at is not None:
        tallies.observe(session, "plan", (planned_at - request.admitted_at).total_seconds())
    note(session, request.id, "PLANNED", _in_words(plan, request.number_of_copies))
    if plan.stand_ins:
        why = f"the instances have no {plan.stand_ins}; the DICOMDIR has values in their place"
        note(session, request.id, "STAND-INS", why)
    if plan.damage:
        note(session, request.id, "DAMAGED", plan.damage)
    if plan.left_out:
        request.failures = _failed_instances(plan.left_out)
        note(session, request.id, "LEFT OUT", left_out_remark(plan.left_out))


def _file_set(request: MediaCreationRequest, plan: Plan, number: int, file_set_id: str) -> FileSet:
    """The row of a volume, whose size is not known yet."""
    volume = plan.volumes[number - 1]
    requested_uid = request.storage_media_file_set_uid if number == 1 else ""
    return FileSet(
        request_id=request.id,
        file_set_id=file_set_id,
        file_set_uid=requested_uid or new_uid(),
        volume_number=number,
        volume_count=len(plan.volumes),
        media_application_profile=plan.choice.label,
        medium=plan.choice.medium,
        capacity=plan.choice.capacity,
        predicted_size=0,
        instances=len(volume.files),
        readme_patients=volume.readme_details.patients,
        readme_remarks="\n".join(volume.readme_details.remarks),
    )


def _encoded_content(volume: PlannedVolume, file_set: FileSet, renditions: Path) -> bytes | None:
    """The files for people of a volume, for its row."""
    terms = volume.content
    if terms is None:
        return None
    files = volume.content_files
    content = StoredContent(
        files,
        volume.readme(file_set.file_set_id, file_set.volume_number, file_set.volume_count),
        terms.pages,
        stored_renditions(files, volume.rendition_keys, renditions),
        terms.rendition,
    )
    return stored_content.encode(content)


def _in_words(plan: Plan, copies: int) -> str:
    """The plan in words, and what people must know of it."""
    count = len(plan.volumes)
    files = [file for volume in plan.volumes for file in volume.files]
    text = f"{plan.choice.label} on {count} x {plan.choice.medium}, copies: {copies}"
    terms = plan.volumes[0].content if plan.volumes else None
    if terms and terms.pages:
        text += ", with pages and viewer" if terms.viewer else ", with pages"
        if terms.viewer:
            text += f" (pixels: {terms.rendition.pixels})"
    lossy = number_compressed_with_loss(file.candidate for file in files)
    if lossy:
        text += f", {quantity(lossy, 'instance')} compressed with loss"
    faults = [file.candidate.header.fault for file in files if file.candidate.header.fault]
    empty = sum(map(instance_faults.has_no_pixel_data, faults))
    if empty:
        text += f", {quantity(empty, 'image')} without Pixel Data"
    for fault, count in Counter(filter(instance_faults.is_kept, faults)).most_common(3):
        text += f", {quantity(count, 'instance')}: {fault}"
    if plan.why_apart:
        text += f"; on separate media because {plan.why_apart}"
    return text


def _record_entries(session: Session, file_set_id: int, volume: PlannedVolume) -> None:
    entries = [
        (
            file_set_id,
            ordinal,
            candidate.instance_id,
            candidate.transcoded_instance_id,
            file_id,
            candidate.icon_image_id,
        )
        for ordinal, (file_id, candidate) in enumerate(volume.files)
    ]
    insert_rows(session, FileSetEntry, entries)


def volume_file_set_id(prefix: str, request: MediaCreationRequest, number: int, count: int) -> str:
    """The File-set ID of the request, numbered where there are several volumes; else a new one.

    PS3.4 S.3.2.1.1.1.
    """
    requested = request.storage_media_file_set_id
    if requested:
        return numbered_file_set_id(requested, number, count)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    volume = digits[number // 36 % 36] + digits[number % 36]
    return f"{prefix}_{request.id % 1_000_000:06d}{volume}"


def record_pictures(session: Session, request_id: int, number: int, needed: int) -> None:
    """Tell in the history of a request how many of its instances have their pictures."""
    note(session, request_id, "PICTURES", f"made of {number} of {quantity(needed, 'instance')}")
