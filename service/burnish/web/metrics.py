"""Surface: `/metrics` for Prometheus, `/healthz` and `/readyz`."""

from collections.abc import Iterator, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from burnish import __version__, counters, measures
from burnish.db import tallies
from burnish.measures import Counted, Measures
from burnish.vocabulary import OPEN_STATES, ExecutionStatusInfo, PieceState
from burnish.web.access import Permission, needs
from burnish.web.context import context_of

router = APIRouter()


@router.get("/metrics", dependencies=[needs(Permission.SEE)])
def metrics(request: Request) -> Response:
    """All measures in the text format of Prometheus. A token of any role is sufficient."""
    context = context_of(request)
    with context.database.reading() as session:
        measured = measures.measure(session, context.settings)
    return Response(exposition(measured), media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz", dependencies=[needs(Permission.OPEN)])
def healthz() -> Response:
    """Whether this process answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", dependencies=[needs(Permission.OPEN)])
def readyz(request: Request) -> Response:
    """Whether database, storage and disk let the service work; 503 if not."""
    context = context_of(request)
    conditions = measures.readiness(context.database, context.settings)
    is_ready = not any(condition.problem and condition.prevents_work for condition in conditions)
    return JSONResponse(
        {
            "ready": is_ready,
            "checks": {condition.name: condition.problem or "ok" for condition in conditions},
        },
        status_code=200 if is_ready else 503,
    )


def exposition(measured: Measures) -> bytes:
    """Measures in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_MeasuresCollector(measured))
    return generate_latest(registry)


class _MeasuresCollector(Collector):
    def __init__(self, measured: Measures) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        yield from _receiving(self._measured)
        yield from _making(self._measured)
        yield from _open_work(self._measured)
        yield from _equipment(self._measured)
        yield from _telling(self._measured)


def _receiving(measured: Measures) -> Iterator[Metric]:
    received = _of(measured.tallies, tallies.RECEIVED)
    instances = CounterMetricFamily(
        "burnish_instances_received",
        "Instances that were received and have a row.",
        labels=["calling_ae_title"],
    )
    size = CounterMetricFamily(
        "burnish_received_bytes", "Bytes of these instances.", labels=["calling_ae_title"]
    )
    for title, counted in received.items():
        instances.add_metric([title], counted.count)
        size.add_metric([title], counted.amount)
    yield instances
    yield size
    yield _counter(
        measured,
        counters.RESPONSES,
        "burnish_store_responses",
        "C-STORE responses by peer and status.",
        ["peer", "status"],
    )
    yield _counter(
        measured,
        counters.ASSOCIATIONS,
        "burnish_associations",
        "Accepted associations by peer.",
        ["peer"],
    )
    yield _counter(
        measured,
        counters.REJECTIONS,
        "burnish_association_rejections",
        "Rejected associations, and connections without one, by reason.",
        ["reason"],
    )
    histogram = HistogramMetricFamily(
        "burnish_receive_seconds",
        "From the command of a C-STORE until the instance is safely on disk.",
    )
    buckets = {
        key[1]: counted
        for key, counted in measured.counters.items()
        if key[0] == counters.RECEIVE_SECONDS
    }
    _add_buckets(histogram, [], buckets, counters.RECEIVE_BUCKETS)
    yield histogram


def _making(measured: Measures) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "burnish_requests_ended", "Requests that ended, by status.", labels=["status"]
    )
    for status, counted in _of(measured.tallies, tallies.REQUESTS).items():
        ended.add_metric([status], counted.count)
    yield ended
    pieces = CounterMetricFamily(
        "burnish_pieces_ended",
        "Pieces of media that were created or spoiled, by device.",
        labels=["state", "device"],
    )
    for label, counted in _of(measured.tallies, tallies.PIECES).items():
        pieces.add_metric(label.split(tallies.SEPARATOR, 1), counted.count)
    yield pieces
    retries = CounterMetricFamily(
        "burnish_piece_retries", "Pieces made in place of ruined ones.", labels=["device"]
    )
    for device, counted in _of(measured.tallies, tallies.RETRIES).items():
        retries.add_metric([device], counted.count)
    yield retries
    conversions = CounterMetricFamily(
        "burnish_conversions", "Converted instances by transfer syntax.", labels=["transfer_syntax"]
    )
    for syntax, counted in _of(measured.tallies, tallies.CONVERSIONS).items():
        conversions.add_metric([syntax], counted.count)
    yield conversions
    steps = HistogramMetricFamily(
        "burnish_step_seconds",
        "The steps of a request: wait (initiated until begun), plan, image, burn, verify.",
        labels=["step"],
    )
    buckets: dict[str, dict[str, Counted]] = {}
    for label, counted in _of(measured.tallies, tallies.STEPS).items():
        step, bound = label.split(tallies.SEPARATOR, 1)
        buckets.setdefault(step, {})[bound] = counted
    for step, of_step in buckets.items():
        _add_buckets(steps, [step], of_step, tallies.BUCKETS)
    yield steps


