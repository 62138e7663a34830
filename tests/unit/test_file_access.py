"""Files that may not be used: told with owner, mode and user, and never as damage."""

import importlib
import json
import os
import pkgutil
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import burnish
from burnish import cli, file_access, roles, storage_register
from burnish.db import backup
from burnish.errors import AccessDenied, OperatorError
from burnish.settings import Settings, StorageSettings
from factories import Ground, instance

#: A user without a name and without rights.
STRANGER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that other users can enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.name.startswith(("pytest", "popen", "test_")):
            folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def filled_root(place: Path) -> Path:
    """A storage root with an instance, a backup beside it, and a configuration."""
    root = place / "root"
    with Ground(root) as ground:
        roles.prepare(ground.settings)
        ground.store(instance())
        backup.save(ground.url, place / "saved.db")
        (place / "burnish.toml").write_text(f'[storage]\nroot = "{root}"\n')
        (place / "burnish.toml").chmod(0o644)
    (root / "burnish.db").chmod(0o640)
    return root


@pytest.fixture(scope="module", autouse=True)
def _all_modules_loaded() -> None:
    """Another user may not be able to read the modules of this interpreter."""
    for module in pkgutil.walk_packages(burnish.__path__, "burnish."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("rich.table", "sqlite3", "sqlalchemy.dialects.sqlite", "alembic.op"):
        importlib.import_module(name)


def as_user(user: int, do: Callable[[], object]) -> tuple[int, str]:
    """Runs `do` in a process of another user: its exit code, and what it prints and raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1) for fd in (1, 2))
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            do()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:  # noqa: BLE001  the parent is told
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        text = output.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def burnish_as(user: int, place: Path, *arguments: object) -> tuple[int, str]:
    """A command of another user: its exit code and output."""

    def run() -> None:
        os.chdir(place)
        os.environ["BURNISH_CONFIG"] = str(place / "burnish.toml")
        sys.argv = ["burnish", *map(str, arguments)]
        cli.main()

    return as_user(user, run)


@needs_root
def test_a_denial_names_the_first_obstacle_with_owner_mode_and_user(place: Path) -> None:
    secret = place / "secret"
    (secret / "deep").mkdir(parents=True)
    (secret / "deep").chmod(0o755)
    (secret / "deep" / "file").write_bytes(b"x")
    (secret / "deep" / "file").chmod(0o640)
    secret.chmod(0o700)
    path = secret / "deep" / "file"
    assert file_access.denial(path) == ""
    _, text = as_user(STRANGER, lambda: sys.stdout.write(file_access.denial(path)))
    assert text.startswith(f"{secret}: user {STRANGER} may not enter it")
    assert "owner root (0), group root (0), mode 0700" in text
    secret.chmod(0o755)
    _, text = as_user(STRANGER, lambda: file_access.check(path))
    assert text.startswith(f"AccessDenied: {path}: user {STRANGER} may not read it")
    assert "mode 0640" in text


def test_what_does_not_exist_is_not_denied(tmp_path: Path) -> None:
    assert file_access.denial(tmp_path / "none" / "file") == ""


@needs_root
@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "check"),
        ("db", "recover"),
        ("db", "upgrade"),
        ("db", "restore", "saved.db"),
        ("db", "backup", "never.db"),
        ("request", "list"),
        ("instance", "list"),
        ("device", "pause", "outbox"),
        ("device", "list"),
        ("config", "check"),
        ("serve",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("denied", ["root", "database"])
def test_no_command_takes_a_file_it_may_not_read_for_damaged_or_lost(
    filled_root: Path, arguments: tuple[str, ...], denied: str
) -> None:
    place = filled_root.parent
    if denied == "root":
        filled_root.chmod(0o700)
    else:
        filled_root.chmod(0o755)
        (filled_root / "burnish.db").chmod(0o600)
    before = (filled_root / "burnish.db").read_bytes()
    code, text = burnish_as(STRANGER, place, *arguments)
    assert code == 10, text
    assert "root (0)" in text or "root" in text
    assert str(STRANGER) in text
    assert not re.search("damaged|recover`|db restore|Traceback|there is no database", text), text
    assert (filled_root / "burnish.db").read_bytes() == before
    assert not list(filled_root.glob("burnish.db.*"))


@needs_root
@pytest.mark.parametrize("command", ["verify", "label", "build"])
def test_a_volume_that_may_not_be_read_is_no_faulty_volume(place: Path, command: str) -> None:
    image = place / "VOLUME01.iso"
    image.write_bytes(b"x" * 4096)
    image.chmod(0o640)
    output = place / "output"
    output.mkdir()
    os.chown(output, STRANGER, STRANGER)
    (place / "burnish.toml").write_text("")
    (place / "burnish.toml").chmod(0o644)
    options = {
        "label": ("--output", output / "label.pdf"),
        "build": ("--output", output),
    }
    code, text = burnish_as(STRANGER, place, "disc", command, image, *options.get(command, ()))
    assert code == 10, text
    assert f"{image}: user {STRANGER} may not read it (owner root (0)" in text
    assert "fault" not in text


@needs_root
def test_a_backup_that_may_not_be_read_is_not_damaged(filled_root: Path) -> None:
    place = filled_root.parent
    for path in (filled_root, *filled_root.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    code, text = burnish_as(STRANGER, place, "db", "restore", place / "saved.db")
    assert code == 10
    assert "may not read it" in text
    assert "mode 0600" in text
    assert "damaged" not in text


@needs_root
def test_a_spool_file_that_may_not_be_read_ends_the_recovery(filled_root: Path) -> None:
    """It may well be an instance. The sweep would remove it if it counted as unreadable."""
    place = filled_root.parent
    (filled_root / "burnish.db").unlink()
    for path in (filled_root, *filled_root.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    [file] = [path for path in (filled_root / "spool" / "instances").rglob("*") if path.is_file()]
    os.chown(file, 0, 0)
    file.chmod(0o600)
    code, text = burnish_as(STRANGER, place, "db", "recover")
    assert code == 10
    assert f"{file}: user {STRANGER} may not read it" in text
    assert not (filled_root / "burnish.db").exists()
    os.chown(file, STRANGER, STRANGER)
    assert burnish_as(STRANGER, place, "db", "recover")[0] == 0


@needs_root
@pytest.mark.parametrize(
    "arguments",
    [("db", "recover"), ("db", "restore", "saved.db"), ("db", "upgrade")],
    ids=lambda arguments: arguments[1],
)
@pytest.mark.parametrize("is_lost", [False, True])
def test_what_root_creates_belongs_to_the_owner_of_the_storage_root(
    filled_root: Path, arguments: tuple[str, ...], is_lost: bool
) -> None:
    place = filled_root.parent
    for path in (filled_root, *filled_root.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    if is_lost:
        for path in filled_root.glob("burnish.db*"):
            path.unlink()
        shutil.rmtree(filled_root / "spool" / "incoming")
        shutil.rmtree(filled_root / "spool" / "instances" / "00")
        if arguments[1] == "upgrade":
            shutil.rmtree(filled_root / "spool")
    code, text = burnish_as(0, place, *arguments)
    assert code == 0, text
    foreign = [path for path in (filled_root, *filled_root.rglob("*")) if path.stat().st_uid == 0]
    assert foreign == []
    assert (filled_root / "burnish.db").stat().st_mode & 0o007 == 0
    assert burnish_as(STRANGER, place, "db", "check", "--spool")[0] == 0


@needs_root
def test_root_does_not_run_the_service_of_another_user(filled_root: Path) -> None:
    os.chown(filled_root / "burnish.db", STRANGER, STRANGER)
    settings = Settings(storage=StorageSettings(root=filled_root))
    with pytest.raises(OperatorError, match=f"belongs to user {STRANGER}"):
        roles.check_runs_as_owner(settings)


@needs_root
def test_a_lock_that_root_has_made_can_be_taken_by_the_service(filled_root: Path) -> None:
    for path in (filled_root, *filled_root.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    (filled_root / "burnish.db-turn").unlink(missing_ok=True)
    code, text = burnish_as(0, filled_root.parent, "device", "pause", "outbox")
    assert code == 0, text
    code, text = burnish_as(STRANGER, filled_root.parent, "device", "resume", "outbox")
    assert code == 0, text


@needs_root
@pytest.mark.parametrize(
    ("table", "name"),
    [
        ('[security]\npassword_file = "{file}"\n', "password"),
        ('[security]\nrecipients = ["{file}"]\n', "recipient"),
        ('[[user]]\nname = "ct1"\npasscode_file = "{file}"\n', "passcode"),
        ('[tls]\nca = "{file}"\n', "ca"),
        ('[[device]]\nname = "share"\ndirectory = "{folder}"\n', "folder"),
        ('[[device]]\nname = "drive"\nkind = "optical"\ndrive = "{file}"\n', "drive"),
    ],
    ids=lambda text: text if text.isalpha() else "",
)
def test_config_check_tries_what_the_service_will_need_as_this_user(
    place: Path, table: str, name: str
) -> None:
    file, folder = place / f"{name}.file", place / f"{name}.folder"
    file.write_bytes(b"secret\n")
    file.chmod(0o600)
    folder.mkdir(mode=0o700)
    storage = place / "storage"
    storage.mkdir()
    os.chown(storage, STRANGER, STRANGER)
    (place / "burnish.toml").write_text(
        f'[storage]\nroot = "{storage}"\n' + table.format(file=file, folder=folder)
    )
    (place / "burnish.toml").chmod(0o644)
    code, text = burnish_as(STRANGER, place, "config", "check")
    assert code in (10, 11), text
    assert f"{name}.f" in text
    assert f"user {STRANGER} may not" in text
    assert "root (0)" in text


@pytest.mark.parametrize("key", ["directory", "drive"])
def test_config_check_names_folders_and_drives_that_are_not_there(tmp_path: Path, key: str) -> None:
    gone = tmp_path / "not" / "there"
    kind = "optical" if key == "drive" else "folder"
    devices = [{"name": "burner", "kind": kind, key: str(gone)}]
    settings = Settings(
        storage=StorageSettings(root=tmp_path / "root"), device=json.loads(json.dumps(devices))
    )
    with pytest.raises(OperatorError, match="does not exist") as refused:
        roles.check_device(settings, settings.devices[0])
    assert str(gone) in str(refused.value)
    gone.mkdir(parents=True)
    roles.check_device(settings, settings.devices[0])


def test_the_register_outlives_a_process_killed_while_it_is_written(tmp_path: Path) -> None:
    storage_register.raise_last_request(tmp_path, 7)
    (tmp_path / "register.json.part").write_bytes(b"{")
    storage_register.set_database_identity(tmp_path, "1.2.3")
    storage_register.raise_last_request(tmp_path, 5)
    assert storage_register.read(tmp_path) == storage_register.Register("1.2.3", 7)
    (tmp_path / "register.json").write_bytes(b"{")
    with pytest.raises(OperatorError, match="damaged"):
        storage_register.read(tmp_path)


def test_access_denied_is_for_an_operator() -> None:
    assert issubclass(AccessDenied, OperatorError)
