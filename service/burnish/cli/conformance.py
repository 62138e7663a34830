"""Surface: `burnish conformance`, the tables of the Conformance Statement (PS3.2) as Markdown.

Every table is made from the data that the service itself uses, so that both always agree.
"""

from collections.abc import Iterator

import typer

from burnish import __version__
from burnish.cli import conformance_media
from burnish.cli.markdown import heading, table, uid_name
from burnish.directory_records import record_type
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
    """Print the DICOM Conformance Statement's tables.

    The tables follow PS3.2 and are written in Markdown.
    """
    for line in statement():
        typer.echo(line)


def statement() -> Iterator[str]:
    """All lines of the document."""
    yield f"# Burnish {__version__}: tables of the DICOM Conformance Statement"
    yield from _identity()
    yield from _network()
    yield from _association_negotiation()
    yield from _association_rejection()
    yield from _tls_profiles()
    yield from _media_creation()
    yield from _storage_commitment()
    yield from _query_retrieve()
    yield from _labels()
    yield from conformance_media.profiles()
    yield from conformance_media.rules()
    yield from conformance_media.media()
    yield from conformance_media.directory()


def _identity() -> Iterator[str]:
    yield from heading("Implementation")
    yield from table(
        ("item", "value"),
        [
            ("Implementation Class UID (0002,0012)", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name (0002,0013)", IMPLEMENTATION_VERSION_NAME),
            ("Source Application Entity Title (0002,0016)", "the AE that sent the instance"),
            ("File Preamble", "128 zero bytes; a received preamble is not kept"),
            ("Data set of a stored instance", "kept byte for byte (Level 2, no coercion)"),
        ],
    )


def _network() -> Iterator[str]:
    from burnish.scp.negotiation import STORAGE_SOP_CLASSES, STORAGE_TRANSFER_SYNTAXES

    yield from heading(
        "SOP Classes on the network, as SCP",
        "Other SOP Classes that a peer announces as Storage are accepted too.",
    )
    storage_rows = [
        (uid_name(uid), uid, record_type(uid) or "none: cannot be put on media (0122H)")
        for uid in sorted(STORAGE_SOP_CLASSES, key=_numeric_order)
    ]
    yield from table(
        ("SOP Class", "UID", "Directory Record Type"),
        [
            ("Verification", VERIFICATION, ""),
            ("Media Creation Management", MEDIA_CREATION_MANAGEMENT, ""),
            ("Storage Commitment Push Model", STORAGE_COMMITMENT_PUSH_MODEL, ""),
            *storage_rows,
        ],
    )
    yield from heading("SOP Classes on the network, as SCU")
    yield from table(
        ("SOP Class", "UID", "when"),
        [
            (uid_name(uid), uid, "a request names instances that have not been received")
            for uid in _AS_SCU
        ],
    )
    yield from heading("Transfer syntaxes of Storage")
    yield from table(
        ("Transfer Syntax", "UID"),
        [(uid_name(uid), uid) for uid in sorted(STORAGE_TRANSFER_SYNTAXES, key=_numeric_order)],
    )


def _association_negotiation() -> Iterator[str]:
    yield from heading("Association negotiation")
    yield from table(
        ("item", "answer"),
        [
            ("Application Context Name", "1.2.840.10008.3.1.1.1"),
            (
                "Transfer syntax, if a context proposes several",
                "Explicit VR Little Endian; otherwise the first proposed compressed one; "
                "otherwise Implicit VR Little Endian, Deflated, Explicit VR Big Endian",
            ),
            ("SOP Class Extended Negotiation, Storage", "02 00 03 00 00 00 (PS3.4 B.3.1)"),
            ("SOP Class Common Extended Negotiation", "any class announced as Storage is accepted"),
            ("Role selection", "SCP only"),
            ("Asynchronous operations window", "not answered: one operation at a time"),
            (
                "User identity",
                "name (1), name and passcode (2); positive response if requested",
            ),
            ("Presentation context for a forbidden operation", "1, user-rejection"),
        ],
    )


def _association_rejection() -> Iterator[str]:
    yield from heading("Association rejection (PS3.8 9.3.4)")
    yield from table(
        ("when", "result", "source", "reason"),
        [
            ("application context name not supported", 1, 1, 2),
            ("calling AE unknown, or its address or certificate is wrong", 1, 1, 3),
            ("called AE title not one of the service", 1, 1, 7),
            ("user identity missing, wrong, or of another type", 1, 2, 1),
            ("the service is stopping: temporary congestion", 2, 3, 1),
            ("too many associations, of the peer or in total: local limit exceeded", 2, 3, 2),
        ],
    )


def _tls_profiles() -> Iterator[str]:
    from burnish.access.tls import TLS_PROFILES

    yield from heading(
        "Secure Transport Connection Profiles (PS3.15 B)",
        "Versions before TLS 1.2 are not supported.",
    )
    yield from table(
        ("tls.profile", "section", "cipher suites of TLS 1.2 (OpenSSL)"),
        [
            (name, profile.section, profile.suites.partition(":@")[0])
            for name, profile in TLS_PROFILES.items()
        ],
    )


def _numeric_order(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _media_creation() -> Iterator[str]:
    from burnish.scp.attributes import ATTRIBUTES
    from burnish.scp.statuses import STATUSES

    yield from heading("Media Creation Management: attributes of N-CREATE and N-GET")
    yield from table(
        ("keyword", "Enumerated Values"),
        [
            ("ReferencedSOPSequence", "at least one item, optionally with IconImageSequence"),
            *((row.keyword, ", ".join(row.enumerated or ())) for row in ATTRIBUTES),
        ],
    )
    yield from _content()
    yield from heading("Execution Status, Execution Status Info, Failure Reason")
    yield from table(
        ("attribute", "value"),
        [
            *(
                ("Execution Status (2100,0020)", status)
                for status in ExecutionStatus
                if status is not ExecutionStatus.DELETED
            ),
            *(("Execution Status Info (2100,0030)", info) for info in ExecutionStatusInfo),
            *(
                ("Failure Reason (0008,1197)", f"{reason:04X}H {_readable(reason.name)}")
                for reason in FailureReason
            ),
        ],
    )
    yield from heading("Statuses by error")
    yield from table(
        ("error", "C-STORE", "DIMSE-N"),
        [
            (kind.__doc__, f"{codes.c_store:04X}H", f"{codes.dimse_n:04X}H")
            for kind, codes in STATUSES.items()
        ],
    )


def _content() -> Iterator[str]:
    yield from heading(
        "Include Non-DICOM Objects, Include Display Application",
        "Where an N-CREATE leaves them out, `[request]` decides; as shipped: FOR_PATIENT and YES. "
        "Files lie in INDEX.HTM, IHE_PDI and VIEWER (IHE RAD-47) and are not referenced by the "
        "DICOMDIR. Secure media and MIME messages hold none of them.",
    )
    yield from table(
        ("value", "the media hold"),
        [
            ("NO", "DICOMDIR and DICOM files alone, without README.TXT"),
            ("FOR_PATIENT", "README.TXT, and pages with pictures that begin in plain words"),
            ("FOR_PHYSICIAN", "README.TXT, and pages with pictures"),
            ("FOR_TEACHING", "README.TXT, and pages without identification; never the viewer"),
            ("FOR_RESEARCH", "README.TXT, MANIFEST.CSV and MANIFEST.JSN, which list the instances"),
            ("other terms", "what `[request]` says"),
            (
                "Include Display Application YES",
                "with pages the viewer, and the programs of `content.applications`",
            ),
        ],
    )


def _storage_commitment() -> Iterator[str]:
    yield from heading(
        "Storage Commitment Push Model, as SCP",
        "An instance is committed if its complete file is in the spool. It is then kept for "
        "`retention.committed_instances` (default: 14 days), and longer if a request needs it; "
        "then it may be deleted. There is no Query/Retrieve SCP: committed instances can be "
        "obtained on media, by Media Creation Management. The promise does not cover media that "
        "were handed out; with `storage_commitment.report_media` the report names them.",
        "The transaction is durable before the N-ACTION is answered with 0000H. The report is sent "
        "on the requesting association once the peer has been silent for half a second; otherwise "
        "on an association to the configured address of the peer, which proposes the SCP role by "
        "SCP/SCU Role Selection. It is repeated until it is answered with Success or a Warning, "
        "but not longer than `storage_commitment.give_up_after`.",
    )
    meanings = {
        CommitmentFailure.PROCESSING_FAILURE: "the file of the instance is damaged or lost",
        CommitmentFailure.NO_SUCH_OBJECT_INSTANCE: "not received, also after wait_for_instances",
        CommitmentFailure.CLASS_INSTANCE_CONFLICT: "received with another SOP Class",
        CommitmentFailure.DUPLICATE_TRANSACTION_UID: "the UID is in use for other instances",
        CommitmentFailure.RESOURCE_LIMITATION: "not received, and the spool is full",
    }
    yield from table(
        ("Failure Reason (0008,1197)", "when"),
        [(f"{reason:04X}H", meanings.get(reason, "never")) for reason in CommitmentFailure],
    )


def _query_retrieve() -> Iterator[str]:
    yield from heading(
        "Query/Retrieve, as SCU",
        "Instances that a request names and that do not arrive within `request.wait_for_instances` "
        "are searched in every peer that may `retrieve`, in order, and retrieved by C-MOVE or "
        "C-GET (`retrieval.method`) at the IMAGE level. Meanwhile the request is PENDING, QUEUED; "
        "it fails with NO_INSTANCE and 0112H if no archive has them, or after "
        "`retrieval.give_up_after`. Relational queries are negotiated (PS3.4 C.5.1.1). If they are "
        "rejected, the studies and patients of the received instances are searched level by level, "
        "and with `retrieval.recent_days` recent studies too; the last attempt is a query by SOP "
        "Instance UID alone.",
    )
    yield from table(
        ("level", "matching keys", "return keys"),
        [
            ("STUDY", "Patient ID, or Study Date", "Study Instance UID"),
            ("SERIES", "Study Instance UID", "Series Instance UID"),
            ("IMAGE", "Study and Series Instance UID, or SOP Instance UID", "SOP Instance UID"),
        ],
    )


def _readable(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("Sop ", "SOP ")


def _labels() -> Iterator[str]:
    from burnish.label import attribute_uses

    yield from heading("Labels", "For discs of 120 mm. Text is printed in any character set.")
    yield from table(("attribute", "use"), attribute_uses())
