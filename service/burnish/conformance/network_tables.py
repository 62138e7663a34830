"""Surface: tables of a statement on the network: SOP Classes, contexts, associations, time-outs."""

from burnish.access import outgoing_associations, peer_test, storage_classes, storage_scu
from burnish.access.tls import TLS_PROFILES
from burnish.conformance.document import StatementTable
from burnish.conformance.names import (
    duration,
    numeric_order,
    syntax_names,
    uid_name,
)
from burnish.conformance.site_tables import sop_class_names
from burnish.directory_records import record_type
from burnish.request import archive_studies, fetch_missing, query_retrieve
from burnish.scp import event_reports, negotiation, upper_layer
from burnish.settings import PeerSettings, Settings
from burnish.vocabulary import (
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)

#: Services other than Storage: SOP Class, group in the overview, SCU, SCP.
_SERVICES = (
    (STORAGE_COMMITMENT_PUSH_MODEL, "Workflow Management", False, True),
    (STUDY_ROOT_FIND, "Query/Retrieve", True, False),
    (STUDY_ROOT_MOVE, "Query/Retrieve", True, False),
    (STUDY_ROOT_GET, "Query/Retrieve", True, False),
    (MEDIA_CREATION_MANAGEMENT, "Print Management", False, True),
)
_ACCEPTED_SERVICES = (VERIFICATION, MEDIA_CREATION_MANAGEMENT, STORAGE_COMMITMENT_PUSH_MODEL)


def _yes(value: bool) -> str:
    return "Yes" if value else "No"


def storage_sop_classes(settings: Settings) -> list[str]:
    """The Storage SOP Classes as configured, in the order of their UIDs."""
    uids = storage_classes.configured_storage_sop_classes(settings.storage)
    return sorted(uids, key=numeric_order)


def storage_transfer_syntaxes() -> list[str]:
    """The transfer syntaxes of Storage, in the order of their UIDs."""
    return sorted(storage_classes.STORAGE_TRANSFER_SYNTAXES, key=numeric_order)


def network_services(settings: Settings) -> StatementTable:
    """The overview of all network services (PS3.2 Table A.1-1)."""
    rows = [("Verification", uid_name(VERIFICATION), "Yes", "Yes")]
    names = sop_class_names(settings)
    rows += [
        ("Transfer", names.get(uid) or uid_name(uid), "Yes", "Yes")
        for uid in storage_sop_classes(settings)
    ]
    rows += [(group, uid_name(uid), _yes(scu), _yes(scp)) for uid, group, scu, scp in _SERVICES]
    return StatementTable.of(
        "Network services",
        ("Group", "SOP Class", "User of Service (SCU)", "Provider of Service (SCP)"),
        rows,
    )


def sop_classes_of_the_ae(settings: Settings) -> StatementTable:
    """The SOP Classes to which the AE provides Standard Conformance."""
    no_record = "none: not put on media (0122H)"
    rows = [("Verification", VERIFICATION, "Yes", "Yes", "")]
    rows += [(uid_name(uid), uid, _yes(scu), _yes(scp), "") for uid, _, scu, scp in _SERVICES]
    names = sop_class_names(settings)
    private = settings.site_records.classes
    for uid in storage_sop_classes(settings):
        record = private[uid].record_type if uid in private else record_type(uid)
        rows.append((names.get(uid) or uid_name(uid), uid, "Yes", "Yes", record or no_record))
    return StatementTable.of(
        "SOP Classes of the AE",
        ("SOP Class name", "SOP Class UID", "SCU", "SCP", "Directory Record Type on media"),
        rows,
    )


def transfer_syntaxes() -> StatementTable:
    """The transfer syntaxes of Storage."""
    return StatementTable.of(
        "Transfer syntaxes of Storage",
        ("Transfer Syntax name", "Transfer Syntax UID"),
        [(uid_name(uid), uid) for uid in storage_transfer_syntaxes()],
    )


