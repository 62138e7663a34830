"""`burnish disc build` and `burnish disc verify` with secure media."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import material
import oracles
from certificates import SIGNED, Identity, identity, open_with_openssl
from unit.cli.conftest import Run

PASSWORD = "correct horse battery staple"


@pytest.fixture
def folder(tmp_path: Path, real_studies: material.RealStudies) -> Path:
    """Studies of three patients."""
    folder = tmp_path / "export"
    folder.mkdir()
    for number, path in enumerate(real_studies.patients[:6]):
        shutil.copy(path, folder / f"image {number}.dcm")
    return folder


@pytest.fixture(scope="session")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("keys"), "alice")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def plain(folder: Path, run: Run, tmp_path: Path) -> dict[str, Path]:
    """The files of the same media without protection, by SOP Instance UID."""
    done = run("disc", "build", folder, "--output", tmp_path / "open", "--json")
    root = oracles.extract(Path(done.json["volumes"][0]["image"]), tmp_path / "open-files")
    return oracles.file_set(root)


@pytest.fixture
def image(folder: Path, run: Run, tmp_path: Path, alice: Identity, password_file: Path) -> Path:
    options = ("--output", tmp_path / "out", "--profile", "STD-GEN-SEC-CD", "--json")
    protection = ("--recipient", alice.certificate, "--password-file", password_file)
    done = run("disc", "build", folder, *options, *protection)
    assert done.code == 0, done.err
    (volume,) = done.json["volumes"]
    assert volume["good"]
    assert volume["unexamined"] == 0
    assert volume["instances"] == 6
    image = Path(volume["image"])
    assert volume["size"] == image.stat().st_size
    assert volume["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert PASSWORD not in done.out + done.err
    return image


def test_openssl_opens_every_file(
    image: Path, alice: Identity, tmp_path: Path, plain: dict[str, Path]
) -> None:
    root = oracles.extract(image, tmp_path / "sealed")
    opened = tmp_path / "opened"
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != "README.TXT":
            assert b"DICM" not in path.read_bytes()[:200]
            target = opened / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(open_with_openssl(path, tmp_path, identity=alice))
    assert_same_files(opened, plain)


def test_openssl_verifies_the_signature(
    folder: Path, run: Run, alice: Identity, tmp_path: Path
) -> None:
    signer = identity(tmp_path, "signer", number=2, usage="digital_signature")
    options = ("--output", tmp_path / "out", "--profile", "STD-GEN-SEC-CD", "--json")
    protection = ("--recipient", alice.certificate, "--signer", signer.certificate)
    assert run("disc", "build", folder, *options, *protection).code == 2
    done = run("disc", "build", folder, *options, *protection, "--signer-key", signer.key)
    assert done.code == 0, done.err
    root = oracles.extract(Path(done.json["volumes"][0]["image"]), tmp_path / "sealed")
    sealed = (root / "DICOMDIR").read_bytes()
    assert SIGNED in sealed
    plain = open_with_openssl(root / "DICOMDIR", tmp_path, identity=alice)
    assert plain[128:132] == b"DICM"


def assert_same_files(opened: Path, plain: dict[str, Path]) -> None:
    oracles.dcmdump(opened / "DICOMDIR")
    oracles.dcdirdmp(opened)
    opened_files = oracles.file_set(opened)
    assert opened_files.keys() == plain.keys()
    for uid, path in opened_files.items():
        oracles.dcmdump(path)
        assert path.read_bytes() == plain[uid].read_bytes()


@pytest.mark.parametrize("protection", ["key", "password"])
def test_the_commands_in_its_readme_open_it(
    protection: str, image: Path, alice: Identity, tmp_path: Path, plain: dict[str, Path]
) -> None:
    root = oracles.extract(image, tmp_path / "sealed")
    text = (root / "README.TXT").read_bytes().decode("ascii").replace("\r\n", "\n")
    script = "\n".join(re.findall(r"^  (.*)$", text, re.MULTILINE))
    options, script = script.split("\n", 1)
    assert options == "set -- -recip CERTIFICATE.PEM -inkey KEY.PEM"
    options = f"set -- -recip {alice.certificate} -inkey {alice.key}"
    if protection == "password":
        options = f"set -- -pwri_password '{PASSWORD}'"
    (tmp_path / "open.sh").write_text(f"{options}\n{script}\n")
    subprocess.run(
        ["sh", tmp_path / "open.sh"],
        cwd=root,
        env={**os.environ, "HOME": str(tmp_path)},
        check=True,
        timeout=300,
    )
    assert {path.name for path in (tmp_path / "opened").iterdir()} == {"DICOM", "DICOMDIR"}
    assert_same_files(tmp_path / "opened", plain)


def test_it_is_verified_with_the_key_or_the_password(
    image: Path, run: Run, alice: Identity, password_file: Path
) -> None:
    for option in (("--key", alice.key), ("--password-file", password_file)):
        for profile in ((), ("--profile", "STD-GEN-SEC-CD")):
            done = run("disc", "verify", image, *option, *profile, "--json")
            assert done.code == 0, done.out
            assert done.json["instances"] == 6
            assert done.json["unexamined"] == 0
    done = run("disc", "verify", image, "--key", alice.key, "--profile", "STD-GEN-CD", "--json")
    assert done.code == 22
    assert {fault["code"] for fault in done.json["faults"]} == {"FILE_SECURE"}


def test_without_a_key_the_report_says_that_content_was_not_examined(image: Path, run: Run) -> None:
    done = run("disc", "verify", image, "--json")
    assert done.code == 0
    assert done.json["instances"] == 0
    assert done.json["unexamined"] == 7
    report = run("disc", "verify", image)
    assert "the content of 7 Secure DICOM Files was not examined" in report.out


def test_a_changed_file_is_a_fault(image: Path, run: Run, alice: Identity, tmp_path: Path) -> None:
    broken = tmp_path / "broken.iso"
    data = bytearray(image.read_bytes())
    middle = next(e for e in oracles.extents(image) if e.size > 4096 and "DICOM/" in e.path)
    data[middle.extent * 2048 + middle.size // 2] ^= 1
    broken.write_bytes(data)
    done = run("disc", "verify", broken, "--key", alice.key, "--json")
    assert done.code == 22
    (fault,) = done.json["faults"]
    assert fault["code"] == "SECURE_FILE_UNSOUND"
    assert fault["where"] == middle.path.removeprefix("/").replace("/", "\\")
    # Without the key only the form of the files is checked, which is as it was.
    assert run("disc", "verify", broken).code == 0


@pytest.mark.parametrize("option", ["--key", "--password-file"])
def test_a_wrong_key_or_password_is_no_fault_of_the_volume(
    image: Path, run: Run, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "other"
    path.write_text("other words\n")
    if option == "--key":
        path = identity(tmp_path, "mallory", number=5).key
    done = run("disc", "verify", image, option, path)
    assert done.code == 13
    assert "does not open this volume" in done.err
    assert "fault" not in done.out


def test_a_plain_file_on_secure_media_is_a_fault(
    image: Path, run: Run, alice: Identity, tmp_path: Path, plain: dict[str, Path]
) -> None:
    root = oracles.extract(image, tmp_path / "sealed")
    oracles.run("chmod", "-R", "u+w", root)
    victim = next(path for path in root.rglob("IM*") if path.is_file())
    shutil.copy(next(iter(plain.values())), victim)
    for option in ((), ("--key", alice.key)):
        done = run("disc", "verify", root, *option, "--json")
        assert done.code == 22
        assert "FILE_NOT_SECURE" in {fault["code"] for fault in done.json["faults"]}


def test_plain_media_do_not_conform_to_a_secure_profile(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    done = run("disc", "build", folder, "--output", tmp_path / "open", "--json")
    image = done.json["volumes"][0]["image"]
    done = run("disc", "verify", image, "--profile", "STD-GEN-SEC-CD", "--json")
    assert done.code == 22
    assert [fault["code"] for fault in done.json["faults"]] == ["FILE_NOT_SECURE"] * 7


def test_secure_media_with_udf_are_verified(
    folder: Path, run: Run, tmp_path: Path, alice: Identity, plain: dict[str, Path]
) -> None:
    profile = ("--profile", "STD-GEN-SEC-DVD-JPEG")
    options = ("--output", tmp_path / "dvd", "--recipient", alice.certificate, "--json")
    done = run("disc", "build", folder, *profile, *options)
    assert done.code == 0, done.err
    image = Path(done.json["volumes"][0]["image"])
    assert run("disc", "verify", image, *profile, "--key", alice.key).code == 0
    root = oracles.extract(image, tmp_path / "sealed")
    victim = max((path for path in root.rglob("IM*") if path.is_file()), key=lambda p: p.name)
    opened = open_with_openssl(victim, tmp_path, identity=alice)
    assert opened in {path.read_bytes() for path in plain.values()}


def test_secure_media_are_split_over_volumes(
    folder: Path, run: Run, tmp_path: Path, alice: Identity
) -> None:
    options = ("--profile", "STD-GEN-SEC-CD", "--recipient", alice.certificate, "--json")
    done = run("disc", "build", folder, "--output", tmp_path / "s", "--capacity", "90KB", *options)
    volumes = done.json["volumes"]
    assert len(volumes) > 1
    assert all(volume["good"] and volume["size"] <= 90_000 for volume in volumes)


def test_missing_or_unusable_protection_is_refused(
    folder: Path, run: Run, tmp_path: Path, alice: Identity, password_file: Path
) -> None:
    out = ("--output", tmp_path / "refused")
    assert run("disc", "build", folder, *out, "--profile", "STD-GEN-SEC-CD").code == 2
    assert run("disc", "build", folder, *out, "--password-file", password_file).code == 2
    password_file.write_text("caffè\n", encoding="utf-8")
    secure = ("--profile", "STD-GEN-SEC-CD")
    done = run("disc", "build", folder, *out, *secure, "--password-file", password_file)
    assert done.code == 11
    done = run("disc", "build", folder, *out, *secure, "--recipient", alice.key)
    assert done.code == 11
    assert not (tmp_path / "refused").exists()
