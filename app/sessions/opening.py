"""Opens a session: asks the billing provider and the merchant's customer data endpoint, once and at the same time,
within one deadline. Neither can stop the walk; what they did not say is left out and the reason kept."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.vault import SealBroken
from app.connections import customer_data
from app.connections import service as connections
from app.connections.customer_data import CustomerData, Endpoint
from app.core.billing import (
    BillingProvider,
    Capability,
    Catalog,
    Change,
    Preview,
    ProviderError,
    ProviderRefused,
    preview_key,
)
from app.core.direct import DirectCustomer, DirectSubscription, parse_customer, parse_subscriptions
from app.core.errors import InvalidInput
from app.core.facts import Scalar
from app.core.flow import FlowDefinition
from app.core.flow_check import named_ids
from app.core.previews import changes_to_preview
from app.core.state import Phase
from app.core.world import World, read_world
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession
from app.db.tables.verifications import Verification
from app.flows import service as flows
from app.sessions import queries, service
from app.sessions.ports import SessionPorts
from app.sessions.service import Begun, New
from app.verify import service as verify

_WAIT_STEP_S: Final = 0.05
_NOTING_S: Final = 0.25  # for the guard, which ends calls at the deadline, to write down that it did
_PREVIEW_NEEDS_S: Final = 0.1  # with less time left, the provider is not asked beforehand
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be asked of whom. `endpoint` is None where there is none, or it may not be called now."""

    environment: Environment
    flow: FlowDefinition
    customer_id: str
    subscription_id: str | None
    locale: str
    mint_attributes: dict[str, Scalar]
    direct_customer: DirectCustomer | None
    direct_subscriptions: Sequence[DirectSubscription]
    fallback: World | None
    endpoint: Endpoint | None
    skipped: str | None
    deadline_s: float


@dataclass(frozen=True, slots=True)
class _Billing:
    customer: DirectCustomer | None = None
    subscriptions: tuple[DirectSubscription, ...] = ()
    catalog: Catalog = field(default_factory=Catalog)
    capabilities: frozenset[Capability] = frozenset()
    is_verified: bool = False


Begin = Callable[[Session], Begun]


async def enter(
    ports: SessionPorts, *, token_sha256: str, browser_sha256: str, accept_language: str | None
) -> tuple[str, str | None]:
    """Exchange a link for a session of this browser and open it; its id, and what `open_session` returns.

    Raises links.LinkUnknown and links.LinkNotUsable, as `service.begin` does.
    """
    now = ports.clock.now()
    begin = partial(
        service.begin,
        token_sha256=token_sha256,
        browser_sha256=browser_sha256,
        accept_language=accept_language,
        holder=ports.holder,
        now=now,
    )
    return await enter_by(ports, begin, now)


async def enter_by(ports: SessionPorts, begin: Begin, now: datetime) -> tuple[str, str | None]:
    """Begin a session, in whatever way, and open it; its id, and what `open_session` returns."""
    session_id, order = await ports.database.write(_begin, ports, begin, now)
    if order is None:
        return session_id, await open_session(ports, session_id)
    return session_id, await _carry_out(ports, session_id, order, now)


async def open_session(ports: SessionPorts, session_id: str) -> str | None:
    """Open the session if it is this process's to open; otherwise wait, within the deadline, for whoever does it.

    Returns the screen it was opened on, None if that was not done here.
    Safe to call any number of times and from any process: the endpoint is called at most once a session, even if the
    process that called it died.
    """
    now = ports.clock.now()
    order = await ports.database.write(_claim, session_id=session_id, ports=ports, now=now)
    if order is None:
        await _wait_for_another(ports, session_id)
        return None
    return await _carry_out(ports, session_id, order, now)


async def _carry_out(ports: SessionPorts, session_id: str, order: _Order, now: datetime) -> str | None:
    billing, data = await _ask_both(ports, session_id, order, now)
    return await ports.database.write(_store, ports, session_id, order, billing, data, now)


def _begin(db: Session, ports: SessionPorts, begin: Begin, now: datetime) -> tuple[str, _Order | None]:
    """Begin and claim in one transaction; nobody else can have claimed what did not exist."""
    begun = begin(db)
    order = _order(db, ports, begun.new, is_first=True, now=now) if begun.new else None
    return begun.session_id, order


def _claim(db: Session, *, session_id: str, ports: SessionPorts, now: datetime) -> _Order | None:
    until = now + service.OPENING_LEASE
    if not queries.claim_opening(db, session_id=session_id, holder=ports.holder, now=now, until=until):
        return None
    row = db.get_one(CancelSession, session_id)
    environment = db.get_one(Environment, row.app_id)
    link = db.get_one(CancelLink, row.link_id) if row.link_id else None
    return _order(db, ports, New(row, environment, link), is_first=False, now=now)