def accepted_contexts() -> StatementTable:
    """The presentation contexts that are accepted (PS3.2 A.4.2.1.4)."""
    syntaxes = syntax_names(sorted(negotiation.DIMSE_N_TRANSFER_SYNTAXES, key=numeric_order))
    rows = [
        (uid_name(uid), uid, syntaxes, "SCP", "None", _operation(uid)) for uid in _ACCEPTED_SERVICES
    ]
    rows.append(
        (
            "every Storage SOP Class of the table of SOP Classes",
            "see there",
            "every transfer syntax of Storage",
            "SCP",
            "see Storage",
            "`store`",
        )
    )
    return StatementTable.of(
        "Presentation contexts that are accepted",
        (
            "Abstract syntax",
            "UID",
            "Transfer syntaxes",
            "Role",
            "Extended negotiation",
            "Operation of `peer.may`",
        ),
        rows,
    )


def _operation(uid: str) -> str:
    """The operation of `peer.may` that a SOP Class needs."""
    operation = negotiation.OPERATIONS.get(uid)
    return f"`{operation}`" if operation else "none: offered to every peer (PS3.2 7.1)"


def context_results() -> StatementTable:
    """The results of proposed presentation contexts (PS3.8 Table 9-18)."""
    return StatementTable.of(
        "Results of proposed presentation contexts",
        ("Result", "Meaning", "When"),
        [
            ("0", "acceptance", "the SOP Class, the operation and a transfer syntax are permitted"),
            ("1", "user-rejection", "`peer.may` does not permit the operation of the SOP Class"),
            ("2", "no-reason", "never"),
            ("3", "abstract-syntax-not-supported", "the SOP Class is not one of this service"),
            ("4", "transfer-syntaxes-not-supported", "none of the transfer syntaxes is supported"),
        ],
    )


def extended_negotiation() -> StatementTable:
    """The answers to the sub-items of user information (PS3.7 D.3.3)."""
    information = negotiation.STORAGE_EXTENDED_INFORMATION.hex(" ").upper()
    return StatementTable.of(
        "Extended negotiation",
        ("Item", "As acceptor", "As requestor"),
        [
            (
                "Asynchronous Operations Window",
                "not answered: one operation at a time",
                "not proposed",
            ),
            (
                "SCP/SCU Role Selection",
                "answered with SCU role 1, SCP role 0 for the requestor if it proposes the SCU"
                " role; otherwise not answered, so the default roles apply. The peer is the SCU,"
                " this service the SCP",
                "SCP role 1 for Storage Commitment Push Model (reports), and for each Storage SOP"
                " Class of a C-GET",
            ),
            (
                "SOP Class Extended Negotiation",
                f"Storage: `{information}`: Level 2 (Full), digital signature level 3 (bits"
                " preserved), no coercion (PS3.4 B.3.1); other SOP Classes: not answered",
                "Study Root Query/Retrieve - FIND: `01`, relational queries (PS3.4 C.5.1.1)",
            ),
            (
                "SOP Class Common Extended Negotiation",
                "a SOP Class with the Storage or Non-Patient Object Storage Service Class is"
                " accepted as Storage, also if it is private; never answered (PS3.7 D.3.3.6)",
                "proposed for private SOP Classes of media that are sent, as Storage",
            ),
            (
                "User Identity Negotiation",
                "types 1 (user name) and 2 (user name and passcode), if users are configured;"
                " positive response if requested",
                "not proposed",
            ),
        ],
    )


def association_limits(settings: Settings) -> StatementTable:
    """How many associations there may be (PS3.2 A.4.2.1.2.2)."""
    dicom = settings.dicom
    usual = PeerSettings.model_fields["maximum_associations"].default
    return StatementTable.of(
        "Number of associations",
        ("Associations at the same time", "Maximum", "Setting"),
        [
            (
                "accepted, of all peers together",
                dicom.maximum_associations,
                "`dicom.maximum_associations`",
            ),
            (
                "accepted, of one peer",
                f"{usual} unless the peer has another number",
                "`maximum_associations` of `[[peer]]`",
            ),
            (
                "accepted, of all AEs without a `[[peer]]` table together",
                dicom.unknown_associations,
                "`dicom.maximum_unknown_associations`",
            ),
            (
                "of these, from one address (IPv6: 64 bits of it)",
                dicom.unknown_associations_of_address,
                "half of the number before",
            ),
            (
                "connections without an association, of each receiver process",
                dicom.maximum_half_open,
                "`dicom.maximum_half_open`",
            ),
            *_requested_associations(),
        ],
    )


