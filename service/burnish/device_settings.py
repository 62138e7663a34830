"""Ground: what can be configured of devices."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from burnish.media import MEDIA, OPEN_MEDIA
from burnish.setting_values import Size, Table

#: The form in which each kind of device gets labels if its `label` does not say: a robot of
#: Primera's prints pictures.
LABEL_FORMS = {"folder": "pdf", "primera": "jpg"}
_DISCS = ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
_STICKS = ("USB", "CF", "MMC", "SD")
#: Each kind of device: the media it can be for, and the keys that are its own.
DEVICE_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "folder": (tuple(MEDIA), ("directory",)),
    "mounted": (_STICKS, ("directory",)),
    "optical": (_DISCS, ("drive", "program", "speed", "erase", "eject", "finalise")),
    "primera": (_DISCS, ("directory", "exchange", "seen_as", "robot", "speed")),
    "epson": (
        ("CD", "DVD"),
        (
            *("directory", "exchange", "seen_as", "publisher", "job_lines", "compares"),
            "label_template",
        ),
    ),
}
_OPTIONAL = ("publisher", "robot", "seen_as", "label_template")


class Device(Table):
    """One device that makes pieces of media."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    kind: str = "folder"
    media: tuple[str, ...] = ()
    directory: Path | None = None
    capacity: Size | None = Field(default=None, gt=0)
    label: Literal["", "pdf", "png", "jpg", "bmp", "none"] = ""
    drive: str = ""
    program: str = "xorriso"
    speed: int = Field(default=0, ge=0)
    erase: bool = False
    eject: bool = True
    finalise: bool = True
    exchange: Path | None = None
    seen_as: str = ""
    robot: str = ""
    publisher: str = ""
    job_lines: tuple[str, ...] = ()
    compares: bool = False
    label_template: str = ""

    @model_validator(mode="before")
    @classmethod
    def _media_of_its_kind(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("kind", "folder") in DEVICE_KINDS:
            return {"media": DEVICE_KINDS[given.get("kind", "folder")][0], **given}
        return given

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Device":
        if self.kind not in DEVICE_KINDS:
            raise ValueError(f"kind {self.kind!r} unknown; there are {', '.join(DEVICE_KINDS)}")
        media, keys = DEVICE_KINDS[self.kind]
        unknown = [name for name in self.media if name not in media]
        if unknown or not self.media:
            there_are = ", ".join(media)
            raise ValueError(f"media {unknown} unknown to kind {self.kind}; there are {there_are}")
        every = {key for _, own in DEVICE_KINDS.values() for key in own}
        usual = {key: Device.model_fields[key].default for key in every}
        wrong = sorted(key for key in every - {*keys} if getattr(self, key) != usual[key])
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not for a device of kind {self.kind}")
        needed = [key for key in keys if usual[key] in ("", None) and key not in _OPTIONAL]
        missing = [key for key in needed if getattr(self, key) == usual[key]]
        if missing and self.kind != "folder":
            raise ValueError(f"a device of kind {self.kind} needs {', '.join(missing)}")
        if self.kind == "epson" and self.label not in ("", "none"):
            raise ValueError("label: TD Bridge prints the template that label_template names")
        if not (self.finalise or set(self.media) & set(OPEN_MEDIA)):
            there_are = ", ".join(OPEN_MEDIA)
            raise ValueError(
                f"finalise = false: only {there_are} can be left open for a later session, and"
                f" the media of this device are {', '.join(self.media)}"
            )
        if "compares" in keys and not self.compares:
            raise ValueError(
                "compares: no disc is reported that was not compared; see that the robot compares"
                " each with what it was given, then say so with compares = true"
            )
        return self

    @property
    def label_form(self) -> str:
        """The form in which it gets labels, "none" for none."""
        if self.label_template and not self.label:
            return "dat"
        return self.label or LABEL_FORMS.get(self.kind, "none")

    def capacity_of(self, medium: str) -> int:
        """Bytes that this device can put on one blank of `medium`."""
        return MEDIA[medium].holding(self.capacity)

    def options(self) -> dict[str, object]:
        """What the device of its kind is opened with."""
        keys = DEVICE_KINDS[self.kind][1]
        return {key: getattr(self, key) for key in keys if key != "compares"}
