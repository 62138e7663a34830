"""Surface: the statuses of each operation, with their causes (PS3.7 C, PS3.4 B.2.3, S.3.2, J.3)."""

from typing import NamedTuple

from burnish import errors
from burnish.conformance.document import StatementTable
from burnish.offline import disc_import
from burnish.scp import statuses
from burnish.scp.statuses import STATUSES


class StatusRow(NamedTuple):
    """One status that the service answers an operation with."""

    code: int
    meaning: str
    cause: str

    @property
    def service_status(self) -> str:
        """The class of the status (PS3.7 C.1)."""
        if self.code == statuses.SUCCESS:
            return "Success"
        return "Warning" if statuses.is_success_or_warning(self.code) else "Failure"


def _c_store(kind: type[errors.BurnishError], meaning: str, cause: str) -> StatusRow:
    return StatusRow(STATUSES[kind].c_store, meaning, cause)


def _dimse_n(kind: type[errors.BurnishError], meaning: str, cause: str) -> StatusRow:
    return StatusRow(STATUSES[kind].dimse_n, meaning, cause)


#: What `burnish disc import` does with an instance, by the kind of the status.
_BEHAVIOUR = {
    "accepted": "the instance counts as sent",
    "warning": "the instance counts as sent; the warning is told",
    "failed": "the failure is told, the other instances are sent, and the exit code says so",
}
_UNRECOGNIZED = StatusRow(
    statuses.UNRECOGNIZED_OPERATION,
    "Unrecognized operation",
    "the operation is not one of the SOP Class of the presentation context",
)
_OTHER_SOP_CLASS = StatusRow(
    statuses.NO_SUCH_SOP_CLASS,
    "No such SOP Class",
    "the SOP Class UID of the command is not that of the presentation context",
)
_MISTYPED = _dimse_n(
    errors.Unreadable,
    "Mistyped argument",
    "the data set cannot be parsed, is cut, has an element twice or one of the groups 0000 to 0007",
)
_BUSY = _dimse_n(
    errors.OutOfResources,
    "Resource limitation",
    "the database is full, not there, or busy for longer than `database.wait`: send the request"
    " again later",
)
_OPERATOR = _dimse_n(
    errors.OperatorError,
    "Processing failure",
    "the service cannot use its database or its storage; an operator has to act",
)
_UNKNOWN_REQUEST = "no request has this SOP Instance UID, or it was cancelled, or its time is over"
_UNKNOWN_ACTION = StatusRow(
    statuses.NO_SUCH_ACTION, "No such Action Type", "the Action Type ID is unknown"
)

