"""Craft: collects a document while it is made: the parts of its body, and its files.

Most of a body is XHTML. Texts of a catalogue, dates, names and links to other instances are kept
apart (`BodyPart`): they depend on the language and on the volume, which a rendition does not.
"""

from collections.abc import Callable, Iterable
from typing import Any

from burnish.content.model import BodyPart
from burnish.content.volume_files import Blob
from burnish.content.xhtml_text import escaped


class DocumentWriter:
    """Collects the body and the files of one document.

    `add_blob` keeps bytes that come in pieces, and returns their place. `quality` is that of JPEG
    pictures, `thumbnail_pixels` the width and height of a small one.
    """

    def __init__(
        self,
        add_blob: Callable[[Iterable[bytes]], Blob],
        quality: int = 85,
        thumbnail_pixels: int = 160,
    ) -> None:
        self._add_blob = add_blob
        self.quality = quality
        self.thumbnail_pixels = thumbnail_pixels
        self._pending: list[str] = []
        self.body: list[Any] = []
        self.files: list[tuple[str, tuple[int, ...], bool]] = []
        #: The position among the files of the small picture that lists show.
        self.thumbnail: int | None = None

    def markup(self, xhtml: str) -> None:
        """Adds XHTML as it is."""
        self._pending.append(xhtml)

    def value(self, value: object) -> None:
        """Adds a value as text; its line breaks are kept."""
        lines = str(value).replace("\t", " ").split("\n")
        self._pending.append("<br />".join(escaped(line) for line in lines))

    def label(self, key: str, **values: object) -> None:
        """Adds a text of the catalogues, by its key in the table `document`."""
        self._part("text", f"document.{key}", {name: str(each) for name, each in values.items()})

    def date(self, value: str) -> None:
        """Adds a date (DA)."""
        self._part("date", value)

    def time(self, value: str) -> None:
        """Adds a time (TM)."""
        self._part("time", value)

    def date_time(self, value: str) -> None:
        """Adds a date and time (DT)."""
        self._part("date", value[:8])
        time, _, zone = value[8:].replace("-", "+-").partition("+")
        if time:
            self.markup(" ")
            self._part("time", time)
        if zone:
            self.value(f" UTC{'' if zone.startswith('-') else '+'}{zone}")

    def name(self, value: str) -> None:
        """Adds a person's name (PN)."""
        self._part("name", value)

    def reference(self, sop_instance_uid: str, sop_class: str) -> None:
        """Adds a link to another instance, or says that it is not on the volume."""
        self._part("reference", sop_instance_uid, sop_class)

    def picture(self, sop_instance_uid: str) -> None:
        """Adds a small picture of an image with a link to the large one, if the pages have it."""
        self._part("picture", sop_instance_uid)

    def path(self, position: int) -> None:
        """Adds the path from the page to a file of this document."""
        self._part("path", position)

    def file(self, extension: str, pieces: Iterable[bytes]) -> int:
        """Adds a file beside the body; its position among the files."""
        return self._add_file(extension, pieces, is_web=False)

    def web_file(self, extension: str, pieces: Iterable[bytes]) -> int:
        """Adds a file that may lie beside the pages, as a JPEG picture; its position."""
        return self._add_file(extension, pieces, is_web=True)

    def thumbnail_file(self, jpeg: bytes) -> None:
        """Adds the small picture by which lists show this document."""
        self.thumbnail = self.web_file("JPG", [jpeg])

    def _add_file(self, extension: str, pieces: Iterable[bytes], *, is_web: bool) -> int:
        blob = self._add_blob(pieces)
        self.files.append((extension, (blob.offset, blob.size), is_web))
        return len(self.files) - 1

    def discard(self) -> None:
        """Forgets what there is, of a document that turns out to be damaged."""
        self._pending.clear()
        self.body.clear()
        self.files.clear()
        self.thumbnail = None

    def end(self) -> None:
        """Completes the body."""
        self._flush()

    def _part(self, kind: str, *values: Any) -> None:
        self._flush()
        self.body.append([kind, *values])

    def _flush(self) -> None:
        if self._pending:
            blob = self._add_blob(["".join(self._pending).encode()])
            self.body.append([blob.offset, blob.size])
            self._pending.clear()


def read_body(parts: Iterable[Any], key: str) -> tuple[BodyPart, ...]:
    """The parts of a body as they were kept by a DocumentWriter, of the rendition with this key."""
    return tuple(
        Blob(key, part[0], part[1]) if isinstance(part[0], int) else tuple(part) for part in parts
    )
