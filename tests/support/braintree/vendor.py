"""Braintree as its documentation and its own libraries tell: https://developer.paypal.com/braintree/docs.

XML over HTTP with a key pair; no idempotency keys; dates without times; Discounts that only the Control Panel makes.
"""

import base64
import copy
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from tests.support.braintree import canonical, cycles, shapes
from tests.support.braintree.markup import Found, Many, Time, read, write
from tests.support.braintree.updates import Invalid, update
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route

MERCHANT: Final = r"/merchants/(?P<merchant>[a-z0-9]+)"
ID: Final = r"(?P<id>[A-Za-z0-9_-]+)"
XML: Final = "application/xml; charset=utf-8"

Fetch = Callable[[str], Awaitable[tuple[int, str]]]


class NotProven(Exception):
    """The address did not answer the challenge: Braintree says so, and creates no webhook."""


class BraintreeVendor:
    """`has_surprises`: answers have elements of a later version. `keeps_used_up`: a discount without cycles left stays
    listed; the documentation does not say which. `page_size`: of searches. `hidden_plans`: as if deleted."""

    name = "braintree"

    def __init__(self) -> None:
        self.has_surprises = False
        self.keeps_used_up = False
        self.page_size = 50
        self.hidden_plans: set[str] = set()

    @property
    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", f"{MERCHANT}/customers/{ID}", self._customer),
            Route("POST", f"{MERCHANT}/customers/advanced_search_ids", self._search_ids, reads=True),
            Route("POST", f"{MERCHANT}/customers/advanced_search", self._search, reads=True),
            Route("GET", f"{MERCHANT}/subscriptions/{ID}", self._subscription),
            Route("PUT", f"{MERCHANT}/subscriptions/{ID}", self._update),
            Route("PUT", f"{MERCHANT}/subscriptions/{ID}/cancel", self._cancel),
            Route("GET", f"{MERCHANT}/plans/", self._plans),
            Route("GET", f"{MERCHANT}/plans/{ID}", self._plan),
            Route("GET", f"{MERCHANT}/discounts/", self._discounts),
        )

    # --- Credentials ---

    def credentials(self, mode: str) -> Mapping[str, str]:
        is_live = mode == "live"
        return {
            "environment": "production" if is_live else "sandbox",
            "merchant_id": f"example{mode}merchant",
            "public_key": f"example{mode}public",
            "private_key": hashlib.md5(mode.encode(), usedforsecurity=False).hexdigest(),
        }

    def mode_of(self, ask: Ask) -> str | None:
        kind, _, given = ask.headers.get("authorization", "").partition(" ")
        for mode in ("live", "test"):
            known = self.credentials(mode)
            pair = f"{known['public_key']}:{known['private_key']}".encode()
            is_theirs = ask.path.startswith(f"/merchants/{known['merchant_id']}/")
            if kind == "Basic" and given == base64.b64encode(pair).decode() and is_theirs:
                return mode
        return None

    def refuse_credentials(self, ask: Ask) -> Answer:
        return Answer(b"HTTP Basic: Access denied.\n", 401, content_type="text/plain")

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        headers = {"retry-after": str(retry_after)} if retry_after is not None else {}
        return Answer(b"", status, headers, content_type="text/html")

    def not_found(self, ask: Ask) -> Answer:
        return Answer(b" ", 404, content_type="application/xml")

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        return None

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        pass

    # --- The API ---

    def _customer(self, books: Books, ask: Ask) -> Answer:
        raw = books.state.get("customers", {}).get(ask.ids["id"])
        return (
            self.not_found(ask)
            if raw is None
            else self._answer("customer", shapes.customer(books.state, raw))
        )

    def _search_ids(self, books: Books, ask: Ask) -> Answer:
        raws = self._matching(books, ask)
        if raws is None:
            return self._invalid_search()
        ids = Many("item", [raw["id"] for raw in raws])
        return self._answer("search-results", {"page_size": self.page_size, "ids": ids})

    def _search(self, books: Books, ask: Ask) -> Answer:
        raws = self._matching(books, ask)
        if raws is None or len(raws) > self.page_size:
            return self._invalid_search()
        shown = [shapes.customer(books.state, raw) for raw in raws]
        return self._answer("customers", Found("customer", shown, self.page_size))

    def _matching(self, books: Books, ask: Ask) -> list[Document] | None:
        """Text terms are exact with `is`; `ids` is a list."""
        _, given = read(ask.body)
        terms = given if isinstance(given, dict) else {}
        raws = list(books.state.get("customers", {}).values())
        for name, term in terms.items():
            match name, term:
                case "ids", list():
                    raws = [raw for raw in raws if raw["id"] in term]
                case "email", {"is": wanted}:
                    raws = [raw for raw in raws if raw["email"] == wanted]
                case _:
                    return None
        return sorted(raws, key=lambda raw: str(raw["id"]))

    def _invalid_search(self) -> Answer:
        return self._refuse(Invalid("91921", "base", "Invalid request format.", ("search",)))

    def _subscription(self, books: Books, ask: Ask) -> Answer:
        raw = self._held(books.state, ask)
        if raw is None:
            return self.not_found(ask)
        return self._answer("subscription", shapes.subscription(books.state, raw))

    def _update(self, books: Books, ask: Ask) -> Answer:
        if self._held(books.state, ask) is None:
            return self.not_found(ask)

        def change(state: Document, raw: Document) -> str:
            name, params = read(ask.body)
            if name != "subscription" or not isinstance(params, dict):
                raise Invalid("91921", "base", "Invalid request format.")
            return update(state, raw, params, ask.now)

        return self._change(books, ask, change)

    def _cancel(self, books: Books, ask: Ask) -> Answer:
        if self._held(books.state, ask) is None:
            return self.not_found(ask)

        def change(state: Document, raw: Document) -> str:
            if raw["status"] in ("Canceled", "Expired"):
                raise Invalid("81905", "status", "Subscription has already been canceled.")
            cycles.enter(raw, "Canceled", ask.now)
            return "cancel"

        return self._change(books, ask, change)

    def _change(self, books: Books, ask: Ask, change: Callable[[Document, Document], str]) -> Answer:
        """All of a request or nothing of it."""
        try:
            with books.commit() as state:
                raw = state["subscriptions"][ask.ids["id"]]
                before = copy.deepcopy({**raw, "updated_at": None})
                kind = change(state, raw)
                raw["updated_at"] = cycles.stamp(ask.now)
        except Invalid as invalid:
            return self._refuse(invalid)
        if before != {**raw, "updated_at": None}:
            books.record(raw["id"], kind, "", ask.now)
        return self._answer("subscription", shapes.subscription(books.state, raw))

    def _plans(self, books: Books, ask: Ask) -> Answer:
        plans = [shapes.plan(raw) for raw in books.state.get("plans", {}).values()]
        return self._answer("plans", Many("plan", plans))

    def _plan(self, books: Books, ask: Ask) -> Answer:
        raw = books.state.get("plans", {}).get(ask.ids["id"])
        if raw is None or raw["id"] in self.hidden_plans:
            return self.not_found(ask)
        return self._answer("plan", shapes.plan(raw))

    def _discounts(self, books: Books, ask: Ask) -> Answer:
        discounts = [shapes.template(raw) for raw in books.state.get("discounts", {}).values()]
        return self._answer("discounts", Many("discount", discounts))

    def _held(self, state: Document, ask: Ask) -> Document | None:
        found: Document | None = state.get("subscriptions", {}).get(ask.ids["id"])
        return found

    def _answer(self, name: str, value: Any, status: int = 200) -> Answer:
        return Answer(write(name, value, has_surprises=self.has_surprises), status, content_type=XML)

    def _refuse(self, invalid: Invalid) -> Answer:
        error = {"code": invalid.code, "attribute": invalid.attribute, "message": invalid.message}
        nested: Document = {"errors": Many("error", [error])}
        for name in reversed(invalid.path):
            nested = {"errors": Many("error", []), name: nested}
        body = {"errors": nested, "params": {"controller": "subscriptions"}, "message": invalid.message}
        return Answer(write("api-error-response", body), 422, content_type=XML)

    # --- What tests put there ---

    def put_price(self, books: Books, price: Document) -> None:
        with books.commit() as state:
            self._open(state, books.mode)
            merchant = self.credentials(books.mode)["merchant_id"]
            state["plans"][price["id"]] = canonical.plan_of(price, merchant, "2024-01-01T00:00:00Z")

    def put_coupon(self, books: Books, coupon: Document) -> None:
        """Amounts only: Braintree has no discounts in percent."""
        if "amountOff" not in coupon:
            return
        with books.commit() as state:
            self._open(state, books.mode)
            lasts = {"once": 1, "forever": None}.get(coupon["duration"], coupon.get("durationInMonths"))
            off = canonical.major(coupon["amountOff"], coupon.get("currency", "USD"))
            self._make_discount(state, books.mode, coupon["id"], coupon.get("name", coupon["id"]), off, lasts)

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        for subscription in subscriptions:
            for item in subscription["items"][:1]:
                if item["price"]["id"] not in books.state.get("plans", {}):
                    self.put_price(books, item["price"])
        merchant = self.credentials(books.mode)["merchant_id"]
        with books.commit() as state:
            self._open(state, books.mode)
            state["customers"][customer["id"]] = canonical.customer_of(customer, merchant, now)
            for each in list(state["subscriptions"].values()):
                if each["customer_id"] == customer["id"]:
                    del state["subscriptions"][each["id"]]
            for subscription in subscriptions:
                given = {"customerId": customer["id"], **subscription}
                state["subscriptions"][subscription["id"]] = canonical.subscription_of(
                    given, state["plans"], now
                )

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        with books.commit() as state:
            state["discounts"].pop(coupon_id, None)

    def id_of(self, canonical_id: str) -> str:
        """Braintree lets merchants choose ids of letters, digits, - and _: the demo's are such."""
        return canonical_id

    def _open(self, state: Document, mode: str) -> None:
        """An account whose merchant has made the two Discounts that Leavewell asks for."""
        if "plans" in state:
            return
        state |= {"plans": {}, "discounts": {}, "customers": {}, "subscriptions": {}}
        self._make_discount(state, mode, canonical.OFFER_ID, "Offer", "1.00", 1)
        self._make_discount(state, mode, canonical.PAUSE_ID, "Pause", "1.00", 1)

    def _make_discount(
        self, state: Document, mode: str, name: str, title: str, off: str, lasts: int | None
    ) -> None:
        made = canonical.modification(name, off, lasts)
        merchant = self.credentials(mode)["merchant_id"]
        created = {"merchant_id": merchant, "created_at": "2024-01-01T00:00:00Z", "name": title}
        state["discounts"][name] = {**made, **created}

    # --- Time, and the truth ---

    def settle(self, books: Books, now: datetime) -> None:
        with books.commit() as state:
            for raw, frequency in cycles.frequencies(state):
                cycles.renew_until(raw, frequency, now, keeps_used_up=self.keeps_used_up)

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        raw = books.state.get("customers", {}).get(customer_id)
        return None if raw is None else canonical.customer_shown(raw)

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]:
        raws = books.state.get("customers", {}).values()
        return [
            canonical.customer_shown(raw) for raw in raws if (raw["email"] or "").lower() == email.lower()
        ]

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]:
        raws = [
            each
            for each in books.state.get("subscriptions", {}).values()
            if each["customer_id"] == customer_id
        ]
        shown = [self.find_subscription(books, raw["id"], now) for raw in raws]
        running = [each for each in shown if each is not None and each["status"]["name"] != "canceled"]
        return sorted(running, key=lambda each: str(each["start"]), reverse=True)

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None:
        raw = books.state.get("subscriptions", {}).get(subscription_id)
        if raw is None:
            return None
        return canonical.subscription_shown(raw, books.state["plans"][raw["plan_id"]], now)

    # --- Webhooks ---

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        """A webhook of Braintree's has no id: `event_id` only makes its body a different one."""
        raw = books.state["subscriptions"][subscription_id]
        subject = {"subscription": {**shapes.subscription(books.state, raw), "description": event_id}}
        return self.webhook(books.mode, "subscription_went_past_due", subject, now)

    async def register_webhook(self, books: Books, address: str, fetch: Fetch) -> None:
        """What *Create New Webhook* does: nothing is sent to an address that has not proven itself.

        `fetch` is a GET: an address, then status and body. Raises NotProven.
        """
        challenge = secrets.token_hex(10)
        status, answer = await fetch(f"{address}?{urlencode({'bt_challenge': challenge})}")
        if status != 200 or answer != self.proof(books.mode, challenge):
            raise NotProven(f"{status}: {answer}")
        with books.commit() as state:
            self._open(state, books.mode)
            state.setdefault("webhooks", []).append(address)

    def proof(self, mode: str, challenge: str) -> str:
        known = self.credentials(mode)
        key = hashlib.sha1(known["private_key"].encode(), usedforsecurity=False).digest()
        return f"{known['public_key']}|{hmac.new(key, challenge.encode(), hashlib.sha1).hexdigest()}"

    def webhook(self, mode: str, kind: str, subject: Document, now: datetime) -> tuple[dict[str, str], bytes]:
        known = self.credentials(mode)
        document = write(
            "notification", {"kind": kind, "timestamp": Time(cycles.stamp(now)), "subject": subject}
        )
        payload = base64.encodebytes(document)
        key = hashlib.sha1(known["private_key"].encode(), usedforsecurity=False).digest()
        digest = hmac.new(key, payload, hashlib.sha1).hexdigest()
        signature = f"anotherkeyofthemerchant|{'0' * 40}&{known['public_key']}|{digest}"
        body = urlencode({"bt_signature": signature, "bt_payload": payload.decode()})
        return {"content-type": "application/x-www-form-urlencoded"}, body.encode()


VENDOR = BraintreeVendor
