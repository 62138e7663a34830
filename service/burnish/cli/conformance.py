"""Surface: `burnish conformance`, the tables of the Conformance Statement (PS3.2) as Markdown.

Every table is made of the tables that the service works by, so that it cannot say another thing.
"""

from collections.abc import Iterable, Iterator, Sequence

import typer

from burnish import __version__
from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.application_profiles.profile import Rule
from burnish.directory_records import KEYS, ROOT_TYPES, Key, record_type
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS
from burnish.vocabulary import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    CommitmentFailure,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
)

_AS_SCU = (STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET)


def conformance() -> None:
    """Print the tables of the DICOM Conformance Statement (PS3.2) as Markdown."""
    for line in statement():
        typer.echo(line)


def statement() -> Iterator[str]:
    """The lines of all tables."""
    yield f"# Burnish {__version__}: tables of the DICOM Conformance Statement"
    yield from _identity()
    yield from _network()
    yield from _associations()
    yield from _media_creation()
    yield from _storage_commitment()
    yield from _query_retrieve()
    yield from _labels()
    yield from _profiles()
    yield from _rules()
    yield from _media()
    yield from _directory()


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(' --- ' for _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _heading(text: str, *said: str) -> Iterator[str]:
    yield ""
    yield f"## {text}"
    for line in said:
        yield ""
        yield line


def _name(uid: str) -> str:
    """What the standard calls a UID."""
    from pydicom.uid import UID

    name = UID(uid).name
    return "" if name == uid else name


def _syntaxes(uids: Iterable[str]) -> str:
    return "; ".join(f"{_name(uid)} ({uid})" for uid in sorted(uids))


def _identity() -> Iterator[str]:
    yield from _heading("Implementation")
    yield from _table(
        ("what", "value"),
        [
            ("Implementation Class UID (0002,0012)", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name (0002,0013)", IMPLEMENTATION_VERSION_NAME),
            ("Source Application Entity Title (0002,0016)", "the AE that sent the instance"),
            ("File Preamble", "128 bytes of zero; a preamble that was received is not kept"),
            ("Data set of a stored instance", "kept byte for byte (Level 2, no coercion)"),
        ],
    )


def _network() -> Iterator[str]:
    from burnish.scp.negotiation import STORAGE_SOP_CLASSES, STORAGE_TRANSFER_SYNTAXES

    said = "As SCP; any other class that a peer announces as Storage is accepted too."
    yield from _heading("SOP Classes on the network", said)
    yield from _table(
        ("SOP Class", "UID", "Directory Record Type"),
        [
            ("Verification", VERIFICATION, ""),
            ("Media Creation Management", MEDIA_CREATION_MANAGEMENT, ""),
            ("Storage Commitment Push Model", STORAGE_COMMITMENT_PUSH_MODEL, ""),
            *(
                (_name(uid), uid, record_type(uid) or "none: cannot go on media (0122H)")
                for uid in sorted(STORAGE_SOP_CLASSES, key=_by_number)
            ),
        ],
    )
    yield from _heading("SOP Classes on the network, as SCU")
    yield from _table(
        ("SOP Class", "UID", "when"),
        [(_name(uid), uid, "a request names instances that are not here") for uid in _AS_SCU],
    )
    yield from _heading("Transfer syntaxes of Storage")
    yield from _table(
        ("Transfer Syntax", "UID"),
        [(_name(uid), uid) for uid in sorted(STORAGE_TRANSFER_SYNTAXES, key=_by_number)],
    )


def _associations() -> Iterator[str]:
    from burnish.security.tls import PROFILES as TLS_PROFILES

    yield from _heading("Association negotiation")
    yield from _table(
        ("what", "answer"),
        [
            ("Application Context Name", "1.2.840.10008.3.1.1.1"),
            (
                "Transfer syntax, of several in one context",
                "Explicit VR Little Endian; else the first that was proposed and is compressed; "
                "else Implicit VR Little Endian, Deflated, Explicit VR Big Endian",
            ),
            ("SOP Class Extended Negotiation, Storage", "02 00 03 00 00 00 (PS3.4 B.3.1)"),
            ("SOP Class Common Extended Negotiation", "any class announced as Storage is stored"),
            ("Role selection", "SCP only"),
            ("Asynchronous operations window", "not answered: one at a time"),
            (
                "User identity",
                "name (1), name and passcode (2); positive response where it is asked for",
            ),
            ("Presentation context for what the peer may not do", "1, user-rejection"),
        ],
    )
    yield from _heading("Association rejection (PS3.8 9.3.4)")
    yield from _table(
        ("when", "result", "source", "reason"),
        [
            ("application context name not supported", 1, 1, 2),
            ("calling AE unknown, or not from its address or with its certificate", 1, 1, 3),
            ("called AE title not that of the service", 1, 1, 7),
            ("user identity missing, wrong, or of another type", 1, 2, 1),
            ("the service is stopping: temporary congestion", 2, 3, 1),
            ("associations of the peer, or in all: local limit exceeded", 2, 3, 2),
        ],
    )
    said = "Versions before TLS 1.2 are never spoken."
    yield from _heading("Secure Transport Connection Profiles (PS3.15 B)", said)
    yield from _table(
        ("tls.profile", "section", "cipher suites of TLS 1.2 (OpenSSL)"),
        [
            (name, profile.section, profile.suites.partition(":@")[0])
            for name, profile in TLS_PROFILES.items()
        ],
    )


def _by_number(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _media_creation() -> Iterator[str]:
    from burnish.scp.attributes import ATTRIBUTES
    from burnish.scp.statuses import STATUSES

    yield from _heading("Media Creation Management: attributes of N-CREATE and N-GET")
    yield from _table(
        ("keyword", "Enumerated Values"),
        [
            ("ReferencedSOPSequence", "at least one item; may have IconImageSequence"),
            *((row.keyword, ", ".join(row.enumerated or ())) for row in ATTRIBUTES),
        ],
    )
    yield from _heading("Execution Status, Execution Status Info, Failure Reason")
    yield from _table(
        ("attribute", "value"),
        [
            *(
                ("Execution Status (2100,0020)", status)
                for status in ExecutionStatus
                if status is not ExecutionStatus.DELETED
            ),
            *(("Execution Status Info (2100,0030)", info) for info in ExecutionStatusInfo),
            *(
                ("Failure Reason (0008,1197)", f"{reason:04X}H {_words(reason.name)}")
                for reason in FailureReason
            ),
        ],
    )
    yield from _heading("Statuses by what went wrong")
    yield from _table(
        ("what", "C-STORE", "DIMSE-N"),
        [
            (kind.__doc__, f"{codes.c_store:04X}H", f"{codes.dimse_n:04X}H")
            for kind, codes in STATUSES.items()
        ],
    )


def _storage_commitment() -> Iterator[str]:
    yield from _heading(
        "Storage Commitment Push Model, as SCP",
        "Committed is what is in the spool, whole. From then on it is kept there for "
        "`retention.committed_instances` (14 days unless configured), and longer where a request "
        "needs it; then it may be deleted. There is no Query/Retrieve SCP: what is "
        "committed is got back on media, by Media Creation Management. Media that were handed out "
        "are no part of the promise; `storage_commitment.report_media` has the report name them.",
        "The transaction is durable before the N-ACTION is answered 0000H. Its report goes by the "
        "association that asked, once the peer is silent for half a second, else by an association "
        "to the peer's configured address, in which SCP/SCU Role Selection proposes the SCP role. "
        "It is repeated until it is answered with Success or a Warning, at most for "
        "`storage_commitment.give_up_after`.",
    )
    when = {
        CommitmentFailure.PROCESSING_FAILURE: "the file of the instance is damaged or lost",
        CommitmentFailure.NO_SUCH_OBJECT_INSTANCE: "not here, nor after wait_for_instances",
        CommitmentFailure.CLASS_INSTANCE_CONFLICT: "here, but of another SOP Class",
        CommitmentFailure.DUPLICATE_TRANSACTION_UID: "in use, for other instances",
        CommitmentFailure.RESOURCE_LIMITATION: "not here, and the spool takes no more",
    }
    yield from _table(
        ("Failure Reason (0008,1197)", "when"),
        [(f"{reason:04X}H", when.get(reason, "never")) for reason in CommitmentFailure],
    )


def _query_retrieve() -> Iterator[str]:
    yield from _heading(
        "Query/Retrieve, as SCU",
        "Instances that a request names and nobody sent within `request.wait_for_instances` are "
        "looked for in every peer that may `retrieve`, in order, and sent here by C-MOVE or C-GET "
        "(`retrieval.method`) at the IMAGE level. The request is PENDING, QUEUED meanwhile; it "
        "fails with NO_INSTANCE and 0112H once no archive has them, or `retrieval.give_up_after` "
        "is over. Relational queries are negotiated (PS3.4 C.5.1.1). Where they are refused, the "
        "studies and the patients of the instances that are here are gone through level by level, "
        "with `retrieval.recent_days` also recent studies; a query by SOP Instance UID alone is "
        "the last try.",
    )
    yield from _table(
        ("level", "matching keys", "return keys"),
        [
            ("STUDY", "Patient ID, or Study Date", "Study Instance UID"),
            ("SERIES", "Study Instance UID", "Series Instance UID"),
            ("IMAGE", "Study and Series Instance UID, or SOP Instance UID", "SOP Instance UID"),
        ],
    )


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("Sop ", "SOP ")


def _labels() -> Iterator[str]:
    from burnish.label import uses

    yield from _heading("Labels", "Of discs of 120 mm. Text is printed in any character set.")
    yield from _table(("attribute", "use"), uses())


def _profiles() -> Iterator[str]:
    said = "As File-set Creator. Media are finalized; what one cannot hold is split over several."
    yield from _heading("Application Profiles that are written", said)
    yield from _table(
        ("profile", "section", "media", "transfer syntaxes", "icon"),
        [
            (
                profile.label,
                profile.section,
                ", ".join(profile.written_media),
                _syntaxes(profile.transfer_syntaxes),
                _icon(profile),
            )
            for profile in OFFERED.values()
        ],
    )
    said = "A request for one of these fails with 0204H; `burnish disc verify` knows them."
    yield from _heading("Application Profiles that are verified only", said)
    yield from _table(
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


def _rules() -> Iterator[str]:
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
    yield from _heading("What each profile takes", said, with_loss, private)
    shown: dict[tuple[Rule, ...], list[str]] = {}
    for profile in PROFILES.values():
        shown.setdefault(profile.rules, []).append(profile.label)
    yield from _table(
        ("profiles", "SOP Classes", "transfer syntaxes", "limits"),
        [
            (
                ", ".join(labels),
                "; ".join(_name(uid) for uid in sorted(rule.sop_classes)) or "any",
                "; ".join(_name(uid) for uid in sorted(rule.transfer_syntaxes)),
                "; ".join(map(str, rule.limits)) or "none",
            )
            for rules, labels in shown.items()
            for rule in rules
        ],
    )


def _media() -> Iterator[str]:
    yield from _heading("Media")
    yield from _table(
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


def _directory() -> Iterator[str]:
    said = (
        "Keys of Type 1 that an instance lacks are supplied in the records alone. Specific "
        "Character Set (0008,0005) is in every record that needs it."
    )
    yield from _heading("Keys of directory records (PS3.3 F.5)", said)
    yield from _table(
        ("Directory Record Type", "in the root", "keys"),
        [(name, "yes" if name in ROOT_TYPES else "", _keys(keys)) for name, keys in KEYS.items()],
    )
    yield from _heading("Keys that profiles add (PS3.11)")
    shown: dict[str, list[str]] = {}
    for profile in PROFILES.values():
        words = "; ".join(f"{name}: {_keys(keys)}" for name, keys in profile.keys.items())
        shown.setdefault(words or "none", []).append(profile.label)
    yield from _table(
        ("profiles", "keys"), [(", ".join(labels), words) for words, labels in shown.items()]
    )


def _keys(keys: Sequence[Key]) -> str:
    from pydicom.datadict import dictionary_description

    return ", ".join(f"{dictionary_description(key.tag)} ({key.type})" for key in keys) or "none"
