"""Connects billing the way a person does: says what is wrong before anything is saved, by asking the billing system
who it is. What is saved already stays in force until then."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.billing import registry
from app.adapters.billing.connection import Mode, ProviderKind
from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import SealBroken, Vault
from app.connections import health, queries
from app.connections import service as connections
from app.connections.guard import redacted
from app.connections.health import Failure
from app.core.billing import (
    Account,
    BillingProvider,
    CredentialsRefused,
    ProviderRefused,
    ProviderUnavailable,
)
from app.core.errors import Conflict, FieldError, InvalidInput
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.connections import Connection
from app.sessions import carrying
from app.settings import Network
from app.setup import service

CHECK_S: Final = 20.0
UNASKED: Final = "--no-check saves it unasked."


class ConnectionChanged(Conflict):
    code = "connection_changed"
    user_message = "Somebody else has changed this connection meanwhile. Look at it, and try again."


@dataclass(frozen=True, slots=True)
class Ports:
    """What a command needs to ask a billing system. `allowed`: private networks that may be called."""

    database: Database
    vault: Vault
    http: OutboundHttp
    clock: Clock
    allowed: Sequence[Network]


@dataclass(frozen=True, slots=True)
class _Known:
    environment: Environment
    config: Mapping[str, str]
    connection: Connection | None


async def connect_provider(
    ports: Ports,
    *,
    app_id: str,
    provider: str,
    given: Mapping[str, str],
    is_asked: bool = True,
    accepts_other_account: bool = False,
) -> Account | None:
    """Set the fields that are given, keep the others of the same billing system, and return who answers there.

    An empty value takes a field away. None: nobody was asked, because `is_asked` says so or because there is nobody to
    ask (`direct`). Raises InvalidInput with the field and what to do, EnvironmentNotFound, ConnectionChanged.
    """
    known = await ports.database.read(_known, ports.vault, app_id)
    environment = known.environment
    kept = known.config if environment.provider == provider else {}
    config = {name: value for name, value in {**kept, **given}.items() if value}
    service.check_provider(provider, config, ports.allowed)
    _check_mode(environment, PROVIDERS[provider], config)
    account = await _ask(ports, environment, PROVIDERS[provider], config, hint=UNASKED) if is_asked else None
    before = known.connection.account_id if known.connection and environment.provider == provider else None
    if account and before and account.id != before and not accepts_other_account:
        raise InvalidInput(
            fields=[
                FieldError(
                    _secret_of(PROVIDERS[provider]),
                    f"These credentials are of another account, {_named(account)}; so far it was {before}. "
                    "Customers and subscriptions of the old one will not be found. "
                    "If that is meant, repeat this with --other-account.",
                )
            ]
        )
    await ports.database.write(_save, ports.vault, environment, provider, config, account, ports.clock.now())
    return account


async def check_connection(ports: Ports, *, app_id: str) -> Account | None:
    """Ask now; if it answers, take the connection out of its rest, and up again what was put off.

    None: there is nobody to ask (`direct`), and it counts as an answer.
    Raises InvalidInput where it does not answer as it should, which is kept as well, and SealBroken.
    """
    environment, config = await ports.database.read(_kept, ports.vault, app_id)
    kind = PROVIDERS.get(environment.provider)
    if not config or kind is None:
        message = f"Billing is not connected: leavewell setup provider {app_id} …"
        raise InvalidInput(fields=[FieldError("", message)])
    now = ports.clock.now
    try:
        account = await _ask(ports, environment, kind, config)
    except _DidNotAnswer as failed:
        await ports.database.write(
            health.note_failure,
            ports.vault,
            app_id=app_id,
            failure=failed.failure,
            claim=None,
            now=now(),
            sealed=environment.provider_config,
        )
        raise
    await ports.database.write(_note_answer, app_id, account, now())
    return account


class _DidNotAnswer(InvalidInput):
    """With what is to be kept of it."""

    def __init__(self, field: str, message: str, failure: Failure) -> None:
        super().__init__(fields=[FieldError(field, message)])
        self.failure = failure


async def _ask(
    ports: Ports, environment: Environment, kind: ProviderKind, config: Mapping[str, str], *, hint: str = ""
) -> Account | None:
    """Who answers, if he may be asked and is of the environment's mode. Raises InvalidInput, which ends in the hint."""
    mode = cast("Mode", environment.mode)
    provider = registry.connect(kind.name, config, http=ports.http, clock=ports.clock, mode=mode)
    if not provider.reads_back:
        return None  # no call to the merchant's own program is harmless enough
    account = await _answer(provider, kind, config, hint)
    if account.mode is not None and account.mode != mode:
        raise InvalidInput(fields=[FieldError(_secret_of(kind), _other_mode(environment, account.mode))])
    return account


