"""`db recover`, `db restore`, `db backup`: no instance is lost, whatever is started next."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete, func, select

from burnish import roles, storage_register
from burnish.db import backup
from burnish.db.session import Database
from burnish.db.tables import DatabaseIdentity, Instance, MediaCreationRequest, Segment
from burnish.errors import OperatorError
from burnish.receive import Receiver
from burnish.settings import Settings
from crash.interrupted import Operation
from crash.life import settings_of
from factories import SampleInstance, instance, new_database

_INSTANCES = 5
_IN_BACKUP = 3
_LAST_REQUEST = 41


def _damage(database: Path) -> None:
    database.write_bytes(b"damaged" * 2000)


def _empty(database: Path) -> None:
    """What another program left: a database of this version, without rows."""
    emptied = Database(f"sqlite:///{database}")
    with emptied.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(Segment))
        session.execute(delete(DatabaseIdentity))
    emptied.close()


class Rebuilding:
    """Recovery, or restoring a backup, after a `mishap` with the database."""

    def __init__(self, name: str, mishap: Callable[[Path], None], *, restores: bool) -> None:
        self.name, self._mishap, self._restores = name, mishap, restores

    def prepare(self, root: Path) -> None:
        """A storage root whose backup knows some of its instances, and a mishap with it."""
        _fill(root)
        storage_register.raise_last_request(root, _LAST_REQUEST)
        self._mishap(root / "burnish.db")

    def act(self, root: Path) -> None:
        roles.rebuild_database(settings_of(root), root / "backup" if self._restores else None)

    def check(self, root: Path, *, done: bool) -> None:
        """Start the service; where it refuses, do again what it asks for."""
        settings = settings_of(root)
        try:
            roles.prepare(settings)
        except OperatorError as refused:
            assert not done, refused  # noqa: PT017
            assert "burnish db recover" in refused.hint, refused  # noqa: PT017
            self.act(root)
            roles.prepare(settings)
        roles.remove_leftovers(settings)
        spool = roles.open_spool(settings)
        database = roles.open_database(settings)
        with database.reading() as session:
            rows = session.scalars(select(Instance)).all()
            assert len(rows) == _INSTANCES, rows
            for row in rows:
                assert row.released_at is None, row
                assert spool.slice(row.spool_key, row.size).is_whole(), row
            last = session.scalar(select(func.max(MediaCreationRequest.id)))
        assert last == _LAST_REQUEST, last
        database.close()


class Backup:
    """`burnish db backup` of a database in use."""

    name = "backup"

    def prepare(self, root: Path) -> None:
        _fill(root)
        (root / "safe").mkdir()

    def act(self, root: Path) -> None:
        target = root / "safe" / "backup"
        if not target.exists():
            backup.save(settings_of(root).database_url, target)
            return
        # power that fails while a file gets its name may leave it under both names
        target.with_name("backup.part").unlink(missing_ok=True)

    def check(self, root: Path, *, done: bool) -> None:
        """A backup under its name is whole, and the database is as it was."""
        roles.prepare(settings_of(root))
        assert _count(root / "burnish.db") == _INSTANCES
        target = root / "safe" / "backup"
        if done:
            assert [path.name for path in target.parent.iterdir()] == ["backup"]
        if done or target.exists():
            backup.check_pages(target)
            assert _count(target) == _INSTANCES


def _count(path: Path) -> int:
    database = Database(f"sqlite:///{path}")
    with database.reading() as session:
        count = session.scalar(select(func.count()).select_from(Instance))
    database.close()
    return count or 0


def _fill(root: Path) -> None:
    settings = settings_of(root)
    new_database(root / "burnish.db")
    roles.prepare(settings)
    _receive(settings, [instance(instance_number=number) for number in range(_IN_BACKUP)])
    backup.save(settings.database_url, root / "backup")
    newer = range(_IN_BACKUP, _INSTANCES)
    _receive(settings, [instance(instance_number=number) for number in newer])


def _receive(settings: Settings, instances: list[SampleInstance]) -> None:
    database = roles.open_database(settings)
    receiver = Receiver(database, roles.open_spool(settings))
    for sample in instances:
        receiver.receive(sample.arriving())
    receiver.close()
    database.close()


REBUILDINGS: tuple[Operation, ...] = (
    Rebuilding("lost, recovered", Path.unlink, restores=False),
    Rebuilding("lost, restored", Path.unlink, restores=True),
    Rebuilding("damaged, restored", _damage, restores=True),
    Rebuilding("emptied, recovered", _empty, restores=False),
)
