"""Ground: the users that peers may name, and their passcodes."""

import hmac

from burnish.errors import InvalidSettings
from burnish.file_access import explain
from burnish.settings import Settings, UserSettings


class Users:
    """The users of the configuration. Raises InvalidSettings if a passcode file cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self.required = settings.dicom.user_identity == "required"
        self._passcodes = {user.name.encode(): _read_passcode(user) for user in settings.user}

    def __bool__(self) -> bool:
        return bool(self._passcodes)

    def are_valid(self, name: bytes, passcode: bytes | None) -> bool:
        """Whether there is such a user, and the passcode is right if the user has one."""
        expected = self._passcodes.get(name)
        if expected is None:
            return False
        return not expected or hmac.compare_digest(expected, passcode or b"")


def _read_passcode(user: UserSettings) -> bytes:
    """The passcode of a user, b"" if the name alone is enough."""
    if user.passcode_file is None:
        return user.passcode.get_secret_value().encode()
    try:
        first_line = user.passcode_file.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise InvalidSettings(
            f"[[user]] {user.name}: passcode_file {explain(error, user.passcode_file)}",
            hint="the service must be able to read the file",
        ) from None
    if not first_line:
        raise InvalidSettings(
            f"[[user]] {user.name}: passcode_file {user.passcode_file}: its first line is empty",
            hint="write the passcode into the first line of the file",
        )
    return first_line
