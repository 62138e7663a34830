"""The pages Devices, Register and Peers."""

from pathlib import Path

import pytest

from burnish import contacts, devices
from burnish.contacts import Contact, ContactOutcome, ContactRecorder
from burnish.db.history import move_piece
from burnish.db.tables import MediaCreationRequest, Piece, RegisteredStudy
from burnish.lifecycle import PieceEvent
from burnish.settings import DicomSettings, PeerSettings
from burnish.values import AccountRole, Actor
from factories import add_request
from ports import free_port
from web_client import WebGround

SCRIPT = "<script>alert(1)</script>"
ANNA = Actor("user", "anna")


def make_piece(web: WebGround, patient_name: str = "Doe^Jane", **columns: str) -> None:
    """A piece of media that was created, with one study."""
    with web.database.writing() as session:
        request = add_request(session, **columns)
        piece = session.query(Piece).order_by(Piece.id.desc()).first()
        assert piece is not None
        for event in (
            PieceEvent.CLAIMED,
            PieceEvent.IMAGED,
            PieceEvent.WRITTEN,
            PieceEvent.VERIFIED,
        ):
            move_piece(session, piece, event, request_id=request.id, device="outbox")
        session.add(
            RegisteredStudy(
                registered_piece_id=piece.id,
                ordinal=0,
                patient_id="P7",
                issuer_of_patient_id="",
                patient_name=patient_name,
                patient_birth_date="19700102",
                study_instance_uid="1.2.3",
                study_date="20260102",
                study_description=SCRIPT,
                accession_number="A1",
                modalities="CT",
                instances=2,
            )
        )


def test_a_device_is_paused_with_a_reason_and_resumed(web: WebGround) -> None:
    operator = web.signed_in(AccountRole.OPERATOR)
    page = operator.get("/devices").text
    assert "outbox" in page
    assert "/devices/outbox/pause" in page
    answer = operator.post("/devices/outbox/pause", reason=f"a new disk {SCRIPT}")
    assert answer.status_code == 200
    assert "a new disk &lt;script&gt;" in answer.text
    assert "user operator" in answer.text
    with web.database.reading() as session:
        assert devices.view(session, web.settings, "outbox").state == "paused"
    assert operator.post("/devices/outbox/resume").status_code == 200
    with web.database.reading() as session:
        assert devices.view(session, web.settings, "outbox").state != "paused"
    assert operator.post("/devices/nothing/pause").status_code == 404


def test_a_test_burn_is_ordered_from_the_page(web: WebGround) -> None:
    answer = web.signed_in(AccountRole.OPERATOR).post("/devices/outbox/test")
    assert answer.status_code == 200
    assert "R000001" in answer.text
    with web.database.reading() as session:
        request = session.get_one(MediaCreationRequest, 1)
    assert (request.device, request.requested_by) == ("outbox", "user operator (testclient)")


def test_only_operators_operate_devices_and_peers(web: WebGround) -> None:
    desk = web.signed_in(AccountRole.DESK)
    assert "/devices/outbox/pause" not in desk.get("/devices").text
    for path in ("/devices/outbox/pause", "/devices/outbox/test", "/peers/CT1/echo"):
        assert desk.post(path).status_code == 403, path


def test_the_register_is_searched_by_patient_and_bar_code(web: WebGround) -> None:
    make_piece(web, barcode_value="BC-77")
    make_piece(web, f"Roe^{SCRIPT}", barcode_value=SCRIPT)
    desk = web.signed_in(AccountRole.DESK)
    page = desk.get("/register").text
    assert "Doe, Jane" in page
    assert SCRIPT not in page
    answer = desk.get("/register", params={"q": "BC-77"}).text
    assert "M000001" in answer
    assert "M000002" not in answer
    assert "M000001" in desk.get("/register", params={"q": "m1"}).text
    assert "M000001" not in desk.get("/register", params={"device": "other"}).text
    assert "M000001" not in desk.get("/register", params={"until": "2020-01-01"}).text
    assert desk.get("/register", params={"since": "yesterday"}).status_code == 422
    assert desk.get("/register", params={"outcome": "lost"}).status_code == 422
    entry = desk.get("/register/M000001").text
    assert "&lt;script&gt;" in entry
    assert SCRIPT not in entry
    assert desk.get("/register/M000009").status_code == 404


def test_the_search_of_every_page_finds_media_by_bar_code_and_name(web: WebGround) -> None:
    make_piece(web, barcode_value="BC-77", label_text="Doe")
    desk = web.signed_in(AccountRole.DESK)
    for text in ("BC-77", "m1", "doe"):
        page = desk.get("/search", params={"q": text}).text
        assert "/register/M000001" in page, text
    assert "/register/M000001" not in desk.get("/search", params={"q": "roe"}).text


