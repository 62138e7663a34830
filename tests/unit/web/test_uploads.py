"""Files that people upload on the page Arrivals, and programs by `/api/v1/instances`."""

import io
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import select

from burnish import file_meta
from burnish.db import instance_events
from burnish.db.tables import Segment
from burnish.errors import OutOfResources
from burnish.spool import segment
from burnish.values import AccountRole, Actor
from burnish.vocabulary import MEDIA_STORAGE_DIRECTORY_STORAGE
from burnish.web.uploads import Uploads
from factories import SampleInstance, instance
from web_client import SignedInClient, WebGround

_ANNA = Actor("user", "anna", "testclient")


@pytest.fixture
def anna(web: WebGround) -> SignedInClient:
    return web.signed_in(AccountRole.DESK, "anna")


def _file(sample: SampleInstance) -> bytes:
    head = file_meta.encode(
        sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
    )
    return head + sample.data_set


def _of_class(content: bytes, sop_class_uid: str) -> bytes:
    data_set = pydicom.dcmread(io.BytesIO(content))
    data_set.file_meta.MediaStorageSOPClassUID = sop_class_uid
    changed = io.BytesIO()
    data_set.save_as(changed)
    return changed.getvalue()


def _put(
    client: SignedInClient, content: bytes, language: str = "en"
) -> tuple[int, dict[str, str]]:
    headers = {**client.headers, "accept-language": language, "accept": "application/json"}
    answer = client.client.put("/arrivals/files", content=content, headers=headers)
    return answer.status_code, answer.json()


def _files_of(web: WebGround) -> list[Path]:
    return list(web.spool.incoming.iterdir())


def test_an_uploaded_file_is_received_with_the_name_of_the_user(
    web: WebGround, anna: SignedInClient
) -> None:
    sample = instance()
    status, facts = _put(anna, _file(sample))
    assert status == 200
    assert facts["outcome"] == "received"
    with web.database.reading() as session:
        (event,) = instance_events.events(session, sample.sop_instance_uid)
    assert event.event == "UPLOADED"
    assert event.actor == str(_ANNA)
    shown = anna.get(f"/api/v1/instances/{sample.sop_instance_uid}").json()
    assert [line["actor"] for line in shown["events"]] == [str(_ANNA)]


def test_what_is_no_instance_is_passed_over(web: WebGround, anna: SignedInClient) -> None:
    whole = _file(instance())
    for content in (
        b"",
        b"some text",
        b"\0" * 500,
        _of_class(whole, MEDIA_STORAGE_DIRECTORY_STORAGE),
    ):
        status, facts = _put(anna, content)
        assert status == 422
        assert facts["outcome"] == "passed over"
    assert facts["reason"] == "the file is a DICOMDIR, which lists instances and is none"
    assert _files_of(web) == []


def test_what_c_store_refuses_is_refused_with_the_same_words(
    web: WebGround, anna: SignedInClient
) -> None:
    whole = _file(instance())
    other = instance()
    head = file_meta.encode(
        other.sop_class_uid, instance().sop_instance_uid, other.transfer_syntax_uid
    )
    unknown = file_meta.encode(other.sop_class_uid, other.sop_instance_uid, "1.2.3.4.5")
    refused = {
        unknown + other.data_set: "the transfer syntax of the file is none that media can have",
        whole[:150]: "the file ends within its File Meta Information",
        _of_class(whole, "1.2.840.10008.1.1"): "the SOP Class of the file is none that is received",
        head + other.data_set: "SOP Instance UID of the data set is not the announced one",
    }
    for content, reason in refused.items():
        status, facts = _put(anna, content)
        assert status == 422
        assert facts["outcome"] == "refused"
        assert facts["reason"] == reason
    assert _files_of(web) == []
    assert anna.get("/api/v1/instances").json()["items"] == []


def test_words_are_in_the_language_of_the_page(anna: SignedInClient) -> None:
    _, facts = _put(anna, b"text", language="de")
    assert facts["reason"] == "die Datei ist keine DICOM-Datei"


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    sample = instance(size=5000)
    with WebGround(tmp_path, web={"longest_upload": "2KB"}) as web:
        anna = web.signed_in(AccountRole.DESK, "anna")
        status, facts = _put(anna, _file(sample))
        assert status == 413
        assert facts["outcome"] == "refused"
        program = web.token(AccountRole.DESK)
        pieces = iter([_file(sample)[:1500], _file(sample)[1500:]])
        answer = program.put("/api/v1/instances", content=pieces)
        assert answer.status_code == 413
        assert _files_of(web) == []


def test_only_so_many_files_arrive_at_the_same_time(web: WebGround) -> None:
    uploads = Uploads(web.settings, web.database, web.spool)
    arriving = [uploads.arriving() for _ in range(24)]
    for upload in arriving:
        upload.__enter__()
    with pytest.raises(OutOfResources, match="too many files"), uploads.arriving():
        pass
    for upload in arriving:
        upload.__exit__(None, None, None)
    with uploads.arriving() as upload:
        upload.write(_file(instance())[:200])
    uploads.close()


def test_nothing_is_kept_of_a_file_that_did_not_arrive_whole(web: WebGround) -> None:
    uploads = Uploads(web.settings, web.database, web.spool)
    whole = _file(instance(size=1 << 22))
    with uploads.arriving() as upload:
        upload.write(whole[: 3 << 20])
        assert _files_of(web), "a large file is not kept in memory"
    assert _files_of(web) == []
    uploads.close()


def test_other_content_is_refused_where_the_first_one_counts(tmp_path: Path) -> None:
    first = instance()
    other = instance(sop_instance_uid=first.sop_instance_uid, patient_id="P2")
    with WebGround(tmp_path, storage={"same_uid": "first"}) as web:
        anna = web.signed_in(AccountRole.DESK, "anna")
        assert _put(anna, _file(first))[1]["outcome"] == "received"
        assert _put(anna, _file(other))[1]["outcome"] == "refused"


def test_the_segment_stays_open_for_an_upload_that_arrives(web: WebGround) -> None:
    """The time for closing it may have come just before the upload."""
    uploads = Uploads(web.settings, web.database, web.spool)
    whole = _file(sample := instance())
    with uploads.arriving() as upload:
        upload.write(whole)
        uploads._close_if_idle()
        assert upload.finish(_ANNA).sop_instance_uid == sample.sop_instance_uid
    uploads.close()
    with web.database.reading() as session:
        sealed = session.scalars(select(Segment.name).where(Segment.sealed_at.is_not(None))).all()
    assert sealed == segment.names(web.spool.segments)
    assert len(sealed) == 1


def test_a_viewer_may_not_upload(web: WebGround) -> None:
    status, _ = _put(web.signed_in(AccountRole.VIEWER), _file(instance()))
    assert status == 403
