"""Surface: tables of a statement on the objects that Burnish makes: DICOMDIR and derived images.

Presence of a value is as in PS3.2 A.9.1.1: ALWAYS (with a value), VNAP (value not always present,
the attribute is empty then), ANAP (attribute not always present).
"""

from burnish.character_sets import CODECS
from burnish.conformance.document import NOTHING, StatementTable
from burnish.conformance.names import attribute_name, tag_text
from burnish.conformance.site_tables import key_name, known_profiles
from burnish.dicomdir.records import SUPPLIED_BY_TAG, SUPPLIED_BY_VR
from burnish.directory_records import KEYS, ROOT_TYPES, Key
from burnish.settings import Settings
from burnish.transcode import lossy

_PRESENCE = {"1": "ALWAYS", "1C": "ANAP", "2": "VNAP", "3": "ANAP"}
_PATIENT_ID, _STUDY_DATE, _STUDY_TIME = 0x00100020, 0x00080020, 0x00080030
_IN_WORDS = {
    _PATIENT_ID: "`UNKNOWN-` and 16 hexadecimal digits, one value for each study",
    _STUDY_DATE: "Series Date, Acquisition Date or Content Date, else `19000101`",
    _STUDY_TIME: "the time that belongs to that date, else `000000`",
    0x00200010: "the position of the study, six digits",
    0x00200011: "the position of the series, six digits",
    0x00200013: "the position of the instance, six digits",
    0x0072000C: "an item with Modality OT and unknown codes",
    0x0020000D: "instances without it are refused",
    0x0020000E: "instances without it are refused",
}


def stand_in(key: Key) -> str:
    """The value of a Type 1 key that an instance lacks, in words."""
    if key.tag in _IN_WORDS:
        return _IN_WORDS[key.tag]
    if key.vr == b"SQ":
        return "an item with the code `UNKNOWN` of `99BURNISH`"
    value = SUPPLIED_BY_TAG.get(key.tag) or SUPPLIED_BY_VR.get(key.vr, b"UNKNOWN")
    return f"`{'0' if key.vr in (b'US', b'UL') else value.decode('ascii')}`"


_FILE_SET_IDENTIFICATION = (
    (
        "File-set ID",
        "(0004,1130)",
        "up to 16 characters",
        "N-CREATE, `burnish` command, or generated",
        "ALWAYS",
    ),
    (
        "File-set Descriptor File ID",
        "(0004,1141)",
        "none: never written by this version",
        "none",
        "never",
    ),
    (
        "Offset of the First Directory Record of the Root Directory Entity",
        "(0004,1200)",
        "a byte offset",
        "generated",
        "ALWAYS",
    ),
    (
        "Offset of the Last Directory Record of the Root Directory Entity",
        "(0004,1202)",
        "a byte offset",
        "generated",
        "ALWAYS",
    ),
    ("File-set Consistency Flag", "(0004,1212)", "0000H", "fixed", "ALWAYS"),
    ("Directory Record Sequence", "(0004,1220)", "not empty", "generated", "ALWAYS"),
    (
        ">Offset of the Next Directory Record",
        "(0004,1400)",
        "a byte offset; 0 in the last record",
        "generated",
        "ALWAYS",
    ),
    (">Record In-use Flag", "(0004,1410)", "FFFFH", "fixed", "ALWAYS"),
    (
        ">Offset of Referenced Lower-Level Directory Entity",
        "(0004,1420)",
        "a byte offset; 0 without records below",
        "generated",
        "ALWAYS",
    ),
    (">Directory Record Type", "(0004,1430)", "see the next table", "generated", "ALWAYS"),
    (
        ">Private Record UID",
        "(0004,1432)",
        "`private_record_uid` of `[[sop_class]]`, or that of Burnish",
        "configuration",
        "ALWAYS in PRIVATE records",
    ),
    (
        ">Referenced File ID",
        "(0004,1500)",
        "`DICOM`, then folders of patient, study and series",
        "generated",
        "ALWAYS in records of instances",
    ),
    (
        ">Referenced SOP Class UID in File",
        "(0004,1510)",
        "its SOP Class UID",
        "instance",
        "ALWAYS in records of instances",
    ),
    (
        ">Referenced SOP Instance UID in File",
        "(0004,1511)",
        "its SOP Instance UID",
        "instance",
        "ALWAYS in records of instances",
    ),
    (
        ">Referenced Transfer Syntax UID in File",
        "(0004,1512)",
        "that of the file, which may be converted",
        "file on the medium",
        "ALWAYS in records of instances",
    ),
    (
        ">Referenced Related General SOP Class UID in File",
        "(0004,151A)",
        "its Related General SOP Class UID",
        "instance, (0008,001A)",
        "ANAP",
    ),
    (
        ">Specific Character Set",
        "(0008,0005)",
        "that of the instance, known or not; guessed where it is missing or is no code string",
        "instance",
        "ANAP: where the record has text beyond ASCII",
    ),
)


