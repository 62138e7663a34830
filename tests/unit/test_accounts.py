"""Users of the web, their sessions, tokens and one-time links."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from burnish import accounts
from burnish.accounts import SessionLimits
from burnish.db.tables import AccountSession, ApiToken, FailedSignIn, OneTimeLink
from burnish.errors import (
    AlreadyExists,
    InvalidValue,
    NotAuthorized,
    NotNow,
    TooManyAttempts,
    Unknown,
)
from burnish.values import SERVICE, AccountRole
from factories import Ground

PASSWORD = "a long enough password"
LIMITS = SessionLimits(timedelta(hours=12), timedelta(hours=2))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def add(ground: Ground, name: str, role: AccountRole = AccountRole.DESK) -> None:
    password_hash = accounts.hash_password(PASSWORD)
    with ground.database.writing() as session:
        accounts.add_account(session, name, role, by=SERVICE)
        accounts.set_password(session, name, password_hash, by=SERVICE)


def test_the_first_administrator_sets_a_password_by_a_link_once(ground: Ground) -> None:
    password_hash = accounts.hash_password(PASSWORD)
    with ground.database.writing() as session:
        secret = accounts.new_link(session)
        assert accounts.name_of_link(session, secret) == ""
        assert accounts.use_link(session, secret, "anna", password_hash) == "anna"
        with pytest.raises(Unknown):
            accounts.name_of_link(session, secret)
        with pytest.raises(NotNow):
            accounts.new_link(session)
    assert accounts.sign_in(ground.database, "anna", PASSWORD, address="127.0.0.1")


def test_a_link_ends_after_a_day(ground: Ground) -> None:
    with ground.database.writing() as session:
        secret = accounts.new_link(session)
        session.query(OneTimeLink).one().expires_at -= accounts.LINK_LIFETIME
        session.flush()
        with pytest.raises(Unknown):
            accounts.name_of_link(session, secret)


def test_the_link_of_a_user_sets_a_password_once(ground: Ground) -> None:
    add(ground, "anna", AccountRole.ADMINISTRATOR)
    password_hash = accounts.hash_password(PASSWORD)
    with ground.database.writing() as session:
        accounts.add_account(session, "bert", AccountRole.DESK, by=SERVICE)
        first, second = (accounts.new_link(session, "bert") for _ in range(2))
        assert accounts.use_link(session, first, "", password_hash) == "bert"
        for secret in (first, second):
            with pytest.raises(Unknown, match="was used already"):
                accounts.use_link(session, secret, "", password_hash)


def test_a_link_for_the_first_administrator_makes_no_second_one(ground: Ground) -> None:
    """The first administrator was added meanwhile by the command line."""
    password_hash = accounts.hash_password(PASSWORD)
    with ground.database.writing() as session:
        secret = accounts.new_link(session)
    add(ground, "anna", AccountRole.ADMINISTRATOR)
    with (
        pytest.raises(NotNow, match="there is an administrator already"),
        ground.database.writing() as session,
    ):
        accounts.use_link(session, secret, "bert", password_hash)
    with ground.database.reading() as session:
        assert [account.name for account in accounts.accounts(session)] == ["anna"]


def test_a_session_ends_by_its_age_and_when_it_is_idle(ground: Ground) -> None:
    add(ground, "anna")
    secret = accounts.sign_in(ground.database, "anna", PASSWORD, address="127.0.0.1")
    signed_in = accounts.find_session(ground.database, secret, LIMITS)
    assert signed_in is not None
    assert signed_in.name == "anna"
    assert accounts.find_session(ground.database, secret + "x", LIMITS) is None
    with ground.database.writing() as session:
        row = session.query(AccountSession).one()
        row.began_at -= timedelta(hours=3)
        row.seen_at -= timedelta(hours=3)
    assert accounts.find_session(ground.database, secret, LIMITS) is None
    longer = SessionLimits(timedelta(hours=12), timedelta(hours=4))
    assert accounts.find_session(ground.database, secret, longer) is not None
    short = SessionLimits(timedelta(hours=2), timedelta(hours=4))
    assert accounts.find_session(ground.database, secret, short) is None


def test_a_new_password_ends_all_sessions(ground: Ground) -> None:
    add(ground, "anna")
    secret = accounts.sign_in(ground.database, "anna", PASSWORD, address="127.0.0.1")
    with ground.database.writing() as session:
        accounts.set_password(session, "anna", accounts.hash_password("x" * 12), by=SERVICE)
    assert accounts.find_session(ground.database, secret, LIMITS) is None


def test_no_secret_is_stored(ground: Ground) -> None:
    add(ground, "anna")
    cookie = accounts.sign_in(ground.database, "anna", PASSWORD, address="127.0.0.1")
    with ground.database.writing() as session:
        link = accounts.new_link(session, "anna")
        token = accounts.create_token(session, "pacs", AccountRole.DESK, lifetime=None, by=SERVICE)
    stored = b"".join(
        path.read_bytes() for path in Path(ground.settings.storage.root).glob("*.db*")
    )
    for secret in (cookie, link, token, PASSWORD):
        assert secret.encode() not in stored
    assert b"$argon2id$" in stored


def test_attempts_to_sign_in_are_limited_and_forgotten(ground: Ground) -> None:
    add(ground, "anna")
    for _ in range(10):
        with pytest.raises(NotAuthorized) as refused:
            accounts.sign_in(ground.database, "anna", "wrong password", address="10.0.0.1")
        assert not isinstance(refused.value, TooManyAttempts)
    with pytest.raises(TooManyAttempts):
        accounts.sign_in(ground.database, "anna", PASSWORD, address="10.0.0.1")
    assert accounts.sign_in(ground.database, "anna", PASSWORD, address="10.0.0.2")
    with ground.database.writing() as session:
        for row in session.query(FailedSignIn):
            row.at -= accounts.ATTEMPT_WINDOW
    assert accounts.sign_in(ground.database, "anna", PASSWORD, address="10.0.0.1")
    assert ground.count(FailedSignIn) == 0


def test_the_only_administrator_stays_one(ground: Ground) -> None:
    add(ground, "anna", AccountRole.ADMINISTRATOR)
    with ground.database.writing() as session:
        with pytest.raises(NotNow):
            accounts.remove_account(session, "anna", by=SERVICE)
        with pytest.raises(NotNow):
            accounts.set_role(session, "anna", AccountRole.DESK, by=SERVICE)
    add(ground, "berta", AccountRole.ADMINISTRATOR)
    with ground.database.writing() as session:
        accounts.remove_account(session, "anna", by=SERVICE)


def test_names_and_passwords_are_checked(ground: Ground) -> None:
    with pytest.raises(InvalidValue):
        accounts.hash_password("short")
    with ground.database.writing() as session:
        accounts.add_account(session, "Jürgen", AccountRole.DESK, by=SERVICE)
        with pytest.raises(AlreadyExists):
            accounts.add_account(session, " Ju\u0308rgen", AccountRole.DESK, by=SERVICE)
        for name in ("", "a\nb", "a/b", "a" * 65):
            with pytest.raises(InvalidValue):
                accounts.add_account(session, name, AccountRole.DESK, by=SERVICE)


def test_a_token_ends_when_it_expires_or_is_revoked(ground: Ground) -> None:
    with ground.database.writing() as session:
        secret = accounts.create_token(
            session, "pacs", AccountRole.DESK, lifetime=timedelta(days=30), by=SERVICE
        )
    signed_in = accounts.find_token(ground.database, secret)
    assert signed_in is not None
    assert signed_in.role is AccountRole.DESK
    with ground.database.writing() as session:
        row = session.query(ApiToken).one()
        assert row.expires_at is not None
        row.expires_at -= timedelta(days=31)
    assert accounts.find_token(ground.database, secret) is None
    with ground.database.writing() as session:
        accounts.revoke_token(session, "pacs", by=SERVICE)
        with pytest.raises(Unknown):
            accounts.revoke_token(session, "pacs", by=SERVICE)
