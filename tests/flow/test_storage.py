"""Storage and Verification over the network: from real senders, and with invalid bytes."""

import itertools
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from pynetdicom import _config
from pynetdicom.presentation import build_context

import material
import oracles
import raw_dicom
from digesting import digest_of
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from raw_dicom import EXPLICIT, IMPLICIT, Raw, c_store_rq, fragments, pdu, pdv
from waiting import wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
MEDIA_CREATION_MANAGEMENT = "1.2.840.10008.5.1.1.33"
PRIVATE = "1.2.826.0.1.3680043.10.999.1"


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    return start_shared()


@pytest.fixture(scope="module")
def strict(start_shared: StartBurnish) -> Service:
    """A service that accepts configured peers only."""
    return start_shared(
        dicom={"accept_unknown_peers": False},
        peer=[
            {"ae_title": "PYNETDICOM"},
            {"ae_title": "ECHOER", "may": ["echo"]},
            {"ae_title": "STORER", "may": ["echo", "store"]},
            {"ae_title": "ASKER", "may": ["media"]},
        ],
    )


@pytest.fixture(scope="module")
def ct(real_studies: material.RealStudies) -> bytes:
    """The data set of a real CT image."""
    return oracles.data_set_bytes(real_studies.file("CT_small.dcm"))[1]


def with_uid(data_set: bytes, uid: str) -> bytes:
    """The data set of the CT image with another SOP Instance UID."""
    old = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322\0"
    assert data_set.count(old) == 1
    new = uid.encode() + b"\0" * (len(uid) % 2)
    header = b"\x08\x00\x18\x00UI"
    before = header + struct.pack("<H", len(old)) + old
    assert before in data_set
    return data_set.replace(before, header + struct.pack("<H", len(new)) + new)


def new_uid() -> str:
    return str(generate_uid())


def ct_association(service: Service, **options: object) -> Raw:
    return Raw(service.port, [(CT, [EXPLICIT])], **options)  # type: ignore[arg-type]


def assert_works(service: Service) -> None:
    assert clients.echo(service.port) == 0


def assert_failed(answer: tuple[int, str], *statuses: int, mask: int = 0xFF00) -> None:
    """The status, as far as `mask` goes, is one of `statuses`, and there is an Error Comment."""
    status, comment = answer
    assert status & mask in statuses, f"{status:04X} {comment}"
    assert comment


# --- real senders --------------------------------------------------------------------------------