def file_set_identification() -> StatementTable:
    """The attributes of the DICOMDIR before its records (PS3.3 F.3.2.1, F.3.2.2)."""
    return StatementTable.of(
        "DICOMDIR: File-set Identification and Directory Information",
        ("Attribute", "Tag", "Value", "Source", "Presence"),
        _FILE_SET_IDENTIFICATION,
    )


def keys_of_records() -> StatementTable:
    """The keys of each type of directory record (PS3.3 F.5)."""
    rows = []
    for record, keys in KEYS.items():
        place = "root" if record in ROOT_TYPES else ""
        name = f"{record} ({place})" if place else record
        if not keys:
            rows.append((name, "no keys", "", "", "", ""))
        rows += [(name, *_key_cells(key)) for key in keys]
    return StatementTable.of(
        "DICOMDIR: keys of directory records",
        ("Record", "Attribute", "Tag", "Type", "Source, and the value without it", "Presence"),
        rows,
    )


def _key_cells(key: Key) -> tuple[str, str, str, str, str]:
    source = "instance"
    if key.type == "1":
        source += f"; {stand_in(key)}"
    return (
        attribute_name(key.tag),
        tag_text(key.tag),
        key.type,
        source,
        _PRESENCE[key.type],
    )


def keys_of_profiles(settings: Settings) -> StatementTable:
    """The keys that profiles add to directory records (PS3.11)."""
    labels_by_keys: dict[tuple[tuple[str, Key], ...], list[str]] = {}
    for profile in known_profiles(settings):
        added = tuple((record, key) for record, keys in profile.keys.items() for key in keys)
        labels_by_keys.setdefault(added, []).append(profile.label)
    rows = []
    for added, labels in labels_by_keys.items():
        by_record: dict[str, list[str]] = {}
        for record, key in added:
            text = f"{key_name(key.tag)} {tag_text(key.tag)} {key.type} {_PRESENCE[key.type]}"
            by_record.setdefault(record, []).append(text)
        for record, texts in by_record.items() or (("none", []),):
            rows.append((", ".join(labels), record, "; ".join(texts)))
    return StatementTable.of(
        "DICOMDIR: keys that profiles add",
        ("Application Profiles", "Record", "Attribute, tag, Type, presence"),
        rows,
        is_grouped=True,
    )


#: What is changed in an image that is compressed with loss: tag, value, presence.
DERIVED_IMAGE: tuple[tuple[int, str, str], ...] = (
    (0x00080008, "value 1 is DERIVED; further values as in the source", "ALWAYS"),
    (0x00080018, "a new UID below 2.25, a hash of the source's UID and the frames", "ALWAYS"),
    (
        0x00082111,
        "method and ratio, behind an earlier description; an earlier one is kept as it is if both"
        " together are too long or in different character sets",
        "ALWAYS",
    ),
    (
        0x00082112,
        "earlier items, and one with the class and UID of the source, Spatial Locations Preserved"
        " YES, and the purpose 121320 DCM Uncompressed predecessor",
        "ALWAYS",
    ),
    (0x00089215, "earlier items, and 113040 DCM Lossy Compression", "ALWAYS"),
    (0x00280004, "YBR_ICT or YBR_FULL_422 for colour; otherwise as in the source", "ALWAYS"),
    (0x00280006, "0 for colour", "ANAP"),
    (0x00282110, "01", "ALWAYS"),
    (0x00282112, "ratio of the native length to the compressed length, two decimals", "ALWAYS"),
    (0x00282114, ", ".join(sorted({m.decode() for m in lossy.METHODS.values()})), "ALWAYS"),
    (0x7FE00010, "the compressed frames, one fragment each", "ALWAYS"),
)


