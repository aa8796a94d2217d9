"""The simulated Paddle, with the desk at which its customers are put and the truth about them is told.

Tests may change `largest_page`, `tax_rate` and `permissions`, and the entities in `books.state`.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from demo.billing.seed import subscriptions_of
from tests.support.paddle import shapes, truth
from tests.support.paddle.answers import Entity
from tests.support.paddle.api import Api, shown
from tests.support.paddle.ids import moment, named, stamp, translated
from tests.support.paddle.time import advance, is_due
from tests.support.simulator.books import Books, Document

_EARLIEST: Final = moment("2024-01-01T00:00:00Z")
_SHELVES: Final = ("prices", "discounts", "customers", "addresses", "subscriptions")


class Paddle(Api):
    """See `tests.support.simulator.http.Vendor`."""

    name = "paddle"

    def __init__(self) -> None:
        super().__init__()
        self._subscriptions: dict[str, list[str]] = {}

    def put_price(self, books: Books, price: Document) -> None:
        with books.commit() as state:
            _put(state, "prices", shapes.price(price, _EARLIEST))

    def put_coupon(self, books: Books, coupon: Document) -> None:
        with books.commit() as state:
            _put(state, "discounts", shapes.discount(coupon, _EARLIEST))

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        self._subscriptions[customer["id"]] = [each["id"] for each in subscriptions]
        with books.commit() as state:
            owner, home = shapes.customer(customer, now), shapes.address(customer, now)
            _put(state, "customers", owner)
            _put(state, "addresses", home)
            for each in subscriptions:
                raw = {**shapes.subscription(each, owner, home, now), "_anchor": None}
                for line in raw["items"]:
                    _put(state, "prices", line["price"])
                _attach(state, raw, each)
                _put(state, "subscriptions", raw)

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        with books.commit() as state:
            state["discounts"][translated(coupon_id)]["status"] = "archived"

    def id_of(self, canonical_id: str) -> str:
        """A customer with one subscription is known to Paddle's merchants by that subscription."""
        known = self._subscriptions.get(canonical_id)
        if known is None:
            known = [each["id"] for each in subscriptions_of(canonical_id, _EARLIEST)]
        return translated(known[0] if len(known) == 1 else canonical_id)

    def settle(self, books: Books, now: datetime) -> None:
        subscriptions = books.state.get("subscriptions", {}).values()
        if not any(is_due(sub, now) for sub in subscriptions):
            return
        with books.commit() as state:
            for sub in state["subscriptions"].values():
                advance(sub, now)

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        sub = books.state["subscriptions"].get(customer_id)
        owner = books.state["customers"].get(sub["customer_id"] if sub else customer_id)
        if owner is None:
            return None
        homes = [each for each in books.state["addresses"].values() if each["customer_id"] == owner["id"]]
        return truth.customer(customer_id, owner, homes[0] if homes else None)

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]:
        owners = books.state["customers"].values()
        return [
            truth.customer(each["id"], each, None)
            for each in owners
            if each["email"].casefold() == email.casefold()
        ]

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]:
        state = books.state
        return [
            truth.subscription(each, state["discounts"])
            for each in state["subscriptions"].values()
            if customer_id in (each["id"], each["customer_id"])
        ]

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None:
        sub = books.state["subscriptions"].get(subscription_id)
        return truth.subscription(sub, books.state["discounts"]) if sub else None

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        sub = shown(books.state["subscriptions"][subscription_id])
        body = {
            "event_id": named("evt", event_id),
            "event_type": "subscription.updated",
            "occurred_at": stamp(now),
            "notification_id": named("ntf", event_id),
            "data": sub,
        }
        return sign(json.dumps(body).encode(), self.credentials(books.mode)["webhook_secret"], now)


def sign(body: bytes, secret: str, now: datetime) -> tuple[dict[str, str], bytes]:
    """Headers and body as Paddle sends them."""
    seconds = str(int(now.timestamp()))
    proof = hmac.new(secret.encode(), seconds.encode() + b":" + body, sha256).hexdigest()
    return {"content-type": "application/json", "paddle-signature": f"ts={seconds};h1={proof}"}, body


def _put(state: Document, shelf: str, entity: Entity) -> None:
    for each in _SHELVES:
        state.setdefault(each, {})
    state[shelf][entity["id"]] = entity


def _attach(state: Document, raw: Entity, canonical: Mapping[str, Any]) -> None:
    every = raw["billing_cycle"]
    months = {"month": 1, "year": 12}.get(every["interval"], 1) * every["frequency"]
    for given in canonical.get("discounts") or []:
        coupon = {"id": f"coupon_{canonical['id']}", **given["coupon"]}
        entity = shapes.discount(coupon, _EARLIEST, months)
        _put(state, "discounts", entity)
        raw["discount"] = {
            "id": entity["id"],
            "type": "recurring",
            "starts_at": given.get("start"),
            "ends_at": given.get("end"),
        }


VENDOR = Paddle
