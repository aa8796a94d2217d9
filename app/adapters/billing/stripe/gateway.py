"""What is read from Stripe, as Stripe has it: one place for what is asked for along, and for paging."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from stripe import StripeClient, StripeObject

from app.adapters.billing.stripe import wire
from app.adapters.billing.stripe.reading import discounts_in, is_over, start_of
from app.adapters.billing.stripe.shapes import coupon_in
from app.adapters.billing.stripe.wire import Raw

PAGE: Final = 100
MOST_PAGES: Final = 5
MOST_COMPLETED: Final = 40  # Stripe takes 25 calls a second in test mode

# Four levels are the most that Stripe expands.
WITH_SUBSCRIPTION: Final = [
    "customer.discount.source.coupon",
    "discounts.source.coupon",
    "items.data.discounts",
    "items.data.price.product",
    "latest_invoice",
]
_WITH_LISTED: Final = ["data.discounts.source.coupon", "data.items.data.discounts", "data.latest_invoice"]
_WITH_CUSTOMER: Final = ["discount.source.coupon"]
_WITH_PRICE: Final = ["product", "currency_options"]
_WITH_COUPON: Final = ["applies_to", "currency_options"]

AskPage = Callable[[Any], Awaitable[StripeObject]]


class Gateway:
    """Reads through the library. None, or nothing in the list, for what is not there."""

    def __init__(self, client: StripeClient) -> None:
        self.api = client.v1

    async def customer(self, customer_id: str) -> Raw | None:
        if not wire.is_id(customer_id):
            return None
        return _named(await wire.find(self.api.customers.retrieve_async(customer_id)), customer_id)

    async def subscription(self, customer_id: str, subscription_id: str) -> Raw | None:
        """One of that customer's, whatever its status, with all that reading and changing it need."""
        if not wire.is_id(subscription_id):
            return None
        found = await wire.find(
            self.api.subscriptions.retrieve_async(subscription_id, {"expand": WITH_SUBSCRIPTION})
        )
        found = _named(found, subscription_id)
        if found is None or _id_of(found.get("customer")) != customer_id:
            return None
        await self.complete([found])
        return found

    async def subscriptions(self, customer_id: str, *, most: int) -> list[Raw]:
        """The customer's subscriptions that are not over, the newest; what lies deeper is asked of these alone."""
        if not wire.is_id(customer_id):
            return []
        found, customer = await asyncio.gather(
            _all(self.api.subscriptions.list_async, {"customer": customer_id, "expand": _WITH_LISTED}),
            wire.find(self.api.customers.retrieve_async(customer_id, {"expand": _WITH_CUSTOMER})),
        )
        mine = [one for one in found if _id_of(one.get("customer")) == customer_id and not is_over(one)]
        mine = sorted(mine, key=start_of, reverse=True)[:most]
        for one in mine:
            one["customer"] = customer or customer_id
        await self.complete(mine)
        return mine

    async def price(self, price_id: str) -> Raw | None:
        if not wire.is_id(price_id):
            return None
        found = await wire.find(self.api.prices.retrieve_async(price_id, {"expand": _WITH_PRICE}))
        return _named(found, price_id)

    async def coupon(self, coupon_id: str) -> Raw | None:
        if not wire.is_id(coupon_id):
            return None
        found = await wire.find(self.api.coupons.retrieve_async(coupon_id, {"expand": _WITH_COUPON}))
        return _named(found, coupon_id)

    async def newest_prices(self) -> list[Raw]:
        wanted = {"active": True, "type": "recurring", "expand": ["data.product"]}
        return await _all(self.api.prices.list_async, wanted)

    async def newest_coupons(self) -> list[Raw]:
        return await _all(self.api.coupons.list_async, {})

    async def customers_by_email(self, email: str, *, most: int) -> list[Raw]:
        """Stripe's list knows an address only as it was written, and at once; its search without case, and later.

        So both are asked. What only the search found is read again, for its copy may be old.
        """
        spellings = dict.fromkeys((email, email.lower()))
        listed, hits = await asyncio.gather(
            asyncio.gather(
                *(
                    wire.page(self.api.customers.list_async({"email": one, "limit": most}))
                    for one in spellings
                )
            ),
            self._search(email, most),
        )
        found = {one["id"]: one for page, _ in listed for one in page if isinstance(one.get("id"), str)}
        fresh = await asyncio.gather(*(self.customer(hit) for hit in hits if hit not in found))
        return [*found.values(), *(one for one in fresh if one is not None)]

    async def try_reading(self) -> None:
        """Read a little of everything that is needed. Raises NotPermitted, which names what the key lacks."""
        api = self.api
        await asyncio.gather(
            wire.page(api.customers.list_async({"limit": 1})),
            wire.page(api.subscriptions.list_async({"limit": 1, "expand": ["data.latest_invoice"]})),
            wire.page(api.prices.list_async({"limit": 1, "expand": ["data.product"]})),
            wire.page(api.coupons.list_async({"limit": 1})),
        )

    async def complete(self, subscriptions: Iterable[Raw]) -> None:
        """Fill in what lies too deep to be asked for along: products, amounts in other currencies, items' coupons."""
        items = [(one, item) for one in subscriptions for item in _items_of(one)]
        lacking = (item["price"]["id"] for one, item in items if _lacks(one, item["price"]))
        prices = list(dict.fromkeys(lacking))[:MOST_COMPLETED]
        discounts = [each for one in subscriptions for each in discounts_in(one)]
        coupons = {name: None for each in discounts if isinstance(name := coupon_in(each), str)}
        loaded = await asyncio.gather(*map(self.price, prices), *map(self.coupon, coupons))
        known = {one["id"]: one for one in loaded if one is not None}
        for _, item in items:
            item["price"] = known.get(item["price"]["id"], item["price"])
        for each in discounts:
            name = coupon_in(each)
            if isinstance(name, str):
                each["source"]["coupon"] = known.get(name, name)

    async def _search(self, email: str, most: int) -> list[str]:
        """Not every account has the search (India's have not), nor may every key use it."""
        quoted = email.replace("\\", "\\\\").replace('"', '\\"')
        try:
            found = await wire.ask(
                self.api.customers.search_async({"query": f'email:"{quoted}"', "limit": most})
            )
        except (wire.Declined, wire.NotPermitted):
            return []
        data = found.raw.get("data")
        hits = data if isinstance(data, list) else []
        return [hit["id"] for hit in hits if isinstance(hit, dict) and isinstance(hit.get("id"), str)]


async def _all(ask_page: AskPage, params: dict[str, Any]) -> list[Raw]:
    """The objects of a list, page by page, at most MOST_PAGES."""
    found: list[Raw] = []
    place: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        page, answer = await wire.page(ask_page({**params, "limit": PAGE, **place}))
        found += page
        last = page[-1].get("id") if page else None
        if answer.get("has_more") is not True or not isinstance(last, str):
            break
        place = {"starting_after": last}
    return found


def _named(found: Raw | None, wanted: str) -> Raw | None:
    """What was asked for and nothing else."""
    return found if found is not None and found.get("id") == wanted else None


def _id_of(value: object) -> object:
    return value.get("id") if isinstance(value, dict) else value


def _items_of(subscription: Raw) -> list[Raw]:
    items = subscription.get("items")
    data = items.get("data") if isinstance(items, dict) else None
    return [
        item
        for item in data or []
        if isinstance(item, dict)
        and isinstance(item.get("price"), dict)
        and isinstance(item["price"].get("id"), str)
    ]


def _lacks(subscription: Raw, price: Raw) -> bool:
    is_foreign = price.get("currency") != subscription.get("currency") and "currency_options" not in price
    return is_foreign or not isinstance(price.get("product"), dict)
