"""Less frequent actions in Chromium, by clicks and keys, and what the service records of each."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

import material
from browsers import CHROMIUM, Browser
from burnish.identifiers import new_uid
from flow import clients
from flow.service import Service
from people import choose, follow_link, press_button, shows, sign_in, unfold, write, write_anew
from ports import free_port
from waiting import wait_until

_PASSWORD = "a sentence for tests"
_NAMES = ("Germain^Sophie", "Lovelace^Ada", "Noether^Emmy", "Curie^Marie", "Meitner^Lise")


class Archive:
    """A peer that answers C-ECHO and keeps what it is sent, once it may."""

    ae_title = "ARCHIVE"

    def __init__(self) -> None:
        self.port = free_port()
        self.echoes = 0
        self.stored: list[Dataset] = []
        self.may_store = threading.Event()
        ae = AE(self.ae_title)
        ae.add_supported_context(clients.VERIFICATION)
        ae.add_supported_context("1.2.840.10008.5.1.4.1.1.7")
        handlers = [(evt.EVT_C_ECHO, self._on_echo), (evt.EVT_C_STORE, self._on_store)]
        self._server = ae.start_server(
            (clients.HOST, self.port), block=False, evt_handlers=handlers
        )

    def end(self) -> None:
        self._server.shutdown()

    def _on_echo(self, _event: Event) -> int:
        self.echoes += 1
        return 0

    def _on_store(self, event: Event) -> int:
        self.may_store.wait(60)
        self.stored.append(event.dataset)
        return 0


class Desk:
    """A service with two folder devices and a study of each of some patients."""

    def __init__(self, directory: Path, archive: Archive) -> None:
        web_port = free_port()
        self.address = f"http://127.0.0.1:{web_port}"
        peer = {"ae_title": Archive.ae_title, "host": clients.HOST, "port": archive.port}
        shelf = directory / "shelf"
        shelf.mkdir()
        self.service = Service(
            directory / "burnish",
            free_port(),
            {
                "web": {"enabled": True, "port": web_port},
                "device": [{"name": "outbox"}, {"name": "shelf", "directory": str(shelf)}],
                "peer": [{**peer, "may": ["echo", "store"]}],
            },
        )
        self.service.start()
        self.service.run("user", "add", "anna", "--role", "administrator")
        subprocess.run(
            [sys.executable, "-m", "burnish", "user", "password", "anna", "--stdin"],
            input=_PASSWORD,
            text=True,
            check=True,
            env={**os.environ, "BURNISH_CONFIG": str(self.service.config)},
        )
        created = self.service.run("token", "create", "test", "--role", "operator")
        assert created.returncode == 0, created.stderr
        self._token = created.stdout.strip()

    def fill(self, studies: material.RealStudies) -> None:
        instances = []
        for name in _NAMES:
            instance = material.read(studies.file("CT_small.dcm"))
            instance.PatientName, instance.PatientID = name, name[:3].upper()
            instance.StudyInstanceUID, instance.SeriesInstanceUID = new_uid(), new_uid()
            instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = new_uid()
            instances.append(instance)
        assert set(clients.send(self.service.port, instances)) == {0}
        self.studies = [str(instance.StudyInstanceUID) for instance in instances]

    def ask(self, path: str, body: object = None) -> Any:
        """What the REST interface answers."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.load(answer)

    def create(self, *studies: int, **more: object) -> str:
        """A request for the studies with these numbers, not started; its name."""
        wanted = {"studies": [self.studies[number] for number in studies], "initiate": False}
        return str(self.ask("/requests", {**wanted, "several_patients": True, **more})["short_id"])

    def request(self, name: str) -> Any:
        return self.ask(f"/requests/{name}")

    def events(self, name: str) -> list[tuple[str, str]]:
        """What has happened to a request, each with who did it."""
        return [(event["event"], event["actor"]) for event in self.request(name)["events"]]

    def wait_until_done(self, name: str) -> None:
        wait_until(lambda: self.request(name)["execution_status"] == "DONE", what=f"{name} DONE")


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    archive = Archive()
    try:
        yield archive
    finally:
        archive.end()


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, real_studies: material.RealStudies, archive: Archive
) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("desk"), archive)
    try:
        desk.fill(real_studies)
        yield desk
    finally:
        if desk.service.running:
            desk.service.stop()
    assert desk.service.defects() == []


@pytest.fixture(scope="module")
def page(desk: Desk) -> Iterator[Browser]:
    """Chromium, in which anna has signed in."""
    with Browser(CHROMIUM) as browser:
        sign_in(browser, desk.address, "anna", _PASSWORD)
        yield browser
        assert not browser.errors


