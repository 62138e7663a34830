"""The settings: defaults, the example file, rejected values, the environment."""

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from burnish.errors import InvalidSettings
from burnish.media import MEDIA
from burnish.settings import (
    ApplicationProfileSettings,
    DeviceSettings,
    PeerSettings,
    Settings,
    SOPClassSettings,
    StandingOrderSettings,
    UserSettings,
    read_settings,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "burnish.toml"


@pytest.fixture(autouse=True)
def _without_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("BURNISH_"):
            monkeypatch.delenv(name)


def settings_of(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "burnish.toml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file)


def with_array_tables() -> dict[str, Any]:
    """The example file, including its commented-out arrays of tables."""
    text = re.sub(r"(?m)^# (\[\[|[a-z_]+ = )", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    return tomllib.loads(text)


def test_the_example_file_holds_the_defaults() -> None:
    assert read_settings(EXAMPLE).model_dump() == read_settings(None).model_dump()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_the_example_file_has_every_key_of_each_table(name: str) -> None:
    table = with_array_tables()[name]
    tables = {
        "peer": PeerSettings,
        "user": UserSettings,
        "standing_order": StandingOrderSettings,
        "device": DeviceSettings,
        "application_profile": ApplicationProfileSettings,
        "sop_class": SOPClassSettings,
    }
    model = tables.get(name) or type(getattr(read_settings(None), name))
    assert issubclass(model, BaseModel)
    examples = table if isinstance(table, list) else [table]
    assert {key for example in examples for key in example} == set(model.model_fields)


def test_the_example_file_is_valid_with_its_array_tables_too(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^# (\[\[|[a-z_]+ = )", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    settings = settings_of(tmp_path, text)
    assert [peer.ae_title for peer in settings.peer] == ["PACS1"]
    assert [order.name for order in settings.standing_order] == ["ultrasound"]
    assert settings.called_ae_titles == {"BURNISH", "BURN_US"}
    assert settings.devices[0].capacity_of("DVD") == 700_000_000


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[dicom]\nprot = 104", "dicom.prot: there is no such key"),
        ("[[dicom]]\nport = 104", "dicom: expected a table"),
        ('[peer]\nae_title = "A"', "peer: expected a list"),
        ("[dicomm]\nport = 104", "dicomm"),
        ("port = 104", "port"),
        ("[dicom]\nport = 65536", "dicom.port"),
        ("[dicom]\nport = -1", "dicom.port"),
        ('[dicom]\nport = "http"', "dicom.port"),
        ('[dicom]\nae_title = "SEVENTEEN_LETTERS"', "dicom.ae_title"),
        ('[dicom]\nae_title = "  "', "dicom.ae_title"),
        ("[dicom]\nae_title = 'A\\B'", "dicom.ae_title"),
        ("[dicom]\nmaximum_pdu_size = 0", "dicom.maximum_pdu_size"),
        ('[dicom]\nidle_timeout = "10 parsecs"', "dicom.idle_timeout"),
        ('[dicom]\nidle_timeout = "-5s"', "dicom.idle_timeout"),
        ('[dicom]\nidle_timeout = "99999999999d"', "dicom.idle_timeout"),
        ('[database]\nwait = "0s"', "database.wait"),
        ('[database]\nwait = "1d"', "database.wait"),
        ("[dicom]\nidle_timeout = 10", "dicom.idle_timeout: a"),
        ("[dicom]\nidle_timeout = -10", "dicom.idle_timeout"),
        ('[retention]\nidle_requests = "soon"', "retention.idle_requests"),
        ('[storage]\ndurability = "maybe"', "storage.durability"),
        ("[storage]\nhigh_water = 1.5", "storage.high_water"),
        ('[request]\nallow_media_splitting = "yes"', "request.allow_media_splitting"),
        ('[request]\nrequest_priority = "URGENT"', "request.request_priority"),
        ("[request]\nnumber_of_copies = 0", "request.number_of_copies"),
        (
            '[request]\nrequested_media_application_profile = "STD-GEN-VHS"',
            "request.requested_media_application_profile",
        ),
        ('[request]\nfile_set_id_prefix = "lower"', "request.file_set_id_prefix"),
        ('[[peer]]\nae_title = "PACS1"\nmay = ["burn"]', "peer.0.may.0"),
        ('[[peer]]\nmay = ["echo"]', "peer.0.ae_title: this key is required"),
        ('[[peer]]\nae_title = "A"\naddresses = ["here"]', "addresses.0: an"),
        ('[[peer]]\nae_title = "A"\naddresses = ["10.0.0.1/8"]', "0: an address"),
        ('[[peer]]\nae_title = "A"\ncertificate = "AB:CD"', "peer.0.certificate"),
        ('[[peer]]\nae_title = "A"\ncertificate = "CN=a"', "peer.0: certificate needs"),
        ('[[peer]]\nae_title = "A"\nmay = ["retrieve"]', 'peer.0: may = ["retrieve"] needs'),
        ('[[peer]]\nae_title = "A"\ntls = true', "[[peer]] A: tls = true needs ca"),
        ('[[user]]\nname = ""', "user.0.name"),
        ('[[user]]\nname = "a"\n[[user]]\nname = "a"', "[[user]]"),
        ('[tls]\ncertificate = "a.pem"', "tls: certificate and key"),
        ("[tls]\nonly = true", "tls: only = true needs"),
        ('[tls]\ncertificate = "a"\nkey = "b"', "tls: client_certificate"),
        ('[[standing_order]]\nname = "us"', "standing_order.0"),
        ('[[device]]\nname = "outbox"\nmedia = ["VHS"]', "device.0"),
        ('[[device]]\nname = "outbox"\nmedia = []', "device.0"),
        ('[[device]]\nname = "outbox"\ncapacity = "7 floppies"', "device.0.capacity"),
        ('[[device]]\nname = "outbox"\ncapacity = "%s"' % ("9" * 400), "device.0.capacity"),
        ('[[device]]\nname = "a"\n[[device]]\nname = "a"', "[[device]]"),
        ('[[peer]]\nae_title = "A"\n[[peer]]\nae_title = "A "', "[[peer]]"),
        ('[log]\nlevel = "loud"', "log.level"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        settings_of(tmp_path, text)
    assert key in str(raised.value)
    assert "config/burnish.toml" in raised.value.hint


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"dicom\.port.*; .*log\.level"):
        settings_of(tmp_path, '[dicom]\nport = -1\n[log]\nlevel = "loud"')


def test_the_message_for_invalid_toml_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"burnish\.toml"):
        settings_of(tmp_path, "[dicom\nport = 104")


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"nowhere\.toml: no such configuration file"):
        read_settings(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("1.5m", timedelta(seconds=90)),
        ("24h", timedelta(days=1)),
        (" 7 d ", timedelta(days=7)),
    ],
)
def test_durations_have_units(tmp_path: Path, text: str, expected: timedelta) -> None:
    settings = settings_of(tmp_path, f'[request]\nwait_for_instances = "{text}"')
    assert settings.request.wait_for_instances == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000", 1000), ('"1000"', 1000), ('"700MB"', 700_000_000), ('"1.5kib"', 1536)],
)
def test_sizes_have_units(tmp_path: Path, text: str, expected: int) -> None:
    settings = settings_of(tmp_path, f'[[device]]\nname = "outbox"\ncapacity = {text}')
    assert settings.devices[0].capacity == expected


