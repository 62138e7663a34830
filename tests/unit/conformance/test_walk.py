"""The statement is asked of the code that runs: contexts, rejections, derived images."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom.uid import UID

import material
from burnish.access.peers import Caller
from burnish.conformance import Statement, make_statement
from burnish.conformance.document import StatementTable
from burnish.conformance.object_tables import DERIVED_IMAGE
from burnish.file_slice import Slice
from burnish.scp.negotiation import OPERATIONS, Acceptance, Negotiator, Rejection
from burnish.settings import DicomSettings, PeerSettings, Settings, UserSettings
from burnish.transcode import lossy
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID, JPEG_2000, JPEG_BASELINE, VERIFICATION
from peer import IMPLICIT, associate_rq, context

OPEN = Settings(dicom=DicomSettings(accept_unknown_peers=True))
CALLER = Caller("127.0.0.1")
MAXIMUM_CONTEXTS = 128


@pytest.fixture(scope="module")
def statement() -> Statement:
    return make_statement(OPEN)


def rows(statement: Statement, caption: str) -> list[dict[str, str]]:
    (content,) = {table for table in statement.tables if table.caption == caption}
    assert isinstance(content, StatementTable)
    return [dict(zip(content.columns, row, strict=True)) for row in content.rows]


def answer(pdu: bytes, settings: Settings = OPEN) -> Acceptance | Rejection:
    return Negotiator(settings).answer(pdu[6:], CALLER)


def batches(pairs: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(pairs), MAXIMUM_CONTEXTS):
        yield pairs[start : start + MAXIMUM_CONTEXTS]


def refused(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The contexts that the service does not accept, of SOP Classes and transfer syntaxes."""
    negotiator = Negotiator(OPEN)
    result = []
    for batch in batches(pairs):
        contexts = [
            context(2 * number + 1, sop_class, transfer_syntax)
            for number, (sop_class, transfer_syntax) in enumerate(batch)
        ]
        accepted = negotiator.answer(associate_rq(*contexts)[6:], CALLER)
        assert isinstance(accepted, Acceptance)
        result += [
            pair
            for number, pair in enumerate(batch)
            if accepted.contexts.get(2 * number + 1) is None
        ]
    return result


def test_every_sop_class_is_accepted_with_every_transfer_syntax(statement: Statement) -> None:
    scp = [row for row in rows(statement, "SOP Classes of the AE") if row["SCP"] == "Yes"]
    classes = [row["SOP Class UID"] for row in scp if row["SOP Class UID"] not in OPERATIONS]
    syntaxes = [
        row["Transfer Syntax UID"] for row in rows(statement, "Transfer syntaxes of Storage")
    ]
    assert refused(list(itertools.product(classes, syntaxes))) == []


def test_what_is_only_used_is_not_accepted(statement: Statement) -> None:
    used = [row for row in rows(statement, "SOP Classes of the AE") if row["SCP"] == "No"]
    pairs = [(row["SOP Class UID"], IMPLICIT) for row in used]
    assert pairs
    assert refused(pairs) == pairs


def test_the_contexts_of_other_services_are_accepted_as_listed(statement: Statement) -> None:
    for row in rows(statement, "Presentation contexts that are accepted"):
        if row["UID"] not in OPERATIONS:
            continue
        operation = row["Operation of `peer.may`"].strip("`")
        assert OPERATIONS[row["UID"]] == operation
        listed = [part.rpartition(" ")[2] for part in row["Transfer syntaxes"].split("; ")]
        assert refused([(row["UID"], syntax) for syntax in listed]) == []
        assert refused([(row["UID"], JPEG_2000)]) == [(row["UID"], JPEG_2000)]


def test_each_result_of_a_context_can_be_had_as_listed(statement: Statement) -> None:
    stores_only = Settings(peer=(PeerSettings(ae_title="PEER", may=("store",)),))
    pdu = associate_rq(
        context(1, "1.2.840.10008.5.1.4.1.1.2", IMPLICIT),
        context(3, "1.2.840.10008.5.1.1.33", IMPLICIT),
        context(5, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT),
        context(7, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.94"),
    )
    accepted = answer(pdu, stores_only)
    assert isinstance(accepted, Acceptance)
    results = [accepted.pdu[at + 6] for at in _items_of_results(accepted.pdu)]
    listed = {
        int(row["Result"])
        for row in rows(statement, "Results of proposed presentation contexts")
        if row["When"] != "never"
    }
    assert set(results) == listed


def _items_of_results(pdu: bytes) -> Iterator[int]:
    """The offsets of the presentation context items of an A-ASSOCIATE-AC."""
    at = 74
    while at < len(pdu):
        if pdu[at] == 0x21:
            yield at
        at += 4 + int.from_bytes(pdu[at + 2 : at + 4], "big")


def test_each_rejection_can_be_had_as_listed(statement: Statement) -> None:
    with_user = Settings(
        dicom=DicomSettings(accept_unknown_peers=True, user_identity="required"),
        user=(UserSettings(name="ct1"),),
    )
    other_version = associate_rq()[:6] + b"\0\2" + associate_rq()[8:]
    rejections = [
        answer(associate_rq(application_context="1.2.3")),
        answer(associate_rq(), Settings()),
        answer(associate_rq(called=b"OTHER")),
        answer(associate_rq(), with_user),
        answer(other_version),
        Rejection.of_congestion("the service is stopping"),
        Rejection.of_limit("too many associations"),
    ]
    triples = set()
    for rejection in rejections:
        assert isinstance(rejection, Rejection)
        triples.add((rejection.result, rejection.source, rejection.reason))
    listed = {
        tuple(int(row[name].split(" ")[0]) for name in ("Result", "Source", "Reason"))
        for row in rows(statement, "Rejection of associations")
    }
    assert triples == listed


def test_the_maximum_length_and_the_implementation_are_announced(statement: Statement) -> None:
    accepted = answer(associate_rq(context(1, VERIFICATION, IMPLICIT)))
    assert isinstance(accepted, Acceptance)
    limits = {row["What"]: row["Bytes at most"] for row in rows(statement, "Limits of sizes")}
    maximum_length = int(limits["PDU that peers may send (maximum length, PS3.8 D.1)"])
    assert b"\x51\x00\x00\x04" + maximum_length.to_bytes(4, "big") in accepted.pdu
    assert IMPLEMENTATION_CLASS_UID.encode() in accepted.pdu
    assert dict(statement.cover)["Implementation Class UID"] == IMPLEMENTATION_CLASS_UID


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_BASELINE])
def test_a_derived_image_differs_as_the_statement_says(
    real_studies: material.RealStudies, tmp_path: Path, syntax: str
) -> None:
    path = real_studies.file("examples_rgb_color.dcm")
    lossy.compress(Slice.of_file(path), tmp_path / "derived", syntax)
    source, derived = material.read(path), material.read(tmp_path / "derived")
    assert UID(derived.file_meta.TransferSyntaxUID) == syntax
    changed = {
        int(tag)
        for tag in {*source.keys(), *derived.keys()}
        if tag not in source or tag not in derived or source[tag].value != derived[tag].value
    }
    removed = {int(tag) for tag in source.keys() - derived.keys()}
    listed = {tag for tag, _, _ in DERIVED_IMAGE}
    assert removed <= {*lossy.NO_LONGER_TRUE, 0xFFFAFFFA}
    assert changed - removed <= listed
    always = {tag for tag, _, presence in DERIVED_IMAGE if presence == "ALWAYS"}
    assert always <= {int(tag) for tag in derived.keys()}  # noqa: SIM118  of a data set
