"""The Application Profiles of PS3.11 as rows, and what they permit of instances."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.application_profiles import OFFERED, PROFILES
from burnish.application_profiles import limits as of
from burnish.application_profiles.profile import Security
from burnish.directory_records import all_keys
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS
from burnish.plan.eligibility import conflict, kind_of, media_syntaxes
from burnish.transcode.transfer_syntaxes import LOSSLESS
from burnish.vocabulary import FailureReason
from factories import header

E, JLL, JB, JE = (f"1.2.840.10008.1.2{tail}" for tail in (".1", ".4.70", ".4.50", ".4.51"))
J2K, RLE, JPEG_LS, IMPLICIT = (f"1.2.840.10008.1.2{tail}" for tail in (".4.91", ".5", ".4.80", ""))
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{tail}" for tail in (100, 102, 107))
SYNTAXES = (E, JLL, JB, JE, J2K, RLE, JPEG_LS, IMPLICIT, MPEG2, H264, HEVC)
CT, MR, SC, US, XA, DX, SR, VIDEO, PROTOCOL = (
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("2", "4", "7", "6.1", "12.1", "1.1", "88.11", "77.1.1.1", "200.2")
)
CLASSES = (CT, MR, SC, US, XA, DX, SR, VIDEO, PROTOCOL)

#: PS3.11, by annex: the labels without those of SEC, and how often each has such a twin.
LABELS = {
    "A": ["STD-XABC-CD"],
    "B": ["STD-XA1K-CD", "STD-XA1K-DVD"],
    "C": [
        f"STD-US-{kind}-{frames}-{medium}"
        for kind in ("ID", "SC", "CC")
        for frames in ("SF", "MF")
        for medium in ("MOD23-90", "CDR", "DVD-RAM", "DVD")
    ],
    "D": [f"STD-GEN-{sec}{m}" for sec in ("", "SEC-") for m in ("CD", "DVD-RAM", "BD")],
    "E": [f"STD-CTMR-{medium}" for medium in ("MOD41", "CD", "DVD-RAM", "DVD")],
    "G": ["STD-GEN-MIME"],
    "H": [f"STD-GEN-{sec}DVD-{c}" for sec in ("", "SEC-") for c in ("JPEG", "J2K")],
    "I": ["STD-DVD-MPEG2-MPML", "STD-DVD-SEC-MPEG2-MPML"],
    "J": [
        f"STD-GEN-{sec}{medium}-{c}"
        for sec in ("", "SEC-")
        for medium in ("USB", "MMC", "CF", "SD")
        for c in ("JPEG", "J2K")
    ],
    "K": ["STD-DEN-CD"],
    "L": ["STD-GEN-ZIP-MAIL", "STD-GEN-SEC-ZIP-MAIL", "STD-DTL-SEC-ZIP-MAIL"],
    "M": [
        f"STD-GEN-{sec}BD-{kind}"
        for sec in ("", "SEC-")
        for kind in (
            *("JPEG", "J2K", "MPEG2-MPML", "MPEG2-MPHL", "MPEG4-HPLV41", "MPEG4-HPLV41BD"),
        )
    ],
    "N": [
        f"STD-GEN-{sec}BD-MPEG4-{kind}"
        for sec in ("", "SEC-")
        for kind in ("HPLV42-2D", "HPLV42-3D", "SHPLV42")
    ],
}


def test_every_profile_of_the_standard_has_a_row() -> None:
    assert {label: p.section for label, p in PROFILES.items()} == {
        label: f"PS3.11 {annex}" for annex, labels in LABELS.items() for label in labels
    }
    assert len(PROFILES) == 82


def test_profiles_are_offered_if_media_and_protection_can_be_written() -> None:
    for label, profile in PROFILES.items():
        secure = "-SEC-" in label
        assert (profile.security is not Security.NONE) == secure
        written = [
            name
            for name in profile.media
            if name in MEDIA and MEDIA[name].file_system in WRITTEN_FILE_SYSTEMS
        ]
        assert profile.secure == (profile.security is Security.FILES)
        assert (label in OFFERED) == (bool(written) and profile.security is not Security.TRANSPORT)
        assert not profile.written_media or list(profile.written_media) == written


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.label)
def test_the_index_takes_every_key_of_a_profile(profile: object) -> None:
    for record, keys in PROFILES[profile.label].keys.items():  # type: ignore[attr-defined]
        assert {key.tag for key in keys} <= {key.tag for key in all_keys(record)}


def packed(**values: object) -> bytes:
    """The limited attributes of an image: an 8-bit MONOCHROME2 one but for `values`."""
    attributes: dict[str, object] = {
        "MODALITY": "XA",
        "IMAGE_TYPE": "ORIGINAL",
        "SAMPLES_PER_PIXEL": 1,
        "PHOTOMETRIC_INTERPRETATION": "MONOCHROME2",
        "ROWS": 512,
        "COLUMNS": 512,
        "BITS_ALLOCATED": 8,
        "BITS_STORED": 8,
        "HIGH_BIT": 7,
        "PIXEL_REPRESENTATION": 0,
        **values,
    }
    raw = {
        getattr(of, name): struct.pack("<H", value)
        if isinstance(value, int)
        else str(value).encode()
        for name, value in attributes.items()
        if value is not None
    }
    return of.pack(raw)


DEEP = {"BITS_ALLOCATED": 16, "BITS_STORED": 12, "HIGH_BIT": 11}
DENTAL = dict.fromkeys(
    (
        *("INSTITUTION_NAME", "MODEL_NAME", "DETECTOR_ID"),
        *("DETECTOR_MANUFACTURER", "DETECTOR_MODEL"),
    ),
    "",
)


@pytest.mark.parametrize(
    ("label", "sop_class", "values", "syntaxes"),
    [
        ("STD-GEN-CD", CT, DEEP, {E}),
        ("STD-GEN-CD", SR, {}, {E}),
        ("STD-GEN-DVD-JPEG", CT, {}, {E, JLL, JB, JE}),
        ("STD-GEN-BD-MPEG4-HPLV41", CT, {}, {E}),
        ("STD-GEN-BD-MPEG4-HPLV41", VIDEO, {"NUMBER_OF_FRAMES": "9"}, {E, H264}),
        ("STD-GEN-BD-MPEG4-HPLV42-2D", CT, {}, set()),
        ("STD-DVD-MPEG2-MPML", VIDEO, {"NUMBER_OF_FRAMES": "9"}, {MPEG2}),
        ("STD-XABC-CD", XA, {}, {JLL}),
        ("STD-XABC-CD", XA, {"ROWS": 513}, set()),
        ("STD-XABC-CD", XA, {"ROWS": 0}, set()),
        ("STD-XABC-CD", XA, {"MODALITY": "RF"}, set()),
        ("STD-XABC-CD", XA, {"IMAGE_TYPE": None}, set()),
        ("STD-XABC-CD", XA, DEEP, set()),
        ("STD-XABC-CD", CT, {}, set()),
        ("STD-XA1K-CD", XA, {"ROWS": 1024, **DEEP}, {JLL}),
        ("STD-XA1K-DVD", XA, {"ROWS": 1024, **DEEP}, {JLL, JB, JE}),
        ("STD-XA1K-CD", XA, {"BITS_STORED": 9}, set()),
        ("STD-XA1K-CD", SC, {}, {E}),
        ("STD-XA1K-CD", SC, {"PHOTOMETRIC_INTERPRETATION": "RGB", "SAMPLES_PER_PIXEL": 3}, set()),
        ("STD-US-ID-SF-CDR", US, {}, {E, RLE}),
        ("STD-US-ID-SF-CDR", US, {"PHOTOMETRIC_INTERPRETATION": "YBR_FULL"}, {RLE}),
        ("STD-US-ID-SF-CDR", US, {"PHOTOMETRIC_INTERPRETATION": "YBR_FULL_422"}, {E, JB}),
        ("STD-US-ID-SF-CDR", US, {"PHOTOMETRIC_INTERPRETATION": "MONOCHROME1"}, set()),
        ("STD-US-SC-SF-CDR", US, {}, set()),
        ("STD-CTMR-CD", CT, DEEP, {E, JLL}),
        ("STD-CTMR-CD", CT, {"PHOTOMETRIC_INTERPRETATION": "MONOCHROME1"}, set()),
        ("STD-CTMR-CD", MR, DEEP, {E, JLL}),
        ("STD-CTMR-CD", MR, {**DEEP, "HIGH_BIT": 15}, set()),
        ("STD-CTMR-CD", MR, {"BITS_ALLOCATED": 16, "BITS_STORED": 10, "HIGH_BIT": 9}, set()),
        ("STD-CTMR-CD", SC, {}, {E, JLL}),
        ("STD-CTMR-CD", SC, {"PHOTOMETRIC_INTERPRETATION": "PALETTE COLOR"}, {E, JLL}),
        ("STD-CTMR-CD", SC, {"PHOTOMETRIC_INTERPRETATION": "RGB"}, set()),
        ("STD-DEN-CD", DX, {**DEEP, **DENTAL}, {E}),
        ("STD-DEN-CD", DX, DEEP, set()),
    ],
)
def test_what_a_profile_permits(
    label: str, sop_class: str, values: dict[str, object], syntaxes: set[str]
) -> None:
    permission = PROFILES[label].permission(sop_class, packed(**values))
    assert permission.transfer_syntaxes == syntaxes
    assert bool(permission.why) == (not syntaxes)
    if permission.why:
        assert label in permission.why


def test_the_reason_names_the_limit_and_the_value() -> None:
    permission = PROFILES["STD-XABC-CD"].permission(XA, packed(ROWS=600))
    assert permission.attributes == (of.ROWS,)
    assert permission.why == "STD-XABC-CD requires Rows: at most 512; the instance has Rows 600"


def test_only_the_presence_of_overlays_and_regions_counts() -> None:
    plain = dict.fromkeys((1610743824,), b"")
    assert of.unpack(of.pack(plain)) == {0x60020010: ""}
    region = b"\x18\0\x44\x60US\2\0\1\0"
    whole = struct.pack("<HHL", 0xFFFE, 0xE000, len(region)) + region
    assert set(of.unpack(of.pack({of.US_REGIONS: whole}))) == {
        of.US_REGIONS,
        of.PIXEL_COMPONENT_ORGANIZATION,
    }
    assert set(of.unpack(of.pack({of.US_REGIONS: whole + whole[:4] + bytes(4)}))) == {of.US_REGIONS}
    assert set(of.unpack(of.pack({of.US_REGIONS: b"damaged"}))) == {of.US_REGIONS}


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "MODALITY": st.sampled_from(["XA", "CT", None]),
        "IMAGE_TYPE": st.sampled_from(["ORIGINAL", None]),
        "PHOTOMETRIC_INTERPRETATION": st.sampled_from(
            ["MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL_422", "YBR_FULL", None]
        ),
        "ROWS": st.sampled_from([0, 1, 512, 513, 1024, 1025, None]),
        "BITS_ALLOCATED": st.sampled_from([1, 8, 16, 32]),
        "BITS_STORED": st.sampled_from([1, 8, 10, 12, 16]),
        "HIGH_BIT": st.sampled_from([0, 7, 9, 11, 15]),
        "NUMBER_OF_FRAMES": st.sampled_from(["", "1", "20", "x"]),
        **{name: st.just("") for name in (*DENTAL, "US_REGIONS")},
    },
)


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from(list(PROFILES.values())),
    st.sampled_from(CLASSES),
    st.sampled_from(SYNTAXES),
    VALUES,
)
def test_an_instance_is_permitted_or_rejected_with_the_right_reason(
    profile: object, sop_class: str, syntax: str, values: dict[str, object]
) -> None:
    """Taken means: in a transfer syntax of the profile, as it is or without loss."""
    row = PROFILES[profile.label]  # type: ignore[attr-defined]
    instance_header = header(record_type="" if sop_class == PROTOCOL else "IMAGE")._replace(
        sop_class_uid=sop_class,
        limited_attributes=packed(**values),
    )
    kind = kind_of(instance_header, syntax)
    refusal = conflict(kind, row)
    permission = row.permission(sop_class, instance_header.limited_attributes)
    if refusal is None:
        form = media_syntaxes(kind, row).default
        assert form in permission.transfer_syntaxes & {E, syntax, *LOSSLESS}
        assert (form == syntax) == (syntax in permission.transfer_syntaxes)
        assert syntax in permission.transfer_syntaxes or syntax not in {MPEG2, H264, HEVC}
        return
    assert refusal.why
    if sop_class == PROTOCOL:
        assert refusal.reason is FailureReason.SOP_CLASS_NOT_SUPPORTED
    elif not permission.transfer_syntaxes:
        assert refusal.reason is FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
        covered = any(rule.covers(sop_class) for rule in row.rules)
        assert bool(refusal.attributes) == covered
    elif permission.transfer_syntaxes <= {
        JB,
        JE,
        MPEG2,
        H264,
        *(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 107)),
    }:
        assert refusal.reason is FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT
    else:
        assert refusal.reason is FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
        assert E not in permission.transfer_syntaxes or syntax in {MPEG2, H264, HEVC}
