"""Surface: DIMSE statuses (PS3.4 B.2.3 and S.3.2, PS3.7 C).

Every response that reports a failure takes its status from here: stages raise a BurnishError,
and `STATUSES` says which status C-STORE and the DIMSE-N services answer it with.
"""

from typing import NamedTuple

from burnish import errors

SUCCESS = 0x0000
ATTRIBUTE_LIST_UNSUPPORTED = 0x0001
PROCESSING_FAILURE = 0x0110
NO_SUCH_ACTION = 0x0123
NO_SUCH_SOP_CLASS = 0x0118
UNRECOGNIZED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
SOP_CLASS_NOT_SUPPORTED = 0x0122


class Statuses(NamedTuple):
    """The status of an error: as a response to C-STORE, and to a DIMSE-N request."""

    c_store: int
    dimse_n: int


#: C-STORE: A700H out of resources, A900H data set does not match the SOP Class, C000H cannot
#: understand, C111H (of the range Cxxx) other content under a SOP Instance UID that is here.
STATUSES: dict[type[errors.BurnishError], Statuses] = {
    errors.BurnishError: Statuses(0xC000, 0x0110),
    errors.Malformed: Statuses(0xC000, 0x0212),
    errors.InvalidValue: Statuses(0xC000, 0x0106),
    errors.MissingAttribute: Statuses(0xC000, 0x0120),
    errors.MissingValue: Statuses(0xC000, 0x0121),
    errors.InvalidUID: Statuses(0x0117, 0x0117),
    errors.InvalidArgument: Statuses(0xC000, 0x0115),
    errors.Unreadable: Statuses(0xC000, 0x0212),
    errors.NoInstance: Statuses(0xC000, 0x0212),
    errors.LimitExceeded: Statuses(0xC000, 0x0110),
    errors.DamagedVolume: Statuses(0xC000, 0x0212),
    errors.Mismatch: Statuses(0xA900, 0x0119),
    errors.Unknown: Statuses(0xC000, 0x0112),
    errors.Conflict: Statuses(0xC111, 0x0110),
    errors.AlreadyExists: Statuses(0xC111, 0x0111),
    errors.OtherContent: Statuses(0xC111, 0x0111),
    errors.AlreadyInitiated: Statuses(0xC000, 0xA510),
    errors.AlreadyCompleted: Statuses(0xC000, 0xC201),
    errors.NotInterruptible: Statuses(0xC000, 0xC202),
    errors.NotNow: Statuses(0xC000, 0xC203),
    errors.NotAuthorized: Statuses(0x0124, 0x0124),
    errors.TooManyAttempts: Statuses(0x0124, 0x0124),
    errors.OutOfResources: Statuses(0xA700, 0x0213),
    errors.PeerFailed: Statuses(0xC000, 0x0110),
    errors.StaleLease: Statuses(0xC000, 0x0110),
    errors.OperatorError: Statuses(0xA700, 0x0110),
    errors.AccessDenied: Statuses(0xA700, 0x0110),
    errors.InvalidSettings: Statuses(0xA700, 0x0110),
    errors.SchemaMismatch: Statuses(0xA700, 0x0110),
    errors.WrongKey: Statuses(0xA700, 0x0110),
}


def of(error: errors.BurnishError) -> Statuses:
    """The statuses of an error; a class without a row has those of its base class."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def is_success_or_warning(status: int) -> bool:
    """Whether the peer has done what it was asked: Success, or a Warning (PS3.7 C)."""
    return status in (0x0000, 0x0001, 0x0107, 0x0116) or status & 0xF000 == 0xB000
