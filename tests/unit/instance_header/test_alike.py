"""A data set like one before has the header that it would have if there had been none before."""

import io
import random
from pathlib import Path

import pytest

import material
from burnish.errors import BurnishError
from burnish.instance_header import header
from burnish.instance_header.alike import AlikeDataSets, LastKind
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

_REMEMBERED = 2


@pytest.fixture(autouse=True)
def alike(monkeypatch: pytest.MonkeyPatch) -> AlikeDataSets:
    """What is remembered of earlier data sets: nothing yet."""
    nothing = AlikeDataSets()
    monkeypatch.setattr(header, "_alike", nothing)
    return nothing


def index(data: bytes) -> object:
    """The header of a data set, or why it has none."""
    try:
        return header.index(
            data[: header.HEAD], len(data), EXPLICIT_VR_LITTLE_ENDIAN, lambda: io.BytesIO(data)
        )
    except BurnishError as error:
        return str(error)


def index_alone(data: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    """The header of a data set as if nothing had been indexed before."""
    with monkeypatch.context() as patch:
        patch.setattr(header, "_alike", AlikeDataSets())
        return index(data)


def ct_images(real_studies: material.RealStudies) -> list[Path]:
    """Images in Explicit VR Little Endian."""
    return [
        path
        for path in real_studies.all
        if (file := header.index_file(path)).transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        and file.header.directory_record_type == "IMAGE"
    ]


def data_set(path: Path) -> bytes:
    return path.read_bytes()[header.index_file(path).data_set_offset :]


def test_an_image_like_one_before_is_not_read_as_a_whole(
    real_studies: material.RealStudies, alike: AlikeDataSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_set(ct_images(real_studies)[0])
    for _ in range(_REMEMBERED):
        expected = index(data)
    uid = expected.sop_instance_uid.encode()  # type: ignore[attr-defined]
    other_uid = uid[:-1] + b"12"[uid.endswith(b"1") :][:1]
    other = data.replace(uid, other_uid)
    remembered = alike.index(other[: header.HEAD], len(other), EXPLICIT_VR_LITTLE_ENDIAN)
    assert remembered is not None
    assert remembered.sop_instance_uid == other_uid.decode()
    assert remembered.whole() == index_alone(other, monkeypatch)


def test_a_byte_that_differs_changes_the_header_as_if_nothing_was_remembered(
    real_studies: material.RealStudies, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    for path in ct_images(real_studies):
        data = data_set(path)
        for _ in range(_REMEMBERED):
            index(data)
        for _ in range(60):
            changed = bytearray(data)
            for _ in range(chance.choice((1, 1, 3))):
                position = chance.randrange(min(len(data), 2500))
                changed[position] = chance.choice((changed[position] ^ 1, 0x20, 0x31, 0xFF))
            assert index(bytes(changed)) == index_alone(bytes(changed), monkeypatch), path.name


def test_kinds_and_sizes_are_forgotten_before_they_take_too_much_memory(
    real_studies: material.RealStudies, alike: AlikeDataSets
) -> None:
    data = data_set(ct_images(real_studies)[0])
    for length in range(0, 400, 2):
        longer = data + b"\xfc\xff\xfc\xffOB\0\0" + length.to_bytes(4, "little") + bytes(length)
        for _ in range(_REMEMBERED):
            index(longer)
    remembered = [
        length
        for length in range(0, 400, 2)
        if alike.index(
            data + b"\xfc\xff\xfc\xffOB\0\0" + length.to_bytes(4, "little") + bytes(length),
            len(data) + 12 + length,
            EXPLICIT_VR_LITTLE_ENDIAN,
        )
    ]
    assert 0 < len(remembered) < 100


def test_series_that_arrive_at_the_same_time_do_not_let_each_other_be_forgotten(
    real_studies: material.RealStudies, alike: AlikeDataSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each association remembers what the data set before was like."""
    data = data_set(ct_images(real_studies)[0])
    series = index(data).series_instance_uid.encode()  # type: ignore[attr-defined]
    associations = []
    for number in range(100, 130):
        other = data.replace(series, series[:-3] + str(number).encode())
        last = LastKind()
        for _ in range(_REMEMBERED):
            index(other)
        assert last.index(alike, memoryview(other), EXPLICIT_VR_LITTLE_ENDIAN) is not None
        associations.append((last, other))
    for last, other in associations:
        remembered = last.index(alike, memoryview(other), EXPLICIT_VR_LITTLE_ENDIAN)
        assert remembered is not None
        assert remembered.whole() == index_alone(other, monkeypatch)
    last, _ = associations[0]
    assert last.index(alike, memoryview(data), EXPLICIT_VR_LITTLE_ENDIAN) is None
    _, other = associations[-1]
    assert last.index(alike, memoryview(other), EXPLICIT_VR_LITTLE_ENDIAN) is not None
    assert last.index(alike, memoryview(other + b"\0\0"), EXPLICIT_VR_LITTLE_ENDIAN) is None
