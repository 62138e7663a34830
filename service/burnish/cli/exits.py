"""Surface: the one table from errors and outcomes to exit codes."""

from burnish import errors

#: What a command reports though nothing went wrong with it; usage is 2, as everywhere.
GOOD = 0
USAGE = 2
REQUEST_FAILED = 20
REQUEST_CANCELLED = 21
VOLUME_FAULTY = 22
NOT_ALL_ON_MEDIA = 23
INTERRUPTED = 130

EXITS: dict[type[errors.BurnishError], int] = {
    errors.BurnishError: 1,
    errors.Malformed: 3,
    errors.InvalidValue: 3,
    errors.MissingAttribute: 3,
    errors.MissingValue: 3,
    errors.NoSuchAttribute: 3,
    errors.InvalidUID: 3,
    errors.InvalidArgument: 3,
    errors.Unreadable: 3,
    errors.Mismatch: 3,
    errors.Unknown: 4,
    errors.Conflict: 5,
    errors.AlreadyExists: 5,
    errors.OtherContent: 5,
    errors.AlreadyInitiated: 6,
    errors.AlreadyCompleted: 6,
    errors.NotInterruptible: 6,
    errors.NotNow: 6,
    errors.NotAuthorized: 7,
    errors.OutOfResources: 8,
    errors.Unwritten: 8,
    errors.StaleLease: 9,
    errors.OperatorError: 10,
    errors.InvalidSettings: 11,
    errors.SchemaMismatch: 12,
}

MEANINGS: dict[int, str] = {
    GOOD: "done; a request is DONE; a volume has no fault",
    1: "an error that has no code of its own",
    USAGE: "the command line is wrong",
    3: "a value or a file is not what the standard says",
    4: "what was named is not here",
    5: "it is there already, or contradicts what is there",
    6: "too late or too early: the state of the request does not allow it",
    7: "not permitted",
    8: "no room, or the database does not answer",
    9: "somebody else did it at the same time: look, then try again",
    10: "the installation needs a person",
    11: "the configuration is wrong",
    12: "the database is of another version",
    REQUEST_FAILED: "the request ended in FAILURE",
    REQUEST_CANCELLED: "the request was cancelled",
    VOLUME_FAULTY: "the volume has faults",
    NOT_ALL_ON_MEDIA: "not everything could be put on media",
    INTERRUPTED: "interrupted with Ctrl-C",
}


def of(error: errors.BurnishError) -> int:
    """The exit code of an error, or of the nearest class above it that has a row."""
    return next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS)


def epilog() -> str:
    """The table as `burnish --help` prints it."""
    rows = (f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())
    return "\b\nExit codes:\n" + "\n".join(rows)