def _check_mode(environment: Environment, kind: ProviderKind, config: Mapping[str, str]) -> None:
    """What can be told without asking: nobody may save live credentials for tests, asked or not."""
    for field in kind.credential_fields:
        value = config.get(field.name, "").strip()
        mode = next((mode for begins, mode in field.modes if value.startswith(begins)), environment.mode)
        if mode != environment.mode:
            raise InvalidInput(fields=[FieldError(field.name, _other_mode(environment, mode))])


async def _answer(
    provider: BillingProvider, kind: ProviderKind, config: Mapping[str, str], hint: str
) -> Account:
    secrets = connections.secrets_in(kind, config)
    try:
        async with asyncio.timeout(CHECK_S):
            return await provider.check()
    except CredentialsRefused as refused:
        reason = redacted(refused.reason, secrets)
        failure = Failure(reason, refuses_credentials=True)
        raise _DidNotAnswer(_secret_of(kind), f"{reason} Check it there. {hint}".rstrip(), failure) from None
    except ProviderRefused as refused:
        reason = redacted(refused.reason, secrets)
        raise _DidNotAnswer(_secret_of(kind), f"{reason} {hint}".rstrip(), Failure(reason)) from None
    except ProviderUnavailable as failed:
        reason, retry_after = redacted(failed.reason, secrets), failed.retry_after
    except TimeoutError:
        reason, retry_after = f"The billing system did not answer within {CHECK_S:.0f} seconds.", None
    failure = Failure(reason, retry_after)
    field = _address_of(kind, config) if retry_after is None else ""
    remedy = "Check the address, or try again later." if field else "Try again later."
    raise _DidNotAnswer(field, f"{reason} {remedy} {hint}".rstrip(), failure)


def _known(db: Session, vault: Vault, app_id: str) -> _Known:
    environment = accounts.get_environment(db, app_id)
    try:
        config = connections.config_of(environment, vault)
    except SealBroken:  # then everything has to be given anew
        config = {}
    return _Known(environment, config, queries.find(db, app_id))


def _kept(db: Session, vault: Vault, app_id: str) -> tuple[Environment, Mapping[str, str]]:
    environment = accounts.get_environment(db, app_id)
    return environment, connections.config_of(environment, vault)


def _save(
    db: Session,
    vault: Vault,
    seen: Environment,
    provider: str,
    config: Mapping[str, str],
    account: Account | None,
    now: datetime,
) -> None:
    environment = db.get_one(Environment, seen.app_id, with_for_update=True)
    if (environment.provider, environment.provider_config) != (seen.provider, seen.provider_config):
        raise ConnectionChanged
    connections.save(
        db, vault, app_id=seen.app_id, provider=provider, config=config, now=now, account=account
    )
    carrying.take_up(db, app_id=seen.app_id, now=now)


def _note_answer(db: Session, app_id: str, account: Account | None, now: datetime) -> None:
    health.note_check(db, app_id=app_id, account=account, now=now)
    carrying.take_up(db, app_id=app_id, now=now)


def _other_mode(environment: Environment, mode: str) -> str:
    return (
        f"These are {mode} credentials, and {environment.app_id} is a {environment.mode} environment. "
        f"Use credentials of the billing system's {environment.mode} mode, or the other App ID."
    )


def _named(account: Account) -> str:
    return f"{account.id} ({account.name})" if account.name else account.id


def _secret_of(kind: ProviderKind) -> str:
    """The field that says who we are."""
    fields = kind.credential_fields
    found = next((field for field in fields if field.is_secret and field.is_required), fields[0])
    return found.name


def _address_of(kind: ProviderKind, config: Mapping[str, str]) -> str:
    """The field that says where to ask; none where it is the vendor's own address."""
    urls = (field.name for field in kind.credential_fields if field.kind == "url")
    return next((name for name in urls if config.get(name)), "")
