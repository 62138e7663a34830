"""Ground: `register.json`, the register of a storage root: a small file beside the database.

It is no list of instances or requests. It outlives a database that is lost, replaced or
restored, and tells which database belongs to the spool, and which request numbers may be on media.
"""

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from burnish.durable_files import sync
from burnish.errors import OperatorError, OutOfResources
from burnish.file_access import DENIED, explain

#: The name of the register in the storage root.
NAME = "register.json"
#: The name of a request at the beginning of a folder, a job or a File-set: R000042.
_REQUEST_NAME = re.compile(r"R([0-9]{6,9})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Register:
    """The identity of the database that belongs to the spool, and the last request number.

    `database_identity` is "" as long as no database was seen with this spool.
    """

    database_identity: str = ""
    last_request: int = 0


def read(root: Path) -> Register:
    """The register of a storage root; raises OperatorError if it cannot be read."""
    path = root / NAME
    try:
        content = json.loads(path.read_bytes())
        return Register(str(content["database_identity"]), int(content["last_request"]))
    except FileNotFoundError:
        return Register()
    except OSError as error:
        if error.errno in DENIED:
            raise OperatorError(explain(error, path)) from None
        raise OutOfResources(f"the register cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise OperatorError(
            f"{path} is damaged",
            hint="move it away, then run `burnish db recover`, which makes it again",
        ) from None


def set_database_identity(root: Path, identity: str) -> None:
    """Note, durably, which database belongs to the spool."""
    register = read(root)
    if register.database_identity != identity:
        _write(root, replace(register, database_identity=identity))


def raise_last_request(root: Path, number: int) -> None:
    """Note, durably, that requests up to `number` may be on media; raises OutOfResources."""
    register = read(root)
    if register.last_request < number:
        _write(root, replace(register, last_request=number))


def last_request_in(directories: Iterable[Path]) -> int:
    """The highest request number that a folder, job or image in these directories is named for."""
    highest = 0
    for directory in directories:
        with suppress(OSError):
            for name in os.listdir(directory):
                number = _REQUEST_NAME.match(name)
                if number:
                    highest = max(highest, int(number[1]))
    return highest


def _write(root: Path, register: Register) -> None:
    path = root / NAME
    part = path.with_name(f"{NAME}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("x", encoding="ascii") as file:
            file.write(json.dumps(asdict(register)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(root)
    except OSError as error:
        raise OutOfResources(f"the register cannot be written: {error.strerror}") from None
