"""Whether what a service has sent to other AEs is in the tables of its Conformance Statement."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from burnish.conformance import (
    media_creation_tables,
    network_tables,
    requested_associations,
    status_tables,
)
from burnish.conformance.document import StatementTable
from burnish.conformance.names import tag_text, uid_name
from burnish.scp import messages
from burnish.settings import Settings
from burnish.vocabulary import (
    MEDIA_CREATION_MANAGEMENT,
    NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_SERVICE_CLASS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)

C_STORE = "C-STORE"
#: The names of operations in the tables of statuses, by SOP Class and Command Field.
_OPERATIONS = {
    (VERIFICATION, messages.C_ECHO_RQ): "C-ECHO",
    (MEDIA_CREATION_MANAGEMENT, messages.N_CREATE_RQ): "N-CREATE",
    (MEDIA_CREATION_MANAGEMENT, messages.N_ACTION_RQ): "N-ACTION",
    (MEDIA_CREATION_MANAGEMENT, messages.N_GET_RQ): "N-GET",
    (STORAGE_COMMITMENT_PUSH_MODEL, messages.N_ACTION_RQ): "Storage Commitment N-ACTION",
}
_SERVICES = {sop_class for sop_class, _ in _OPERATIONS}
_UNRECOGNIZED_OPERATION = 0x0211
_C_FIND_RQ, _C_GET_RQ, _C_MOVE_RQ = 0x0020, 0x0010, 0x0021
#: What Burnish requests as SCU, or as SCP of Storage Commitment, by SOP Class.
_REQUESTS = {
    VERIFICATION: {messages.C_ECHO_RQ},
    STUDY_ROOT_FIND: {_C_FIND_RQ},
    STUDY_ROOT_MOVE: {_C_MOVE_RQ},
    STUDY_ROOT_GET: {_C_GET_RQ},
    STORAGE_COMMITMENT_PUSH_MODEL: {messages.N_EVENT_REPORT_RQ},
}
#: The Service Classes of what peers may announce as Storage.
_STORAGE = {STORAGE_SERVICE_CLASS, NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS}
#: The groups of the attributes of an icon (PS3.3 F.7), which is returned as it was received.
_GROUPS_OF_ICONS = {"0028", "7FE0"}
_TAG = re.compile(r"\([0-9A-F]{4},[0-9A-F]{4}\)")


def not_in_the_statement(record: Path, settings: Settings) -> list[str]:
    """What the record of a service has and the statement for its settings does not list."""
    if not record.exists():
        return []
    checks = _Checks(settings)
    lines = {line for line in record.read_text(encoding="utf-8").splitlines() if line}
    faults = []
    for line in sorted(lines):
        kind, *parts = json.loads(line)
        fault = checks.by_kind[kind](*parts)
        if fault:
            faults.append(f"not in the Conformance Statement: {fault}")
    return faults


class _Checks:
    """One check for each kind of line; it returns what is wrong, or ""."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._storage = set(network_tables.storage_sop_classes(settings))
        self.by_kind: dict[str, Callable[..., str]] = {
            "response": self._response,
            "request": self._request,
            "rejection": self._rejection,
            "abort": self._abort,
            "context": self._context,
            "negotiated": self._negotiated,
            "proposed": self._proposed,
            "proposed role": self._proposed_role,
            "element": self._element,
        }

    def _response(self, role: str, abstract_syntax: str, field: int, status: int) -> str:
        description = f"{status:04X}H to {field:04X}H of {uid_name(abstract_syntax)}"
        if role == "requestor":
            listed = {
                int(row[1].removesuffix("H"), 16)
                for row in status_tables.statuses_of_c_get_storage().rows
            }
            is_listed = field == messages.C_STORE_RQ and status in listed
            return "" if is_listed else f"{description}, in a C-GET"
        operation = _OPERATIONS.get((abstract_syntax, field))
        if abstract_syntax not in _SERVICES and field == messages.C_STORE_RQ:
            operation = C_STORE
        if operation is None:
            return "" if status == _UNRECOGNIZED_OPERATION else description
        rows = status_tables.STATUSES_BY_OPERATION[operation]
        return "" if status in {row.code for row in rows} else description

    def _request(self, role: str, abstract_syntax: str, field: int) -> str:
        requests = _REQUESTS.get(abstract_syntax, {messages.C_STORE_RQ})
        if role == "acceptor":
            requests = _REQUESTS[STORAGE_COMMITMENT_PUSH_MODEL]
        return "" if field in requests else f"request {field:04X}H of {uid_name(abstract_syntax)}"

    def _rejection(self, *numbers: int) -> str:
        listed = {
            tuple(int(cell.partition(" ")[0]) for cell in row[:3])
            for row in network_tables.rejections().rows
        }
        return "" if numbers in listed else f"A-ASSOCIATE-RJ {numbers}"

    def _abort(self, role: str, source: int, reason: int) -> str:
        if role == "requestor":  # pynetdicom is the service user then
            return ""
        listed = {int(row[0].partition(" ")[0]) for row in network_tables.aborts().rows}
        is_listed = source == 2 and reason in listed
        return "" if is_listed else f"A-ABORT of source {source} and reason {reason}"

    def _context(
        self, abstract_syntax: str, transfer_syntax: str, result: int, announced_as: str
    ) -> str:
        description = f"result {result} for {abstract_syntax} in {transfer_syntax}"
        results = {
            int(row[0]) for row in network_tables.context_results().rows if row[2] != "never"
        }
        if result not in results:
            return description
        rows = {row[1]: row[2] for row in network_tables.accepted_contexts().rows}
        is_service = abstract_syntax in rows
        is_announced = announced_as in _STORAGE
        is_any = "any" in self._settings.storage.sop_classes
        is_offered = is_service or abstract_syntax in self._storage or is_announced or is_any
        if result != 0:
            return "" if result != 3 or not is_offered or is_any else description
        syntaxes = network_tables.storage_transfer_syntaxes()
        if is_service:
            syntaxes = [part.rpartition(" ")[2] for part in rows[abstract_syntax].split("; ")]
        return "" if is_offered and transfer_syntax in syntaxes else description

    def _negotiated(self, kind: int, uid: str, content: str) -> str:
        answers = {row[0]: row[1] for row in network_tables.extended_negotiation().rows}
        description = f"item {kind:02X}H of {uid or 'the association'}: {content}"
        if kind == 0x51:
            return "" if int(content, 16) == self._settings.dicom.maximum_pdu_size else description
        if kind == 0x54:
            is_listed = (
                content == "0100" and "SCU role 1, SCP role 0" in answers["SCP/SCU Role Selection"]
            )
            return "" if is_listed else description
        if kind == 0x56:
            value = bytes.fromhex(content).hex(" ").upper()
            return "" if f"`{value}`" in answers["SOP Class Extended Negotiation"] else description
        return "" if kind in {0x52, 0x55, 0x59} else description

    def _proposed(self, abstract_syntax: str, transfer_syntaxes: list[str]) -> str:
        if abstract_syntax not in _REQUESTS:
            return ""  # a SOP Class of the instances that are sent or fetched
        tables = (
            requested_associations.proposed_contexts_of_retrieval(),
            requested_associations.proposed_contexts_of_reports(),
            requested_associations.proposed_contexts_of_tests(),
        )
        listed = [
            [part.rpartition(" ")[2] for part in row[2].split("; ")]
            for row in _rows(tables)
            if row[1] == abstract_syntax
        ]
        is_listed = transfer_syntaxes in listed
        return "" if is_listed else f"proposed {uid_name(abstract_syntax)} in {transfer_syntaxes}"

    def _proposed_role(self, abstract_syntax: str, scu: object, scp: object) -> str:
        is_listed = bool(scp) and abstract_syntax not in {
            VERIFICATION,
            MEDIA_CREATION_MANAGEMENT,
            STUDY_ROOT_FIND,
            STUDY_ROOT_GET,
            STUDY_ROOT_MOVE,
        }
        return "" if is_listed else f"proposed roles {scu}, {scp} for {abstract_syntax}"

    def _element(self, abstract_syntax: str, field: int, path: str, value: Any) -> str:
        tag = tag_text(int(path.rpartition(".")[2], 16))
        if ".00880200." in path and path.rpartition(".")[2][:4] in _GROUPS_OF_ICONS:
            return ""
        description = f"{path} {value} in {field:04X}H of {uid_name(abstract_syntax)}"
        if abstract_syntax == STORAGE_COMMITMENT_PUSH_MODEL:
            rows = media_creation_tables.commitment_attributes().rows
            tags = _tags(row for row in rows if not row[3].startswith(("never", "not used")))
            reasons = media_creation_tables.commitment_failures()
        else:
            tables = (
                media_creation_tables.n_get_attributes(),
                media_creation_tables.items_of_failed_instances(),
                media_creation_tables.n_create_attributes(self._settings),
            )
            tags = _tags(tables[0].rows if "." not in path else _rows(tables))
            reasons = media_creation_tables.failure_reasons()
        terms = {
            "(0008,1197)": reasons,
            "(2100,0020)": media_creation_tables.execution_statuses(),
            "(2100,0030)": media_creation_tables.execution_status_infos(),
        }
        if tag not in tags:
            return description
        if value is None or tag not in terms:
            return ""
        term = f"{value:04X}H" if isinstance(value, int) else value
        return "" if term in {row[0] for row in terms[tag].rows} else description


def _rows(tables: Iterable[StatementTable]) -> list[tuple[str, ...]]:
    return [row for table in tables for row in table.rows]


def _tags(rows: Iterable[tuple[str, ...]]) -> set[str]:
    return {tag for row in rows for cell in row for tag in _TAG.findall(cell)}
