"""Stage: what a claimed piece is, read from its rows."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.application_profiles import PROFILES
from burnish.burn import BurnJob
from burnish.content.readme_txt import ReadmeDetails
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
from burnish.media import MEDIA
from burnish.spool import Spool
from burnish.vocabulary import PieceState, YesNo
from burnish.write.pipeline import VolumeInstance, VolumePlan


@dataclass(frozen=True, slots=True)
class PieceJob:
    """A claimed piece: the volume, its medium, and the job for the device.

    Of a `secure` volume also who can open it, as the request says. `ruined` is how many pieces
    of this copy have been ruined before.
    """

    claim: Claim
    plan: VolumePlan
    job: BurnJob
    attempts: int
    ruined: int
    secure: bool
    recipients: str
    password_file: str
    label: "LabelInstructions"


@dataclass(frozen=True, slots=True)
class LabelInstructions:
    """What a request says of its label (PS3.4 S.3.2.1.1.4) and of its disposition."""

    from_instances: bool
    text: str
    style: str
    barcode_value: str
    barcode_symbology: str
    media_disposition: str


def image_path(images: Path, file_set: FileSet, device: str) -> Path:
    """Where a device's image of a volume lies while it is needed.

    The row's id tells two File-sets of one UID apart, the UID two that had one id in turn.
    """
    suffix = FORMATS[MEDIA[file_set.medium].file_system].suffix
    return images / f"{file_set.id}-{file_set.file_set_uid}-{device}{suffix}"


def unfinished_images(images: Path, device: str) -> list[Path]:
    """What a worker of this device that died while it imaged left in the folder `images`."""
    return [
        path
        for path in images.glob("*-*-*.*.*.part")
        if path.name.split("-", 2)[2].rsplit(".", 3)[0] == device
    ]


def read_piece_job(session: Session, claim: Claim, spool: Spool, images: Path) -> PieceJob:
    """The order of a claim; images lie in the folder `images`."""
    file_set = session.get(FileSet, claim.file_set_id)
    request = session.get(MediaCreationRequest, claim.request_id)
    piece = session.get(Piece, claim.piece_id)
    if file_set is None or request is None or piece is None:
        raise StaleLease("the piece is planned no more")
    plan = VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        _instances(session, file_set, spool),
        readme_details=ReadmeDetails(request.label_text, file_set.readme_patients),
    )
    job = BurnJob(
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
        },
        medium=file_set.medium,
        device_job=piece.device_job,
    )
    profile = PROFILES.get(file_set.media_application_profile.partition("+")[0])
    return PieceJob(
        *(claim, plan, job, piece.attempts),
        ruined=sum(
            other.state is PieceState.SPOILED and other.copy_number == piece.copy_number
            for other in file_set.pieces
        ),
        secure=profile is not None and profile.secure,
        recipients=request.recipients,
        password_file=request.password_file,
        label=LabelInstructions(
            request.label_using_information_extracted_from_instances == YesNo.YES,
            *(request.label_text, request.label_style_selection),
            *(request.barcode_value, request.barcode_symbology, request.media_disposition),
        ),
    )


def pieces_called_off(session: Session, device: str) -> list[Claim]:
    """The pieces, no longer wanted, on which this device may still be at work."""
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


def volume_jobs(
    session: Session, sop_instance_uid: str, spool: Spool, images: Path
) -> list[PieceJob]:
    """An order of each volume of a request, by number, whatever has become of its pieces."""
    rows = session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest, FileSet.request_id == MediaCreationRequest.id)
        .where(MediaCreationRequest.sop_instance_uid == sop_instance_uid)
        .order_by(FileSet.volume_number, Piece.copy_number, Piece.id)
    )
    first: dict[int, Claim] = {}
    for piece, request_id in rows:
        claim = Claim(piece.id, piece.file_set_id, request_id, piece.lease_epoch)
        first.setdefault(piece.file_set_id, claim)
    return [read_piece_job(session, claim, spool, images) for claim in first.values()]


def _instances(session: Session, file_set: FileSet, spool: Spool) -> tuple[VolumeInstance, ...]:
    made, label = TranscodedInstance, file_set.media_application_profile
    header_of = instance_rows.HeaderReader().header
    rows = session.connection().execute(
        select(
            *instance_rows.HEADER_COLUMNS,
            made.derived_sop_instance_uid,
            made.derived_record_keys,
            ReferencedInstance.icon_image_sequence,
            func.coalesce(IconImage.item, b""),
            FileSetEntry.referenced_file_id,
            func.coalesce(made.transfer_syntax_uid, Instance.transfer_syntax_uid),
            func.coalesce(made.spool_key, Instance.spool_key),
            func.coalesce(made.size, Instance.size),
            func.coalesce(made.data_set_offset, Instance.data_set_offset),
            func.coalesce(made.digest, Instance.digest),
        )
        .join(Instance, FileSetEntry.instance_id == Instance.id)
        .outerjoin(made, FileSetEntry.transcoded_instance_id == made.id)
        .outerjoin(IconImage, FileSetEntry.icon_image_id == IconImage.id)
        .outerjoin(
            ReferencedInstance,
            (ReferencedInstance.request_id == file_set.request_id)
            & (ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid),
        )
        .where(FileSetEntry.file_set_id == file_set.id)
        .order_by(FileSetEntry.ordinal)
    )
    instances = []
    for row in instance_rows.in_chunks(rows):
        uid, keys, supplied, icon, file_id, syntax, key, *file = row[
            len(instance_rows.HEADER_COLUMNS) :
        ]
        header = header_on_media(
            header_of(row),
            label,
            derived_sop_instance_uid=uid,
            derived_record_keys=keys,
            supplied_icon=supplied,
            made_icon=icon,
        )
        instances.append(VolumeInstance(file_id, header, syntax, spool.path(key), *file))
    return tuple(instances)
