"""The table from errors to statuses."""

import pytest
from pynetdicom.status import (
    MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from burnish import errors
from burnish.scp import statuses

ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BurnishError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row(kind: type[errors.BurnishError]) -> None:
    assert kind in statuses.STATUSES
    assert statuses.of(kind("x")) == statuses.STATUSES[kind]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_row_is_in_the_standard(kind: type[errors.BurnishError]) -> None:
    row = statuses.STATUSES[kind]
    assert STORAGE_SERVICE_CLASS_STATUS[row.c_store][0] == "Failure"
    assert MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS[row.dimse_n][0] == "Failure"


def test_an_error_without_a_row_is_called_as_the_one_above_it() -> None:
    class Newer(errors.AlreadyInitiated):
        pass

    assert statuses.of(Newer("x")) == statuses.STATUSES[errors.AlreadyInitiated]


def test_no_row_is_of_an_error_that_there_is_not() -> None:
    assert set(statuses.STATUSES) == set(ERRORS)
