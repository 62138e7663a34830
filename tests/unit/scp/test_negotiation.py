"""Which peers, which contexts, which transfer syntaxes; and what cannot be read."""

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
    VERIFICATION,
)
from factories import CT
from peer import EXPLICIT, IMPLICIT, associate_rq, context, item, role

OPEN = Settings(dicom=DicomSettings(accept_unknown_peers=True))
HERE = Caller("127.0.0.1")
PRIVATE = "1.2.826.0.1.3680043.2.1396.999"


def negotiate(
    pdu: bytes, settings_: Settings = OPEN, caller: Caller = HERE
) -> Acceptance | Rejection:
    return Negotiator(settings_).answer(pdu[6:], caller)


def accepted(pdu: bytes, settings_: Settings = OPEN, caller: Caller = HERE) -> Acceptance:
    answer = negotiate(pdu, settings_, caller)
    assert isinstance(answer, Acceptance)
    return answer


def rejected(pdu: bytes, settings_: Settings = OPEN, caller: Caller = HERE) -> tuple[int, int, int]:
    answer = negotiate(pdu, settings_, caller)
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
def test_transfer_syntaxes_of_storage(offered: tuple[str, ...], chosen: str | None) -> None:
    answer = accepted(associate_rq(context(3, CT, *offered)))
    assert {n: c.transfer_syntax for n, c in answer.contexts.items()} == (
        {3: chosen} if chosen else {}
    )
    (result,) = decoded(answer).presentation_context
    assert result.result == (0 if chosen else 4)
    if chosen:
        assert answer.contexts[3].storage


@pytest.mark.parametrize("abstract", [VERIFICATION, MEDIA_CREATION_MANAGEMENT])
def test_transfer_syntaxes_of_the_other_services(abstract: str) -> None:
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


def test_what_is_not_served_is_refused_context_by_context() -> None:
    answer = accepted(
        associate_rq(context(1, PRIVATE, IMPLICIT), context(3, VERIFICATION, IMPLICIT))
    )
    assert [c.result for c in decoded(answer).presentation_context] == [3, 0]
    assert answer.not_accepted == f"{PRIVATE}: SOP Class not supported"
    assert set(answer.contexts) == {3}


def test_what_the_log_is_told_of_contexts_that_were_not_accepted() -> None:
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


def test_images_of_retired_classes_are_stored() -> None:
    """Old ultrasound and nuclear medicine devices still send them."""
    for tail in ("3", "5", "6", "12.3"):
        assert accepted(
            associate_rq(context(1, f"1.2.840.10008.5.1.4.1.1.{tail}", IMPLICIT))
        ).contexts


def test_a_private_class_that_is_said_to_be_storage() -> None:
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


def test_all_128_contexts() -> None:
    pdu = associate_rq(*(context(n, CT, EXPLICIT) for n in range(1, 256, 2)))
    assert len(accepted(pdu).contexts) == 128


