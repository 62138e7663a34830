"""DICOM clients of three implementations: DCMTK, dcmjs-dimse and pynetdicom."""

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID
from pynetdicom import AE, Association, _config, evt
from pynetdicom.presentation import PresentationContext, build_context

import material
from burnish.access.outgoing_associations import RELIABLE_CHECKPOINT

# The log of pynetdicom takes time, and fails on an Attribute Identifier List of one tag.
_config.LOG_HANDLER_LEVEL = "none"

HOST = "127.0.0.1"
CALLED = "BURNISH"
MEDIA_CREATION_MANAGEMENT = UID("1.2.840.10008.5.1.1.33")
VERIFICATION = UID("1.2.840.10008.1.1")
_PEERS = Path(__file__).resolve().parents[1] / "peers"
#: The most presentation contexts that one association can propose (PS3.8 9.3.2.2).
_MAXIMUM_CONTEXTS = 128


def program(name: str) -> str:
    """The path of a program that the tests need; fails the test if it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        pytest.fail(f"{name} is not installed: run tests/install")
    return path


# --- DCMTK ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """What dcmsend reports about one file; `status` is None if it was not sent."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    status: int | None


@dataclass(frozen=True, slots=True)
class SendReport:
    """What dcmsend reports about each file, and its whole output."""

    files: tuple[Sent, ...]
    exit_code: int
    output: str

    @property
    def statuses(self) -> dict[int | None, int]:
        """The number of files by status."""
        return dict(Counter(sent.status for sent in self.files))


