"""Negotiation of associations: peers, contexts, transfer syntaxes, users, and invalid requests."""

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from pynetdicom.pdu import A_ASSOCIATE_AC

from burnish.access.peers import Caller
from burnish.access.tls import Certificate
from burnish.errors import InvalidSettings, Malformed
from burnish.scp.negotiation import Acceptance, Negotiator, Rejection
from burnish.settings import (
    DicomSettings,
    Operation,
    PeerSettings,
    Settings,
    StandingOrderSettings,
    StorageSettings,
    UserSettings,
)
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN as DEFLATED,
)
from burnish.vocabulary import (
    EXPLICIT_VR_BIG_ENDIAN as BIG_ENDIAN,
)
from burnish.vocabulary import (
    JPEG_2000,
    JPEG_BASELINE,
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    VERIFICATION,
)
from factories import CT
from peer import EXPLICIT, IMPLICIT, associate_rq, context, item, role

ANY_PEER = Settings(dicom=DicomSettings(accept_unknown_peers=True))
CALLER = Caller("127.0.0.1")
PRIVATE = "1.2.826.0.1.3680043.2.1396.999"


def negotiate(
    pdu: bytes, configuration: Settings = ANY_PEER, caller: Caller = CALLER
) -> Acceptance | Rejection:
    return Negotiator(configuration).answer(pdu[6:], caller)


def accepted(pdu: bytes, configuration: Settings = ANY_PEER, caller: Caller = CALLER) -> Acceptance:
    answer = negotiate(pdu, configuration, caller)
    assert isinstance(answer, Acceptance)
    return answer


def rejected(
    pdu: bytes, configuration: Settings = ANY_PEER, caller: Caller = CALLER
) -> tuple[int, int, int]:
    answer = negotiate(pdu, configuration, caller)
    assert isinstance(answer, Rejection)
    assert answer.encode()[:2] == b"\x03\0"
    return answer.result, answer.source, answer.reason


def decoded(answer: Acceptance) -> A_ASSOCIATE_AC:
    pdu = A_ASSOCIATE_AC()
    pdu.decode(answer.pdu)
    return pdu


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((IMPLICIT,), IMPLICIT),
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((BIG_ENDIAN, DEFLATED, IMPLICIT), IMPLICIT),
        ((JPEG_2000, JPEG_BASELINE), JPEG_2000),
        ((JPEG_BASELINE, JPEG_2000), JPEG_BASELINE),
        ((IMPLICIT, JPEG_BASELINE), JPEG_BASELINE),
        ((BIG_ENDIAN, DEFLATED), DEFLATED),
        (("1.2.3", IMPLICIT), IMPLICIT),
        (("1.2.3",), None),
        (("1.2.840.10008.1.2.4.94",), None),
    ],
)
def test_the_transfer_syntax_of_a_storage_context(
    offered: tuple[str, ...], chosen: str | None
) -> None:
    answer = accepted(associate_rq(context(3, CT, *offered)))
    assert {n: c.transfer_syntax for n, c in answer.contexts.items()} == (
        {3: chosen} if chosen else {}
    )
    (result,) = decoded(answer).presentation_context
    assert result.result == (0 if chosen else 4)
    if chosen:
        assert answer.contexts[3].storage


@pytest.mark.parametrize("abstract", [VERIFICATION, MEDIA_CREATION_MANAGEMENT])
def test_the_transfer_syntax_of_a_context_of_another_service(abstract: str) -> None:
    pdu = associate_rq(
        context(1, abstract, IMPLICIT, EXPLICIT),
        context(3, abstract, JPEG_BASELINE),
        context(5, abstract, BIG_ENDIAN),
        context(7, abstract, DEFLATED),
    )
    answer = accepted(pdu)
    assert {n: c.transfer_syntax for n, c in answer.contexts.items()} == {
        1: EXPLICIT,
        5: BIG_ENDIAN,
    }
    assert [c.result for c in decoded(answer).presentation_context] == [0, 4, 0, 4]
    assert not any(c.storage for c in answer.contexts.values())


