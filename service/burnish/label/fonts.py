"""Craft: the fonts of a label: which font has a character, and what its glyphs look like."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from burnish.errors import InvalidSettings

if TYPE_CHECKING:
    import uharfbuzz as hb

#: Directories in which systems keep fonts.
SYSTEM_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
#: System fonts for what the included fonts lack, in order of preference: first Chinese, Japanese
#: and Korean, then other scripts. `{}` is the weight.
_SYSTEM_FONTS = (
    "NotoSansCJK-{}.ttc",
    "NotoSansCJKjp-{}.otf",
    "SourceHanSans-{}.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "ipaexg.ttf",
    "NanumGothic.ttf",
    "NotoSans*-{}.ttf",
    "DejaVuSans.ttf",
    "unifont.ttf",
)
_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})


class Bounds(NamedTuple):
    """The rectangle that a glyph, a text or a figure covers."""

    left: float
    bottom: float
    right: float
    top: float

    def placed(self, x: float, y: float, size: float = 1.0) -> "Bounds":
        """The bounds after scaling by `size` and moving by (x, y)."""
        return Bounds(
            x + self.left * size, y + self.bottom * size, x + self.right * size, y + self.top * size
        )


class ShapedGlyph(NamedTuple):
    """A glyph of a shaped run, in em; `cluster` is the index of its first character."""

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
        self.units_per_em = self._face.upem

    def has(self, character: str) -> bool:
        return self._font.get_nominal_glyph(ord(character)) is not None

    def shape(self, text: str, *, right_to_left: bool) -> Iterator[ShapedGlyph]:
        """The glyphs, from left to right, of text of one script and direction."""
        import uharfbuzz as hb

        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.direction = "rtl" if right_to_left else "ltr"
        buffer.guess_segment_properties()
        hb.shape(self._font, buffer)
        pen = 0.0
        for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            x = pen + position.x_offset / self.units_per_em
            y = position.y_offset / self.units_per_em
            advance = position.x_advance / self.units_per_em
            yield ShapedGlyph(info.codepoint, info.cluster, x, y, advance)
            pen += advance

    def ink(self, number: int) -> Bounds | None:
        """The bounds of a glyph in em, from its origin; None if it is blank."""
        extents = self._font.get_glyph_extents(number)
        if extents is None or not extents.width:
            return None
        # HarfBuzz measures the height downwards, so it is negative.
        return Bounds(
            left=extents.x_bearing / self.units_per_em,
            bottom=(extents.y_bearing + extents.height) / self.units_per_em,
            right=(extents.x_bearing + extents.width) / self.units_per_em,
            top=extents.y_bearing / self.units_per_em,
        )

    def advance(self, number: int) -> int:
        """The width of a glyph in units of the font."""
        return int(self._font.get_glyph_h_advance(number))

    def outline(self, number: int) -> str:
        """A glyph as PDF path operators, in units of the font."""
        path: list[str] = []
        self._font.draw_glyph(number, _pdf_path_writer(), path)
        return "\n".join(path)


@lru_cache(maxsize=1)
def _pdf_path_writer() -> "hb.DrawFuncs":
    """Writes outlines as PDF operators; HarfBuzz turns quadratic curves into cubic ones."""
    import uharfbuzz as hb

    writer = hb.DrawFuncs()
    writer.set_move_to_func(lambda x, y, path: path.append(f"{x:.6g} {y:.6g} m"))
    writer.set_line_to_func(lambda x, y, path: path.append(f"{x:.6g} {y:.6g} l"))
    writer.set_cubic_to_func(
        lambda x1, y1, x2, y2, x, y, path: path.append(
            f"{x1:.6g} {y1:.6g} {x2:.6g} {y2:.6g} {x:.6g} {y:.6g} c"
        )
    )
    writer.set_close_path_func(lambda path: path.append("h"))
    return writer


class Fonts:
    """Finds the font for each character, regular or bold.

    The fonts of the site come first, then FiraGO, which is included in the package (Latin, Greek,
    Cyrillic, Arabic, Hebrew, Thai, Georgian, Devanagari), then the fonts of the system.
    """

    def __init__(
        self, site_fonts: Sequence[Path] = (), system_folders: Sequence[Path] = SYSTEM_FOLDERS
    ) -> None:
        self._site_fonts = tuple(site_fonts)
        self._system_folders = tuple(system_folders)
        self._face_of_character: dict[tuple[str, bool], Face | None] = {}

    def face(self, character: str, *, bold: bool) -> Face | None:
        """The first font that has a character; None if no font has it."""
        key = character, bold
        if key not in self._face_of_character:
            faces = self._faces(bold=bold)
            face = next((face for face in faces if face.has(character)), None)
            self._face_of_character[key] = face
        return self._face_of_character[key]

    def _faces(self, *, bold: bool) -> Iterator[Face]:
        yield from map(_read_font, self._site_files(bold=bold))
        yield _included_font("figbo" if bold else "figo")
        yield from map(_read_font, self._system_files(bold=bold))

    def _site_files(self, *, bold: bool) -> list[Path]:
        """The font files of the site; those of the right weight come first."""
        return sorted(self._all_site_files, key=lambda path: ("bold" in path.name.lower()) != bold)

    @cached_property
    def _all_site_files(self) -> list[Path]:
        files: list[Path] = []
        for path in self._site_fonts:
            if not path.exists():
                raise InvalidSettings(f"label.fonts: {path} does not exist")
            if path.is_file():
                files.append(path)
            else:
                files += [file for file in _font_files(path) if file.exists()]
        return files

    def _system_files(self, *, bold: bool) -> Iterator[Path]:
        files = [file for folder in self._system_folders for file in _font_files(folder)]
        weights = ("Bold", "Regular") if bold else ("Regular",)
        for pattern in _SYSTEM_FONTS:
            for weight in weights:
                yield from (file for file in files if file.match(pattern.format(weight)))


@lru_cache(maxsize=64)
def _font_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES))


@lru_cache(maxsize=64)
def _read_font(path: Path) -> Face:
    """Reads a font file; raises InvalidSettings if it is not a usable font."""
    import uharfbuzz as hb

    try:
        face = Face(path.name, hb.Blob.from_file_path(path))
    except (OSError, hb.HarfBuzzError) as error:
        raise InvalidSettings(f"{path} cannot be read as a font: {error}") from None
    if not face.has(" "):
        raise InvalidSettings(f"{path} is not a font")
    return face


@lru_cache(maxsize=2)
def _included_font(name: str) -> Face:
    import pymupdf_fonts
    import uharfbuzz as hb

    return Face(pymupdf_fonts.fontdescriptors[name]["name"], hb.Blob(pymupdf_fonts.myfont(name)))
