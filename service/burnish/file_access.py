"""Ground: access to files: explains in words why the user of this process may not use a file.

The rights of peers and users on the network are in `access/`.
"""

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

from burnish.errors import AccessDenied, OperatorError

#: Errors that mean that a file may be whole, but that this user may not use it.
DENIED = (errno.EACCES, errno.EPERM)


def current_user() -> str:
    """The user of this process: burnish (998)."""
    return _user(os.geteuid())


def describe(path: Path) -> str:
    """Owner, group and mode of a file: owner burnish (998), group burnish (998), mode 0640."""
    status = path.stat()
    return (
        f"owner {_user(status.st_uid)}, group {_group(status.st_gid)},"
        f" mode {stat.S_IMODE(status.st_mode):04o}"
    )


def denial(path: Path, access: int = os.R_OK) -> str:
    """Why this user may not use `path` with `access` (os.R_OK, os.W_OK …); "" if nothing is denied.

    The first directory on the way that may not be entered is named in place of the path. A path
    that does not exist is no denial.
    """
    path = path.absolute()
    for folder in reversed(path.parents):
        if not folder.is_dir():
            return ""
        if not os.access(folder, os.X_OK):
            return _sentence(folder, "may not enter it")
    if not path.exists() or os.access(path, access):
        return ""
    if access & os.W_OK and os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{path}: its file system is mounted read-only"
    verbs = [
        verb
        for flag, verb in ((os.R_OK, "read"), (os.W_OK, "write"))
        if access & flag and not os.access(path, flag)
    ]
    return _sentence(path, f"may not {' or '.join(verbs) or 'enter'} it")


def holds_bytes(path: Path) -> bool:
    """Whether `path` is a file, a directory or a drive, which a reader does not wait for."""
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode)


def check(path: Path, access: int = os.R_OK) -> None:
    """Raise AccessDenied if this user may not use `path` with `access`."""
    reason = denial(path, access)
    if reason:
        raise AccessDenied(reason, hint=remedy(path))


def remedy(path: Path) -> str:
    """The remedy for a file that this user may not use."""
    return (
        f"nothing is known to be wrong with {path.name}: run the command as the user of the"
        " service, or have an administrator correct owner or mode"
    )


def explain(error: OSError, path: Path | None = None) -> str:
    """The text of an error of the file system; a denial is told with owner, mode and user."""
    path = path or path_of(error)
    reason = error.strerror or str(error)
    if path is None:
        return reason
    if error.errno in DENIED:
        return (
            denial(path, os.R_OK)
            or denial(path, os.R_OK | os.W_OK)
            or denial(path.parent, os.W_OK | os.X_OK)
            or f"{path}: {reason} (user {current_user()})"
        )
    return f"{path}: {reason}"


def path_of(error: OSError) -> Path | None:
    """The path that an error of the file system names, if it does."""
    if not isinstance(error.filename, str | bytes):
        return None
    return Path(os.fsdecode(error.filename))


def owner_of(path: Path) -> tuple[int, int]:
    """The ids of owner and group of `path`, or of its nearest parent that exists."""
    for place in (path.absolute(), *path.absolute().parents):
        if place.exists():
            status = place.stat()
            return status.st_uid, status.st_gid
    return 0, 0


def check_acts_as_owner(directory: Path) -> None:
    """Raise OperatorError unless this user owns `directory`, or can give files to its owner.

    Files that another user created there could not be used by the service.
    """
    user, _ = owner_of(directory)
    if os.geteuid() not in (0, user):
        users = "root" if user == 0 else f"{user_name(user)} or as root"
        raise OperatorError(
            f"{directory} belongs to {_user(user)}, and this command runs as {current_user()}",
            hint=f"run it as {users}: files of another user could not be used by the service",
        )


def give_to_owner(directory: Path, *paths: Path) -> None:
    """Give `paths` that root has created to the owner of `directory`."""
    if os.geteuid() != 0:
        return
    user, group = owner_of(directory)
    for path in paths:
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if (status.st_uid, status.st_gid) != (user, group):
            os.chown(path, user, group, follow_symlinks=False)


def _sentence(path: Path, denied: str) -> str:
    return f"{path}: user {current_user()} {denied} ({describe(path)})"


def user_name(number: int) -> str:
    """The name of a user: burnish, or user 998 if there is no name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return f"{grp.getgrgid(number).gr_name} ({number})"
    except KeyError:
        return str(number)
