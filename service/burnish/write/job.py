"""Stage: what a claimed piece is, read from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from burnish.application_profiles import PROFILES
from burnish.burn import BurnJob
from burnish.content import stored_content
from burnish.content.readme_txt import ReadmeDetails
from burnish.content.rendition_pool import RenditionTask
from burnish.content.stored_content import StoredContent, StoredRendition
from burnish.db import instance_rows
from burnish.db.queue import Claim
from burnish.db.tables import (
    FileSet,
    FileSetEntry,
    IconImage,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    TranscodedInstance,
    short_id,
)
from burnish.dicomdir.profile_keys import header_on_media
from burnish.errors import StaleLease
from burnish.image.formats import FORMATS
from burnish.instance_header import instance_faults
from burnish.media import MEDIA
from burnish.spool import Spool
from burnish.values import InstanceHeader
from burnish.vocabulary import IncludeNonDICOMObjects, PieceState, YesNo
from burnish.write.pipeline import VolumeInstance, VolumePlan


@dataclass(frozen=True, slots=True)
class PieceJob:
    """All that a writer must know to make one piece: its volume, and the job for its device.

    `attempts` is how often the piece was begun, this time included; `ruined_before` is how many
    pieces of the same copy were ruined. `recipients` and `password_file` tell who can open a
    `secure` volume. `content` has the renditions that the volume needs.
    """

    claim: Claim
    plan: VolumePlan
    burn_job: BurnJob
    attempts: int
    ruined_before: int
    secure: bool
    recipients: str
    password_file: str
    label: "LabelInstructions"
    content: StoredContent | None = None


@dataclass(frozen=True, slots=True)
class LabelInstructions:
    """The terms of a request for its labels and its disposition (PS3.4 S.3.2.1.1.4).

    A label `for_teaching` names neither institution nor patients, except in its `text`.
    """

    from_instances: bool
    text: str
    style: str
    barcode_value: str
    barcode_symbology: str
    media_disposition: str
    for_teaching: bool = False


def image_path(images: Path, file_set: FileSet, device: str) -> Path:
    """The path of the image that a device writes of a volume.

    File-sets of different requests may have one UID, and one id if the first was deleted, but
    not both.
    """
    suffix = FORMATS[MEDIA[file_set.medium].file_system].suffix
    return images / f"{file_set.id}-{file_set.file_set_uid}-{device}{suffix}"


def unfinished_images(images: Path, device: str) -> list[Path]:
    """The images in the folder `images` that a dead worker of this device did not complete."""
    return [
        path
        for path in images.glob("*-*-*.*.*.part")
        if path.name.split("-", 2)[2].rsplit(".", 3)[0] == device
    ]


def read_piece_job(
    session: Session, claim: Claim, spool: Spool, images: Path, renditions: Path
) -> PieceJob:
    """Reads what a claimed piece is; its image lies in the folder `images`.

    The cache of renditions lies in the folder `renditions`.

    Raises StaleLease if the piece is not planned any more.
    """
    file_set = session.get(FileSet, claim.file_set_id)
    request = session.get(MediaCreationRequest, claim.request_id)
    piece = session.get(Piece, claim.piece_id)
    if file_set is None or request is None or piece is None:
        raise StaleLease("the piece is not planned any more")
    content = stored_content.decode(file_set.content) if file_set.content else None
    plan = VolumePlan(
        file_set_id=file_set.file_set_id,
        file_set_uid=file_set.file_set_uid,
        created=file_set.planned_at,
        predicted_size=file_set.predicted_size,
        file_system=MEDIA[file_set.medium].file_system,
        instances=volume_instances(session, file_set, spool),
        readme_details=ReadmeDetails(
            request.label_text,
            file_set.readme_patients,
            tuple(file_set.readme_remarks.splitlines()),
            file_set.media_application_profile,
        ),
        content=content.in_folder(renditions) if content else None,
        number=file_set.volume_number,
        count=file_set.volume_count,
    )
    profile = PROFILES.get(file_set.media_application_profile.partition("+")[0])
    ruined = [
        earlier
        for earlier in file_set.pieces
        if earlier.state is PieceState.SPOILED and earlier.copy_number == piece.copy_number
    ]
    return PieceJob(
        claim=claim,
        plan=plan,
        burn_job=_burn_job(request, file_set, piece, images, _damaged_files(plan)),
        attempts=piece.attempts,
        ruined_before=len(ruined),
        secure=profile is not None and profile.secure,
        recipients=request.recipients,
        password_file=request.password_file,
        content=content,
        label=_label_instructions(request, content),
    )


def _label_instructions(
    request: MediaCreationRequest, content: StoredContent | None
) -> LabelInstructions:
    audience = request.include_non_dicom_objects
    return LabelInstructions(
        from_instances=request.label_using_information_extracted_from_instances == YesNo.YES,
        text=request.label_text,
        style=request.label_style_selection,
        barcode_value=request.barcode_value,
        barcode_symbology=request.barcode_symbology,
        media_disposition=request.media_disposition,
        for_teaching=audience == IncludeNonDICOMObjects.FOR_TEACHING
        or (content is not None and content.options.teaching),
    )


def _damaged_files(plan: VolumePlan) -> dict[str, str]:
    """The faults of the instances that are on media although damaged, by File ID.

    Damage that only decoding has shown is in the remarks of the plan.
    """
    remarks = "\n".join(plan.readme_details.remarks)
    damaged = {}
    for instance in plan.instances:
        header = instance.header
        if instance_faults.prevents_media(header.fault):
            damaged[instance.file_id] = header.fault
        elif f"{header.sop_instance_uid} (" in remarks:
            damaged[instance.file_id] = "it cannot be decoded"
    return damaged


def _burn_job(
    request: MediaCreationRequest,
    file_set: FileSet,
    piece: Piece,
    images: Path,
    damaged_files: Mapping[str, str],
) -> BurnJob:
    return BurnJob(
        image=image_path(images, file_set, piece.device),
        volume_number=file_set.volume_number,
        volume_count=file_set.volume_count,
        copy_number=piece.copy_number,
        copies=request.number_of_copies,
        request_name=short_id(request.id),
        file_set_id=file_set.file_set_id,
        file_set_uid=file_set.file_set_uid,
        manifest={
            "media_application_profile": file_set.media_application_profile,
            "medium": file_set.medium,
            "instances": file_set.instances,
            "request": request.sop_instance_uid,
            "remarks": file_set.readme_remarks.splitlines(),
            **({"damaged": damaged_files} if damaged_files else {}),
        },
        medium=file_set.medium,
        device_job=piece.device_job,
    )


def pieces_with_work(device: str) -> Select[Any]:
    """The pieces with which this device may have something to do, now or later."""
    called_off = (Piece.device == device) & (Piece.device_job != "")
    return select(Piece.id).where(
        or_(
            Piece.state == PieceState.QUEUED,
            # two conditions, not `state IN`: SQLite uses its index on `state` for each
            (Piece.state == PieceState.SPOILED) & called_off,
            (Piece.state == PieceState.DROPPED) & called_off,
        )
    )


def pieces_called_off(session: Session, device: str) -> list[Claim]:
    """The spoiled and dropped pieces on which this device may still be working."""
    rows = session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(
            Piece.device == device,
            Piece.device_job != "",
            Piece.state.in_((PieceState.SPOILED, PieceState.DROPPED)),
        )
    )
    return [
        Claim(piece.id, piece.file_set_id, request_id, piece.lease_epoch)
        for piece, request_id in rows
    ]


def rendition_tasks(
    session: Session, renditions: Sequence[StoredRendition], spool: Spool
) -> list[RenditionTask]:
    """The tasks that make renditions again, as far as their instances are still here."""
    tasks = []
    for rendition in renditions:
        instance = session.get(Instance, rendition.instance_id)
        if instance is not None and instance.released_at is None:
            source = spool.slice(instance.spool_key, instance.size)
            tasks.append(RenditionTask(rendition.key, source))
    return tasks


def volume_jobs(
    session: Session, sop_instance_uid: str, spool: Spool, images: Path, renditions: Path
) -> list[PieceJob]:
    """A job for each volume of a request, in order, whatever the states of its pieces are."""
    rows = session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest, FileSet.request_id == MediaCreationRequest.id)
        .where(MediaCreationRequest.sop_instance_uid == sop_instance_uid)
        .order_by(FileSet.volume_number, Piece.copy_number, Piece.id)
    )
    claims: dict[int, Claim] = {}
    for piece, request_id in rows:
        claim = Claim(piece.id, piece.file_set_id, request_id, piece.lease_epoch)
        claims.setdefault(piece.file_set_id, claim)
    return [read_piece_job(session, claim, spool, images, renditions) for claim in claims.values()]


def volumes_with_pages(session: Session, sop_instance_uid: str) -> frozenset[int]:
    """The numbers of the volumes of a request on which there are pages for browsers."""
    rows = session.execute(
        select(FileSet.volume_number, FileSet.content)
        .join(MediaCreationRequest, FileSet.request_id == MediaCreationRequest.id)
        .where(MediaCreationRequest.sop_instance_uid == sop_instance_uid)
    )
    return frozenset(
        number for number, content in rows if content and stored_content.decode(content).pages
    )


def volume_instances(
    session: Session, file_set: FileSet, spool: Spool
) -> tuple[VolumeInstance, ...]:
    """The instances of a volume in the order of its DICOMDIR; transcoded where that was planned."""
    transcoded = TranscodedInstance
    header_of = instance_rows.HeaderReader().header
    rows = session.connection().execute(
        select(
            *instance_rows.HEADER_COLUMNS,
            transcoded.derived_sop_instance_uid,
            transcoded.derived_record_keys,
            ReferencedInstance.icon_image_sequence,
            func.coalesce(IconImage.item, b""),
            FileSetEntry.referenced_file_id,
            func.coalesce(transcoded.transfer_syntax_uid, Instance.transfer_syntax_uid),
            func.coalesce(transcoded.spool_key, Instance.spool_key),
            func.coalesce(transcoded.size, Instance.size),
            func.coalesce(transcoded.data_set_offset, Instance.data_set_offset),
            func.coalesce(transcoded.digest, Instance.digest),
        )
        .join(Instance, FileSetEntry.instance_id == Instance.id)
        .outerjoin(transcoded, FileSetEntry.transcoded_instance_id == transcoded.id)
        .outerjoin(IconImage, FileSetEntry.icon_image_id == IconImage.id)
        .outerjoin(
            ReferencedInstance,
            (ReferencedInstance.request_id == file_set.request_id)
            & (ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid),
        )
        .where(FileSetEntry.file_set_id == file_set.id)
        .order_by(FileSetEntry.ordinal)
    )
    return tuple(
        [
            _volume_instance(row, header_of(row), file_set.media_application_profile, spool)
            for row in instance_rows.in_chunks(rows)
        ]
    )


def _volume_instance(
    row: Any, header: InstanceHeader, profile: str, spool: Spool
) -> VolumeInstance:
    (
        derived_uid,
        derived_keys,
        supplied_icon,
        made_icon,
        file_id,
        transfer_syntax_uid,
        spool_key,
        size,
        data_set_offset,
        digest,
    ) = row[len(instance_rows.HEADER_COLUMNS) :]
    return VolumeInstance(
        file_id=file_id,
        header=header_on_media(
            header,
            profile,
            derived_sop_instance_uid=derived_uid,
            derived_record_keys=derived_keys,
            supplied_icon=supplied_icon,
            made_icon=made_icon,
        ),
        transfer_syntax_uid=transfer_syntax_uid,
        source=spool.slice(spool_key, size),
        data_set_offset=data_set_offset,
        digest=digest,
    )
