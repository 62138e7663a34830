"""The devices of a service in a crash campaign, and the people and machines that serve them.

These go on while the service is dead, and no fault or crash reaches what they know.
"""

import io
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom

from burnish.burn import BurnOutcome, BurnResult, mounted
from burnish.image.reader import open_volume
from burnish.secure_files import Keyring, open_secure
from burnish.settings import DeviceSettings, SecuritySettings
from burnish.write.worker import Worker
from crash.invariants import Root
from crash.life import Diary, material
from crash.steps import Steps
from digesting import digest_of
from factories import SampleInstance
from oracles import split
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from robots.robot import Robot

_PASSWORD = "correct horse battery staple"
_UNDER_WAY = "BURNISH.TMP"


class Site:
    """A device, and those who serve it.

    `root` holds the device; `memory` is a folder for what people and machines know and have.
    """

    copies = 2
    profile = ""
    attributes: Mapping[str, str] = {}
    #: Whether a crash of the service, or a fault of the disk, costs a blank.
    costs_blanks = False
    #: Whether the device is on the disk that fails, or loses power.
    on_disk = True
    #: What media are made of.
    samples: Mapping[str, SampleInstance]

    def __init__(self, root: Path, diary: Diary) -> None:
        self.root, self.diary = root, diary
        self.memory = diary.path.with_name(f"{diary.path.name}.memory")

    def tables(self) -> dict[str, Any]:
        """The tables of the settings that describe the device."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the folders of the device."""

    def reset(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.memory, ignore_errors=True)
        self.memory.mkdir()

    def remember(self) -> None:
        """Keep what is known and had now, at the end of a life, for `restore`."""
        shutil.rmtree(self._remembered, ignore_errors=True)
        shutil.copytree(self.memory, self._remembered)

    def restore(self, facts: Sequence[tuple[str, str]]) -> None:
        """Know and have again what there was when these facts were all."""
        del facts
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.copytree(self._remembered, self.memory)

    @property
    def _remembered(self) -> Path:
        return self.memory.with_name(f"{self.memory.name}.remembered")

    def handed_out(self, fact: str, subject: str) -> Sequence[str]:
        """The folders below `root` that are taken away with this fact."""
        del fact, subject
        return ()

    def attach(self, worker: Worker) -> None:
        """Serve the device of a new worker."""

    def meanwhile(self) -> None:
        """Do what is done while the service is dead."""

    def act(self) -> bool:
        """Do what the device asks for; whether the service can go on now."""
        return False

    def faults(self, root: Root) -> Iterator[str]:
        """What is wrong with media and what is recorded of them, at whatever moment."""
        if not self.costs_blanks:
            for row in root.rows("SELECT * FROM event WHERE event = 'RUINED'"):
                yield f"piece {row['piece_id']} was spoiled: {row['why']}"

    def unsettled(self, root: Root) -> Iterator[str]:
        """What is wrong once all media are made."""
        del root
        return iter(())

    # --- media that people take out of the device -------------------------------------------------

    def _take(self, medium: Path) -> None:
        """Take what is in the device and put it on the shelf."""
        shelf = self.memory / "shelf"
        shelf.mkdir(exist_ok=True)
        number = len(self._taken())
        target = shelf / str(number)
        shutil.rmtree(target, ignore_errors=True)
        if medium.is_dir():
            shutil.copytree(medium, target)
        else:
            shutil.copy(medium, target)
        self.diary.write("taken", str(number))

    def _taken(self) -> list[Path]:
        numbers = [subject for fact, subject in self.diary.facts() if fact == "taken"]
        return [self.memory / "shelf" / number for number in numbers]

    def _created(self, root: Root) -> int:
        return len(root.rows("SELECT 1 FROM piece WHERE state = 'CREATED'"))

    def _problem(self, medium: Path, password: str = "") -> str:
        """What is wrong with a medium; "" if it is whole."""
        try:
            digests = digests_on(medium, password)
        except Exception as error:  # noqa: BLE001  whatever a damaged medium leads to
            return f"{type(error).__name__}: {error}"
        wrong = [
            uid
            for uid, digest in digests.items()
            if uid.startswith("1.2.826") and digest_of(self.samples[uid].data_set) != digest
        ]
        if wrong or not digests:
            return f"{len(wrong)} of {len(digests)} instances are not what was stored"
        return ""


