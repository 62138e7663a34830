"""Ground: the general-purpose Application Profiles (PS3.11 D, G, H, I, J, L, M, N)."""

from collections.abc import Iterator

from burnish.application_profiles.limits import NUMBER_OF_FRAMES, Present
from burnish.application_profiles.profile import ApplicationProfile, Rule, Security
from burnish.directory_records import CD_KEYS, DVD_KEYS, MPEG2_KEYS
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
)

_EXPLICIT = frozenset({EXPLICIT_VR_LITTLE_ENDIAN})
_JPEG = _EXPLICIT | {JPEG_LOSSLESS_SV1, JPEG_BASELINE, JPEG_EXTENDED}
_J2K = _EXPLICIT | {JPEG_2000_LOSSLESS, JPEG_2000}
#: The video profiles on BD: the last part of the label, the transfer syntax, and whether the
#: profile has uncompressed instances too (Table M.3-1, not N.3-1).
_VIDEO = (
    ("MPEG2-MPML", "1.2.840.10008.1.2.4.100", True),
    ("MPEG2-MPHL", "1.2.840.10008.1.2.4.101", True),
    ("MPEG4-HPLV41", "1.2.840.10008.1.2.4.102", True),
    ("MPEG4-HPLV41BD", "1.2.840.10008.1.2.4.103", True),
    ("MPEG4-HPLV42-2D", "1.2.840.10008.1.2.4.104", False),
    ("MPEG4-HPLV42-3D", "1.2.840.10008.1.2.4.105", False),
    ("MPEG4-SHPLV42", "1.2.840.10008.1.2.4.106", False),
)
#: Transfer syntaxes for mail, besides video: the profiles leave them to the Conformance Statement.
_BY_STATEMENT = _JPEG | _J2K
_DVD, _BD = ("DVD", "DVD-DL"), ("BD", "BD-DL")
_MULTI_FRAME = (Present(NUMBER_OF_FRAMES),)


def _uncompressed(sec: str, security: Security) -> Iterator[ApplicationProfile]:
    """Annex D."""
    rules = (Rule(_EXPLICIT),)
    for name, media in (("CD", ("CD",)), ("DVD-RAM", ("DVD-RAM",)), ("BD", _BD)):
        yield ApplicationProfile(
            f"STD-GEN-{sec}{name}", "PS3.11 D", media, rules, CD_KEYS, None, security
        )


def _compressed(sec: str, security: Security) -> Iterator[ApplicationProfile]:
    """Annexes H, J and M."""
    for name, syntaxes in (("JPEG", _JPEG), ("J2K", _J2K)):
        for medium, media, section in (
            ("DVD", _DVD, "PS3.11 H"),
            *((medium, (medium,), "PS3.11 J") for medium in ("USB", "CF", "MMC", "SD")),
            ("BD", _BD, "PS3.11 M"),
        ):
            label = f"STD-GEN-{sec}{medium}-{name}"
            yield ApplicationProfile(
                label, section, media, (Rule(syntaxes),), DVD_KEYS, None, security
            )


def _video(sec: str, security: Security) -> Iterator[ApplicationProfile]:
    """Annexes I, M and N."""
    mpeg2 = Rule(frozenset({_VIDEO[0][1]}), limits=_MULTI_FRAME)
    yield ApplicationProfile(
        f"STD-DVD-{sec}MPEG2-MPML", "PS3.11 I", _DVD, (mpeg2,), MPEG2_KEYS, None, security
    )
    for name, syntax, uncompressed in _VIDEO:
        stream = Rule(frozenset({syntax}), limits=_MULTI_FRAME)
        rules = (Rule(_EXPLICIT), stream) if uncompressed else (stream,)
        section = "PS3.11 M" if uncompressed else "PS3.11 N"
        yield ApplicationProfile(
            f"STD-GEN-{sec}BD-{name}", section, _BD, rules, DVD_KEYS, None, security
        )


def _rows() -> Iterator[ApplicationProfile]:
    for sec, security in (("", Security.NONE), ("SEC-", Security.FILES)):
        yield from _uncompressed(sec, security)
        yield from _compressed(sec, security)
        yield from _video(sec, security)
    video = frozenset(syntax for _, syntax, _ in _VIDEO)
    rules = (Rule(_BY_STATEMENT), Rule(video, limits=_MULTI_FRAME))
    for sec, security in (("", Security.NONE), ("SEC-", Security.TRANSPORT)):
        label = f"STD-GEN-{sec}ZIP-MAIL"
        yield ApplicationProfile(label, "PS3.11 L", ("MAIL",), rules, security=security)
    yield ApplicationProfile("STD-GEN-MIME", "PS3.11 G", ("MIME",), rules, dicomdir_optional=True)


GENERAL: tuple[ApplicationProfile, ...] = tuple(_rows())
