"""Storage Commitment: what is promised, for how long, and how its report is delivered."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from burnish import commitment, retention
from burnish.commitment import CommitmentLine, Report
from burnish.db.tables import CommitmentTransaction, CommittedInstance, Instance, Piece
from burnish.errors import InvalidArgument
from burnish.plan.planner import Planner
from burnish.settings import RetentionSettings, StorageCommitmentSettings, StorageSettings
from burnish.vocabulary import CommitmentFailure, PieceState
from factories import CT, MR, Ground, SampleInstance, instance

OLD = datetime(2024, 1, 2, tzinfo=UTC)
NOW_OR_NEVER = StorageCommitmentSettings(
    wait_for_instances=timedelta(0), retry_after=timedelta(seconds=30)
)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path, storage_commitment=NOW_OR_NEVER) as ground:
        yield ground


def ask(
    ground: Ground, *references: tuple[str, str], uid: str = "1.2.3.4", judge: bool = True
) -> int:
    with ground.database.writing() as session:
        asked = commitment.request(
            session, uid, references, calling_ae_title="PACS", called_ae_title="BURNISH"
        )
        if judge:
            assert commitment.judge(session, ground.settings, ground.spool, asked)
    return asked


def of(*instances: SampleInstance) -> list[tuple[str, str]]:
    return [(instance.sop_class_uid, instance.sop_instance_uid) for instance in instances]


def report(ground: Ground, asked: int) -> Report:
    with ground.database.writing() as session:
        report_to_send = commitment.claim(session, asked, early=True)
    assert report_to_send is not None
    return report_to_send


def line(ground: Ground) -> CommitmentLine:
    with ground.database.reading() as session:
        return commitment.listing(session)[0]


def change(ground: Ground, **columns: Any) -> None:
    with ground.database.writing() as session:
        session.execute(update(CommitmentTransaction).values(**columns))


def live(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        return list(
            session.scalars(select(Instance.sop_instance_uid).where(Instance.released_at.is_(None)))
        )


def test_instances_in_the_spool_are_committed(ground: Ground) -> None:
    samples = [instance(instance_number=n) for n in (1, 2)]
    ground.store(*samples)
    answer = report(ground, ask(ground, *of(*samples)))
    assert [(i.sop_class_uid, i.sop_instance_uid) for i in answer.committed] == of(*samples)
    assert not answer.failed
    assert answer.transaction_uid == "1.2.3.4"


def test_each_failure_has_its_reason(ground: Ground) -> None:
    whole, other, broken, gone = (instance(instance_number=n) for n in range(4))
    ground.store(whole, other, broken)
    ground.store(gone, released_at=OLD)
    with ground.database.reading() as session:
        key = session.scalar(
            select(Instance.spool_key).where(Instance.sop_instance_uid == broken.sop_instance_uid)
        )
    assert key
    ground.spool.path(key).write_bytes(b"half")
    asked = ask(ground, *of(whole), (MR, other.sop_instance_uid), *of(broken, gone), (CT, "1.2.99"))
    answer = report(ground, asked)
    assert [i.sop_instance_uid for i in answer.committed] == [whole.sop_instance_uid]
    assert [CommitmentFailure(i.failure_reason) for i in answer.failed] == [
        CommitmentFailure.CLASS_INSTANCE_CONFLICT,
        CommitmentFailure.PROCESSING_FAILURE,
        CommitmentFailure.NO_SUCH_OBJECT_INSTANCE,
        CommitmentFailure.NO_SUCH_OBJECT_INSTANCE,
    ]


def test_a_missing_instance_fails_for_lack_of_room_if_the_spool_is_full(tmp_path: Path) -> None:
    storage = StorageSettings(root=tmp_path, durability="os", high_water=1e-9)
    with Ground(tmp_path, storage_commitment=NOW_OR_NEVER, storage=storage) as ground:
        ground.spool._high_water = 0.0
        answer = report(ground, ask(ground, (CT, "1.2.99")))
        assert answer.failed[0].failure_reason == CommitmentFailure.RESOURCE_LIMITATION


def test_judging_waits_for_instances_that_may_still_arrive(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        sample = instance()
        asked = ask(ground, *of(sample), judge=False)
        with ground.database.writing() as session:
            assert not commitment.judge(session, ground.settings, ground.spool, asked)
            assert commitment.unjudged(session) == [asked]
        assert line(ground).state == "WAITING"
        ground.store(sample)
        with ground.database.writing() as session:
            assert commitment.judge(session, ground.settings, ground.spool, asked)
        assert report(ground, asked).committed


@pytest.mark.parametrize(
    ("uid", "references"),
    [
        ("", [(CT, "1.2.3")]),
        ("not a uid", [(CT, "1.2.3")]),
        ("1.2.3", []),
        ("1.2.3", [(CT, "")]),
        ("1.2.3", [("", "1.2.3")]),
    ],
)
def test_an_invalid_request_is_refused(
    ground: Ground, uid: str, references: list[tuple[str, str]]
) -> None:
    with pytest.raises(InvalidArgument):
        ask(ground, *references, uid=uid)
    assert ground.count(CommitmentTransaction) == 0


def test_a_reference_that_is_given_twice_is_answered_once(ground: Ground) -> None:
    sample = instance()
    ground.store(sample)
    wrong_class = (MR, sample.sop_instance_uid)
    asked = ask(ground, *of(sample), wrong_class, *of(sample), wrong_class)
    answer = report(ground, asked)
    assert [(i.sop_class_uid, i.sop_instance_uid) for i in answer.committed] == of(sample)
    assert [(i.sop_class_uid, i.sop_instance_uid) for i in answer.failed] == [wrong_class]
    assert answer.failed[0].failure_reason == CommitmentFailure.CLASS_INSTANCE_CONFLICT
    assert line(ground).instances == 2
    assert ask(ground, *of(sample), wrong_class) == asked, "the same request, each named once"


def test_a_repeated_request_is_the_same_transaction(ground: Ground) -> None:
    sample = instance()
    ground.store(sample)
    asked = ask(ground, *of(sample))
    assert ask(ground, *of(sample)) == asked, "asked again before it was reported"
    other = report(ground, ask(ground, (CT, "1.2.99")))
    assert [i.failure_reason for i in other.failed] == [CommitmentFailure.DUPLICATE_TRANSACTION_UID]
    change(ground, reported_at=OLD)
    assert report(ground, ask(ground, *of(sample))).committed, "a transaction UID that is spent"


def test_the_transaction_uid_of_another_peer_is_not_the_same_transaction(ground: Ground) -> None:
    sample = instance()
    ground.store(sample)
    asked = ask(ground, *of(sample))
    change(ground, calling_ae_title="OTHER")
    assert ask(ground, *of(sample)) != asked


def test_a_committed_instance_stays_until_its_promise_ends(ground: Ground) -> None:
    promised, other = instance(), instance()
    ground.store(promised, other, received_at=OLD)
    ask(ground, *of(promised))
    retention.release(ground.database, ground.spool, RetentionSettings())
    assert live(ground) == [promised.sop_instance_uid]
    until = line(ground).promised_until
    assert until
    assert until > datetime.now(UTC) + timedelta(days=13)
    change(ground, promised_until=OLD, reported_at=OLD)
    retention.release(ground.database, ground.spool, RetentionSettings())
    assert live(ground) == []
    assert ground.count(CommitmentTransaction) == ground.count(CommittedInstance) == 0


def test_a_promise_holds_however_long_ago_it_was_reported(ground: Ground) -> None:
    promised = instance()
    ground.store(promised, received_at=OLD)
    ask(ground, *of(promised))
    change(ground, reported_at=OLD)
    for _ in range(2):  # the transaction would go first, then the instance
        retention.release(ground.database, ground.spool, RetentionSettings())
        assert live(ground) == [promised.sop_instance_uid]
        assert ground.count(CommitmentTransaction) == 1


def test_no_instance_is_released_before_its_transaction_is_judged(ground: Ground) -> None:
    sample = instance()
    ground.store(sample, received_at=OLD)
    ask(ground, *of(sample), judge=False)
    retention.release(ground.database, ground.spool, RetentionSettings())
    assert live(ground) == [sample.sop_instance_uid]


@pytest.mark.parametrize("report_media", [True, False])
def test_a_report_names_the_media_of_its_instances(tmp_path: Path, report_media: bool) -> None:
    table = NOW_OR_NEVER.model_copy(update={"report_media": report_media})
    with Ground(tmp_path, storage_commitment=table) as ground:
        samples = [instance(instance_number=n) for n in (1, 2)]
        ground.store(*samples)
        uid = ground.admit(samples[:1])
        planner = Planner(ground.settings, ground.database, ground.spool)
        planner.tick()
        planner.close()
        before = report(ground, ask(ground, *of(*samples), uid="1.2.1"))
        assert {i.file_set_uid for i in before.items} == {""}, "not verified yet"
        with ground.database.writing() as session:
            session.execute(update(Piece).values({Piece.state: PieceState.CREATED}))
        (file_set,) = ground.request(uid).file_sets
        named = (file_set.file_set_id, file_set.file_set_uid) if report_media else ("", "")
        after = report(ground, ask(ground, *of(*samples), uid="1.2.2"))
        assert [(i.file_set_id, i.file_set_uid) for i in after.items] == [named, ("", "")]


def test_a_claimed_report_is_not_claimed_again_until_it_is_due(ground: Ground) -> None:
    asked = ask(ground, (CT, "1.2.99"))
    with ground.database.writing() as session:
        assert commitment.due(session) == {}, "the association that asked comes first"
        assert commitment.claim(session, asked) is None
        assert commitment.claim(session, asked, early=True)
        assert commitment.claim(session, asked, early=True) is None
        commitment.hand_back(session, asked)
    with ground.database.writing() as session:
        assert commitment.due(session) == {("PACS", "BURNISH"): [asked]}
        assert commitment.claim(session, asked)
        assert commitment.due(session) == {}
        commitment.delivered(session, asked)
        commitment.hand_back(session, asked)
        assert commitment.due(session) == {}
    assert line(ground).state == "REPORTED"


def test_a_report_is_retried_at_growing_intervals_and_then_given_up(ground: Ground) -> None:
    asked = ask(ground, (CT, "1.2.99"))
    pauses = []
    for _ in range(10):
        change(ground, not_before=OLD)
        with ground.database.writing() as session:
            assert commitment.claim(session, asked)
            assert commitment.not_delivered(session, ground.settings, asked, "nobody there")
        transaction = line(ground)
        assert transaction.next_attempt
        pauses.append((transaction.next_attempt - datetime.now(UTC)).total_seconds())
    assert [round(pause) for pause in pauses[:4]] == [30, 60, 120, 240]
    assert round(pauses[-1]) == 3600
    assert transaction.state == "TO REPORT"
    assert transaction.why == "nobody there"
    change(ground, judged_at=OLD)
    with ground.database.writing() as session:
        assert not commitment.not_delivered(session, ground.settings, asked, "nobody there")
        assert commitment.due(session) == {}
    assert line(ground).state == "GIVEN UP"
