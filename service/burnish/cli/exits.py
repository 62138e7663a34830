"""Surface: the exit codes of all commands, in one table."""

from burnish import errors

SUCCESS = 0
#: The code that command lines commonly use for wrong usage.
USAGE = 2
#: Outcomes of the work that a command reports, as opposed to errors of the command itself.
REQUEST_FAILED = 20
REQUEST_CANCELLED = 21
VOLUME_FAULTY = 22
NOT_ALL_ON_MEDIA = 23
NOT_ALL_IMPORTED = 24
NEEDS_ATTENTION = 25
NOT_WELL = 26
#: 128 + SIGINT, as shells report it.
INTERRUPTED = 130

EXITS: dict[type[errors.BurnishError], int] = {
    errors.BurnishError: 1,
    errors.Malformed: 3,
    errors.InvalidValue: 3,
    errors.MissingAttribute: 3,
    errors.MissingValue: 3,
    errors.InvalidUID: 3,
    errors.InvalidArgument: 3,
    errors.Unreadable: 3,
    errors.NoInstance: 3,
    errors.LimitExceeded: 3,
    errors.DamagedVolume: 3,
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
    errors.TooManyAttempts: 7,
    errors.OutOfResources: 8,
    errors.PeerFailed: 10,
    errors.StaleLease: 9,
    errors.OperatorError: 10,
    errors.AccessDenied: 10,
    errors.InvalidSettings: 11,
    errors.SchemaMismatch: 12,
    errors.WrongKey: 13,
}

MEANINGS: dict[int, str] = {
    SUCCESS: "success; a watched request is DONE; a volume has no faults",
    1: "an error without a code of its own",
    USAGE: "wrong command line",
    3: "a value or file does not conform to the standard",
    4: "not found",
    5: "already exists, or contradicts what exists",
    6: "not possible in the current state of the request",
    7: "not permitted",
    8: "no space left, or the database does not answer",
    9: "changed by somebody else at the same time; try again",
    10: "an operator must act",
    11: "wrong configuration",
    12: "the database has another version",
    13: "the key or password does not open the secure volume",
    REQUEST_FAILED: "the request ended in FAILURE",
    REQUEST_CANCELLED: "the request was cancelled",
    VOLUME_FAULTY: "the volume has faults, or the disc is spoiled",
    NOT_ALL_ON_MEDIA: "some instances could not be put on media",
    NOT_ALL_IMPORTED: "some instances of a volume are missing, or were not accepted",
    NEEDS_ATTENTION: "`burnish status`: something needs attention",
    NOT_WELL: "`burnish status`: the service does not run, or cannot receive",
    INTERRUPTED: "interrupted with Ctrl-C",
}


def exit_code(error: errors.BurnishError) -> int:
    """The exit code of an error: of its class, or of the nearest base class that has one."""
    return next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS)


def epilog() -> str:
    """The table as `burnish --help` prints it."""
    rows = (f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())
    return "\b\nExit codes:\n" + "\n".join(rows)
