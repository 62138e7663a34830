"""What roles need before they run: a prepared root, locks, a log without patient data."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from burnish import roles
from burnish.db import schema
from burnish.errors import OperatorError
from burnish.settings import DatabaseSettings, LogSettings, Settings, StorageSettings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(storage=StorageSettings(root=tmp_path / "root", durability="os"))


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("times", [1, 2])
def test_preparing_makes_the_root_and_the_database(settings: Settings, times: int) -> None:
    for _ in range(times):
        roles.prepare(settings)
    database = roles.open_database(settings)
    schema.check(database)
    database.close()
    assert roles.open_spool(settings).incoming.is_dir()


def test_a_root_that_cannot_be_made_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OperatorError) as refused:
        roles.prepare(Settings(storage=StorageSettings(root=tmp_path / "file" / "root")))
    assert refused.value.hint


def test_a_database_that_cannot_be_made_is_reported_with_a_remedy(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = DatabaseSettings(url=f"sqlite:///{tmp_path}/nowhere/x.db")
    with pytest.raises(OperatorError) as refused:
        roles.prepare(settings.model_copy(update={"database": elsewhere}))
    assert refused.value.hint


def test_a_lock_has_one_holder(settings: Settings) -> None:
    held = roles.lock(settings, "serve")
    other = roles.lock(settings, "writer-outbox")
    with pytest.raises(OperatorError) as refused:
        roles.lock(settings, "serve")
    assert refused.value.hint
    os.close(held)
    os.close(roles.lock(settings, "serve"))
    os.close(other)


def test_a_writer_for_an_unknown_device_is_refused(settings: Settings) -> None:
    with pytest.raises(OperatorError) as refused:
        roles.run_writer(settings, "teleprinter")
    assert "outbox" in refused.value.hint


@pytest.mark.usefixtures("_log_as_before")
def test_each_line_of_the_log_is_one_json_object(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    roles.configure_logging(
        settings.model_copy(update={"log": LogSettings(level="info", format="json")})
    )
    log = structlog.get_logger("test")
    log.debug("not this")
    log.info("this", port=104)
    try:
        secret = "Doe^Jane"
        raise ValueError(f"{len(secret)}")
    except ValueError:
        log.exception("a defect")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["this", "a defect"]
    assert lines[0]["level"] == "info"
    assert lines[0]["port"] == 104
    assert "ValueError: 8" in lines[1]["exception"]


@pytest.mark.usefixtures("_log_as_before")
def test_control_characters_are_escaped_in_a_text_log(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    roles.configure_logging(settings.model_copy(update={"log": LogSettings(format="text")}))
    log = structlog.get_logger("test")
    log.warning(
        "rejected\r",
        bell="A\x07",
        why="\x1b[2Jgone\n2026-01-01 [info] ready",
        ae="A\x9b\u202e\u2028Ä",
    )
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("a defect")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.isprintable()
    assert r"rejected\r" in first
    assert r"bell=A\x07 " in first
    assert r"\x1b[2Jgone\n2026-01-01 [info] ready" in first
    assert r"A\x9b\u202e\u2028Ä" in first
    assert others[1].startswith("Traceback")


@pytest.mark.usefixtures("_log_as_before")
def test_a_traceback_has_no_patient_data(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values of variables have no place in a log: rich tracebacks would show them."""
    roles.configure_logging(settings)

    def fail(patient_name: str) -> None:
        raise ValueError(len(patient_name))

    try:
        fail("".join(("Sec", "ret")))
    except ValueError:
        structlog.get_logger("test").exception("a defect")
    log = capsys.readouterr().err
    assert "ValueError" in log
    assert "Secret" not in log


def test_a_signal_stops_a_role() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stopped = threading.Event()
    try:
        roles._on_stop(stopped.set)
        signal.raise_signal(signal.SIGTERM)
        assert stopped.is_set()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
