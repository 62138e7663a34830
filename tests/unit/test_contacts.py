"""Contacts with peers: written in the background, bounded, with what would admit the rejected."""

import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import func, select

from burnish import contacts
from burnish.access import peer_test
from burnish.access.association_limits import AssociationLimits
from burnish.contacts import Contact, ContactOutcome, ContactRecorder, ContactView
from burnish.counters import ASSOCIATIONS, REJECTIONS, Counters, read_counters
from burnish.db.tables import PeerContact
from burnish.errors import MissingValue, OutOfResources
from burnish.receive import Receiver
from burnish.request import burn_test
from burnish.scp.ae import ApplicationEntity, listen
from burnish.scp.traffic import Traffic
from burnish.settings import DicomSettings, PeerSettings, Settings
from factories import Ground
from locks import locked
from raw_dicom import Raw
from waiting import wait_until

CT1 = PeerSettings(ae_title="CT1", addresses=("127.0.0.1",))  # type: ignore[arg-type]
OTHER_PLACE = PeerSettings(ae_title="MR1", addresses=("10.0.0.9",))  # type: ignore[arg-type]
SILENT = PeerSettings(ae_title="NOTHING", may=())


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    dicom = DicomSettings(host="127.0.0.1", port=0)
    with Ground(tmp_path, dicom=dicom, peer=(CT1, OTHER_PLACE, SILENT)) as ground:
        yield ground


@pytest.fixture
def port(ground: Ground, tmp_path: Path) -> Iterator[int]:
    """The port of an application entity that notes its contacts and counts."""
    recorder = ContactRecorder(ground.database)
    recorder.start()
    counters = Counters(tmp_path / "counters", "receiver-0")
    listeners = listen(ground.settings)
    entity = ApplicationEntity(
        ground.settings,
        listeners,
        Receiver(ground.database, ground.spool),
        ground.database,
        ground.spool,
        association_limits=AssociationLimits(ground.settings),
        traffic=Traffic(ground.settings, counters, recorder),
    )
    thread = threading.Thread(target=entity.serve)
    thread.start()
    yield listeners[0].port
    entity.stop_accepting()
    thread.join()
    for listener in listeners:
        listener.socket.close()
    entity.drain()
    recorder.close()
    counters.close()


def call(port: int, calling: str, called: str = "BURNISH") -> None:
    """Requests an association and releases it."""
    with Raw(port, calling=calling.encode().ljust(16), called=called.encode().ljust(16)):
        pass


def contact_of(ground: Ground, calling: str, outcome: ContactOutcome) -> ContactView:
    """The contact with that AE title, once it has that outcome."""
    views: list[ContactView] = []

    def is_there() -> bool:
        with ground.database.reading() as session:
            views[:] = [
                view
                for view in contacts.contacts(session, ground.settings, limit=100)
                if view.calling_ae_title == calling and view.outcome is outcome
            ]
        return bool(views)

    wait_until(is_there, deadline=60, what=f"a contact with {calling}: {outcome}")
    return views[0]


def test_a_contact_tells_how_the_association_ended(ground: Ground, port: int) -> None:
    call(port, "CT1")
    view = contact_of(ground, "CT1", ContactOutcome.ENDED)
    assert view.associations == 1
    assert view.rejections == 0
    assert view.detail
    assert view.is_configured
    assert view.address == "127.0.0.1"
    assert view.remedy == ""
    with ground.database.reading() as session:
        peers = contacts.peers(session, ground.settings)
    assert [peer.ae_title for peer in peers] == ["CT1", "MR1", "NOTHING"]
    assert peers[0].last == view
    assert peers[1].last is None


@pytest.mark.parametrize("calling", ["STRANGER", "MR1", "NOTHING", 'Q"UOTE'])
def test_the_lines_of_a_rejected_peer_admit_it(ground: Ground, port: int, calling: str) -> None:
    call(port, calling)
    view = contact_of(ground, calling, ContactOutcome.REJECTED)
    assert (view.associations, view.rejections) == (0, 1)
    assert "/32" not in "".join(view.admitting_lines)
    assert view.remedy
    (table,) = tomllib.loads("\n".join(view.admitting_lines))["peer"]
    changed = {peer.ae_title: peer for peer in ground.settings.peer}
    before = changed.get(calling)
    known = before.model_dump(mode="json") if before is not None else {}
    changed[calling] = PeerSettings.model_validate(known | table)
    settings = Settings(
        dicom=ground.settings.dicom,
        storage=ground.settings.storage,
        peer=tuple(changed.values()),
    )
    with ground.database.reading() as session:
        (admitted,) = [
            contact
            for contact in contacts.contacts(session, settings, limit=9)
            if contact.calling_ae_title == calling
        ]
    assert admitted.admitted_since
    assert admitted.admitting_lines == ()


