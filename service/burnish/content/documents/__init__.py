"""Craft: documents of one instance as people read them: an XHTML body, and files beside it.

body          collects the body of a document: XHTML, and what depends on language and volume
report        structured reports and key object selections
waveform      waveforms as drawings: an ECG on its paper, others by channel
paper         drawings as SVG and as JPEG pictures
encapsulated  PDF, CDA and other files within an instance
video         the MP4 file and the picture of a video
still         a picture of a video, decoded
mp4           MP4 files of transport streams
values        values of a data set as text and numbers
"""

from typing import TYPE_CHECKING, BinaryIO

from burnish.content.documents.body import DocumentWriter

if TYPE_CHECKING:
    from pydicom import Dataset


def is_document(data_set: "Dataset") -> bool:
    """Whether an instance is shown as a document although it has Pixel Data: a video."""
    from burnish.content.documents import video

    return video.is_video(data_set)


def write_document(data_set: "Dataset", source: BinaryIO, writer: DocumentWriter) -> None:
    """Writes the body and the files of a document; raises what damaged values raise.

    `source` is the file of the data set, which is read again for data that may be large.
    """
    from burnish.content.documents import encapsulated, report, video, waveform

    if video.is_video(data_set):
        video.write_video(data_set, source, writer)
    elif "EncapsulatedDocument" in data_set:
        encapsulated.write_encapsulated(data_set, writer)
    elif "WaveformSequence" in data_set:
        waveform.write_waveforms(data_set, writer)
    else:
        report.write_report(data_set, writer)


__all__ = ["DocumentWriter", "is_document", "write_document"]