#: What the service answers, by operation. Operations of Storage Commitment have a prefix.
STATUSES_BY_OPERATION: dict[str, tuple[StatusRow, ...]] = {
    "C-ECHO": (
        StatusRow(statuses.SUCCESS, "Success", "always"),
        _UNRECOGNIZED,
    ),
    "C-STORE": (
        StatusRow(
            statuses.SUCCESS,
            "Success",
            "the instance is stored: on disk with `storage.durability = full`, in the page cache"
            " of the operating system with `os`; or the same content had been stored before",
        ),
        _c_store(
            errors.OutOfResources,
            "Refused: Out of Resources",
            "the file system is fuller than `storage.high_water`, or cannot be written; or the"
            " database has not answered for so long that too many instances wait for their rows",
        ),
        _c_store(
            errors.Mismatch,
            "Error: Data Set does not match SOP Class",
            "SOP Class UID or SOP Instance UID of the data set is not that of the command; SOP"
            " Class UID of the command is not that of the presentation context; Study or Series"
            " Instance UID is missing or not a UID; the message has no data set",
        ),
        _c_store(
            errors.Unreadable,
            "Error: Cannot understand",
            "the data set cannot be parsed or is cut; it begins with elements of group 0000 or"
            " 0002; it has bytes behind its end that belong to no element; a value cannot be"
            " stored",
        ),
        _c_store(
            errors.OtherContent,
            "Error: Cannot understand (other content)",
            "only with `storage.same_uid = first`: the SOP Instance UID is stored with other data",
        ),
        _c_store(
            errors.InvalidUID,
            "Invalid SOP Instance",
            "the SOP Class or SOP Instance UID of the command is not a UID (PS3.5 9.1)",
        ),
        _UNRECOGNIZED,
    ),
    "N-CREATE": (
        StatusRow(statuses.SUCCESS, "Success", "the request exists durably and is IDLE"),
        _dimse_n(
            errors.InvalidValue,
            "Invalid Attribute Value",
            "a value is not one that its VR allows, not an Enumerated Value, not a File-set ID or"
            " a UID, or not text in its Specific Character Set; or that is unknown",
        ),
        _OPERATOR,
        _dimse_n(
            errors.AlreadyExists,
            "Duplicate SOP Instance",
            "a request with this SOP Instance UID exists",
        ),
        _dimse_n(
            errors.InvalidUID,
            "Invalid SOP Instance",
            "the Affected SOP Instance UID is not a UID (PS3.5 9.1)",
        ),
        _OTHER_SOP_CLASS,
        _dimse_n(
            errors.MissingAttribute,
            "Missing Attribute",
            "there is no Referenced SOP Sequence, or an item lacks one of its UIDs",
        ),
        _dimse_n(
            errors.MissingValue,
            "Missing Attribute Value",
            "the Referenced SOP Sequence has no item, or a UID of an item is empty",
        ),
        _UNRECOGNIZED,
        _MISTYPED,
        _BUSY,
    ),
    "N-ACTION": (
        StatusRow(
            statuses.SUCCESS,
            "Success",
            "Initiate: the request is PENDING. Cancel: no further media are made, and the request"
            " is deleted",
        ),
        _OPERATOR,
        _dimse_n(errors.Unknown, "No such SOP Instance", _UNKNOWN_REQUEST),
        _dimse_n(
            errors.InvalidArgument,
            "Invalid Argument Value",
            "Initiate: Number of Copies is not an Integer String from 1 to"
            " `request.maximum_copies`; Request Priority is not HIGH, MED or LOW; the Specific"
            " Character Set is unknown",
        ),
        _OTHER_SOP_CLASS,
        _UNKNOWN_ACTION,
        _UNRECOGNIZED,
        _MISTYPED._replace(cause=f"{_MISTYPED.cause}; or there is no Action Type ID"),
        _BUSY,
        _dimse_n(
            errors.AlreadyInitiated,
            "Initiate Media Creation action already received",
            "Initiate: the request is not IDLE",
        ),
        _dimse_n(
            errors.AlreadyCompleted,
            "Media creation request already completed",
            "Cancel: the request is DONE or FAILURE",
        ),
    ),
    "N-GET": (
        StatusRow(statuses.SUCCESS, "Success", "all requested attributes are returned"),
        StatusRow(
            statuses.ATTRIBUTE_LIST_UNSUPPORTED,
            "Requested optional Attributes are not supported",
            "the list has a tag that the service does not support; the others are returned",
        ),
        _OPERATOR,
        _dimse_n(errors.Unknown, "No such SOP Instance", _UNKNOWN_REQUEST),
        _OTHER_SOP_CLASS,
        _dimse_n(
            errors.MissingAttribute,
            "Missing Attribute",
            "the Attribute Identifier List is not a list of tags",
        ),
        _UNRECOGNIZED,
        _MISTYPED,
        _BUSY,
    ),
    "Storage Commitment N-ACTION": (
        StatusRow(statuses.SUCCESS, "Success", "the transaction is durable; a report will follow"),
        _OPERATOR,
        _dimse_n(
            errors.Unknown,
            "No such SOP Instance",
            "the Requested SOP Instance UID is not that of the well-known instance",
        ),
        _dimse_n(
            errors.InvalidArgument,
            "Invalid Argument Value",
            "there is no Transaction UID or Referenced SOP Sequence, or a value is not a UID",
        ),
        _OTHER_SOP_CLASS,
        _UNKNOWN_ACTION,
        _UNRECOGNIZED,
        _MISTYPED._replace(cause=f"{_MISTYPED.cause}; or there is no Action Type ID"),
        _BUSY,
    ),
}


