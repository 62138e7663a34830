"""Craft: puts volume images on media, each kind of device in a module of its own."""

from typing import Any

from burnish.burn.burner import Burner, BurnJob, BurnOutcome, BurnResult, Supply
from burnish.burn.epson import EpsonBurner
from burnish.burn.folder import FolderBurner
from burnish.burn.mounted import MountedBurner
from burnish.burn.optical import OpticalBurner
from burnish.burn.primera import PrimeraBurner
from burnish.errors import InvalidSettings

#: The kinds of device. A new kind is a new row; tests/contract then runs on it.
BURNERS: dict[str, type[Any]] = {
    "folder": FolderBurner,
    "mounted": MountedBurner,
    "optical": OpticalBurner,
    "primera": PrimeraBurner,
    "epson": EpsonBurner,
}


__all__ = ["BURNERS", "BurnJob", "BurnOutcome", "BurnResult", "Burner", "Supply", "open_burner"]


def open_burner(kind: str, name: str, **options: object) -> Burner:
    """The device of this kind. `name` is its name in the configuration.

    Raises InvalidSettings for an unknown kind.
    """
    if kind not in BURNERS:
        raise InvalidSettings(
            f"no device is of kind {kind!r}", hint=f"Use one of: {', '.join(BURNERS)}."
        )
    burner: Burner = BURNERS[kind](name, **options)
    return burner
