"""Surface: User Identity Negotiation: who a peer says its user is (PS3.7 D.3.3.7)."""

from collections.abc import Iterable

from burnish.access.users import Users
from burnish.scp.associate_pdus import USER_IDENTITY, USER_IDENTITY_RESPONSE, counted

#: User-Identity-Type of what is known here; Kerberos, SAML and JSON Web Tokens are not.
_NAME, _NAME_AND_PASSCODE = 1, 2
#: The Server-response of either is empty (PS3.7 Table D.3-15).
_POSITIVE = (USER_IDENTITY_RESPONSE, b"\0\0")


class IdentityRefusedError(Exception):
    """The peer is not let in as the user it names, or as none."""


def identify(
    user_items: Iterable[tuple[int, bytes]], users: Users
) -> tuple[str, list[tuple[int, bytes]]]:
    """The user's name and the items that answer; "" and none where nobody is asked for.

    A service without users does not take part: what a peer says of its user is passed over, and
    a positive response is not given. Raises IdentityRefusedError, Malformed.
    """
    given = next((value for kind, value in user_items if kind == USER_IDENTITY), None)
    if given is None:
        if users.required:
            raise IdentityRefusedError("no user identity")
        return "", []
    kind, wants_response = (given + b"\0\0")[:2]
    primary, behind = counted(given, 2)
    secondary = counted(given, behind)[0] if kind == _NAME_AND_PASSCODE else None
    if not users:
        return "", []
    if kind not in (_NAME, _NAME_AND_PASSCODE):
        raise IdentityRefusedError(f"user identity of type {kind}")
    if not users.are_right(primary, secondary):
        raise IdentityRefusedError("user name or passcode is wrong")
    return primary.decode("utf-8", "replace"), [_POSITIVE] if wants_response else []
