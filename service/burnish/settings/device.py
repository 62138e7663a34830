"""Ground: `[[device]]`, one device that makes media."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from burnish.media import MEDIA, OPEN_MEDIA
from burnish.settings.value_types import Name, SettingsTable, Size

_DISCS = ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
_STICKS_AND_CARDS = ("USB", "CF", "MMC", "SD")


@dataclass(frozen=True)
class DeviceKind:
    """The media that one kind of device can make, and the keys of `[[device]]` for it."""

    media: tuple[str, ...]
    required_keys: tuple[str, ...] = ()
    optional_keys: tuple[str, ...] = ()
    #: The form of labels if the device has no `label`.
    label_form: str = "none"

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that belong to this kind."""
        return self.required_keys + self.optional_keys


#: Every kind of device by its name. burn/burner.py has the class that drives each kind.
DEVICE_KINDS = {
    "folder": DeviceKind(
        media=tuple(MEDIA),
        optional_keys=("directory",),
        label_form="pdf",
    ),
    "mounted": DeviceKind(
        media=_STICKS_AND_CARDS,
        required_keys=("directory",),
    ),
    "optical": DeviceKind(
        media=_DISCS,
        required_keys=("drive",),
        optional_keys=("program", "speed", "erase", "eject", "finalise"),
    ),
    "primera": DeviceKind(
        media=_DISCS,
        required_keys=("directory", "exchange"),
        optional_keys=("seen_as", "robot", "speed"),
        label_form="jpg",  # PTBurn prints pictures
    ),
    "epson": DeviceKind(
        media=("CD", "DVD"),
        required_keys=("directory", "exchange", "compares"),
        optional_keys=("seen_as", "publisher", "job_lines", "label_template"),
    ),
}


class DeviceSettings(SettingsTable):
    """One device that makes pieces of media. Keys of other kinds of device are rejected."""

    name: Name
    kind: str = "folder"
    #: The media that the device may make. Left out: all media of its kind.
    media: tuple[str, ...] = ()
    #: folder: where images are published; default: its name in the storage root.
    #: mounted: the mount point. primera, epson: the folder that the program of the robot watches.
    directory: Path | None = None
    #: Bytes per volume at most. None: what a blank of the medium is certain to hold.
    capacity: Size | None = Field(default=None, gt=0)
    #: The form of labels. Empty: as usual for the kind of device.
    label: Literal["", "pdf", "png", "jpg", "bmp", "none"] = ""
    #: The device file of an optical drive.
    drive: str = ""
    #: The program that burns.
    program: str = "xorriso"
    #: A multiple of the single speed of the medium. 0: the highest speed.
    speed: int = Field(default=0, ge=0)
    #: True: rewritable discs that are not blank are erased.
    erase: bool = False
    #: True: the tray opens after each disc.
    eject: bool = True
    #: False: a CD is left open for a later session.
    finalise: bool = True
    #: The directory where a robot finds images and labels.
    exchange: Path | None = None
    #: The path of `exchange` on the robot's computer. Empty: the same path.
    seen_as: str = ""
    #: The name of the robot, where PTBurn controls several.
    robot: str = ""
    #: The name of the publisher, where TD Bridge controls several.
    publisher: str = ""
    #: Lines that are added to each job file as they are.
    job_lines: tuple[str, ...] = ()
    #: True: the administrator confirms that TD Bridge compares each disc with its files.
    compares: bool = False
    #: A label template on the robot's computer, whose fields are filled in.
    label_template: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_media(cls, data: object) -> object:
        if isinstance(data, dict) and "media" not in data:
            kind = DEVICE_KINDS.get(data.get("kind", "folder"))
            if kind is not None:
                return {**data, "media": kind.media}
        return data

    @model_validator(mode="after")
    def _check_kind(self) -> "DeviceSettings":
        if self.kind not in DEVICE_KINDS:
            raise ValueError(f"there is no kind {self.kind!r}; kinds are {', '.join(DEVICE_KINDS)}")
        self._check_media()
        self._check_keys()
        if self.kind == "epson" and self.label not in ("", "none"):
            raise ValueError("label: TD Bridge prints the template of label_template only")
        if not self.finalise and not set(self.media) & set(OPEN_MEDIA):
            raise ValueError(
                f"finalise = false: only {', '.join(OPEN_MEDIA)} can be left open for a later"
                f" session, and the media of this device are {', '.join(self.media)}"
            )
        return self

    def _check_media(self) -> None:
        known_media = DEVICE_KINDS[self.kind].media
        if not self.media:
            raise ValueError("media is empty; leave it out for all media of the device")
        unknown_media = [name for name in self.media if name not in known_media]
        if unknown_media:
            raise ValueError(
                f"media: a device of kind {self.kind} cannot make {', '.join(unknown_media)};"
                f" it can make {', '.join(known_media)}"
            )

    def _check_keys(self) -> None:
        kind = DEVICE_KINDS[self.kind]
        keys_of_all_kinds = {key for other in DEVICE_KINDS.values() for key in other.keys}
        foreign_keys = sorted(
            key for key in keys_of_all_kinds.difference(kind.keys) if not self._has_default(key)
        )
        if foreign_keys:
            raise ValueError(f"{', '.join(foreign_keys)}: not for a device of kind {self.kind}")
        missing_keys = [key for key in kind.required_keys if self._has_default(key)]
        if missing_keys == ["compares"]:
            raise ValueError(
                "compares: a robot has to compare each disc with its files. Set this up in TD"
                " Bridge, then confirm it with compares = true"
            )
        if missing_keys:
            raise ValueError(f"a device of kind {self.kind} needs {', '.join(missing_keys)}")

    def _has_default(self, key: str) -> bool:
        return bool(getattr(self, key) == type(self).model_fields[key].default)

    @property
    def label_form(self) -> str:
        """The form of the labels for this device; "none" for no labels."""
        if self.label:
            return self.label
        if self.label_template:
            return "dat"
        return DEVICE_KINDS[self.kind].label_form

    @property
    def directories(self) -> list[Path]:
        """The directories that the device needs."""
        return [path for path in (self.directory, self.exchange) if path is not None]

    def capacity_of(self, medium: str) -> int:
        """Bytes that this device can write on one blank of `medium`."""
        return MEDIA[medium].holding(self.capacity)

    def burner_options(self) -> dict[str, Any]:
        """The keyword arguments for the burner of this kind, besides its name."""
        keys = DEVICE_KINDS[self.kind].keys
        return {key: getattr(self, key) for key in keys if key != "compares"}