class Folder(Site):
    """A folder from which people take images of one medium as soon as they see them."""

    def __init__(
        self,
        root: Path,
        diary: Diary,
        *,
        medium: str,
        profile: str,
        attributes: Mapping[str, str],
        copies: int = 2,
    ) -> None:
        super().__init__(root, diary)
        self.profile, self.attributes, self.copies = profile, attributes, copies
        self._medium = medium

    def tables(self) -> dict[str, Any]:
        device = DeviceSettings(
            name="outbox",
            media=(self._medium,),
            label="" if self.attributes else "none",
            capacity=1_400_000_000 if self._medium == "SD" else None,
        )
        security = SecuritySettings(password=_PASSWORD, password_iterations=1000)
        return {"device": (device,), "security": security}

    def faults(self, root: Root) -> Iterator[str]:
        yield from super().faults(root)
        yield from root.published()
        manifests = {path.with_suffix("") for path in root.outbox.glob("R*/*.json")}
        for path in root.outbox.glob("R*/**/*"):
            is_image = path.suffix in (".iso", ".img", ".zip", ".eml") or path.name == "DICOM.ZIP"
            parent = path.parent if path.name == "DICOM.ZIP" else path.with_suffix("")
            if path.is_file() and is_image and parent not in manifests:
                problem = self._problem(path, _PASSWORD)
                if problem:
                    yield f"{path.name} has no manifest yet and is not whole: {problem}"

    def unsettled(self, root: Root) -> Iterator[str]:
        for manifest in root.outbox.glob("R*/*.json"):
            image = manifest.parent / manifest.stem / "DICOM.ZIP"
            if not image.exists():
                image = next(
                    path
                    for path in manifest.parent.glob(f"{manifest.stem}.*")
                    if path != manifest and path.suffix != ".pdf"
                )
            problem = self._problem(image, _PASSWORD)
            if problem:
                yield f"{image}: {problem}"
        if self.attributes:
            labels = {path.name for path in root.outbox.glob("R*/*.pdf")}
            expected = {
                f"VOLUME01{copy}{kind}.pdf" for copy in ("", "-COPY02") for kind in ("", "-ADDRESS")
            }
            if labels != expected and self._created(root) == len(expected) // 2:
                yield f"labels: {sorted(labels)}"


class Stick(Site):
    """Sticks that a person puts in, and takes out as soon as something is on them."""

    def __init__(self, root: Path, diary: Diary) -> None:
        super().__init__(root, diary)
        self.profile = "STD-GEN-USB-JPEG"
        self._stick = root / "stick"

    def tables(self) -> dict[str, Any]:
        device = DeviceSettings(name="stick", kind="mounted", media=("USB",), directory=self._stick)
        return {"device": (device,)}

    def prepare(self) -> None:
        self._stick.mkdir()

    def meanwhile(self) -> None:
        self.memory.mkdir(exist_ok=True)
        mounts = self.memory / "mountinfo"
        mounts.write_text(f"2 1 8:2 / {self._stick} rw - vfat /dev/sdb1 rw\n")
        mounted._MOUNTS = mounts

    def handed_out(self, fact: str, subject: str) -> Sequence[str]:
        del subject
        return ("stick",) if fact == "taken" else ()

    def act(self) -> bool:
        with Steps.of_this_process().outside():
            if not self._is_finished():
                return False
            self._take(self._stick)
            for path in self._stick.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        return True

    def _is_finished(self) -> bool:
        names = {path.name for path in self._stick.iterdir()}
        return bool(names) and _UNDER_WAY not in names

    def faults(self, root: Root) -> Iterator[str]:
        yield from super().faults(root)
        media = self._taken()
        if self._is_finished():
            media.append(self._stick)
        for medium in media:
            problem = self._problem(medium)
            if problem:
                yield f"a stick is not whole: {problem}"
        if len(media) < self._created(root):
            yield f"{len(media)} sticks for {self._created(root)} pieces"
        # a service that dies between publishing and recording makes one stick more
        if len(media) > self._created(root) + 1:
            yield f"{len(media)} sticks for only {self._created(root)} pieces"


class Drive(Site):
    """A drive, and a person who takes out each disc that is not blank, and puts in a blank."""

    copies = 1
    costs_blanks = True
    on_disk = False

    def __init__(self, root: Path, diary: Diary) -> None:
        super().__init__(root, diary)
        self._disc = root / "drive" / "disc"

    def attach(self, worker: Worker) -> None:
        burner: Any = worker.burner
        write = burner.write

        def watched_write(*arguments: Any) -> BurnResult:
            self.diary.write("burning")
            result: BurnResult = write(*arguments)
            if result.outcome is BurnOutcome.WRITTEN:
                number = len(list(self.memory.glob("burnt-*")))
                shutil.copy(self._disc, self.memory / f"burnt-{number}")
                self.diary.write("burnt", str(number))
            return result

        burner.write = watched_write

    def restore(self, facts: Sequence[tuple[str, str]]) -> None:
        """The disc in the drive is as it was: burnt, burnt in part, or blank."""
        super().restore(facts)
        self._disc.unlink(missing_ok=True)
        told = [fact for fact in facts if fact[0] in ("burning", "burnt", "taken")]
        if told and told[-1][0] == "burnt":
            shutil.copy(self.memory / f"burnt-{told[-1][1]}", self._disc)
        elif told and told[-1][0] == "burning":
            self._disc.write_bytes(b"in part" * 10_000)

    def tables(self) -> dict[str, Any]:
        device = DeviceSettings(
            name="drive", kind="optical", media=("CD",), drive=f"stdio:{self._disc}"
        )
        return {"device": (device,)}

    def prepare(self) -> None:
        self._disc.parent.mkdir()

    def act(self) -> bool:
        with Steps.of_this_process().outside():
            if self._is_blank():
                return False
            self._take(self._disc)
            self._disc.unlink()
        return True

    def _is_blank(self) -> bool:
        return not self._disc.exists() or not any(self._disc.read_bytes())

    def faults(self, root: Root) -> Iterator[str]:
        yield from super().faults(root)
        whole = sum(not self._problem(disc) for disc in self._discs())
        if whole < self._created(root):
            yield f"{whole} good discs for {self._created(root)} pieces"

    def unsettled(self, root: Root) -> Iterator[str]:
        spoiled = len(root.rows("SELECT 1 FROM piece WHERE state = 'SPOILED'"))
        discs, created = len(self._discs()), self._created(root)
        if discs > created + spoiled:
            yield f"{discs} discs, but {created} pieces were created and {spoiled} spoiled"

    def _discs(self) -> list[Path]:
        return [*self._taken(), *([] if self._is_blank() else [self._disc])]


