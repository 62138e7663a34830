"""Appending instances to a DICOMDIR."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factories
import made_entries
import material
from burnish.dicomdir import appending, file_ids
from burnish.directory_records import ROOT_TYPES
from burnish.errors import BurnishError, Conflict
from burnish.values import DirectoryEntry, InstanceHeader
from made_entries import EVERY_KEY, empty
from unit.dicomdir.test_encoder import _header, encode, errors, walked


def entries(headers: Iterable[InstanceHeader], taken: Iterable[str] = ()) -> list[DirectoryEntry]:
    """Entries in directory order, with File IDs after those taken."""
    ordered = [entry.header for entry in made_entries.entries(headers)]
    names = file_ids.assign(map(made_entries.place, ordered), taken)
    return [
        DirectoryEntry(name, header, "1.2.840.10008.1.2.1")
        for name, header in zip(names, ordered, strict=True)
    ]


def in_two_steps(
    first: Iterable[InstanceHeader], then: Iterable[InstanceHeader]
) -> tuple[bytes, bytes]:
    """The DICOMDIR of the first instances, and that of all."""
    before = entries(first)
    data = encode(before)
    more = entries(then, [entry.file_id for entry in before])
    return data, appending.append_entries(appending.read_earlier(data), more, EVERY_KEY)


def bodies(data: bytes) -> list[bytes]:
    return [record.body for record in appending.read_earlier(data).all_records()]


def test_real_files_in_two_steps(real_studies: material.RealStudies, tmp_path: Path) -> None:
    headers = made_entries.headers(real_studies.all)
    first, data = in_two_steps(headers[::2], headers[1::2])
    (tmp_path / "DICOMDIR").write_bytes(data)
    assert errors(tmp_path / "DICOMDIR") == []
    leaves = [record.get("ReferencedSOPInstanceUIDInFile") for _, record in walked(data)]
    assert sorted(filter(None, leaves)) == sorted(header.sop_instance_uid for header in headers)
    assert [body for body in bodies(data) if body in set(bodies(first))] == bodies(first)


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(1, 5)),
        st.booleans(),
        max_size=20,
    ),
    st.sampled_from(["Doe^Jane", "Dœ^Jané", ""]),
    st.dictionaries(st.sampled_from(sorted(ROOT_TYPES)), st.booleans()),
)
def test_each_entity_has_one_record(
    places: dict[tuple[int, int, int, int], bool], name: str, roots: dict[str, bool]
) -> None:
    steps: tuple[list[InstanceHeader], list[InstanceHeader]] = ([], [])
    for place, then in places.items():
        steps[then].append(_header(*place, name, numbered=True))
    for number, (record, then) in enumerate(roots.items()):
        steps[then].append(empty(record)._replace(sop_instance_uid=f"1.3.{number}"))
    first, data = in_two_steps(*steps)
    kinds = [kind for kind, _ in walked(data)]
    assert kinds.count("IMAGE") == len(places)
    assert kinds.count("PATIENT") == len({p[:2] if p[0] == 0 else p[:1] for p in places})
    assert kinds.count("STUDY") == len({p[:2] for p in places})
    assert kinds.count("SERIES") == len({p[:3] for p in places})
    assert len(kinds) == len(bodies(data))
    assert [body for body in bodies(data) if body in set(bodies(first))] == bodies(first)


def test_appending_gives_the_dicomdir_of_one_step_if_the_order_is_the_same() -> None:
    headers = [_header(1, 1, 1, number, "Doe^Jane", numbered=True) for number in (1, 2)]
    whole = encode(made_entries.entries(headers))
    half = appending.read_earlier(encode(made_entries.entries(headers[:1])))
    assert appending.append_entries(half, made_entries.entries(headers)[1:], EVERY_KEY) == whole
    assert appending.append_entries(appending.read_earlier(whole), [], EVERY_KEY) == whole


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"sop_instance_uid": "1.2.9"}, "already"),
        ({"patient_name": "Roe^Jane"}, "for another patient"),
        ({"study": "1.5", "series": "1.5.1", "patient_name": "DOE^JANE"}, ""),
        ({"patient_id": "P2", "study": "1.5", "series": "1.5.1"}, ""),
        ({"study": "1.5"}, "Series Instance UID .* another study on the disc"),
        ({"patient_id": "P2"}, "Study Instance UID .* another Patient ID on the disc"),
    ],
)
def test_entries_that_conflict_with_earlier_records_are_rejected(
    more: dict[str, Any], why: str
) -> None:
    first = [factories.instance(sop_instance_uid="1.2.9").header]
    then = [factories.instance(**more).header]
    if not why:
        assert len(walked(in_two_steps(first, then)[1])) > 4
        return
    with pytest.raises(Conflict, match=why):
        in_two_steps(first, then)


DATA = encode(
    made_entries.entries([_header(1, 1, 1, n, "Doe^Jane", numbered=True) for n in (1, 2)])
)


@settings(max_examples=40, deadline=None)
@given(st.integers(132, len(DATA) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_dicomdir_raises_only_own_errors(at: int, damage: bytes) -> None:
    with contextlib.suppress(BurnishError):
        appending.read_earlier(DATA[:at] + damage + DATA[at + len(damage) :])