def test_dcmsend_sends_every_file_in_its_own_transfer_syntax(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    report = clients.dcmsend(burnish.port, *real_studies.all)

    assert report.statuses == {0: len(real_studies.all)}, report.output[-3000:]
    for sent in report.files:
        [row] = oracles.live_instances(burnish, sent.sop_instance_uid)
        source = material.read(sent.path)
        stored = oracles.read_spooled(burnish, row)
        syntax = source.file_meta.TransferSyntaxUID
        # dcmsend offers uncompressed instances in Implicit and in Explicit VR Little Endian
        if syntax != IMPLICIT:
            assert row["transfer_syntax_uid"] == syntax
        assert stored.file_meta.TransferSyntaxUID == row["transfer_syntax_uid"]
        assert row["calling_ae_title"] == "DCMSEND"


@pytest.mark.parametrize("uid", sorted(material.real_studies().transfer_syntaxes))
@pytest.mark.usefixtures("sends_bytes")
def test_each_transfer_syntax_is_stored_byte_for_byte(
    strict: Service,
    real_studies: material.RealStudies,
    uid: str,
) -> None:
    path = real_studies.transfer_syntaxes[uid]
    syntax, data = oracles.data_set_bytes(path)
    assert syntax == uid
    source = material.read(path)
    association = clients.associate(
        strict.port, [build_context(source.SOPClassUID, source.file_meta.TransferSyntaxUID)]
    )

    status = association.send_c_store(path)
    association.release()

    assert status.Status == 0
    [row] = oracles.live_instances(strict, source.SOPInstanceUID)
    assert oracles.spooled(strict, row) == data
    assert row["digest"] == digest_of(data)
    assert row["transfer_syntax_uid"] == uid
    assert row["size"] == len(oracles.spooled_file(strict, row))


@pytest.fixture(scope="module")
def sends_bytes() -> object:
    """pynetdicom sends the bytes of a file as they are."""
    patch = pytest.MonkeyPatch()
    patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def burnish_for_bytes(start_shared: StartBurnish) -> Service:
    return start_shared()


@pytest.mark.usefixtures("sends_bytes")
def test_every_file_is_stored_byte_for_byte(
    burnish_for_bytes: Service, real_studies: material.RealStudies
) -> None:
    for batch in (real_studies.patients, real_studies.others, real_studies.charsets):
        contexts = {
            (data.SOPClassUID, data.file_meta.TransferSyntaxUID): None
            for data in map(material.read, batch)
        }
        association = clients.associate(
            burnish_for_bytes.port, [build_context(*context) for context in contexts]
        )
        for path in batch:
            assert association.send_c_store(path).Status == 0, path
        association.release()
        for path in batch:
            [row] = oracles.live_instances(burnish_for_bytes, material.read(path).SOPInstanceUID)
            assert oracles.spooled(burnish_for_bytes, row) == oracles.data_set_bytes(path)[1], path


def test_storescu_stores_with_each_maximum_pdu_size(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    for size in (4096, 16384, 131072):
        done = clients.storescu(
            burnish.port, *real_studies.patients[:6], options=["-pdu", str(size)]
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for path in real_studies.patients[:6]:
        assert len(oracles.live_instances(burnish, material.read(path).SOPInstanceUID)) == 1


def test_storescu_stores_compressed_instances(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    """Each option proposes a context with a compressed transfer syntax and one without."""
    for option, name in (("-xs", "SC_rgb_jpeg_gdcm.dcm"), ("-xx", "JPEG-lossy.dcm")):
        done = clients.storescu(burnish.port, real_studies.file(name), options=[option])
        assert done.returncode == 0, done.stdout + done.stderr


def test_verification_by_other_implementations(burnish: Service) -> None:
    done = subprocess.run(
        [clients.program("echoscu"), "-v", "-aec", "BURNISH", "127.0.0.1", str(burnish.port)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert clients.mcm_client(burnish.port, "echo")["status"] == 0


def test_an_scu_that_encodes_data_sets_anew_stores(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    path = real_studies.tiny[0]
    answer = clients.mcm_client(burnish.port, "store", str(path))
    # dcmjs leaves out attributes that it does not know: that is newer content
    assert answer["status"] == 0, answer


# --- the same SOP Instance UID twice -------------------------------------------------------------


def test_an_instance_stored_again_is_a_success_and_one_row(burnish: Service, ct: bytes) -> None:
    uid = new_uid()
    with ct_association(burnish) as raw:
        for _ in range(3):
            assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == with_uid(ct, uid)


def test_an_instance_stored_several_times_at_once_is_one_row(burnish: Service, ct: bytes) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)

    def store(_number: int) -> tuple[int, str]:
        with ct_association(burnish) as raw:
            status = raw.store(CT, uid, data)
            raw.release()
            return status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(store, range(16))) == {(0, "")}
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == data
    wait_until(lambda: not oracles.incoming(burnish), what="an empty incoming/")
    keys = {row["spool_key"] for row in oracles.rows(burnish, "SELECT spool_key FROM instance")}
    wait_until(lambda: oracles.spool_keys(burnish) == keys, what="a row for each file of the spool")


def test_newer_content_of_a_sop_instance_uid_is_stored_beside_the_older_one(
    burnish: Service, ct: bytes
) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)
    newer = data[:-2] + bytes([data[-2] ^ 1, data[-1]])
    with ct_association(burnish) as raw:
        assert raw.store(CT, uid, data) == (0, "")
        assert raw.store(CT, uid, newer) == (0, "")
        raw.release()
    rows = oracles.live_instances(burnish, uid)
    contents = {row["replaced_at"] is None: oracles.spooled(burnish, row) for row in rows}
    assert contents == {False: data, True: newer}


def test_if_the_first_content_counts_other_content_fails_with_c111h(
    start_burnish: StartBurnish, ct: bytes
) -> None:
    service = start_burnish(storage={"same_uid": "first"})
    uid = new_uid()
    data = with_uid(ct, uid)
    other = data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]  # a pixel
    with ct_association(service) as raw:
        assert raw.store(CT, uid, data) == (0, "")
        status, comment = raw.store(CT, uid, other)
        assert status == 0xC111
        assert comment
        assert len(comment) <= 64
        assert uid not in comment
        raw.release()
    [row] = oracles.live_instances(service, uid)
    assert oracles.spooled(service, row) == data


# --- invalid instances ---------------------------------------------------------------------------


def test_a_command_with_another_sop_class_than_the_context_fails_with_a900h(
    burnish: Service, ct: bytes
) -> None:
    with ct_association(burnish) as raw:
        assert_failed(raw.store(MR, new_uid(), ct), 0xA900)
        uid = new_uid()
        assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")  # the association goes on


@pytest.mark.parametrize(
    "wrong", ["class", "instance", "no class", "no instance", "no study", "no series"]
)
def test_a_data_set_that_contradicts_its_command_fails_with_a900h(
    burnish: Service, ct: bytes, wrong: str
) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)
    tag = {
        "class": b"\x08\x00\x16\x00",
        "instance": b"\x08\x00\x18\x00",
        "study": b"\x20\x00\x0d\x00",
        "series": b"\x20\x00\x0e\x00",
    }[wrong.rsplit(maxsplit=1)[-1]]
    start = data.index(tag + b"UI")
    length = struct.unpack_from("<H", data, start + 6)[0]
    if wrong.startswith("no"):
        data = data[:start] + data[start + 8 + length :]
    elif wrong == "instance":
        data = with_uid(ct, new_uid())
    else:
        data = data[: start + 8] + MR.encode().ljust(length, b"\0") + data[start + 8 + length :]
    with ct_association(burnish) as raw:
        assert_failed(raw.store(CT, uid, data), 0xA900)
    assert not oracles.live_instances(burnish, uid)


@pytest.mark.parametrize("length", [0, 1, 7, 100, 1000, 20_000, -1])
def test_a_truncated_data_set_fails(burnish: Service, ct: bytes, length: int) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)[:length]
    with ct_association(burnish) as raw:
        answer = raw.store(CT, uid, data)
    ends_inside_an_element = length in (7, 1000, 20_000, -1)
    statuses = [0xC000] if ends_inside_an_element else [0xC000, 0xA000]
    assert_failed(answer, *statuses, mask=0xF000)
    assert not oracles.live_instances(burnish, uid)


@pytest.mark.parametrize(
    "garbage",
    [bytes(range(256)) * 40, b"\xff" * 5000, b"\0" * 5000, b"GET / HTTP/1.1\r\n\r\n" * 100],
    ids=["counting", "ones", "zeros", "text"],
)
def test_garbage_instead_of_a_data_set_fails(burnish: Service, garbage: bytes) -> None:
    uid = new_uid()
    with ct_association(burnish) as raw:
        assert_failed(raw.store(CT, uid, garbage), 0xC000, 0xA000, mask=0xF000)
        raw.release()
    assert not oracles.live_instances(burnish, uid)


def test_a_data_set_with_ten_thousand_levels_of_sequences_fails(
    burnish: Service, ct: bytes
) -> None:
    uid = new_uid()
    level = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = with_uid(ct, uid)
    patient_name = data.index(b"\x10\x00\x10\x00PN")
    with ct_association(burnish) as raw:
        status, _ = raw.store(CT, uid, data[:patient_name] + level * 10_000, fragment=16000)
        raw.release()
    assert status & 0xF000 == 0xC000
    assert_works(burnish)


@pytest.mark.parametrize("uid", ["", "1.2.a", "not a uid", "1" + ".1" * 40, ".1.2", "1..2"])
def test_an_invalid_sop_instance_uid_fails_with_0117h(
    burnish: Service, ct: bytes, uid: str
) -> None:
    with ct_association(burnish) as raw:
        assert_failed(raw.store(CT, uid, ct), 0x0117, mask=0xFFFF)
        raw.release()


def test_a_c_store_without_a_data_set_fails(burnish: Service) -> None:
    elements = {
        0x0002: CT.encode(),
        0x0100: b"\x01\x00",
        0x0110: b"\x01\x00",
        0x0700: b"\x00\x00",
        0x0800: b"\x01\x01",
        0x1000: b"1.2.3",
    }
    with ct_association(burnish) as raw:
        raw.send_values([pdv(1, 3, raw_dicom.command(elements))])
        status, _ = raw.status()
        raw.release()
    assert status & 0xFF00 in (0xA900, 0xC000)


def test_an_operation_that_is_not_of_storage_is_unrecognized(burnish: Service) -> None:
    find = raw_dicom.command(
        {0x0002: CT.encode(), 0x0100: b"\x20\x00", 0x0110: b"\x01\x00", 0x0800: b"\x01\x01"}
    )
    with ct_association(burnish) as raw:
        raw.send_values([pdv(1, 3, find)])
        assert raw.status()[0] == 0x0211
        raw.release()


# --- peers ---------------------------------------------------------------------------------------


def test_an_unknown_calling_ae_title_is_rejected(strict: Service) -> None:
    with Raw(strict.port, calling=b"STRANGER".ljust(16)) as raw:
        assert raw.answer is not None
        assert raw.answer.rejection == (1, 1, 3)
        assert raw.receive() is None


@pytest.mark.parametrize("service", ["burnish", "strict"])
def test_another_called_ae_title_is_rejected(service: str, request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue(service).port
    for called in (b"SOMEBODY".ljust(16), b"burnish".ljust(16), b"BURNISH2".ljust(16)):
        with Raw(port, called=called, calling=b"STORER".ljust(16)) as raw:
            assert raw.answer is not None
            assert raw.answer.rejection == (1, 1, 7)


def test_an_unknown_application_context_is_rejected(burnish: Service) -> None:
    with Raw(burnish.port, silent=True) as raw:
        request = raw_dicom.associate_rq(
            [(VERIFICATION, [IMPLICIT])], called=b"BURNISH".ljust(16), calling=b"RAW".ljust(16)
        )
        raw.send(request.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"))
        answer = raw.receive()
        assert answer is not None
        assert answer.rejection == (1, 1, 2)


def test_contexts_are_accepted_according_to_the_permissions_of_the_peer(
    strict: Service, ct: bytes
) -> None:
    """A context that the peer has no permission for is a user-rejection (PS3.8 9.3.3.2)."""
    uid = new_uid()
    contexts = [(CT, [EXPLICIT]), (MEDIA_CREATION_MANAGEMENT, [EXPLICIT]), (PRIVATE, [EXPLICIT])]
    for calling, results in (
        ("ECHOER", {1: 1, 3: 1, 5: 3}),
        ("ASKER", {1: 1, 3: 0, 5: 3}),
        ("STORER", {1: 0, 3: 1, 5: 3}),
    ):
        with Raw(strict.port, contexts, calling=calling.encode().ljust(16)) as raw:
            assert raw.results == results
            if calling == "STORER":
                assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")
            raw.release()
    assert len(oracles.live_instances(strict, uid)) == 1
    assert clients.echo(strict.port, calling="ECHOER") == 0


def test_a_peer_with_permission_may_request_media(strict: Service) -> None:
    attributes = {
        "ReferencedSOPSequence": [
            {"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": "1.2.3"}
        ]
    }
    answer = clients.mcm_client(strict.port, "create", calling="ASKER", attributes=attributes)
    assert answer.get("status") == 0, answer


def test_ae_titles_may_be_padded_with_nul(burnish: Service, ct: bytes) -> None:
    uid = new_uid()
    with ct_association(
        burnish, called=b"BURNISH".ljust(16, b"\0"), calling=b"NULPADDED".ljust(16, b"\0")
    ) as raw:
        assert raw.accepted == {1: EXPLICIT}
        assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert row["calling_ae_title"] == "NULPADDED"


# --- negotiation ---------------------------------------------------------------------------------


def test_a_private_sop_class_that_is_announced_as_storage_is_accepted(
    burnish: Service, ct: bytes
) -> None:
    uid = new_uid()
    data = with_uid(ct, uid).replace(
        b"\x08\x00\x16\x00UI" + struct.pack("<H", 26) + CT.encode() + b"\0",
        b"\x08\x00\x16\x00UI" + struct.pack("<H", len(PRIVATE)) + PRIVATE.encode(),
    )
    assert PRIVATE.encode() in data
    contexts = [(PRIVATE, [EXPLICIT])]
    with Raw(burnish.port, contexts, user_items=raw_dicom.common_extended(PRIVATE)) as raw:
        assert raw.accepted == {1: EXPLICIT}
        assert 0x57 not in dict(raw.items), "the acceptor does not answer it (PS3.7 D.3.3.6)"
        assert raw.store(PRIVATE, uid, data) == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert row["sop_class_uid"] == PRIVATE
    assert oracles.spooled(burnish, row) == data


def test_a_private_sop_class_that_is_not_announced_is_not_accepted(burnish: Service) -> None:
    with Raw(burnish.port, [(PRIVATE, [EXPLICIT])]) as raw:
        assert raw.accepted == {}
        [result] = [body for kind, body in raw.items if kind == 0x21]
        assert result[2] == 3  # abstract syntax not supported
    other = raw_dicom.common_extended(PRIVATE, "1.2.840.10008.4.99")
    with Raw(burnish.port, [(PRIVATE, [EXPLICIT])], user_items=other) as raw:
        assert raw.accepted == {}


def test_extended_negotiation_answers_level_2_and_bits_preserved(burnish: Service) -> None:
    items = raw_dicom.extended(CT, b"\x02\x00\x00\x00\x00\x00")
    with ct_association(burnish, user_items=items) as raw:
        [answer] = [body for kind, body in raw.items if kind == 0x56]
        raw.release()
    length = int.from_bytes(answer[:2], "big")
    assert answer[2 : 2 + length].decode() == CT
    assert answer[2 + length :] == b"\x02\x00\x03\x00\x00\x00"


def test_the_transfer_syntax_that_needs_no_transcoding_is_chosen(burnish: Service) -> None:
    jpeg, unknown = "1.2.840.10008.1.2.4.70", "1.2.3.4.5"
    contexts = [
        (CT, [IMPLICIT, EXPLICIT]),
        (CT, [unknown]),
        (CT, [IMPLICIT, jpeg]),
        (CT, [unknown, IMPLICIT]),
        (VERIFICATION, [IMPLICIT]),
    ]
    with Raw(burnish.port, contexts) as raw:
        assert raw.accepted == {1: EXPLICIT, 5: jpeg, 7: IMPLICIT, 9: IMPLICIT}
        results = {body[0]: body[2] for kind, body in raw.items if kind == 0x21}
        assert results[3] == 4  # transfer syntaxes not supported
        raw.release()


def test_the_maximum_length_of_burnish_is_never_unlimited(burnish: Service) -> None:
    with Raw(burnish.port) as raw:
        assert raw.maximum_length >= 16384
        raw.release()


def test_128_contexts_are_accepted(burnish: Service) -> None:
    with Raw(burnish.port, [(CT, [EXPLICIT])] * 128) as raw:
        assert len(raw.accepted) == 128
        raw.release()


def test_any_maximum_length_of_the_peer_is_honoured(burnish: Service, ct: bytes) -> None:
    for length in (0, 128, 4096, 1 << 31):
        uid = new_uid()
        with ct_association(burnish, maximum_length=length) as raw:
            assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")
            raw.release()


# --- fragments -----------------------------------------------------------------------------------


def test_fragments_of_one_byte(burnish: Service, ct: bytes) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)
    with ct_association(burnish) as raw:
        command = c_store_rq(CT, uid)
        parts = [
            pdv(1, 3 if at == len(command) - 1 else 1, command[at : at + 1])
            for at in range(len(command))
        ]
        raw.send_values([*parts, *fragments(1, data, 1)])
        assert raw.status() == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == data


def test_an_empty_last_fragment(burnish: Service, ct: bytes) -> None:
    """Some toolkits end a data set with an empty PDV."""
    uid = new_uid()
    data = with_uid(ct, uid)
    with ct_association(burnish) as raw:
        raw.send_values([pdv(1, 3, c_store_rq(CT, uid)), pdv(1, 0, data), pdv(1, 2, b"")])
        assert raw.status() == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == data


@pytest.mark.parametrize("size", [4096, 16378, 65536, 131066])
def test_command_and_data_set_in_one_pdu(burnish: Service, ct: bytes, size: int) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)
    with ct_association(burnish) as raw:
        command = c_store_rq(CT, uid)
        room = min(size, raw.maximum_length) - len(command) - 12
        first, rest = data[:room], data[room:]
        values = pdv(1, 3, command) + pdv(1, 0 if rest else 2, first)
        raw.send(pdu(raw_dicom.P_DATA_TF, values))
        if rest:
            raw.send_values(fragments(1, rest, size - 6))
        assert raw.status() == (0, "")
        raw.release()
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == data


def test_two_messages_in_one_pdu_are_answered_in_turn(burnish: Service) -> None:
    """PS3.8 9.3.5.1 allows several PDV items, and so two C-ECHO, in one P-DATA-TF."""
    with Raw(burnish.port) as raw:
        raw.send(pdu(4, pdv(1, 3, raw_dicom.c_echo_rq()) * 2))
        assert raw.status()[0] == 0
        assert raw.status()[0] == 0
        raw.release()


def test_pdus_may_arrive_byte_by_byte(burnish: Service) -> None:
    """Nothing of the protocol depends on TCP segments."""
    request = raw_dicom.associate_rq(
        [(VERIFICATION, [IMPLICIT])], called=b"BURNISH".ljust(16), calling=b"RAW".ljust(16)
    )
    with Raw(burnish.port, silent=True) as raw:
        for at in range(len(request)):
            raw.send(request[at : at + 1])
        answer = raw.receive()
        assert answer is not None
        assert answer.kind == raw_dicom.A_ASSOCIATE_AC
        echo = pdu(4, pdv(1, 3, raw_dicom.c_echo_rq()))
        for at in range(len(echo)):
            raw.send(echo[at : at + 1])
        assert raw.status()[0] == 0


# --- violations and aborts -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closed", "half-closed", "aborted"])
def test_an_association_that_ends_inside_a_data_set_leaves_nothing(
    burnish: Service, ct: bytes, how: str
) -> None:
    uid = new_uid()
    data = with_uid(ct, uid)
    with ct_association(burnish) as raw:
        raw.send_values([pdv(1, 3, c_store_rq(CT, uid)), pdv(1, 0, data[:20_000])])
        raw.send_values([pdv(1, 0, bytes(8192))] * 300)  # too large for memory
        wait_until(lambda: oracles.incoming(burnish), what="a file in incoming/")
        if how == "half-closed":
            raw.half_close()
            wait_until(lambda: not oracles.incoming(burnish), what="an empty incoming/")
        elif how == "aborted":
            raw.send(pdu(raw_dicom.A_ABORT, bytes(4)))
    wait_until(lambda: not oracles.incoming(burnish), what="an empty incoming/")
    assert not oracles.live_instances(burnish, uid)


def test_an_association_that_ends_after_the_data_set_keeps_the_instance(
    burnish: Service, ct: bytes
) -> None:
    """The peer did not wait for the response and may send it again; what is kept is complete."""
    uid = new_uid()
    data = with_uid(ct, uid)
    with ct_association(burnish) as raw:
        raw.send_values([pdv(1, 3, c_store_rq(CT, uid)), *fragments(1, data, 8192)])
    wait_until(lambda: oracles.live_instances(burnish, uid), what="the row")
    [row] = oracles.live_instances(burnish, uid)
    assert oracles.spooled(burnish, row) == data


def test_the_programs_of_pynetdicom(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    data_set = material.read(real_studies.file("CT_small.dcm"))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image = tmp_path / "image.dcm"
    data_set.save_as(image)
    for application, *arguments in (["echoscu"], ["storescu", str(image)]):
        address, to = [clients.HOST, str(burnish.port)], ["-v", "-aec", clients.CALLED]
        done = subprocess.run(
            [sys.executable, "-m", "pynetdicom", application, *address, *arguments, *to],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "(Status: 0x0000 - Success)" in done.stderr


def test_an_abort_by_storescu_does_no_harm(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    clients.storescu(burnish.port, real_studies.patients[0], options=["--abort"])
    assert_works(burnish)


PROVIDER = 2
UNRECOGNIZED, UNEXPECTED, INVALID_PARAMETER = 1, 2, 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdu(9, b"\0" * 4), UNRECOGNIZED),
        (b"GET / HTTP/1.1\r\nHost: burnish\r\n\r\n", UNRECOGNIZED),
        (pdu(4, pdv(1, 3, raw_dicom.c_echo_rq())), UNEXPECTED),
        (pdu(5, bytes(4)), UNEXPECTED),
        (pdu(2, bytes(68)), UNEXPECTED),
        (pdu(1, bytes(10)), INVALID_PARAMETER),
        (struct.pack(">BBI", 1, 0, 0xFFFFFFFF), INVALID_PARAMETER),
    ],
    ids=["unknown", "HTTP", "P-DATA", "release", "AC", "short RQ", "4 GiB RQ"],
)
def test_a_first_pdu_other_than_a_associate_rq_is_aborted(
    burnish: Service, data: bytes, reason: int
) -> None:
    with Raw(burnish.port, silent=True) as raw:
        raw.send(data)
        answer = raw.receive()
        assert answer is not None, "closed without A-ABORT"
        assert answer.source_and_reason == (PROVIDER, reason)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdu(9, bytes(4)), UNRECOGNIZED),
        (pdu(2, bytes(68)), UNEXPECTED),
        (pdu(3, bytes(4)), UNEXPECTED),
        (pdu(6, bytes(4)), UNEXPECTED),
        (pdu(4, pdv(1, 2, b"abcd")), UNEXPECTED),
        (pdu(4, pdv(3, 3, raw_dicom.c_echo_rq())), INVALID_PARAMETER),
        (pdu(4, pdv(1, 3, b"garbage garbage!")), INVALID_PARAMETER),
        (pdu(4, struct.pack(">IBB", 1, 1, 3)), INVALID_PARAMETER),
        (pdu(4, struct.pack(">IBB", 1 << 30, 1, 3) + bytes(10)), INVALID_PARAMETER),
        (pdu(4, b"\0\0\0"), INVALID_PARAMETER),
    ],
    ids=[
        "unknown",
        "AC",
        "RJ",
        "release reply",
        "data set alone",
        "context",
        "no command",
        "short PDV",
        "long PDV",
        "no PDV",
    ],
)
def test_a_pdu_that_violates_the_protocol_is_aborted(
    burnish: Service, data: bytes, reason: int
) -> None:
    with Raw(burnish.port) as raw:
        raw.send(data)
        answer = raw.receive()
        assert answer is not None, "closed without A-ABORT"
        assert answer.source_and_reason == (PROVIDER, reason)
    assert_works(burnish)