def test_an_unknown_sop_class_is_not_accepted_and_the_other_contexts_are() -> None:
    answer = accepted(
        associate_rq(context(1, PRIVATE, IMPLICIT), context(3, VERIFICATION, IMPLICIT))
    )
    assert [c.result for c in decoded(answer).presentation_context] == [3, 0]
    assert answer.not_accepted == f"{PRIVATE}: SOP Class not supported"
    assert set(answer.contexts) == {3}


def test_the_log_names_sop_classes_without_a_context_and_the_reason() -> None:
    strict = Settings(peer=(PeerSettings(ae_title="CT1", may=("echo", "store")),))
    contexts = (
        context(1, CT, "1.2.3"),
        context(3, CT, IMPLICIT),
        context(5, VERIFICATION, "1.2.3"),
        context(7, MEDIA_CREATION_MANAGEMENT, IMPLICIT),
        *(context(9 + 2 * number, f"1.2.{number}", IMPLICIT) for number in range(4)),
    )
    answer = accepted(associate_rq(*contexts, calling=b"CT1"), strict)
    assert answer.not_accepted == (
        f"{VERIFICATION}: transfer syntaxes not supported; "
        f"{MEDIA_CREATION_MANAGEMENT}: not permitted (peer.may); "
        "1.2.0: SOP Class not supported; and 3 more"
    )


def test_retired_image_sop_classes_are_accepted() -> None:
    """Old ultrasound and nuclear medicine devices still send them."""
    for tail in ("3", "5", "6", "12.3"):
        assert accepted(
            associate_rq(context(1, f"1.2.840.10008.5.1.4.1.1.{tail}", IMPLICIT))
        ).contexts


def test_a_private_sop_class_that_is_announced_as_storage_is_accepted() -> None:
    announcement = item(
        0x57,
        len(PRIVATE).to_bytes(2, "big")
        + PRIVATE.encode()
        + len("1.2.840.10008.4.2").to_bytes(2, "big")
        + b"1.2.840.10008.4.2"
        + b"\0\0",
    )
    answer = accepted(associate_rq(context(1, PRIVATE, IMPLICIT), more=announcement))
    assert answer.contexts[1].storage


def test_128_contexts_are_accepted() -> None:
    pdu = associate_rq(*(context(n, CT, EXPLICIT) for n in range(1, 256, 2)))
    assert len(accepted(pdu).contexts) == 128


