"""Reading a piece job takes a time that grows with its volume, not with the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from burnish.db import queue
from burnish.plan.planner import Planner
from burnish.write import job
from factories import Ground, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def test_each_instance_of_a_volume_is_read_by_index(ground: Ground) -> None:
    instances = [instance(instance_number=1)]
    ground.store(*instances)
    ground.admit(instances)
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner.tick()
    planner.close()
    with ground.database.writing() as session:
        claim = queue.claim(session, device="outbox", capacity={"CD": 10**9}, owner="o")
        assert claim is not None
    statements: list[tuple[str, Any]] = []

    def remember(_connection: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        statements.append((sql, values))

    with ground.database.reading() as session:
        event.listen(session.connection(), "before_cursor_execute", remember)
        job.read_piece_job(session, claim, ground.spool, Path(), Path())
        queries = [statement for statement in statements if "file_set_entry" in statement[0]]
        for sql, values in queries:
            rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            steps = [row.detail for row in rows]
            assert not [step for step in steps if step.startswith("SCAN")]
            joined = [step for step in steps if "referenced_instance" in step]
            assert joined
            assert all("request_id=?" in s and "sop_instance_uid=?" in s for s in joined), steps