def test_a_second_a_associate_rq_is_aborted_as_unexpected(burnish: Service) -> None:
    with Raw(burnish.port) as raw:
        raw.send(
            raw_dicom.associate_rq(
                [(VERIFICATION, [IMPLICIT])], called=b"BURNISH".ljust(16), calling=b"A" * 16
            )
        )
        answer = raw.receive()
        assert answer is not None
        assert answer.source_and_reason == (PROVIDER, UNEXPECTED)


def test_a_command_set_inside_a_data_set_is_aborted(burnish: Service, ct: bytes) -> None:
    uid = new_uid()
    with ct_association(burnish) as raw:
        raw.send_values(
            [pdv(1, 3, c_store_rq(CT, uid)), pdv(1, 0, ct[:100]), pdv(1, 3, c_store_rq(CT, uid))]
        )
        answer = raw.receive()
        assert answer is not None
        assert answer.kind == raw_dicom.A_ABORT
    wait_until(lambda: not oracles.incoming(burnish), what="an empty incoming/")


# --- several associations ------------------------------------------------------------------------


def test_silent_connections_do_not_block_other_peers(burnish: Service, ct: bytes) -> None:
    silent = [Raw(burnish.port, silent=True) for _ in range(40)]
    half = raw_dicom.associate_rq(
        [(CT, [EXPLICIT])], called=b"BURNISH".ljust(16), calling=b"RAW".ljust(16)
    )[:50]
    for raw in silent[:20]:
        raw.send(half)
    idle = [ct_association(burnish) for _ in range(20)]
    try:
        uid = new_uid()
        with ct_association(burnish) as raw:
            assert raw.store(CT, uid, with_uid(ct, uid)) == (0, "")
            raw.release()
    finally:
        for raw in (*silent, *idle):
            raw.__exit__(None, None, None)


