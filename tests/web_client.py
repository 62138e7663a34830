"""A client of the web application without a network, for tests."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from burnish.web.app import create_app
from factories import Ground


class WebGround(Ground):
    """A database with a spool, and the application on it."""

    def __init__(self, root: Path, **tables: Any) -> None:
        super().__init__(root, **tables)
        self.app = create_app(self.settings, self.database, self.spool)

    def client(self) -> TestClient:
        """A client that has not signed in."""
        return TestClient(self.app, follow_redirects=False)
