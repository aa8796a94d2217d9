"""Stands between us and a billing system: not too many calls at once, none while it is left alone, and every failure
remembered. Speaks to no vendor and decides about no change."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from app.adapters.clock import Clock
from app.adapters.places import Place
from app.adapters.vault import Vault
from app.connections import health
from app.connections.health import Failure, Standing
from app.core.billing import (
    Account,
    Applied,
    BillingProvider,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    InboundMessage,
    InboundNotice,
    NotYet,
    Preview,
    PriceList,
    ProviderRefused,
    ProviderUnavailable,
)
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import Unavailable
from app.db.database import Database

RESTS: Final = "The billing system has failed lately, and is left alone for a while."
LOOK_AGAIN_AFTER: Final = timedelta(seconds=5)
FAIR_S: Final = 1.0  # how long a call must have been under way, before that it was ended says anything
PROBED_S: Final = 2.0  # when to come back while somebody else finds out whether it answers again
SHORTEST_SECRET: Final = 6
HIDDEN: Final = "***"

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class OutOfTime(ProviderUnavailable):
    """The caller could wait no longer."""

    def __init__(self) -> None:
        super().__init__(health.SILENCE)


@dataclass(frozen=True, slots=True)
class Watch:
    """What a guard needs to know and to keep about one connection. `secrets` are kept out of what is written down.

    `sealed`: the credentials as they are stored, which tell those in use from those that were saved since.
    """

    app_id: str
    database: Database
    vault: Vault
    clock: Clock
    place: Place
    secrets: tuple[str, ...] = field(repr=False)
    sealed: str | None = field(repr=False, default=None)


class GuardedBilling(BillingProvider):
    """One caller's way to a billing system, for as long as he is busy with it: an opening, a change, a look-up.

    Raises ProviderUnavailable with `retry_after`, without a call, while the system is left alone; and where the
    caller's own time, which a call's wait for its turn is part of, ends before there is an answer. That the system was
    silent for a fair part of that time is a failure; that the caller was called off is none. No database transaction
    is open while a call is under way.
    """

    def __init__(self, provider: BillingProvider, watch: Watch, *, ends_at: float | None = None) -> None:
        """`ends_at`: when the caller's time ends, by the event loop's clock; None: he sees to that himself."""
        self._provider = provider
        self._watch = watch
        self._ends_at = ends_at
        self._noting = asyncio.Lock()
        self._has_noted_silence = False
        self._looking = asyncio.Lock()
        self._standing = Standing()
        self._looked_at: datetime | None = None
        self._news = 0
        self._claim: datetime | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._provider.capabilities

    @property
    def reads_back(self) -> bool:
        return self._provider.reads_back

    @property
    def has_previews(self) -> bool:
        return self._provider.has_previews

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        return await self._read(lambda: self._provider.find_customer(customer_id))

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        return await self._ask(lambda: self._provider.find_customers_by_email(email))

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        return await self._read(lambda: self._provider.list_subscriptions(customer_id))

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        return await self._read(lambda: self._provider.find_subscription(customer_id, subscription_id))

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        if not price_ids and not coupon_ids:
            return Catalog()
        return await self._read(lambda: self._provider.load_catalog(price_ids, coupon_ids))

    async def list_catalog(self) -> PriceList:
        return await self._read(self._provider.list_catalog)

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        return await self._read(lambda: self._provider.preview(customer_id, subscription_id, change))

    async def check(self) -> Account:
        return await self._read(self._provider.check)

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return self._provider.verify_inbound(message)

    async def apply(self, request: ChangeRequest) -> Applied:
        return await self._ask(lambda: self._provider.apply(request))

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What a merchant has sent along is read without a call, and says nothing about how calls fare."""
        return await (self._ask(ask) if self._provider.reads_back else ask())

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        slots = self._watch.place.slots
        await self._in_time(slots.acquire())
        try:
            await self._in_time(self._admit())
            answer = await self._hear(ask)
        finally:
            slots.release()
        await self._note_success()
        return answer

    async def _hear(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The call itself, and what a failure says of the system."""
        clock = asyncio.get_running_loop()
        began_at = clock.time()
        try:
            return await self._in_time(ask())
        except (ProviderRefused, NotYet):
            await self._note_success()
            raise
        except OutOfTime as silence:
            if clock.time() - began_at >= FAIR_S:
                await self._note_silence(silence)
            raise
        except ProviderUnavailable as error:
            await self._note_failure(error)
            raise

    async def _in_time(self, wait: Awaitable[T]) -> T:
        """Raises OutOfTime at the end of the caller's own time."""
        timer = asyncio.timeout_at(self._ends_at)
        try:
            async with timer:
                return await wait
        except TimeoutError:
            if not timer.expired():
                raise
            raise OutOfTime from None

    # --- Before a call ------------------------------------------------------------------------------------------------

    async def _admit(self) -> None:
        """Raises ProviderUnavailable where it is not to be asked now."""
        async with self._looking:
            now = self._watch.clock.now()
            if self._is_outdated(now):
                await self._look(now)
            if self._claim is not None:
                return
            standing = self._standing
        wait_s = standing.wait(now).total_seconds()
        if wait_s > 0 and not self._may_find_it_slow(standing):
            is_probed = standing.rest_until is not None and standing.rest_until <= now
            raise ProviderUnavailable(RESTS, retry_after=min(wait_s, PROBED_S) if is_probed else wait_s)

    def _may_find_it_slow(self, standing: Standing) -> bool:
        """Who has more time than an opening asks also while it rests for its silence alone, as changes and the worker
        do. If it fails them as well, it says so itself, and then it is left alone by all."""
        return self._ends_at is None and standing.is_silent

    def _is_outdated(self, now: datetime) -> bool:
        if self._looked_at is None:
            return True
        if self._claim is not None:
            return now >= self._claim
        if self._standing.is_open and self._standing.wait(now) <= timedelta():
            return True
        return self._news != self._watch.place.news or now - self._looked_at >= LOOK_AGAIN_AFTER

    async def _look(self, now: datetime) -> None:
        """Read how it stands; where its rest is over, try to be the one who asks."""
        watch, self._claim = self._watch, None
        self._looked_at, self._news = now, watch.place.news
        try:
            self._standing = await watch.database.read(health.find_standing, watch.app_id)
            if self._standing.is_open and self._standing.wait(now) <= timedelta():
                self._claim = await watch.database.write(health.claim_probe, app_id=watch.app_id, now=now)
                self._standing = replace(self._standing, probe_until=now + health.PROBE)
        except Unavailable:  # what is only there to spare the billing system must not keep anybody from it
            self._standing = Standing(last_ok_at=now)
            _log.warning("connection.health_not_read", app_id=watch.app_id)

    # --- After it -----------------------------------------------------------------------------------------------------

    async def _note_success(self) -> None:
        watch, now, claim = self._watch, self._watch.clock.now(), self._claim
        if not self._standing.is_success_news(now):
            return
        was_failing = self._standing.failures > 0 or self._standing.is_open
        self._claim = None
        self._standing = Standing(last_ok_at=now)  # the other calls of this caller need not say so again
        with suppress(Unavailable):
            self._standing = await watch.database.write(
                health.note_success, app_id=watch.app_id, claim=claim, now=now
            )
            if was_failing:
                watch.place.news += 1
                self._news = watch.place.news

    async def _note_silence(self, silence: OutOfTime) -> None:
        """Once for all that its caller has asked: it ends at one moment, and a system is silent or it is not."""
        async with self._noting:
            if not self._has_noted_silence:
                self._has_noted_silence = True
                await self._note_failure(silence)

    async def _note_failure(self, error: ProviderUnavailable) -> None:
        watch, now, claim = self._watch, self._watch.clock.now(), self._claim
        failure = Failure(
            redacted(error.reason, watch.secrets), error.retry_after, isinstance(error, CredentialsRefused)
        )
        if failure.refuses_credentials:
            _log.error("connection.credentials_refused", app_id=watch.app_id, reason=failure.reason)
        self._claim = None
        try:
            self._standing = await watch.database.write(
                health.note_failure,
                watch.vault,
                app_id=watch.app_id,
                failure=failure,
                claim=claim,
                now=now,
                sealed=watch.sealed,
            )
        except Unavailable:
            _log.warning("connection.failure_not_noted", app_id=watch.app_id)
            return
        watch.place.news += 1
        self._news = watch.place.news
        if self._standing.is_open:
            _log.warning(
                "connection.rests",
                app_id=watch.app_id,
                failures=self._standing.failures,
                until=str(self._standing.rest_until),
                reason=failure.reason,
            )


def redacted(reason: str, secrets: Sequence[str]) -> str:
    """The reason without our credentials, should a vendor have quoted them."""
    parts = {part for secret in secrets for part in (secret, *secret.split()) if len(part) >= SHORTEST_SECRET}
    for part in sorted(parts, key=len, reverse=True):
        reason = reason.replace(part, HIDDEN)
    return reason
