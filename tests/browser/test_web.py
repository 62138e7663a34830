"""The pages in Chromium, with the real service: what people at the desk do with them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydicom.dataset import FileDataset

import material
from accessibility import serious_faults
from browsers import CHROMIUM, ENTER, ESCAPE, TAB, Browser
from burnish.cli.demo.peer import DemoPeer
from burnish.identifiers import new_uid
from burnish.image.reader import open_volume
from flow import clients
from flow.archives import HOST, Dcmqrscp
from flow.service import Service
from people import press_button, shows, sign_in, write
from ports import free_port
from waiting import wait_until

_PASSWORD = "a sentence for tests"
#: What would run if a page did not escape a text of a peer, in each place where it could be.
_ATTACK = "\"><script>attacked('{0}')</script><img src=x>"
_ATTACKING_AE_TITLE = "<img/src=x>'\"{{"


class Site:
    """A service with its page, patients, requests in every state, and a user who has signed in."""

    def __init__(self, directory: Path) -> None:
        self.web_port, self.archive_port = free_port(), free_port()
        #: How often a test has killed the web process.
        self.kills = 0
        self.service = Service(
            directory / "burnish",
            free_port(),
            {
                "web": {"enabled": True, "port": self.web_port},
                "content": {"pages": True},
                "device": [{"name": "outbox"}, {"name": "drive", "directory": str(directory)}],
                "dicom": {"accept_unknown_peers": True},
                "peer": [
                    {
                        "ae_title": Dcmqrscp.ae_title,
                        "host": HOST,
                        "port": self.archive_port,
                        "may": ["echo", "store", "retrieve"],
                    }
                ],
            },
        )
        self.service.start()
        self.address = f"http://127.0.0.1:{self.web_port}"
        self.service.run("user", "add", "anna", "--role", "administrator")
        subprocess.run(
            [sys.executable, "-m", "burnish", "user", "password", "anna", "--stdin"],
            input=_PASSWORD,
            text=True,
            check=True,
            env={**os.environ, "BURNISH_CONFIG": str(self.service.config)},
        )

    def fill(self, studies: material.RealStudies) -> None:
        """Real patients, one whose texts attack, and requests that are done, failed and held."""
        assert set(clients.send(self.service.port, studies.patients)) == {0}
        self.study = str(material.read(studies.patients[0]).StudyInstanceUID)
        attacker = material.read(studies.file("CT_small.dcm"))
        attacker.SpecificCharacterSet = "ISO_IR 192"
        attacker.PatientName = _ATTACK.format("name").removesuffix("<img src=x>")
        attacker.PatientID = _ATTACK.format("id")
        attacker.StudyDescription = _ATTACK.format("study")
        attacker.AccessionNumber = "<b>1</b>"
        attacker.StudyInstanceUID = self.attacking_study = new_uid()
        attacker.SOPInstanceUID = attacker.file_meta.MediaStorageSOPInstanceUID = new_uid()
        assert clients.send(self.service.port, [attacker], calling=_ATTACKING_AE_TITLE) == [0]
        # the drive could take it first, and keeps no image
        self.done = self.create("--study", self.study, "--device", "outbox")
        self.attacking = self.create(
            "--study", self.attacking_study, "--label-text", _ATTACK.format("label")
        )
        self.held = self.create("--study", self.study, initiate=False)
        self.service.run("request", "hold", self.held)
        for name in (self.done, self.attacking):
            self.wait_for(name, "DONE")

    def create(self, *arguments: str, initiate: bool = True) -> str:
        """A request by the command line; its name."""
        more = ["--initiate"] if initiate else []
        created = self.service.run("request", "create", *arguments, "--several-patients", *more)
        assert created.returncode == 0, created.stderr
        return created.stdout.strip()

    def wait_for(self, name: str, status: str) -> None:
        wait_until(lambda: self.status(name) == status, what=f"{name} {status}")

    def status(self, name: str) -> str:
        shown = self.service.cli("request", "show", name)
        return str(shown.get("execution_status") or shown["request"]["execution_status"])


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, real_studies: material.RealStudies
) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("web"))
    try:
        site.fill(real_studies)
        yield site
    finally:
        if site.service.running:
            site.service.stop()
    defects = [json.loads(line) for line in site.service.defects()]
    ended = [(line["event"], line.get("role")) for line in defects]
    assert ended == [("a process ended by itself", "web")] * site.kills


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[Browser]:
    """Chromium, in which anna has signed in."""
    with Browser(CHROMIUM) as browser:
        sign_in(browser, site.address, "anna", _PASSWORD)
        yield browser


def test_where_the_disc_of_a_patient_is_takes_three_actions(chromium: Browser, site: Site) -> None:
    chromium.open(site.address)
    chromium.press("/", *"doe arch")
    chromium.press(ENTER)
    shows(chromium, "Found for")
    shows(chromium, "1 piece was created and read back without a fault.")
    chromium.click(f'.requests a[href="/requests/{site.done}"]')
    shows(chromium, "Pieces and copies")
    shows(chromium, "created")


def test_a_commit_is_on_the_open_page_without_loading_it(chromium: Browser, site: Site) -> None:
    chromium.open(site.address)
    chromium.evaluate("window.sameDocument = true")
    name = site.create("--study", site.study, initiate=False)
    shows(chromium, name)
    site.service.run("request", "cancel", name)
    chromium.until(f"!document.body.innerText.includes({json.dumps(name)})")
    assert chromium.evaluate("window.sameDocument === true")


def test_a_request_is_started_held_released_and_cancelled_in_place(
    chromium: Browser, site: Site
) -> None:
    name = site.create("--study", site.study, initiate=False)
    chromium.open(f"{site.address}/requests/{name}")
    press_button(chromium, "Hold")
    shows(chromium, f"{name} is held.")
    press_button(chromium, "Undo", within="#messages")
    shows(chromium, f"{name} goes on.")
    press_button(chromium, "Cancel")
    shows(chromium, f"Cancel {name}?")
    press_button(chromium, "Yes", within="#confirm")
    shows(chromium, f"{name} is cancelled.")
    site.wait_for(name, "DELETED")


def test_a_disc_is_made_again_in_one_click(chromium: Browser, site: Site) -> None:
    chromium.open(f"{site.address}/requests/{site.done}")
    press_button(chromium, "Make again")
    shows(chromium, f"{site.done} is made again:")
    chromium.click("#messages a")
    shows(chromium, "Pieces and copies")
    again = chromium.evaluate("document.querySelector('h1').innerText")
    assert again != site.done
    site.wait_for(again, "DONE")
    shows(chromium, "1 piece was created and read back without a fault.")


def test_a_failed_request_is_retried_once_its_instances_are_here(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    late = material.read(real_studies.file("MR_small.dcm"))
    other = _new_file(tmp_path / "other.dcm", real_studies, "Noether^Emmy")
    archive = Dcmqrscp(tmp_path / "archive", site.archive_port, site.service.port, [other])
    try:  # the archive says that it does not have the instance
        created = _created(site, late)
        site.wait_for(created, "FAILURE")
    finally:
        archive.end()
    assert clients.send(site.service.port, [late]) == [0]
    chromium.open(f"{site.address}/requests/{created}")
    shows(chromium, "the instance has not been received")
    press_button(chromium, "Retry")
    shows(chromium, "1 piece was created and read back without a fault.")


def _created(site: Site, instance: FileDataset) -> str:
    """A request of a peer by N-CREATE and N-ACTION; its name."""
    reference = (instance.SOPClassUID, instance.SOPInstanceUID)
    uid = DemoPeer(site.service.port).request_media([reference])
    shown = site.service.cli("request", "show", uid)
    return str(shown.get("short_id") or shown["request"]["short_id"])


def test_many_requests_are_counted_first_and_restored_after(chromium: Browser, site: Site) -> None:
    names = [site.create("--study", site.study, initiate=False) for _ in range(2)]
    chromium.open(f"{site.address}/requests?group=not%20started")
    chromium.evaluate("document.querySelector('#bulk-action').value = 'hold'")
    press_button(chromium, "How many?")
    shows(chromium, "This can be undone.")
    press_button(chromium, "Yes, all")
    shows(chromium, "requests are changed.")
    press_button(chromium, "Undo")
    shows(chromium, "requests are changed.")
    for name in names:
        site.service.run("request", "cancel", name)


def test_a_disc_of_what_has_come_takes_two_clicks(
    chromium: Browser, site: Site, real_studies: material.RealStudies
) -> None:
    chromium.open(f"{site.address}/arrivals")
    chromium.evaluate("window.sameDocument = true")
    arrived = material.read(real_studies.file("CT_small.dcm"))
    arrived.PatientName, arrived.PatientID = "Hopper^Grace", "H1"
    arrived.StudyInstanceUID = new_uid()
    arrived.SOPInstanceUID = arrived.file_meta.MediaStorageSOPInstanceUID = new_uid()
    assert clients.send(site.service.port, [arrived]) == [0]
    shows(chromium, "Hopper, Grace")
    assert chromium.evaluate("window.sameDocument === true")
    row = (
        "[...document.querySelectorAll('main tr')].find((row) => row.innerText.includes('Hopper'))"
    )
    chromium.evaluate(f"{row}.querySelector('a').setAttribute('data-wanted', '')")
    chromium.click("[data-wanted]")
    shows(chromium, "What goes on the disc")
    press_button(chromium, "Make the disc")
    shows(chromium, "1 piece was created and read back without a fault.")
    shows(chromium, "Hopper, Grace")
    chromium.open(f"{site.address}/arrivals")
    assert "Hopper" not in chromium.evaluate("document.querySelector('main').innerText")


def _new_file(
    path: Path,
    real_studies: material.RealStudies,
    patient_name: str,
    padding: int = 0,
    description: str = "",
) -> Path:
    """A file with an instance of a new study."""
    arrived = material.read(real_studies.file("CT_small.dcm"))
    arrived.StudyDescription = description
    arrived.PatientName, arrived.PatientID = patient_name, patient_name
    arrived.StudyInstanceUID = new_uid()
    arrived.SOPInstanceUID = arrived.file_meta.MediaStorageSOPInstanceUID = new_uid()
    if padding:
        arrived.DataSetTrailingPadding = bytes(padding)
    arrived.save_as(path)
    return path


def test_a_folder_is_uploaded_by_dropping_it_on_the_page(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    folder = tmp_path / "from a stick"
    (folder / "DICOM" / "A").mkdir(parents=True)
    for number in range(6):
        _new_file(folder / "DICOM" / "A" / f"IM{number}", real_studies, f"Curie^Marie^{number}")
    (folder / "README.TXT").write_text("Not an image, and long enough to be looked into." * 9)
    shutil.copy(real_studies.file("DICOMDIR"), folder / "DICOMDIR")
    chromium.open(f"{site.address}/arrivals")
    chromium.drop("#upload-drop", folder)
    shows(chromium, "6 of 8 files were received")
    shows(chromium, "1 passed over: the file is not a DICOM file")
    shows(chromium, "1 passed over: the file is a DICOMDIR")
    shows(chromium, "from a stick/README.TXT")
    shows(chromium, "Curie, Marie 5")
    listed = site.service.cli("instance", "list", "--patient", "Curie^Marie^3")
    shown = site.service.cli("instance", "show", listed["items"][0]["sop_instance_uid"])
    assert [event["event"] for event in shown["events"]] == ["UPLOADED"]
    assert shown["events"][0]["actor"].startswith("user anna (")


def test_a_ticked_study_is_removed_after_its_count_and_a_question(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    chromium.open(f"{site.address}/arrivals")
    chromium.choose_files("#upload-files", _new_file(tmp_path / "f", real_studies, "Noether^Emmy"))
    shows(chromium, "Noether, Emmy")
    chromium.click('[aria-label*="Noether, Emmy"]')
    press_button(chromium, "Remove those that are ticked")
    shows(chromium, "1 instance · 1 study · 1 patient")
    press_button(chromium, "Remove", within="main")
    shows(chromium, "Remove 1 instance? This cannot be undone.")
    press_button(chromium, "Yes", within="#confirm")
    chromium.until("location.pathname === '/arrivals'")
    assert "Noether" not in chromium.evaluate("document.querySelector('main').innerText")
    assert site.service.cli("instance", "list", "--patient", "Noether")["items"] == []


def test_the_name_of_an_uploaded_file_does_not_become_part_of_the_page(
    chromium: Browser, site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "\"'><img src=x>.txt"
    file.write_text("Not an image, and long enough to be looked into." * 9)
    chromium.open(f"{site.address}/arrivals")
    chromium.choose_files("#upload-files", file)
    shows(chromium, "1 passed over: the file is not a DICOM file")
    chromium.evaluate("document.querySelector('#upload-reasons details').open = true")
    shows(chromium, file.name)
    assert _is_unharmed(chromium)


def _is_unharmed(browser: Browser) -> bool:
    """Whether no text of others has become an element of the page."""
    attacked = browser.evaluate("document.querySelectorAll('main img, main script').length")
    return int(attacked) == 0


def test_an_upload_is_cancelled_and_nothing_of_it_stays(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    # more than the buffers of a connection hold
    file = _new_file(tmp_path / "IM1", real_studies, "Cancelled^Upload", padding=40_000_000)
    chromium.open(f"{site.address}/arrivals")
    web = _web_process(site)
    web.suspend()
    try:
        chromium.choose_files("#upload-files", file)
        shows(chromium, "0 of 1 files")
        press_button(chromium, "Cancel the upload")
        shows(chromium, "Cancelled. 0 of 1 files")
    finally:
        web.resume()
    chromium.open(f"{site.address}/arrivals")
    assert "Cancelled" not in chromium.evaluate("document.querySelector('main').innerText")
    incoming = site.service.root / "spool" / "incoming"
    wait_until(lambda: not list(incoming.iterdir()), what="no file of the upload")


def test_an_upload_that_the_web_process_did_not_survive_is_sent_again(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    file = _new_file(tmp_path / "IM1", real_studies, "Again^Sent")
    chromium.open(f"{site.address}/arrivals")
    web = _web_process(site)
    web.suspend()
    chromium.choose_files("#upload-files", file)
    shows(chromium, "0 of 1 files")
    web.kill()
    site.kills += 1
    shows(chromium, "1 not sent: the connection to Burnish was lost")
    wait_until(lambda: _serves(site), what="the next web process")
    press_button(chromium, "Send 1 again")
    shows(chromium, "1 of 1 files were received")
    shows(chromium, "Again, Sent")


def test_a_study_is_found_at_an_archive_and_retrieved(
    chromium: Browser, site: Site, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    files = [
        _new_file(
            tmp_path / f"{number}.dcm",
            real_studies,
            "Meitner^Lise",
            description=_ATTACK.format("archive"),
        )
        for number in "12"
    ]
    archive = Dcmqrscp(tmp_path / "archive", site.archive_port, site.service.port, files)
    try:
        chromium.open(f"{site.address}/arrivals")
        write(chromium, "#archive-patient", "Meitner^Lise")
        chromium.press(ENTER)
        shows(chromium, "2 studies at DCMQRSCP")
        shows(chromium, "<script>attacked('archive')</script>")
        assert _is_unharmed(chromium)
        for number in "12":
            chromium.click(f"#found-{number}")
        assert not serious_faults(chromium)
        press_button(chromium, "Retrieve", within="#archive-found")
        shows(chromium, "2 studies are asked for at DCMQRSCP.")
        shows(chromium, "2 of 2 instances")
        chromium.until(
            "[...document.querySelectorAll('#arrivals th')]"
            ".filter((cell) => cell.innerText.includes('Meitner')).length === 2"
        )
    finally:
        archive.end()
    write(chromium, "#archive-patient", "Meitner^Lise")
    chromium.press(ENTER)
    shows(chromium, "there is no connection with the peer")
    shows(chromium, "check that the archive runs")


def test_a_check_of_the_database_is_asked_for_and_tells_what_it_found(
    chromium: Browser, site: Site
) -> None:
    chromium.open(f"{site.address}/system")
    press_button(chromium, "Check now", within="#check-spool")
    shows(chromium, "every instance has its complete file")
    chromium.until("document.querySelector('#check-spool time')")
    press_button(chromium, "13 months", within="#rates")
    chromium.until("document.querySelector('#rates [aria-pressed=true]').innerText === '13 months'")
    assert int(chromium.evaluate("document.querySelectorAll('#rates .chart-received rect').length"))
    assert not serious_faults(chromium)


def _serves(site: Site) -> bool:
    try:
        return _web_process(site).is_running()
    except (AssertionError, psutil.Error):
        return False


def _downloaded_zip(site: Site, token: str, path: str) -> dict[str, bytes]:
    """The files of a ZIP file that the service sends, by their names."""
    request = urllib.request.Request(  # noqa: S310
        site.address + path, headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_file_of_a_volume_has_what_its_image_has(site: Site, chromium: Browser) -> None:
    image = site.service.outbox / site.done / "VOLUME01.iso"
    with open_volume(image) as volume:
        expected = {
            name.replace("\\", "/"): b"".join(volume.chunks(name)) for name in volume.files()
        }
    assert {"DICOMDIR", "README.TXT", "INDEX.HTM"} <= expected.keys()
    token = site.service.cli("token", "create", "zip", "--role", "desk", json=False).strip()
    for path in ("/requests", "/api/v1/requests"):
        assert _downloaded_zip(site, token, f"{path}/{site.done}/volumes/1/zip") == expected
    chromium.open(f"{site.address}/requests/{site.done}")
    assert chromium.evaluate("document.querySelector('a[href$=\"/volumes/1/zip\"]').download") == ""
    # a device that keeps no image: made again from the instances
    hidden = image.with_suffix(".hidden")
    image.rename(hidden)
    try:
        assert _downloaded_zip(site, token, f"/requests/{site.done}/volumes/1/zip") == expected
    finally:
        hidden.rename(image)


def _pages(site: Site) -> list[str]:
    return [
        "/",
        "/requests",
        "/requests?group=not%20started",
        *(f"/requests/{name}" for name in (site.done, site.attacking, site.held)),
        "/search?q=doe",
        "/search?q=onerror",
        "/search?q=nobody",
        "/devices",
        "/arrivals",
        "/arrivals/disc?study=1&study=2",
        "/arrivals/removal?study=1&study=2",
        "/register",
        "/peers",
        "/system",
        "/users",
    ]


def test_no_text_of_a_peer_becomes_part_of_a_page(chromium: Browser, site: Site) -> None:
    texts = ""
    for path in _pages(site):
        chromium.open(site.address + path)
        texts += chromium.evaluate("document.body.innerText")
        assert _is_unharmed(chromium), path
        assert not chromium.errors, path
    for text in ("name", "id", "study", "label"):
        assert f"<script>attacked('{text}')</script>" in texts


def test_no_page_has_a_serious_fault_of_accessibility(chromium: Browser, site: Site) -> None:
    serious = {}
    for path in [*_pages(site), "/sign-in?next=/"]:
        chromium.open(site.address + path)
        serious[path] = serious_faults(chromium)
    assert not {path: faults for path, faults in serious.items() if faults}


#: The elements of a page that Tab leads to, in their order.
_STOPS = """[...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"]')].filter((node) =>
    !node.disabled && node.tabIndex >= 0 && node.checkVisibility({visibilityProperty: true})
    && !(node.closest('details:not([open])') && node.tagName !== 'SUMMARY'))"""
#: Which of them has the focus, whether that can be seen, and where it is.
_FOCUS = """(() => {
    const node = document.activeElement, style = getComputedStyle(node);
    const box = node.getBoundingClientRect();
    const isInWindow = box.bottom > 0 && box.top < innerHeight && box.right > 0
        && box.left < innerWidth;
    const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return [window.stops.indexOf(node), isMarked && isInWindow, node.outerHTML.slice(0, 120)];
})()"""


def test_tab_leads_through_each_page_in_order_and_shows_where_it_is(
    chromium: Browser, site: Site
) -> None:
    for path in _pages(site):
        chromium.open(site.address + path)
        count = int(chromium.evaluate(f"(window.stops = {_STOPS}).length"))
        reached: list[int] = []
        while not reached or reached[-1] < count - 1:
            chromium.press(TAB)
            number, is_seen, node = chromium.evaluate(_FOCUS)
            assert is_seen, (path, node)
            if not reached or number != reached[-1]:
                # a field for a date has several stops of its own
                reached.append(number)
                assert number == len(reached) - 1, (path, node, reached)


def test_menu_and_question_are_used_and_left_with_the_keyboard(
    chromium: Browser, site: Site
) -> None:
    name = site.create("--study", site.study, initiate=False)
    chromium.open(f"{site.address}/requests/{name}")
    chromium.evaluate("document.querySelector('details.who summary').focus()")
    chromium.press(ENTER)
    chromium.until("document.querySelector('details.who').open")
    chromium.press(TAB, ESCAPE)
    chromium.until("!document.querySelector('details.who').open")
    assert chromium.evaluate("document.activeElement.matches('details.who summary')")
    cancel = "document.querySelector('header.title button.danger')"
    chromium.evaluate(f"{cancel}.focus()")
    chromium.press(ENTER)
    chromium.until("document.querySelector('#confirm').open")
    assert chromium.evaluate("document.activeElement.value") == "no"
    chromium.press(ESCAPE)
    chromium.until("!document.querySelector('#confirm').open")
    assert chromium.evaluate(f"document.activeElement === {cancel}")
    assert site.status(name) == "IDLE"
    chromium.press(ENTER)
    chromium.until("document.querySelector('#confirm').open")
    chromium.press(TAB, ENTER)
    shows(chromium, f"{name} is cancelled.")
    # the button is gone; the focus stays in the page
    chromium.until(f"!{cancel}")
    chromium.until("document.activeElement !== document.body")


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_no_page_is_wider_than_the_window(chromium: Browser, site: Site, width: int) -> None:
    chromium.resize(width, 900)
    try:
        for path in _pages(site):
            chromium.open(site.address + path)
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert chromium.evaluate(wide) <= 0, path
    finally:
        chromium.resize(1280, 800)


def test_a_killed_web_process_comes_back_and_nothing_is_lost(
    chromium: Browser, site: Site, real_studies: material.RealStudies
) -> None:
    chromium.open(site.address)
    chromium.evaluate("window.sameDocument = true")
    web = _web_process(site)
    web.send_signal(signal.SIGKILL)
    site.kills += 1
    # receiving goes on meanwhile
    assert set(clients.send(site.service.port, real_studies.tiny)) == {0}
    name = site.create("--study", site.study, initiate=False)
    shows(chromium, name)
    assert chromium.evaluate("window.sameDocument === true")
    assert _web_process(site).pid != web.pid
    site.service.run("request", "cancel", name)


def _web_process(site: Site) -> psutil.Process:
    """The process that listens on the port of the page."""
    for process in psutil.Process(site.service.pid).children(recursive=True):
        for connection in process.net_connections("tcp"):
            if connection.status == "LISTEN" and connection.laddr.port == site.web_port:
                return process
    raise AssertionError("no process serves the page")
