"""Surface: what the Conformance Statement says of media: profiles, limits, directories."""

from collections.abc import Iterator, Sequence

from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.application_profiles.profile import Rule
from burnish.cli.markdown import heading, syntaxes, table, uid_name
from burnish.directory_records import KEYS, ROOT_TYPES, Key
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS


def profiles() -> Iterator[str]:
    said = (
        "As File-set Creator. Media are finalized, or a CD is left open where the site wants it; "
        "what one cannot hold is split over several. As File-set Updater, `burnish disc append` "
        "adds a session to a CD that was left open: instances, and a DICOMDIR of all; it changes "
        "no file that is there."
    )
    yield from heading("Application Profiles that are written", said)
    yield from table(
        ("profile", "section", "media", "transfer syntaxes", "icon"),
        [
            (
                profile.label,
                profile.section,
                ", ".join(profile.written_media),
                syntaxes(profile.transfer_syntaxes),
                _icon(profile),
            )
            for profile in OFFERED.values()
        ],
    )
    said = "A request for one of these fails with 0204H; `burnish disc verify` knows them."
    yield from heading("Application Profiles that are verified only", said)
    yield from table(
        ("profile", "section", "media", "what is lacking"),
        [
            (profile.label, profile.section, ", ".join(profile.media), _lacking(profile))
            for profile in PROFILES.values()
            if not profile.can_be_written
        ],
    )


def _icon(profile: ApplicationProfile) -> str:
    if profile.icon is None:
        return "the SCU's, or made where the site wants it"
    kind = "in every IMAGE record, made if not supplied" if profile.icon.required else "optional"
    return f"{kind}: {profile.icon}"


def _lacking(profile: ApplicationProfile) -> str:
    if profile.security:
        return str(profile.security)
    known = [MEDIA[name].file_system for name in profile.media if name in MEDIA]
    if not known:
        return "the medium"
    return ", ".join(sorted({f"{each}" for each in known if each not in WRITTEN_FILE_SYSTEMS}))


def rules() -> Iterator[str]:
    said = (
        "Where no SOP Class is named, it is any of Media Storage with a Directory Record Type. "
        "What is in another transfer syntax is brought into Explicit VR Little Endian where the "
        "profile has it; what cannot be is refused with 0202H, or 0203H where the profile needs "
        "lossy compression and may not have it, which Burnish makes of no video."
    )
    with_loss = (
        "Where Allow Lossy Compression is YES, Allow Media Splitting is NO, and not even lossless "
        "compression makes the set fit, images are compressed with loss into JPEG Baseline (8 "
        "bits), JPEG Extended (12 bits, unsigned) or JPEG 2000, as the profile permits. Not so an "
        "image that has been compressed with loss, has padding, functional groups or a palette, or "
        "is in a study of which the request has other than images, which may refer to it. Each "
        "gets a new SOP Instance UID, value 1 of Image Type DERIVED, a Source Image Sequence, a "
        "Derivation Code Sequence, and the attributes of Lossy Image Compression. Referenced SOP "
        "Sequence names the instances that were asked for."
    )
    private = (
        "Private SOP Classes are in no Standard Application Profile (PS3.2 7.4) and are refused "
        "with 0122H, so no PRIVATE directory records are written. `burnish disc verify` takes "
        "PRIVATE records as PS3.3 F.6.1 says; a private SOP Class is a fault by any profile."
    )
    yield from heading("What each profile takes", said, with_loss, private)
    shown: dict[tuple[Rule, ...], list[str]] = {}
    for profile in PROFILES.values():
        shown.setdefault(profile.rules, []).append(profile.label)
    yield from table(
        ("profiles", "SOP Classes", "transfer syntaxes", "limits"),
        [
            (
                ", ".join(labels),
                "; ".join(uid_name(uid) for uid in sorted(rule.sop_classes)) or "any",
                "; ".join(uid_name(uid) for uid in sorted(rule.transfer_syntaxes)),
                "; ".join(map(str, rule.limits)) or "none",
            )
            for rules, labels in shown.items()
            for rule in rules
        ],
    )


def media() -> Iterator[str]:
    yield from heading("Media")
    yield from table(
        ("medium", "file system", "bytes", "written"),
        [
            (
                medium.name,
                medium.file_system,
                medium.capacity,
                "yes" if medium.file_system in WRITTEN_FILE_SYSTEMS else "no",
            )
            for medium in MEDIA.values()
        ],
    )


def directory() -> Iterator[str]:
    said = (
        "Keys of Type 1 that an instance lacks are supplied in the records alone. Specific "
        "Character Set (0008,0005) is in every record that needs it."
    )
    yield from heading("Keys of directory records (PS3.3 F.5)", said)
    yield from table(
        ("Directory Record Type", "in the root", "keys"),
        [(name, "yes" if name in ROOT_TYPES else "", _keys(keys)) for name, keys in KEYS.items()],
    )
    yield from heading("Keys that profiles add (PS3.11)")
    shown: dict[str, list[str]] = {}
    for profile in PROFILES.values():
        words = "; ".join(f"{name}: {_keys(keys)}" for name, keys in profile.keys.items())
        shown.setdefault(words or "none", []).append(profile.label)
    yield from table(
        ("profiles", "keys"), [(", ".join(labels), words) for words, labels in shown.items()]
    )


def _keys(keys: Sequence[Key]) -> str:
    from pydicom.datadict import dictionary_description

    return ", ".join(f"{dictionary_description(key.tag)} ({key.type})" for key in keys) or "none"
