"""Surface: the part of the Conformance Statement on media: profiles, limits, directories."""

from collections.abc import Iterator, Sequence

from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.application_profiles.profile import Rule
from burnish.cli.markdown import heading, table, transfer_syntaxes, uid_name
from burnish.directory_records import KEYS, ROOT_TYPES, Key
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS


def profiles() -> Iterator[str]:
    yield from heading(
        "Application Profiles that are written",
        "As File-set Creator: media are finalized, unless the device is configured to leave CDs "
        "open. A set that does not fit on one volume is split over several. As File-set Updater: "
        "`burnish disc append` adds a session with instances and a complete DICOMDIR to a CD that "
        "was left open; it changes no existing file.",
    )
    yield from table(
        ("profile", "section", "media", "transfer syntaxes", "icon"),
        [
            (
                profile.label,
                profile.section,
                ", ".join(profile.written_media),
                transfer_syntaxes(profile.transfer_syntaxes),
                _icon(profile),
            )
            for profile in OFFERED.values()
        ],
    )
    yield from heading(
        "Application Profiles that are verified only",
        "A request for one of these fails with 0204H. `burnish disc verify` knows them.",
    )
    yield from table(
        ("profile", "section", "media", "not supported"),
        [
            (profile.label, profile.section, ", ".join(profile.media), _unsupported(profile))
            for profile in PROFILES.values()
            if not profile.can_be_written
        ],
    )


def _icon(profile: ApplicationProfile) -> str:
    if profile.icon is None:
        return "supplied by the SCU, or made if configured"
    kind = "in every IMAGE record; made if not supplied" if profile.icon.required else "optional"
    return f"{kind}: {profile.icon}"


def _unsupported(profile: ApplicationProfile) -> str:
    if profile.security:
        return str(profile.security)
    file_systems = {MEDIA[name].file_system for name in profile.media if name in MEDIA}
    if not file_systems:
        return "the medium"
    return ", ".join(sorted(str(name) for name in file_systems - WRITTEN_FILE_SYSTEMS))


def rules() -> Iterator[str]:
    conversion = (
        "If no SOP Class is named, any SOP Class of Media Storage with a Directory Record Type is "
        "permitted. Instances in another transfer syntax are converted to Explicit VR Little "
        "Endian if the profile permits that. Instances that cannot be converted are refused with "
        "0202H, or with 0203H if the profile would need lossy compression that the request does "
        "not allow. Burnish does not compress video."
    )
    with_loss = (
        "If Allow Lossy Compression is YES, Allow Media Splitting is NO, and the set does not fit "
        "even with lossless compression, images are compressed with loss to JPEG Baseline (8 "
        "bits), JPEG Extended (12 bits, unsigned) or JPEG 2000, as the profile permits. Images are "
        "left as they are if they were compressed with loss before, or have padding, functional "
        "groups or a palette, or if the request has other objects of the same study, which may "
        "refer to them. A compressed image gets a new SOP Instance UID, Image Type value 1 "
        "DERIVED, a Source Image Sequence, a Derivation Code Sequence, and the attributes of "
        "Lossy Image Compression. The Referenced SOP Sequence still names the requested instances."
    )
    private = (
        "Private SOP Classes are in no Standard Application Profile (PS3.2 7.4) and are refused "
        "with 0122H, so no PRIVATE directory records are written. `burnish disc verify` accepts "
        "PRIVATE records (PS3.3 F.6.1); a private SOP Class is a fault under every profile."
    )
    yield from heading("What each profile permits", conversion, with_loss, private)
    labels_by_rules: dict[tuple[Rule, ...], list[str]] = {}
    for profile in PROFILES.values():
        labels_by_rules.setdefault(profile.rules, []).append(profile.label)
    yield from table(
        ("profiles", "SOP Classes", "transfer syntaxes", "limits"),
        [
            (
                ", ".join(labels),
                "; ".join(uid_name(uid) for uid in sorted(rule.sop_classes)) or "any",
                "; ".join(uid_name(uid) for uid in sorted(rule.transfer_syntaxes)),
                "; ".join(map(str, rule.limits)) or "none",
            )
            for rules, labels in labels_by_rules.items()
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
    yield from heading(
        "Keys of directory records (PS3.3 F.5)",
        "Keys of Type 1 that an instance lacks are supplied in the records only. Specific "
        "Character Set (0008,0005) is in every record that needs it.",
    )
    yield from table(
        ("Directory Record Type", "in the root", "keys"),
        [(name, "yes" if name in ROOT_TYPES else "", _keys(keys)) for name, keys in KEYS.items()],
    )
    yield from heading("Keys that profiles add (PS3.11)")
    labels_by_keys: dict[str, list[str]] = {}
    for profile in PROFILES.values():
        keys = "; ".join(f"{name}: {_keys(added)}" for name, added in profile.keys.items())
        labels_by_keys.setdefault(keys or "none", []).append(profile.label)
    yield from table(
        ("profiles", "keys"), [(", ".join(labels), keys) for keys, labels in labels_by_keys.items()]
    )


def _keys(keys: Sequence[Key]) -> str:
    from pydicom.datadict import dictionary_description

    return ", ".join(f"{dictionary_description(key.tag)} ({key.type})" for key in keys) or "none"
