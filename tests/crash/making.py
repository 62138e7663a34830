"""Lives of services that have their instances already, and make media of them on every device."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select

from burnish import commitment
from burnish.db.tables import CommitmentTransaction, MediaCreationRequest
from burnish.errors import OutOfResources
from burnish.request import operations
from burnish.settings import RequestSettings, Settings, StorageSettings
from burnish.vocabulary import ExecutionStatus
from crash.invariants import Root, open_references
from crash.life import MEDIA, Diary, Life, in_one_process, material, wrong_ends
from crash.sites import Drive, EpsonSite, Folder, PrimeraSite, Site, Stick
from factories import SampleInstance, instance, new_database

HELD, RETRIED = (f"1.2.826.0.1.3680043.10.999.9.{n}" for n in (11, 12))
#: The instance that request RETRIED lacks at first.
_LATE = "1.2.826.0.1.3680043.10.999.8.3"
#: The AE title of the standing order.
_BURN = "BURN_ALL"
_TRANSACTION = "1.2.826.0.1.3680043.10.999.9.21"
#: Attributes of a request whose media get a disc label and an address label.
_LABELLED = {
    "label_using_information_extracted_from_instances": "YES",
    "media_disposition": "Ward 7\nHere",
}


class Making(Life):
    """Media of one request on the device of a `site`; `root` holds the storage root and the device.

    The client and the people and machines of the site do what they do without being asked.
    """

    def __init__(self, root: Path, diary: Diary, site: Callable[[Path, Diary], Site]) -> None:
        self.site = site(root, diary)
        self.site.samples = self.samples()
        super().__init__(root, diary)
        self.settings = self._settings()

    def _settings(self) -> Settings:
        tables: dict[str, Any] = {
            "storage": StorageSettings(root=self.storage, durability="full"),
            "request": RequestSettings(attempts=3, wait_for_instances=timedelta(0)),
            **self.site.tables(),
        }
        return Settings(**tables)

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def on_disk(self) -> Path:
        return self.root if self.site.on_disk else self.storage

    def reset(self, *, reads_fail: bool = False) -> None:
        self.site.reset()
        self.site.costs_blanks = reads_fail or type(self.site).costs_blanks

    def remember(self) -> None:
        self.site.remember()

    def restore(self, facts: Sequence[tuple[str, str]]) -> None:
        self.site.restore(facts)

    def handed_out(self, fact: str, subject: str) -> Sequence[str]:
        return self.site.handed_out(fact, subject)

    def prepare(self) -> None:
        """Make a root on which the instances have been received."""
        self.storage.mkdir(parents=True)
        new_database(self.storage / "burnish.db")
        self.site.prepare()
        with in_one_process():
            self.begin()
            self.receive()
            self.end()

    def receive(self) -> None:
        """Receive what media are to be made of."""
        for uid in material():
            if uid != _LATE:
                self.store(uid)

    def begin(self) -> None:
        self.deaths, self.failed_tasks = [], []
        self.site.meanwhile()
        super().begin()

    def _begin_writing(self) -> None:
        super()._begin_writing()
        self.site.attach(self.worker)

    def flow(self) -> None:
        self.request(
            MEDIA,
            [uid for uid in material() if uid != _LATE],
            copies=self.site.copies,
            profile=self.site.profile,
            attributes=self.site.attributes,
        )
        self.run_task("admit")
        self.run_task("plan")
        self.make()

    def make(self) -> None:
        """Have the worker make all pieces, while people do what the device asks them."""
        for _ in range(8):
            super().make()
            if not self.site.act():
                return

    # --- what must hold ---------------------------------------------------------------------------

    def kept(self) -> dict[str, bytes]:
        facts = self.diary.facts()
        stored = {uid for fact, uid in facts if fact == "stored"}
        if ("cleaning", "") in facts:
            committed = {uid for fact, uid in facts if fact == "committed"}
            stored &= open_references(Root(self.storage)) | committed
        samples = self.samples()
        return {uid: samples[uid].data_set for uid in stored}

    def samples(self) -> Mapping[str, SampleInstance]:
        """All instances of this life."""
        return material()

    def faults(self, *, rows_may_follow: bool = False) -> Iterator[str]:
        root = Root(self.storage)
        yield from root.faults(self.kept(), rows_may_follow=rows_may_follow)
        yield from self.site.faults(root)

    def unsettled(self) -> Iterator[str]:
        root = Root(self.storage)
        yield from root.unsettled()
        yield from wrong_ends(root, self.diary.facts(), {MEDIA: {("DONE", "NORMAL")}})
        yield from self.site.unsettled(root)

    def refused(self) -> Iterator[str]:
        if not self.has("initiated", MEDIA):
            yield f"never initiated: {MEDIA}"

    def orphans(self) -> Iterator[str]:
        yield from Root(self.storage).orphans()


class Requesting(Making):
    """Requests of all origins, which are held, fail and are retried, and a promise to a peer.

    A standing order asks for media of a study; a peer asks for Storage Commitment.
    """

    tasks = (
        "replay",
        "index",
        "return_dead_work",
        "judge_commitments",
        "issue_standing_orders",
        "admit",
        "plan",
    )

    def samples(self) -> Mapping[str, SampleInstance]:
        return {**material(), **_of_standing_order()}

    def receive(self) -> None:
        super().receive()
        for uid, sample in _of_standing_order().items():
            self.receiver.accept(self._sent(sample, _BURN))
            self.diary.write("stored", uid)

    def _settings(self) -> Settings:
        settings = super()._settings()
        order = {"name": "all", "called_ae_titles": [_BURN], "quiet_period": "0s"}
        return Settings(**{**dict(settings), "standing_order": [order]})

    def flow(self) -> None:
        first, second, *_ = material()
        self._ask_for_commitment([first, second])
        self.request(HELD, [first], initiate=False)
        self._hold()
        if self.has("held", HELD):
            self.request(HELD, [first])
        self.request(RETRIED, [second, _LATE], missing=_LATE)
        self._run_tasks()
        self._report()
        self.store(_LATE)
        self._retry()
        self._release()
        self._run_tasks()

    def _run_tasks(self) -> None:
        for name in self.tasks:
            self.run_task(name)
        self.make()

    def _write(self, act: Callable[[Any], object], *expected: int) -> bool:
        def write() -> None:
            with self.database.writing() as session:
                act(session)

        return self._answer(write, *expected) in (0, *expected)

    def _read(self, query: Select[Any]) -> Sequence[Any]:
        """What the service answers; nothing while its disk fails."""
        try:
            with self.database.reading() as session:
                return session.scalars(query).all()
        except OutOfResources:
            return []

    def _ask_for_commitment(self, uids: Sequence[str]) -> None:
        references = [(material()[uid].sop_class_uid, uid) for uid in uids]
        if self.has("asked", _TRANSACTION):
            return
        ask = partial(
            commitment.request,
            transaction_uid=_TRANSACTION,
            references=references,
            calling_ae_title="MODALITY",
            called_ae_title="BURNISH",
        )
        if self._write(ask):
            self.diary.write("asked", _TRANSACTION)

    def _report(self) -> None:
        """Send the reports that are due; the peer notes what was promised."""
        judged = select(CommitmentTransaction.id).where(
            CommitmentTransaction.judged_at.is_not(None),
            CommitmentTransaction.reported_at.is_(None),
        )
        ids = self._read(judged)
        for commitment_id in ids:
            reports: list[commitment.Report | None] = []

            def claim(session: Any, commitment_id: int = commitment_id) -> None:
                reports.append(commitment.claim(session, commitment_id, early=True))  # noqa: B023

            if self._write(claim) and reports[-1] is not None:
                for item in reports[-1].committed:
                    self.diary.write("committed", item.sop_instance_uid)
                self._write(partial(commitment.delivered, commitment_id=commitment_id))

    def _hold(self) -> None:
        wanted = self.has("created", HELD) and not self.has("held", HELD)
        if wanted and self._write(partial(operations.hold, sop_instance_uid=HELD)):
            self.diary.write("held", HELD)

    def _release(self) -> None:
        if self.has("held", HELD) and not self.has("released", HELD):
            self.diary.write("releasing", HELD)
            if self._write(partial(operations.release, sop_instance_uid=HELD), 0xC201):
                self.diary.write("released", HELD)

    def _retry(self) -> None:
        failed = self._read(
            select(MediaCreationRequest.id).where(
                MediaCreationRequest.execution_status == ExecutionStatus.FAILURE
            )
        )
        if failed and self.has("stored", _LATE) and not self.has("retried", RETRIED):
            self.diary.write("retrying", RETRIED)
            if self._write(partial(operations.retry, sop_instance_uid=RETRIED)):
                self.diary.write("retried", RETRIED)

    def faults(self, *, rows_may_follow: bool = False) -> Iterator[str]:
        yield from super().faults(rows_may_follow=rows_may_follow)
        root, facts = Root(self.storage), self.diary.facts()
        claimed = root.rows(
            "SELECT m.sop_instance_uid FROM event e"
            " JOIN media_creation_request m ON e.request_id = m.id WHERE e.event = 'CLAIMED'"
        )
        begun = HELD in {row["sop_instance_uid"] for row in claimed}
        if begun and ("releasing", HELD) not in facts:
            yield "a piece of a request that is held was begun"
        ordered = [
            row["referenced_sop_instance_uid"]
            for row in root.rows(
                "SELECT r.referenced_sop_instance_uid FROM referenced_instance r"
                " JOIN media_creation_request m ON r.request_id = m.id"
                " WHERE m.standing_order = 'all'"
            )
        ]
        if len(set(ordered)) < len(ordered):
            yield "the standing order asked for an instance twice"

    def unsettled(self) -> Iterator[str]:
        root, facts = Root(self.storage), self.diary.facts()
        done = ("DONE", "NORMAL")
        released = ("released", HELD) in facts
        waiting = {("PENDING", "QUEUED"), ("PENDING", "NORMAL")}
        retried = ("retried", RETRIED) in facts
        yield from wrong_ends(
            root,
            facts,
            {
                HELD: {done} if released else {done, *waiting},
                RETRIED: {done} if retried else {done, ("FAILURE", "NO_INSTANCE")},
            },
        )
        for row in root.rows("SELECT * FROM media_creation_request"):
            status = row["execution_status"]
            if status in ("PENDING", "CREATING") and row["held_at"] is None:
                yield f"request {row['id']}: {status} {row['execution_status_info']}"
            if row["standing_order"] and status != "DONE":
                yield f"the request of the standing order: {status}"
        ordered = {
            row["referenced_sop_instance_uid"]
            for row in root.rows(
                "SELECT referenced_sop_instance_uid FROM referenced_instance r"
                " JOIN media_creation_request m ON r.request_id = m.id"
                " WHERE m.standing_order = 'all'"
            )
        }
        if ordered != set(_of_standing_order()):
            yield f"the standing order asked for {len(ordered)} instances"
        if ("asked", _TRANSACTION) in facts:
            rows = root.rows("SELECT * FROM storage_commitment")
            if [row["judged_at"] is None for row in rows] != [False]:
                yield "the Storage Commitment transaction was not judged once"
        yield from self.site.unsettled(root)

    def refused(self) -> Iterator[str]:
        for fact, subject in (
            ("asked", _TRANSACTION),
            ("initiated", HELD),
            ("initiated", RETRIED),
            ("stored", _LATE),
            ("released", HELD),
        ):
            if not self.has(fact, subject):
                yield f"never {fact}: {subject}"
        done = Root(self.storage).rows(
            "SELECT sop_instance_uid FROM media_creation_request WHERE execution_status = 'DONE'"
        )
        if RETRIED not in {row["sop_instance_uid"] for row in done}:
            yield "what had failed was never retried"


def _of_standing_order() -> dict[str, SampleInstance]:
    samples = [
        instance(
            sop_instance_uid=f"1.2.826.0.1.3680043.10.999.8.{number}",
            patient_id="P2",
            study="1.2.3.2",
            series="1.2.3.2.1",
            instance_number=number,
            size=3000,
        )
        for number in (11, 12)
    ]
    return {sample.sop_instance_uid: sample for sample in samples}


def new_template(path: Path, kind: Callable[[Path, Diary], Life]) -> None:
    """A root for lives of this kind, with the diary of what was done on it beside it."""
    diary = Diary(path.with_name(f"{path.name}.diary"))
    life = kind(path, diary)
    assert isinstance(life, Making)
    life.prepare()
    shutil.rmtree(life.site.memory, ignore_errors=True)


_FOLDERS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "labels": ("CD", "STD-GEN-CD", _LABELLED),
    "dvd": ("DVD", "STD-GEN-DVD-JPEG", {}),
    "bd": ("BD", "STD-GEN-BD", {}),
    "usb-image": ("USB", "STD-GEN-USB-JPEG", {}),
    "sd-image": ("SD", "STD-GEN-SD-JPEG", {}),
    "zip": ("MAIL", "STD-GEN-ZIP-MAIL", {}),
    "mime": ("MIME", "STD-GEN-MIME", {}),
    "secure": ("CD", "STD-GEN-SEC-CD", {}),
}
_SITES: dict[str, Callable[[Path, Diary], Site]] = {
    "stick": Stick,
    "drive": Drive,
    "primera": PrimeraSite,
    "epson": EpsonSite,
    **{
        name: partial(Folder, medium=medium, profile=profile, attributes=attributes)
        for name, (medium, profile, attributes) in _FOLDERS.items()
    },
}
#: The lives by name.
LIVES: dict[str, Callable[[Path, Diary], Life]] = {
    **{name: partial(Making, site=site) for name, site in _SITES.items()},
    "requests": partial(
        Requesting, site=partial(Folder, medium="CD", profile="", attributes={}, copies=1)
    ),
}
