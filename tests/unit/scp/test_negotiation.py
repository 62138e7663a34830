"""Which peers, which contexts, which transfer syntaxes; and what cannot be read."""

import random
import warnings

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC

from burnish.errors import Malformed
from burnish.scp.negotiation import Acceptance, Negotiator, Rejection, negotiate
from burnish.settings import Dicom, Peer, Settings, StandingOrder
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

OPEN = Settings(dicom=Dicom(accept_unknown_peers=True))
PRIVATE = "1.2.826.0.1.3680043.2.1396.999"


def accepted(pdu: bytes, settings_: Settings = OPEN) -> Acceptance:
    answer = negotiate(pdu, settings_)
    assert isinstance(answer, Acceptance)
    return answer


def rejected(pdu: bytes, settings_: Settings = OPEN) -> tuple[int, int, int]:
    answer = negotiate(pdu, settings_)
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
    assert set(answer.contexts) == {3}


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
    settings_ = Settings(dicom=Dicom(accept_unknown_peers=True, maximum_pdu_size=4096))
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
            Peer(ae_title="PACS"),
            Peer(ae_title="CT1", may=("store",)),
            Peer(ae_title="NO", may=()),
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
    order = StandingOrder(name="us", called_ae_titles=("BURN_US",))
    both = Settings(dicom=Dicom(accept_unknown_peers=True), standing_order=(order,))
    for called in (b"BURNISH", b"BURN_US", b"BURN_US\0\0", b" BURNISH "):
        assert accepted(associate_rq(called=called), both).called_ae_title in ("BURNISH", "BURN_US")
    for called in (b"OTHER", b"burnish", b"BURNISH2"):
        assert rejected(associate_rq(called=called), both) == (1, 1, 7)


def test_another_application_context() -> None:
    assert rejected(associate_rq(application_context="1.2.3")) == (1, 1, 2)


def test_what_one_peer_asked_before_is_answered_alike() -> None:
    negotiator = Negotiator(OPEN)
    assert negotiator.answer(associate_rq()) is negotiator.answer(associate_rq())
    assert negotiator.answer(associate_rq()) is not negotiator.answer(associate_rq(calling=b"B"))


WHOLE = associate_rq(
    context(1, CT, EXPLICIT, JPEG_BASELINE),
    context(3, MEDIA_CREATION_MANAGEMENT, IMPLICIT),
    more=role(CT, 1, 1) + item(0x55, b"PEER_1"),
)
fuzz = settings(max_examples=400, deadline=None, phases=[Phase.explicit, Phase.generate])


def answered(pdu: bytes) -> None:
    """Of what pynetdicom finds invalid it warns, and goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            negotiate(pdu, OPEN)
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
