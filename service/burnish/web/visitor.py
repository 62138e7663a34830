"""Surface: the person or program behind one HTTP request."""

from dataclasses import dataclass

from burnish.values import AccountRole as Role


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request: a user with a session, a token, or nobody (no role).

    `csrf_token` is what each form and each request of the page's own script has to carry.
    """

    role: Role | None = None
    name: str = ""
    address: str = ""
    is_token: bool = False
    account_id: int | None = None
    session_id: int | None = None
    csrf_token: str = ""


__all__ = ["Role", "Visitor"]
