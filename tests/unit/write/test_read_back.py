"""Reading back compares every byte: one that is changed anywhere on a volume is found."""

import hashlib
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from burnish import file_meta
from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.identifiers import new_uid
from burnish.image.formats import FORMATS
from burnish.image.reader import open_volume
from burnish.media import FileSystem
from burnish.secure_files import Sealer, protection
from burnish.settings import SecuritySettings
from burnish.verify import FaultCode
from burnish.write import pipeline
from burnish.write.pipeline import BuiltImage, VolumeInstance, VolumePlan
from digesting import digest_of
from factories import instance

#: Bytes of images that one test reads, and so how many changes it tries. The choice of bytes
#: differs from run to run.
BUDGET = 200 << 20


@dataclass
class Volume:
    """A volume as it was built."""

    plan: VolumePlan
    image: Path
    built: BuiltImage

    def faults(self, written: Path | None = None) -> list[tuple[str, str]]:
        report = pipeline.read_back(self.plan, written or self.image, self.built, fresh=False)
        assert report.good == (not report.faults)
        return [(fault.code, fault.where) for fault in report.faults]


def build(folder: Path, file_system: FileSystem, sealer: Sealer | None = None) -> Volume:
    instances = []
    for number in range(3):
        sample = instance(instance_number=number + 1, size=3000 + 777 * number)
        meta = file_meta.encode(
            sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
        )
        path = folder / f"instance{number}"
        path.write_bytes(meta + sample.data_set)
        instances.append(
            VolumeInstance(
                f"DICOM\\PA000001\\IM{number:06}",
                sample.header,
                sample.transfer_syntax_uid,
                Slice.of_file(path),
                len(meta),
                digest_of(sample.data_set),
            )
        )
    target = folder / f"volume{FORMATS[file_system].suffix}"
    created = datetime(2026, 5, 6, tzinfo=UTC)
    plan = VolumePlan("SET", new_uid(), created, 0, file_system, tuple(instances), sealer)
    with pytest.raises(Exception, match="bytes, but 0 were planned") as refused:
        pipeline.build_image(plan, target)
    size = int(str(refused.value).split()[3])
    plan = VolumePlan("SET", plan.file_set_uid, created, size, file_system, plan.instances, sealer)
    return Volume(plan, target, pipeline.build_image(plan, target))


@pytest.fixture(params=list(FORMATS), ids=str)
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    return build(tmp_path, request.param)


