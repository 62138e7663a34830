"""Surface: tables of a statement on media: profiles, media, devices, File Meta Information."""

from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.profile import WRITTEN_SECURITY, Rule
from burnish.conformance.document import StatementTable
from burnish.conformance.site_tables import known_profiles, names_of
from burnish.media import MEDIA, OPEN_MEDIA, WRITTEN_FILE_SYSTEMS
from burnish.settings import DEVICE_KINDS, Settings
from burnish.vocabulary import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

_SINGLE_FILE_SYSTEMS = ("ZIP", "MIME")


def can_be_updated(profile: ApplicationProfile) -> bool:
    """Whether `disc append` can add to media of a profile: to CDs that were left open."""
    return (
        profile.can_be_written and not profile.secure and bool(set(profile.media) & set(OPEN_MEDIA))
    )


def media_services(settings: Settings) -> StatementTable:
    """The overview of all media services (PS3.2 Table A.1-2)."""
    rows = [
        (
            profile.label,
            profile.section,
            "Yes" if profile.can_be_written else "No",
            "Yes",
        )
        for profile in known_profiles(settings)
    ]
    return StatementTable.of(
        "Media services",
        (
            "Media Storage Application Profile",
            "Section",
            "Write Files (FSC or FSU)",
            "Read Files (FSR)",
        ),
        rows,
    )


def profile_roles(settings: Settings) -> StatementTable:
    """Profiles, real-world activities and roles (PS3.2 A.5.2)."""
    rows = [
        (
            profile.label,
            "FSC" if profile.can_be_written else "",
            "FSU" if can_be_updated(profile) else "",
            "FSR",
            "Interchange",
        )
        for profile in known_profiles(settings)
    ]
    return StatementTable.of(
        "Application Profiles, real-world activities and roles",
        (
            "Supported Application Profile",
            "Create Media",
            "Add to an Open CD",
            "Examine Media",
            "Service Class option",
        ),
        rows,
    )


def written_profiles(settings: Settings) -> StatementTable:
    """The profiles that are written, and the devices that make them."""
    rows = [
        (
            profile.label,
            profile.section,
            ", ".join(profile.written_media),
            _icon(profile),
            ", ".join(_devices_of(profile, settings)) or "none as configured",
        )
        for profile in known_profiles(settings)
        if profile.can_be_written
    ]
    return StatementTable.of(
        "Application Profiles that are written",
        ("Application Profile", "Section", "Media", "Icon Image Sequence", "Devices as configured"),
        rows,
    )


def _devices_of(profile: ApplicationProfile, settings: Settings) -> list[str]:
    media = set(profile.written_media)
    return [device.name for device in settings.devices if media & set(device.media)]


def _icon(profile: ApplicationProfile) -> str:
    if profile.icon is None:
        return "supplied by the SCU, or made with `request.icons = always`"
    kind = "in every IMAGE record; made if not supplied" if profile.icon.required else "optional"
    return f"{kind}: {profile.icon}"


def read_only_profiles(settings: Settings) -> StatementTable:
    """The profiles that are not written."""
    rows = [
        (profile.label, profile.section, ", ".join(profile.media), _obstacle(profile))
        for profile in known_profiles(settings)
        if not profile.can_be_written
    ]
    return StatementTable.of(
        "Application Profiles that are read only",
        ("Application Profile", "Section", "Media", "Why it is not written"),
        rows,
    )


def _obstacle(profile: ApplicationProfile) -> str:
    if profile.security not in WRITTEN_SECURITY:
        return f"security: {profile.security}"
    unknown = [name for name in profile.media if name not in MEDIA]
    if unknown:
        return f"no device makes the medium {', '.join(unknown)}"
    file_systems = profile.file_systems - WRITTEN_FILE_SYSTEMS
    return f"file system: {', '.join(sorted(file_systems))}"


def rules_of_profiles(settings: Settings) -> StatementTable:
    """The permissions of the profiles, profiles with the same rules together."""
    labels_by_rules: dict[tuple[Rule, ...], list[str]] = {}
    for profile in known_profiles(settings):
        labels_by_rules.setdefault(profile.rules, []).append(profile.label)
    rows = [
        (
            ", ".join(labels),
            names_of(rule.sop_classes, settings) or "any of Media Storage (PS3.4 I.4)",
            names_of(rule.transfer_syntaxes, settings),
            "; ".join(map(str, rule.limits)) or "none",
        )
        for rules, labels in labels_by_rules.items()
        for rule in rules
    ]
    return StatementTable.of(
        "What the profiles permit",
        ("Application Profiles", "SOP Classes", "Transfer syntaxes", "Limits of attributes"),
        rows,
        is_grouped=True,
    )