def test_the_environment_overrides_the_file_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_DICOM__PORT", "104")
    monkeypatch.setenv("BURNISH_RETENTION__IDLE_REQUESTS", "2d")
    settings = settings_of(tmp_path, '[dicom]\nport = 4242\nae_title = "HERE"')
    assert settings.dicom.port == 104
    assert settings.dicom.ae_title == "HERE"
    assert settings.retention.idle_requests == timedelta(days=2)


def test_a_wrong_value_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BURNISH_DICOM__PORT", "http")
    with pytest.raises(InvalidSettings, match=r"dicom\.port"):
        read_settings(None)
    monkeypatch.setenv("BURNISH_DICM__PORT", "104")
    with pytest.raises(InvalidSettings, match=r"BURNISH_DICM__PORT: there is no table \[dicm\]"):
        read_settings(None)


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        (":".join(["ab"] * 32), "AB" * 32),
        ("ab" * 32, "AB" * 32),
        ("C = IT, O = Hospital,CN=ct1", "C=IT,O=Hospital,CN=ct1"),
    ],
)
def test_a_certificate_can_be_written_as_openssl_prints_it(written: str, normalized: str) -> None:
    assert PeerSettings(ae_title="A", tls=True, certificate=written).certificate == normalized


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings(None).dicom.port = 104


