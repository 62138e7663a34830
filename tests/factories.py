"""Instances, candidates for media, and a database with a spool, for tests."""

import io
import os
import struct
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from PIL import Image
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish import file_meta
from burnish.db import instance_rows, schema
from burnish.db.session import Database
from burnish.db.tables import Event, FileSet, Instance, MediaCreationRequest, Piece
from burnish.dicom_elements import encode
from burnish.dicomdir import encoder
from burnish.identifiers import new_uid
from burnish.instance_header.header import index
from burnish.plan.candidates import Candidate
from burnish.plan.planner import Planner
from burnish.request import operations
from burnish.settings import (
    ContentSettings,
    DeviceSettings,
    RequestSettings,
    Settings,
    StorageSettings,
)
from burnish.spool import Spool, segment
from burnish.values import InstanceHeader, WholeInstance
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    ExecutionStatus,
    ExecutionStatusInfo,
    PieceState,
)
from digesting import digest_of
from made_entries import EVERY_KEY

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"
#: Retired, so there is no directory record for it.
STANDALONE_CURVE = "1.2.840.10008.5.1.4.1.1.9"
MPEG2 = "1.2.840.10008.1.2.4.100"


# --- instances -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleInstance:
    """An instance for a test; `data_set` is without File Meta Information."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes

    def arriving(
        self, *, calling_ae_title: str = "MODALITY", called_ae_title: str = "BURNISH"
    ) -> WholeInstance:
        """The instance as a receiver takes it."""
        return WholeInstance(
            self.sop_class_uid,
            self.sop_instance_uid,
            self.transfer_syntax_uid,
            calling_ae_title,
            called_ae_title,
            self.data_set,
        )

    @property
    def header(self) -> InstanceHeader:
        data = self.data_set
        return index(data, len(data), self.transfer_syntax_uid, lambda: io.BytesIO(data))


def instance(
    *,
    sop_class_uid: str = CT,
    sop_instance_uid: str = "",
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
    patient_id: str = "P1",
    patient_name: str = "Doe^Jane",
    birth_date: str = "",
    sex: str = "",
    study: str = "1.2.3.1",
    series: str = "1.2.3.1.1",
    study_date: str = "20240102",
    accession_number: str = "",
    study_description: str = "",
    series_description: str = "",
    series_number: int | None = 1,
    instance_number: int | None = 1,
    pixels: bytes = b"",
    size: int = 64,
) -> SampleInstance:
    """A CT image of 8 bits, one row, `size` columns; `pixels` replaces its whole Pixel Data."""
    uid = sop_instance_uid or new_uid()
    size += size % 2
    elements: list[tuple[int, bytes, str | int | bytes | None]] = [
        (0x00080016, b"UI", sop_class_uid),
        (0x00080018, b"UI", uid),
        (0x00080020, b"DA", study_date),
        (0x00080030, b"TM", "101500"),
        (0x00080050, b"SH", accession_number),
        (0x00080060, b"CS", "CT"),
        (0x00081030, b"LO", study_description),
        (0x0008103E, b"LO", series_description),
        (0x00100010, b"PN", patient_name),
        (0x00100020, b"LO", patient_id),
        (0x00100030, b"DA", birth_date),
        (0x00100040, b"CS", sex),
        (0x0020000D, b"UI", study),
        (0x0020000E, b"UI", series),
        (0x00200010, b"SH", "1"),
        (0x00200011, b"IS", None if series_number is None else str(series_number)),
        (0x00200013, b"IS", None if instance_number is None else str(instance_number)),
        (0x00280002, b"US", 1),
        (0x00280004, b"CS", "MONOCHROME2"),
        (0x00280010, b"US", 1),
        (0x00280011, b"US", min(size, 0xFFFF)),
        (0x00280100, b"US", 8),
        (0x00280101, b"US", 8),
        (0x00280102, b"US", 7),
        (0x00280103, b"US", 0),
    ]
    data = b"".join(
        encode(tag, vr, struct.pack("<H", value) if isinstance(value, int) else _text(value))
        for tag, vr, value in elements
        if value is not None and value != ""
    )
    pixels = pixels or encode(
        0x7FE00010, b"OW", bytes(range(256)) * (size // 256) + bytes(size % 256)
    )
    return SampleInstance(sop_class_uid, uid, transfer_syntax_uid, data + pixels)


def encapsulated(*fragments: bytes) -> bytes:
    """Pixel Data in fragments, behind an empty Basic Offset Table (PS3.5 A.4)."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment)) + fragment
        for fragment in (b"", *fragments)
    )
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return head + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def jpeg_frame(columns: int = 64, rows: int = 1) -> bytes:
    """A grey image in JPEG Baseline, such as `instance` describes."""
    target = io.BytesIO()
    Image.new("L", (columns, rows), 77).save(target, "JPEG")
    return target.getvalue() + bytes(len(target.getvalue()) % 2)


