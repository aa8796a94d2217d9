"""Connects an environment to its billing system, and keeps count of what its customer data endpoint does."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlmodel import Session

from app.adapters.billing import registry
from app.adapters.billing.connection import Mode, Snapshot
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import SealBroken, Vault
from app.connections.customer_data import BREAKER_FAILURES, BREAKER_REST
from app.core.billing import BillingProvider, Capability
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import FieldError, InvalidInput
from app.db.tables.accounts import Environment


def connect(
    environment: Environment,
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
    customer: DirectCustomer | None = None,
    subscriptions: Sequence[DirectSubscription] = (),
) -> BillingProvider:
    """The environment's billing system, ready to be asked. What the merchant sent along is all that `direct` can see.

    Raises InvalidInput for a connection that was never finished, or that no secret of ours opens any more.
    """
    try:
        config = config_of(environment, vault)
    except SealBroken:
        message = "Sealed with a secret that LEAVEWELL_SECRET no longer has."
        raise InvalidInput(fields=[FieldError("provider_config", message)]) from None
    return registry.connect(
        environment.provider,
        config,
        http=http,
        clock=clock,
        mode=cast("Mode", environment.mode),
        snapshot=Snapshot(customer, tuple(subscriptions)),
    )


def capabilities(
    environment: Environment, *, vault: Vault, http: OutboundHttp, clock: Clock
) -> frozenset[Capability]:
    """What the connected billing system can do; asks it nothing. Raises InvalidInput as `connect` does."""
    return connect(environment, vault=vault, http=http, clock=clock).capabilities


def config_of(environment: Environment, vault: Vault) -> dict[str, str]:
    """The values of the provider's credential fields; empty before it is connected."""
    if environment.provider_config is None:
        return {}
    config: dict[str, str] = json.loads(vault.open(environment.provider_config))
    return config


def save(
    db: Session, vault: Vault, *, app_id: str, provider: str, config: Mapping[str, str], now: datetime
) -> Environment:
    """Keep how the environment's billing system is reached, sealed. Raises InvalidInput, naming the field."""
    given = {name: value for name, value in config.items() if value}
    registry.check_config(provider, given)
    environment = db.get_one(Environment, app_id)
    environment.provider = provider
    environment.provider_config = vault.seal(json.dumps(given, sort_keys=True))
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
