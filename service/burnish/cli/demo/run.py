"""Surface: the steps of the demo, and what it prints."""

import contextlib
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from pydicom.dataset import Dataset
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from burnish.cli import exits, output
from burnish.cli.demo.media import DemoVolume, finished_volumes
from burnish.cli.demo.peer import DemoPeer
from burnish.cli.demo.service import DemoService
from burnish.cli.demo.studies import StudyGroup, count_patients, study_groups
from burnish.errors import OperatorError
from burnish.identifiers import new_uid
from burnish.vocabulary import ExecutionStatus
from burnish.wording import quantity

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Columns of output that is not a terminal.
_OUTPUT_WIDTH = 132
#: Seconds in which all requests must end, also on a loaded machine.
_TIMEOUT = 900.0
_POLL_INTERVAL = 0.2
#: The statuses before the end, in their order.
_STATUSES_IN_PROGRESS = (
    ExecutionStatus.IDLE,
    ExecutionStatus.PENDING,
    ExecutionStatus.CREATING,
)


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One request of the demo. `must_fail` marks the one whose instance nobody sends."""

    title: str
    uid: str
    must_fail: bool = False


def run(directory: Path, volume_size: int, *, keep_running: bool) -> int:
    """Run the demo in `directory` and return its exit code."""
    console = output.console(width=_OUTPUT_WIDTH)
    service = DemoService(directory, volume_size)
    peer = DemoPeer(service.port)
    service.prepare()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    size = output.format_size(volume_size)
    console.print(f"Burnish in {directory}/, with volumes of {size}", style="bold")
    try:
        process_id = service.start(peer)
        console.print(f"  service   burnish serve --config {service.config} (process {process_id})")
        console.print(f"  answers   C-ECHO as BURNISH on 127.0.0.1:{service.port}")
        console.print(f"  page      {service.page_address()}", soft_wrap=True)
        console.print("            (this link sets the password of its administrator, once)")
        groups = study_groups()
        _send(console, peer, groups)
        requests = _request_media(console, peer, groups)
        attributes_by_uid = _follow(console, peer, requests)
        code = _report(console, service, requests, attributes_by_uid)
        if keep_running:
            _keep_running(console, service)
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    finally:
        service_exit_code = service.stop()
    console.print(f"\nThe service has stopped with exit code {service_exit_code}.")
    if code == exits.SUCCESS and service_exit_code != 0:
        return exits.EXITS[OperatorError]
    return code


def _send(console: Console, peer: DemoPeer, groups: Sequence[StudyGroup]) -> None:
    started = monotonic()
    statuses = []
    for group in groups:
        statuses += peer.store(group.instances)
    instances = [instance for group in groups for instance in group.instances]
    console.print(
        f"  C-STORE   {len(instances)} instances of {count_patients(instances)} patients"
        f" in {monotonic() - started:.1f} s"
    )
    failures = len(statuses) - statuses.count(0)
    if failures:
        raise OperatorError(f"C-STORE failed for {quantity(failures, 'instance')}")


def _request_media(
    console: Console, peer: DemoPeer, groups: Sequence[StudyGroup]
) -> list[DemoRequest]:
    requests = []
    for group in groups:
        references = [
            (instance.SOPClassUID, instance.SOPInstanceUID) for instance in group.instances
        ]
        title = f"{group.title}: {group.modalities}"
        requests.append(DemoRequest(title, peer.request_media(references)))
    never_sent = (_CT_IMAGE_STORAGE, new_uid())
    requests.append(
        DemoRequest("an instance nobody has sent", peer.request_media([never_sent]), must_fail=True)
    )
    console.print(f"  N-CREATE  {len(requests)} requests, each initiated with N-ACTION\n")
    return requests


def _follow(
    console: Console, peer: DemoPeer, requests: Sequence[DemoRequest]
) -> dict[str, Dataset]:
    """Poll with N-GET until every request has ended; return the attributes of each by its UID.

    Shows a bar per request on a terminal; otherwise prints a line for each change of status.
    """
    columns = (
        TextColumn("  {task.fields[status]:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    pause = threading.Event()
    started = monotonic()
    previous_statuses: dict[str, str] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bars_by_uid = {
            request.uid: bars.add_task(
                request.title, total=len(_STATUSES_IN_PROGRESS), status="IDLE"
            )
            for request in requests
        }
        while True:
            attributes_by_uid = peer.get_attributes(bars_by_uid)
            elapsed = monotonic() - started
            for request in requests:
                status = str(attributes_by_uid[request.uid].ExecutionStatus)
                bars.update(
                    bars_by_uid[request.uid], completed=_completed_steps(status), status=status
                )
                if status != previous_statuses.get(request.uid) and not console.is_terminal:
                    console.print(
                        f"  {elapsed:5.1f} s  {status:<9} {request.title}", soft_wrap=True
                    )
                previous_statuses[request.uid] = status
            if all(_has_ended(attributes) for attributes in attributes_by_uid.values()):
                return attributes_by_uid
            if elapsed > _TIMEOUT:
                raise OperatorError("the requests do not end", hint="see burnish.log")
            pause.wait(_POLL_INTERVAL)


def _completed_steps(status: str) -> int:
    if status in _STATUSES_IN_PROGRESS:
        return _STATUSES_IN_PROGRESS.index(ExecutionStatus(status))
    return len(_STATUSES_IN_PROGRESS)


def _has_ended(attributes: Dataset) -> bool:
    return attributes.ExecutionStatus in (ExecutionStatus.DONE, ExecutionStatus.FAILURE)


def _report(
    console: Console,
    service: DemoService,
    requests: Sequence[DemoRequest],
    attributes_by_uid: dict[str, Dataset],
) -> int:
    """Print what was made and what failed; return the exit code of the demo."""
    volumes = finished_volumes(service.outbox)
    console.print()
    console.print(_volume_table(requests, volumes))
    unexpected_failure = False
    for request in requests:
        attributes = attributes_by_uid[request.uid]
        if attributes.ExecutionStatus != ExecutionStatus.DONE:
            _print_failure(console, request, attributes)
            unexpected_failure = unexpected_failure or not request.must_fail
    faulty = False
    for volume in volumes:
        for fault in volume.report.faults:
            faulty = True
            console.print(
                f"{volume.path}: {fault.code} {fault.where} {fault.message}", soft_wrap=True
            )
    requests_with_volumes = {volume.request_uid for volume in volumes}
    volumes_missing = any(
        request.uid not in requests_with_volumes for request in requests if not request.must_fail
    )
    if unexpected_failure or volumes_missing:
        return exits.REQUEST_FAILED
    if faulty:
        return exits.VOLUME_FAULTY
    console.print(
        f"\nAll {len(volumes)} images were read back and examined file by file against"
        " PS3.10, PS3.11 and PS3.12: no fault.\n"
    )
    _print_next_steps(console, service, volumes)
    return exits.SUCCESS


def _volume_table(requests: Sequence[DemoRequest], volumes: Sequence[DemoVolume]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("request")
    for name in ("volume", "size", "instances", "patients", "studies", "series"):
        table.add_column(name, justify="right")
    for name in ("profile", "modalities", "verified"):
        table.add_column(name)
    for request in requests:
        for volume in volumes:
            if volume.request_uid == request.uid:
                table.add_row(
                    volume.path.parent.name,
                    volume.volume,
                    output.format_size(volume.size),
                    str(volume.report.instances),
                    str(volume.patients),
                    str(volume.studies),
                    str(volume.series),
                    volume.profile,
                    " ".join(volume.modalities),
                    "yes" if volume.report.good else "FAULTS",
                )
    return table


def _print_failure(console: Console, request: DemoRequest, attributes: Dataset) -> None:
    reasons = sorted({f"{item.FailureReason:04X}H" for item in attributes.FailedSOPSequence})
    expectation = "as expected" if request.must_fail else "which is not expected"
    console.print(
        f"\nFAILURE {attributes.ExecutionStatusInfo} for {request.title}, {expectation}:"
        f" Failed SOP Sequence of {len(attributes.FailedSOPSequence)},"
        f" reason {', '.join(reasons) or 'none'}",
        soft_wrap=True,
    )


def _print_next_steps(
    console: Console, service: DemoService, volumes: Sequence[DemoVolume]
) -> None:
    last_request = max(volume.path.parent.name for volume in volumes)
    path = next(volume.path for volume in volumes if volume.path.parent.name == last_request)
    console.print("You can look at the images:", style="bold")
    for line in (
        f"burnish disc verify {path}",
        f"isoinfo -l -i {path}    (or open it with a file manager or a DICOM viewer)",
        f"burnish request list --config {service.config}",
    ):
        console.print(f"  {line}", soft_wrap=True)


def _keep_running(console: Console, service: DemoService) -> None:
    console.print("\nThe service keeps running until Ctrl-C. Look at its page:", style="bold")
    console.print(f"  {service.page_address()}", soft_wrap=True)
    console.print("Send it something:", style="bold")
    console.print(f"  dcmsend -aec BURNISH 127.0.0.1 {service.port} FILE...", soft_wrap=True)
    console.print(f"  burnish request create --config {service.config} --study UID --initiate")
    with contextlib.suppress(KeyboardInterrupt):
        service.wait()
