"""A simulated Maxio Advanced Billing site, from developers.maxio.com and its published SDKs' reference.

Where the documentation is silent, this refuses: changing the billing date or scheduling a cancellation while a
subscription is on hold, and parameters that are not documented.
"""

import copy
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

from tests.support.maxio import asking, clockwork, reads, shapes, writes
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route

_ID: Final = r"(?P<id>[^/]+)"


class Maxio:
    name = "maxio"

    def __init__(self) -> None:
        handlers: Sequence[tuple[str, str, Any]] = (
            ("GET", r"/site\.json", reads.site),
            ("GET", r"/customers\.json", reads.search_customers),
            ("GET", r"/customers/lookup\.json", reads.look_up_customer),
            ("GET", rf"/customers/{_ID}/subscriptions\.json", reads.list_subscriptions),
            ("GET", rf"/customers/{_ID}/metadata\.json", reads.list_customer_metadata),
            ("GET", rf"/customers/{_ID}\.json", reads.read_customer),
            ("GET", rf"/subscriptions/{_ID}\.json", reads.read_subscription),
            ("PUT", rf"/subscriptions/{_ID}\.json", writes.update_subscription),
            ("DELETE", rf"/subscriptions/{_ID}\.json", writes.cancel),
            ("GET", rf"/subscriptions/{_ID}/components\.json", reads.list_components),
            ("GET", rf"/subscriptions/{_ID}/scheduled_renewals\.json", reads.list_renewals),
            ("GET", rf"/subscriptions/{_ID}/metadata\.json", reads.list_subscription_metadata),
            ("POST", rf"/subscriptions/{_ID}/metadata\.json", writes.write_metadata),
            ("POST", rf"/subscriptions/{_ID}/delayed_cancel\.json", writes.delay_cancel),
            ("DELETE", rf"/subscriptions/{_ID}/delayed_cancel\.json", writes.undo_delayed_cancel),
            ("POST", rf"/subscriptions/{_ID}/hold\.json", writes.hold),
            ("POST", rf"/subscriptions/{_ID}/resume\.json", writes.resume),
            ("POST", rf"/subscriptions/{_ID}/add_coupon\.json", writes.add_coupon),
            ("GET", r"/products\.json", reads.list_products),
            ("GET", rf"/products/{_ID}\.json", reads.read_product),
            ("GET", r"/products_price_points\.json", reads.list_price_points),
            ("GET", r"/coupons\.json", reads.list_coupons),
            ("GET", r"/coupons/find\.json", reads.find_coupon),
            ("GET", r"/coupons/validate\.json", reads.validate_coupon),
            ("POST", rf"/product_families/{_ID}/coupons\.json", writes.create_coupon),
            (
                "DELETE",
                rf"/product_families/{_ID}/coupons/(?P<coupon>[^/]+)\.json",
                writes.archive_coupon,
            ),
        )
        self._routes = tuple(Route(method, path, _guarded(how)) for method, path, how in handlers)

    @property
    def routes(self) -> Sequence[Route]:
        return self._routes

    # --- Who asks ---

    def credentials(self, mode: str) -> Mapping[str, str]:
        return {
            "subdomain": f"northwind-{mode}",
            "api_key": f"exampleKeyOfTheSite{mode.capitalize()}000111",
            "shared_key": f"exampleSharedKey{mode.capitalize()}",
        }

    def mode_of(self, ask: Ask) -> str | None:
        kind, _, token = ask.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = b64decode(token, validate=True).decode().partition(":")
        except ValueError:
            return None
        if kind.lower() != "basic" or password.lower() != "x":
            return None
        return next((mode for mode in ("live", "test") if self.credentials(mode)["api_key"] == user), None)

    def refuse_credentials(self, ask: Ask) -> Answer:
        headers = {"www-authenticate": 'Basic realm="Application"'}
        return Answer(b"HTTP Basic: Access denied.\n", 401, headers, "text/plain; charset=utf-8")

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        if status == 429:
            said = "Your request was denied due to a usage violation. Reference 4711."
            return Answer({"errors": [said]}, 429, headers)
        return Answer(b"<html><body>Something went wrong</body></html>", status, headers, "text/html")

    def not_found(self, ask: Ask) -> Answer:
        return asking.not_found()

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        return None  # no idempotency keys: a uniqueness token only refuses

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        return None

    # --- The desk ---

    def put_price(self, books: Books, price: Document) -> None:
        with self._commit(books) as state:
            shapes.put_price(state, price)

    def put_coupon(self, books: Books, coupon: Document) -> None:
        with self._commit(books) as state:
            shapes.put_coupon(state, coupon)

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        with self._commit(books) as state:
            shapes.put_customer(state, customer, subscriptions, now)

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        with self._commit(books) as state:
            for coupon in state["coupons"].values():
                if coupon["code"] == coupon_id:
                    coupon["archived_at"] = "2026-11-01T00:00:00-05:00"

    def change_subscription(self, books: Books, subscription_id: str, **values: object) -> None:
        """Put a shape there that canonical documents cannot tell."""
        with self._commit(books) as state:
            state["subscriptions"][subscription_id].update(values)

    def id_of(self, canonical_id: str) -> str:
        return shapes.id_of(canonical_id)

    def settle(self, books: Books, now: datetime) -> None:
        settled = copy.deepcopy(books.state)
        clockwork.settle(settled, now)
        if settled != books.state:  # else what a stale read sees would be what is there
            with books.commit() as state:
                state.update(settled)

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        return shapes.true_customer(books.state, customer_id)

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]:
        customers = books.state["customers"].values()
        same = [str(each["id"]) for each in customers if (each["email"] or "").lower() == email.lower()]
        return [found for each in same if (found := shapes.true_customer(books.state, each))]

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]:
        own = [s for s in books.state["subscriptions"].values() if str(s["customer_id"]) == customer_id]
        going_on = shapes.newest_first([each for each in own if not shapes.is_over(each)])
        found = [shapes.true_subscription(books.state, str(each["id"])) for each in going_on]
        return [each for each in found if each is not None]

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None:
        return shapes.true_subscription(books.state, subscription_id)

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        subscription = books.state["subscriptions"][subscription_id]
        body = urlencode(
            [
                ("id", event_id),
                ("event", "subscription_state_change"),
                ("payload[site][id]", books.state["site"]["id"]),
                ("payload[subscription][id]", subscription_id),
                ("payload[subscription][state]", subscription["state"]),
                ("payload[subscription][customer][id]", subscription["customer_id"]),
            ]
        ).encode()
        return self.sign(books.mode, body, event_id), body

    def sign(self, mode: str, body: bytes, event_id: str = "1", key: str | None = None) -> dict[str, str]:
        proof = hmac.new((key or self.credentials(mode)["shared_key"]).encode(), body, sha256).hexdigest()
        return {
            "content-type": "application/x-www-form-urlencoded",
            "x-chargify-webhook-id": event_id,
            "x-chargify-webhook-signature-hmac-sha-256": proof,
        }

    def _commit(self, books: Books) -> Any:
        if not books.state:
            books.state = shapes.empty(books.mode)
        return books.commit()


def _guarded(handle: Any) -> Any:
    def guarded(books: Books, ask: Ask) -> Answer:
        try:
            return handle(books, ask)
        except asking.Refused as refused:
            return refused.answer

    return guarded


VENDOR = Maxio
