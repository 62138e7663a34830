"""A simulation of xorriso with a CD-R in a drive, as far as Burnish uses it.

A CD-R has sessions; libburn's pseudo-drives have none. Here a file is the disc. Each session begins
as far behind the previous one as on a real disc, and nothing before it is touched. As with Linux,
the file shows what was burnt only after the tray has opened and closed. The file `<disc>.json`
beside it has the other facts; a test may change them, for example to another `medium`.

    cd_recorder.py -outdev DISC -toc | -outdev DISC -eject all | -as cdrecord dev=DISC … IMAGE
"""

import json
import sys
from pathlib import Path

SECTOR = 2048
#: Sectors from the end of a session to the first of the next: lead-out, lead-in, pre-gap.
GAPS = (11_400, 6_900)
SECTORS = 359_844


class Disc:
    """The disc and the facts beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_name(f"{path.name}.json")
        self.burnt = path.with_name(f"{path.name}.burnt")
        path.touch()
        self.facts = {"medium": "CD-R", "sessions": [], "closed": False, "out": False}
        if self.beside.exists():
            self.facts |= json.loads(self.beside.read_text())

    def store(self, **changes: object) -> None:
        self.facts |= changes
        self.beside.write_text(json.dumps(self.facts))

    @property
    def next(self) -> int:
        sessions = self.facts["sessions"]
        if not sessions:
            return 0
        start, length = sessions[-1]
        return int(start + length + GAPS[min(len(sessions), 2) - 1])

    def report(self) -> None:
        sessions, closed = self.facts["sessions"], self.facts["closed"]
        written = f"is written , is {'closed' if closed else 'appendable'}"
        free = 0 if closed else self.facts.get("free", SECTORS - self.next)
        sys.stdout.write(f"Media current: {self.facts['medium']}\n")
        sys.stdout.write(f"Media status : {written if sessions else 'is blank'}\n")
        sys.stdout.write(
            f"Media blocks : {self.next} readable , {free} writable , {SECTORS} overall\n"
        )
        sys.stdout.write("TOC layout   : Idx ,  sbsector ,       Size , Volume Id\n")
        for number, (start, length) in enumerate(sessions, start=1):
            sys.stdout.write(f"ISO session  : {number:3} , {start:9} , {length:9}s , NAME\n")
        if sessions and not closed:
            sys.stdout.write(f"Media nwa    : {self.next}s\n")

    def load(self) -> None:
        if self.facts["out"]:
            self.store(out=False)
            if self.burnt.exists():
                self.burnt.replace(self.path)

    def burn(self, arguments: list[str]) -> None:
        image = Path(arguments[-1]).read_bytes()
        [padding] = (
            argument.removeprefix("padsize=") for argument in arguments if "padsize=" in argument
        )
        image += bytes(int(padding.removesuffix("s")) * SECTOR)
        start = self.next
        sys.stdout.write("Beginning to write data track.\n")
        before = self.path.read_bytes() if self.path.exists() else b""
        self.burnt.write_bytes(before.ljust(start * SECTOR, b"\0") + image)
        sessions = [*self.facts["sessions"], (start, len(image) // SECTOR)]
        self.store(sessions=sessions, closed="-multi" not in arguments)


def main(arguments: list[str]) -> None:
    if arguments[0] == "-as":
        [drive] = (
            argument.removeprefix("dev=") for argument in arguments if argument.startswith("dev=")
        )
        Disc(Path(drive)).burn(arguments)
    elif arguments[2:] == ["-eject", "all"]:
        Disc(Path(arguments[1])).store(out=True)
    else:
        disc = Disc(Path(arguments[1]))
        disc.load()
        disc.report()


if __name__ == "__main__":
    main(sys.argv[1:])
