"""The DIMSE statuses that we answer with against those that the standard has."""

import tomllib
from pathlib import Path

import pytest
from pynetdicom.status import (
    GENERAL_STATUS,
    MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
    code_to_category,
)

from burnish import errors
from burnish.scp import statuses

TABLE = tomllib.loads(Path(__file__).with_name("defined_terms.toml").read_text(encoding="utf-8"))
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BurnishError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_of_failures(kind: type[errors.BurnishError]) -> None:
    row = statuses.STATUSES[kind]
    assert row.c_store in STORAGE_SERVICE_CLASS_STATUS
    assert row.dimse_n in MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS
    assert code_to_category(row.c_store) == "Failure"
    assert MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS[row.dimse_n][0] == "Failure"


def test_no_error_is_answered_with_a_warning_that_n_create_may_not_give() -> None:
    assert not {0x0107, 0x0116} & {row.dimse_n for row in statuses.STATUSES.values()}  # S.3.2.1.3


def test_the_statuses_of_media_creation_management_are_known_to_pynetdicom() -> None:
    own = {
        code
        for code in MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS
        if code not in GENERAL_STATUS
    }
    assert own == set(TABLE["statuses"].values())


def test_an_error_of_the_state_machine_is_answered_as_the_standard_has_it() -> None:
    own = TABLE["statuses"]
    assert statuses.of(errors.AlreadyInitiated("")).dimse_n == own["ALREADY_INITIATED"]
    assert statuses.of(errors.AlreadyCompleted("")).dimse_n == own["CANCEL_COMPLETED"]
    assert statuses.of(errors.NotInterruptible("")).dimse_n == own["CANCEL_NOT_INTERRUPTIBLE"]
    assert statuses.of(errors.NotNow("")).dimse_n == own["CANCEL_DENIED"]
    assert own["ATTRIBUTE_LIST_UNSUPPORTED"] == statuses.ATTRIBUTE_LIST_UNSUPPORTED
