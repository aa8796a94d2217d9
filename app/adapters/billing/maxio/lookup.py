"""Everything that is read from Maxio. What does not wait for another answer is asked for at the same time."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from app.adapters.billing.maxio.bill import is_in_use
from app.adapters.billing.maxio.catalog import MOST_LISTED, coupon_terms_differ, read_coupon, read_price
from app.adapters.billing.maxio.reading import read_customer, read_subscription
from app.adapters.billing.maxio.seen import OVER, Seen, Site, read_site
from app.adapters.billing.maxio.values import (
    fields,
    identity,
    is_number,
    moment,
    text,
    unwrapped,
    wrapped_list,
)
from app.adapters.billing.maxio.wire import Query, Wire
from app.adapters.clock import Clock
from app.core.billing import ProviderUnavailable
from app.core.direct import MAX_SUBSCRIPTIONS, DirectCoupon, DirectCustomer, DirectPrice, DirectSubscription

PAGE: Final = 200
_MOST_PAGES: Final = 5
_MOST_CUSTOMERS: Final = 20
_LONGEST_REFERENCE: Final = 255
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

Found = Mapping[str, Any]


class Lookup:
    """What a site knows. Only the site itself is remembered; its currency and mode do not change."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._known_site: Site | None = None
        self._asking = asyncio.Lock()

    async def site(self) -> Site:
        """Asked anew: who is there."""
        raw = unwrapped(await self._wire.get("/site.json"), "site")
        if not raw:
            raise ProviderUnavailable("Maxio's answer was not understood: it names no site.")
        self._known_site = read_site(raw)
        return self._known_site

    async def known_site(self) -> Site:
        async with self._asking:
            return self._known_site or await self.site()

    # --- Customers ---

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        if not is_number(customer_id):
            raw = await self._raw_customer(customer_id)
            return None if raw is None else await self._customer(raw, customer_id)
        raw, custom = await asyncio.gather(
            self._raw_customer(customer_id), self._custom(f"/customers/{customer_id}")
        )
        return None if raw is None else read_customer(raw, customer_id, custom)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        """Maxio's search looks everywhere and for parts; who has the very address is decided here."""
        wanted = email.strip().casefold()
        query = [("q", email.strip()), ("direction", "desc")]
        found = await self._pages("/customers.json", "customer", query)
        same = [raw for raw in found if str(raw.get("email") or "").strip().casefold() == wanted != ""]
        return [
            await self._customer(raw, customer_id)
            for raw in same[:_MOST_CUSTOMERS]
            if (customer_id := identity(raw.get("id"))) is not None
        ]

    async def _raw_customer(self, customer_id: str) -> Found | None:
        """Digits are Maxio's id; anything else is the merchant's own reference, which must fit to the letter."""
        if is_number(customer_id):
            raw = unwrapped(await self._wire.get(f"/customers/{customer_id}.json"), "customer")
            return raw if identity(raw.get("id")) == customer_id else None
        if not 0 < len(customer_id) <= _LONGEST_REFERENCE:
            return None
        query = [("reference", customer_id)]
        raw = unwrapped(await self._wire.get("/customers/lookup.json", query), "customer")
        return raw if raw.get("reference") == customer_id and identity(raw.get("id")) else None

    async def _customer(self, raw: Found, customer_id: str) -> DirectCustomer:
        return read_customer(raw, customer_id, await self._custom(f"/customers/{identity(raw.get('id'))}"))

    # --- Subscriptions ---

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        number = customer_id
        if not is_number(customer_id):
            raw = await self._raw_customer(customer_id)
            number = identity(raw.get("id")) or "" if raw else ""
        if not number:
            return []
        found = wrapped_list(await self._wire.get(f"/customers/{number}/subscriptions.json"), "subscription")
        going_on = [raw for raw in found if raw.get("state") not in OVER]
        going_on.sort(key=lambda raw: moment(raw.get("created_at")) or _BEGINNING, reverse=True)
        newest = [raw for raw in going_on[:MAX_SUBSCRIPTIONS] if raw.get("id")]
        subscriptions = await asyncio.gather(*(self._subscription(raw, customer_id) for raw in newest))
        return [each for each in subscriptions if each is not None]

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        seen = await self.see(customer_id, subscription_id)
        return None if seen is None else self.read(seen, customer_id)

    def read(self, seen: Seen, customer_id: str) -> DirectSubscription | None:
        try:
            return read_subscription(seen, customer_id, self._clock.now())
        except ValidationError:  # beyond any bound that was foreseen
            raise ProviderUnavailable("Maxio's answer was not understood.") from None

    async def see(self, customer_id: str, subscription_id: str, *, is_brief: bool = False) -> Seen | None:
        """The customer's subscription as Maxio tells of it; `is_brief`: without components and custom fields."""
        if not is_number(subscription_id):
            return None
        raw, site = await asyncio.gather(self._raw_subscription(subscription_id), self.known_site())
        if raw is None or not _belongs(raw, customer_id):
            return None
        return Seen(raw, site) if is_brief else await self._see(raw)

    async def _subscription(self, raw: Found, customer_id: str) -> DirectSubscription | None:
        if raw.get("coupon_codes") or raw.get("coupon_code"):  # only the single read tells what they give
            raw = await self._raw_subscription(str(identity(raw.get("id")))) or raw
        return self.read(await self._see(raw), customer_id)

    async def _raw_subscription(self, subscription_id: str) -> Found | None:
        query = [("include[]", "coupons")]
        found = await self._wire.get(f"/subscriptions/{subscription_id}.json", query)
        raw = unwrapped(found, "subscription")
        return raw if identity(raw.get("id")) == subscription_id else None

    async def _see(self, raw: Found) -> Seen:
        path = f"/subscriptions/{identity(raw.get('id'))}"
        site, custom, found = await asyncio.gather(
            self.known_site(),
            self._custom(path),
            self._wire.get(f"{path}/components.json", [("in_use", "true")]),
        )
        components = [each for each in wrapped_list(found, "component") if is_in_use(each)]
        contracts: list[Found] = []
        if site.has_renewal_contracts:
            answer = fields(await self._wire.get(f"{path}/scheduled_renewals.json"))
            listed = answer.get("scheduled_renewal_configurations")
            contracts = [_inner(each) for each in listed] if isinstance(listed, list) else []
        return Seen(raw, site, components, custom, contracts)

    async def _custom(self, path: str) -> dict[str, str]:
        """Custom fields by name."""
        answer = fields(await self._wire.get(f"{path}/metadata.json", [("per_page", str(PAGE))]))
        listed = answer.get("metadata")
        found = [fields(each) for each in listed] if isinstance(listed, list) else []
        return {
            name: value
            for each in found
            if not each.get("deleted_at")
            and isinstance(name := each.get("name"), str)
            and isinstance(value := each.get("value"), str)
        }

    # --- Catalog ---

    async def load_prices(self, price_ids: Sequence[str]) -> list[DirectPrice]:
        wanted = [each for each in dict.fromkeys(price_ids) if is_number(each)]
        if not wanted:
            return []
        site = await self.known_site()
        found = await self._price_points([("filter[ids]", ",".join(wanted[:PAGE]))])
        named = list(dict.fromkeys(name for raw in found if (name := identity(raw.get("product_id")))))
        answers = await asyncio.gather(*(self._wire.get(f"/products/{name}.json") for name in named))
        products = {name: unwrapped(answer, "product") for name, answer in zip(named, answers, strict=True)}
        prices = [
            read_price(raw, products.get(str(identity(raw.get("product_id"))), {}), site) for raw in found
        ]
        return [price for price in prices if price is not None and price.id in wanted]

    async def list_prices(self) -> list[DirectPrice]:
        site = await self.known_site()
        found = await self._price_points(
            [
                ("direction", "desc"),
                ("filter[type]", "catalog,default"),
                ("filter[archived_at]", "null"),
            ]
        )
        listed = await self._pages("/products.json", "product", [])
        products = {identity(product.get("id")): product for product in listed}
        known = [raw for raw in found if identity(raw.get("product_id")) in products]
        prices = [read_price(raw, products[identity(raw.get("product_id"))], site) for raw in known]
        return [price for price in prices if price is not None][:MOST_LISTED]

    async def load_coupons(self, codes: Sequence[str]) -> list[DirectCoupon]:
        """A code that two product families use for different discounts is left out: which one is meant?"""
        wanted = [each for each in dict.fromkeys(codes) if "," not in each and text(each) == each]
        if not wanted:
            return []
        coupons = await self._coupons([("filter[codes]", ",".join(wanted[:PAGE]))])
        return [coupon for coupon in coupons if coupon.id in wanted]

    async def list_coupons(self) -> list[DirectCoupon]:
        return (await self._coupons([]))[:MOST_LISTED]

    async def _coupons(self, query: Query) -> list[DirectCoupon]:
        site = await self.known_site()
        found = await self._pages("/coupons.json", "coupon", query)
        found.sort(key=lambda raw: moment(raw.get("created_at")) or _BEGINNING, reverse=True)
        coupons: dict[str, DirectCoupon] = {}
        unclear: set[str] = set()
        for raw in found:
            coupon = read_coupon(raw, site, self._clock.now())
            if coupon is None or coupon.id is None:
                continue
            if coupon.id in coupons and coupon_terms_differ(coupon, coupons[coupon.id]):
                unclear.add(coupon.id)
            coupons.setdefault(coupon.id, coupon)
        return [coupon for code, coupon in coupons.items() if code not in unclear]

    async def _price_points(self, query: Query) -> list[Found]:
        answer = await self._wire.get("/products_price_points.json", [*query, ("per_page", str(PAGE))])
        listed = fields(answer).get("price_points")
        return [fields(each) for each in listed] if isinstance(listed, list) else []

    async def _pages(self, path: str, name: str, query: Query) -> list[Found]:
        """The list, page by page, at most a thousand."""
        found: list[Found] = []
        for page in range(1, _MOST_PAGES + 1):
            pages = [("page", str(page)), ("per_page", str(PAGE))]
            answer = await self._wire.get(path, [*query, *pages])
            found += wrapped_list(answer, name)
            if not isinstance(answer, list) or len(answer) < PAGE:
                break
        return found


def _belongs(raw: Found, customer_id: str) -> bool:
    customer = fields(raw.get("customer"))
    if is_number(customer_id):
        return identity(customer.get("id")) == customer_id
    return bool(customer_id) and customer.get("reference") == customer_id


def _inner(each: object) -> Found:
    """Listed with or without its wrapper."""
    return unwrapped(each, "scheduled_renewal_configuration") or fields(each)
