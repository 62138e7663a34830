"""Ground: the Application Profiles of single modalities (PS3.11 A, B, C, E, K, L)."""

from collections.abc import Iterator

from burnish.application_profiles.icon import IconRule
from burnish.application_profiles.limits import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    DETECTOR_ID,
    DETECTOR_MANUFACTURER,
    DETECTOR_MODEL,
    HIGH_BIT,
    IMAGE_TYPE,
    INSTITUTION_NAME,
    MODALITY,
    MODEL_NAME,
    OVERLAYS,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_COMPONENT_ORGANIZATION,
    PIXEL_REPRESENTATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    US_REGIONS,
    Absent,
    AtMost,
    Limit,
    OneOf,
    Present,
    values_in,
)
from burnish.application_profiles.profile import ApplicationProfile, Rule, Security
from burnish.directory_records import ANGIOGRAPHY_KEYS, ANGIOGRAPHY_LOSSY_KEYS, CT_MR_KEYS
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
    RLE_LOSSLESS,
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."


def _classes(*tails: str) -> frozenset[str]:
    return frozenset(_STORAGE + tail for tail in tails)


_XA = _classes("12.1")
_SECONDARY_CAPTURE = _classes("7")
#: Secondary Capture of one sample per pixel: single-frame, and the multi-frame classes by depth.
_GREY_CAPTURE = _classes("7", "7.2", "7.3")
_GREY_PRESENTATION = _classes("11.1")
_US, _US_MULTI_FRAME = _classes("6", "6.1"), _classes("3", "3.1")
_CT, _MR = _classes("2"), _classes("4")
_RADIATION_DOSE = _classes("88.67")
_DENTAL = _classes("1.1", "1.3")
_DENTAL_PRESENTATION = _classes("11.1", "131")

_EXPLICIT = frozenset({EXPLICIT_VR_LITTLE_ENDIAN})
_LOSSLESS = frozenset({JPEG_LOSSLESS_SV1})
_SIZED: tuple[Limit, ...] = (Present(ROWS), Present(COLUMNS))
_PIXELS = (BITS_ALLOCATED, BITS_STORED, HIGH_BIT)
_GREY = values_in(PHOTOMETRIC_INTERPRETATION, ("MONOCHROME2",))


def _at_most(pixels: int) -> tuple[Limit, ...]:
    return AtMost(ROWS, pixels), AtMost(COLUMNS, pixels)


_IS_XA = values_in(MODALITY, ("XA",))


def _basic_cardiac() -> ApplicationProfile:
    """Tables A.3-1, A.3-2."""
    return ApplicationProfile(
        "STD-XABC-CD",
        "PS3.11 A",
        ("CD",),
        (
            Rule(
                _LOSSLESS,
                _XA,
                (
                    _IS_XA,
                    Present(IMAGE_TYPE),
                    *_at_most(512),
                    OneOf((BITS_ALLOCATED, BITS_STORED), ((8, 8),)),
                ),
            ),
        ),
        ANGIOGRAPHY_KEYS,
        IconRule(True, 128, frozenset({"MONOCHROME1", "MONOCHROME2"})),
    )


def _angiography() -> Iterator[ApplicationProfile]:
    """Tables B.3-1, B.3-2."""
    limits: tuple[Limit, ...] = (
        _IS_XA,
        Present(IMAGE_TYPE),
        *_at_most(1024),
        values_in(BITS_STORED, (8, 10, 12)),
    )
    capture = Rule(
        _EXPLICIT,
        _SECONDARY_CAPTURE,
        (
            Present(IMAGE_TYPE),
            values_in(SAMPLES_PER_PIXEL, (1,)),
            _GREY,
            OneOf((*_PIXELS, PIXEL_REPRESENTATION), ((8, 8, 7, 0),)),
            *_at_most(1024),
            Absent(OVERLAYS),
        ),
    )
    presentation = Rule(_EXPLICIT, _GREY_PRESENTATION)
    icon = IconRule(True, 128, frozenset({"MONOCHROME2"}))
    yield ApplicationProfile(
        "STD-XA1K-CD",
        "PS3.11 B",
        ("CD",),
        (Rule(_LOSSLESS, _XA, limits), capture, presentation),
        ANGIOGRAPHY_KEYS,
        icon,
    )
    lossy = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
    yield ApplicationProfile(
        "STD-XA1K-DVD",
        "PS3.11 B",
        ("DVD", "DVD-DL"),
        (Rule(_LOSSLESS | lossy, _XA, limits), capture, presentation),
        ANGIOGRAPHY_LOSSY_KEYS,
        icon,
    )


