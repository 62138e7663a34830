"""Craft: whether what a device works with is there and may be used, without disturbing its work."""

import os
import shutil
from pathlib import Path

from burnish import file_access
from burnish.burn.burner import BurnOutcome, BurnResult, Supply

#: How libburn names a drive that is a file.
_FILE_DRIVE = "stdio:"


def missing(name: str, *, directories: list[Path], drive: str = "") -> BurnResult | None:
    """The missing part of the device `name`: a folder, a drive, or the right to use it."""
    access = os.R_OK | os.W_OK
    for directory in directories:
        remedy = f"Make {directory} a folder in which the service can write."
        if directory.exists() and not directory.is_dir():
            return _result(name, f"{directory} is not a folder", remedy)
        reason = file_access.denial(directory, access | os.X_OK)
        if reason:
            return _result(name, reason, remedy)
        if not directory.is_dir():
            return _result(name, f"{directory} does not exist", remedy)
    path = Path(drive.removeprefix(_FILE_DRIVE)) if drive else None
    if path is not None:
        remedy = f"Make sure that {path} is connected and that the service may use it."
        reason = file_access.denial(path, access)
        if reason:
            return _result(name, reason, remedy)
        if not path.exists() and not drive.startswith(_FILE_DRIVE):
            return _result(name, f"{path} does not exist", remedy)
    return None


def free_space(directory: Path) -> tuple[Supply, ...]:
    """The free space of a folder, as a supply; empty if that cannot be told."""
    try:
        return (Supply("free space", shutil.disk_usage(directory).free, "bytes"),)
    except OSError:
        return ()


def _result(name: str, detail: str, remedy: str) -> BurnResult:
    return BurnResult(BurnOutcome.HOLD_OPERATOR, f"device {name}: {detail}", remedy)