class _RobotSite(Site):
    """A robot, which remembers its jobs and goes on while the service is dead."""

    kind: type[Robot]

    def __init__(self, root: Path, diary: Diary) -> None:
        super().__init__(root, diary)
        self._jobs, self._exchange = root / "jobs", root / "exchange"

    def prepare(self) -> None:
        self._jobs.mkdir()
        self._exchange.mkdir()

    def attach(self, worker: Worker) -> None:
        burner: Any = worker.burner
        burner._pause = self

    def wait(self, seconds: float) -> None:
        """Go on while the service waits, instead of letting time pass."""
        del seconds
        with Steps.of_this_process().outside():
            robot = self._robot()
            robot.step()
            number = 1 + self._steps_done()
            state = {
                name: value
                for name, value in vars(robot).items()
                if name not in ("_stopping", "_thread")
            }
            (self.memory / f"robot-{number}").write_bytes(pickle.dumps(state))
            self.diary.write("robot", str(number))

    def meanwhile(self) -> None:
        self.memory.mkdir(exist_ok=True)
        # now and then the robot has finished before the service is there again
        for _ in range(self._steps_done() % 4):
            self.wait(0)

    def _steps_done(self) -> int:
        numbers = [int(subject) for fact, subject in self.diary.facts() if fact == "robot"]
        return max(numbers, default=0)

    def _robot(self) -> Robot:
        robot = self.kind(self._jobs, self._exchange)
        number = self._steps_done()
        if number:
            state = (self.memory / f"robot-{number}").read_bytes()
            vars(robot).update(pickle.loads(state))  # noqa: S301
        return robot

    def faults(self, root: Root) -> Iterator[str]:
        yield from super().faults(root)
        robot = self._robot()
        if len(set(robot.touched)) < len(robot.touched):
            yield "a job was burnt twice"
        created = {
            row["device_job"] for row in root.rows("SELECT * FROM piece WHERE state = 'CREATED'")
        }
        if not created <= set(robot.good):
            yield f"no good disc of {created - set(robot.good)}"
        samples = [
            sample.data_set
            for uid, sample in material().items()
            if uid.startswith("1.2.826") and not uid.endswith(".3")
        ]
        for name, content in robot.discs.items():
            if not all(data in content for data in samples):
                yield f"the disc of job {name} is not what was to be burnt"

    def unsettled(self, root: Root) -> Iterator[str]:
        robot = self._robot()
        if len(robot.touched) != self._created(root):
            yield f"{len(robot.touched)} discs were burnt for {self._created(root)} pieces"


class PrimeraSite(_RobotSite):
    """A robot of Primera."""

    kind = PrimeraRobot

    def tables(self) -> dict[str, Any]:
        device = DeviceSettings(
            name="bravo",
            kind="primera",
            media=("CD",),
            directory=self._jobs,
            exchange=self._exchange,
            label="none",
        )
        return {"device": (device,)}


class EpsonSite(_RobotSite):
    """A robot of Epson."""

    kind = EpsonRobot

    def tables(self) -> dict[str, Any]:
        device = DeviceSettings(
            name="producer",
            kind="epson",
            media=("CD",),
            directory=self._jobs,
            exchange=self._exchange,
            compares=True,
        )
        return {"device": (device,)}


def digests_on(medium: Path, password: str = "") -> dict[str, str]:
    """The digest of each data set that the DICOMDIR of a medium leads to, by SOP Instance UID."""
    with open_volume(medium) as volume:
        files = open_secure(volume, Keyring(password=password.encode()))
        directory = pydicom.dcmread(io.BytesIO(files.read("DICOMDIR")))
        digests = {}
        for record in directory.DirectoryRecordSequence:
            if "ReferencedFileID" in record:
                parts = record.ReferencedFileID
                name = parts if isinstance(parts, str) else "\\".join(parts)
                _, data = split(files.read(name))
                digests[str(record.ReferencedSOPInstanceUIDInFile)] = digest_of(data)
        return digests