def _requested_associations() -> list[tuple[str, str, str]]:
    """How many associations this AE requests at the same time, by activity."""
    return [
        (
            "requested, to retrieve instances",
            f"{fetch_missing.REQUESTS_AT_ONCE}, one for each request of media",
            "none",
        ),
        (
            "requested, to retrieve studies that people choose",
            f"{archive_studies.RETRIEVALS_AT_ONCE}, one for each retrieval; and one for each"
            " search, while it lasts",
            "none",
        ),
        (
            "requested, to report commitments",
            f"{event_reports.SIMULTANEOUS_PEERS}, one for each peer",
            "none",
        ),
        ("requested, to send instances of media", "one for each command", "none"),
        ("requested, to test a peer", "one for each test", "none"),
    ]


_REJECTIONS = (
    (
        "1 rejected-permanent",
        "1 service-user",
        "2 application-context-name-not-supported",
        "the Application Context Name is not that of DICOM",
    ),
    (
        "1 rejected-permanent",
        "1 service-user",
        "3 calling-AE-title-not-recognized",
        "the calling AE is not configured, or its address, its certificate or the lack of"
        " TLS is not what is configured for it",
    ),
    (
        "1 rejected-permanent",
        "1 service-user",
        "7 called-AE-title-not-recognized",
        "the called AE title is not one of this service, if `dicom.check_called_ae_title` is true",
    ),
    (
        "1 rejected-permanent",
        "2 service-provider (ACSE)",
        "1 no-reason-given",
        "the user identity is missing though required, wrong, or of a type that is not supported",
    ),
    (
        "1 rejected-permanent",
        "2 service-provider (ACSE)",
        "2 protocol-version-not-supported",
        "bit 0 of the Protocol-version is not set",
    ),
    (
        "2 rejected-transient",
        "3 service-provider (Presentation)",
        "1 temporary-congestion",
        "the service is stopping",
    ),
    (
        "2 rejected-transient",
        "3 service-provider (Presentation)",
        "2 local-limit-exceeded",
        "too many associations, of the peer or in total",
    ),
)