def status_table(operation: str) -> StatementTable:
    """The statuses of an operation; those of C-STORE are ranges to a peer (PS3.4 B.2.3)."""
    return StatementTable.of(
        f"{operation} response statuses",
        ("Service status", "Further meaning", "Status", "Cause in this product"),
        [
            (row.service_status, row.meaning, f"{row.code:04X}H", row.cause)
            for row in STATUSES_BY_OPERATION[operation]
        ],
    )


def handling_of_c_find() -> StatementTable:
    """The actions of the Query/Retrieve SCU on each status (PS3.4 C.4.1.1.4)."""
    return StatementTable.of(
        "C-FIND response statuses and what is done",
        ("Service status", "Status", "Behaviour"),
        [
            ("Success", "0000H", "the matches are used"),
            ("Pending", "FF00H, FF01H", "the identifier is taken as a match"),
            (
                "Failure, Cancel, any other",
                "any other",
                "the search at this archive ends; it is logged, told in the request, and repeated"
                " after `retrieval.retry_after`. A query by SOP Instance UID that was not"
                " negotiated as relational and fails counts as no match",
            ),
        ],
    )


def handling_of_retrieve() -> StatementTable:
    """The actions of the SCU on each status of C-MOVE and C-GET (PS3.4 C.4.2.1.5)."""
    return StatementTable.of(
        "C-MOVE and C-GET response statuses and what is done",
        ("Service status", "Status", "Behaviour"),
        [
            (
                "Success",
                "0000H",
                "the next identifier is sent; instances that have not arrived are told in the"
                " request",
            ),
            ("Pending", "FF00H", "the number of remaining sub-operations is not used"),
            (
                "Refused",
                "A801H",
                "as other failures; the message says that the archive does not know the AE title"
                " of this service",
            ),
            (
                "Failure, Warning, Cancel, any other",
                "any other",
                "retrieval from this archive ends; it is logged, told in the request, and repeated"
                " after `retrieval.retry_after`. What has arrived is kept",
            ),
        ],
    )


def handling_of_sending() -> StatementTable:
    """The actions of `burnish disc import` on each status of C-STORE (PS3.4 B.2.3)."""
    rows = [
        (kind, meaning or "success", f"{code:x<4}{'H' * (len(code) == 4)}", _BEHAVIOUR[kind])
        for code, (kind, meaning) in disc_import.STATUSES.items()
    ]
    rows.append(("failed", "not a status of C-STORE", "any other", _BEHAVIOUR["failed"]))
    return StatementTable.of(
        "C-STORE response statuses and what is done",
        ("Result", "Meaning", "Status", "Behaviour"),
        rows,
    )


def handling_of_tests() -> StatementTable:
    """The actions on each status of a C-ECHO or C-STORE that tests a peer."""
    return StatementTable.of(
        "C-ECHO and C-STORE response statuses of a test",
        ("Service status", "Status", "Behaviour"),
        [
            ("Success", "0000H", "the test has succeeded; the time that it took is told"),
            (
                "Warning, Failure, any other",
                "any other",
                "the test has failed; the status and the Error Comment are told",
            ),
        ],
    )


def statuses_of_c_get_storage() -> StatementTable:
    """The answers to C-STORE sub-operations of a C-GET."""
    return StatementTable.of(
        "C-STORE response statuses in a C-GET",
        ("Service status", "Status", "Cause in this product"),
        [
            ("Success", "0000H", "the instance is stored"),
            ("Refused: Out of Resources", "A700H", "as for C-STORE of peers"),
            ("Error: Cannot understand", "C000H", "every other reason"),
        ],
    )


def handling_of_event_reports() -> StatementTable:
    """The actions on each status of an N-EVENT-REPORT (PS3.4 J.3.3)."""
    return StatementTable.of(
        "N-EVENT-REPORT response statuses and what is done",
        ("Service status", "Status", "Behaviour"),
        [
            (
                "Success, Warning",
                "0000H, 0001H, 0107H, 0116H, Bxxx",
                "the transaction is reported; its UID is spent",
            ),
            (
                "Failure",
                "any other",
                "the report is sent again after `storage_commitment.retry_after`, then after twice"
                " that time and so on, up to one hour, until"
                " `storage_commitment.give_up_after` is over",
            ),
        ],
    )
