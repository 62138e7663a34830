"""Surface: the demo from its first step to its last."""

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
from burnish.cli.demo import media, studies
from burnish.cli.demo.media import Medium
from burnish.cli.demo.peer import Peer
from burnish.cli.demo.service import Service
from burnish.cli.demo.studies import Group
from burnish.errors import OperatorError
from burnish.identifiers import new_uid
from burnish.vocabulary import ExecutionStatus

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_LOG_WIDTH = 132
_ENDS_WITHIN = 900.0
_STEPS = (ExecutionStatus.IDLE, ExecutionStatus.PENDING, ExecutionStatus.CREATING)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the demo. `doomed` is the one that must fail."""

    title: str
    uid: str
    instances: int
    doomed: bool = False


def run(directory: Path, volume_size: int, *, keep_running: bool) -> int:
    """The whole demo in `directory`; its exit code."""
    console = output.console(width=_LOG_WIDTH)
    service = Service(directory, volume_size)
    peer = Peer(service.port)
    service.prepare()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    size = output.megabytes(volume_size)
    console.print(f"Burnish in {directory}/, with volumes of {size}", style="bold")
    try:
        pid = service.start(peer)
        console.print(f"  service   burnish serve --config {service.config} (process {pid})")
        console.print(f"  answers   C-ECHO as BURNISH on 127.0.0.1:{service.port}")
        groups = studies.groups()
        _send(console, peer, groups)
        asked = _ask(console, peer, groups)
        ended = _follow(console, peer, asked)
        code = _report(console, service, asked, ended)
        if keep_running:
            _linger(console, service)
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    finally:
        stopped = service.stop()
    console.print(f"\nThe service has stopped with exit code {stopped}.")
    return code or (exits.EXITS[OperatorError] if stopped else exits.GOOD)


def _send(console: Console, peer: Peer, groups: Sequence[Group]) -> None:
    begun = monotonic()
    sent = [one for group in groups for one in group.instances]
    refused = sum(status != 0 for group in groups for status in peer.store(group.instances))
    console.print(
        f"  C-STORE   {len(sent)} instances of {studies.patients(sent)} patients"
        f" in {monotonic() - begun:.1f} s"
    )
    if refused:
        raise OperatorError(f"{refused} instances were not accepted")


def _ask(console: Console, peer: Peer, groups: Sequence[Group]) -> list[Asked]:
    asked = []
    for group in groups:
        references = [(one.SOPClassUID, one.SOPInstanceUID) for one in group.instances]
        title = f"{group.title}: {group.modalities}"
        asked.append(Asked(title, peer.ask_for_media(references), len(references)))
    never_sent = peer.ask_for_media([(_CT_IMAGE_STORAGE, new_uid())])
    asked.append(Asked("an instance nobody has sent", never_sent, 1, doomed=True))
    console.print(f"  N-CREATE  {len(asked)} requests, each initiated with N-ACTION\n")
    return asked


def _follow(console: Console, peer: Peer, asked: Sequence[Asked]) -> dict[str, Dataset]:
    """Asks with N-GET until every request has ended: bars on a terminal, else a line a change."""
    columns = (
        TextColumn("  {task.fields[status]:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    pause, end = threading.Event(), monotonic() + _ENDS_WITHIN
    begun, before = monotonic(), dict.fromkeys((one.uid for one in asked), "")
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {
            one.uid: bars.add_task(one.title, total=len(_STEPS), status="IDLE") for one in asked
        }
        while True:
            found = peer.look(tasks)
            for one in asked:
                status = str(found[one.uid].ExecutionStatus)
                bars.update(tasks[one.uid], completed=_progress(status), status=status)
                if status != before[one.uid] and not console.is_terminal:
                    at = monotonic() - begun
                    console.print(f"  {at:5.1f} s  {status:<9} {one.title}", soft_wrap=True)
                before[one.uid] = status
            if all(_ended(attributes) for attributes in found.values()):
                return found
            if monotonic() > end:
                raise OperatorError("the requests do not end", hint="see burnish.log")
            pause.wait(0.2)


def _progress(status: str) -> int:
    return _STEPS.index(ExecutionStatus(status)) if status in _STEPS else len(_STEPS)


def _ended(attributes: Dataset) -> bool:
    return attributes.ExecutionStatus in (ExecutionStatus.DONE, ExecutionStatus.FAILURE)


def _report(
    console: Console, service: Service, asked: Sequence[Asked], ended: dict[str, Dataset]
) -> int:
    made = media.found(service.outbox)
    by_request = {one.uid: [m for m in made if m.request == one.uid] for one in asked}
    console.print()
    console.print(_table(asked, by_request))
    unhappy = [one for one in asked if ended[one.uid].ExecutionStatus != ExecutionStatus.DONE]
    for one in unhappy:
        _tell_failure(console, one, ended[one.uid])
    faults = [(medium, fault) for medium in made for fault in medium.report.faults]
    for medium, fault in faults:
        console.print(f"{medium.path}: {fault.code} {fault.where} {fault.message}", soft_wrap=True)
    lacking = [one for one in asked if not one.doomed and not by_request[one.uid]]
    if any(not one.doomed for one in unhappy) or lacking:
        return exits.REQUEST_FAILED
    if faults:
        return exits.VOLUME_FAULTY
    console.print(
        f"\nEvery one of the {len(made)} images was read back and examined file by file against"
        " PS3.10, PS3.11 and PS3.12: no fault.\n"
    )
    _invite(console, service, made)
    return exits.GOOD


def _table(asked: Sequence[Asked], by_request: dict[str, list[Medium]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("request")
    for name in ("volume", "size", "instances", "patients", "studies", "series"):
        table.add_column(name, justify="right")
    for name in ("profile", "modalities", "verified"):
        table.add_column(name)
    for one in asked:
        for medium in by_request[one.uid]:
            table.add_row(
                *(medium.path.parent.name, medium.volume, output.megabytes(medium.size)),
                *map(str, (medium.report.instances, medium.patients)),
                *map(str, (medium.studies, medium.series)),
                *(medium.profile, " ".join(medium.modalities)),
                "yes" if medium.report.good else "FAULTS",
            )
    return table


def _tell_failure(console: Console, one: Asked, attributes: Dataset) -> None:
    reasons = sorted({f"{item.FailureReason:04X}H" for item in attributes.FailedSOPSequence})
    meant = "as it must be" if one.doomed else "which should not be"
    console.print(
        f"\nFAILURE {attributes.ExecutionStatusInfo} for {one.title}, {meant}: Failed SOP Sequence"
        f" of {len(attributes.FailedSOPSequence)}, reason {', '.join(reasons) or 'none'}",
        soft_wrap=True,
    )


def _invite(console: Console, service: Service, made: Sequence[Medium]) -> None:
    split = max(made, key=lambda medium: (medium.path.parent.name, -len(medium.path.name)))
    path = split.path
    console.print("The images are there to look at:", style="bold")
    for line in (
        f"burnish disc verify {path}",
        f"isoinfo -l -i {path}    (or open it with a file manager or a DICOM viewer)",
        f"burnish request list --config {service.config}",
    ):
        console.print(f"  {line}", soft_wrap=True)


def _linger(console: Console, service: Service) -> None:
    console.print("\nThe service goes on until Ctrl-C. Send something to it:", style="bold")
    port = service.port
    console.print(f"  dcmsend -aec BURNISH 127.0.0.1 {port} FILE...", soft_wrap=True)
    console.print(f"  burnish request create --config {service.config} --study UID --initiate")
    with contextlib.suppress(KeyboardInterrupt):
        service.wait()
