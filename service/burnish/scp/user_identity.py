"""Surface: User Identity Negotiation (PS3.7 D.3.3.7)."""

from collections.abc import Iterable

from burnish.access.users import Users
from burnish.scp.associate_pdus import USER_IDENTITY, USER_IDENTITY_RESPONSE, read_field

#: User-Identity-Type. Kerberos, SAML and JSON Web Tokens are not supported.
_USERNAME, _USERNAME_AND_PASSCODE = 1, 2
#: The Server-response is empty for both types (PS3.7 Table D.3-15).
_POSITIVE_RESPONSE = (USER_IDENTITY_RESPONSE, b"\0\0")


class IdentityRejectedError(Exception):
    """The peer names no user, or one that is not authenticated."""


def identify_user(
    user_items: Iterable[tuple[int, bytes]], users: Users
) -> tuple[str, list[tuple[int, bytes]]]:
    """The name of the authenticated user, and the items of the answer.

    If no user is configured, the service does not take part: it ignores the user that a peer
    names, gives no positive response, and the name is "". Raises IdentityRejectedError, Malformed.
    """
    identity = next((value for item_type, value in user_items if item_type == USER_IDENTITY), None)
    if identity is None:
        if users.required:
            raise IdentityRejectedError("the peer names no user (dicom.user_identity = required)")
        return "", []
    identity_type, wants_response = (identity + b"\0\0")[:2]
    name, end = read_field(identity, 2)
    passcode = None
    if identity_type == _USERNAME_AND_PASSCODE:
        passcode, _ = read_field(identity, end)
    if not users:
        return "", []
    if identity_type not in (_USERNAME, _USERNAME_AND_PASSCODE):
        raise IdentityRejectedError(
            f"user identity of type {identity_type} is not supported: "
            "use type 1 (user name) or 2 (user name and passcode)"
        )
    if not users.are_valid(name, passcode):
        raise IdentityRejectedError("user name or passcode is wrong (user.name, user.passcode)")
    return name.decode("utf-8", "replace"), [_POSITIVE_RESPONSE] if wants_response else []
