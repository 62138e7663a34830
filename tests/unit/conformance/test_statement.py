"""The Conformance Statement says what the tables of the code say, and all of it."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydicom.uid import UID
from pynetdicom import sop_class

from burnish.access.storage_classes import STORAGE_SOP_CLASSES, STORAGE_TRANSFER_SYNTAXES
from burnish.application_profiles import OFFERED, PROFILES
from burnish.conformance.document import Bullets, Paragraph, Statement, StatementTable
from burnish.conformance.editions import Edition
from burnish.conformance.filling import material_of
from burnish.conformance.markdown import write_markdown
from burnish.conformance.media_creation_tables import CREATE_USES, GET_USES
from burnish.conformance.names import attribute_name, tag_of, tag_text, uid_name
from burnish.conformance.settings_tables import meanings, printed
from burnish.conformance.statement import make_statement
from burnish.conformance.status_tables import STATUSES_BY_OPERATION
from burnish.conformance.template import text_file
from burnish.directory_records import KEYS
from burnish.media import MEDIA
from burnish.scp.attributes import ATTRIBUTES
from burnish.scp.request_attributes import SUPPORTED_TAGS
from burnish.settings import (
    DatabaseSettings,
    PeerSettings,
    RetrievalSettings,
    SecuritySettings,
    Settings,
    StorageSettings,
)
from burnish.vocabulary import (
    CommitmentFailure,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    IncludeNonDICOMObjects,
)
from burnish.web import uploads

ROOT = Path(__file__).resolve().parents[3]
#: The sections of PS3.2 Annex A, in order, without those below 4.2.1 and 5.2.1.
CLASSIC_SECTIONS = """
1 Conformance Statement Overview
2 Table of Contents
3 Introduction
3.1 Revision History
3.2 Audience
3.3 Remarks
3.4 Terms and Definitions
3.5 Basics of DICOM Communication
3.6 Abbreviations
3.7 References
4 Networking
4.1 Implementation Model
4.1.1 Application Data Flow
4.1.2 Functional Definition of Application Entities
4.1.3 Sequencing of Real-World Activities
4.2 AE Specifications
4.2.1 Burnish Application Entity Specification
4.2.1.1 SOP Classes
4.2.1.2 Association Policies
4.2.1.2.1 General
4.2.1.2.2 Number of Associations
4.2.1.2.3 Asynchronous Nature
4.2.1.2.4 Implementation Identifying Information
4.2.1.3 Association Initiation Policy
4.2.1.4 Association Acceptance Policy
4.3 Network Interfaces
4.3.1 Physical Network Interface
4.3.2 Additional Protocols
4.3.3 IPv4 and IPv6 Support
4.4 Configuration
4.4.1 AE Title and Presentation Address Mapping
4.4.2 Parameters
5 Media Interchange
5.1 Implementation Model
5.1.1 Application Data Flow
5.1.2 Functional Definition of Application Entities
5.1.3 Sequencing of Real-World Activities
5.1.4 File Meta Information Options
5.2 AE Specifications
5.2.1 Burnish Media Application Entity Specification
5.2.1.1 File Meta Information for the Application Entity
5.2.1.2 Real-World Activities
5.3 Augmented and Private Application Profiles
5.3.1 Augmented Profiles
5.3.2 Private Profiles
5.4 Media Configuration
6 Transformation of DICOM to CDA
7 Support of Character Sets
8 Security
8.1 Security Profiles
8.2 Association Level Security
8.3 Application Level Security
9 Annexes
9.1 IOD Contents
9.1.1 Created SOP Instances
9.1.2 Usage of Attributes from Received IODs
9.1.3 Attribute Mapping
9.1.4 Coerced and Modified Fields
9.2 Data Dictionary of Private Attributes
9.3 Coded Terminology and Templates
9.3.1 Context Groups
9.3.2 Template Specifications
9.3.3 Private Code Definitions
9.4 Grayscale Image Consistency
9.5 Standard Extended, Specialized and Private SOP Classes
9.6 Private Transfer Syntaxes
10 IHE Integration Statement
"""
#: The chapters of PS3.2 Annex N, and the subsections of Media Creation Management.
SECTIONS_OF_2026 = """
1 Overview
2 Table of Contents
3 Introduction
4 Implementation Model
5 Service and Interoperability Description
5.2.9 Media Creation Management
6 Configuration
6.2.9 Media Creation Management
7 Network and Media Communication Details
7.3 Status Codes
7.3.2.5 Media Creation Management
8 Security
9 Annexes
10 IHE Integration Statement
"""
PRIVATE_CLASS = "2.25.4711"
#: A configuration with profiles, a SOP Class and keys of its own.
SITE = Settings.model_validate(
    {
        "request": {"directory_keys": [{"record": "PATIENT", "attribute": "PatientBirthDate"}]},
        "sop_class": [{"uid": PRIVATE_CLASS, "name": "ACME Spectrum Storage"}],
        "application_profile": [
            {
                "name": "AUG-CTMRSR-CD",
                "base": "STD-CTMR-CD",
                "sop_classes": ["1.2.840.10008.5.1.4.1.1.88.11"],
                "directory_keys": [
                    {"record": "SR DOCUMENT", "attribute": "InstanceCreationDate", "type": "2"}
                ],
                "restrict_to_base": True,
            },
            {
                "name": "PRI-ACME-DVD",
                "base": "STD-GEN-CD",
                "sop_classes": [PRIVATE_CLASS],
                "transfer_syntaxes": ["1.2.840.10008.1.2.5"],
                "media": ["DVD"],
                "directory_keys": [
                    {
                        "record": "SERIES",
                        "attribute": "(0021,1001)",
                        "creator": "ACME 1.0",
                        "vr": "LO",
                    }
                ],
            },
        ],
    }
)
EDITIONS = pytest.mark.parametrize("edition", list(Edition))


@pytest.fixture(scope="module", params=list(Edition))
def statement(request: pytest.FixtureRequest) -> Statement:
    return make_statement(Settings(), request.param)


def table(statement: Statement, caption: str) -> StatementTable:
    (result,) = {block for block in statement.tables if block.caption == caption}
    return result


def column(content: StatementTable, name: str) -> list[str]:
    return [row[content.columns.index(name)] for row in content.rows]


def headings(statement: Statement) -> list[str]:
    return [f"{section.number} {section.title}" for section in statement.sections]


def test_the_classic_form_has_every_section_of_annex_a_in_order() -> None:
    wanted = CLASSIC_SECTIONS.strip().splitlines()
    present = headings(make_statement(Settings()))
    assert [heading for heading in present if heading in wanted] == wanted


def test_the_form_of_2026_has_sections_of_its_own_for_media_creation_management() -> None:
    wanted = SECTIONS_OF_2026.strip().splitlines()
    present = headings(make_statement(Settings(), Edition.OF_2026))
    assert [heading for heading in present if heading in wanted] == wanted


def test_every_section_says_something_or_has_sections_below_it(statement: Statement) -> None:
    empty = [
        section.title
        for section, following in zip(
            statement.sections, [*statement.sections[1:], None], strict=True
        )
        if not section.blocks and (following is None or following.level <= section.level)
    ]
    assert empty == ["Table of Contents"]


#: Tables of what a configuration may add.
OF_A_SITE = {
    "Augmented Application Profiles",
    "Private Application Profiles",
    "Private SOP Classes on media",
    "DICOMDIR: further keys as configured",
}


@EDITIONS
def test_no_heading_repeats_the_one_above_it(edition: Edition) -> None:
    sections = make_statement(Settings(), edition).sections
    titles = {section.number: section.title for section in sections}
    for number, title in titles.items():
        assert title != titles.get(number.rpartition(".")[0]), number


def test_the_source_ae_title_of_uploaded_instances_is_told() -> None:
    assert f"`{uploads.CALLING_AE_TITLE}` if a person uploaded it" in text_file("classic")


@EDITIONS
def test_every_table_and_figure_is_used(edition: Edition) -> None:
    material = material_of(SITE)
    wanted = {maker().caption for maker in material.tables.values()}
    assert {block.caption for block in make_statement(SITE, edition).tables} == wanted
    without_site = {block.caption for block in make_statement(Settings(), edition).tables}
    assert wanted - without_site == OF_A_SITE


@EDITIONS
def test_augmented_and_private_profiles_are_described(edition: Edition) -> None:
    statement = make_statement(SITE, edition)
    augmented = table(statement, "Augmented Application Profiles")
    assert augmented.rows == (
        (
            "AUG-CTMRSR-CD",
            "STD-CTMR-CD",
            "Basic Text SR Storage",
            "SR DOCUMENT: Instance Creation Date (0008,0012) DA 2",
            "none",
            "a request that names STD-CTMR-CD gets media of that;"
            " so does a request all of whose instances it permits",
        ),
    )
    (private,) = table(statement, "Private Application Profiles").rows
    assert private[:2] == ("PRI-ACME-DVD", "STD-GEN-CD")
    assert "ACME Spectrum Storage, in RLE Lossless" in private[2]
    assert private[3] == "DVD: ISO 9660 and UDF 1.02"
    assert private[4] == "SERIES: private attribute (0021,1001) of ACME 1.0 LO 3"
    (sop_class,) = table(statement, "Private SOP Classes on media").rows
    assert sop_class[:3] == ("ACME Spectrum Storage", PRIVATE_CLASS, "PRIVATE")
    assert sop_class[4] == "No: from files only"
    (key,) = table(statement, "DICOMDIR: further keys as configured").rows
    assert key[:3] == ("PATIENT", "Patient's Birth Date", "(0010,0030)")


def test_profiles_of_the_configuration_are_in_the_tables_of_all_profiles() -> None:
    statement = make_statement(SITE)
    for caption, name in (
        ("Media services", "Media Storage Application Profile"),
        (
            "Application Profiles, real-world activities and roles",
            "Supported Application Profile",
        ),
        ("Application Profiles that are written", "Application Profile"),
    ):
        labels = column(table(statement, caption), name)
        assert {"AUG-CTMRSR-CD", "PRI-ACME-DVD"} <= set(labels)
    keys = table(statement, "DICOMDIR: keys that profiles add")
    assert "PRI-ACME-DVD" in {row[0] for row in keys.rows if row[1] == "SERIES"}


def test_no_text_has_a_mark_that_was_not_filled_in(statement: Statement) -> None:
    texts = []
    for section in statement.sections:
        for block in section.blocks:
            if isinstance(block, Paragraph):
                texts.append(block.text)
            elif isinstance(block, Bullets):
                texts += block.items
    assert not [text for text in texts if "{" in text or "}" in text or text.count("`") % 2]


def test_every_row_has_a_cell_for_each_column(statement: Statement) -> None:
    for content in statement.tables:
        assert content.rows, content.caption
        assert all(len(row) == len(content.columns) for row in content.rows), content.caption


def test_all_storage_sop_classes_are_listed_once_with_their_names(statement: Statement) -> None:
    content = table(statement, "SOP Classes of the AE")
    uids = column(content, "SOP Class UID")
    assert len(set(uids)) == len(uids)
    assert set(uids) >= STORAGE_SOP_CLASSES
    names = column(content, "SOP Class name")
    assert len(set(names)) == len(names), "two SOP Classes with one name"
    assert all(re.search("[a-z]", name) for name in names)
    assert names == [uid_name(uid) for uid in uids]


def test_retired_sop_classes_are_marked(statement: Statement) -> None:
    names = column(table(statement, "Network services"), "SOP Class")
    retired = {name for name in names if name.endswith("(Retired)")}
    assert len(retired) == 6
    assert "Ultrasound Image Storage" in names
    assert "Ultrasound Image Storage (Retired)" in retired


def test_names_that_the_dictionary_lacks_are_those_of_the_standard() -> None:
    keywords = {str(uid): name for name, uid in vars(sop_class).items() if isinstance(uid, str)}
    lacking = [uid for uid in STORAGE_SOP_CLASSES if UID(uid).name == uid]
    assert lacking
    for uid in lacking:
        assert uid_name(uid).replace(" ", "") == keywords[uid]


def test_all_transfer_syntaxes_are_listed(statement: Statement) -> None:
    content = table(statement, "Transfer syntaxes of Storage")
    assert set(column(content, "Transfer Syntax UID")) == STORAGE_TRANSFER_SYNTAXES


def test_every_attribute_of_n_create_is_listed_with_its_default(statement: Statement) -> None:
    content = table(statement, "Attributes of N-CREATE")
    by_tag = {row[1]: row for row in content.rows}
    for attribute in ATTRIBUTES:
        tag = tag_of(attribute.keyword)
        row = by_tag[tag_text(tag)]
        assert row[0] == attribute_name(tag)
        assert attribute.keyword in CREATE_USES, f"say what is done with {attribute.keyword}"
        default = getattr(Settings().request, attribute.column, None)
        assert row[5].startswith("none" if default is None else str(default))
        if attribute.enumerated:
            assert row[4] == ", ".join(attribute.enumerated)


def test_every_attribute_of_n_get_is_listed(statement: Statement) -> None:
    content = table(statement, "Attributes of N-GET")
    assert set(column(content, "Tag")) == {tag_text(tag) for tag in SUPPORTED_TAGS}
    known = {tag_of(keyword) for keyword in (*GET_USES, *CREATE_USES)}
    assert known == SUPPORTED_TAGS, "say what is returned"


def test_states_infos_failure_reasons_and_terms_are_listed(statement: Statement) -> None:
    statuses = column(table(statement, "Execution Status (2100,0020)"), "Value")
    assert set(statuses) == set(ExecutionStatus) - {ExecutionStatus.DELETED}
    infos = column(table(statement, "Execution Status Info (2100,0030)"), "Value")
    assert set(infos) == set(ExecutionStatusInfo)
    reasons = table(statement, "Failure Reason (0008,1197) of Media Creation Management")
    assert set(column(reasons, "Value")) == {f"{reason:04X}H" for reason in FailureReason}
    failures = table(statement, "Failure Reason (0008,1197) of Storage Commitment")
    assert set(column(failures, "Value")) == {f"{reason:04X}H" for reason in CommitmentFailure}
    terms = column(table(statement, "Include Non-DICOM Objects (2200,0008)"), "Term")
    assert set(terms) == {*IncludeNonDICOMObjects, "another term"}


def test_the_fourteen_items_of_s_4_2_are_there(statement: Statement) -> None:
    items = [
        item
        for block in statement.section("Items of PS3.4 S.4.2").blocks
        if isinstance(block, Bullets)
        for item in block.items
    ]
    assert [int(match[1]) for item in items if (match := re.match(r"\*\*(\d+)\.", item))] == [
        *range(1, 15)
    ]


@pytest.mark.parametrize("operation", list(STATUSES_BY_OPERATION))
def test_statuses_are_listed_once_and_are_never_warnings_of_n_create(operation: str) -> None:
    rows = STATUSES_BY_OPERATION[operation]
    assert len({row.code for row in rows}) == len(rows)
    warnings = {row.code for row in rows if row.service_status == "Warning"}
    assert warnings == ({0x0001} if operation == "N-GET" else set())  # PS3.4 S.3.2.1.3
    assert 0x0105 not in {row.code for row in rows}


def test_every_profile_has_the_roles_that_the_code_has(statement: Statement) -> None:
    content = table(statement, "Application Profiles, real-world activities and roles")
    assert column(content, "Supported Application Profile") == list(PROFILES)
    creators = {row[0] for row in content.rows if row[1] == "FSC"}
    assert creators == set(OFFERED)
    assert {row[3] for row in content.rows} == {"FSR"}
    updaters = {row[0] for row in content.rows if row[2] == "FSU"}
    assert updaters == {
        label for label, profile in OFFERED.items() if "CD" in profile.media and not profile.secure
    }
    written = table(statement, "Application Profiles that are written")
    assert set(column(written, "Application Profile")) == set(OFFERED)
    others = table(statement, "Application Profiles that are read only")
    assert set(column(others, "Application Profile")) == PROFILES.keys() - OFFERED.keys()


def test_a_secure_profile_that_is_not_written_lacks_its_medium(statement: Statement) -> None:
    content = table(statement, "Application Profiles that are read only")
    reasons = {row[0]: row[3] for row in content.rows}
    assert reasons["STD-GEN-SEC-DVD-RAM"] == "no device makes the medium DVD-RAM"
    assert reasons["STD-GEN-SEC-ZIP-MAIL"].startswith("security:")


def test_media_and_records_are_listed(statement: Statement) -> None:
    assert column(table(statement, "Media"), "Medium") == list(MEDIA)
    records = column(table(statement, "DICOMDIR: keys of directory records"), "Record")
    assert {record.removesuffix(" (root)") for record in records} == set(KEYS)


def test_every_key_of_a_record_is_listed_with_its_type(statement: Statement) -> None:
    content = table(statement, "DICOMDIR: keys of directory records")
    listed = {(row[0].removesuffix(" (root)"), row[2], row[3]) for row in content.rows}
    wanted = {
        (record, tag_text(key.tag), key.type) for record, keys in KEYS.items() for key in keys
    }
    assert wanted <= listed


def test_every_setting_is_listed_with_its_default_and_its_meaning(statement: Statement) -> None:
    for name, field in Settings.model_fields.items():
        is_list = isinstance(field.default, tuple)
        caption = f"Settings [[{name}]]" if is_list else f"Settings [{name}]"
        content = table(statement, caption)
        keys = [key.strip("`") for key in column(content, "Key")]
        if is_list:
            continue
        value = getattr(Settings(), name)
        assert keys == list(type(value).model_fields)
        for key, default in zip(keys, column(content, "Default"), strict=True):
            assert default == printed(getattr(value, key)), f"{name}.{key}"
        assert set(column(content, "As configured")) == {"default"}


def test_the_shipped_configuration_explains_every_setting(statement: Statement) -> None:
    unexplained = set()
    for content in statement.tables:
        if content.caption.startswith("Settings "):
            name = content.caption.removeprefix("Settings ").strip("[]")
            keys = [key.strip("`") for key in column(content, "Key")]
            unexplained |= {(name, key) for key in keys if not meanings().get((name, key))}
    assert unexplained == set()
    halves = {key for key, meaning in meanings().items() if meaning.endswith((",", ";"))}
    assert halves == set()


def test_the_configuration_is_told() -> None:
    archive = PeerSettings(ae_title="ARCHIVE", host="192.0.2.7", may=("retrieve",))
    settings = Settings(peer=(archive,), retrieval=RetrievalSettings(method="C-GET"))
    text = write_markdown(make_statement(settings))
    assert "| ARCHIVE | any | 192.0.2.7:104 | no TLS required | retrieve |" in text
    assert "The archives of this configuration are the remote AEs" in text
    assert '| `method` | "C-MOVE" | "C-GET" |' in text
    assert "no archive may be asked" in write_markdown(make_statement(Settings()))


def test_configured_sop_classes_are_those_that_are_listed() -> None:
    ct, private = "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.2.1396.999"
    settings = Settings(storage=StorageSettings(sop_classes=(ct, private)))
    uids = column(table(make_statement(settings), "SOP Classes of the AE"), "SOP Class UID")
    assert {ct, private} <= set(uids)
    assert len(set(uids) & STORAGE_SOP_CLASSES) == 1


def test_passwords_are_not_told() -> None:
    settings = Settings(
        database=DatabaseSettings(url="postgresql://burnish:pl4in@host/discs"),
        security=SecuritySettings(password=SecretStr("pl4in")),
    )
    text = write_markdown(make_statement(settings))
    assert "postgresql://burnish:***@host/discs" in text
    assert "(secret)" in text
    assert "pl4in" not in text


def test_the_shipped_document_is_what_the_command_prints() -> None:
    shipped = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert shipped == write_markdown(make_statement(Settings())), (
        "run `burnish conformance --output docs/conformance.md`"
    )
