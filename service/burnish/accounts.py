"""Stage: users of the web, their sessions, tokens for programs, and one-time links.

Secrets (cookies, tokens, links) are random, and only their digests are stored. Passwords are
stored as argon2id hashes. OpenID Connect and a directory will be further ways to `begin_session`.
"""

import hashlib
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from burnish.db.session import Database
from burnish.db.tables import Account, AccountSession, ApiToken, FailedSignIn, OneTimeLink
from burnish.errors import (
    AlreadyExists,
    InvalidValue,
    NotAuthorized,
    NotNow,
    TooManyAttempts,
    Unknown,
)
from burnish.values import AccountRole, Actor

log = structlog.get_logger(__name__)

MINIMUM_PASSWORD = 10
_LONGEST_NAME, _LONGEST_PASSWORD = 64, 256
LINK_LIFETIME = timedelta(hours=24)
#: Failed attempts to sign in are counted for this time.
ATTEMPT_WINDOW = timedelta(minutes=15)
#: How many of them are permitted with one name from one address; with one name or from one address.
_ATTEMPTS, _ATTEMPTS_OF_EITHER = 10, 100
#: How exact the last use of a session or token is known: so often its row is written.
_SEEN = timedelta(minutes=1)
_TOKEN_PREFIX = "burnish_"  # noqa: S105