def _fact(name: str) -> str:
    """An expression: what the page of a request says of one of its facts."""
    terms = "[...document.querySelectorAll('dl.facts dt')]"
    return (
        f"{terms}.find((term) => term.innerText === {json.dumps(name)})"
        "?.nextElementSibling.innerText"
    )


def _confirm(page: Browser, question: str) -> None:
    shows(page, question)
    press_button(page, "Yes", within="#confirm")


def test_the_priority_is_changed(page: Browser, desk: Desk) -> None:
    name = desk.create(0)
    page.open(f"{desk.address}/requests/{name}")
    press_button(page, "high", within="dl.facts")
    shows(page, f"The priority of {name} is changed.")
    page.until(f"{_fact('Priority')}?.startsWith('high')")
    assert desk.request(name)["request_priority"] == "HIGH"
    assert ("PRIORITY", "user anna") in _short(desk.events(name))


def _short(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Events with actors, without the addresses that they came from."""
    return [(event, actor.split(" (")[0]) for event, actor in events]


def test_more_copies_another_device_and_label_go_to_the_media(page: Browser, desk: Desk) -> None:
    name = desk.create(0, device="outbox", label={"text": "for Dr. Roe"})
    page.open(f"{desk.address}/requests/{name}")
    unfold(page, "Change this request")
    write_anew(page, "#more-copies", "2")
    press_button(page, "Make them")
    shows(page, f"{name} gets more copies.")
    page.until(f"{_fact('Copies')} === '3'")
    choose(page, "#to-device", "shelf")
    press_button(page, "Move")
    shows(page, f"{name} goes to another device.")
    page.until(f"{_fact('Device')} === 'shelf'")
    write_anew(page, "#label-text", "for Dr. Doe")
    press_button(page, "Change the label")
    shows(page, f"The label of {name} is changed.")
    page.until(f"{_fact('Label text')} === 'for Dr. Doe'")
    press_button(page, "Start")
    shows(page, f"{name} is started.")
    desk.wait_until_done(name)
    shows(page, "3 pieces were created and read back without a fault.")
    shown = desk.request(name)
    assert [piece["device"] for piece in shown["pieces"]] == ["shelf"] * 3
    assert shown["label_text"] == "for Dr. Doe"
    happened = _short(desk.events(name))
    for event in ("COPIES", "DEVICE", "LABEL CHANGED", "INITIATED"):
        assert (event, "user anna") in happened


def test_a_request_is_split_by_patient(page: Browser, desk: Desk) -> None:
    name = desk.create(0, 1)
    page.open(f"{desk.address}/requests/{name}")
    unfold(page, "Change this request")
    press_button(page, "Split by patient")
    _confirm(page, "Make 2 requests of it, one for each patient?")
    shows(page, f"{name} is split by patient.")
    shows(page, "cancelled")
    links = "[...document.querySelectorAll('#messages a')].map((link) => link.innerText)"
    parts = page.evaluate(links)
    patients = [desk.request(part)["patients"][0]["patient_name"] for part in parts]
    assert sorted(patients) == sorted(_NAMES[:2])
    assert desk.request(name)["group"] == "cancelled"
    follow_link(page, parts[1], within="#messages")
    page.until(f"document.querySelector('h1')?.innerText === {json.dumps(parts[1])}")


def test_a_request_that_was_held_before_its_start_is_released(page: Browser, desk: Desk) -> None:
    name = desk.create(0)
    page.open(f"{desk.address}/requests/{name}")
    press_button(page, "Hold")
    shows(page, f"{name} is held.")
    page.open(f"{desk.address}/requests/{name}")
    assert desk.request(name)["held_at"]
    press_button(page, "Release", within="header.title")
    shows(page, f"{name} goes on.")
    press_button(page, "Hold", within="header.title")
    shows(page, f"{name} is held.")
    press_button(page, "Release", within="header.title")
    shows(page, f"{name} goes on.")
    shown = desk.request(name)
    assert shown["held_at"] is None
    assert shown["group"] == "not started"
    assert _short(desk.events(name))[-1] == ("RELEASED", "user anna")


def test_different_patients_on_one_disc_are_asked_about(page: Browser, desk: Desk) -> None:
    page.open(f"{desk.address}/arrivals")
    for name in ("Curie, Marie", "Meitner, Lise"):
        page.click(f'[aria-label*="{name}"]')
    press_button(page, "Make one disc of")
    shows(page, "These studies are of 2 patients.")
    before = len(desk.ask("/requests")["items"])
    press_button(page, "Make the disc")
    # where to answer is shown, as the page looks as before otherwise
    page.until("document.activeElement.id === 'several-patients'")
    assert len(desk.ask("/requests")["items"]) == before
    page.click("#several-patients")
    press_button(page, "Make the disc")
    page.until("location.pathname.startsWith('/requests/')")
    name = page.evaluate("location.pathname.split('/')[2]")
    desk.wait_until_done(name)
    shows(page, "1 piece was created and read back without a fault.")
    assert desk.request(name)["patient_count"] == 2


def test_a_device_is_paused_with_a_reason_moved_from_and_resumed(page: Browser, desk: Desk) -> None:
    page.open(f"{desk.address}/devices")
    unfold(page, "Pause")
    write(page, "#reason-1", "new foil")
    # a live update in the meantime does not take away what somebody is writing
    other = desk.create(2, device="shelf", initiate=True)
    desk.wait_until_done(other)
    page.until("document.querySelectorAll('.device')[1].innerText.includes('Last media')")
    page.click("#reason-1")
    page.press(*" is needed")
    press_button(page, "Pause", within="form")
    shows(page, "new foil is needed")
    shown = desk.ask("/devices/outbox")["device"]
    assert shown["state"] == "paused"
    assert "new foil is needed" in shown["reason"]
    assert shown["paused_by"].startswith("user anna")
    name = desk.create(2, device="outbox", initiate=True)
    page.open(f"{desk.address}/requests/{name}")
    shows(page, "new foil is needed")
    unfold(page, "Change this request")
    choose(page, "#to-device", "shelf")
    press_button(page, "Move")
    desk.wait_until_done(name)
    shows(page, "1 piece was created and read back without a fault.")
    assert [piece["device"] for piece in desk.request(name)["pieces"]] == ["shelf"]
    page.open(f"{desk.address}/devices")
    press_button(page, "Resume")
    page.until("document.querySelector('.device').innerText.includes('ready')")
    assert desk.ask("/devices/outbox")["device"]["state"] == "ready"


def test_a_device_makes_a_test_disc(page: Browser, desk: Desk) -> None:
    page.open(f"{desk.address}/devices")
    press_button(page, "Test burn")
    _confirm(page, "Have outbox make a small volume of generated images?")
    shows(page, "outbox makes a test burn:")
    # the link stays when the device has begun and the page is updated
    page.until("document.querySelector('.device').innerText.includes('Last media')")
    follow_link(page, "R", within="#messages")
    page.until("location.pathname.startsWith('/requests/')")
    name = page.evaluate("location.pathname.split('/')[2]")
    desk.wait_until_done(name)
    shows(page, "1 piece was created and read back without a fault.")
    assert [piece["device"] for piece in desk.request(name)["pieces"]] == ["outbox"]


def test_the_list_of_requests_changes_in_place_under_filter_focus_and_choice(
    page: Browser, desk: Desk
) -> None:
    first = desk.create(3)
    page.open(f"{desk.address}/requests?group=not%20started")
    page.evaluate("window.sameDocument = true")
    choose(page, "#bulk-action", "Hold")
    page.evaluate(f"document.querySelector('#line-{first} .request-name').focus()")
    second = desk.create(4)
    shows(page, second)
    names = "[...document.querySelectorAll('.live-list .request-name')].map((a) => a.innerText)"
    assert page.evaluate(names)[:2] == [second, first]
    assert page.evaluate("document.activeElement.innerText") == first
    assert page.evaluate("document.querySelector('#bulk-action').value") == "hold"
    press_button(page, "How many?")
    shows(page, "This can be undone.")
    for name in (second, first):  # a cancelled request leaves the group
        desk.ask(f"/requests/{name}/cancel", {})
        page.until(f"!document.querySelector('#line-{name}')")
    assert page.evaluate("document.querySelector('#bulk').innerText.includes('can be undone')")
    assert page.evaluate("window.sameDocument === true")


def test_the_register_changes_in_place_while_a_search_is_being_written(
    page: Browser, desk: Desk
) -> None:
    page.open(f"{desk.address}/register?outcome=created&device=shelf")
    page.evaluate("window.sameDocument = true")
    write(page, "#register-q", "Meit")
    names = "[...document.querySelectorAll('.register .request-name')].map((a) => a.innerText)"
    before = page.evaluate(names)
    for device in ("outbox", "shelf"):  # the filter of the page leaves the first one out
        desk.wait_until_done(desk.create(4, device=device, initiate=True))
    page.until(f"{names}.length > {len(before)}")
    after = page.evaluate(names)
    assert after[1:] == before
    assert page.evaluate("document.querySelector('#register-q').value") == "Meit"
    page.press(*"ner")
    page.until("document.querySelector('#register-q').value === 'Meitner'")
    page.open(f"{desk.address}/register/{after[0]}")
    page.evaluate("window.sameDocument = true")
    write(page, "#note-text", "for ")
    desk.ask(f"/register/{after[0]}/notes", {"kind": "remark", "text": "in the box of the ward"})
    shows(page, "in the box of the ward")
    page.press(*"us")
    page.until("document.querySelector('#note-text').value === 'for us'")
    assert page.evaluate("window.sameDocument === true")


def test_users_change_in_place_and_a_link_that_is_shown_once_stays(
    page: Browser, desk: Desk
) -> None:
    page.open(f"{desk.address}/users")
    page.evaluate("window.sameDocument = true")
    write(page, "#new-user", "berta")
    press_button(page, "Add")
    shows(page, "/welcome/")
    link = "document.querySelector('#users-secret code').innerText"
    shown = page.evaluate(link)
    shows(page, "berta")
    page.evaluate("document.querySelector('#role-of-berta').focus()")
    write_name = "#new-token"
    write(page, write_name, "night")
    page.evaluate("document.querySelector('#role-of-berta').focus()")
    desk.service.run("user", "add", "alfred", "--role", "viewer")  # sorted before berta
    page.until("document.querySelector('#role-of-alfred')")
    assert page.evaluate("document.activeElement.id") == "role-of-berta"
    assert page.evaluate(f"document.querySelector('{write_name}').value") == "night"
    assert page.evaluate(link) == shown
    desk.service.run("user", "remove", "berta")
    page.until("!document.querySelector('#role-of-berta')")
    assert page.evaluate("window.sameDocument === true")
    desk.service.run("user", "remove", "alfred")


def test_a_peer_is_tested_with_an_echo_and_an_image(
    page: Browser, desk: Desk, archive: Archive
) -> None:
    page.open(f"{desk.address}/peers")
    press_button(page, "Echo")
    shows(page, f"127.0.0.1:{archive.port} answers in")
    assert archive.echoes == 1
    assert not archive.stored
    press_button(page, "Store")
    _confirm(page, "Send a generated image of a patient TEST^BURN to ARCHIVE?")
    # the answer before is not mistaken for that of a peer that does not answer yet
    page.until("!document.body.innerText.includes('answers in')")
    archive.may_store.set()
    shows(page, f"127.0.0.1:{archive.port} answers in")
    assert [str(instance.PatientName) for instance in archive.stored] == ["TEST^BURN"]
    assert archive.echoes == 1


def test_image_and_label_are_fetched_and_what_became_of_the_disc_is_noted(
    page: Browser, desk: Desk, tmp_path: Path
) -> None:
    name = desk.create(0, device="outbox", initiate=True)
    desk.wait_until_done(name)
    page.open(f"{desk.address}/requests/{name}")
    page.save_downloads(tmp_path)
    follow_link(page, "Image")
    published = desk.service.outbox / name / "VOLUME01.iso"
    wanted = published.read_bytes()
    wait_until(
        lambda: any(path.read_bytes() == wanted for path in tmp_path.glob("*.iso")),
        what="the downloaded image",
    )
    follow_link(page, "Label")
    address = f"{desk.address}/requests/{name}/volumes/1/label.png"
    with page.other_page(address):
        page.until("document.images[0]?.naturalWidth > 200")
    follow_link(page, "M0")
    shows(page, "Where it went")
    _note(page, "given out to", "Frau Weber")
    shows(page, "Frau Weber")
    _note(page, "destroyed", "cut into four pieces")
    shows(page, "cut into four pieces")
    (piece,) = desk.request(name)["pieces"]
    entry = desk.ask(f"/register/{piece['register_name']}")
    assert entry["whereabouts"].startswith("destroyed")
    notes = [(note["kind"], note["note"]) for note in entry["notes"]]
    assert notes == [("given out to", "Frau Weber"), ("destroyed", "cut into four pieces")]
    assert all(note["actor"].startswith("user anna") for note in entry["notes"])


def _note(page: Browser, kind: str, text: str) -> None:
    choose(page, "#note-kind", kind)
    write(page, "#note-text", text)
    press_button(page, "Add")
