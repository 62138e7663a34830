"""The statement is asked of the code that runs: contexts, rejections, derived images."""

import itertools
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import ServiceUser

import made_entries
import material
from burnish import file_meta
from burnish.access import peer_test
from burnish.access.peers import Caller
from burnish.conformance.document import Statement, StatementTable
from burnish.conformance.object_tables import DERIVED_IMAGE
from burnish.conformance.statement import make_statement
from burnish.db.session import Database
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import header_on_media, record_keys
from burnish.file_slice import Slice
from burnish.request import burn_test, query_retrieve
from burnish.request.query_retrieve import Archive, SearchHints
from burnish.scp.event_reports import Reporter
from burnish.scp.negotiation import OPERATIONS, Acceptance, Negotiator, Rejection
from burnish.settings import (
    DicomSettings,
    PeerSettings,
    RetrievalSettings,
    Settings,
    UserSettings,
)
from burnish.transcode import lossy
from burnish.vocabulary import (
    IMPLEMENTATION_CLASS_UID,
    JPEG_2000,
    JPEG_BASELINE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from factories import new_database
from peer import EXPLICIT, IMPLICIT, associate_rq, context

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
    others = {VERIFICATION, *OPERATIONS}
    classes = [row["SOP Class UID"] for row in scp if row["SOP Class UID"] not in others]
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
        if row["UID"] not in {VERIFICATION, *OPERATIONS}:
            continue
        operation = OPERATIONS.get(row["UID"])
        named = row["Operation of `peer.may`"]
        assert named.strip("`") == operation if operation else named.startswith("none")
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


# --- the DICOMDIR and File Meta Information ---


def elements(data_set: Dataset) -> set[str]:
    return {f"({tag.group:04X},{tag.element:04X})" for tag in data_set.keys()}  # noqa: SIM118


def test_a_dicomdir_has_only_the_elements_of_the_statement(
    statement: Statement, real_studies: material.RealStudies
) -> None:
    headers = [*made_entries.headers(real_studies.all), made_entries.empty("HANGING PROTOCOL")]
    with_keys = [header_on_media(header, "STD-GEN-DVD-JPEG") for header in headers]
    encoded = encoder.encode(
        made_entries.entries(with_keys),
        keys=record_keys("STD-GEN-DVD-JPEG"),
        file_set_id="BURNISH_1",
        file_set_uid="1.2.3.4",
    )
    directory = pydicom.dcmread(BytesIO(encoded))
    content = rows(statement, "DICOMDIR: File-set Identification and Directory Information")
    of_the_set = {row["Tag"] for row in content if not row["Attribute"].startswith(">")}
    assert elements(directory) <= of_the_set
    always = {
        row["Tag"]
        for row in content
        if row["Presence"] == "ALWAYS" and not row["Attribute"].startswith(">")
    }
    assert always <= elements(directory)
    of_each_record = {row["Tag"] for row in content if row["Attribute"].startswith(">")}
    listed = keys_by_record(statement)
    for record in directory.DirectoryRecordSequence:
        keys = elements(record) - of_each_record
        assert keys <= listed[record.DirectoryRecordType], record.DirectoryRecordType


def keys_by_record(statement: Statement) -> dict[str, set[str]]:
    """The tags that the statement lists for each type of record, of every profile."""
    keys: dict[str, set[str]] = {}
    for row in rows(statement, "DICOMDIR: keys of directory records"):
        keys.setdefault(row["Record"].removesuffix(" (root)"), set()).add(row["Tag"])
    for row in rows(statement, "DICOMDIR: keys that profiles add"):
        tags = re.findall(r"\([0-9A-F]{4},[0-9A-F]{4}\)", row["Attribute, tag, Type, presence"])
        keys.setdefault(row["Record"], set()).update(tags)
    return keys


def test_what_an_instance_lacks_is_supplied_as_the_statement_says(statement: Statement) -> None:
    header = made_entries.empty("SR DOCUMENT")
    encoded = encoder.encode(
        made_entries.entries([header]),
        keys=made_entries.EVERY_KEY,
        file_set_id="BURNISH_1",
        file_set_uid="1.2.3.4",
    )
    directory = pydicom.dcmread(BytesIO(encoded))
    records = {record.DirectoryRecordType: record for record in directory.DirectoryRecordSequence}
    for row in rows(statement, "DICOMDIR: keys of directory records"):
        record = records.get(row["Record"])
        supplied = re.fullmatch(r"instance; `([^`]+)`", row["Source, and the value without it"])
        if record is not None and supplied is not None:
            tag = int(row["Tag"][1:5] + row["Tag"][6:10], 16)
            assert str(record[tag].value) == supplied[1], row


def test_the_presence_of_each_key_follows_from_its_type(statement: Statement) -> None:
    for row in rows(statement, "DICOMDIR: keys of directory records"):
        presence = {"1": "ALWAYS", "1C": "ANAP", "2": "VNAP", "\u2013": "\u2013"}
        assert row["Presence"] == presence[row["Type"]]


def test_file_meta_information_is_as_the_statement_says(statement: Statement) -> None:
    encoded = file_meta.encode("1.2.840.10008.5.1.4.1.1.2", "1.2.3", IMPLICIT, "CT1")
    meta = pydicom.dcmread(BytesIO(encoded)).file_meta
    content = rows(statement, "Preamble and File Meta Information of the files on media")
    listed = {row["Tag"]: row["Value in instances"] for row in content if row["Tag"] != "\u2013"}
    assert elements(meta) - {"(0002,0000)"} == set(listed)
    assert encoded[:128] == bytes(128)
    assert meta.ImplementationClassUID == listed["(0002,0012)"]
    assert meta.ImplementationVersionName == listed["(0002,0013)"]
    assert meta.SourceApplicationEntityTitle == "CT1"


def test_the_dicomdir_has_no_source_ae_title(statement: Statement) -> None:
    encoded = encoder.encode(
        made_entries.entries([made_entries.empty("IMAGE")]),
        keys=made_entries.EVERY_KEY,
        file_set_id="BURNISH_1",
        file_set_uid="1.2.3.4",
    )
    meta = pydicom.dcmread(BytesIO(encoded)).file_meta
    content = rows(statement, "Preamble and File Meta Information of the files on media")
    listed = {row["Tag"]: row["Value in the DICOMDIR"] for row in content}
    assert listed["(0002,0016)"] == "absent"
    assert "SourceApplicationEntityTitle" not in meta
    assert meta.MediaStorageSOPClassUID == listed["(0002,0002)"]
    assert meta.TransferSyntaxUID in listed["(0002,0010)"]


# --- associations that Burnish requests ---


class Acceptor:
    """An AE that accepts what Burnish proposes and keeps the proposals."""

    def __init__(self, *sop_classes: str) -> None:
        self.proposals: list[ServiceUser] = []
        self.identifiers: list[Dataset] = []
        ae = AE("ARCHIVE")
        for uid in sop_classes:
            ae.add_supported_context(uid, [EXPLICIT, IMPLICIT, *query_retrieve.COMPRESSED])
        self._server = ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_ACCEPTED, self._keep),
                (evt.EVT_C_FIND, self._find),
                (evt.EVT_C_ECHO, lambda _event: 0),
                (evt.EVT_C_STORE, lambda _event: 0),
            ],
        )

    def _keep(self, event: evt.Event) -> None:
        self.proposals.append(event.assoc.requestor)

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        """Each query has one match, with a value for each UID that is asked for."""
        identifier = event.identifier
        self.identifiers.append(identifier)
        match = Dataset()
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            if keyword in identifier:
                setattr(match, keyword, identifier[keyword].value or "1.2.3")
        yield 0xFF00, match

    def peer(self) -> PeerSettings:
        port = self._server.server_address[1]
        return PeerSettings(ae_title="ARCHIVE", host="127.0.0.1", port=port, may=("retrieve",))

    def __enter__(self) -> "Acceptor":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def proposed(requestor: ServiceUser) -> set[tuple[str, tuple[str, ...]]]:
    return {
        (str(item.abstract_syntax), tuple(map(str, item.transfer_syntax)))
        for item in requestor.requested_contexts
    }