def test_many_associations_at_once(burnish: Service, ct: bytes) -> None:
    associations = 24
    barrier = threading.Barrier(associations)

    def store(_index: int) -> list[tuple[int, str, str]]:
        with ct_association(burnish) as raw:
            barrier.wait(300)
            results = []
            for _ in range(5):
                uid = new_uid()
                status, comment = raw.store(CT, uid, with_uid(ct, uid))
                results.append((status, comment, uid))
            raw.release()
            return results

    with ThreadPoolExecutor(associations) as pool:
        results = list(itertools.chain.from_iterable(pool.map(store, range(associations))))
    assert {(status, comment) for status, comment, _ in results} == {(0, "")}
    stored = {row["sop_instance_uid"]: row for row in oracles.live_instances(burnish)}
    for _, _, uid in results:
        assert oracles.spooled(burnish, stored[uid]) == with_uid(ct, uid)


def test_both_receivers_accept_associations(burnish: Service) -> None:
    """While associations stay open, each receiver process holds some of them."""

    def holders() -> set[int]:
        return {
            process.pid
            for process in burnish.processes()
            for connection in process.net_connections("tcp")
            if connection.status == "ESTABLISHED" and connection.laddr.port == burnish.port
        }

    associations: list[Raw] = []

    def both_hold_some() -> bool:
        associations.append(Raw(burnish.port))
        return len(holders()) == 2

    try:
        wait_until(both_hold_some, what="associations in both receivers")
    finally:
        for raw in associations:
            raw.__exit__(None, None, None)


