"""Craft: the fonts of a label: which font has a letter, what its glyphs are and look like."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from burnish.errors import InvalidSettings

if TYPE_CHECKING:
    import uharfbuzz as hb

#: Where systems keep fonts.
SYSTEM = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
#: Fonts of a system that have what the package's own lack, the first that is there: Chinese,
#: Japanese and Korean first, then the other scripts. Bold ones are before them where wanted.
_WANTED = (
    *("NotoSansCJK-{}.ttc", "NotoSansCJKjp-{}.otf", "SourceHanSans-{}.ttc"),
    *("DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "wqy-microhei.ttc", "wqy-zenhei.ttc"),
    *("ipaexg.ttf", "NanumGothic.ttf", "NotoSans*-{}.ttf", "DejaVuSans.ttf", "unifont.ttf"),
)
_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})


class Shaped(NamedTuple):
    """One glyph of a shaped run, in em: where it stands, and the letter (index) it begins with."""

    number: int
    cluster: int
    x: float
    y: float
    advance: float


class Face:
    """One font."""

    def __init__(self, name: str, blob: "hb.Blob") -> None:
        import uharfbuzz as hb

        self.name = name
        self._face = hb.Face(blob)
        self._font = hb.Font(self._face)
        self.units = self._face.upem

    def has(self, letter: str) -> bool:
        return self._font.get_nominal_glyph(ord(letter)) is not None

    def shape(self, text: str, *, right_to_left: bool) -> Iterator[Shaped]:
        """The glyphs of text of one script and direction, from left to right."""
        import uharfbuzz as hb

        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.direction = "rtl" if right_to_left else "ltr"
        buffer.guess_segment_properties()
        hb.shape(self._font, buffer)
        at = 0.0
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            x, y = at + place.x_offset / self.units, place.y_offset / self.units
            advance = place.x_advance / self.units
            yield Shaped(info.codepoint, info.cluster, x, y, advance)
            at += advance

    def ink(self, number: int) -> tuple[float, float, float, float] | None:
        """What a glyph covers, in em from its origin: left, bottom, right, top."""
        found = self._font.get_glyph_extents(number)
        if found is None or not found.width:
            return None
        left, top = found.x_bearing / self.units, found.y_bearing / self.units
        # the height is counted downwards
        return left, top + found.height / self.units, left + found.width / self.units, top

    def advance(self, number: int) -> int:
        """The width of a glyph in units of the font."""
        return int(self._font.get_glyph_h_advance(number))

    def outline(self, number: int) -> str:
        """A glyph as PDF path operators, in units of the font."""
        path: list[str] = []
        self._font.draw_glyph(number, _pen(), path)
        return "\n".join(path)


@lru_cache(maxsize=1)
def _pen() -> "hb.DrawFuncs":
    """Writes outlines down; quadratic curves come as the cubic ones that they equal."""
    import uharfbuzz as hb

    pen = hb.DrawFuncs()
    pen.set_move_to_func(lambda x, y, path: path.append(f"{x:.6g} {y:.6g} m"))
    pen.set_line_to_func(lambda x, y, path: path.append(f"{x:.6g} {y:.6g} l"))
    pen.set_cubic_to_func(
        lambda a, b, c, d, x, y, path: path.append(
            f"{a:.6g} {b:.6g} {c:.6g} {d:.6g} {x:.6g} {y:.6g} c"
        )
    )
    pen.set_close_path_func(lambda path: path.append("h"))
    return pen


class Fonts:
    """Fonts in the order in which they are asked for a letter, regular and bold.

    First those of the site, then FiraGO, which comes with the package (Latin, Greek, Cyrillic,
    Arabic, Hebrew, Thai, Georgian, Devanagari), then what the system has.
    """

    def __init__(self, own: Sequence[Path] = (), system: Sequence[Path] = SYSTEM) -> None:
        self._own = tuple(own)
        self._system = tuple(system)
        self._chosen: dict[tuple[str, bool], Face | None] = {}

    def face(self, letter: str, *, bold: bool) -> Face | None:
        """The first font that has a letter; None where there is none."""
        key = letter, bold
        if key not in self._chosen:
            faces = self._faces(bold=bold)
            self._chosen[key] = next((face for face in faces if face.has(letter)), None)
        return self._chosen[key]

    def _faces(self, *, bold: bool) -> Iterator[Face]:
        for path in sorted(self._own_files, key=lambda path: ("bold" in path.name.lower()) != bold):
            yield _read(path)
        yield _included("figbo" if bold else "figo")
        for path in self._system_files(bold=bold):
            yield _read(path)

    @cached_property
    def _own_files(self) -> list[Path]:
        found = []
        for path in self._own:
            if not path.exists():
                raise InvalidSettings(f"label.fonts: {path} does not exist")
            found += [path] if path.is_file() else [p for p in _files(path) if p.exists()]
        return found

    def _system_files(self, *, bold: bool) -> Iterator[Path]:
        names = [name for folder in self._system for name in _files(folder)]
        weights = ("Bold", "Regular") if bold else ("Regular",)
        for wanted in _WANTED:
            for weight in weights:
                yield from (name for name in names if name.match(wanted.format(weight)))


@lru_cache(maxsize=64)
def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES))


@lru_cache(maxsize=64)
def _read(path: Path) -> Face:
    """The font in a file; raises InvalidSettings where there is none."""
    import uharfbuzz as hb

    try:
        face = Face(path.name, hb.Blob.from_file_path(path))
    except (OSError, hb.HarfBuzzError) as error:
        raise InvalidSettings(f"{path} cannot be read as a font: {error}") from None
    if not face.has(" "):
        raise InvalidSettings(f"{path} is no font")
    return face


@lru_cache(maxsize=2)
def _included(name: str) -> Face:
    import pymupdf_fonts
    import uharfbuzz as hb

    return Face(pymupdf_fonts.fontdescriptors[name]["name"], hb.Blob(pymupdf_fonts.myfont(name)))
