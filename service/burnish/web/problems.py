"""Surface: errors as HTTP statuses, in one table; as problem+json (RFC 9457) and as pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish import errors
from burnish.web.access import NotSignedIn


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem: its HTTP status, its name in the type URI, and its title."""

    status: int
    name: str
    title: str


_INVALID = ProblemKind(422, "invalid", "The request has a value that it may not have")
_TOO_LARGE = ProblemKind(413, "too-large", "The request is too large")

#: The kind of each error; of other errors, that of the nearest base class.
PROBLEMS: dict[type[Exception], ProblemKind] = {
    errors.BurnishError: ProblemKind(500, "error", "Burnish cannot do this"),
    errors.Malformed: _INVALID,
    errors.NoInstance: ProblemKind(422, "no-instance", "The file is no DICOM instance"),
    errors.LimitExceeded: _TOO_LARGE,
    errors.Unknown: ProblemKind(404, "not-found", "There is nothing of this name"),
    errors.Conflict: ProblemKind(409, "conflict", "This contradicts what is here"),
    errors.AlreadyExists: ProblemKind(409, "already-exists", "This exists already"),
    errors.NotNow: ProblemKind(409, "not-now", "This is not possible in the present state"),
    errors.StaleLease: ProblemKind(409, "changed", "Somebody else has changed this meanwhile"),
    NotSignedIn: ProblemKind(401, "not-signed-in", "Sign in first"),
    errors.NotAuthorized: ProblemKind(403, "not-permitted", "This is not permitted"),
    errors.TooManyAttempts: ProblemKind(429, "too-many-attempts", "Too many attempts"),
    errors.PeerFailed: ProblemKind(502, "peer-failed", "Another system has failed"),
    errors.OutOfResources: ProblemKind(503, "out-of-resources", "Try again later"),
    errors.OperatorError: ProblemKind(500, "operator", "An operator has to act"),
}

#: Problems of HTTP itself.
_OF_STATUS = {
    400: ProblemKind(400, "malformed", "The body of the request cannot be read"),
    404: PROBLEMS[errors.Unknown],
    405: ProblemKind(405, "method-not-allowed", "This address has no such method"),
    413: _TOO_LARGE,
    415: ProblemKind(415, "media-type", "The body has another media type than this address takes"),
    422: _INVALID,
    500: PROBLEMS[errors.BurnishError],
}


def kinds() -> Iterator[ProblemKind]:
    """All kinds of problems that have a place in the tables above."""
    yield from PROBLEMS.values()
    yield from _OF_STATUS.values()


@dataclass(frozen=True, slots=True)
class Problem:
    """The problem of one request. `remedy` tells what to do."""

    kind: ProblemKind
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """The members of RFC 9457; `remedy` is an extension member."""
        members = {
            "type": f"urn:burnish:problem:{self.kind.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "remedy": self.remedy,
        }
        return {name: value for name, value in members.items() if value}


def problem_of(error: errors.BurnishError) -> Problem:
    """The problem that an error is for the client."""
    kind = next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)
    return Problem(kind, str(error), error.hint)


def problem_of_status(status: int, detail: str = "") -> Problem:
    """The problem of an HTTP status that the framework answers by itself."""
    kind = _OF_STATUS.get(status) or ProblemKind(status, f"http-{status}", detail or "Error")
    return Problem(kind, detail)
