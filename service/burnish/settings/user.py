"""Ground: `[[user]]`, one user that peers may name."""

from pathlib import Path

from pydantic import Field, SecretStr

from burnish.settings.value_types import SettingsTable


class UserSettings(SettingsTable):
    """One user that peers may name in an association (User Identity Negotiation, PS3.7 D.3.3.7)."""

    name: str = Field(min_length=1)
    #: Empty, and no passcode_file: the name alone is enough.
    passcode: SecretStr = SecretStr("")
    #: The passcode is the first line of this file. It takes precedence over `passcode`.
    passcode_file: Path | None = None
