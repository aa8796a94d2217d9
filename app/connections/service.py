"""Connects an environment to its billing system, and keeps count of what its customer data endpoint does."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlmodel import Session

from app.adapters.billing import registry
from app.adapters.billing.connection import Mode, ProviderKind, Snapshot
from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.places import Places
from app.adapters.vault import SealBroken, Vault
from app.connections import health, queries
from app.connections.customer_data import BREAKER_FAILURES, BREAKER_REST
from app.connections.guard import GuardedBilling, Watch
from app.core.billing import Account, BillingProvider, Capability
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import FieldError, InvalidInput
from app.db.database import Database
from app.db.tables.accounts import Environment


async def load(environment: Environment) -> None:
    """What `adapter_of` and `capabilities` need to be there, where they are called on the event loop."""
    await registry.load(environment.provider)


async def load_connected(database: Database) -> None:
    """Load every billing system that is connected, so that no customer waits for it."""
    for provider in await database.read(queries.list_connected_providers):
        await registry.load(provider)


async def connect(
    environment: Environment,
    *,
    database: Database,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
    places: Places,
    customer: DirectCustomer | None = None,
    subscriptions: Sequence[DirectSubscription] = (),
    ends_at: float | None = None,
) -> BillingProvider:
    """The environment's billing system, guarded: asked by few at once, and not while it is left alone.

    For one caller and what he is busy with, until `ends_at` by the event loop's clock; what the merchant sent along is
    all that `direct` can see. Raises InvalidInput for a connection that was never finished, or that no secret of ours
    opens any more.
    """
    config = _opened(environment, vault)
    await load(environment)
    provider = _adapter(environment, config, http, clock, Snapshot(customer, tuple(subscriptions)))
    kind = PROVIDERS[environment.provider]
    place = places.at(f"{environment.app_id} {kind.name}", most=kind.most_at_once)
    watch = Watch(
        environment.app_id,
        database,
        vault,
        clock,
        place,
        secrets_in(kind, config),
        environment.provider_config,
    )
    return GuardedBilling(provider, watch, ends_at=ends_at)


def adapter_of(
    environment: Environment, *, vault: Vault, http: OutboundHttp, clock: Clock
) -> BillingProvider:
    """The billing system without its guard: for what asks it nothing. Raises InvalidInput as `connect` does."""
    return _adapter(environment, _opened(environment, vault), http, clock, Snapshot())


def capabilities(
    environment: Environment, *, vault: Vault, http: OutboundHttp, clock: Clock
) -> frozenset[Capability]:
    """What the connected billing system can do; asks it nothing. Raises InvalidInput as `connect` does."""
    return adapter_of(environment, vault=vault, http=http, clock=clock).capabilities


def secrets_in(kind: ProviderKind, config: Mapping[str, str]) -> tuple[str, ...]:
    """What is secret of the values of its fields."""
    names = (field.name for field in kind.credential_fields if field.is_secret)
    return tuple(value for name in names if (value := config.get(name)))


def config_of(environment: Environment, vault: Vault) -> dict[str, str]:
    """The values of the provider's credential fields; empty before it is connected."""
    if environment.provider_config is None:
        return {}
    config: dict[str, str] = json.loads(vault.open(environment.provider_config))
    return config


def save(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    provider: str,
    config: Mapping[str, str],
    now: datetime,
    account: Account | None = None,
) -> Environment:
    """Keep how the environment's billing system is reached, sealed; and who answers there, where that was asked.

    From its commit on the new credentials are used, and the old ones until then. Raises InvalidInput, naming the field.
    """
    given = {name: value for name, value in config.items() if value}
    registry.check_config(provider, given)
    environment = db.get_one(Environment, app_id)
    is_other_system = environment.provider != provider
    environment.provider = provider
    environment.provider_config = vault.seal(json.dumps(given, sort_keys=True))
    db.flush()
    health.begin_anew(db, app_id=app_id, account=account, is_other_system=is_other_system, now=now)
    return environment


def count_customer_data(db: Session, *, app_id: str, has_failed: bool, now: datetime) -> None:
    """After five failures in a row the endpoint is left alone for thirty seconds, then tried once more."""
    environment = db.get_one(Environment, app_id, with_for_update=has_failed)
    if not has_failed:
        if environment.customer_data_failures:
            environment.customer_data_failures = 0
            environment.customer_data_skip_until = None
        return
    environment.customer_data_failures += 1
    if environment.customer_data_failures >= BREAKER_FAILURES:
        environment.customer_data_skip_until = now + BREAKER_REST


def _opened(environment: Environment, vault: Vault) -> dict[str, str]:
    try:
        return config_of(environment, vault)
    except SealBroken:
        message = "Sealed with a secret that LEAVEWELL_SECRET no longer has."
        raise InvalidInput(fields=[FieldError("provider_config", message)]) from None


def _adapter(
    environment: Environment, config: Mapping[str, str], http: OutboundHttp, clock: Clock, snapshot: Snapshot
) -> BillingProvider:
    return registry.connect(
        environment.provider,
        config,
        http=http,
        clock=clock,
        mode=cast("Mode", environment.mode),
        snapshot=snapshot,
    )