#: Table C.3-2: which Photometric Interpretation goes with which transfer syntax.
_ULTRASOUND = (
    (("MONOCHROME2", "RGB", "PALETTE COLOR"), frozenset({EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS})),
    (("YBR_FULL",), frozenset({RLE_LOSSLESS})),
    (("YBR_FULL_422",), frozenset({EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE})),
)


def _ultrasound() -> Iterator[ApplicationProfile]:
    """Image Display, Spatial Calibration and Combined Calibration (C.3)."""
    spatial = Present(US_REGIONS)
    kinds: tuple[tuple[str, tuple[Limit, ...]], ...] = (
        ("ID", ()),
        ("SC", (spatial,)),
        ("CC", (spatial, Present(PIXEL_COMPONENT_ORGANIZATION))),
    )
    frames = (("SF", _US), ("MF", _US | _US_MULTI_FRAME))
    media = {
        "MOD23-90": ("MOD23-90",),
        "CDR": ("CD",),
        "DVD-RAM": ("DVD-RAM",),
        "DVD": ("DVD", "DVD-DL"),
    }
    for kind, calibration in kinds:
        for frame, classes in frames:
            rules = tuple(
                Rule(
                    syntaxes,
                    classes,
                    (values_in(PHOTOMETRIC_INTERPRETATION, colours), *calibration),
                )
                for colours, syntaxes in _ULTRASOUND
            )
            for name, on in media.items():
                yield ApplicationProfile(f"STD-US-{kind}-{frame}-{name}", "PS3.11 C", on, rules)


def _ct_and_mr() -> Iterator[ApplicationProfile]:
    """Table E.3-1, E.3-2, E.3.3."""
    syntaxes = _EXPLICIT | _LOSSLESS
    depths = tuple((stored, stored - 1) for stored in (8, 12, 13, 14, 15, 16))
    rules = (
        Rule(syntaxes, _CT, (_GREY, *_SIZED)),
        Rule(syntaxes, _MR, (_GREY, *_SIZED, OneOf((BITS_STORED, HIGH_BIT), depths))),
        Rule(
            syntaxes,
            _GREY_CAPTURE,
            (_GREY, *_SIZED, OneOf(_PIXELS, ((8, 8, 7), (16, 16, 15)))),
        ),
        Rule(
            syntaxes,
            _GREY_CAPTURE,
            (
                values_in(PHOTOMETRIC_INTERPRETATION, ("PALETTE COLOR",)),
                *_SIZED,
                OneOf(_PIXELS, ((8, 8, 7),)),
            ),
        ),
        Rule(_EXPLICIT, _GREY_PRESENTATION | _RADIATION_DOSE),
    )
    icon = IconRule(False, 64, frozenset({"MONOCHROME2", "PALETTE COLOR"}))
    for name, media in (
        ("MOD41", ("MOD41",)),
        ("CD", ("CD",)),
        ("DVD-RAM", ("DVD-RAM",)),
        ("DVD", ("DVD", "DVD-DL")),
    ):
        yield ApplicationProfile(f"STD-CTMR-{name}", "PS3.11 E", media, rules, CT_MR_KEYS, icon)


def _dental() -> Iterator[ApplicationProfile]:
    """Tables K.3-1, L.4-1."""
    required = tuple(
        Present(tag)
        for tag in (
            INSTITUTION_NAME,
            MODEL_NAME,
            DETECTOR_ID,
            DETECTOR_MANUFACTURER,
            DETECTOR_MODEL,
        )
    )
    depths = OneOf((BITS_ALLOCATED, BITS_STORED), ((8, 8), (16, 10), (16, 12), (16, 16)))
    images = Rule(_EXPLICIT, _DENTAL, (depths, *required))
    presentation = Rule(_EXPLICIT, _DENTAL_PRESENTATION)
    yield ApplicationProfile("STD-DEN-CD", "PS3.11 K", ("CD",), (images, presentation))
    yield ApplicationProfile(
        "STD-DTL-SEC-ZIP-MAIL", "PS3.11 L", ("MAIL",), (images,), security=Security.TRANSPORT
    )


SPECIFIC: tuple[ApplicationProfile, ...] = (
    _basic_cardiac(),
    *_angiography(),
    *_ultrasound(),
    *_ct_and_mr(),
    *_dental(),
)
