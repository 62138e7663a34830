"""Hypothesis strategies for what goes on media: patients, studies, series, instances."""

import random
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from burnish.plan.candidates import Candidate
from factories import candidate, header

T = TypeVar("T")

#: Few examples, however long one takes on a busy machine; a seed does not shrink.
few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

#: Names that a patient may have under one Patient ID: alike, different, or none.
_NAMES = ("Doe^Jane", "DOE^JANE", "Roe^Richard", "")
_ISSUERS = ("", "", "A", "B")


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    minimum: int = 0,
    maximum: int = 16,
    agreeing: bool = False,
    largest: int = 300_000,
) -> list[Candidate]:
    """Instances whose patients, studies and series collide in every way there is.

    With `agreeing`, what makes one patient, study or series has the same keys in every instance.
    """
    count = draw(st.integers(minimum, maximum))
    root_level = draw(st.integers(0, 2)) if minimum == 0 else 0
    # one draw for all values, because only their collisions matter
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    rows = [
        (
            chance.choice(("P1", "P1", "P2", "")),
            chance.randint(0, 3),
            chance.randint(0, 3),
            chance.randint(0, 2),
            chance.randint(0, 2),
            chance.randint(1, largest),
            chance.random() < 0.5,
        )
        for _ in range(count)
    ]
    candidates = []
    for number, (patient, name, issuer, study, series, size, numbered) in enumerate(rows):
        instance_header = header(
            patient_id=patient,
            name="Doe^Jane" if agreeing else _NAMES[name],
            issuer="" if agreeing else _ISSUERS[issuer],
            study=f"1.2.{study}"
            if not agreeing
            else f"1.2.{patient or 'P0'}{study}".replace("P", ""),
            series=f"1.3.{series}"
            if not agreeing
            else f"1.3.{number % 5}{study}{patient[1:] or 9}",
            uid=f"1.4.{number}",
            date=f"2024010{study + 1}",
            series_number=series if agreeing or numbered else None,
            instance_number=number if numbered else None,
        )
        candidates.append(candidate(number, instance_header, size))
    for number in range(root_level):
        instance_header = header(record_type="HANGING PROTOCOL", uid=f"1.5.{number}")
        candidates.append(candidate(1000 + number, instance_header, 500 + number))
    return candidates


def shuffled(values: Sequence[T], random_: random.Random) -> list[T]:
    mixed = list(values)
    random_.shuffle(mixed)
    return mixed
