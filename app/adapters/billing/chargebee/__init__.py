"""Speaks to Chargebee Billing (API v2, Product Catalog 2.0). Translates; decides nothing."""

import re
from asyncio import gather
from collections.abc import Iterable, Sequence
from typing import Final

from app.adapters.billing.chargebee import inbound, reading, shapes
from app.adapters.billing.chargebee.changes import Changes
from app.adapters.billing.chargebee.previews import Previews
from app.adapters.billing.chargebee.site import Site, part
from app.adapters.billing.chargebee.wire import Document, Wire, is_id, segment
from app.adapters.billing.chargebee.writing import MARK
from app.adapters.billing.connection import Connection, Mode
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    InboundMessage,
    InboundNotice,
    Preview,
    PriceList,
)
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import FieldError, InvalidInput

MOST_SUBSCRIPTIONS: Final = 20
MOST_CUSTOMERS: Final = 20
MOST_LISTED: Final = 100

_MODES: Final[tuple[Mode, ...]] = ("live", "test")
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", re.ASCII)


class ChargebeeBilling:
    """One Chargebee site. It has idempotency keys for 30 minutes; after that, reading first tells what was done."""

    capabilities = frozenset(Capability) - {Capability.PAUSE_TO_ANY_DAY}
    reads_back = True
    has_previews = True

    def __init__(self, connection: Connection) -> None:
        config = connection.config
        address = config.get("api_base") or f"https://{_site(config['site'])}.chargebee.com"
        self._wire = Wire(connection.http, address, config["api_key"])
        self._clock = connection.clock
        self._site = Site(self._wire, connection.clock)
        self._changes = Changes(
            self._wire, self._site, connection.clock, config.get("cancel_reason_code", "")
        )
        self._previews = Previews(self._wire, self._site, connection.clock)
        self._api_key = config["api_key"]
        self._webhook_user = config.get("webhook_user", "")
        self._webhook_passwords = config.get("webhook_password", "")

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        found = await self._wire.find(f"/customers/{segment(customer_id)}") if is_id(customer_id) else None
        return reading.customer(part(found, "customer")) if found else None

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        """Asked as it was typed and in lower case: whether Chargebee compares without case is not documented."""
        wanted = email.casefold()
        found: dict[str, DirectCustomer] = {}
        for typed in dict.fromkeys((email, email.lower())):
            asked = ("email[is]", typed), ("sort_by[desc]", "created_at")
            for entry in await self._wire.list("/customers", asked, most=MOST_LISTED):
                customer = reading.customer(part(entry, "customer"))
                if customer is not None and customer.email and customer.email.casefold() == wanted:
                    found[customer.id] = customer
        return list(found.values())[:MOST_CUSTOMERS]

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        if not is_id(customer_id):
            return []
        asked = (
            ("customer_id[is]", customer_id),
            ("status[is_not]", "cancelled"),
            ("sort_by[desc]", "created_at"),
        )
        entries = await self._wire.list("/subscriptions", asked, most=900)
        going_on = [
            entry
            for entry in entries
            if part(entry, "subscription").get("customer_id") == customer_id
            and not reading.is_over(part(entry, "subscription"))
        ]
        going_on.sort(key=lambda entry: reading.start(part(entry, "subscription")), reverse=True)
        return await self._site.read(going_on[:MOST_SUBSCRIPTIONS])

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        entry = await self._site.find(customer_id, subscription_id)
        return next(iter(await self._site.read([entry])), None) if entry else None

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        if not price_ids and not coupon_ids:
            return Catalog()
        prices, coupons = await gather(self._site.item_prices(price_ids), self._site.coupons(coupon_ids))
        listed = _price_list(prices.values(), self._usable(coupons.values()))
        return Catalog(
            {price.id: price for price in listed.prices}, {c.id: c for c in listed.coupons if c.id}
        )

    async def list_catalog(self) -> PriceList:
        plans = (
            ("item_type[is]", "plan"),
            ("status[is]", "active"),
            ("sort_by[desc]", "updated_at"),
        )
        active = ("status[is]", "active"), ("sort_by[desc]", "created_at")
        prices, coupons = await gather(
            self._wire.list("/item_prices", plans, most=MOST_LISTED),
            self._wire.list("/coupons", active, most=MOST_LISTED),
        )
        named = [
            found
            for found in (part(entry, "coupon") for entry in coupons)
            if not str(found.get("id", "")).startswith(MARK)
        ]
        return _price_list((part(entry, "item_price") for entry in prices), self._usable(named))

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        return await self._previews.of(customer_id, subscription_id, change)

    async def check(self) -> Account:
        answer = await self._wire.get("/configurations")
        configuration = next(iter(shapes.documents(answer.get("configurations"))), {})
        domain = shapes.identifier(configuration.get("domain")) or "chargebee"
        version = configuration.get("product_catalog_version")
        if version not in (None, "v2"):
            raise CredentialsRefused("The Chargebee site is on Product Catalog 1.0; 2.0 is needed.")
        return Account(id=domain, name=domain, mode=_mode(self._api_key, domain))

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return inbound.verify(message, user=self._webhook_user, passwords=self._webhook_passwords)

    async def apply(self, request: ChangeRequest) -> Applied:
        return await self._changes.apply(request)

    def _usable(self, coupons: Iterable[Document]) -> list[Document]:
        now = self._clock.now()
        return [coupon for coupon in coupons if reading.is_usable(coupon, now)]


def connect(connection: Connection) -> ChargebeeBilling:
    return ChargebeeBilling(connection)


def _site(name: str) -> str:
    """The site as part of a host name. Anything else could send the key elsewhere."""
    if not _SITE.fullmatch(name):
        raise InvalidInput(
            fields=[FieldError("site", "Must be letters, digits and hyphens, as in acme-test.")]
        )
    return name


def _mode(api_key: str, domain: str) -> Mode:
    """A key says by its beginning which kind of site it is for; else the site's name does."""
    for mode in _MODES:
        if api_key.startswith(f"{mode}_"):
            return mode
    return "test" if domain.endswith("-test") else "live"


def _price_list(prices: Iterable[Document], coupons: Iterable[Document]) -> PriceList:
    read = [reading.price(each) for each in prices]
    named = [reading.coupon(each) for each in coupons]
    return PriceList(
        tuple(price for price in read if price is not None and price.active),
        tuple(coupon for coupon in named if coupon is not None),
    )