def dcmsend(
    port: int,
    *paths: Path,
    called: str = CALLED,
    calling: str = "DCMSEND",
    options: Sequence[str] = (),
    timeout: float = 900,
) -> SendReport:
    """Sends files and directories with DCMTK, without transcoding, and goes on after failures."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.txt"
        done = subprocess.run(
            [
                program("dcmsend"),
                "--verbose",
                "--scan-directories",
                "--recurse",
                "--no-halt",
                "--no-uid-checks",
                "--decompress-never",
                "--acse-timeout",
                "300",
                "--aetitle",
                calling,
                "--call",
                called,
                "--create-report-file",
                str(report),
                *options,
                HOST,
                str(port),
                *map(str, paths),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        text = report.read_text(errors="replace") if report.exists() else ""
    return SendReport(tuple(_report(text)), done.returncode, done.stdout + done.stderr)


def _report(text: str) -> Iterator[Sent]:
    for block in text.split("\n\n"):
        facts = dict(re.findall(r"^([A-Za-z. ]+?) *: (.*)$", block, re.MULTILINE))
        if "Filename" not in facts:
            continue
        status = re.match(r"0x([0-9a-fA-F]{4})", facts.get("DIMSE Status", ""))
        yield Sent(
            path=Path(facts["Filename"]),
            sop_class_uid=facts["SOP Class"].split(" ")[0],
            sop_instance_uid=facts["SOP Instance"].strip(),
            transfer_syntax_uid=facts.get("Network Xfer", "").split(" ")[0],
            status=int(status[1], 16) if status else None,
        )


def storescu(
    port: int,
    *paths: Path,
    called: str = CALLED,
    calling: str = "STORESCU",
    options: Sequence[str] = (),
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Runs storescu of DCMTK with any of its options: `--abort`, `--repeat N`, `-pdu N`, `-xs`."""
    return subprocess.run(
        [
            program("storescu"),
            "--verbose",
            "--scan-directories",
            "--recurse",
            "--acse-timeout",
            "300",
            "--aetitle",
            calling,
            "--call",
            called,
            *options,
            HOST,
            str(port),
            *map(str, paths),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


# --- dcmjs-dimse ---------------------------------------------------------------------------------


def mcm_client(
    port: int,
    command: str,
    *arguments: str,
    attributes: object = None,
    called: str = CALLED,
    calling: str = "MCM_CLIENT",
    timeout: float = 300,
) -> dict[str, Any]:
    """What tests/peers/mcm_client.js prints; `attributes` is the Attribute List of `create`.

    {"status": int, "errorComment"?, "sopInstanceUid"?, "attributes"?}, for several operations
    {"responses": [...]} of the same, or {"error": str} if the association failed.
    """
    if not (_PEERS / "node_modules" / "dcmjs-dimse").is_dir():
        pytest.fail("dcmjs-dimse is not installed: run tests/install")
    done = subprocess.run(
        [
            program("node"),
            str(_PEERS / "mcm_client.js"),
            "--called",
            called,
            "--calling",
            calling,
            "--timeout",
            str(int(timeout * 500)),
            HOST,
            str(port),
            command,
            *arguments,
        ],
        input=json.dumps(attributes) if attributes is not None else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        pytest.fail(f"mcm_client.js {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return answer


# --- pynetdicom ----------------------------------------------------------------------------------


def associate(
    port: int,
    contexts: Sequence[PresentationContext],
    *,
    called: str = CALLED,
    calling: str = "PYNETDICOM",
    handlers: Sequence[Any] = (),
) -> Association:
    """An association that the caller releases; fails the test if it is not established."""
    ae = AE(calling)
    ae.acse_timeout = ae.connection_timeout = 120
    ae.dimse_timeout = ae.network_timeout = 300
    association = ae.associate(
        HOST,
        port,
        contexts=list(contexts),
        ae_title=called,
        evt_handlers=[*handlers, RELIABLE_CHECKPOINT],
    )
    if not association.is_established:
        pytest.fail(f"{called} on port {port} did not accept an association of {calling}")
    return association


def echo(port: int, *, called: str = CALLED, calling: str = "PYNETDICOM") -> int | None:
    """The status of a C-ECHO, None if there was no association or no response."""
    ae = AE(calling)
    ae.acse_timeout = ae.connection_timeout = ae.dimse_timeout = 60
    ae.add_requested_context(VERIFICATION)
    association = ae.associate(HOST, port, ae_title=called, evt_handlers=[RELIABLE_CHECKPOINT])
    if not association.is_established:
        return None
    status = association.send_c_echo().get("Status")
    association.release()
    return None if status is None else int(status)


def send(
    port: int,
    instances: Iterable[Path | FileDataset],
    *,
    called: str = CALLED,
    calling: str = "PYNETDICOM",
) -> list[int | None]:
    """The status of each C-STORE in order, None if there was no response or no such context.

    Each SOP class and transfer syntax is proposed in its own presentation context, so that no
    instance is transcoded.
    """
    data_sets = [
        material.read(instance) if isinstance(instance, Path) else instance
        for instance in instances
    ]
    syntaxes = list(dict.fromkeys(_syntaxes(data_set) for data_set in data_sets))
    statuses: dict[int, int | None] = {}
    for start in range(0, len(syntaxes), _MAXIMUM_CONTEXTS):
        batch = syntaxes[start : start + _MAXIMUM_CONTEXTS]
        association = associate(
            port, [build_context(*pair) for pair in batch], called=called, calling=calling
        )
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        for index, data_set in enumerate(data_sets):
            if _syntaxes(data_set) in batch:
                statuses[index] = None
                if _syntaxes(data_set) in accepted and association.is_established:
                    response = association.send_c_store(data_set)
                    statuses[index] = response.get("Status")
        association.release()
    return [statuses[index] for index in range(len(data_sets))]


def _syntaxes(data_set: FileDataset) -> tuple[UID, UID]:
    """The abstract and the transfer syntax of an instance."""
    return data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID


def references(
    instances: Iterable[Path | Dataset],
    requested_media_application_profile: str = "",
    **attributes: object,
) -> Dataset:
    """The Attribute List of an N-CREATE that asks for `instances` (PS3.4 S.3.2.1.1)."""
    request = Dataset()
    request.ReferencedSOPSequence = []
    for path_or_data_set in instances:
        instance = path_or_data_set
        if isinstance(path_or_data_set, Path):
            instance = material.read(path_or_data_set)
        item = Dataset()
        item.ReferencedSOPClassUID = instance.SOPClassUID
        item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        if requested_media_application_profile:
            item.RequestedMediaApplicationProfile = requested_media_application_profile
        request.ReferencedSOPSequence.append(item)
    for keyword, value in attributes.items():
        setattr(request, keyword, value)
    return request


class MediaCreation:
    """A Media Creation Management SCU with one association.

    Each operation returns (status, data set). The status is None if there was no response, the
    data set is empty if the response has none. `sop_instance_uid` and `error_comment` are those of
    the last response.
    """

    def __init__(self, port: int, *, called: str = CALLED, calling: str = "PYNETDICOM") -> None:
        self._command = Dataset()
        self.association = associate(
            port,
            [build_context(MEDIA_CREATION_MANAGEMENT)],
            called=called,
            calling=calling,
            handlers=[(evt.EVT_DIMSE_RECV, self._received)],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.association.is_established:
            self.association.release()

    def create(
        self, attributes: Dataset | None, sop_instance_uid: str | None = None
    ) -> tuple[int | None, Dataset]:
        """N-CREATE; without `sop_instance_uid`, `self.sop_instance_uid` is that of the service."""
        return self._answer(
            self.association.send_n_create(attributes, MEDIA_CREATION_MANAGEMENT, sop_instance_uid)
        )

    def initiate(
        self, sop_instance_uid: str, *, copies: int | None = None, priority: str | None = None
    ) -> tuple[int | None, Dataset]:
        """N-ACTION Initiate; without `copies` and `priority` it has no Action Information."""
        information = Dataset()
        if copies is not None:
            information.NumberOfCopies = copies
        if priority is not None:
            information.RequestPriority = priority
        return self.action(1, sop_instance_uid, information if len(information) else None)

    def cancel(self, sop_instance_uid: str) -> tuple[int | None, Dataset]:
        """N-ACTION Cancel."""
        return self.action(2, sop_instance_uid, None)

    def action(
        self, action_type: int, sop_instance_uid: str, information: Dataset | None
    ) -> tuple[int | None, Dataset]:
        """N-ACTION of any Action Type ID, also one that does not exist."""
        return self._answer(
            self.association.send_n_action(
                information, action_type, MEDIA_CREATION_MANAGEMENT, sop_instance_uid
            )
        )

    def get(self, sop_instance_uid: str, *keywords: str) -> tuple[int | None, Dataset]:
        """N-GET of the named attributes, or of all of them."""
        return self._answer(
            self.association.send_n_get(list(keywords), MEDIA_CREATION_MANAGEMENT, sop_instance_uid)
        )

    @property
    def sop_instance_uid(self) -> str:
        return str(self._command.get("AffectedSOPInstanceUID", ""))

    @property
    def error_comment(self) -> str:
        return str(self._command.get("ErrorComment", ""))

    def _received(self, event: evt.Event) -> None:
        self._command = event.message.command_set

    @staticmethod
    def _answer(pair: tuple[Dataset, Dataset | None]) -> tuple[int | None, Dataset]:
        status, data_set = pair
        return status.get("Status"), data_set if data_set is not None else Dataset()
