"""Surface: who may do what on the web, in one table; every route declares its permission."""

from enum import StrEnum
from typing import Any

from fastapi import Depends, Request

from burnish.errors import NotAuthorized
from burnish.web.visitor import Role, Visitor


class Permission(StrEnum):
    """The permission that a route requires of its visitor."""

    #: Routes that nobody has to sign in for: signing in itself, static files, health.
    OPEN = "open"
    SEE = "see the work"
    SEE_PATIENTS = "see patients"
    MAKE = "request media, and act on requests"
    DOWNLOAD = "download images and labels"
    OPERATE = "operate devices, and act on many requests"
    REMOVE = "remove instances"
    CORRECT = "correct instances"
    RECEIVE = "upload and retrieve instances"
    ADMINISTER = "see the configuration, and manage users and tokens"


#: The least role that has each permission. None: everybody.
PERMISSIONS: dict[Permission, Role | None] = {
    Permission.OPEN: None,
    Permission.SEE: Role.VIEWER,
    Permission.SEE_PATIENTS: Role.DESK,
    Permission.MAKE: Role.DESK,
    Permission.DOWNLOAD: Role.DESK,
    Permission.OPERATE: Role.OPERATOR,
    Permission.REMOVE: Role.OPERATOR,
    Permission.CORRECT: Role.OPERATOR,
    Permission.RECEIVE: Role.DESK,
    Permission.ADMINISTER: Role.ADMINISTRATOR,
}


def may(role: Role | None, permission: Permission) -> bool:
    """Whether a role has a permission. None: somebody who has not signed in."""
    least = PERMISSIONS[permission]
    return least is None or (role is not None and role.rank >= least.rank)


class Needs:
    """The dependency of a route on one permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: Request) -> None:
        """Raise NotSignedIn or NotAuthorized if the visitor does not have the permission."""
        visitor = visitor_of(request)
        if may(visitor.role, self.permission):
            return
        if visitor.role is None:
            if request.url.path.startswith("/api/"):
                raise NotSignedIn(
                    "this call needs a token that is valid",
                    hint="send `Authorization: Bearer TOKEN`; `burnish token create` makes one",
                )
            raise NotSignedIn("this page is for people who have signed in")
        raise NotAuthorized(
            f"the role {visitor.role} may not {self.permission}",
            hint="ask an administrator for another role",
        )


class NotSignedIn(NotAuthorized):
    """Nobody has signed in, or the session or token has ended."""


def needs(permission: Permission) -> Any:
    """The dependency by which a route declares its permission, for `dependencies=[...]`."""
    return Depends(Needs(permission))


def visitor_of(request: Request) -> Visitor:
    """Who sent a request."""
    visitor: Visitor = request.state.visitor
    return visitor
