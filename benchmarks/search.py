"""The lists and searches of the desk, with many requests and instances in one SQLite database.

python benchmarks/search.py --requests 10000 --instances 1000000
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


def fill(database: Any, requests: int, instances: int) -> None:
    """Insert instances as receivers do, and requests: each for one study, nine of ten are DONE."""
    from burnish.db.received_rows import RowRecorder

    per_study = 100
    recorder = RowRecorder(database, "newest")
    batch: list[dict[str, Any]] = []
    for row in _instances(instances, per_study):
        batch.append(row)
        if len(batch) == 2000:
            recorder.record(batch, {}, lambda _key, _size: True)
            batch = []
    recorder.record(batch, {}, lambda _key, _size: True)
    studies = instances // per_study
    with database.connection() as connection:
        for number in range(1, requests + 1):
            study = number % (studies * 9 // 10)  # a tenth of the studies has no request
            _insert_request(connection, number, study, per_study)


def _insert_request(connection: Any, number: int, study: int, per_study: int) -> None:
    """A request with its references, plan, pieces and events."""
    run = connection.exec_driver_sql
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
        " 'CD', 700000000, 53000000, ?, ?, 0, '')",
        (number, number, f"DISC{number}", f"1.2.841.{number}", per_study, at),
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


def measure(database: Any, requests: int, instances: int) -> dict[str, tuple[float, float]]:
    """The 95th percentile of each question in milliseconds: elapsed, and CPU."""
    figures = {}
    for name, ask in questions(requests, instances).items():
        elapsed, cpu = [], []
        for _ in range(_REPETITIONS):
            began, began_cpu = time.perf_counter(), time.process_time()
            with database.reading() as session:
                ask(session)
            elapsed.append((time.perf_counter() - began) * 1000)
            cpu.append((time.process_time() - began_cpu) * 1000)
        figures[name] = (_p95(elapsed), _p95(cpu))
        print(f"{name:<34} {figures[name][0]:8.1f} {figures[name][1]:8.1f}", flush=True)
    return figures


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def main() -> None:
    """Fill a database, ask all questions, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--storage", type=Path, default=None, help="keep the database here")
    options = parser.parse_args()
    from burnish.db import schema
    from burnish.db.session import Database

    directory = options.storage or Path(tempfile.mkdtemp(prefix="search-"))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "burnish.db"
    is_new = not path.exists()
    url = f"sqlite:///{path}"
    schema.upgrade(url)
    database = Database(url, durable=False)
    if is_new:
        began = time.process_time()
        fill(database, options.requests, options.instances)
        print(f"filled in {time.process_time() - began:.0f} s of CPU, {path.stat().st_size:,} B")
    print(f"{'p95 in ms':<34} {'elapsed':>8} {'CPU':>8}")
    measure(database, options.requests, options.instances)
    database.close()
    if options.storage is None:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