def test_a_note_is_added_on_the_page(web: WebGround) -> None:
    make_piece(web)
    desk = web.signed_in(AccountRole.DESK)
    answer = desk.post("/register/M000001/notes", kind="given out to", text=f"Dr. Chen {SCRIPT}")
    assert "Dr. Chen &lt;script&gt;" in answer.text
    assert "user desk" in answer.text
    assert desk.post("/register/M000001/notes", kind="lost", text="x").status_code == 422
    assert desk.post("/register/M000001/notes", kind="remark", text="").status_code == 422


def test_a_viewer_sees_media_but_no_patient(web: WebGround) -> None:
    make_piece(web, barcode_value="BC-77", label_text="for Jane Doe")
    web.signed_in(AccountRole.DESK).post(
        "/register/M000001/notes", kind="given out to", text="Jane Doe"
    )
    viewer = web.signed_in(AccountRole.VIEWER)
    for path in ("/register", "/register/M000001", "/register?q=m000001"):
        page = viewer.get(path).text
        assert "M000001" in page
        for secret in ("Doe", ">P7", "1970-01-02", "for Jane", "BC-77"):
            assert secret not in page, path
    for text in ("doe", "BC-77"):
        assert "M000001" not in viewer.get("/register", params={"q": text}).text
    assert viewer.post("/register/M000001/notes", kind="remark", text="x").status_code == 403


def test_a_request_says_where_its_pieces_are(web: WebGround) -> None:
    make_piece(web)
    desk = web.signed_in(AccountRole.DESK)
    page = desk.get("/requests/R000001").text
    assert 'href="/register/M000001"' in page
    assert "given out" not in page
    desk.post("/register/M000001/notes", kind="given out to", text="Dr. Chen")
    assert "given out to Dr. Chen" in desk.get("/requests/R000001").text
    (piece,) = desk.get("/api/v1/requests/R000001").json()["pieces"]
    assert piece["register_name"] == "M000001"
    assert piece["whereabouts"] == "given out to Dr. Chen"
    viewer = web.signed_in(AccountRole.VIEWER)
    page = viewer.get("/requests/R000001").text
    assert 'href="/register/M000001"' in page
    assert "Chen" not in page
    (piece,) = viewer.get("/api/v1/requests/R000001").json()["pieces"]
    assert piece["whereabouts"] is None


@pytest.fixture
def with_peers(tmp_path: Path) -> WebGround:
    peers = (
        PeerSettings(ae_title="CT1", host="127.0.0.1", port=free_port()),
        PeerSettings(ae_title="MR1"),
    )
    return WebGround(tmp_path, peer=peers, dicom=DicomSettings(port=0))


def test_a_rejected_peer_is_shown_with_the_lines_that_admit_it(with_peers: WebGround) -> None:
    recorder = ContactRecorder(with_peers.database)
    for calling, outcome in (
        ("<b>X</b>", ContactOutcome.REJECTED),
        ("MR1", ContactOutcome.ENDED),
    ):
        recorder.note(Contact(calling, "BURNISH", "10.0.0.9", outcome, detail=SCRIPT))
    recorder.flush()
    viewer = with_peers.signed_in(AccountRole.VIEWER)
    page = viewer.get("/peers").text
    assert SCRIPT not in page
    assert "<b>X</b>" not in page
    assert "ae_title = &#34;&lt;b&gt;X&lt;/b&gt;&#34;" in page
    assert "addresses = [&#34;10.0.0.9&#34;]" in page
    assert "/peers/CT1/echo" not in page
    with with_peers.database.reading() as session:
        before = contacts.fingerprint(session)
    recorder.note(Contact("MR1", "BURNISH", "10.0.0.9", ContactOutcome.CONNECTED))
    recorder.flush()
    with with_peers.database.reading() as session:
        assert contacts.fingerprint(session) != before
    with_peers.database.close()


def test_a_test_echo_tells_that_nobody_answers(with_peers: WebGround) -> None:
    operator = with_peers.signed_in(AccountRole.OPERATOR)
    assert "/peers/CT1/echo" in operator.get("/peers").text
    answer = operator.post("/peers/CT1/echo")
    assert answer.status_code == 200
    assert "there is no connection with the peer" in answer.text
    assert operator.post("/peers/MR1/echo").status_code == 422
    assert operator.post("/peers/NOBODY/echo").status_code == 404
    with_peers.database.close()


def test_the_pages_are_in_german_too(web: WebGround) -> None:
    make_piece(web)
    desk = web.signed_in(AccountRole.DESK)
    german = {"accept-language": "de"}
    assert "Medienverzeichnis" in desk.get("/register", headers=german).text
    assert "Geräte" in desk.get("/devices", headers=german).text
    assert "Gegenstellen" in desk.get("/peers", headers=german).text
