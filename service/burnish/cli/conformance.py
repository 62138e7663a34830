"""Surface: `burnish conformance`, the tables of the Conformance Statement (PS3.2) as Markdown.

Every table is made of the tables that the service works by, so that it cannot say another thing.
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
    yield from conformance_media.profiles()
    yield from conformance_media.rules()
    yield from conformance_media.media()
    yield from conformance_media.directory()


def _identity() -> Iterator[str]:
    yield from heading("Implementation")
    yield from table(
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
    yield from heading("SOP Classes on the network", said)
    yield from table(
        ("SOP Class", "UID", "Directory Record Type"),
        [
            ("Verification", VERIFICATION, ""),
            ("Media Creation Management", MEDIA_CREATION_MANAGEMENT, ""),
            ("Storage Commitment Push Model", STORAGE_COMMITMENT_PUSH_MODEL, ""),
            *(
                (uid_name(uid), uid, record_type(uid) or "none: cannot go on media (0122H)")
                for uid in sorted(STORAGE_SOP_CLASSES, key=_by_number)
            ),
        ],
    )
    yield from heading("SOP Classes on the network, as SCU")
    yield from table(
        ("SOP Class", "UID", "when"),
        [(uid_name(uid), uid, "a request names instances that are not here") for uid in _AS_SCU],
    )
    yield from heading("Transfer syntaxes of Storage")
    yield from table(
        ("Transfer Syntax", "UID"),
        [(uid_name(uid), uid) for uid in sorted(STORAGE_TRANSFER_SYNTAXES, key=_by_number)],
    )


def _associations() -> Iterator[str]:
    from burnish.access.tls import PROFILES as TLS_PROFILES

    yield from heading("Association negotiation")
    yield from table(
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
    yield from heading("Association rejection (PS3.8 9.3.4)")
    yield from table(
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
    yield from heading("Secure Transport Connection Profiles (PS3.15 B)", said)
    yield from table(
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

    yield from heading("Media Creation Management: attributes of N-CREATE and N-GET")
    yield from table(
        ("keyword", "Enumerated Values"),
        [
            ("ReferencedSOPSequence", "at least one item; may have IconImageSequence"),
            *((row.keyword, ", ".join(row.enumerated or ())) for row in ATTRIBUTES),
        ],
    )
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
                ("Failure Reason (0008,1197)", f"{reason:04X}H {_words(reason.name)}")
                for reason in FailureReason
            ),
        ],
    )
    yield from heading("Statuses by what went wrong")
    yield from table(
        ("what", "C-STORE", "DIMSE-N"),
        [
            (kind.__doc__, f"{codes.c_store:04X}H", f"{codes.dimse_n:04X}H")
            for kind, codes in STATUSES.items()
        ],
    )


def _storage_commitment() -> Iterator[str]:
    yield from heading(
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
    yield from table(
        ("Failure Reason (0008,1197)", "when"),
        [(f"{reason:04X}H", when.get(reason, "never")) for reason in CommitmentFailure],
    )


def _query_retrieve() -> Iterator[str]:
    yield from heading(
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
    yield from table(
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
    from burnish.label import attribute_uses

    yield from heading("Labels", "Of discs of 120 mm. Text is printed in any character set.")
    yield from table(("attribute", "use"), attribute_uses())
