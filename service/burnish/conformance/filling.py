"""Surface: what the text files of a statement are filled with, by name."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from burnish import __version__
from burnish.application_profiles import icon
from burnish.conformance import (
    figures,
    media_creation_tables,
    media_tables,
    network_tables,
    object_tables,
    requested_associations,
    settings_tables,
    site_tables,
    status_tables,
)
from burnish.conformance.document import StatementTable
from burnish.conformance.names import duration
from burnish.conformance.template import Material
from burnish.db.queue import AGEING
from burnish.plan.profile_choice import DEFAULT_PROFILES
from burnish.request import archive_studies, query_retrieve
from burnish.scp import negotiation, pending_reports
from burnish.settings import Settings
from burnish.transcode import icons, lossy
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

#: The dates and occasions of the statement itself, newest last.
REVISIONS = (("1", "2026-11-28", "First complete statement"),)


def _ihe_product() -> StatementTable:
    """The head of an IHE integration statement (ITI TF-1)."""
    revision = REVISIONS[-1]
    return StatementTable.of(
        "IHE integration statement",
        ("Vendor", "Product name", "Version", "Date"),
        [("Burnish (open source, MIT licence)", "Burnish", __version__, revision[1])],
    )


_PLAIN_TABLES: dict[str, Callable[[], StatementTable]] = {
    "transfer_syntaxes": network_tables.transfer_syntaxes,
    "accepted_contexts": network_tables.accepted_contexts,
    "context_results": network_tables.context_results,
    "extended_negotiation": network_tables.extended_negotiation,
    "rejections": network_tables.rejections,
    "aborts": network_tables.aborts,
    "proposed_contexts_of_retrieval": requested_associations.proposed_contexts_of_retrieval,
    "proposed_contexts_of_reports": requested_associations.proposed_contexts_of_reports,
    "proposed_contexts_of_sending": requested_associations.proposed_contexts_of_sending,
    "proposed_contexts_of_tests": requested_associations.proposed_contexts_of_tests,
    "statuses_of_sending": status_tables.handling_of_sending,
    "statuses_of_tests": status_tables.handling_of_tests,
    "query_keys": requested_associations.query_keys,
    "communication_failures": requested_associations.communication_failures,
    "tls_profiles": network_tables.tls_profiles,
    "statuses_of_c_find": status_tables.handling_of_c_find,
    "statuses_of_retrieve": status_tables.handling_of_retrieve,
    "statuses_of_c_get_storage": status_tables.statuses_of_c_get_storage,
    "statuses_of_event_reports": status_tables.handling_of_event_reports,
    "statuses_of_c_echo": partial(status_tables.status_table, "C-ECHO"),
    "statuses_of_c_store": partial(status_tables.status_table, "C-STORE"),
    "statuses_of_n_create": partial(status_tables.status_table, "N-CREATE"),
    "statuses_of_n_action": partial(status_tables.status_table, "N-ACTION"),
    "statuses_of_n_get": partial(status_tables.status_table, "N-GET"),
    "statuses_of_commitment": partial(status_tables.status_table, "Storage Commitment N-ACTION"),
    "n_get_attributes": media_creation_tables.n_get_attributes,
    "items_of_failed_instances": media_creation_tables.items_of_failed_instances,
    "execution_statuses": media_creation_tables.execution_statuses,
    "execution_status_infos": media_creation_tables.execution_status_infos,
    "failure_reasons": media_creation_tables.failure_reasons,
    "commitment_failures": media_creation_tables.commitment_failures,
    "commitment_attributes": media_creation_tables.commitment_attributes,
    "content_terms": media_creation_tables.content_terms,
    "label_uses": media_creation_tables.label_uses,
    "ihe_product": _ihe_product,
    "ihe_profiles": media_tables.ihe_profiles,
    "ihe_not_claimed": media_tables.ihe_not_claimed,
    "media": media_tables.media,
    "file_meta_information": media_tables.file_meta_information,
    "file_set_identification": object_tables.file_set_identification,
    "keys_of_records": object_tables.keys_of_records,
    "derived_images": object_tables.derived_images,
    "converted_copies": object_tables.converted_copies,
    "corrected_instances": object_tables.corrected_instances,
    "character_sets": object_tables.character_sets,
}
_TABLES_OF_SETTINGS: dict[str, Callable[[Settings], StatementTable]] = {
    "network_services": network_tables.network_services,
    "sop_classes_of_the_ae": network_tables.sop_classes_of_the_ae,
    "association_limits": network_tables.association_limits,
    "size_limits": network_tables.size_limits,
    "time_outs": network_tables.time_outs,
    "remote_aes": network_tables.remote_aes,
    "ports": network_tables.ports,
    "n_create_attributes": media_creation_tables.n_create_attributes,
    "n_action_attributes": media_creation_tables.n_action_attributes,
    "media_services": media_tables.media_services,
    "profile_roles": media_tables.profile_roles,
    "written_profiles": media_tables.written_profiles,
    "read_only_profiles": media_tables.read_only_profiles,
    "rules_of_profiles": media_tables.rules_of_profiles,
    "augmented_profiles": site_tables.augmented_profiles,
    "private_profiles": site_tables.private_profiles,
    "private_sop_classes": site_tables.private_sop_classes,
    "further_keys": site_tables.further_keys,
    "keys_of_profiles": object_tables.keys_of_profiles,
    "devices": media_tables.devices,
}


def material_of(settings: Settings, *, statuses_apart: bool = False) -> Material:
    """All that the text files may name, for one configuration.

    `statuses_apart`: the statuses have a chapter of their own.
    """
    tables: dict[str, Callable[[], StatementTable]] = dict(_PLAIN_TABLES)
    for name, maker in _TABLES_OF_SETTINGS.items():
        tables[name] = partial(maker, settings)
    tables["revisions"] = _revisions
    for table in settings_tables.settings_tables(settings):
        name = table.caption.removeprefix("Settings ").strip("[]")
        tables[f"settings_{name}"] = partial(_same, table)
    return Material(
        value=partial(_value, settings),
        conditions={**_conditions(settings), "statuses_here": not statuses_apart},
        tables=tables,
        figures={
            "network_data_flow": partial(figures.network_data_flow, settings),
            "media_data_flow": partial(figures.media_data_flow, settings),
        },
    )


def _same(table: StatementTable) -> StatementTable:
    return table


def _revisions() -> StatementTable:
    return StatementTable.of("Revision history", ("Revision", "Date", "Changes"), REVISIONS)


def _conditions(settings: Settings) -> dict[str, bool]:
    """The conditions that the text depends on."""
    return {
        "retrieval": any("retrieve" in peer.may for peer in settings.peer),
        "by_get": settings.retrieval.method == "C-GET",
        "tls": settings.tls.listens,
        "users": bool(settings.user),
        "web": settings.web.enabled,
        "standing_orders": bool(settings.standing_order),
        "unknown_peers": settings.dicom.accept_unknown_peers,
        "first_counts": settings.storage.same_uid == "first",
        "report_media": settings.storage_commitment.report_media,
        "secure_media": bool(
            settings.security.recipients
            or settings.security.password
            or settings.security.password_file
        ),
        "signer": settings.security.signer_certificate is not None,
        "augmented_profiles": any(row.is_augmented for row in settings.application_profile),
        "private_profiles": not all(row.is_augmented for row in settings.application_profile),
        "private_sop_classes": bool(settings.site_records.classes),
        "further_keys": bool(settings.request.directory_keys),
        "open_media": any(not device.finalise for device in settings.devices),
    }


def _value(settings: Settings, name: str) -> str:
    """A value by its name: `table.key` of the configuration, or a fact of the code."""
    if "." in name:
        table, _, key = name.partition(".")
        value = getattr(getattr(settings, table), key)
        if isinstance(value, timedelta):
            return duration(value)
        return settings_tables.printed(value).strip('"')
    return _facts(settings)[name]


def _facts(settings: Settings) -> dict[str, str]:
    titles = sorted(settings.called_ae_titles)
    profile = settings.request.requested_media_application_profile
    return {
        "version": __version__,
        "implementation_class_uid": IMPLEMENTATION_CLASS_UID,
        "implementation_version_name": IMPLEMENTATION_VERSION_NAME,
        "ae_titles": ", ".join(titles),
        "default_profiles": profile or " or ".join(DEFAULT_PROFILES),
        "ageing": duration(AGEING),
        "least_maximum_length": str(negotiation.LEAST_MAXIMUM_LENGTH),
        "report_silence": duration(timedelta(seconds=pending_reports.SILENCE)),
        "most_studies": str(archive_studies.MOST_STUDIES),
        "maximum_uids": str(query_retrieve.MAXIMUM_UIDS),
        "icon_pixels": str(icons.PIXELS),
        "largest_icon": str(icon.LARGEST),
        "devices": ", ".join(device.name for device in settings.devices),
        "fidelity_aim": f"{lossy.JPEG_2000_FIDELITY:g}",
        "fidelity_least": f"{lossy.LEAST_FIDELITY:g}",
    }