def syntaxes_in(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"1\.2\.840\.10008\.1\.2[0-9.]*[0-9]|1\.2\.840\.10008\.1\.2\b", text))


@pytest.mark.parametrize("method", ["C-MOVE", "C-GET"])
def test_retrieval_proposes_what_the_statement_says(
    statement: Statement, method: Literal["C-MOVE", "C-GET"]
) -> None:
    ct = "1.2.840.10008.5.1.4.1.1.2"
    settings = Settings(retrieval=RetrievalSettings(method=method))
    with Acceptor(STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET, ct) as acceptor:
        with Archive(acceptor.peer(), settings, sop_classes=[ct], store=lambda _instance: None):
            pass
        (requestor,) = acceptor.proposals
    content = rows(statement, "Presentation contexts proposed to retrieve instances")
    by_uid = {row["UID"]: row for row in content}
    retrieve = STUDY_ROOT_GET if method == "C-GET" else STUDY_ROOT_MOVE
    wanted = {
        (uid, syntaxes_in(by_uid[uid]["Transfer syntaxes"])) for uid in (STUDY_ROOT_FIND, retrieve)
    }
    if method == "C-GET":
        together, _, apart = by_uid["as requested"]["Transfer syntaxes"].partition("of its own")
        wanted.add((ct, syntaxes_in(together)))
        wanted |= {(ct, (syntax,)) for syntax in syntaxes_in(apart)}
        assert requestor.role_selection[UID(ct)].scp_role
    assert proposed(requestor) == wanted
    assert requestor.sop_class_extended[UID(STUDY_ROOT_FIND)] == b"\1"
    assert requestor.maximum_length == settings.dicom.maximum_pdu_size
    assert requestor.asynchronous_operations == (1, 1)


