"""Runs the command line in this process, on an installation without a service."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import insert, select

import material
from burnish import cli, roles, settings
from burnish.db import instance_rows, schema
from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Instance
from burnish.instance_header.header import index_file


@dataclass(frozen=True, slots=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of the tests that use it: one with daylight saving time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def logging_of_the_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends what a command configures with the test, whose standard error is closed after it."""
    configure = structlog.configure

    def configure_without_cache(**options: Any) -> None:
        configure(**{**options, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure_without_cache)
    yield
    structlog.reset_defaults()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`run("request", "list")` runs a command in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("BURNISH_CONFIG", raising=False)

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["burnish", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            structlog.reset_defaults()
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Done(code, captured.out, captured.err)

    return command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose storage root is empty."""
    path = tmp_path / "burnish.toml"
    path.write_text(f'[storage]\nroot = "{tmp_path / "storage"}"\n', encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Installation:
    """A database with the instances of real files, and its configuration."""

    config: Path
    instances: tuple[Path, ...]
    studies: dict[str, list[str]]
    patients: frozenset[str]


@pytest.fixture
def installation(config: Path, real_studies: material.RealStudies) -> Installation:
    loaded = settings.read_settings(config)
    loaded.storage.root.mkdir()
    schema.upgrade(loaded.database_url)
    database = roles.open_database(loaded)
    studies: dict[str, list[str]] = {}
    patients = set()
    with database.connection() as connection:
        for path in real_studies.patients:
            indexed = index_file(path)
            header = indexed.header
            studies.setdefault(header.study_instance_uid, []).append(header.sop_instance_uid)
            patients |= {header.patient_id, header.patient_name}
            connection.execute(
                insert(Instance).values(
                    **instance_rows.header_values(header),
                    transfer_syntax_uid=indexed.transfer_syntax_uid,
                    spool_key=header.sop_instance_uid,
                    size=path.stat().st_size,
                    data_set_offset=indexed.data_set_offset,
                    digest="blake3:" + "00" * 32,
                    calling_ae_title="MODALITY",
                    called_ae_title="BURNISH",
                    received_at=datetime.now(UTC),
                )
            )
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)
    database.close()
    return Installation(config, real_studies.patients, studies, frozenset(patients))
