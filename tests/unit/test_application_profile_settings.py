"""`[[application_profile]]`, `[[sop_class]]`, directory keys: the rules, and what comes of them."""

from pathlib import Path

import pytest

from burnish import site_records
from burnish.application_profiles import OFFERED, PROFILES
from burnish.directory_records import Key
from burnish.errors import InvalidSettings
from burnish.settings import Settings, read_settings
from burnish.site_records import PRIVATE_RECORD, PRIVATE_RECORD_UID

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
XA = "1.2.840.10008.5.1.4.1.1.12.1"
RLE = "1.2.840.10008.1.2.5"
EXPLICIT = "1.2.840.10008.1.2.1"
PRIVATE = "2.25.4711"
AUGMENTED = f"""
[[application_profile]]
name = "AUG-XABC-CD"
base = "STD-XABC-CD"
sop_classes = ["{SECONDARY_CAPTURE}"]
"""


def settings_of(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "burnish.toml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file)


def profile_table(**keys: object) -> str:
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "[[application_profile]]\n" + "\n".join(lines)


def test_an_augmented_profile_adds_sop_classes_to_its_base(tmp_path: Path) -> None:
    settings_of(tmp_path, AUGMENTED)
    profile = OFFERED["AUG-XABC-CD"]
    base = PROFILES["STD-XABC-CD"]
    added = profile.permission_of_class(SECONDARY_CAPTURE)
    assert added.transfer_syntaxes == base.transfer_syntaxes | {EXPLICIT}
    assert not base.permission_of_class(SECONDARY_CAPTURE).transfer_syntaxes
    assert profile.permission_of_class(XA) == base.permission_of_class(XA)
    assert profile.media == base.media
    assert profile.icon is base.icon
    assert profile.base == "STD-XABC-CD"


@pytest.mark.parametrize("base", ["STD-GEN-CD", "STD-GEN-DVD-JPEG", "STD-CTMR-CD"])
@pytest.mark.parametrize("kind", ["AUG", "PRI"])
def test_a_profile_has_the_directory_keys_of_its_base_and_its_own(
    kind: str, base: str, tmp_path: Path
) -> None:
    key = '{ record = "STUDY", attribute = "ReferringPhysicianName" }'
    name = f"{kind}-ACME-MORE"
    settings_of(
        tmp_path,
        profile_table(name=f'"{name}"', base=f'"{base}"', directory_keys=f"[{key}]"),
    )
    own, keys_of_base = OFFERED[name].keys, PROFILES[base].keys
    assert keys_of_base
    for record, keys in keys_of_base.items():
        assert set(keys) <= set(own[record])
    assert Key(0x00080090, b"PN", "3") in own["STUDY"]


def test_a_private_profile_may_change_media_and_transfer_syntaxes(tmp_path: Path) -> None:
    settings_of(
        tmp_path,
        profile_table(
            name='"PRI-ACME-DVD"',
            base='"STD-GEN-CD"',
            sop_classes=[PRIVATE],
            transfer_syntaxes=[RLE],
            media=["DVD", "DVD-DL"],
        ),
    )
    profile = OFFERED["PRI-ACME-DVD"]
    assert profile.written_media == ("DVD", "DVD-DL")
    assert profile.permission_of_class(CT).transfer_syntaxes == {RLE}
    assert profile.permission_of_class(PRIVATE).transfer_syntaxes == {RLE}
    assert not PROFILES["STD-GEN-CD"].permission_of_class(PRIVATE).transfer_syntaxes


def test_a_private_profile_needs_no_base(tmp_path: Path) -> None:
    settings_of(
        tmp_path,
        profile_table(
            name='"PRI-ACME-USB"', sop_classes=[PRIVATE], transfer_syntaxes=[RLE], media=["USB"]
        ),
    )
    profile = OFFERED["PRI-ACME-USB"]
    assert profile.permission_of_class(PRIVATE).transfer_syntaxes == {RLE}
    assert not profile.permission_of_class(CT).transfer_syntaxes


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"name": '"STD-ACME-CD"', "base": '"STD-GEN-CD"'}, "begins with AUG- or PRI-"),
        ({"name": '"PRI-ACME"', "base": '"STD-GEN-CD"'}, "two or more parts"),
        ({"name": '"PRI-ACME-' + "X" * 60 + '"', "base": '"STD-GEN-CD"'}, "at most 64"),
        ({"name": '"AUG-ACME-CD"', "base": '"STD-ACME-CD"'}, "which PS3.11 does not have"),
        ({"name": '"AUG-ACME-CD"'}, "needs a base"),
        ({"name": '"AUG-ACME-CD"', "base": '"STD-GEN-CD"'}, "adds nothing to STD-GEN-CD"),
        (
            {"name": '"AUG-ACME-CD"', "base": '"STD-GEN-CD"', "sop_classes": [CT]},
            "adds nothing to STD-GEN-CD",
        ),
        (
            {"name": '"AUG-ACME-CD"', "base": '"STD-XABC-CD"', "sop_classes": [PRIVATE]},
            "2.25.4711 is private, which an Augmented profile must not have .* make it a Private",
        ),
        (
            {"name": '"AUG-A-CD"', "base": '"STD-XABC-CD"', "transfer_syntaxes": [RLE]},
            "leave out transfer_syntaxes, or make it a Private profile",
        ),
        (
            {"name": '"AUG-A-CD"', "base": '"STD-XABC-CD"', "media": ["DVD"]},
            "leave out media, or make it a Private profile",
        ),
        ({"name": '"PRI-ACME-CD"', "media": ["CD"]}, "without a base it needs sop_classes"),
        (
            {"name": '"PRI-ACME-CD"', "base": '"STD-GEN-CD"', "media": ["CD", "DVD"]},
            "its media have different formats",
        ),
        (
            {"name": '"PRI-ACME-CD"', "base": '"STD-GEN-CD"', "media": ["MOD41"]},
            "no device makes MOD41",
        ),
        (
            {"name": '"PRI-ACME-CD"', "base": '"STD-GEN-CD"', "sop_classes": ["1.02"]},
            "'1.02' is not a UID",
        ),
        (
            {
                "name": '"PRI-ACME-CD"',
                "sop_classes": [CT],
                "transfer_syntaxes": [RLE],
                "media": ["CD"],
                "restrict_to_base": "true",
            },
            "restrict_to_base needs a base",
        ),
    ],
)
def test_a_profile_that_breaks_the_rules_of_its_kind_is_rejected(
    tmp_path: Path, table: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidSettings, match=why):
        settings_of(tmp_path, profile_table(**table))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ('{ record = "PICTURE", attribute = "Rows" }', "there is no record PICTURE"),
        ('{ record = "IMAGE", attribute = "Rowes" }', "neither a tag such as"),
        ('{ record = "IMAGE", attribute = "(0008,9999)" }', "not in the standard: give its vr"),
        ('{ record = "IMAGE", attribute = "(0021,1001)" }', "give its creator and its vr"),
        (
            '{ record = "IMAGE", attribute = "(0021,0010)", creator = "A", vr = "LO" }',
            "no private attribute",
        ),
        ('{ record = "IMAGE", attribute = "Rows", creator = "A" }', "leave out creator"),
        ('{ record = "IMAGE", attribute = "PixelData" }', "with VR OB or OW cannot be a key"),
        ('{ record = "IMAGE", attribute = "IconImageSequence" }', "cannot be a directory key"),
        ('{ record = "IMAGE", attribute = "Rows", type = "1" }', "directory_keys.0.type"),
    ],
)
def test_a_directory_key_that_cannot_be_one_is_rejected(tmp_path: Path, key: str, why: str) -> None:
    with pytest.raises(InvalidSettings, match=why):
        settings_of(tmp_path, f"[request]\ndirectory_keys = [{key}]\n")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (f'uid = "{CT}"', "is a UID of the standard"),
        ('uid = "x"', "'x' is not a UID"),
        (f'uid = "{PRIVATE}"\nrecord = "SERIES"', "there is no record SERIES for instances"),
    ],
)
def test_a_sop_class_that_is_not_private_is_rejected(tmp_path: Path, table: str, why: str) -> None:
    with pytest.raises(InvalidSettings, match=why):
        settings_of(tmp_path, f"[[sop_class]]\n{table}\n")


