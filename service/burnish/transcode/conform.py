"""Craft: which transfer syntax an instance gets on media, and how it is brought there (PS3.11)."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from burnish.transcode import compress, lossy, transcode
from burnish.transcode.transcode import Transcoded
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN


def permitted_form(transfer_syntax_uid: str, permitted: AbstractSet[str]) -> str | None:
    """The transfer syntax for an instance that is in `transfer_syntax_uid`, of those permitted.

    Its own, else Explicit VR Little Endian, else a lossless one; None where Burnish can bring it
    into none of them.
    """
    if transfer_syntax_uid in permitted:
        return transfer_syntax_uid
    if not transcode.decodable(transfer_syntax_uid):
        return None
    if EXPLICIT_VR_LITTLE_ENDIAN in permitted:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return compressed_form(permitted)


def compressed_form(permitted: AbstractSet[str]) -> str | None:
    """The transfer syntax into which images may be compressed without loss, if there is one."""
    return next((syntax for syntax in compress.LOSSLESS if syntax in permitted), None)


def bring_into(
    transfer_syntax_uid: str, source: Path, target: Path, *, source_ae_title: str = ""
) -> Transcoded:
    """Write `source` to `target` in Explicit VR Little Endian, or compressed without loss or with.

    Raises what the ways raise: NotTranscodable, NotCompressible, NotIdentical, Unreadable.
    """
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return transcode.to_explicit_vr_little_endian(
            source, target, source_ae_title=source_ae_title
        )
    if transfer_syntax_uid in lossy.METHODS:
        return lossy.compress(source, target, transfer_syntax_uid, source_ae_title=source_ae_title)
    return compress.compress(source, target, transfer_syntax_uid, source_ae_title=source_ae_title)
