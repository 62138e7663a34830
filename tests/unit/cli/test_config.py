"""`burnish config`: mistakes are named by key; the settings in effect are a valid file."""

import tomllib
from pathlib import Path

import pytest

from burnish import settings
from unit.cli.conftest import Run

CONFIGURATION = """
[dicom]
port = 104
acse_timeout = "90s"
[storage]
root = "/srv/burnish"
[request]
wait_for_instances = "500ms"
[[peer]]
ae_title = "PACS 1"
may = ["echo", "store"]
[[standing_order]]
name = "ultrasound"
called_ae_titles = ["BURN_US"]
[[device]]
name = "small"
media = ["CD"]
capacity = "650MB"
[retention]
idle_requests = "36h"
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "configuration.toml"
    path.write_text(CONFIGURATION, encoding="utf-8")
    return path


def test_a_valid_configuration_passes(configuration: Path, run: Run) -> None:
    done = run("config", "check", "--config", configuration)
    assert done.code == 0
    assert "valid" in done.out
    assert "small" in done.out


def test_without_a_configuration_the_defaults_are_valid(run: Run) -> None:
    assert run("config", "check").code == 0


def test_mistakes_are_named_by_key(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('[dicom]\nport = 99999\nprot = 1\n[[device]]\nname = "x"\nmedia = ["MO"]\n')
    done = run("config", "check", "--config", path)
    assert done.code == 11
    assert done.out == ""
    for key in ("dicom.port", "dicom.prot", "device.0"):
        assert key in done.err


def test_a_missing_configuration_file_is_rejected(run: Run, tmp_path: Path) -> None:
    done = run("config", "check", "--config", tmp_path / "none.toml")
    assert done.code == 11
    assert "none.toml" in done.err


def test_the_printed_settings_can_be_read_again_with_the_same_meaning(
    configuration: Path, run: Run, tmp_path: Path
) -> None:
    shown = tmp_path / "shown.toml"
    shown.write_text(run("config", "show", "--config", configuration).out, encoding="utf-8")
    before, again = settings.read_settings(configuration), settings.read_settings(shown)
    assert again.devices == before.devices
    assert again.database_url == before.database_url
    for name in ("dicom", "storage", "request", "peer", "standing_order", "retention", "log"):
        assert getattr(again, name) == getattr(before, name)


def test_the_printed_settings_have_every_key_of_the_example(run: Run) -> None:
    example = Path(__file__).resolve().parents[3] / "config" / "burnish.toml"
    example_tables = tomllib.loads(example.read_text(encoding="utf-8"))
    shown = tomllib.loads(run("config", "show").out)
    for table, keys in example_tables.items():
        assert keys.keys() == shown[table].keys()


def test_json_has_the_same_tables(configuration: Path, run: Run) -> None:
    shown = run("config", "show", "--config", configuration, "--json").json
    assert shown["dicom"]["acse_timeout"] == "90s"
    assert shown["request"]["wait_for_instances"] == "500ms"
    assert shown["device"][0]["capacity"] == 650_000_000


def test_the_environment_is_shown_in_effect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_DICOM__PORT", "4242")
    assert run("config", "show", "--json").json["dicom"]["port"] == 4242


def test_the_password_of_the_database_is_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_DATABASE__URL", "postgresql://burnish:s3cret@db/burnish")
    done = run("config", "show")
    assert "s3cret" not in done.out
    assert "postgresql://burnish:***@db/burnish" in done.out


def test_the_embedded_device_is_listed(run: Run, config: Path) -> None:
    (device,) = run("device", "list", "--json", "--config", config).json["items"]
    assert device["name"] == "outbox"
    assert device["kind"] == "folder"
    assert {"CD", "DVD", "DVD-DL", "BD", "USB", "MAIL"} <= set(device["media"])
    assert "outbox" in run("device", "list", "--config", config).out


def test_a_password_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_SECURITY__PASSWORD", "correct horse")
    for arguments in (("show",), ("show", "--json"), ("check",)):
        done = run("config", *arguments)
        assert done.code == 0
        assert "horse" not in done.out + done.err
        assert "password =" not in done.out
    assert "# password is set, and is not shown" in run("config", "show").out


def test_check_accepts_what_show_prints(run: Run, config: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown.toml"
    shown.write_text(run("config", "show", "--config", config).out, encoding="utf-8")
    done = run("config", "check", "--config", shown)
    assert done.code == 0, done.err


def test_check_accepts_what_show_prints_once_the_password_is_added(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, shown = tmp_path / "burnish.toml", tmp_path / "shown.toml"
    file.write_text('[security]\ncipher = "AES-128"\npassword = "correct horse"\n')
    shown.write_text(run("config", "show", "--config", file).out, encoding="utf-8")
    done = run("config", "check", "--config", shown)
    assert done.code == 11
    assert "`burnish config show` does not print a password" in done.err
    monkeypatch.setenv("BURNISH_SECURITY__PASSWORD", "correct horse")
    assert run("config", "check", "--config", shown).code == 0


def test_a_passcode_is_not_shown_and_addresses_are(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "burnish.toml"
    path.write_text(
        '[[user]]\nname = "ct1"\npasscode = "sesame"\n[[user]]\nname = "guest"\n'
        '[[peer]]\nae_title = "CT1"\naddresses = ["10.0.0.0/8", "192.0.2.7"]\n'
    )
    for arguments in (("show",), ("show", "--json"), ("check",)):
        done = run("config", *arguments, "--config", path)
        assert done.code == 0
        assert "sesame" not in done.out + done.err
    shown = run("config", "show", "--config", path, "--json").json
    assert shown["user"] == [{"name": "ct1"}, {"name": "guest", "passcode": ""}]
    assert shown["peer"][0]["addresses"] == ["10.0.0.0/8", "192.0.2.7/32"]
    assert run("config", "show", "--config", path).out.count("# passcode is set") == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[tls]\ncertificate = "a.pem"\nkey = "b.pem"\nca = "absent.pem"', "absent.pem"),
        ('[tls]\nca = "absent.pem"', "absent.pem"),
        ('[[user]]\nname = "ct1"\npasscode_file = "absent"', "absent"),
    ],
)
def test_missing_files_of_the_network_are_reported(
    run: Run, tmp_path: Path, text: str, name: str
) -> None:
    path = tmp_path / "burnish.toml"
    path.write_text(text)
    done = run("config", "check", "--config", path)
    assert done.code == 11
    assert name in done.err


def test_missing_files_of_secure_media_are_reported(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "burnish.toml"
    path.write_text('[security]\nrecipients = ["absent.pem"]\n')
    done = run("config", "check", "--config", path)
    assert done.code == 11
    assert "absent.pem" in done.err


def test_labels_are_checked(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "burnish.toml"
    file.write_text(f'[label]\ntemplates = "{tmp_path / "none"}"\n')
    done = run("config", "check", "--config", file)
    assert done.code == 11
    assert "label.templates" in done.err


def test_the_certificate_of_the_page_is_checked(run: Run, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text("no certificate")
    key.write_text("no key")
    file = tmp_path / "burnish.toml"
    file.write_text(f'[web]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    done = run("config", "check", "--config", file)
    assert done.code == 11
    assert "web.certificate" in done.err
