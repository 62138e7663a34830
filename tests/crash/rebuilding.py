"""Recovery and restore, killed at each step: no instance is lost, whatever is started next."""

import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import delete, func, select

from burnish import roles, storage_register
from burnish.db import backup
from burnish.db.session import Database
from burnish.db.tables import DatabaseIdentity, Instance, MediaCreationRequest
from burnish.errors import OperatorError
from burnish.receive import Receiver
from burnish.settings import Settings
from crash.life import settings_of
from crash.steps import Steps
from crash.sweep import in_child
from factories import SampleInstance, instance, new_database

_INSTANCES = 5
_LAST_REQUEST = 41


def _damage(database: Path) -> None:
    database.write_bytes(b"damaged" * 2000)


def _empty(database: Path) -> None:
    """What another program left: a database of this version, without rows."""
    emptied = Database(f"sqlite:///{database}")
    with emptied.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(DatabaseIdentity))
    emptied.close()


#: What happened to the database, and whether it is restored from a backup.
_MISHAPS: dict[str, tuple[Callable[[Path], None], bool]] = {
    "lost, recovered": (Path.unlink, False),
    "lost, restored": (Path.unlink, True),
    "damaged, restored": (_damage, True),
    "emptied, recovered": (_empty, False),
}


def points(folder: Path, steps: Steps) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each step of each recovery."""
    template = folder / "before"
    _fill(template)
    # the last point of each comes first, so that a run with few points sees different mishaps
    counts = {name: _attempt(folder, steps, name, 0) for name in _MISHAPS}
    for step in range(1, max(counts.values()) + 1):
        for name, count in counts.items():
            if step <= count:
                yield f"{name}, step {step}", partial(_attempt, folder, steps, name, step)


def _fill(root: Path) -> None:
    """A storage root whose backup knows some of its instances."""
    root.mkdir()
    settings = settings_of(root)
    new_database(root / "burnish.db")
    roles.prepare(settings)
    _receive(settings, [instance(instance_number=number) for number in range(3)])
    backup.save(settings.database_url, root / "backup")
    _receive(settings, [instance(instance_number=number) for number in range(3, _INSTANCES)])
    storage_register.raise_last_request(root, _LAST_REQUEST)


def _receive(settings: Settings, instances: list[SampleInstance]) -> None:
    database = roles.open_database(settings)
    receiver = Receiver(database, roles.open_spool(settings))
    for sample in instances:
        incoming = receiver.open(
            sop_class_uid=sample.sop_class_uid,
            sop_instance_uid=sample.sop_instance_uid,
            transfer_syntax_uid=sample.transfer_syntax_uid,
            calling_ae_title="MODALITY",
            called_ae_title="BURNISH",
        )
        incoming.write(memoryview(sample.data_set))
        receiver.accept(incoming)
    receiver.close()
    database.close()


def _attempt(folder: Path, steps: Steps, name: str, step: int) -> int:
    root = folder / "rebuilt"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder / "before", root)
    mishap, has_backup = _MISHAPS[name]
    mishap(root / "burnish.db")
    settings = settings_of(root)
    source = root / "backup" if has_backup else None
    steps.watch(root)
    if step:
        steps.kill_at(step)
    code, text = in_child(partial(roles.rebuild_database, settings, source))
    taken = steps.count
    steps.forget()
    assert code in (0, -signal.SIGKILL), text
    code, text = in_child(partial(_start, settings, source))
    assert code == 0, text
    return taken


def _start(settings: Settings, source: Path | None) -> None:
    """Start the service; where it refuses, do again what it asks for."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        roles.prepare(settings)
    except OperatorError as refused:
        assert "burnish db recover" in refused.hint, refused  # noqa: PT017
        roles.rebuild_database(settings, source)
        roles.prepare(settings)
    roles.remove_leftovers(settings)
    spool = roles.open_spool(settings)
    keys = set(spool.published_keys())
    assert len(keys) == _INSTANCES, keys
    database = roles.open_database(settings)
    with database.reading() as session:
        rows = session.execute(select(Instance.spool_key, Instance.released_at)).all()
        assert {key for key, _ in rows} == keys, rows
        assert not any(released_at for _, released_at in rows), rows
        last = session.scalar(select(func.max(MediaCreationRequest.id)))
    assert last == _LAST_REQUEST, last
    database.close()