def test_the_default_device_is_a_folder_in_the_storage_root(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[storage]\nroot = "/srv/burnish"')
    [device] = settings.devices
    assert device == DeviceSettings(name="outbox", directory=Path("/srv/burnish/outbox"))
    assert device.media == tuple(MEDIA)
    assert all(device.capacity_of(name) == medium.capacity for name, medium in MEDIA.items())


def test_the_default_directory_of_a_device_has_its_name(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, '[[device]]\nname = "a"\n[[device]]\nname = "b"\ndirectory = "/media/b"'
    )
    assert [device.directory for device in settings.devices] == [
        Path("var/a"),
        Path("/media/b"),
    ]


def test_each_kind_of_device_has_its_own_media_and_keys() -> None:
    drive = DeviceSettings(name="d", kind="optical", drive="/dev/sr0")
    assert drive.media == ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
    options = {"drive": "/dev/sr0", "program": "xorriso", "speed": 0, "erase": False, "eject": True}
    options["finalise"] = True
    assert drive.burner_options() == options
    assert not DeviceSettings(**drive.model_dump() | {"finalise": False}).burner_options()[
        "finalise"
    ]
    assert [device.directory for device in Settings(device=(drive,)).devices] == [None]
    robot = {"name": "r", "kind": "epson", "directory": "/jobs", "exchange": "/exchange"}
    assert "compares" not in DeviceSettings(**robot, compares=True).burner_options()
    for arguments, message in (
        ({"name": "d", "kind": "teleprinter"}, "folder, mounted, optical"),
        ({"name": "d", "kind": "optical"}, "needs drive"),
        ({"name": "d", "kind": "optical", "drive": "/dev/sr0", "media": ["USB"]}, "USB"),
        ({"name": "d", "drive": "/dev/sr0"}, "drive: not for a device of kind folder"),
        ({"name": "d", "kind": "primera", "directory": "/jobs"}, "needs exchange"),
        (robot, "compares = true"),
        (
            {"name": "d", "kind": "optical", "drive": "x", "media": ["DVD"], "finalise": False},
            "only CD can be left open",
        ),
        ({"name": "d", "finalise": False}, "finalise: not for a device of kind folder"),
    ):
        with pytest.raises(ValidationError, match=re.escape(message)):
            DeviceSettings(**arguments)


def test_the_capacity_of_a_device_is_limited_by_the_medium() -> None:
    device = DeviceSettings(name="outbox", capacity=10**12)
    assert device.capacity_of("CD") == MEDIA["CD"].capacity


def test_the_default_database_is_in_the_storage_root(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[storage]\nroot = "/srv/burnish"')
    assert settings.database_url == "sqlite:////srv/burnish/burnish.db"
    settings = settings_of(tmp_path, '[database]\nurl = "postgresql+psycopg://db/burnish"')
    assert settings.database_url == "postgresql+psycopg://db/burnish"