@pytest.mark.parametrize(("scu", "scp"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_we_are_the_provider(scu: int, scp: int) -> None:
    answer = accepted(associate_rq(context(1, CT, EXPLICIT), more=role(CT, scu, scp)))
    found = [i for i in decoded(answer).user_information.user_data if i.item_type == 0x54]
    assert [(item.scu_role, item.scp_role) for item in found] == ([(1, 0)] if scu else [])


def test_what_is_told_of_ourselves() -> None:
    settings_ = Settings(dicom=DicomSettings(accept_unknown_peers=True, maximum_pdu_size=4096))
    user = decoded(accepted(associate_rq(), settings_)).user_information
    assert user.maximum_length == 4096
    assert user.implementation_class_uid.startswith("2.25.")


@pytest.mark.parametrize(
    ("said", "kept"),
    [(0, 0), (1, 64), (64, 64), (65, 65), (16384, 16384), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_the_maximum_length_of_the_peer(said: int, kept: int) -> None:
    assert accepted(associate_rq(maximum_length=said)).maximum_length == kept


def test_who_may_do_what() -> None:
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


def test_whom_they_called() -> None:
    order = StandingOrderSettings(name="us", called_ae_titles=("BURN_US",))
    both = Settings(dicom=DicomSettings(accept_unknown_peers=True), standing_order=(order,))
    for called in (b"BURNISH", b"BURN_US", b"BURN_US\0\0", b" BURNISH "):
        assert accepted(associate_rq(called=called), both).called_ae_title in ("BURNISH", "BURN_US")
    for called in (b"OTHER", b"burnish", b"BURNISH2"):
        assert rejected(associate_rq(called=called), both) == (1, 1, 7)


def test_another_application_context() -> None:
    assert rejected(associate_rq(application_context="1.2.3")) == (1, 1, 2)


def test_a_called_ae_title_that_is_not_checked() -> None:
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
        (("store",), [1, 0, 1, 3]),
        (("media",), [1, 1, 0, 3]),
        (("echo",), [0, 1, 1, 3]),
        (("commit",), [1, 1, 1, 3]),
    ],
)
def test_contexts_are_accepted_for_what_the_peer_may_do(
    may: tuple[Operation, ...], results: list[int]
) -> None:
    strict = Settings(peer=(PeerSettings(ae_title="PEER", may=may),))
    answer = accepted(associate_rq(*EVERYTHING), strict)
    assert [c.result for c in decoded(answer).presentation_context] == results
    assert len(answer.contexts) == results.count(0)


SHOWN = Certificate("AB" * 32, "C=IT,CN=ct1")


@pytest.mark.parametrize(
    ("peer", "caller", "welcome"),
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
        ({"tls": True, "certificate": "ab" * 32}, Caller("10.0.0.1", True, SHOWN), True),
        ({"tls": True, "certificate": "cd" * 32}, Caller("10.0.0.1", True, SHOWN), False),
        ({"tls": True, "certificate": "C=IT, CN=ct1"}, Caller("10.0.0.1", True, SHOWN), True),
        ({"tls": True, "certificate": "CN=ct1"}, Caller("10.0.0.1", True, SHOWN), False),
    ],
)
def test_a_peer_is_who_it_says(peer: dict[str, Any], caller: Caller, welcome: bool) -> None:
    known = PeerSettings.model_validate({"ae_title": "PEER", **peer})
    # what [tls] has to have is not looked at here
    strict = Settings().model_copy(update={"peer": (known,)})
    if welcome:
        accepted(associate_rq(), strict, caller)
    else:
        assert rejected(associate_rq(), strict, caller) == (1, 1, 3)
        open_ = Settings(dicom=DicomSettings(accept_unknown_peers=True))
        open_ = open_.model_copy(update={"peer": (known,)})
        assert rejected(associate_rq(), open_, caller) == (1, 1, 3), "known ones are still checked"


# --- user identity (PS3.7 D.3.3.7) ----------------------------------------------------------------

USERS = (UserSettings(name="ct1", passcode=SecretStr("sesame")), UserSettings(name="nobody"))


def identity(kind: int, primary: str, secondary: str = "", wants_response: int = 0) -> bytes:
    fields = b"".join(
        len(each.encode()).to_bytes(2, "big") + each.encode() for each in (primary, secondary)
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
def test_a_right_user_is_let_in(kind: int, name: str, passcode: str, wants_response: int) -> None:
    pdu = associate_rq(more=identity(kind, name, passcode, wants_response))
    answer = accepted(pdu, with_users("required"))
    assert answer.user == name
    assert "sesame" not in repr(answer)
    items = decoded(answer).user_information.user_data
    responses = [each.server_response for each in items if each.item_type == 0x59]
    assert responses == [b""] * wants_response


@pytest.mark.parametrize(
    "given",
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
def test_a_wrong_user_is_refused(given: bytes) -> None:
    for policy in ("optional", "required"):
        assert rejected(associate_rq(more=given), with_users(policy)) == (1, 2, 1)


def test_no_user_where_one_is_wanted() -> None:
    assert rejected(associate_rq(), with_users("required")) == (1, 2, 1)
    assert accepted(associate_rq(), with_users()).user == ""


def test_a_service_without_users_takes_no_part() -> None:
    answer = accepted(associate_rq(more=identity(2, "ct1", "sesame", 1)))
    assert answer.user == ""
    assert 0x59 not in [each.item_type for each in decoded(answer).user_information.user_data]


def test_a_passcode_in_a_file(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("asked", [b"", b"\0", bytes(6), b"\x03\0\x01\0\x02\0", bytes(20)])
def test_storage_is_level_2_with_signatures_preserved_and_nothing_coerced(asked: bytes) -> None:
    more = extended(CT, asked) + extended(VERIFICATION, asked) + extended(PRIVATE, asked)
    answer = accepted(associate_rq(context(1, CT, IMPLICIT), more=more))
    items = decoded(answer).user_information.user_data
    found = {
        str(each.sop_class_uid): each.service_class_application_information
        for each in items
        if each.item_type == 0x56
    }
    assert found == {CT: b"\x02\0\x03\0\0\0"}, "PS3.4 B.3.1"


def test_operations_are_not_asynchronous() -> None:
    answer = accepted(associate_rq(more=item(0x53, b"\0\x08\0\x08")))
    items = decoded(answer).user_information.user_data
    assert 0x53 not in [each.item_type for each in items], "PS3.7 D.3.3.3: then it is 1 and 1"


def test_what_is_announced_as_another_service_is_not_storage() -> None:
    def announced(service: str) -> bytes:
        uids = (PRIVATE, service)
        fields = b"".join(len(u).to_bytes(2, "big") + u.encode() for u in uids)
        return item(0x57, fields + b"\0\0")

    answer = accepted(associate_rq(EVERYTHING[3], more=announced("1.2.840.10008.4.2")))
    assert answer.contexts[7].storage
    items = decoded(answer).user_information.user_data
    assert 0x57 not in [each.item_type for each in items], "PS3.7 D.3.3.6: not in an answer"
    assert not accepted(associate_rq(EVERYTHING[3], more=announced("1.2.3"))).contexts


WHOLE = associate_rq(
    context(1, CT, EXPLICIT, JPEG_BASELINE),
    context(3, MEDIA_CREATION_MANAGEMENT, IMPLICIT),
    more=role(CT, 1, 1) + item(0x55, b"PEER_1"),
)
NEGOTIATOR = Negotiator(with_users())
fuzz = settings(max_examples=400, deadline=None, phases=[Phase.explicit, Phase.generate])


def answered(pdu: bytes) -> None:
    """Of what pynetdicom finds invalid it warns, and goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            NEGOTIATOR.answer(pdu[6:], HERE)
        except Malformed:
            return


@fuzz
@given(st.binary(min_size=68, max_size=300))
def test_any_bytes_as_a_body(body: bytes) -> None:
    answered(b"\x01\0" + len(body).to_bytes(4, "big") + body)


@fuzz
@given(st.integers(0, 1 << 32))
def test_damaged_requests(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(WHOLE)
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(6, len(data))] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
    if chance.random() < 0.3:
        del data[chance.randrange(74, len(data)) :]
    answered(bytes(data))


def test_every_byte_a_little_off() -> None:
    wrong: dict[int, str] = {}
    for at in range(74, len(WHOLE)):
        for delta in (1, 255, 128):
            data = bytearray(WHOLE)
            data[at] = (data[at] + delta) % 256
            try:
                answered(bytes(data))
            except Exception as error:  # noqa: BLE001  all of them are wanted in one list
                wrong[at] = repr(error)
    assert wrong == {}


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
def test_odd_requests(pdu: bytes) -> None:
    answered(pdu)
