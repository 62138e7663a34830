"""Craft: puts volume images on media, each kind of device in a module of its own."""

from collections.abc import Callable

from burnish.burn.burner import Burner, BurnJob, BurnOutcome, BurnResult
from burnish.burn.epson import EpsonBurner
from burnish.burn.folder import FolderBurner
from burnish.burn.mounted import MountedBurner
from burnish.burn.optical import OpticalBurner
from burnish.burn.primera import PrimeraBurner
from burnish.errors import InvalidSettings

#: The kinds of device; adding one is adding a row, and tests/contract holds it to the contract.
BURNERS: dict[str, Callable[..., Burner]] = {
    "folder": FolderBurner,
    "mounted": MountedBurner,
    "optical": OpticalBurner,
    "primera": PrimeraBurner,
    "epson": EpsonBurner,
}


__all__ = ["BURNERS", "BurnJob", "BurnOutcome", "BurnResult", "Burner", "open_burner"]


def open_burner(kind: str, name: str, **options: object) -> Burner:
    """The device of this kind, under the name by which the installation knows it."""
    if kind not in BURNERS:
        raise InvalidSettings(
            f"there is no device of kind {kind!r}", hint=f"Use one of: {', '.join(BURNERS)}."
        )
    return BURNERS[kind](name, **options)
