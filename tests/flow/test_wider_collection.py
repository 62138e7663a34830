"""Every file of a wider collection is received; every valid instance is put on media."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import _config
from pynetdicom.presentation import build_context

import material
import oracles
import raw_dicom
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from raw_dicom import Raw
from waiting import wait_until

#: Presentation contexts of an association, each with one SOP class and one transfer syntax.
_AT_ONCE = 100
_PROFILE = "STD-GEN-DVD-JPEG"
_EXPLICIT = "1.2.840.10008.1.2.1"
_AS_THEY_ARE = {
    _EXPLICIT,
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.70",
}
#: Failure Reasons that a real instance may have under the profile.
_NOT_PERMITTED = {0x0122, 0x0202}


class Collection:
    """The files that were sent: the first one of each SOP Instance UID, and the status of each."""

    def __init__(self) -> None:
        self.sources: dict[str, Path] = {}
        self.statuses: dict[Path, int] = {}


def send_bytes(service: Service, path: Path) -> tuple[str, int]:
    """C-STORE of the data set of a file, byte for byte: its SOP Instance UID and the status."""
    data_set = material.read(path)
    syntax, data = oracles.data_set_bytes(path)
    syntax = syntax or raw_dicom.IMPLICIT
    sop_class = str(data_set.get("SOPClassUID", ""))
    sop_instance = str(data_set.get("SOPInstanceUID", ""))
    announced = raw_dicom.common_extended(sop_class)
    with Raw(service.port, [(sop_class, [syntax])], user_items=announced) as raw:
        assert raw.accepted, (path, syntax)
        status, _ = raw.store(sop_class, sop_instance, data, fragment=16000)
        raw.release()
    return sop_instance, status


def agrees(path: Path) -> bool:
    """Whether the UIDs in File Meta are those of the data set; senders take them from there."""
    data_set = material.read(path)
    meta = data_set.file_meta
    return (
        "TransferSyntaxUID" in meta
        and meta.get("MediaStorageSOPInstanceUID") == data_set.SOPInstanceUID
        and meta.get("MediaStorageSOPClassUID") == data_set.SOPClassUID
    )


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    return start_shared(request={"attempts": 1}, storage={"same_uid": "first"})


@pytest.fixture(scope="module")
def collection(burnish: Service, wider_collection: material.WiderCollection) -> Collection:
    """All files, without those that are malformed on purpose, sent once."""
    sent = Collection()
    if not wider_collection:
        return sent
    folders = sorted(
        path.name
        for path in wider_collection.root.iterdir()
        if path.is_dir() and path.name != "nasty"
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    files = []
    for path in wider_collection.files(*folders):
        data_set = material.read(path)
        if "SOPInstanceUID" not in data_set:
            continue  # a DICOMDIR, or a piece of a data set
        if not (data_set.get("StudyInstanceUID") or path.parent.name == "palettes"):
            # the Type 1 attribute Study Instance UID is missing
            assert send_bytes(burnish, path)[1] == 0xA900
            continue
        sent.sources.setdefault(str(data_set.SOPInstanceUID), path)
        if agrees(path):
            files.append((path, data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID))
        else:
            _, sent.statuses[path] = send_bytes(burnish, path)
    kinds = list(dict.fromkeys((UID(kind), UID(syntax)) for _, kind, syntax in files))
    for start in range(0, len(kinds), _AT_ONCE):
        batch = kinds[start : start + _AT_ONCE]
        association = clients.associate(burnish.port, [build_context(*kind) for kind in batch])
        for path, kind, syntax in files:
            if (kind, syntax) in batch:
                try:
                    sent.statuses[path] = association.send_c_store(path).get("Status", -1)
                except ValueError:  # no such context was accepted
                    sent.statuses[path] = -1
        association.release()
    patch.undo()
    return sent


def test_every_file_is_received_and_kept_byte_for_byte(
    burnish: Service, collection: Collection
) -> None:
    first = set(collection.sources.values())
    refused = {
        path: "no context" if status < 0 else f"{status:04X}"
        for path, status in collection.statuses.items()
        if status
    }
    assert not {path: status for path, status in refused.items() if path in first}
    # the collection has a few instances twice: the same again is taken, other content is not
    assert set(refused.values()) <= {"C111"}
    stored = {row["sop_instance_uid"]: row for row in oracles.live_instances(burnish)}
    for uid, path in collection.sources.items():
        syntax, data = oracles.data_set_bytes(path)
        assert stored[uid]["transfer_syntax_uid"] == (syntax or raw_dicom.IMPLICIT)
        assert oracles.spooled(burnish, stored[uid]) == data, path


def request_media(service: Service, references: list[tuple[str, str]]) -> tuple[str, Dataset]:
    """Requests media of these SOP Class and Instance UIDs: the request's UID and end."""
    request = Dataset()
    request.ReferencedSOPSequence = []
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = sop_instance
        item.RequestedMediaApplicationProfile = _PROFILE
        request.ReferencedSOPSequence.append(item)
    with MediaCreation(service.port) as scu:
        assert scu.create(request)[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0

        def ended() -> bool:
            attributes = scu.get(uid, "ExecutionStatus")[1]
            return attributes.ExecutionStatus in ("DONE", "FAILURE")

        wait_until(ended, what="the end of the request")
        return uid, scu.get(uid)[1]


def test_every_instance_that_the_profile_permits_is_on_the_media_once(
    burnish: Service, collection: Collection, tmp_path: Path
) -> None:
    if not collection.sources:
        return
    rows = {row["sop_instance_uid"]: row for row in oracles.live_instances(burnish)}
    sop_classes = {uid: rows[uid]["sop_class_uid"] for uid in collection.sources if uid in rows}
    failure_reasons: dict[str, int] = {}
    for _ in range(4):
        references = [
            (sop_class, sop_instance)
            for sop_instance, sop_class in sop_classes.items()
            if sop_instance not in failure_reasons
        ]
        uid, attributes = request_media(burnish, references)
        if attributes.ExecutionStatus == "DONE":
            break
        failures = {
            str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
            for item in attributes.FailedSOPSequence
        }
        assert failures, (attributes.ExecutionStatusInfo, burnish.tail())
        failure_reasons |= failures
    assert attributes.ExecutionStatus == "DONE", (attributes.ExecutionStatusInfo, failure_reasons)

    reasons = Counter(failure_reasons.values())
    undecodable = []
    for name, reason in failure_reasons.items():
        row, path = rows[name], collection.sources[name]
        assert reason in _NOT_PERMITTED | {0x0110}, (path, f"{reason:04X}")
        if reason == 0x0122:
            assert not row["directory_record_type"], path
        if reason == 0x0110:
            undecodable.append(path.name)
        if row["transfer_syntax_uid"].startswith("1.2.840.10008.1.2.4.10"):
            assert reason == 0x0202, "video is not permitted by the profile"
    assert len(failure_reasons) <= 20, (reasons, undecodable)

    [request] = oracles.rows(
        burnish, "SELECT id FROM media_creation_request WHERE sop_instance_uid = ?", uid
    )
    instances_on_media: Counter[str] = Counter()
    for number, image in enumerate(
        sorted((burnish.outbox / f"R{request['id']:06d}").glob("*.iso"))
    ):
        root = oracles.extract(image, tmp_path / str(number))
        oracles.dcdirdmp(root / "DICOMDIR")
        on_disc = oracles.file_set(root)
        instances_on_media.update(on_disc.keys())
        for name, path in on_disc.items():
            syntax, data = oracles.data_set_bytes(path)
            if rows[name]["transfer_syntax_uid"] in _AS_THEY_ARE:
                assert syntax == rows[name]["transfer_syntax_uid"]
                assert data == oracles.spooled(burnish, rows[name]), collection.sources[name]
            else:
                assert syntax == _EXPLICIT
    assert instances_on_media == Counter(set(sop_classes) - set(failure_reasons))


def test_dcmsend_sends_every_file(
    start_burnish: StartBurnish, wider_collection: material.WiderCollection
) -> None:
    if not wider_collection:
        return
    service = start_burnish()
    folders = ("ct-phantom-2studies", "fileset-pcir", "sr", "us-color", "transfer-syntaxes", "rt")
    files = wider_collection.files(*folders)
    report = clients.dcmsend(service.port, *files)
    sent = [file for file in report.files if file.status is not None and agrees(file.path)]
    sent = [file for file in sent if material.read(file.path).get("StudyInstanceUID")]
    # dcmsend 3.6.7 misreads the UIDs of this file and announces others
    sent = [file for file in sent if file.path.name != "rtdose_rle.dcm"]
    assert sent
    assert not [file for file in sent if file.status]
    stored = {row["sop_instance_uid"] for row in oracles.live_instances(service)}
    assert {file.sop_instance_uid for file in sent} <= stored


def test_malformed_files_get_a_status_and_do_no_harm(
    burnish: Service, wider_collection: material.WiderCollection
) -> None:
    """As far as a file can be told apart from its File Meta; the rest is sent as some class."""
    before = {process.pid for process in burnish.roles()}
    statuses: dict[str, int] = {}
    for path in wider_collection.files("nasty"):
        try:
            data_set = material.read(path)
            syntax, data = oracles.data_set_bytes(path)
            sop_class = str(data_set.get("SOPClassUID", "") or "")
            sop_instance = str(data_set.get("SOPInstanceUID", "") or "")
        except Exception:  # noqa: BLE001  pydicom cannot read it: Burnish must nevertheless stand
            syntax, data, sop_class, sop_instance = "", path.read_bytes(), "", ""
        if UID(syntax) not in AllTransferSyntaxes:
            syntax = _EXPLICIT
        if not UID(sop_class).is_valid or not sop_class:
            sop_class = "1.2.840.10008.5.1.4.1.1.7"
        with Raw(
            burnish.port,
            [(sop_class, [syntax])],
            user_items=raw_dicom.common_extended(sop_class),
        ) as raw:
            if raw.accepted:
                status, comment = raw.store(
                    sop_class, sop_instance or "1.2.3.4.5", data, fragment=16000
                )
                statuses[path.name] = status
                assert status == 0 or comment, path
                raw.release()
    for name, status in statuses.items():
        assert status in (0, 0x0117, 0xA900, 0xC000, 0xC111), (name, f"{status:04X}")
        if name.endswith((".trunc10", ".trunc50", ".trunc97")) or "truncated" in name:
            assert status != 0, f"{name}: half an instance was taken for a whole one"
    assert clients.echo(burnish.port) == 0
    assert {process.pid for process in burnish.roles()} == before, burnish.tail()
    assert burnish.defects() == []
    wait_until(lambda: not oracles.incoming(burnish), what="an empty incoming/")


def test_malformed_files_that_were_received_are_on_media_or_refused_with_a_reason(
    burnish: Service, wider_collection: material.WiderCollection
) -> None:
    if not wider_collection:
        return
    uids = set()
    for path in wider_collection.files("nasty"):
        try:
            uids.add(str(material.read(path).get("SOPInstanceUID", "")))
        except Exception:  # noqa: BLE001, S112  pydicom cannot read it
            continue
    rows = [row for row in oracles.live_instances(burnish) if row["sop_instance_uid"] in uids]
    for row in rows:
        _, attributes = request_media(burnish, [(row["sop_class_uid"], row["sop_instance_uid"])])
        if attributes.ExecutionStatus == "FAILURE":
            [failure] = attributes.FailedSOPSequence
            assert failure.ReferencedSOPInstanceUID == row["sop_instance_uid"]
    assert burnish.defects() == []


def test_the_manifest_and_the_collection_agree(
    wider_collection: material.WiderCollection,
) -> None:
    """The collection has every file that its manifest lists."""
    if not wider_collection:
        return
    with (wider_collection.root / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert [path for path in paths if not (wider_collection.root / path).is_file()] == []
