"""Craft: a file within an instance (PS3.3 A.45, A.85): PDF, CDA and models, as it is."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from burnish.content.documents.body import DocumentWriter
from burnish.content.documents.values import meaning_of, number_of, text_of

if TYPE_CHECKING:
    from pydicom import Dataset

_PIECE = 1 << 20
#: For each MIME type: the extension of its file, and the text that says what it is.
_KINDS = {
    "application/pdf": ("PDF", "pdf"),
    "text/xml": ("XML", "cda"),
    "application/xml": ("XML", "cda"),
    "model/stl": ("STL", "model"),
    "application/sla": ("STL", "model"),
    "model/obj": ("OBJ", "model"),
    "model/mtl": ("MTL", "model"),
}


def write_encapsulated(data_set: "Dataset", writer: DocumentWriter) -> None:
    """Writes the file, and a body that says what it is; raises ValueError for a damaged one."""
    mime_type = text_of(data_set, "MIMETypeOfEncapsulatedDocument").lower()
    content = memoryview(data_set["EncapsulatedDocument"].value or b"")
    length = int(number_of(data_set, "EncapsulatedDocumentLength") or 0)
    if 0 < length <= len(content):
        content = content[:length]
    elif len(content) and content[-1] == 0:
        content = content[:-1]  # of an odd length, made even (PS3.5 6.2, OB)
    if not len(content):
        raise ValueError("an encapsulated document is empty")
    extension, label = _KINDS.get(mime_type, ("", ""))
    head = bytes(content[:1024])
    if extension == "PDF" and b"%PDF-" not in head:
        raise ValueError("an encapsulated PDF is no PDF")
    if not extension:
        # a file of a kind that is not known might be a program
        raise NotImplementedError("encapsulated documents of this kind are not shown")
    position = writer.file(extension, _pieces(content))
    writer.markup("<p>")
    writer.label(label)
    writer.markup("</p>\n")
    if extension == "PDF":
        writer.markup('<p><a class="button" href="')
        writer.path(position)
        writer.markup('">')
        writer.label("open_pdf")
        writer.markup("</a></p>\n")
    title = text_of(data_set, "DocumentTitle") or meaning_of(data_set, "ConceptNameCodeSequence")
    if title:
        writer.markup('<p class="t">')
        writer.value(title)
        writer.markup("</p>\n")


def _pieces(content: memoryview) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield bytes(content[start : start + _PIECE])
