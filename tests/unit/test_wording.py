"""Numbers in messages."""

import pytest

from burnish.wording import quantity


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 instances"), (1, "1 instance"), (2, "2 instances")]
)
def test_a_noun_has_the_number_of_its_count(count: int, text: str) -> None:
    assert quantity(count, "instance") == text