def test_busy_receivers_keep_to_a_processor_each(start_burnish: StartBurnish) -> None:
    """Where there are as many receivers as processors, while all of them have associations."""
    allowed = os.sched_getaffinity(0)
    several = 2 * len(allowed)
    limits = {"maximum_associations": 4 * several, "maximum_unknown_associations": 4 * several}
    service = start_burnish(dicom={"receivers": len(allowed), **limits})
    receivers = service.roles()[-len(allowed) :]

    def processors() -> set[frozenset[int]]:
        """The processors of each thread of each receiver."""
        of_threads = set()
        for thread in (thread for receiver in receivers for thread in receiver.threads()):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                of_threads.add(frozenset(os.sched_getaffinity(thread.id)))
        return of_threads

    assert processors() == {frozenset(allowed)}
    associations = [Raw(service.port) for _ in range(several)]
    each = {frozenset({processor}) for processor in allowed}
    wait_until(lambda: processors() == each, what="a processor for each receiver")
    for raw in associations:
        raw.__exit__(None, None, None)
    wait_until(lambda: processors() == {frozenset(allowed)}, what="all processors for all")


def test_an_association_above_the_limit_is_rejected_as_transient(
    start_burnish: StartBurnish,
) -> None:
    service = start_burnish(
        dicom={"maximum_associations": 2, "maximum_unknown_associations": 4, "receivers": 1}
    )
    # The echo of `start` counts until its release is answered, so `admitted` tries again.
    with (
        raw_dicom.admitted(service.port) as first,
        raw_dicom.admitted(service.port) as second,
    ):
        with Raw(service.port) as third:
            assert third.answer is not None
            assert third.answer.rejection == (2, 3, 2)
        first.release()
        second.release()
    wait_until(lambda: clients.echo(service.port) == 0, what="an association within the limit")


def test_a_silent_peer_is_aborted_after_the_timeout(start_burnish: StartBurnish) -> None:
    service = start_burnish(dicom={"acse_timeout": "1s", "idle_timeout": "1s"})
    with Raw(service.port, silent=True) as raw:
        answer = raw.receive()
        assert answer is None or answer.kind == raw_dicom.A_ABORT
    # On a slow machine the first try may be aborted before it has an association.
    with raw_dicom.admitted(service.port) as raw:
        answer = raw.receive()
        assert answer is not None
        assert answer.kind == raw_dicom.A_ABORT


def test_above_high_water_c_store_fails_with_a700h(start_burnish: StartBurnish, ct: bytes) -> None:
    service = start_burnish(storage={"high_water": 0.000001})
    uid = new_uid()
    with ct_association(service) as raw:
        assert_failed(raw.store(CT, uid, with_uid(ct, uid)), 0xA700)
        raw.release()
    assert not oracles.incoming(service)


def test_no_receiver_died(burnish: Service) -> None:
    """Last in the module: no process has ended, and no association by a defect."""
    assert burnish.defects() == []
    assert_works(burnish)