def _order(db: Session, ports: SessionPorts, new: New, *, is_first: bool, now: datetime) -> _Order:
    row, environment, link = new.row, new.environment, new.link
    customer, subscriptions = _known_billing(db, ports, row, link)
    endpoint, skipped = None, None
    if environment.customer_data_url:
        resting = environment.customer_data_skip_until
        if not is_first:
            skipped = "interrupted"
        elif resting is not None and resting > now:
            skipped = "skipped_after_failures"
        else:
            try:
                endpoint = _endpoint(db, ports, environment, environment.customer_data_url, link)
            except accounts.NoActiveKey:
                skipped = "no_active_key"
            except SealBroken:
                _log.error("the keys of %s are sealed with a secret that is gone", environment.app_id)
                skipped = "secret_missing"
    return _Order(
        environment=environment,
        flow=flows.load(db, row.flow_version_id),
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        locale=row.locale,
        mint_attributes=link.attributes if link else {},
        direct_customer=customer,
        direct_subscriptions=subscriptions,
        fallback=_fallback(db, row),
        endpoint=endpoint,
        skipped=skipped,
        deadline_s=environment.customer_data_timeout_ms / 1000,
    )


def _known_billing(
    db: Session, ports: SessionPorts, row: CancelSession, link: CancelLink | None
) -> tuple[DirectCustomer | None, Sequence[DirectSubscription]]:
    """What the merchant has said of the customer's billing: with the link, or when the address was looked up."""
    if row.verification_id is not None:
        verification = db.get(Verification, row.verification_id)
        found = verify.found_customers(ports.vault, verification) if verification else ()
        mine = next((each for each in found if each.customer.id == row.customer_id), None)
        if mine is not None:
            return mine.customer, mine.subscriptions
    if link is None:
        return None, ()
    customer = parse_customer(link.direct_customer) if link.direct_customer else None
    return customer, parse_subscriptions(
        link.direct_subscriptions, customer
    ) if link.direct_subscriptions else ()


def _fallback(db: Session, row: CancelSession) -> World | None:
    """What was known when the receipt was written whose undo this is: a cancellation is taken back also while the
    billing system does not answer."""
    receipt = db.get(Receipt, row.receipt_id) if row.receipt_id else None
    origin = db.get(CancelSession, receipt.session_id) if receipt and receipt.session_id else None
    return read_world(origin.snapshot) if origin and origin.snapshot else None


def _endpoint(
    db: Session, ports: SessionPorts, environment: Environment, url: str, link: CancelLink | None
) -> Endpoint:
    """Where to ask, signed with the key that minted the link, else with the oldest active one. Raises NoActiveKey."""
    sealed = environment.customer_data_secret
    return Endpoint(
        url=url,
        api_key=accounts.signing_key(
            db, ports.vault, app_id=environment.app_id, minted_with=link.api_key_id if link else None
        ),
        secret=ports.vault.open(sealed) if sealed else None,
    )


async def _ask_both(
    ports: SessionPorts, session_id: str, order: _Order, now: datetime
) -> tuple[_Billing, CustomerData]:
    """One deadline for everything: an id that the endpoint replaces is looked up in what is left of it."""
    ends_at = asyncio.get_running_loop().time() + order.deadline_s
    looking = asyncio.create_task(_look_up(ports, order, order.customer_id, ends_at, now))
    try:
        data = await _ask_endpoint(ports, session_id, order, now)
        if data.customer_id and data.customer_id != order.customer_id:
            return await _look_up(ports, order, data.customer_id, ends_at, now), data
        return await looking, data
    finally:
        looking.cancel()


async def _ask_endpoint(ports: SessionPorts, session_id: str, order: _Order, now: datetime) -> CustomerData:
    if order.endpoint is None:
        return CustomerData(reason=order.skipped)
    return await customer_data.ask(
        ports.http,
        order.endpoint,
        customer_id=order.customer_id,
        message_id=f"msg_{session_id}",
        now=now,
        deadline_s=order.deadline_s,
    )


