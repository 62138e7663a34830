"""Every error has a C-STORE status and a DIMSE-N status, which the standard defines."""

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
def test_every_status_is_a_failure_of_its_service_class(kind: type[errors.BurnishError]) -> None:
    row = statuses.STATUSES[kind]
    assert STORAGE_SERVICE_CLASS_STATUS[row.c_store][0] == "Failure"
    assert MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS[row.dimse_n][0] == "Failure"


@pytest.mark.parametrize(
    ("kind", "c_store", "dimse_n"),
    [
        (errors.OutOfResources, 0xA700, 0x0213),
        (errors.SchemaMismatch, 0xA700, 0x0110),
        (errors.Mismatch, 0xA900, 0x0119),
        (errors.Unreadable, 0xC000, 0x0212),
        (errors.OtherContent, 0xC111, 0x0111),
        (errors.InvalidUID, 0x0117, 0x0117),
        (errors.NotAuthorized, 0x0124, 0x0124),
        (errors.InvalidValue, 0xC000, 0x0106),
        (errors.InvalidArgument, 0xC000, 0x0115),
        (errors.MissingAttribute, 0xC000, 0x0120),
        (errors.MissingValue, 0xC000, 0x0121),
        (errors.Unknown, 0xC000, 0x0112),
        (errors.AlreadyExists, 0xC111, 0x0111),
        (errors.AlreadyInitiated, 0xC000, 0xA510),
        (errors.AlreadyCompleted, 0xC000, 0xC201),
        (errors.NotInterruptible, 0xC000, 0xC202),
        (errors.NotNow, 0xC000, 0xC203),
    ],
)
def test_an_error_has_the_status_that_the_standard_has_for_it(
    kind: type[errors.BurnishError], c_store: int, dimse_n: int
) -> None:
    """PS3.4 B.2.3 and S.3.2, PS3.7 annex C: a peer decides by these what it does next."""
    assert statuses.of(kind("x")) == statuses.Statuses(c_store, dimse_n)


def test_an_error_class_without_a_row_has_the_statuses_of_its_base_class() -> None:
    class WithoutRow(errors.AlreadyInitiated):
        pass

    assert statuses.of(WithoutRow("x")) == statuses.STATUSES[errors.AlreadyInitiated]


def test_every_row_belongs_to_an_error_class() -> None:
    assert set(statuses.STATUSES) == set(ERRORS)


@pytest.mark.parametrize(
    ("status", "is_taken"),
    [
        (0x0000, True),
        (0x0001, True),
        (0x0107, True),
        (0x0116, True),
        (0xB000, True),
        (0xBFFF, True),
        (0x0110, False),
        (0x0112, False),
        (0xA700, False),
        (0xC000, False),
    ],
)
def test_success_and_warning_are_told_from_failure(status: int, is_taken: bool) -> None:
    assert statuses.is_success_or_warning(status) is is_taken