def _open_work(measured: Measures) -> Iterator[Metric]:
    requests = GaugeMetricFamily(
        "burnish_requests", "Open requests by status and info.", labels=["status", "info"]
    )
    none = {(open_state.value, ExecutionStatusInfo.NORMAL.value): 0 for open_state in OPEN_STATES}
    for (status, info), count in (none | measured.requests).items():
        requests.add_metric([status, info], count)
    yield requests
    oldest = GaugeMetricFamily(
        "burnish_oldest_request_seconds",
        "The age of the oldest open request by status; 0 if there is none.",
        labels=["status"],
    )
    for open_state in OPEN_STATES:
        oldest.add_metric([open_state], measured.oldest.get(open_state, 0.0))
    yield oldest
    pieces = GaugeMetricFamily(
        "burnish_pieces", "Pieces that are kept, by state.", labels=["state"]
    )
    for piece_state in PieceState:
        pieces.add_metric([piece_state], measured.pieces.get(piece_state, 0))
    yield pieces


def _equipment(measured: Measures) -> Iterator[Metric]:
    works = GaugeMetricFamily(
        "burnish_device_works", "1 if a device works, 0 if it is held up.", labels=["device"]
    )
    paused = GaugeMetricFamily("burnish_device_paused", "1 if it is paused.", labels=["device"])
    silent = GaugeMetricFamily(
        "burnish_device_silent", "1 if its writer gives no sign of life.", labels=["device"]
    )
    for device, is_working in measured.devices.items():
        works.add_metric([device], int(is_working))
        paused.add_metric([device], int(measured.paused[device]))
        silent.add_metric([device], int(measured.silent[device]))
    yield works
    yield paused
    yield silent
    yield GaugeMetricFamily(
        "burnish_scheduler_silent",
        "1 if the scheduler gives no sign of life.",
        int(measured.scheduler_is_silent),
    )
    for name, text, value in (
        ("commitments_open", "Storage Commitments without a report.", measured.open_commitments),
        ("registered_media", "Pieces in the register of media.", measured.registered),
        ("disk_bytes", "The size of the disk of the storage root.", measured.disk_total),
        ("disk_free_bytes", "What is free of it.", measured.disk_free),
        (
            "disk_high_water_ratio",
            "The share in use above which nothing is received.",
            measured.high_water,
        ),
        (
            "bytes_without_rows",
            "Received bytes that have no rows yet.",
            measured.bytes_without_rows,
        ),
    ):
        yield GaugeMetricFamily(f"burnish_{name}", text, value=value)
    build = GaugeMetricFamily("burnish_build_info", "The version.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build


def _telling(measured: Measures) -> Iterator[Metric]:
    open_notices = GaugeMetricFamily(
        "burnish_notices_open", "Notices that people were told of, by cause.", labels=["cause"]
    )
    for cause, count in measured.notices.open.items():
        open_notices.add_metric([cause], count)
    yield open_notices
    waiting = GaugeMetricFamily(
        "burnish_notices_waiting",
        "Beginnings and ends that a receiver has not taken yet.",
        labels=["receiver"],
    )
    works = GaugeMetricFamily(
        "burnish_notice_receiver_works",
        "1 if a receiver took the last message, 0 if it did not.",
        labels=["receiver"],
    )
    for receiver, count in measured.notices.waiting.items():
        waiting.add_metric([receiver], count)
        works.add_metric([receiver], int(not measured.notices.failing[receiver]))
    yield waiting
    yield works
    attempts = CounterMetricFamily(
        "burnish_notice_attempts",
        "Attempts to send a message, by receiver and outcome: sent, failed.",
        labels=["receiver", "outcome"],
    )
    for label, counted in _of(measured.tallies, tallies.MESSAGES).items():
        attempts.add_metric(label.split(tallies.SEPARATOR, 1), counted.count)
    yield attempts


def _of(counts: Mapping[tuple[str, str], Counted], name: str) -> dict[str, Counted]:
    """The tallies of a name, by label."""
    return {label: counted for (of_name, label), counted in counts.items() if of_name == name}


def _counter(
    measured: Measures, name: str, metric: str, text: str, labels: list[str]
) -> CounterMetricFamily:
    family = CounterMetricFamily(metric, text, labels=labels)
    for key, counted in measured.counters.items():
        if key[0] == name:
            family.add_metric(list(key[1:]), counted.count)
    return family


def _add_buckets(
    family: HistogramMetricFamily,
    labels: list[str],
    counts: Mapping[str, Counted],
    bounds: tuple[float, ...],
) -> None:
    """Add the cumulative buckets of a histogram."""
    total = 0
    buckets = []
    for bound in [*(f"{bound:g}" for bound in bounds), "+Inf"]:
        total += counts[bound].count if bound in counts else 0
        buckets.append((bound, total))
    family.add_metric(labels, buckets, sum(counted.amount for counted in counts.values()))