def rejections() -> StatementTable:
    """The results of A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    return StatementTable.of(
        "Rejection of associations",
        ("Result", "Source", "Reason", "When"),
        _REJECTIONS,
    )


def aborts() -> StatementTable:
    """When the service aborts an association (PS3.8 Table 9-26)."""
    return StatementTable.of(
        "Abort of associations by the service (source 2, service-provider)",
        ("Reason", "When"),
        [
            (
                f"{upper_layer.REASON_NOT_SPECIFIED} reason-not-specified",
                "the peer is silent for longer than `dicom.idle_timeout`, or no association exists"
                " after `dicom.acse_timeout`; the service stops; a response cannot be completed",
            ),
            (
                f"{upper_layer.UNRECOGNIZED_PDU} unrecognized-PDU",
                "the type of the PDU is unknown, or the peer speaks TLS on the port without TLS",
            ),
            (
                f"{upper_layer.UNEXPECTED_PDU} unexpected-PDU",
                "the PDU or fragment is not possible in the present state",
            ),
            (
                f"{upper_layer.INVALID_PDU_PARAMETER} invalid-PDU-parameter-value",
                "lengths that do not fit; a message in a presentation context that was not"
                " accepted; a command set that lacks a mandatory element; a limit of the next"
                " table is exceeded",
            ),
        ],
    )


def size_limits(settings: Settings) -> StatementTable:
    """Sizes beyond which a message is refused."""
    return StatementTable.of(
        "Limits of sizes",
        ("What", "Bytes at most"),
        [
            (
                "PDU that peers may send (maximum length, PS3.8 D.1)",
                settings.dicom.maximum_pdu_size,
            ),
            ("A-ASSOCIATE-RQ", upper_layer.MAXIMUM_ASSOCIATE_RQ),
            ("command set", upper_layer.MAXIMUM_COMMAND_SET),
            ("data set of a DIMSE-N message", upper_layer.MAXIMUM_DIMSE_N_DATA_SET),
            ("data set of a C-STORE", "no limit but the disk, up to `storage.high_water`"),
        ],
    )


def time_outs(settings: Settings) -> StatementTable:
    """Every time-out of the network, also those that are not configurable."""
    rows = [*_time_outs_as_acceptor(settings), *_time_outs_as_requestor(settings)]
    return StatementTable.of("Time-outs", ("Time", "Value", "Setting"), rows)


def _time_outs_as_acceptor(settings: Settings) -> list[tuple[str, str, str]]:
    dicom = settings.dicom
    return [
        (
            "as acceptor, from the connection to the accepted association, TLS handshake"
            " included (ARTIM)",
            duration(dicom.acse_timeout),
            "`dicom.acse_timeout`",
        ),
        (
            "as acceptor, silence of the peer, between messages and within one",
            duration(dicom.idle_timeout),
            "`dicom.idle_timeout`",
        ),
        (
            "at shutdown, for associations to end",
            duration(dicom.drain_timeout),
            "`dicom.drain_timeout`",
        ),
    ]


def _time_outs_as_requestor(settings: Settings) -> list[tuple[str, str, str]]:
    fixed = (
        ("as requestor, to open the TCP connection", outgoing_associations.CONNECTION_TIMEOUT),
        ("retrieval: answer to A-ASSOCIATE-RQ", query_retrieve.ACSE_TIMEOUT),
        ("retrieval: each response to C-FIND, C-MOVE and C-GET", query_retrieve.DIMSE_TIMEOUT),
        ("sending: answer to A-ASSOCIATE-RQ", storage_scu.ACSE_TIMEOUT),
        ("sending: each response to C-STORE", storage_scu.DIMSE_TIMEOUT),
        ("report: answer to A-ASSOCIATE-RQ", event_reports.ACSE_TIMEOUT),
        ("report: response to N-EVENT-REPORT", event_reports.DIMSE_TIMEOUT),
        ("test: answer to A-ASSOCIATE-RQ, and each response", peer_test.TIMEOUT),
    )
    return [
        *((what, f"{seconds:g} seconds", "none") for what, seconds in fixed),
        (
            "retrieval: until a request fails without its instances",
            duration(settings.retrieval.give_up_after),
            "`retrieval.give_up_after`",
        ),
        (
            "report: until it is given up",
            duration(settings.storage_commitment.give_up_after),
            "`storage_commitment.give_up_after`",
        ),
    ]


def remote_aes(settings: Settings) -> StatementTable:
    """The remote AEs of the configuration."""
    rows = [
        (
            peer.ae_title,
            ", ".join(map(str, peer.addresses)) or "any",
            f"{peer.host}:{peer.port}" if peer.host else "none",
            "TLS" if peer.tls else "no TLS required",
            ", ".join(peer.may),
        )
        for peer in settings.peer
    ]
    return StatementTable.of(
        "Remote AEs as configured",
        ("AE title", "May call from", "Is called at", "Security", "May"),
        rows or [("none", "", "", "", "")],
    )


def tls_profiles() -> StatementTable:
    """The Secure Transport Connection Profiles (PS3.15 B)."""
    return StatementTable.of(
        "Secure Transport Connection Profiles",
        ("`tls.profile`", "PS3.15", "Cipher suites of TLS 1.2, as OpenSSL names them", "TLS 1.3"),
        [
            (name, profile.section, profile.suites.partition(":@")[0], "Yes")
            for name, profile in TLS_PROFILES.items()
        ],
    )


def ports(settings: Settings) -> StatementTable:
    """The ports that the service listens on."""
    tls, web = settings.tls, settings.web
    return StatementTable.of(
        "Ports",
        ("Port", "Protocol", "Setting", "As configured"),
        [
            (
                settings.dicom.port,
                "DICOM upper layer over TCP",
                "`dicom.host`, `dicom.port`",
                "closed" if tls.only else f"open on {settings.dicom.host}",
            ),
            (
                tls.port or "none",
                "DICOM upper layer over TLS",
                "`tls.port`",
                f"open on {settings.dicom.host}" if tls.listens else "closed: no certificate",
            ),
            (
                web.port or "any free",
                "HTTPS" if web.certificate else "HTTP",
                "`web.host`, `web.port`",
                f"open on {web.host}: pages and REST, no DICOM" if web.enabled else "closed",
            ),
        ],
    )
