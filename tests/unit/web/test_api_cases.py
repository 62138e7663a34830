"""Random calls of the interface for programs; `make api-cases` makes many more."""

from pathlib import Path

import pytest

from unit.web.api_cases import call_all


@pytest.mark.filterwarnings("ignore")
def test_every_answer_is_one_that_the_document_has(tmp_path: Path) -> None:
    statuses = call_all(tmp_path, cases=520, seed_number=20261128)
    assert statuses.total() > 200
    assert statuses[200] > 20
