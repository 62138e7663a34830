"""The DIMSE statuses that Burnish answers with exist in the standard."""

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
def test_every_error_has_failure_statuses_of_the_standard(kind: type[errors.BurnishError]) -> None:
    row = statuses.STATUSES[kind]
    assert row.c_store in STORAGE_SERVICE_CLASS_STATUS
    assert row.dimse_n in MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS
    assert code_to_category(row.c_store) == "Failure"
    assert MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS[row.dimse_n][0] == "Failure"


def test_no_error_has_a_warning_status_of_n_create() -> None:
    assert not {0x0107, 0x0116} & {row.dimse_n for row in statuses.STATUSES.values()}  # S.3.2.1.3


def test_the_table_has_the_statuses_of_media_creation_management() -> None:
    service_statuses = {
        code
        for code in MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS
        if code not in GENERAL_STATUS
    }
    assert service_statuses == set(TABLE["statuses"].values())


def test_errors_of_the_state_machine_have_the_statuses_of_the_standard() -> None:
    terms = TABLE["statuses"]
    assert statuses.of(errors.AlreadyInitiated("")).dimse_n == terms["ALREADY_INITIATED"]
    assert statuses.of(errors.AlreadyCompleted("")).dimse_n == terms["CANCEL_COMPLETED"]
    assert statuses.of(errors.NotInterruptible("")).dimse_n == terms["CANCEL_NOT_INTERRUPTIBLE"]
    assert statuses.of(errors.NotNow("")).dimse_n == terms["CANCEL_DENIED"]
    assert terms["ATTRIBUTE_LIST_UNSUPPORTED"] == statuses.ATTRIBUTE_LIST_UNSUPPORTED
