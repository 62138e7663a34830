"""Craft: DICOM files converted into another transfer syntax."""

from pathlib import Path

from burnish.file_slice import Slice
from burnish.transcode import lossless, lossy, uncompressed
from burnish.transcode.transfer_syntaxes import LOSSY
from burnish.transcode.uncompressed import TranscodedFile
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN


def convert_file(
    transfer_syntax_uid: str, source: Slice, target: Path, *, source_ae_title: str = ""
) -> TranscodedFile:
    """Write `source` to `target` in Explicit VR Little Endian, or compressed without or with loss.

    `source_ae_title` goes into Source Application Entity Title (0002,0016). Raises
    NotTranscodable, NotCompressible, NotIdentical or Unreadable; then there is no `target`.
    """
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return uncompressed.to_explicit_vr_little_endian(
            source, target, source_ae_title=source_ae_title
        )
    compress = lossy.compress if transfer_syntax_uid in LOSSY else lossless.compress
    return compress(source, target, transfer_syntax_uid, source_ae_title=source_ae_title)