def test_reports_propose_what_the_statement_says(statement: Statement, tmp_path: Path) -> None:
    with Acceptor(STORAGE_COMMITMENT_PUSH_MODEL) as acceptor:
        settings = Settings(peer=(acceptor.peer(),))
        database = Database(new_database(tmp_path / "database"))
        reporter = Reporter(settings, database)
        reporter.deliver("ARCHIVE", "BURNISH", [])
        reporter.close()
        database.close()
        (requestor,) = acceptor.proposals
    (row,) = rows(statement, "Presentation contexts proposed to report commitments")
    assert proposed(requestor) == {(row["UID"], syntaxes_in(row["Transfer syntaxes"]))}
    role = requestor.role_selection[UID(row["UID"])]
    assert role.scp_role
    assert not role.scu_role


def test_queries_have_the_keys_that_the_statement_lists(statement: Statement) -> None:
    days = Settings(retrieval=RetrievalSettings(recent_days=3))
    hints = SearchHints(study_instance_uids=["1.2"], patient_ids=["P1"])
    with (
        Acceptor(STUDY_ROOT_FIND, STUDY_ROOT_MOVE) as acceptor,
        Archive(acceptor.peer(), days, sop_classes=[], store=lambda _instance: None) as archive,
    ):
        archive.locate(["1.2.3.9"], hints)
        archive.find_studies(patient_id="P1", accession_number="A1")
        archive.instances_of("1.2")
    asked = {
        (identifier.QueryRetrieveLevel, tag)
        for identifier in acceptor.identifiers
        for tag in elements(identifier) - {"(0008,0052)"}
    }
    listed = {(row["Level"], row["Tag"]) for row in rows(statement, "Keys of C-FIND requests")}
    assert asked == listed


def test_tests_of_a_peer_propose_what_the_statement_says(statement: Statement) -> None:
    (instance,) = burn_test.generated_instances("ARCHIVE")[:1]
    with Acceptor(VERIFICATION, instance.sop_class_uid) as acceptor:
        answers = [
            peer_test.echo(OPEN, acceptor.peer()),
            peer_test.store(OPEN, acceptor.peer(), instance),
        ]
    assert all(answer.is_good for answer in answers), answers
    verification, _ = rows(statement, "Presentation contexts proposed to test a peer")
    expected = [
        {(VERIFICATION, syntaxes_in(verification["Transfer syntaxes"]))},
        {(instance.sop_class_uid, (instance.transfer_syntax_uid,))},
    ]
    assert [proposed(requestor) for requestor in acceptor.proposals] == expected
    roles = {row["SOP Class UID"]: row["SCU"] for row in rows(statement, "SOP Classes of the AE")}
    assert roles[VERIFICATION] == roles[instance.sop_class_uid] == "Yes"
