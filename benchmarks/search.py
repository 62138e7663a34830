"""Lists and searches of the desk with many requests, instances and pieces in one database.

python benchmarks/search.py --requests 10000 --instances 1000000 --pieces 1000000

`--only arrivals` has a question and a database of its own, with 51 large studies that have arrived.

The database is SQLite, or the PostgreSQL database of --url, empty or filled by this script before.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_FAMILY = (
    "Müller",
    "Schmidt",
    "Schneider",
    "Fischer",
    "Weber",
    "Meyer",
    "Wagner",
    "Becker",
    "Schulz",
    "Hoffmann",
    "Koch",
    "Bauer",
    "Richter",
    "Klein",
    "Wolf",
    "Schröder",
    "Neumann",
    "Schwarz",
    "Zimmermann",
    "Braun",
    "Krüger",
    "Hofmann",
    "García",
    "Nguyễn",
    "Kowalski",
    "Novák",
    "Øst",
)
_GIVEN = (
    "Anna",
    "Hans",
    "Maria",
    "Peter",
    "Ursula",
    "Klaus",
    "Monika",
    "Jürgen",
    "Petra",
    "Michael",
    "Elisabeth",
    "José",
    "Łukasz",
    "Zoë",
    "Björn",
)
#: Repetitions of each question: the 95th percentile is told.
_REPETITIONS = 40
#: The arrivals of `--only arrivals`: as many studies as a page asks for, with so many instances.
_LARGE_STUDIES = 51
_LARGE_STUDY = 5000
_NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _patient(number: int) -> tuple[str, str]:
    """Name and ID of a patient."""
    family = _FAMILY[number % len(_FAMILY)]
    given = _GIVEN[number // len(_FAMILY) % len(_GIVEN)]
    return f"{family}^{given}^{number // 1000}", f"{number:08d}"


def _instances(count: int, per_study: int) -> Iterator[dict[str, Any]]:
    """Rows of instances: `per_study` of each study, two studies of each patient."""
    from burnish.dicom_elements import encode

    for index in range(count):
        study, number = divmod(index, per_study)
        name, patient_id = _patient(study // 2)
        series = f"1.2.826.{study}.{number // 100}"
        yield {
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "sop_instance_uid": f"{series}.{number}",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "study_instance_uid": f"1.2.826.{study}",
            "series_instance_uid": series,
            "patient_id": patient_id,
            "issuer_of_patient_id": "",
            "patient_name": name,
            "study_date": f"{_NOW - timedelta(days=study % 1500):%Y%m%d}",
            "study_time": "101500",
            "modality": "CT",
            "series_number": number // 100,
            "instance_number": number,
            "directory_record_type": "IMAGE",
            "entity_keys": encode(0x00080050, b"SH", f"A{study:07d}".encode()),
            "record_keys": b"",
            "missing_keys": "",
            "limited_attributes": b"",
            "fault": "",
            "spool_key": f"s@{index}",
            "size": 525_000,
            "data_set_offset": 300,
            "digest": f"blake3:{index:064x}",
            "calling_ae_title": f"CT{study % 7}",
            "called_ae_title": "BURNISH",
            "received_at": _NOW + timedelta(seconds=study),
            "released_at": None,
            "replaced_at": None,
        }


def fill(database: Any, requests: int, instances: int, per_study: int = 100) -> None:
    """Insert instances as receivers do, and requests: each for one study, nine of ten are DONE."""
    from burnish.db.new_rows import NewRow
    from burnish.db.received_rows import RowRecorder

    recorder = RowRecorder(database, "newest")
    batch: list[NewRow] = []
    for row in _instances(instances, per_study):
        batch.append(NewRow.of(row))
        if len(batch) == 2000:
            recorder.record(batch, {}, lambda _key, _size: True)
            batch = []
    if batch:
        recorder.record(batch, {}, lambda _key, _size: True)
    studies = instances // per_study
    with database.connection() as connection:
        for number in range(1, requests + 1):
            study = number % (studies * 9 // 10)  # a tenth of the studies has no request
            _insert_request(connection, number, study, per_study)


def _insert_request(connection: Any, number: int, study: int, per_study: int) -> None:
    """A request with its references, plan, pieces and events."""
    mark = "%s" if connection.dialect.name == "postgresql" else "?"

    def run(statement: str, values: tuple[Any, ...]) -> None:
        connection.exec_driver_sql(statement.replace("?", mark), values)

    states = {0: "PENDING", 1: "FAILURE", 2: "IDLE", 3: "CREATING"}
    status = states.get(number % 40, "DONE")
    at = (_NOW + timedelta(minutes=number)).replace(tzinfo=None).isoformat(" ") + ".000000"
    run(
        "INSERT INTO media_creation_request (id, sop_instance_uid, origin, calling_ae_title,"
        " requested_by, execution_status, execution_status_info, remedy, specific_character_set,"
        " storage_media_file_set_id, storage_media_file_set_uid,"
        " label_using_information_extracted_from_instances, label_text, label_style_selection,"
        " barcode_value, barcode_symbology, media_disposition, recipients, password_file,"
        " allow_media_splitting, allow_lossy_compression, include_non_dicom_objects,"
        " include_display_application, preserve_composite_instances_after_media_creation,"
        " number_of_copies, request_priority, created_at, initiated_at, admitted_at, ended_at,"
        " device, standing_order) VALUES (?, ?, 'peer', ?, ?, ?, 'NORMAL', '', '', '', '', 'YES',"
        " '', '', ?, '', '', '', '', 'YES', 'NO', 'NO', 'NO', 'NO', 1, 'MED', ?, ?, ?, ?, '', '')",
        (
            number,
            f"1.2.840.{number}",
            f"PACS{number % 5}",
            f"AE PACS{number % 5}",
            status,
            f"BC{number}",
            at,
            at,
            at,
            at if status in ("DONE", "FAILURE") else None,
        ),
    )
    run(
        "INSERT INTO referenced_instance SELECT ?, id, sop_class_uid, sop_instance_uid, '', NULL"
        " FROM instance WHERE study_instance_uid = ?",
        (number, f"1.2.826.{study}"),
    )
    run(
        "INSERT INTO request_study SELECT ?, id FROM known_study WHERE study_instance_uid = ?",
        (number, f"1.2.826.{study}"),
    )
    for event in ("CREATED", "INITIATED", "ADMITTED", "PLANNED", "STARTED", "COMPLETED"):
        run(
            "INSERT INTO event (request_id, at, event, before, after, why)"
            " VALUES (?, ?, ?, '', 'X', 'because')",
            (number, at, event),
        )
    if status not in ("DONE", "CREATING"):
        return
    run(
        "INSERT INTO file_set (id, request_id, file_set_id, file_set_uid, volume_number,"
        " volume_count, media_application_profile, medium, capacity, predicted_size, instances,"
        " planned_at, readme_patients, readme_remarks) VALUES (?, ?, ?, ?, 1, 1, 'STD-GEN-CD',"
        " 'CD', 700000000, 53000000, ?, ?, ?, '')",
        (number, number, f"DISC{number}", f"1.2.841.{number}", per_study, at, False),
    )
    run(
        "INSERT INTO file_set_entry (file_set_id, ordinal, instance_id, referenced_file_id)"
        " SELECT ?, id, id, 'DICOM' FROM instance WHERE study_instance_uid = ?",
        (number, f"1.2.826.{study}"),
    )
    run(
        "INSERT INTO piece (id, file_set_id, copy_number, state, device, lease_owner, lease_epoch,"
        " attempts, created_at, custody, device_job) VALUES (?, ?, 1, ?, 'drive', '', 1, 1, ?,"
        " 'AGAIN', '')",
        (number, number, "CREATED" if status == "DONE" else "WRITING", at),
    )
    run(
        "INSERT INTO event (request_id, piece_id, at, event, before, after, why)"
        " VALUES (?, ?, ?, 'CLAIMED', 'QUEUED', 'IMAGING', '')",
        (number, number, at),
    )


def fill_register(database: Any, pieces: int, *, present: int) -> None:
    """Insert pieces of media, one each five minutes up to now, each with one study and its terms.

    The first half was made by "robot1" and "robot2", which are gone; "drive" has spoiled none.
    As many as `present` are there already.
    """
    from sqlalchemy import insert

    from burnish.db.tables import RegisteredPiece, RegisteredStudy, RegisterTerm
    from burnish.folding import terms
    from burnish.vocabulary import PieceState

    for first in range(present + 1, pieces + 1, 20_000):
        rows, studies, words = [], [], []
        for number in range(first, min(first + 20_000, pieces + 1)):
            name, patient_id = _patient(number // 3)
            is_old = number <= pieces // 2
            device = ("robot1", "robot2")[number % 2] if is_old else ("drive", "epson")[number % 2]
            state = PieceState.CREATED
            if device != "drive" and number % 50 < 2:
                state = PieceState.SPOILED
            label = "ARCHIVE COPY" if number <= pieces // 20 else ""
            row = _registered_piece(number, _NOW - timedelta(minutes=5 * (pieces - number)))
            rows.append({**row, "device": device, "state": state, "label_text": label})
            studies.append(_registered_study(number, name, patient_id))
            texts = f"D{number:07d} B{number:08d} {label} {name} {patient_id} A{number:07d}"
            words += [{"term": term, "registered_piece_id": number} for term in terms(texts)]
        with database.writing() as session:
            session.execute(insert(RegisteredPiece), rows)
            session.execute(insert(RegisteredStudy), studies)
            session.execute(insert(RegisterTerm), words)


def _registered_piece(number: int, ended_at: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "request_id": number,
        "piece_id": number,
        "request_sop_instance_uid": f"1.2.843.{number}",
        "requested_by": f"AE PACS{number % 5}",
        "ended_at": ended_at,
        "why": "",
        "medium_begun": True,
        "verified": "read back, compared byte for byte, SHA-256",
        "file_set_id": f"D{number:07d}",
        "file_set_uid": f"1.2.844.{number}",
        "volume_number": 1,
        "volume_count": 1,
        "copy_number": 1,
        "number_of_copies": 1,
        "media_application_profile": "STD-GEN-CD",
        "medium": "CD",
        "size": 53_000_000,
        "instances": 100,
        "barcode_value": f"B{number:08d}",
        "media_disposition": "",
    }


def _registered_study(number: int, patient_name: str, patient_id: str) -> dict[str, Any]:
    return {
        "registered_piece_id": number,
        "ordinal": 0,
        "patient_id": patient_id,
        "issuer_of_patient_id": "",
        "patient_name": patient_name,
        "patient_birth_date": "19700101",
        "study_instance_uid": f"1.2.845.{number // 3}",
        "study_date": "20250101",
        "study_description": "CT of the chest",
        "accession_number": f"A{number:07d}",
        "modalities": "CT",
        "instances": 100,
    }


def register_questions(pieces: int) -> dict[str, Callable[[Any], object]]:
    """The lists and searches of the register of media."""
    from burnish import register
    from burnish.register import RegisterFilter

    chance = random.Random(2)

    def some() -> int:
        return 1 + chance.randrange(pieces)

    def by(**fields: Callable[[], Any]) -> Callable[[Any], object]:
        def ask(session: Any) -> object:
            criteria = {key: value() for key, value in fields.items()}
            return register.entries(session, RegisterFilter(**criteria), limit=51)

        return ask

    def a_time() -> datetime:
        return _NOW - timedelta(minutes=5 * some())

    def name() -> str:
        return _patient(some() // 3)[0].replace("^", " ")

    def page_of(**fields: Any) -> Callable[[Any], object]:
        return lambda session: register.entries(
            session, RegisterFilter(**fields), limit=51, before=some()
        )

    return {
        "register, newest 50": by(),
        "register, a page in the middle": page_of(),
        "register: number of pieces": register.count,
        "register: patient's name": by(text=name),
        "register: family name": by(text=lambda: chance.choice(_FAMILY)),
        "register: family name, page in the middle": page_of(text="Fischer"),
        "register: prefix of family names": by(
            text=lambda: chance.choice(("sch", "ho", "w", "ko"))
        ),
        "register: one letter": by(text=lambda: chance.choice("abdghkmpsü0")),
        "register: two letters": by(text=lambda: "m s"),
        "register: two names seldom together": by(text=lambda: f"Wolf {some() // 3000}"),
        "register: a label of old pieces only": by(text=lambda: "archive copy"),
        "register: letter of old pieces only": by(text=lambda: "arch"),
        "register: Patient ID": by(patient=lambda: _patient(some() // 3)[1]),
        "register: prefix of Patient IDs": by(text=lambda: f"{chance.randrange(40):05d}"),
        "register: Accession Number": by(text=lambda: f"A{some():07d}"),
        "register: bar code": by(barcode=lambda: f"B{some():08d}"),
        "register: File-set ID": by(file_set=lambda: f"D{some():07d}"),
        "register: study": by(study_instance_uid=lambda: f"1.2.845.{some() // 3}"),
        "register: device": by(device=lambda: chance.choice(("drive", "robot1", "none"))),
        "register: spoiled": by(outcome=lambda: "spoiled"),
        "register: device and outcome": by(device=lambda: "robot2", outcome=lambda: "spoiled"),
        "register: device and outcome, no match": by(
            device=lambda: "drive", outcome=lambda: "spoiled"
        ),
        "register: family name, device, no match": by(
            text=lambda: chance.choice(_FAMILY), device=lambda: "none"
        ),
        "register: family name of an old device": by(
            text=lambda: chance.choice(_FAMILY), device=lambda: "robot1"
        ),
        "register: family name, since": by(text=lambda: chance.choice(_FAMILY), since=a_time),
        "register: family name, until": by(text=lambda: chance.choice(_FAMILY), until=a_time),
        "register: one letter, until": by(text=lambda: chance.choice("akmps"), until=a_time),
        "register: a day": by(since=a_time, until=a_time),
        "register: nothing matches": by(text=lambda: "xyzzy plugh"),
        "register: a letter and no match": by(text=lambda: "m xyzzy"),
        "register: one piece": lambda session: register.entry(session, f"M{some():06d}"),
    }


def questions(requests: int, instances: int) -> dict[str, Callable[[Any], object]]:
    """Each list and search by its name, with other values each time."""
    from burnish import search
    from burnish.request import arrivals, instance_listing, listing
    from burnish.request.listing import RequestFilter
    from burnish.request.views import RequestGroup

    chance = random.Random(1)
    studies = instances // 100

    def some(most: int) -> int:
        return chance.randrange(most)

    def name() -> str:
        return _patient(some(studies // 2))[0].replace("^", " ").rpartition(" ")[0]

    def requests_by(**fields: Any) -> Callable[[Any], object]:
        def ask(session: Any) -> object:
            given = {key: value() for key, value in fields.items()}
            return listing.requests(session, RequestFilter(**given), limit=50)

        return ask

    def box(text: Callable[[], str]) -> Callable[[Any], object]:
        return lambda session: search.search(session, text())

    def date() -> str:
        return f"{_NOW - timedelta(days=some(1500)):%Y-%m-%d}"

    return {
        "requests, newest 50": lambda session: listing.requests(session, limit=50),
        "requests, a page in the middle": lambda session: listing.requests(
            session, limit=50, before=f"R{1 + some(requests):06d}"
        ),
        "requests that have failed": requests_by(group=lambda: RequestGroup.FAILED),
        "requests that need a person": requests_by(group=lambda: RequestGroup.NEEDS_PERSON),
        "requests of a patient's name": requests_by(patient=name),
        "requests of a family name": requests_by(patient=lambda: chance.choice(_FAMILY)),
        "requests of a Patient ID": requests_by(patient=lambda: _patient(some(studies // 2))[1]),
        "requests of an Accession Number": requests_by(
            accession_number=lambda: f"A{some(studies):07d}"
        ),
        "requests of a study date": requests_by(study_date=date),
        "requests of a year of studies": requests_by(study_date=lambda: "2025-01-01..2025-12-31"),
        "requests of a device": requests_by(device=lambda: "drive"),
        "requests of an AE": requests_by(calling_ae_title=lambda: "PACS3"),
        "numbers of requests by group": listing.counts,
        "one request": lambda session: listing.show(session, f"R{1 + some(requests):06d}"),
        "box: patient's name": box(name),
        "box: family name": box(lambda: chance.choice(_FAMILY)),
        "box: one letter": box(lambda: chance.choice("abghkmps")),
        "box: Patient ID": box(lambda: _patient(some(studies // 2))[1]),
        "box: Accession Number": box(lambda: f"A{some(studies):07d}"),
        "box: study date": box(date),
        "box: a year": box(lambda: "2025-01-01..2025-12-31"),
        "box: Study Instance UID": box(lambda: f"1.2.826.{some(studies)}"),
        "box: SOP Instance UID": box(lambda: f"1.2.826.{some(studies)}.0.{some(100)}"),
        "box: request": box(lambda: f"R{1 + some(requests):06d}"),
        "box: File-set ID": box(lambda: f"DISC{1 + some(requests)}"),
        "box: bar code": box(lambda: f"BC{1 + some(requests)}"),
        "box: AE title": box(lambda: "PACS3"),
        "box: nothing matches": box(lambda: "xyzzy plugh"),
        "arrivals, newest 50": lambda session: arrivals.arrivals(session, limit=50),
        "priors of a patient": lambda session: arrivals.priors(session, [1 + some(studies)]),
        "instances, newest 100": instance_listing.instances,
        "instances of a study": lambda session: instance_listing.instances(
            session, study_instance_uid=f"1.2.826.{some(studies)}"
        ),
    }


def arrivals_questions() -> dict[str, Callable[[Any], object]]:
    """The arrivals where all studies are large."""
    from burnish.request import arrivals

    return {
        "arrivals, large studies": lambda session: arrivals.arrivals(session, limit=_LARGE_STUDIES)
    }


def measure(
    database: Any, asked: dict[str, Callable[[Any], object]]
) -> dict[str, tuple[float, float]]:
    """The 95th percentile of each question in milliseconds: elapsed, and CPU.

    The CPU time of PostgreSQL is that of the process that serves the session.
    """
    figures = {}
    for name, ask in asked.items():
        elapsed, cpu = [], []
        for _ in range(_REPETITIONS):
            with database.reading() as session:
                server = _server_process(session)
                began, began_cpu = time.perf_counter(), time.process_time() + _cpu_of(server)
                ask(session)
                elapsed.append((time.perf_counter() - began) * 1000)
                used = time.process_time() + _cpu_of(server) - began_cpu
                cpu.append(used * 1000)
        figures[name] = (_p95(elapsed), _p95(cpu))
        print(f"{name:<42} {figures[name][0]:8.1f} {figures[name][1]:8.1f}", flush=True)
    return figures


def _server_process(session: Any) -> int | None:
    """The process of PostgreSQL that serves the session; None for SQLite."""
    from sqlalchemy import text

    if session.get_bind().dialect.name != "postgresql":
        return None
    return int(session.scalar(text("SELECT pg_backend_pid()")))


def _cpu_of(process: int | None) -> float:
    """Seconds of CPU that a process of this machine has used."""
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _last_id(database: Any, table: Any) -> int:
    from sqlalchemy import func, select

    with database.reading() as session:
        return int(session.scalar(select(func.max(table.id))) or 0)


def main() -> None:
    """Fill a database, ask all questions, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--pieces", type=int, default=1_000_000, help="in the register of media")
    parser.add_argument("--only", choices=("desk", "register", "arrivals"))
    parser.add_argument("--storage", type=Path, default=None, help="keep the database here")
    parser.add_argument("--url", default="", help="a PostgreSQL database instead of SQLite")
    options = parser.parse_args()
    from burnish.db import schema
    from burnish.db.session import Database
    from burnish.db.tables import Instance, MediaCreationRequest, RegisteredPiece

    directory = options.storage or Path(tempfile.mkdtemp(prefix="search-"))
    directory.mkdir(parents=True, exist_ok=True)
    url = options.url or f"sqlite:///{directory / 'burnish.db'}"
    schema.upgrade(url)
    database = Database(url, durable=False)
    asked: dict[str, Callable[[Any], object]] = {}
    if options.only == "arrivals":
        asked |= arrivals_questions()
        if not _last_id(database, Instance):
            fill(database, 0, _LARGE_STUDIES * _LARGE_STUDY, per_study=_LARGE_STUDY)
    if options.only in (None, "desk"):
        asked |= questions(options.requests, options.instances)
        if not _last_id(database, MediaCreationRequest):
            fill(database, options.requests, options.instances)
    if options.only in (None, "register"):
        asked |= register_questions(options.pieces)
        fill_register(database, options.pieces, present=_last_id(database, RegisteredPiece))
    print(f"{'p95 in ms':<42} {'elapsed':>8} {'CPU':>8}")
    measure(database, asked)
    database.close()
    if options.storage is None:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
