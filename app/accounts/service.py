"""Makes organizations and keys, and tells whose a request is. A key is shown once, kept sealed, found by its hash."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal

from sqlmodel import Session

from app.accounts import queries
from app.adapters.vault import Vault
from app.core.errors import AppError, Conflict, FieldError, Forbidden, InvalidInput, NotFound, Unauthorized
from app.db.base import new_id
from app.db.tables.accounts import ApiKey, Environment, Organization

Mode = Literal["live", "test"]
MODES: Final[tuple[Mode, ...]] = ("live", "test")
MAX_ACTIVE_KEYS: Final = 10
USE_NOTED_EVERY: Final = timedelta(minutes=1)


class Scope(StrEnum):
    """What a data key may ask for."""

    SESSIONS = "sessions.read"
    SESSIONS_PII = "sessions.read_pii"
    DSR = "dsr"
    USAGE = "usage.read"
    FLOWS = "flows.read"


# What a key gets that names none: to read, without personal data, and to erase nothing.
DEFAULT_SCOPES: Final = (Scope.SESSIONS, Scope.USAGE, Scope.FLOWS)


class OrganizationExists(Conflict):
    code = "organization_exists"
    user_message = "There is an organization of this name already."


class TooManyKeys(Conflict):
    code = "too_many_keys"
    user_message = f"An environment has at most {MAX_ACTIVE_KEYS} active keys. Revoke one first."


class KeyNotFound(NotFound):
    code = "key_not_found"
    user_message = "There is no such key in this environment."


class EnvironmentNotFound(NotFound):
    code = "environment_not_found"
    user_message = "There is no environment with this App ID."


class NoActiveKey(AppError):
    code = "no_active_key"
    status = 409
    user_message = "The environment has no active API key."


class ScopeMissing(Forbidden):
    code = "scope_missing"
    user_message = "The key has not the scope that this needs."


# What a key is for shows in its first letters, so to say that it is the wrong kind tells nobody anything.
_LOOKS: Final = (("test_data_", True), ("data_", True), ("test_", False), ("live_", False))
NO_DATA_KEY: Final = (
    "Data keys (data_…, test_data_…) do not work here: give a key that mints links (live_…, test_…)."
)
NO_LINK_KEY: Final = (
    "Keys that mint links (live_…, test_…) do not work here: give a data key (data_…, test_data_…)."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an API request says of itself. The key is known here by its hash alone."""

    app_id: str
    key_sha256: str
    is_data_key: bool | None = None  # by its look alone; None: it looks like no key of ours


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes an API request: the environment, and the key it came with."""

    app_id: str
    mode: Mode
    return_origins: Sequence[str]
    key_id: str
    key_used_at: datetime | None

    def is_use_news(self, now: datetime) -> bool:
        """Whether this use of the key is to be noted: once a minute, not at each request."""
        return self.key_used_at is None or now - self.key_used_at > USE_NOTED_EVERY


@dataclass(frozen=True, slots=True)
class DataCaller:
    """Who makes a request with a data key. The key alone decides the environment, and with it the mode."""

    app_id: str
    mode: Mode
    organization_id: str
    key_id: str
    scopes: frozenset[str]
    key_used_at: datetime | None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises ScopeMissing, which names the scope."""
        if not self.may(scope):
            raise ScopeMissing(f"The key has not the scope that this needs: {scope}.")

    def is_use_news(self, now: datetime) -> bool:
        """As `Caller.is_use_news`."""
        return self.key_used_at is None or now - self.key_used_at > USE_NOTED_EVERY


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown, this once."""

    id: str
    secret: str


def create_organization(db: Session, *, name: str, slug: str, now: datetime) -> Organization:
    """An organization with its live and its test environment, without keys. Raises OrganizationExists."""
    if queries.find_organization(db, slug) is not None:
        raise OrganizationExists
    organization = Organization(id=new_id("org"), name=name, slug=slug, created_at=now)
    db.add(organization)
    db.flush()
    for mode in MODES:
        prefix = "app" if mode == "live" else "app_test"
        db.add(Environment(app_id=new_id(prefix), organization_id=organization.id, mode=mode, created_at=now))
    db.flush()
    return organization


def create_key(db: Session, vault: Vault, *, app_id: str, now: datetime) -> NewKey:
    """One more active key; the others stay valid, so that a merchant can change over without a gap."""
    environment = get_environment(db, app_id)
    return _add_key(db, vault, environment, prefix=environment.mode, kind="flow", scopes=None, now=now)


def create_data_key(
    db: Session, vault: Vault, *, app_id: str, scopes: Sequence[str] = DEFAULT_SCOPES, now: datetime
) -> NewKey:
    """A key for the Data API, `data_…` or `test_data_…`. Raises InvalidInput for a scope that there is not."""
    environment = get_environment(db, app_id)
    if set(scopes) - set(Scope):
        raise InvalidInput(
            fields=[FieldError("scopes", f"There is no such scope. There are: {', '.join(Scope)}.")]
        )
    if not scopes:
        raise InvalidInput(fields=[FieldError("scopes", "Give at least one.")])
    prefix = "data" if environment.mode == "live" else "test_data"
    chosen = [str(scope) for scope in Scope if scope in scopes]
    return _add_key(db, vault, environment, prefix=prefix, kind="data", scopes=chosen, now=now)


def _add_key(
    db: Session,
    vault: Vault,
    environment: Environment,
    *,
    prefix: str,
    kind: str,
    scopes: list[str] | None,
    now: datetime,
) -> NewKey:
    there = queries.list_keys(db, environment.app_id, kind=kind)
    if sum(key.revoked_at is None for key in there) >= MAX_ACTIVE_KEYS:
        raise TooManyKeys
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=new_id("key"),
        app_id=environment.app_id,
        kind=kind,
        scopes=scopes,
        key_sha256=_digest(secret),
        key_encrypted=vault.seal(secret),
        hint=secret[-4:],
        created_at=now,
    )
    db.add(key)
    return NewKey(key.id, secret)


def revoke_key(db: Session, *, app_id: str, key_id: str, now: datetime) -> None:
    """The key stops working at once; links minted with it keep working. Raises KeyNotFound."""
    key = db.get(ApiKey, key_id)
    if key is None or key.app_id != app_id:
        raise KeyNotFound
    key.revoked_at = key.revoked_at or now


def get_environment(db: Session, app_id: str) -> Environment:
    environment = queries.find_environment(db, app_id)
    if environment is None:
        raise EnvironmentNotFound
    return environment


def credentials(app_id: str, api_key: str) -> Credentials:
    """What a request sent as its App ID and key, fit for look-ups: text that no database takes matches nothing."""
    is_data_key = next((is_it for prefix, is_it in _LOOKS if api_key.startswith(prefix)), None)
    return Credentials(app_id if app_id.isprintable() else "", _digest(api_key), is_data_key)


def authenticate(db: Session, given: Credentials) -> Caller:
    """Whose request this is. Every way of being wrong is the same Unauthorized, after the same one look-up."""
    found = queries.find_caller(db, app_id=given.app_id, key_sha256=given.key_sha256)
    if found is None:
        raise Unauthorized(NO_DATA_KEY if given.is_data_key else None)
    return Caller(found.app_id, found.mode, found.return_origins, found.key_id, found.last_used_at)


def authenticate_data(db: Session, given: Credentials) -> DataCaller:
    """As `authenticate`, for requests with a data key; the App ID may be either one of the key's organization."""
    found = queries.find_data_caller(db, app_id=given.app_id, key_sha256=given.key_sha256)
    if found is None:
        raise Unauthorized(NO_LINK_KEY if given.is_data_key is False else None)
    return DataCaller(
        app_id=found.app_id,
        mode=found.mode,
        organization_id=found.organization_id,
        key_id=found.key_id,
        scopes=frozenset(found.scopes or ()),
        key_used_at=found.last_used_at,
    )


def note_use(db: Session, caller: Caller | DataCaller, *, now: datetime) -> None:
    """Keep when the key was last used, to the minute."""
    if caller.is_use_news(now):
        queries.note_use(db, key_id=caller.key_id, now=now, unless_since=now - USE_NOTED_EVERY)


def signing_key(db: Session, vault: Vault, *, app_id: str, minted_with: str | None) -> str:
    """The secret that signs towards the merchant: of the key that minted the link while it is valid, else of the
    oldest active one. Raises NoActiveKey."""
    active = [k for k in queries.list_keys(db, app_id) if k.revoked_at is None]
    chosen = next((k for k in active if k.id == minted_with), active[0] if active else None)
    if chosen is None:
        raise NoActiveKey
    return vault.open(chosen.key_encrypted)


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