def test_a_peer_that_calls_another_title_is_told_of_the_right_one(
    ground: Ground, port: int
) -> None:
    call(port, "CT1", called="WRONG")
    view = contact_of(ground, "CT1", ContactOutcome.REJECTED)
    assert view.called_ae_title == "WRONG"
    assert "BURNISH" in view.remedy
    assert view.admitting_lines == ("[dicom]", 'ae_title = "WRONG"')


def test_associations_and_rejections_are_counted(ground: Ground, port: int, tmp_path: Path) -> None:
    for _ in range(3):
        call(port, "CT1")
    for number in range(5):
        call(port, f"STRANGER{number}")
    contact_of(ground, "STRANGER4", ContactOutcome.REJECTED)
    counts = read_counters(tmp_path / "counters")
    assert counts[ASSOCIATIONS, "CT1"][0] == 3
    assert counts[REJECTIONS, "calling AE title not recognized"][0] == 5


def test_contacts_are_bounded(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MOST_ROWS", 10)
    recorder = ContactRecorder(ground.database)
    for number in range(3000):
        recorder.note(Contact(f"A{number}", "BURNISH", "10.0.0.1", ContactOutcome.REJECTED))
    recorder.flush()
    recorder.note(Contact("NEWEST", "BURNISH", "10.0.0.1", ContactOutcome.CONNECTED))
    recorder.flush()
    with ground.database.reading() as session:
        newest = contacts.contacts(session, ground.settings, limit=100)
        count = session.scalar(select(func.count()).select_from(PeerContact))
    assert newest[0].calling_ae_title == "NEWEST"
    assert count is not None
    assert count <= 10


def test_contacts_wait_for_a_database_that_does_not_answer(ground: Ground, tmp_path: Path) -> None:
    recorder = ContactRecorder(ground.database)
    contact = Contact("CT1", "BURNISH", "127.0.0.1", ContactOutcome.CONNECTED)
    recorder.note(contact)
    ground.database._write_lock.wait = 0.05
    with locked(tmp_path / "burnish.db"), pytest.raises(OutOfResources):
        recorder.flush()
    recorder.note(contact)
    ground.database._write_lock.wait = 60
    recorder.flush()
    assert contact_of(ground, "CT1", ContactOutcome.CONNECTED).associations == 2


def test_text_of_peers_cannot_imitate_other_lines(ground: Ground) -> None:
    recorder = ContactRecorder(ground.database)
    recorder.note(
        Contact("A\x1b[31m\n", "B", "10.0.0.1", ContactOutcome.FAILED, detail="x\ny" * 500)
    )
    recorder.flush()
    view = contact_of(ground, "A?[31m?", ContactOutcome.FAILED)
    assert view.detail.isprintable()
    assert len(view.detail) <= 300


def test_a_peer_that_answers_is_told_from_one_that_does_not(ground: Ground, port: int) -> None:
    caller = PeerSettings(ae_title="BURNISH", host="127.0.0.1", port=port)
    settings = Settings(
        dicom=DicomSettings(ae_title="CT1"), storage=ground.settings.storage, peer=(caller,)
    )
    assert peer_test.echo(settings, caller).is_good
    instance = burn_test.generated_instances("BURNISH")[0]
    stored = peer_test.store(settings, caller, instance)
    assert stored.is_good
    assert stored.status == 0
    unknown = Settings(dicom=DicomSettings(ae_title="X"), storage=ground.settings.storage)
    answer = peer_test.echo(unknown, caller)
    assert not answer.is_good
    assert "rejects" in answer.detail
    with pytest.raises(MissingValue):
        peer_test.echo(settings, CT1)
