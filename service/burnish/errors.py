"""Ground: what can go wrong, sorted by what the one who asked can do about it.

BurnishError
├── Malformed            the message is not what the standard says: mend it and send again
│   ├── InvalidValue        an attribute has a value it may not have
│   ├── MissingAttribute    a required attribute is absent
│   ├── MissingValue        a required attribute is empty
│   ├── NoSuchAttribute     an attribute that the service does not have
│   ├── InvalidUID          a UID breaks PS3.5 9.1
│   ├── InvalidArgument     an action's argument has a value it may not have
│   ├── Unreadable          a data set cannot be parsed, or ends before its end
│   └── Mismatch            a data set contradicts the message that carries it
├── Unknown              what was named is not here
├── Conflict             what is here contradicts what was asked
│   ├── AlreadyExists       a SOP Instance of that UID exists
│   ├── OtherContent        the SOP Instance UID is taken by other content
│   ├── AlreadyInitiated    Initiate came a second time
│   ├── AlreadyCompleted    Cancel came too late: the request has ended
│   └── NotInterruptible    Cancel came too late: the medium is being written
├── NotNow               the state machine has no such cell
├── NotAuthorized        the peer may not do that
├── OutOfResources       no room: free some, then send again
│   └── Unwritten           and nothing of it is in the database, for certain
├── StaleLease           the work has been given to another worker
└── OperatorError        the installation needs a person
    ├── InvalidSettings     a configuration key or value
    └── SchemaMismatch      the database is of another version
"""


class BurnishError(Exception):
    """Any error that Burnish raises on purpose. `hint` tells an operator the remedy."""

    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class Malformed(BurnishError):
    """The message is not what the standard says."""


class InvalidValue(Malformed):
    """An attribute has a value it may not have."""


class MissingAttribute(Malformed):
    """A required attribute is absent."""


class MissingValue(Malformed):
    """A required attribute is empty."""


class NoSuchAttribute(Malformed):
    """An attribute that the service does not have."""


class InvalidUID(Malformed):
    """A UID breaks PS3.5 9.1."""


class InvalidArgument(Malformed):
    """An action's argument has a value it may not have."""


class Unreadable(Malformed):
    """A data set cannot be parsed, or ends before its end."""


class Mismatch(Malformed):
    """A data set contradicts the message that carries it."""


class Unknown(BurnishError):
    """What was named is not here."""


class Conflict(BurnishError):
    """What is here contradicts what was asked."""


class AlreadyExists(Conflict):
    """A SOP Instance of that UID exists."""


class OtherContent(Conflict):
    """The SOP Instance UID is taken by other content."""


class AlreadyInitiated(Conflict):
    """Initiate came a second time."""


class AlreadyCompleted(Conflict):
    """Cancel came too late: the request has ended."""


class NotInterruptible(Conflict):
    """Cancel came too late: the medium is being written."""


class NotNow(BurnishError):
    """The state machine has no such cell."""


class NotAuthorized(BurnishError):
    """The peer may not do that."""


class OutOfResources(BurnishError):
    """No room."""


class Unwritten(OutOfResources):
    """The database did not answer, and nothing of what it was to keep is in it."""


class StaleLease(BurnishError):
    """The work has been given to another worker."""


class OperatorError(BurnishError):
    """The installation needs a person."""


class InvalidSettings(OperatorError):
    """A configuration key or value is wrong."""


class SchemaMismatch(OperatorError):
    """The database is of another version than this program."""
