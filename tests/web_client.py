"""A client of the web application without a network, for tests."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from burnish import accounts
from burnish.db.tables import ApiToken
from burnish.values import SERVICE, AccountRole
from burnish.web.app import create_app
from factories import Ground

PASSWORD = "a password for tests"
#: What the page's script adds to each request.
SCRIPT = {"hx-request": "true"}


@dataclass(frozen=True)
class SignedInClient:
    """A browser in which somebody has signed in, and the CSRF token of its pages."""

    client: TestClient
    csrf_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What the page's script adds to each request that changes something."""
        return {**SCRIPT, "x-csrf-token": self.csrf_token}

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, **more)

    def post(self, path: str, **fields: str) -> Any:
        """Sends a form as the page's script does."""
        return self.client.post(path, data=fields, headers=self.headers)


class WebGround(Ground):
    """A database with a spool, and the application on it."""

    def __init__(self, root: Path, **tables: Any) -> None:
        super().__init__(root, **tables)
        self.app = create_app(self.settings, self.database, self.spool)

    def client(self) -> TestClient:
        """A browser in which nobody has signed in."""
        return TestClient(self.app, follow_redirects=False, raise_server_exceptions=False)

    def add_user(self, name: str, role: AccountRole) -> None:
        """A user with PASSWORD."""
        password_hash = accounts.hash_password(PASSWORD)
        with self.database.writing() as session:
            accounts.add_account(session, name, role, by=SERVICE)
            accounts.set_password(session, name, password_hash, by=SERVICE)

    def signed_in(self, role: AccountRole, name: str = "") -> SignedInClient:
        """A new user of this role who has signed in."""
        name = name or role.value
        self.add_user(name, role)
        client = self.client()
        form = {"name": name, "password": PASSWORD}
        assert client.post("/sign-in", data=form, headers=SCRIPT).status_code == 200
        page = client.get("/").text
        return SignedInClient(client, page.split('"X-CSRF-Token": "')[1].split('"')[0])

    def token(self, role: AccountRole, *, expired: bool = False) -> TestClient:
        """A program with a token."""
        name = f"{role}{' expired' if expired else ''}"
        with self.database.writing() as session:
            secret = accounts.create_token(
                session, name, role, lifetime=timedelta(days=1), by=SERVICE
            )
            if expired:
                row = session.query(ApiToken).filter_by(name=name).one()
                assert row.expires_at is not None
                row.expires_at -= timedelta(days=2)
        client = self.client()
        client.headers["authorization"] = f"Bearer {secret}"
        return client
