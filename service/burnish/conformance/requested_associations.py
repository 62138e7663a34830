"""Surface: tables of a statement on the associations that Burnish requests."""

from burnish.access import peer_test, storage_scu
from burnish.conformance.document import StatementTable
from burnish.conformance.names import attribute_name, syntax_names, tag_of, tag_text, uid_name
from burnish.request import query_retrieve
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)

#: The presentation contexts that Burnish proposes for reports, in this order.
_REPORT_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def proposed_contexts_of_retrieval() -> StatementTable:
    """The presentation contexts that the Query/Retrieve SCU proposes."""
    uncompressed = syntax_names(query_retrieve.UNCOMPRESSED)
    compressed = syntax_names(query_retrieve.COMPRESSED)
    relational = "relational queries"
    return StatementTable.of(
        "Presentation contexts proposed to retrieve instances",
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "Extended negotiation"),
        [
            (uid_name(STUDY_ROOT_FIND), STUDY_ROOT_FIND, uncompressed, "SCU", relational),
            (
                f"{uid_name(STUDY_ROOT_MOVE)}, with `retrieval.method = C-MOVE`",
                STUDY_ROOT_MOVE,
                uncompressed,
                "SCU",
                "None",
            ),
            (
                f"{uid_name(STUDY_ROOT_GET)}, with `retrieval.method = C-GET`",
                STUDY_ROOT_GET,
                uncompressed,
                "SCU",
                "None",
            ),
            (
                "with C-GET: each SOP Class of the missing instances, at most"
                f" {query_retrieve.MAXIMUM_SOP_CLASSES} in one association",
                "as requested",
                f"in one context: {uncompressed}; in a context of its own each: {compressed}",
                "SCP",
                "role selection",
            ),
        ],
    )


def proposed_contexts_of_reports() -> StatementTable:
    """The presentation contexts that are proposed to report commitments."""
    uid = STORAGE_COMMITMENT_PUSH_MODEL
    return StatementTable.of(
        "Presentation contexts proposed to report commitments",
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "Extended negotiation"),
        [(uid_name(uid), uid, syntax_names(_REPORT_SYNTAXES), "SCP", "role selection")],
    )


def proposed_contexts_of_sending() -> StatementTable:
    """The presentation contexts that the Storage SCU proposes."""
    return StatementTable.of(
        "Presentation contexts proposed to send instances",
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "Extended negotiation"),
        [
            (
                "each SOP Class of the volume, in a context for each of its transfer syntaxes, at"
                f" most {storage_scu.MAXIMUM_CONTEXTS}",
                "that of the instances",
                "that of the instances, one in each context",
                "SCU",
                "for private SOP Classes: Common Extended Negotiation, as Storage",
            )
        ],
    )


def proposed_contexts_of_tests() -> StatementTable:
    """The presentation contexts that are proposed to test a peer."""
    return StatementTable.of(
        "Presentation contexts proposed to test a peer",
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "Extended negotiation"),
        [
            (
                uid_name(VERIFICATION),
                VERIFICATION,
                syntax_names(peer_test.VERIFICATION_SYNTAXES),
                "SCU",
                "None",
            ),
            (
                "or the Storage SOP Class of the instance that is sent",
                "that of the instance",
                "that of the instance",
                "SCU",
                "None",
            ),
        ],
    )


#: Keys by which people search studies at an archive; of the others the value is asked for.
_SEARCHED_BY = ("PatientID", "AccessionNumber")


def _keys_of_chosen_studies() -> list[tuple[str, str, str, str, str]]:
    """The keys of the queries for studies that people look for and choose."""
    rows = []
    for keyword in query_retrieve.STUDY_KEYWORDS:
        tag = tag_of(keyword)
        matching = "single value or universal" if keyword in _SEARCHED_BY else "universal"
        rows.append(("STUDY", attribute_name(tag), tag_text(tag), matching, "studies for people"))
    rows.append(("STUDY", "Study Instance UID", "(0020,000D)", "single value", "chosen studies"))
    rows.append(("IMAGE", "SOP Class UID", "(0008,0016)", "universal", "chosen studies"))
    return rows


def query_keys() -> StatementTable:
    """The keys of queries."""
    return StatementTable.of(
        "Keys of C-FIND requests",
        ("Level", "Attribute", "Tag", "Type of matching", "When"),
        [
            ("STUDY", "Patient ID", "(0010,0020)", "single value", "patients of the request"),
            (
                "STUDY",
                "Study Date",
                "(0008,0020)",
                "range",
                "only with `retrieval.recent_days`",
            ),
            ("STUDY", "Study Instance UID", "(0020,000D)", "universal", "always"),
            ("SERIES", "Study Instance UID", "(0020,000D)", "single value", "always"),
            ("SERIES", "Series Instance UID", "(0020,000E)", "universal", "always"),
            ("IMAGE", "Study Instance UID", "(0020,000D)", "single value or universal", "always"),
            ("IMAGE", "Series Instance UID", "(0020,000E)", "single value or universal", "always"),
            (
                "IMAGE",
                "SOP Instance UID",
                "(0008,0018)",
                f"list of at most {query_retrieve.MAXIMUM_UIDS} UIDs, or universal",
                "always",
            ),
            *_keys_of_chosen_studies(),
        ],
    )


def communication_failures() -> StatementTable:
    """The actions when communication fails (PS3.2 A.4.2.1.3)."""
    retried = "the archive is asked again after `retrieval.retry_after`; the request stays PENDING"
    again = "the report is sent again on another association, as after a failure"
    return StatementTable.of(
        "Communication failures",
        ("Failure", "While instances are retrieved", "While commitments are reported"),
        [
            ("no connection, or the association is rejected", retried, again),
            ("no response within the time-out", f"the association is aborted; {retried}", again),
            ("the association is aborted by the peer or the network", retried, again),
            (
                "the peer accepts none of the presentation contexts",
                retried,
                "as a failure of each report",
            ),
        ],
    )
