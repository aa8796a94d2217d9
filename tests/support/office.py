"""A billing system in memory, as a vendor of our own making: it fails as told, signs webhooks, and knows some keys.

`opened` lists it among the providers, as `office`; its credential field `office` says which of the open ones is meant.
"""

import asyncio
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.adapters.billing.connection import API_BASE, Connection, CredentialField, ProviderKind
from app.adapters.billing.registry import PROVIDERS
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
    InboundRefused,
    Preview,
    PriceList,
    ProviderError,
)
from app.core.direct import DirectCustomer, DirectSubscription

KEY, OTHER_KEY = "office-key-0123456789", "office-key-of-another-account"
HOOK_SECRET = "office-hook-secret-0123456789"
SIGNATURE = "x-office-signature"
WITHIN_S = 30.0

KIND = ProviderKind(
    name="office",
    label="An office",
    module="tests.support.office",
    credential_fields=(
        CredentialField("office", "Office", "Which one."),
        CredentialField("api_key", "Key", "One that it knows.", is_secret=True),
        CredentialField("hook_secret", "Hook secret", "Or two.", is_secret=True, is_required=False),
        API_BASE,
    ),
    most_at_once=2,
    has_inbound=True,
)


@dataclass
class Office:
    """`errors` are raised by the next calls, one each; while `is_held`, calls wait inside until `release`."""

    name: str
    accounts: dict[str, Account] = field(
        default_factory=lambda: {
            KEY: Account("acct_1", "Acme", "test"),
            OTHER_KEY: Account("acct_2", "Other"),
        }
    )
    errors: deque[ProviderError] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    is_held: bool = False
    inside: int = 0
    peak: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def fail(self, *errors: ProviderError) -> None:
        self.errors.extend(errors)

    async def until(self, inside: int) -> None:
        """Return once so many calls are under way. Raises TimeoutError where they never are."""
        async with asyncio.timeout(WITHIN_S), self._changed:
            await self._changed.wait_for(lambda: self.inside >= inside)

    async def release(self) -> None:
        async with self._changed:
            self.is_held = False
            self._changed.notify_all()

    async def meet(self, name: str, key: str) -> None:
        """One call: held, failed, or let through."""
        self.calls.append(name)
        error = self.errors.popleft() if self.errors else None
        async with self._changed:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: not self.is_held)
            finally:
                self.inside -= 1
        if error is not None:
            raise error
        if key not in self.accounts:
            raise CredentialsRefused(f"The office does not know the key {key}.")


OPEN: dict[str, Office] = {}


class OfficeBilling(BillingProvider):
    """What an adapter would be. It quotes the key where a real one never would."""

    capabilities = frozenset(Capability)
    reads_back = True
    has_previews = False

    def __init__(self, connection: Connection) -> None:
        self._office = OPEN[connection.config["office"]]
        self._key = connection.config["api_key"]
        self._secrets = connection.config.get("hook_secret", "").split()

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        await self._office.meet("find_customer", self._key)
        return DirectCustomer(id=customer_id)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        await self._office.meet("find_customers_by_email", self._key)
        return []

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        await self._office.meet("list_subscriptions", self._key)
        return []

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        await self._office.meet("find_subscription", self._key)
        return None

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        await self._office.meet("load_catalog", self._key)
        return Catalog()

    async def list_catalog(self) -> PriceList:
        await self._office.meet("list_catalog", self._key)
        return PriceList()

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        await self._office.meet("preview", self._key)
        return None

    async def check(self) -> Account:
        await self._office.meet("check", self._key)
        return self._office.accounts[self._key]

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        given = message.headers.get(SIGNATURE, "")
        if not any(hmac.compare_digest(given, signature(message.body, each)) for each in self._secrets):
            raise InboundRefused("The signature does not fit.")
        event = json.loads(message.body)
        at = message.headers.get("x-office-age", "0")
        if timedelta(seconds=int(at)) > timedelta(minutes=5):
            raise InboundRefused("It is too old.")
        if event.get("type") == "invoice":
            return None
        return InboundNotice(
            event["id"], tuple(event.get("subscriptions", ())), tuple(event.get("customers", ()))
        )

    async def apply(self, request: ChangeRequest) -> Applied:
        await self._office.meet("apply", self._key)
        return Applied()


def connect(connection: Connection) -> OfficeBilling:
    return OfficeBilling(connection)


def signature(body: bytes, secret: str = HOOK_SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def webhook(secret: str = HOOK_SECRET, **event: Any) -> tuple[bytes, Mapping[str, str]]:
    """A webhook as the office sends one: its body and headers."""
    body = json.dumps({"id": "evt_1", "subscriptions": ["sub_1"], **event}).encode()
    return body, {"content-type": "application/json", "X-Office-Signature": signature(body, secret)}


def config(name: str = "main", **changes: str) -> dict[str, str]:
    return {"office": name, "api_key": KEY, "hook_secret": HOOK_SECRET, **changes}


@contextmanager
def opened(name: str = "main") -> Iterator[Office]:
    """An office that can be connected."""
    assert isinstance(PROVIDERS, dict)
    PROVIDERS[KIND.name] = KIND
    OPEN[name] = Office(name)
    try:
        yield OPEN[name]
    finally:
        del OPEN[name], PROVIDERS[KIND.name]