async def _look_up(
    ports: SessionPorts, order: _Order, customer_id: str, ends_at: float, now: datetime
) -> _Billing:
    try:
        async with asyncio.timeout_at(ends_at + _NOTING_S):
            provider = await ports.billing_of(
                order.environment,
                customer=order.direct_customer,
                subscriptions=order.direct_subscriptions,
                ends_at=ends_at,
            )
            customer, subscriptions, catalog = await asyncio.gather(
                provider.find_customer(customer_id),
                provider.list_subscriptions(customer_id),
                _load_catalog(provider, order.flow),
            )
    except (ProviderError, TimeoutError, InvalidInput) as error:
        _log.warning("billing of %s did not answer: %s", order.environment.app_id, str(error) or "timeout")
        return _Billing()
    billing = _Billing(customer, tuple(subscriptions), catalog, provider.capabilities, is_verified=True)
    if provider.has_previews and order.fallback is None:
        billing = replace(
            billing, catalog=await _ask_beforehand(provider, order, billing, customer_id, ends_at, now)
        )
    return billing


async def _ask_beforehand(
    provider: BillingProvider,
    order: _Order,
    billing: _Billing,
    customer_id: str,
    ends_at: float,
    now: datetime,
) -> Catalog:
    """The catalog with what the provider makes of the flow's offers, as far as it says so in the time that is left."""
    if ends_at - asyncio.get_running_loop().time() < _PREVIEW_NEEDS_S:
        return billing.catalog
    live = [s for s in billing.subscriptions if s.id == order.subscription_id] or billing.subscriptions
    changes = changes_to_preview(
        order.flow,
        subscriptions=live,
        customer=billing.customer,
        capabilities=billing.capabilities,
        catalog=billing.catalog,
        now=now,
    )
    previews: dict[str, Preview] = {}
    refused: set[str] = set()

    async def ask(subscription_id: str, change: Change) -> None:
        key = preview_key(subscription_id, change)
        try:
            said = await provider.preview(customer_id, subscription_id, change)
        except ProviderRefused:
            refused.add(key)
        except ProviderError as error:
            _log.warning("no preview at %s: %s", order.environment.app_id, error)
        else:
            if said is not None:
                previews[key] = said

    with suppress(TimeoutError):
        async with asyncio.timeout_at(ends_at + _NOTING_S), asyncio.TaskGroup() as asking:
            for subscription_id, change in changes:
                asking.create_task(ask(subscription_id, change))
    return replace(billing.catalog, previews=previews, refused=frozenset(refused))


async def _load_catalog(provider: BillingProvider, flow: FlowDefinition) -> Catalog:
    """The prices and coupons that the flow's offers name; nothing is asked where they name none."""
    prices, coupons = named_ids(flow)
    if not prices and not coupons:
        return Catalog()
    return await provider.load_catalog(prices, coupons)


def _store(
    db: Session,
    ports: SessionPorts,
    session_id: str,
    order: _Order,
    billing: _Billing,
    data: CustomerData,
    now: datetime,
) -> str | None:
    row = queries.lock_session(db, session_id)
    if row is None or row.phase != Phase.OPENING or row.opening_by != ports.holder:
        return None  # it took too long, and somebody else has opened it
    if order.endpoint is not None and (data.is_failure or order.environment.customer_data_failures):
        connections.count_customer_data(db, app_id=row.app_id, has_failed=data.is_failure, now=now)
    if not billing.is_verified and order.fallback is not None:
        known = order.fallback
        billing = replace(
            billing,
            customer=known.customer,
            subscriptions=known.subscriptions,
            capabilities=known.capabilities,
        )
    history = queries.history_of(
        db,
        app_id=row.app_id,
        customer_id=billing.customer.id if billing.customer else order.customer_id,
        subscription_ids=[s.id for s in billing.subscriptions],
        now=now,
        besides=session_id,
    )
    world = World(
        mode=row.mode,
        locale=order.locale,
        customer=billing.customer,
        subscriptions=billing.subscriptions,
        prices=dict(billing.catalog.prices),
        coupons=dict(billing.catalog.coupons),
        previews=dict(billing.catalog.previews),
        refused=billing.catalog.refused,
        capabilities=billing.capabilities,
        history=history,
        attributes=dict(data.attributes),
        mint_attributes=order.mint_attributes,
        is_verified=billing.is_verified,
    )
    row.data_call_reason = data.reason or (
        f"dropped: {', '.join(data.dropped)}"[:500] if data.dropped else None
    )
    if data.customer_id:
        row.customer_id = data.customer_id
    return service.open_with(
        db,
        row,
        holder=ports.holder,
        world=world,
        subscription_id=data.subscription_id or order.subscription_id,
        now=now,
    )


async def _wait_for_another(ports: SessionPorts, session_id: str) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + service.OPENING_LEASE.total_seconds() / 2
    while loop.time() < ends_at:
        row = await ports.database.read(queries.find_session, session_id)
        if row is None or row.phase != Phase.OPENING:
            return
        await asyncio.sleep(_WAIT_STEP_S)