def derived_images() -> StatementTable:
    """The attributes of images that are compressed with loss."""
    rows = [
        (attribute_name(tag), tag_text(tag), value, presence)
        for tag, value, presence in DERIVED_IMAGE
    ]
    removed = [*lossy.NO_LONGER_TRUE, 0xFFFAFFFA]
    names = "; ".join(f"{attribute_name(tag)} {tag_text(tag)}" for tag in removed)
    rows.append((names, "as named", "removed: no longer true of the image", "never"))
    rows.append(("every other attribute", "", "as in the source", "as in the source"))
    return StatementTable.of(
        "Images that are compressed with loss", ("Attribute", "Tag", "Value", "Presence"), rows
    )


def converted_copies() -> StatementTable:
    """The changes to an instance that is converted to another transfer syntax."""
    return StatementTable.of(
        "Instances that are converted to another transfer syntax without loss",
        ("What", "How it changes"),
        [
            ("SOP Instance UID (0008,0018)", "stays the same"),
            ("encoding of the data set", "that of the new transfer syntax"),
            ("group length elements (gggg,0000)", "removed (PS3.5 7.2)"),
            (
                "Photometric Interpretation (0028,0004)",
                "that of the decoded or encoded pixels (PS3.5 8.2): RGB instead of YBR_RCT and"
                " YBR_ICT, YBR_FULL instead of YBR_FULL_422; YBR_RCT in JPEG 2000 Lossless",
            ),
            (
                "Planar Configuration (0028,0006)",
                "that of the new pixels, for colour; 1 in decoded ultrasound images in YBR_FULL"
                " (PS3.3 C.8.5.6.1)",
            ),
            (
                "Pixel Data in icons and other items",
                "decoded with the image; an icon that cannot be decoded is left out",
            ),
            ("Pixel Data of an image that was compressed with loss", "decoded; the marks stay"),
            ("digital signatures", "kept as they are; those of changed pixels no longer match"),
            ("every other element, private ones too", "same value"),
        ],
    )


def corrected_instances() -> StatementTable:
    """The changes that `burnish instance correct` makes."""
    from burnish.correction import NAMES

    return StatementTable.of(
        "Instances that an administrator corrects",
        ("What", "How it changes"),
        [
            ("; ".join(NAMES.values()), "each to the value that the administrator gives"),
            (
                "Original Attributes Sequence (0400,0561)",
                "one more item with the earlier values, the time, and as Modifying System the user"
                " and host of the command (PS3.3 C.12.1.1.9)",
            ),
            ("SOP Instance UID (0008,0018)", "stays the same: it is newer content"),
        ],
    )


def character_sets() -> StatementTable:
    """The Specific Character Sets that are decoded (PS3.3 C.12.1.1.2)."""
    return StatementTable.of(
        "Specific Character Sets that are decoded",
        ("Defined Term without code extensions", "With code extensions (ISO 2022)"),
        [
            (term or "(absent): ISO_IR 6", _with_extensions(term))
            for term in CODECS
            if term not in ("ISO_IR 58", "ISO_IR 87", "ISO_IR 149", "ISO_IR 159")
        ]
        + [
            (NOTHING, f"ISO 2022 {term.replace('_IR', ' IR').removeprefix('ISO ')}")
            for term in ("ISO_IR 58", "ISO_IR 87", "ISO_IR 149", "ISO_IR 159")
        ],
    )


def _with_extensions(term: str) -> str:
    if term in ("ISO_IR 192", "GB18030", "GBK"):
        return NOTHING
    return f"ISO 2022 IR {term.removeprefix('ISO_IR ')}" if term else "ISO 2022 IR 6"