_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
#: Compared where there is no such user, so that the answer takes as long.
_NO_HASH = _HASHER.hash(secrets.token_hex())
#: Each comparison takes 32 MB: they wait for each other.
_hashing = threading.Lock()


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One user in a list."""

    name: str
    role: AccountRole
    has_password: bool
    created_at: datetime
    signed_in_at: datetime | None
    sessions: int


@dataclass(frozen=True, slots=True)
class TokenLine:
    """One token in a list, without its secret."""

    name: str
    role: AccountRole
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token when it is made, the only time that it is shown."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class NewLink:
    """The link by which a user sets a password within a day."""

    name: str
    link: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whom a cookie or token stands for."""

    name: str
    role: AccountRole
    account_id: int | None = None
    session_id: int | None = None
    csrf_token: str = ""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts: at all, and without a request."""

    lifetime: timedelta
    idle: timedelta


# --- users


def accounts(session: Session) -> list[AccountLine]:
    """All users, by name."""
    rows = session.execute(
        select(Account, func.count(AccountSession.id))
        .outerjoin(AccountSession, AccountSession.account_id == Account.id)
        .group_by(Account.id)
        .order_by(Account.name)
    )
    return [
        AccountLine(
            account.name,
            account.role,
            bool(account.password_hash),
            account.created_at,
            account.signed_in_at,
            sessions,
        )
        for account, sessions in rows
    ]


def has_administrator(session: Session) -> bool:
    """Whether there is an administrator who has set a password."""
    return bool(_other_administrators(session, None))


def add_account(session: Session, name: str, role: AccountRole, *, by: Actor) -> Account:
    """Add a user, who has no password yet; raises InvalidValue, AlreadyExists."""
    name = _checked_name(name)
    if session.scalar(select(Account.id).where(Account.name == name)):
        raise AlreadyExists(f"there is a user {name} already")
    account = Account(name=name, role=role, created_at=datetime.now(UTC))
    session.add(account)
    session.flush()
    log.info("user added", user=name, role=role.value, by=str(by))
    return account


def remove_account(session: Session, name: str, *, by: Actor) -> None:
    """Remove a user and end all sessions of theirs; raises Unknown, NotNow."""
    account = _account(session, name)
    _keep_an_administrator(session, account)
    session.delete(account)
    log.info("user removed", user=name, by=str(by))


def set_role(session: Session, name: str, role: AccountRole, *, by: Actor) -> None:
    """Give a user another role, from the next request on; raises Unknown, NotNow."""
    account = _account(session, name)
    if role is not AccountRole.ADMINISTRATOR:
        _keep_an_administrator(session, account)
    account.role = role
    log.info("role changed", user=name, role=role.value, by=str(by))


def hash_password(password: str) -> str:
    """The hash to store of a password; raises InvalidValue.

    It takes a tenth of a second, so it is made before the transaction that stores it begins.
    """
    if not MINIMUM_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise InvalidValue(f"a password has {MINIMUM_PASSWORD} to {_LONGEST_PASSWORD} characters")
    with _hashing:
        return _HASHER.hash(_normal(password))


def set_password(session: Session, name: str, password_hash: str, *, by: Actor) -> None:
    """Set the password of a user and end all sessions of theirs; raises Unknown."""
    account = _account(session, name)
    account.password_hash = password_hash
    session.execute(delete(AccountSession).where(AccountSession.account_id == account.id))
    session.execute(delete(OneTimeLink).where(OneTimeLink.account_id == account.id))
    log.info("password set", user=name, by=str(by))


# --- one-time links


def new_link(session: Session, name: str = "") -> str:
    """The secret of a new link by which a user, or else the first administrator, sets a password.

    Raises Unknown; NotNow if there is an administrator already.
    """
    account_id = None
    if name:
        account_id = _account(session, name).id
    elif has_administrator(session):
        raise NotNow(
            "there is an administrator already", hint="burnish user password NAME makes a new link"
        )
    now = datetime.now(UTC)
    session.execute(delete(OneTimeLink).where(OneTimeLink.expires_at <= now))
    secret = secrets.token_urlsafe(24)
    session.add(
        OneTimeLink(account_id=account_id, digest=_digest(secret), expires_at=now + LINK_LIFETIME)
    )
    return secret


def name_of_link(session: Session, secret: str) -> str:
    """The user that a link is for; "" for the first administrator. Raises Unknown."""
    link = _link(session, secret)
    if link.account_id is None:
        return ""
    return session.get_one(Account, link.account_id).name


def use_link(session: Session, secret: str, name: str, password_hash: str) -> str:
    """Set the password of the user of a link, who may then sign in; returns the name.

    `name` is that of the first administrator. Raises Unknown, InvalidValue, NotNow.
    """
    link = _link(session, secret)
    if link.account_id is None:
        name = _first_administrator(session, name)
    else:
        name = session.get_one(Account, link.account_id).name
    set_password(session, name, password_hash, by=Actor("user", name))
    if link.account_id is None:
        session.execute(delete(OneTimeLink).where(OneTimeLink.account_id.is_(None)))
    return name


def _first_administrator(session: Session, name: str) -> str:
    name = _checked_name(name)
    by = Actor("user", name)
    if has_administrator(session):
        raise NotNow("there is an administrator already", hint="sign in")
    if session.scalar(select(Account.id).where(Account.name == name)) is None:
        add_account(session, name, AccountRole.ADMINISTRATOR, by=by)
    else:
        set_role(session, name, AccountRole.ADMINISTRATOR, by=by)
    return name


# --- sessions


def sign_in(database: Database, name: str, password: str, *, address: str) -> str:
    """Check a password and begin a session; returns the secret of its cookie.

    Raises NotAuthorized, TooManyAttempts.
    """
    name = unicodedata.normalize("NFC", name.strip())[:_LONGEST_NAME]
    with database.reading() as session:
        _check_attempts(session, name, address)
        account = session.scalar(select(Account).where(Account.name == name))
    password_hash = account.password_hash if account else ""
    is_right = _verify(password_hash or _NO_HASH, password) and bool(password_hash)
    now = datetime.now(UTC)
    with database.writing() as session:
        session.execute(delete(FailedSignIn).where(FailedSignIn.at < now - ATTEMPT_WINDOW))
        if not is_right or account is None:
            session.add(FailedSignIn(name=name, address=address, at=now))
        else:
            return begin_session(session, account.id, address=address)
    log.warning("sign-in failed", address=address)
    raise NotAuthorized("the name or the password is wrong")


def begin_session(session: Session, account_id: int, *, address: str) -> str:
    """Begin a session of a user whose identity was checked; returns the secret of its cookie."""
    account = session.get_one(Account, account_id)
    secret = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    account.signed_in_at = now
    session.add(
        AccountSession(
            account_id=account_id,
            digest=_digest(secret),
            csrf_token=secrets.token_urlsafe(24),
            address=address,
            began_at=now,
            seen_at=now,
        )
    )
    log.info("signed in", user=account.name, address=address)
    return secret


def find_session(
    database: Database, secret: str, limits: SessionLimits, *, is_use: bool = True
) -> SignedIn | None:
    """Whom a cookie stands for; None if the session has ended. `is_use`: it is used by that."""
    now = datetime.now(UTC)
    with database.reading() as session:
        row = session.execute(
            select(AccountSession, Account)
            .join(Account, AccountSession.account_id == Account.id)
            .where(AccountSession.digest == _digest(secret))
        ).one_or_none()
    if row is None:
        return None
    present_session, account = row
    if (
        present_session.began_at + limits.lifetime <= now
        or present_session.seen_at + limits.idle <= now
    ):
        return None
    if is_use and present_session.seen_at + _SEEN <= now:
        _note_use(database, present_session, limits, now)
    return SignedIn(
        account.name, account.role, account.id, present_session.id, present_session.csrf_token
    )


def end_session(session: Session, session_id: int) -> None:
    """Sign out."""
    session.execute(delete(AccountSession).where(AccountSession.id == session_id))


def _note_use(
    database: Database, used: AccountSession, limits: SessionLimits, now: datetime
) -> None:
    with database.writing() as session:
        row = session.get(AccountSession, used.id)
        if row is not None:
            row.seen_at = now
        ended = or_(
            AccountSession.began_at <= now - limits.lifetime,
            AccountSession.seen_at <= now - limits.idle,
        )
        session.execute(delete(AccountSession).where(ended))


def _check_attempts(session: Session, name: str, address: str) -> None:
    counted = FailedSignIn.at > datetime.now(UTC) - ATTEMPT_WINDOW
    by_name, by_address = FailedSignIn.name == name, FailedSignIn.address == address
    of_both, of_name, of_address = session.execute(
        select(
            func.count().filter(by_name & by_address),
            func.count().filter(by_name),
            func.count().filter(by_address),
        ).where(counted)
    ).one()
    if of_both >= _ATTEMPTS or max(of_name, of_address) >= _ATTEMPTS_OF_EITHER:
        minutes = ATTEMPT_WINDOW.total_seconds() / 60
        raise TooManyAttempts(
            "too many attempts to sign in failed", hint=f"try again in {minutes:.0f} minutes"
        )


# --- tokens


def tokens(session: Session) -> list[TokenLine]:
    """All tokens, by name."""
    return [
        TokenLine(row.name, row.role, row.created_by, row.created_at, row.expires_at, row.used_at)
        for row in session.scalars(select(ApiToken).order_by(ApiToken.name))
    ]


def create_token(
    session: Session, name: str, role: AccountRole, *, lifetime: timedelta | None, by: Actor
) -> str:
    """A new token; it is shown only now. Raises InvalidValue, AlreadyExists."""
    name = _checked_name(name)
    if session.scalar(select(ApiToken.id).where(ApiToken.name == name)):
        raise AlreadyExists(f"there is a token {name} already")
    if lifetime is not None and lifetime <= timedelta(0):
        raise InvalidValue("a token has to last some time")
    secret = _TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    session.add(
        ApiToken(
            name=name,
            role=role,
            digest=_digest(secret),
            created_by=str(by),
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
    )
    log.info("token created", token=name, role=role.value, by=str(by))
    return secret


def revoke_token(session: Session, name: str, *, by: Actor) -> None:
    """Revoke a token; raises Unknown."""
    token = session.scalar(select(ApiToken).where(ApiToken.name == name))
    if token is None:
        raise Unknown(f"no token {name}")
    session.delete(token)
    log.info("token revoked", token=name, by=str(by))


def find_token(database: Database, secret: str) -> SignedIn | None:
    """Whom a token stands for; None if it has expired or was revoked."""
    now = datetime.now(UTC)
    with database.reading() as session:
        token = session.scalar(select(ApiToken).where(ApiToken.digest == _digest(secret)))
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        return None
    if token.used_at is None or token.used_at + _SEEN <= now:
        with database.writing() as session:
            row = session.get(ApiToken, token.id)
            if row is not None:
                row.used_at = now
    return SignedIn(token.name, token.role)


# --- helpers


def _account(session: Session, name: str) -> Account:
    account = session.scalar(select(Account).where(Account.name == name))
    if account is None:
        raise Unknown(f"no user {name}", hint="`burnish user list` shows them")
    return account


def _link(session: Session, secret: str) -> OneTimeLink:
    link = session.scalar(select(OneTimeLink).where(OneTimeLink.digest == _digest(secret)))
    if link is None or link.expires_at <= datetime.now(UTC):
        raise Unknown(
            "the link was used already, or is more than a day old",
            hint="ask an administrator for a new one: burnish user password NAME",
        )
    return link


def _other_administrators(session: Session, account: Account | None) -> int:
    query = (
        select(func.count())
        .select_from(Account)
        .where(Account.role == AccountRole.ADMINISTRATOR, Account.password_hash != "")
    )
    if account is not None:
        query = query.where(Account.id != account.id)
    return session.scalar(query) or 0


def _keep_an_administrator(session: Session, account: Account) -> None:
    is_one = account.role is AccountRole.ADMINISTRATOR and account.password_hash
    if is_one and not _other_administrators(session, account):
        raise NotNow(
            f"{account.name} is the only administrator", hint="add another administrator first"
        )


def _checked_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or "/" in name:
        raise InvalidValue(f"a name has 1 to {_LONGEST_NAME} printable characters, and no slash")
    return name


def _verify(password_hash: str, password: str) -> bool:
    with _hashing:
        try:
            return _HASHER.verify(password_hash, _normal(password[:_LONGEST_PASSWORD]))
        except (VerifyMismatchError, InvalidHashError):
            return False


def _normal(password: str) -> str:
    """One spelling of a password, whatever keyboard it was typed with."""
    return unicodedata.normalize("NFKC", password)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