def undecodable_frame(transfer_syntax_uid: str) -> bytes:
    """A frame with the header of an image as `instance` describes, and without its content."""
    if transfer_syntax_uid.startswith("1.2.840.10008.1.2.4.9"):
        size = struct.pack(">H8LH3B", 0, 64, 1, 0, 0, 64, 1, 0, 0, 1, 7, 1, 1)
        tile_part = b"\xff\x90" + struct.pack(">HHLBB", 10, 0, 14, 0, 1) + b"\xff\x93"
        header = b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size
        return header + tile_part + b"\xff\xd9"
    frame = jpeg_frame()
    start = frame.index(b"\xff\xc4")  # without its Huffman tables
    return frame[:start] + frame[frame.index(b"\xff\xda") :]


def _text(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


# --- headers and candidates, without data sets ---------------------------------------------------


@lru_cache(maxsize=4096)
def entity_keys(
    patient_id: str, name: str, study: str, series: str, date: str, series_number: int | None
) -> bytes:
    values = (
        (0x00080020, b"DA", date),
        (0x00080030, b"TM", "120000"),
        (0x00080060, b"CS", "CT"),
        (0x00100010, b"PN", name),
        (0x00100020, b"LO", patient_id),
        (0x0020000D, b"UI", study),
        (0x0020000E, b"UI", series),
        (0x00200010, b"SH", "7"),
        (0x00200011, b"IS", "" if series_number is None else str(series_number)),
    )
    return b"".join(encode(tag, vr, value.encode()) for tag, vr, value in values if value)


def header(
    *,
    patient_id: str = "P1",
    issuer: str = "",
    name: str = "Doe^Jane",
    study: str = "1.2.1",
    series: str = "1.2.1.1",
    uid: str = "1.2.1.1.1",
    date: str = "20240102",
    series_number: int | None = 1,
    instance_number: int | None = 1,
    record_type: str = "IMAGE",
) -> InstanceHeader:
    """A header as `index` would give it."""
    root = record_type == "HANGING PROTOCOL"
    number = b"" if instance_number is None else str(instance_number).encode()
    return InstanceHeader(
        sop_class_uid=HANGING_PROTOCOL if root else CT,
        sop_instance_uid=uid,
        study_instance_uid="" if root else study,
        series_instance_uid="" if root else series,
        patient_id="" if root else patient_id,
        issuer_of_patient_id="" if root else issuer,
        patient_name="" if root else name,
        study_date="" if root else date,
        study_time="" if root else "120000",
        modality="" if root else "CT",
        series_number=None if root else series_number,
        instance_number=instance_number,
        directory_record_type=record_type,
        entity_keys=(
            b"" if root else entity_keys(patient_id, name, study, series, date, series_number)
        ),
        record_keys=encode(0x00200013, b"IS", number) if number and not root else b"",
        missing_keys=() if number or root else (0x00200013,),
    )


def candidate(
    instance_id: int,
    instance_header: InstanceHeader,
    size: int,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
) -> Candidate:
    lengths = encoder.record_lengths(instance_header, syntax, EVERY_KEY)
    return Candidate(
        instance_id,
        None,
        instance_header,
        syntax,
        size,
        lengths.patient,
        lengths.study,
        lengths.series,
        lengths.instance,
    )


# --- database and spool --------------------------------------------------------------------------


@cache
def _empty_database() -> bytes:
    """The bytes of a database that `burnish db upgrade` has made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        schema.upgrade(f"sqlite:///{path}")
        return path.read_bytes()


def new_database(path: Path) -> str:
    """An upgraded database at `path`; its URL."""
    path.write_bytes(_empty_database())
    return f"sqlite:///{path}"


class Ground(AbstractContextManager["Ground"]):
    """A storage root with settings, database and spool; `tables` are tables of the settings.

    The database is a new one, unless the settings name one.
    """

    def __init__(self, root: Path, **tables: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        tables.setdefault("storage", StorageSettings(root=root, durability="os"))
        # pictures take worker processes: tests of content ask for them
        tables.setdefault("content", ContentSettings(pages=False))
        self.settings = Settings(**tables)
        self.url = self.settings.database.url or new_database(root / "burnish.db")
        self.database = Database(self.url, durable=False)
        self._root = root

    @cached_property
    def spool(self) -> Spool:
        return Spool(self._root / "spool", durable=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @property
    def device(self) -> DeviceSettings:
        return self.settings.devices[0]

    def store(self, *instances: SampleInstance, **columns: Any) -> list[int]:
        """Stores instances as `receive` does; `columns` replace values of their rows."""
        rows = [self._row(instance, columns) for instance in instances]
        with self.database.writing() as session:
            session.add_all(rows)
        return [row.id for row in rows]

    def stored_file(self, row: Instance) -> bytes:
        """A stored instance as a DICOM File."""
        with self.spool.slice(row.spool_key, row.size).open() as file:
            return file.read()

    def stored_keys(self) -> list[str]:
        """The keys of everything in the spool that was not released, arriving files included."""
        keys = [*self.spool.published_keys(), *os.listdir(self.spool.incoming)]
        for name in segment.names(self.spool.segments):
            descriptor = os.open(segment.path(self.spool.segments, name), os.O_RDONLY)
            for record in segment.records(descriptor):
                if not record.has_own_file and not segment.is_released(descriptor, record):
                    keys.append(self.spool.key_in_segment(name, record.payload))
            os.close(descriptor)
        return sorted(keys)

    def _row(self, instance: SampleInstance, columns: dict[str, Any]) -> Instance:
        meta = file_meta.encode(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax_uid,
            "MODALITY",
        )
        key = self.spool.new_key()
        self.spool.path(key).write_bytes(meta + instance.data_set)
        values = {
            **instance_rows.header_values(instance.header),
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "spool_key": key,
            "size": len(meta) + len(instance.data_set),
            "data_set_offset": len(meta),
            "digest": digest_of(instance.data_set),
            "calling_ae_title": "MODALITY",
            "called_ae_title": "BURNISH",
            "received_at": datetime.now(UTC),
            "released_at": None,
        }
        return Instance(**{**values, **columns})

    def create(
        self,
        instances: Sequence[SampleInstance],
        *,
        profiles: Sequence[str] | str = "",
        **attributes: str,
    ) -> str:
        """An IDLE request for instances; its SOP Instance UID."""
        labels = [profiles] * len(instances) if isinstance(profiles, str) else profiles
        references = [
            operations.Reference(instance.sop_class_uid, instance.sop_instance_uid, label)
            for instance, label in zip(instances, labels, strict=True)
        ]
        with self.database.writing() as session:
            return operations.create(
                session,
                self.settings.request,
                operations.NewRequest(references, attributes),
                origin="test",
            ).sop_instance_uid

    def admit(
        self,
        instances: Sequence[SampleInstance],
        *,
        copies: int = 1,
        priority: Any = None,
        **attributes: Any,
    ) -> str:
        """A request that waits for the planner; its SOP Instance UID."""
        uid = self.create(instances, **attributes)
        with self.database.writing() as session:
            request = operations.initiate(
                session, RequestSettings(), uid, number_of_copies=copies, request_priority=priority
            )
            request.admitted_at = datetime.now(UTC)
        return uid

    def plan(self) -> None:
        """Plans the admitted requests."""
        planner = Planner(self.settings, self.database, self.spool)
        try:
            planner.tick()
        finally:
            planner.close()

    def request(self, uid: str) -> MediaCreationRequest:
        """A request with its references, failures, File-sets and pieces, as they are now."""
        with self.database.reading() as session:
            row = session.scalars(
                select(MediaCreationRequest).where(MediaCreationRequest.sop_instance_uid == uid)
            ).one()
            _ = row.references, row.failures
            for file_set in row.file_sets:
                _ = file_set.entries, file_set.pieces
            return row

    def events(self, uid: str, *, pieces: bool | None = None) -> list[tuple[str, str, str]]:
        """(event, before, after) of a request; `pieces` selects only those of pieces, or none."""
        with self.database.reading() as session:
            query = (
                select(Event)
                .join(MediaCreationRequest)
                .where(MediaCreationRequest.sop_instance_uid == uid)
                .order_by(Event.id)
            )
            if pieces is not None:
                query = query.where(
                    Event.piece_id.is_not(None) if pieces else Event.piece_id.is_(None)
                )
            return [(row.event, row.before, row.after) for row in session.scalars(query)]

    def count(self, table: type) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0


# --- rows without instances ----------------------------------------------------------------------


def add_request(
    session: Session,
    *,
    status: ExecutionStatus = ExecutionStatus.PENDING,
    volumes: int = 1,
    copies: int = 1,
    medium: str = "CD",
    size: int = 1000,
    **columns: Any,
) -> MediaCreationRequest:
    """A planned request with so many volumes, and a QUEUED piece for each copy of each volume."""
    now = datetime.now(UTC)
    flags = (
        "label_using_information_extracted_from_instances",
        "allow_media_splitting",
        "allow_lossy_compression",
        "include_display_application",
        "preserve_composite_instances_after_media_creation",
    )
    values: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "origin": "test",
        "execution_status": status,
        "execution_status_info": ExecutionStatusInfo.NORMAL,
        "include_non_dicom_objects": "NO",
        "number_of_copies": copies,
        "request_priority": "MED",
        "created_at": now,
        "initiated_at": now,
        "admitted_at": now,
        **dict.fromkeys(flags, "NO"),
        **columns,
    }
    request = MediaCreationRequest(**values)
    session.add(request)
    session.flush()
    for number in range(1, volumes + 1):
        file_set = FileSet(
            request_id=request.id,
            file_set_id=f"SET{number}",
            file_set_uid=new_uid(),
            volume_number=number,
            volume_count=volumes,
            media_application_profile="STD-GEN-CD",
            medium=medium,
            capacity=10**9,
            predicted_size=size,
            instances=0,
            planned_at=now,
        )
        session.add(file_set)
        session.flush()
        session.add_all(
            Piece(file_set_id=file_set.id, copy_number=copy, state=PieceState.QUEUED)
            for copy in range(1, copies + 1)
        )
    session.flush()
    session.expire(request)
    return request
