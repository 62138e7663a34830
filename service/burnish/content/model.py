"""Craft: what pages and viewer show of one instance, as frozen values.

`instance_reader` reads them from a data set, and nothing else does: pages, viewer and documents
take these values. They are kept in the rendition of the instance (`rendition`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, NamedTuple

from burnish.content.volume_files import Blob


class ContentKind(StrEnum):
    """How an instance is shown: as pictures, as a document, or by its name alone."""

    IMAGE = "image"
    DOCUMENT = "document"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class InstanceDescription:
    """The values of one instance that people see. Texts are decoded; "" stands for none.

    Names are PN values, dates DA, times TM values (PS3.5 6.2). `position` is the place along the
    normal of the image plane in mm, by which slices are ordered; None where it is not known.
    `may_show` tells whether a picture of it may go on a disc for teaching.
    """

    kind: ContentKind
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    modality: str = ""
    title: str = ""
    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    accession_number: str = ""
    institution: str = ""
    referring_physician: str = ""
    series_instance_uid: str = ""
    series_number: int | None = None
    series_description: str = ""
    series_date: str = ""
    series_time: str = ""
    body_part: str = ""
    laterality: str = ""
    instance_number: int | None = None
    content_date: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 0
    frame_rate: float | None = None
    position: float | None = None
    lossy: bool = False
    may_show: bool = False
    key_references: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Only the values that are not the default."""
        default = InstanceDescription(ContentKind.OTHER)
        values = asdict(self)
        return {
            name: value
            for name, value in values.items()
            if name == "kind" or value != getattr(default, name)
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "InstanceDescription":
        names = {each.name for each in fields(cls)}
        known = {name: value for name, value in values.items() if name in names}
        known["kind"] = ContentKind(known["kind"])
        known["key_references"] = tuple(known.get("key_references", ()))
        return cls(**known)


class Picture(NamedTuple):
    """One frame as a JPEG picture, with its thumbnail. `frame` counts from 1.

    `aspect` is the height of a pixel, where its width is 1.
    """

    frame: int
    width: int
    height: int
    jpeg: Blob
    thumbnail: Blob
    aspect: float = 1.0


#: A part of a document's body: XHTML, or a value whose form depends on the language or the volume,
#: as `documents.body` writes it: ("text", key, values), ("date", DA), ("time", TM), ("name", PN),
#: ("reference", SOP Instance UID, SOP Class UID), ("picture", SOP Instance UID) or
#: ("path", position of a file of the document).
BodyPart = Blob | tuple[Any, ...]


class DocumentFile(NamedTuple):
    """A file of a document beside its body: the extension of its name (3 letters), its bytes.

    `web`: XHTML and JPEG, which may lie in IHE_PDI; any other file lies in VIEWER.
    """

    extension: str
    content: Blob
    web: bool = False


@dataclass(frozen=True, slots=True)
class Rendition:
    """The pages and pictures of one instance, which are made once and lie in the cache.

    `fault` says why there is no picture or body where there should be one. `viewer` and
    `viewer_blobs` are the record and the lines of `viewer_data.InstanceRecorder`. `body` is the
    XHTML of a document, to stand within a page; () for none. `thumbnail` is the position among
    `documents` of a small picture of the document, None without one.
    """

    key: str
    instance: InstanceDescription
    pictures: tuple[Picture, ...] = ()
    body: tuple[BodyPart, ...] = ()
    documents: tuple[DocumentFile, ...] = ()
    fault: str = ""
    viewer: Mapping[str, Any] = field(default_factory=dict)
    viewer_blobs: tuple[Blob, ...] = ()
    thumbnail: int | None = None