def regions(volume: Volume) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and end of each region: each file, and what lies between the files.

    What is not a file is cut into pieces, so that the structures of the file system, which take
    little room, are hit.
    """
    size = volume.image.stat().st_size
    with open_volume(volume.image) as opened:
        table = opened._table  # type: ignore[attr-defined]
    content = [] if table.content else sorted(table.sections.items(), key=lambda item: item[1])
    end = 0
    for name, sections in content:
        for start, length in sections:
            yield from pieces(end, start)
            yield name, start, start + min(length, 400)
            yield name, start, start + length
            end = start + length
    yield from pieces(end, size)


def pieces(start: int, end: int) -> Iterator[tuple[str, int, int]]:
    step = max(2048, (end - start) // (8 if end - start < 1 << 24 else 2))
    for first in range(start, end, step):
        yield "between files", first, min(end, first + step)


def test_a_byte_that_is_changed_in_any_region_is_found(volume: Volume) -> None:
    assert volume.faults() == []
    chosen = random.Random()
    tried = list(regions(volume))
    flips = max(1, BUDGET // volume.plan.predicted_size // len(tried))
    if volume.plan.predicted_size > 100 << 20:
        tried = chosen.sample(tried, 6)
    with volume.image.open("r+b", buffering=0) as image:
        for name, start, end in tried:
            for _ in range(min(4, flips)):
                position = chosen.randrange(start, end)
                image.seek(position)
                (byte,) = image.read(1)
                image.seek(position)
                image.write(bytes([byte ^ 1 << chosen.randrange(8)]))
                faults = faults_of(volume)
                assert faults, f"byte {position} in {name} was changed and nobody noticed"
                if name != "between files":
                    assert name in {where for _, where in faults}, (position, name, faults)
                image.seek(position)
                image.write(bytes([byte]))
    assert volume.faults() == []


def faults_of(volume: Volume) -> list[tuple[str, str]]:
    """The faults; a file system that cannot be opened any more is one."""
    try:
        return volume.faults()
    except Unreadable as error:
        return [("UNREADABLE", str(error))]


def test_a_change_of_any_byte_that_is_not_zero_is_found(volume: Volume) -> None:
    data = volume.image.read_bytes()
    written = np.flatnonzero(np.frombuffer(data, np.uint8)).tolist()
    count = max(5, min(40, BUDGET // len(data)))
    chosen = random.Random().sample(written, count)
    with volume.image.open("r+b", buffering=0) as image:
        for position in chosen:
            image.seek(position)
            image.write(bytes([data[position] ^ 0x20]))
            assert faults_of(volume), f"byte {position} was changed and nobody noticed"
            image.seek(position)
            image.write(data[position : position + 1])


@pytest.mark.parametrize("change", ["shorter", "much shorter", "empty"])
def test_an_image_that_is_too_short_is_a_fault(volume: Volume, change: str) -> None:
    size = volume.image.stat().st_size
    cut = {"shorter": size - 1, "much shorter": size // 2, "empty": 0}[change]
    os.truncate(volume.image, cut)
    assert faults_of(volume)


def test_the_digests_are_those_of_what_was_read_back(volume: Volume) -> None:
    report = pipeline.read_back(volume.plan, volume.image, volume.built, fresh=True)
    assert report.sha256 == hashlib.sha256(volume.image.read_bytes()).hexdigest()
    with open_volume(volume.image) as opened:
        files = {name: opened.read(name) for name in opened.files()}
    assert report.digests.keys() == files.keys()
    for name, digest in report.digests.items():
        head, data = files[name][: digest.offset], files[name][digest.offset :]
        assert digest.size == len(files[name])
        assert digest.digest == digest_of(data)
        assert digest.head == (digest_of(head) if head else "")
    assert len(files) == 5


def test_an_image_that_changed_after_it_was_hashed_is_a_fault(tmp_path: Path) -> None:
    """Also where only the layout or only the digests of the hashing tell."""
    volume = build(tmp_path, FileSystem.ISO_9660_LEVEL_1)
    other = build(tmp_path, FileSystem.ISO_9660_LEVEL_1)
    mixed = other.built._replace(hashing=volume.built.hashing)
    report = pipeline.read_back(other.plan, other.image, mixed, fresh=False)
    assert {fault.code for fault in report.faults} == {FaultCode.VOLUME_DIFFERS}
    assert report.sha256 == ""


# --- directories, as on a stick ------------------------------------------------------------------


def copied(volume: Volume, target: Path) -> Path:
    for name, chunks in pipeline.image_files(volume.image):
        path = target.joinpath(*name.split("\\"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(bytes(chunk) for chunk in chunks))
    return target


def check_every_file(volume: Volume, stick: Path) -> None:
    assert volume.faults(stick) == []
    chosen = random.Random()
    for path in sorted(path for path in stick.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = str(path.relative_to(stick)).replace("/", "\\")
        positions = [0, 64, 127, len(data) - 1, *(chosen.randrange(len(data)) for _ in range(8))]
        for position in positions:
            changed = bytearray(data)
            changed[position] ^= 1
            path.write_bytes(changed)
            assert name in {where for _, where in faults_of_stick(volume, stick)}, (name, position)
        path.write_bytes(data + b"\0")
        assert name in {where for _, where in faults_of_stick(volume, stick)}
        path.unlink()
        assert name in {where for _, where in faults_of_stick(volume, stick)}
        path.write_bytes(data)
    assert volume.faults(stick) == []


def faults_of_stick(volume: Volume, stick: Path) -> list[tuple[str, str]]:
    return volume.faults(stick)


def test_every_byte_of_every_file_on_a_stick_is_compared(tmp_path: Path) -> None:
    volume = build(tmp_path, FileSystem.FAT)
    check_every_file(volume, copied(volume, tmp_path / "stick"))


@pytest.fixture
def protected(tmp_path: Path) -> protection.Protection:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple\n")
    password.chmod(0o600)
    return protection.load_protection(
        SecuritySettings(password_iterations=100_000), recipients="", password_file=str(password)
    )


@pytest.fixture
def sealer(protected: protection.Protection) -> Sealer:
    return Sealer(protected)


class _SealerOfOtherContent(Sealer):
    """Changes the last byte of each file before it is sealed."""

    def seal(self, key: bytes, plain_size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        content = b"".join(chunks)
        return super().seal(key, plain_size, [content[:-1], bytes([content[-1] ^ 1])])


def test_what_was_sealed_is_compared_with_what_was_to_be_sealed(
    tmp_path: Path, protected: protection.Protection
) -> None:
    volume = build(tmp_path, FileSystem.FAT, _SealerOfOtherContent(protected))
    faults = volume.faults()
    assert (FaultCode.DICOMDIR_DIFFERS, "DICOMDIR") in faults
    for planned in volume.plan.instances:
        assert (FaultCode.DATA_SET_DIFFERS, planned.file_id) in faults


def test_every_byte_of_a_secure_volume_is_compared(tmp_path: Path, sealer: Sealer) -> None:
    volume = build(tmp_path, FileSystem.FAT, sealer)
    check_every_file(volume, copied(volume, tmp_path / "stick"))
    chosen = random.Random()
    with volume.image.open("r+b", buffering=0) as image:
        for _, start, end in regions(volume):
            position = chosen.randrange(start, end)
            image.seek(position)
            (byte,) = image.read(1)
            image.seek(position)
            image.write(bytes([byte ^ 1]))
            assert faults_of(volume)
            image.seek(position)
            image.write(bytes([byte]))


def test_a_plain_file_on_a_secure_volume_is_a_fault(tmp_path: Path, sealer: Sealer) -> None:
    volume = build(tmp_path, FileSystem.FAT, sealer)
    stick = copied(volume, tmp_path / "stick")
    plain = volume.plan.instances[0]
    stick.joinpath(*plain.file_id.split("\\")).write_bytes(b"".join(plain.source.pieces()))
    codes = {code for code, where in volume.faults(stick) if where == plain.file_id}
    assert FaultCode.FILE_NOT_SECURE in codes


# --- the page cache ------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("kind", ["image", "directory"])
def test_the_page_cache_is_dropped_before_a_medium_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fresh: bool
) -> None:
    volume = build(tmp_path, FileSystem.ISO_9660_LEVEL_1)
    written = volume.image if kind == "image" else copied(volume, tmp_path / "stick")
    dropped: set[str] = set()
    advise = os.posix_fadvise

    def spy(descriptor: int, offset: int, length: int, advice: int) -> None:
        if advice == os.POSIX_FADV_DONTNEED:
            assert offset == 0
            assert length == 0
            dropped.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", spy)
    pipeline.read_back(volume.plan, written, volume.built, fresh=fresh)
    files = {str(written)}
    if kind == "directory":
        files = {str(path) for path in written.rglob("*") if path.is_file()}
    assert dropped == (files if fresh else set())