@pytest.mark.parametrize(("scu", "scp"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_role_selection_makes_burnish_the_scp(scu: int, scp: int) -> None:
    answer = accepted(associate_rq(context(1, CT, EXPLICIT), more=role(CT, scu, scp)))
    user_items = decoded(answer).user_information.user_data
    roles = [(item.scu_role, item.scp_role) for item in user_items if item.item_type == 0x54]
    assert roles == ([(1, 0)] if scu else [])


def test_the_answer_has_the_maximum_length_and_implementation_of_burnish() -> None:
    configuration = Settings(dicom=DicomSettings(accept_unknown_peers=True, maximum_pdu_size=4096))
    user = decoded(accepted(associate_rq(), configuration)).user_information
    assert user.maximum_length == 4096
    assert user.implementation_class_uid.startswith("2.25.")


@pytest.mark.parametrize(
    ("proposed", "honoured"),
    [(0, 0), (1, 64), (64, 64), (65, 65), (16384, 16384), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_the_maximum_length_of_the_peer(proposed: int, honoured: int) -> None:
    assert accepted(associate_rq(maximum_length=proposed)).maximum_length == honoured


def test_peers_have_the_configured_permissions_and_others_are_rejected() -> None:
    strict = Settings(
        peer=(
            PeerSettings(ae_title="PACS"),
            PeerSettings(ae_title="CT1", may=("store",)),
            PeerSettings(ae_title="NO", may=()),
        )
    )
    assert accepted(associate_rq(calling=b"PACS"), strict).may == {
        "echo",
        "store",
        "media",
        "commit",
    }
    assert accepted(associate_rq(calling=b"CT1"), strict).may == {"store"}
    for calling in (b"NO", b"UNKNOWN", b"pacs"):
        assert rejected(associate_rq(calling=calling), strict) == (1, 1, 3)


def test_without_any_peer_in_the_configuration_every_peer_is_rejected() -> None:
    assert rejected(associate_rq(context(1, VERIFICATION, IMPLICIT)), Settings()) == (1, 1, 3)


@pytest.mark.parametrize(
    ("abstract", "operation"),
    [
        (CT, "store"),
        (MEDIA_CREATION_MANAGEMENT, "media"),
        (STORAGE_COMMITMENT_PUSH_MODEL, "commit"),
    ],
)
def test_each_operation_needs_its_permission_and_no_other(abstract: str, operation: str) -> None:
    pdu = associate_rq(context(1, abstract, IMPLICIT))
    for may in ("echo", "store", "media", "commit"):
        peer = PeerSettings(ae_title="PEER", may=(may,))
        answer = accepted(pdu, Settings(peer=(peer,)))
        assert bool(answer.contexts) == (may == operation)


def test_the_called_ae_title_must_be_one_of_burnish() -> None:
    order = StandingOrderSettings(name="us", called_ae_titles=("BURN_US",))
    two_titles = Settings(dicom=DicomSettings(accept_unknown_peers=True), standing_order=(order,))
    for called in (b"BURNISH", b"BURN_US", b"BURN_US\0\0", b" BURNISH "):
        assert accepted(associate_rq(called=called), two_titles).called_ae_title in (
            "BURNISH",
            "BURN_US",
        )
    for called in (b"OTHER", b"burnish", b"BURNISH2"):
        assert rejected(associate_rq(called=called), two_titles) == (1, 1, 7)


def test_another_application_context_is_rejected() -> None:
    assert rejected(associate_rq(application_context="1.2.3")) == (1, 1, 2)


@pytest.mark.parametrize(
    ("version", "is_supported"), [(1, True), (3, True), (2, False), (0, False)]
)
def test_a_request_without_version_1_of_the_protocol_is_rejected(
    version: int, is_supported: bool
) -> None:  # PS3.8 9.3.2: only bit 0 is tested
    pdu = associate_rq()
    pdu = pdu[:6] + version.to_bytes(2, "big") + pdu[8:]
    if is_supported:
        assert accepted(pdu)
    else:
        assert rejected(pdu) == (1, 2, 2)


def test_any_called_ae_title_is_accepted_if_it_is_not_checked() -> None:
    lenient = Settings(dicom=DicomSettings(accept_unknown_peers=True, check_called_ae_title=False))
    assert accepted(associate_rq(called=b"OTHER"), lenient).called_ae_title == "OTHER"


# --- peers ----------------------------------------------------------------------------------------

EVERYTHING = (
    context(1, VERIFICATION, IMPLICIT),
    context(3, CT, IMPLICIT),
    context(5, MEDIA_CREATION_MANAGEMENT, IMPLICIT),
    context(7, PRIVATE, IMPLICIT),
)


@pytest.mark.parametrize(
    ("may", "results"),
    [
        (("echo", "store", "media", "commit"), [0, 0, 0, 3]),
        (("store",), [0, 0, 1, 3]),
        (("media",), [0, 1, 0, 3]),
        (("echo",), [0, 1, 1, 3]),
        (("commit",), [0, 1, 1, 3]),
    ],
)
def test_contexts_are_accepted_according_to_the_permissions(
    may: tuple[Operation, ...], results: list[int]
) -> None:
    strict = Settings(peer=(PeerSettings(ae_title="PEER", may=may),))
    answer = accepted(associate_rq(*EVERYTHING), strict)
    assert [c.result for c in decoded(answer).presentation_context] == results
    assert len(answer.contexts) == results.count(0)


CERTIFICATE = Certificate("AB" * 32, "C=IT,CN=ct1")


@pytest.mark.parametrize(
    ("peer", "caller", "is_accepted"),
    [
        ({"addresses": ["10.0.0.0/8", "192.0.2.7"]}, Caller("10.9.8.7"), True),
        ({"addresses": ["10.0.0.0/8", "192.0.2.7"]}, Caller("192.0.2.7"), True),
        ({"addresses": ["10.0.0.0/8", "192.0.2.7"]}, Caller("192.0.2.8"), False),
        ({"addresses": ["10.0.0.0/8"]}, Caller("::ffff:10.1.1.1"), True),
        ({"addresses": ["10.0.0.0/8"]}, Caller("fe80::1%eth0"), False),
        ({"addresses": ["fe80::/10"]}, Caller("fe80::1%eth0"), True),
        ({"tls": True}, Caller("10.0.0.1"), False),
        ({"tls": True}, Caller("10.0.0.1", tls=True), True),
        ({"tls": True, "certificate": "ab" * 32}, Caller("10.0.0.1", tls=True), False),
        ({"tls": True, "certificate": "ab" * 32}, Caller("10.0.0.1", True, CERTIFICATE), True),
        ({"tls": True, "certificate": "cd" * 32}, Caller("10.0.0.1", True, CERTIFICATE), False),
        ({"tls": True, "certificate": "C=IT, CN=ct1"}, Caller("10.0.0.1", True, CERTIFICATE), True),
        ({"tls": True, "certificate": "CN=ct1"}, Caller("10.0.0.1", True, CERTIFICATE), False),
    ],
)
def test_a_peer_must_call_from_its_address_with_its_certificate(
    peer: dict[str, Any], caller: Caller, is_accepted: bool
) -> None:
    configured = PeerSettings.model_validate({"ae_title": "PEER", **peer})
    # model_copy does not check that [tls] is complete
    strict = Settings().model_copy(update={"peer": (configured,)})
    if is_accepted:
        accepted(associate_rq(), strict, caller)
    else:
        assert rejected(associate_rq(), strict, caller) == (1, 1, 3)
        any_peer = Settings(dicom=DicomSettings(accept_unknown_peers=True))
        any_peer = any_peer.model_copy(update={"peer": (configured,)})
        assert rejected(associate_rq(), any_peer, caller) == (1, 1, 3), (
            "configured peers are still checked"
        )


# --- user identity (PS3.7 D.3.3.7) ----------------------------------------------------------------

USERS = (UserSettings(name="ct1", passcode=SecretStr("sesame")), UserSettings(name="nobody"))


def identity(kind: int, primary: str, secondary: str = "", wants_response: int = 0) -> bytes:
    fields = b"".join(
        len(value.encode()).to_bytes(2, "big") + value.encode() for value in (primary, secondary)
    )
    return item(0x58, bytes((kind, wants_response)) + fields)


def with_users(
    user_identity: str = "optional", users: tuple[UserSettings, ...] = USERS
) -> Settings:
    dicom = DicomSettings.model_validate(
        {"accept_unknown_peers": True, "user_identity": user_identity}
    )
    return Settings(dicom=dicom, user=users)


@pytest.mark.parametrize("wants_response", [0, 1])
@pytest.mark.parametrize(
    ("kind", "name", "passcode"),
    [(2, "ct1", "sesame"), (1, "nobody", ""), (2, "nobody", "anything")],
)
def test_a_user_with_the_right_passcode_is_accepted(
    kind: int, name: str, passcode: str, wants_response: int
) -> None:
    pdu = associate_rq(more=identity(kind, name, passcode, wants_response))
    answer = accepted(pdu, with_users("required"))
    assert answer.user == name
    assert "sesame" not in repr(answer)
    items = decoded(answer).user_information.user_data
    responses = [item_.server_response for item_ in items if item_.item_type == 0x59]
    assert responses == [b""] * wants_response


@pytest.mark.parametrize(
    "user_identity",
    [
        identity(2, "ct1", "Sesame"),
        identity(2, "ct1", ""),
        identity(1, "ct1"),
        identity(1, "somebody"),
        identity(2, "", ""),
        identity(3, "ct1"),
        identity(4, "nobody"),
        identity(5, "nobody"),
        identity(0, "nobody"),
    ],
)
def test_another_user_or_passcode_is_rejected(user_identity: bytes) -> None:
    for policy in ("optional", "required"):
        assert rejected(associate_rq(more=user_identity), with_users(policy)) == (1, 2, 1)


def test_a_peer_without_a_user_is_rejected_if_one_is_required() -> None:
    assert rejected(associate_rq(), with_users("required")) == (1, 2, 1)
    assert accepted(associate_rq(), with_users()).user == ""


def test_user_identity_is_ignored_if_no_user_is_configured() -> None:
    answer = accepted(associate_rq(more=identity(2, "ct1", "sesame", 1)))
    assert answer.user == ""
    assert 0x59 not in [item_.item_type for item_ in decoded(answer).user_information.user_data]


def test_the_passcode_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "passcode"
    user = UserSettings(name="ct1", passcode_file=file)
    with pytest.raises(InvalidSettings, match="ct1"):
        Negotiator(with_users(users=(user,)))
    file.write_text("sesame\nsecond line\n")
    pdu = associate_rq(more=identity(2, "ct1", "sesame"))
    assert accepted(pdu, with_users(users=(user,))).user == "ct1"
    file.write_text("\n")
    with pytest.raises(InvalidSettings, match="first line"):
        Negotiator(with_users(users=(user,)))


# --- SOP Class Extended Negotiation, asynchronous operations --------------------------------------


def extended(uid: str, information: bytes) -> bytes:
    return item(0x56, len(uid).to_bytes(2, "big") + uid.encode() + information)


@pytest.mark.parametrize("proposed", [b"", b"\0", bytes(6), b"\x03\0\x01\0\x02\0", bytes(20)])
def test_storage_is_level_2_with_signatures_preserved_and_nothing_coerced(proposed: bytes) -> None:
    more = extended(CT, proposed) + extended(VERIFICATION, proposed) + extended(PRIVATE, proposed)
    answer = accepted(associate_rq(context(1, CT, IMPLICIT), more=more))
    items = decoded(answer).user_information.user_data
    answered = {
        str(item_.sop_class_uid): item_.service_class_application_information
        for item_ in items
        if item_.item_type == 0x56
    }
    assert answered == {CT: b"\x02\0\x03\0\0\0"}, "PS3.4 B.3.1"


def test_asynchronous_operations_are_not_negotiated() -> None:
    answer = accepted(associate_rq(more=item(0x53, b"\0\x08\0\x08")))
    items = decoded(answer).user_information.user_data
    assert 0x53 not in [item_.item_type for item_ in items], (
        "without an answer, one operation at a time (PS3.7 D.3.3.3)"
    )


def test_a_sop_class_that_is_announced_as_another_service_is_not_storage() -> None:
    def announced(service: str) -> bytes:
        uids = (PRIVATE, service)
        fields = b"".join(len(u).to_bytes(2, "big") + u.encode() for u in uids)
        return item(0x57, fields + b"\0\0")

    answer = accepted(associate_rq(EVERYTHING[3], more=announced("1.2.840.10008.4.2")))
    assert answer.contexts[7].storage
    items = decoded(answer).user_information.user_data
    assert 0x57 not in [item_.item_type for item_ in items], (
        "the acceptor does not answer it (PS3.7 D.3.3.6)"
    )
    assert not accepted(associate_rq(EVERYTHING[3], more=announced("1.2.3"))).contexts


COMPLETE_RQ = associate_rq(
    context(1, CT, EXPLICIT, JPEG_BASELINE),
    context(3, MEDIA_CREATION_MANAGEMENT, IMPLICIT),
    more=role(CT, 1, 1) + item(0x55, b"PEER_1"),
)
NEGOTIATOR = Negotiator(with_users())
fuzz = settings(max_examples=400, deadline=None, phases=[Phase.explicit, Phase.generate])


def assert_answered_or_malformed(pdu: bytes) -> None:
    """pynetdicom warns about invalid values and goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            NEGOTIATOR.answer(pdu[6:], CALLER)
        except Malformed:
            return


@fuzz
@given(st.binary(min_size=68, max_size=300))
def test_any_bytes_are_answered_or_malformed(body: bytes) -> None:
    assert_answered_or_malformed(b"\x01\0" + len(body).to_bytes(4, "big") + body)


@fuzz
@given(st.integers(0, 1 << 32))
def test_a_damaged_request_is_answered_or_malformed(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(COMPLETE_RQ)
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(6, len(data))] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
    if chance.random() < 0.3:
        del data[chance.randrange(74, len(data)) :]
    assert_answered_or_malformed(bytes(data))


def test_a_request_with_any_byte_changed_is_answered_or_malformed() -> None:
    errors: dict[int, str] = {}
    for at in range(74, len(COMPLETE_RQ)):
        for delta in (1, 255, 128):
            data = bytearray(COMPLETE_RQ)
            data[at] = (data[at] + delta) % 256
            try:
                assert_answered_or_malformed(bytes(data))
            except Exception as error:  # noqa: BLE001  the test lists all of them
                errors[at] = repr(error)
    assert errors == {}


@pytest.mark.parametrize(
    "pdu",
    [
        associate_rq(b""),
        associate_rq(context(1, "", IMPLICIT)),
        associate_rq(context(1, "1.2.x", IMPLICIT)),
        associate_rq(context(2, VERIFICATION, IMPLICIT)),
        associate_rq(context(1, VERIFICATION)),
        associate_rq(context(1, VERIFICATION, IMPLICIT), context(1, CT, IMPLICIT)),
        associate_rq(calling="ÄÖÜ".encode("latin-1")),
        associate_rq(called="ÄÖÜ".encode()),
        associate_rq(calling=b""),
        associate_rq(application_context=""),
        associate_rq(application_context="not a uid"),
        associate_rq(more=role("", 1, 1)),
        associate_rq(more=role("x" * 80, 1, 1)),
        associate_rq(more=item(0x56, b"\0\x05")),
        associate_rq(more=item(0x58, b"\1\0\0\4user\0\4pass")),
    ],
)
def test_an_unusual_request_is_answered_or_malformed(pdu: bytes) -> None:
    assert_answered_or_malformed(pdu)


@pytest.mark.parametrize("may", ["echo", "store", "media", "commit", "retrieve"])
def test_every_peer_that_may_associate_may_verify(may: Operation) -> None:  # PS3.2 7.1
    peer = PeerSettings(ae_title="PEER", may=(may,), host="127.0.0.1")
    answer = accepted(associate_rq(context(1, VERIFICATION, IMPLICIT)), Settings(peer=(peer,)))
    assert answer.contexts


@pytest.mark.parametrize(
    ("sop_classes", "results"),
    [
        (("standard",), [0, 3, 3, 3]),
        (("standard", PRIVATE), [0, 0, 3, 3]),
        ((PRIVATE,), [3, 0, 3, 3]),
        (("any",), [0, 0, 0, 3]),
    ],
)
def test_the_configuration_says_which_storage_sop_classes_are_accepted(
    sop_classes: tuple[str, ...], results: list[int]
) -> None:
    new_class = "1.2.840.10008.5.1.4.1.1.9999"
    study_root_find = "1.2.840.10008.5.1.4.1.2.2.1"
    proposed = [
        context(2 * number + 1, uid, IMPLICIT)
        for number, uid in enumerate((CT, PRIVATE, new_class, study_root_find))
    ]
    settings = Settings(
        dicom=DicomSettings(accept_unknown_peers=True),
        storage=StorageSettings(sop_classes=sop_classes),
    )
    answer = accepted(associate_rq(*proposed), settings)
    assert [c.result for c in decoded(answer).presentation_context] == results
    stored = {context.abstract_syntax for context in answer.contexts.values() if context.storage}
    assert len(stored) == results.count(0)
