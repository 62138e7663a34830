"""Ground: `[log]`, the log on standard error."""

from typing import Literal

from burnish.settings.value_types import SettingsTable


class LogSettings(SettingsTable):
    """How much is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    #: "json": one object per line, for log collectors.
    format: Literal["text", "json"] = "text"
