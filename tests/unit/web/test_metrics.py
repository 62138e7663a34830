"""`/metrics`, `/healthz` and `/readyz`."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, select, update

from burnish import measures, retention
from burnish.counters import COUNTERS_FOLDER, RESPONSES, Counters
from burnish.db import devices, queue, tallies
from burnish.db.history import move, move_piece
from burnish.db.tables import ApiToken, HourlyRate, Piece
from burnish.lifecycle import PieceEvent, RequestEvent
from burnish.receive import Receiver
from burnish.settings import RetentionSettings
from burnish.values import AccountRole
from burnish.vocabulary import ExecutionStatusInfo
from factories import add_request, instance
from web_client import WebGround


def scraped(web: WebGround) -> dict[tuple[str, ...], float]:
    """What a program with the token of a viewer reads: values by name and sorted labels."""
    with web.database.writing() as session:
        session.execute(delete(ApiToken))
    answer = web.token(AccountRole.VIEWER).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_need_a_token(web: WebGround) -> None:
    assert web.client().get("/metrics").status_code == 401
    assert web.token(AccountRole.VIEWER, expired=True).get("/metrics").status_code == 401


def test_received_instances_are_counted_with_their_rows(web: WebGround) -> None:
    receiver = Receiver(web.database, web.spool, same_uid="newest")
    samples = [instance() for _ in range(3)]
    for sample in samples:
        receiver.receive(sample.arriving(calling_ae_title="CT1"))
    receiver.receive(samples[0].arriving(calling_ae_title="CT1"))  # the same again is no new row
    receiver.receive(instance().arriving(calling_ae_title='M"R\\1'))
    receiver.index()
    receiver.close()
    values = scraped(web)
    assert values["burnish_instances_received_total", "CT1"] == 3
    assert values["burnish_instances_received_total", 'M"R\\1'] == 1
    assert values["burnish_received_bytes_total", "CT1"] > 600


def test_requests_and_pieces_are_counted_as_they_end(web: WebGround) -> None:
    with web.database.writing() as session:
        request = add_request(session)
        move(session, request, RequestEvent.STARTED)
        piece = session.get_one(Piece, 1)
        steps = (PieceEvent.CLAIMED, PieceEvent.IMAGED, PieceEvent.RUINED)
        for event in steps:
            move_piece(session, piece, event, request_id=request.id, device="outbox")
        queue.replace(session, piece)
        again = session.get_one(Piece, 2)
        for event in (*steps[:2], PieceEvent.WRITTEN, PieceEvent.VERIFIED):
            move_piece(session, again, event, request_id=request.id, device="outbox")
        move(session, request, RequestEvent.COMPLETED)
        add_request(session, created_at=datetime.now(UTC) - timedelta(minutes=10))
    values = scraped(web)
    assert values["burnish_requests_ended_total", "DONE"] == 1
    assert values["burnish_pieces_ended_total", "outbox", "CREATED"] == 1
    assert values["burnish_pieces_ended_total", "outbox", "SPOILED"] == 1
    assert values["burnish_piece_retries_total", "outbox"] == 1
    assert values["burnish_step_seconds_count", "image"] == 2
    assert values["burnish_step_seconds_count", "verify"] == 1
    assert values["burnish_step_seconds_bucket", "+Inf", "wait"] == 1
    assert values["burnish_requests", "NORMAL", "PENDING"] == 1
    assert values["burnish_oldest_request_seconds", "PENDING"] >= 600
    assert values["burnish_oldest_request_seconds", "IDLE"] == 0
    assert values["burnish_pieces", "QUEUED"] == 1
    assert values[("burnish_registered_media",)] == 2


def test_what_is_rolled_back_is_not_counted(web: WebGround) -> None:
    with web.database.writing() as session:
        tallies.add(session, tallies.REQUESTS, "DONE")
        session.rollback()
    assert ("burnish_requests_ended_total", "DONE") not in scraped(web)


def test_devices_have_their_state(web: WebGround) -> None:
    assert scraped(web)["burnish_device_works", "outbox"] == 1
    with web.database.writing() as session:
        devices.tell(session, "outbox", ExecutionStatusInfo.OUT_OF_SUPPLIES, "empty")
    values = scraped(web)
    assert values["burnish_device_works", "outbox"] == 0
    assert values["burnish_device_paused", "outbox"] == 0
    with web.database.writing() as session:
        devices.pause(session, "outbox")
    assert scraped(web)["burnish_device_paused", "outbox"] == 1


def test_the_counts_of_receivers_are_summed(web: WebGround) -> None:
    folder = web.settings.storage.root / COUNTERS_FOLDER
    for name in ("receiver-0", "receiver-1"):
        counters = Counters(folder, name)
        counters.add((RESPONSES, "CT1", "A700"))
        counters.close()
    assert scraped(web)["burnish_store_responses_total", "CT1", "A700"] == 2


def test_rates_of_each_hour_are_kept_for_13_months(web: WebGround) -> None:
    with web.database.writing() as session:
        tallies.add(session, tallies.REQUESTS, "DONE", 0)
        tallies.add(session, tallies.REQUESTS, "DONE", 0)
    now = datetime.now(UTC)
    with web.database.reading() as session:
        (rate,) = measures.rates(session, since=now - timedelta(hours=2))
    assert (rate.name, rate.label, rate.count) == (tallies.REQUESTS, "DONE", 2)
    assert now - timedelta(hours=2) < rate.hour <= now
    for hours, kept in ((tallies.HOURS_KEPT - 2, 1), (3, 0)):
        with web.database.writing() as session:
            session.execute(update(HourlyRate).values(hour=HourlyRate.hour - hours))
        retention.release(web.database, web.spool, RetentionSettings())
        with web.database.reading() as session:
            assert len(session.scalars(select(HourlyRate)).all()) == kept
    assert scraped(web)["burnish_requests_ended_total", "DONE"] == 2


def test_a_service_that_can_work_is_ready(web: WebGround) -> None:
    assert web.client().get("/healthz").text == "ok\n"
    answer = web.client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {"database": "ok", "storage": "ok", "disk": "ok", "scheduler": "ok"},
    }


def test_a_service_that_cannot_work_is_not_ready(tmp_path: Path) -> None:
    with WebGround(tmp_path / "storage") as web:
        for name in os.listdir(tmp_path / "storage"):
            if name.startswith("burnish.db"):
                (tmp_path / "storage" / name).unlink()
        web.database.close()
        answer = web.client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["checks"]["database"] != "ok"