def media() -> StatementTable:
    """The media and their file systems (PS3.12)."""
    return StatementTable.of(
        "Media",
        ("Medium", "File system", "Bytes used of each blank", "Finalized"),
        [
            (
                medium.name,
                medium.file_system,
                f"{medium.capacity:,}",
                "always, unless the device leaves it open"
                if medium.name in OPEN_MEDIA
                else "no sessions"
                if medium.file_system in _SINGLE_FILE_SYSTEMS
                else "always",
            )
            for medium in MEDIA.values()
        ],
    )


def devices(settings: Settings) -> StatementTable:
    """The kinds of devices, and those that are configured."""
    rows = []
    for name, kind in DEVICE_KINDS.items():
        configured = [device.name for device in settings.devices if device.kind == name]
        labels = kind.label_form if kind.label_form != "none" else "none unless configured"
        rows.append((name, ", ".join(kind.media), labels, ", ".join(configured)))
    return StatementTable.of(
        "Devices", ("Kind of device", "Media it can make", "Labels", "Devices as configured"), rows
    )


_FILE_META_INFORMATION = (
    (
        "File Preamble",
        "",
        "128 zero bytes; one that was read is not kept",
        "128 zero bytes",
    ),
    ("File Meta Information Version", "(0002,0001)", "`00 01`", "`00 01`"),
    (
        "Media Storage SOP Class UID",
        "(0002,0002)",
        "that of the instance",
        MEDIA_STORAGE_DIRECTORY_STORAGE,
    ),
    (
        "Media Storage SOP Instance UID",
        "(0002,0003)",
        "that of the instance",
        "the File-set UID",
    ),
    (
        "Transfer Syntax UID",
        "(0002,0010)",
        "that of the file",
        "1.2.840.10008.1.2.1 Explicit VR Little Endian",
    ),
    (
        "Implementation Class UID",
        "(0002,0012)",
        IMPLEMENTATION_CLASS_UID,
        IMPLEMENTATION_CLASS_UID,
    ),
    (
        "Implementation Version Name",
        "(0002,0013)",
        IMPLEMENTATION_VERSION_NAME,
        IMPLEMENTATION_VERSION_NAME,
    ),
    (
        "Source Application Entity Title",
        "(0002,0016)",
        "the AE that sent the instance; absent if it came from a file without it",
        "absent",
    ),
)


def file_meta_information() -> StatementTable:
    """Preamble and File Meta Information (PS3.10 7.1)."""
    return StatementTable.of(
        "Preamble and File Meta Information of the files on media",
        ("Element", "Tag", "Value in instances", "Value in the DICOMDIR"),
        _FILE_META_INFORMATION,
    )


def ihe_profiles() -> StatementTable:
    """The IHE actors that are claimed (ITI TF-1, integration statements)."""
    return StatementTable.of(
        "Integration profiles implemented",
        ("Integration profile", "Actor", "Options", "Remarks"),
        [
            (
                "Portable Data for Imaging (PDI)",
                "Portable Media Creator",
                "Web Content; DVD; USB",
                "STD-GEN-CD, STD-GEN-DVD-JPEG, STD-GEN-USB-JPEG; README.TXT, INDEX.HTM and"
                " IHE_PDI unless a request asks for DICOM files alone. The documentation of"
                " verification lists the rules, and how far each relies on the original text of"
                " the Technical Framework",
            ),
        ],
    )


def ihe_not_claimed() -> StatementTable:
    """The IHE actors that one might expect and that are not claimed, with the reason."""
    return StatementTable.of(
        "Integration profiles that are not claimed",
        ("Integration profile", "Actor", "Why"),
        [
            (
                "Portable Data for Imaging (PDI)",
                "Image Display, Report Reader, Print Composer, Portable Media Importer",
                "media are examined, labelled, added to, and imported without reconciliation of"
                " identifiers and without the rules of that actor",
            ),
            (
                "Cross-Enterprise Document Media Interchange (XDM)",
                "Portable Media Creator",
                "IHE_XDM and its metadata are not written",
            ),
            (
                "Audit Trail and Node Authentication (ATNA)",
                "Secure Node, Secure Application",
                "node authentication by TLS is supported; audit messages are not",
            ),
            (
                "Consistent Time (CT)",
                "Time Client",
                "the clock is that of the operating system, which may be a Time Client",
            ),
            (
                "Import Reconciliation Workflow (IRWF)",
                "Importer",
                "identifiers are not reconciled with orders",
            ),
        ],
    )
