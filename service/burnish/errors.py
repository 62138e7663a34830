"""Ground: what can go wrong, sorted by what the person or program that asked can do about it.

BurnishError
├── Malformed               the message breaks the standard: correct it and send it again
│   ├── InvalidValue        an attribute has a value that it may not have
│   ├── MissingAttribute    a required attribute is absent
│   ├── MissingValue        a required attribute is empty
│   ├── InvalidUID          a UID breaks PS3.5 9.1
│   ├── InvalidArgument     an argument of an action has a value that it may not have
│   ├── Unreadable          a data set cannot be parsed, or is cut short
│   │   └── DamagedVolume   a volume is truncated, or its file system is damaged
│   └── Mismatch            a data set contradicts the message that carries it
├── Unknown                 nothing here has the given name or UID
├── Conflict                the request contradicts what is here
│   ├── AlreadyExists       a SOP Instance with this UID exists
│   ├── OtherContent        an instance with this SOP Instance UID is stored with other content
│   ├── AlreadyInitiated    the request was initiated before
│   ├── AlreadyCompleted    too late to cancel: the request has ended
│   └── NotInterruptible    too late to cancel: the medium is being written
├── NotNow                  not possible in the present state
├── NotAuthorized           the peer or user is not permitted to do this
│   └── TooManyAttempts     too many attempts to sign in failed
├── OutOfResources          no room, or no answer from the database or a disk: send again later
├── StaleLease              the work has been given to another worker
└── OperatorError           an operator has to act on the installation
    ├── AccessDenied        the user of this process may not use a file or directory
    ├── InvalidSettings     a configuration key or value is wrong
    ├── SchemaMismatch      the database has the schema of another version
    └── WrongKey            a key or password does not open what it was given for
"""


class BurnishError(Exception):
    """Any error that Burnish raises on purpose. `hint` tells an operator the remedy."""

    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class Malformed(BurnishError):
    """The message breaks the standard."""


class InvalidValue(Malformed):
    """An attribute has a value that it may not have."""


class MissingAttribute(Malformed):
    """A required attribute is absent."""


class MissingValue(Malformed):
    """A required attribute is empty."""


class InvalidUID(Malformed):
    """A UID breaks PS3.5 9.1."""


class InvalidArgument(Malformed):
    """An argument of an action has a value that it may not have."""


class Unreadable(Malformed):
    """A data set cannot be parsed, or is cut short."""


class NoInstance(Unreadable):
    """A file is no SOP Instance: it is no DICOM file, or it is a DICOMDIR."""


class LimitExceeded(Malformed):
    """A file is longer than the configuration permits."""


class DamagedVolume(Unreadable):
    """A volume is truncated, or its file system is damaged."""


class Mismatch(Malformed):
    """A data set contradicts the message that carries it."""


class Unknown(BurnishError):
    """Nothing here has the given name or UID."""


class Conflict(BurnishError):
    """The request contradicts what is here."""


class AlreadyExists(Conflict):
    """A SOP Instance with this UID exists."""


class OtherContent(Conflict):
    """An instance with this SOP Instance UID is stored with other content."""


class AlreadyInitiated(Conflict):
    """The request was initiated before."""


class AlreadyCompleted(Conflict):
    """Too late to cancel: the request has ended."""


class NotInterruptible(Conflict):
    """Too late to cancel: the medium is being written."""


class NotNow(BurnishError):
    """Not possible in the present state."""


class NotAuthorized(BurnishError):
    """The peer or user is not permitted to do this."""


class TooManyAttempts(NotAuthorized):
    """Too many attempts to sign in failed."""


class OutOfResources(BurnishError):
    """There is no room, or the database or a disk does not answer."""


class PeerFailed(BurnishError):
    """Another system did not do what it was asked to do."""


class StaleLease(BurnishError):
    """The work has been given to another worker."""


class OperatorError(BurnishError):
    """An operator has to act on the installation."""


class AccessDenied(OperatorError):
    """The user of this process may not use a file or directory, which may well be whole."""


class InvalidSettings(OperatorError):
    """A configuration key or value is wrong."""


class SchemaMismatch(OperatorError):
    """The database has the schema of another version of Burnish."""


class WrongKey(OperatorError):
    """A private key or password does not open what it was given for."""