def test_two_profiles_of_one_name_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="the name is used more than once"):
        settings_of(tmp_path, AUGMENTED + AUGMENTED)


def test_requests_and_standing_orders_may_name_the_profiles(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        AUGMENTED + '[request]\nrequested_media_application_profile = "AUG-XABC-CD"\n'
        '[[standing_order]]\nname = "a"\ncalling_ae_titles = ["A"]\nprofile = "AUG-XABC-CD"\n',
    )
    assert settings.standing_order[0].profile == "AUG-XABC-CD"
    with pytest.raises(InvalidSettings, match="does not write the profile PRI-ACME-CD"):
        settings_of(
            tmp_path,
            '[[standing_order]]\nname = "a"\ncalling_ae_titles = ["A"]\nprofile = "PRI-ACME-CD"\n',
        )


def test_the_old_prefix_of_standard_profiles_is_read(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, '[request]\nrequested_media_application_profile = "APL-GEN-CD"\n'
    )
    assert settings.request.requested_media_application_profile == "STD-GEN-CD"
    settings_of(tmp_path, AUGMENTED.replace("STD-XABC", "APL-XABC"))
    assert PROFILES["AUG-XABC-CD"].base == "STD-XABC-CD"


def test_a_configuration_without_profiles_takes_the_earlier_ones_back(tmp_path: Path) -> None:
    settings_of(tmp_path, AUGMENTED)
    settings_of(tmp_path, "")
    assert "AUG-XABC-CD" not in PROFILES
    assert "AUG-XABC-CD" not in OFFERED


def test_private_sop_classes_have_records(tmp_path: Path) -> None:
    table = f'[[sop_class]]\nuid = "{PRIVATE}"\nrecord = "IMAGE"\n'
    table += '[[sop_class]]\nuid = "2.25.4712"\nprivate_record_uid = "2.25.99"\n'
    table += profile_table(name='"PRI-ACME-CD"', base='"STD-GEN-CD"', sop_classes=["2.25.4713"])
    settings_of(tmp_path, table)
    assert site_records.record_type(PRIVATE) == "IMAGE"
    assert site_records.record_type("2.25.4712") == PRIVATE_RECORD
    assert site_records.private_record_uid("2.25.4712") == "2.25.99"
    assert site_records.record_type("2.25.4713") == PRIVATE_RECORD
    assert site_records.private_record_uid("2.25.4713") == PRIVATE_RECORD_UID
    assert site_records.record_type(CT) == "IMAGE"
    assert site_records.record_type("2.25.4714") == ""


def test_each_private_creator_has_a_block_of_its_own(tmp_path: Path) -> None:
    keys = ", ".join(
        f'{{ record = "SERIES", attribute = "(0021,1101)", creator = "{creator}", vr = "LO" }}'
        for creator in ("ZETA", "ACME")
    )
    settings_of(tmp_path, f"[request]\ndirectory_keys = [{keys}]\n")
    records = site_records.in_use()
    assert records.creators == {0x00210010: "ACME", 0x00210011: "ZETA"}
    assert records.of_every_profile["SERIES"] == (
        Key(0x00211001, b"LO", "3"),
        Key(0x00211101, b"LO", "3"),
    )
