"""Stripe's API over stored objects: addresses, keys, lists, search, previews, webhooks, answers to mistakes."""

import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import stripe

from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route
from tests.support.stripe import handlers, truth
from tests.support.stripe.handlers import ACCOUNT
from tests.support.stripe.objects import (
    new_customer,
    new_subscription,
    put_coupon,
    put_price,
    sent,
    stamp,
    tables,
)
from tests.support.stripe.params import (
    Params,
    Refusal,
    check,
    unfold,
)
from tests.support.stripe.timeline import is_due, settle

KEYS_LAST: Final = timedelta(hours=24)

_ID: Final = r"(?P<id>[^/]+)"

Handler = Callable[[Books, Ask, Params], Answer]


def key_of(kind: str, mode: str) -> str:
    """A key that looks like one, put together here so that nobody takes it for a real one."""
    return "_".join((kind, mode, "Simulated0123456789abcdef"))


def webhook_secret_of(mode: str) -> str:
    return "_".join(("whsec", hashlib.sha256(mode.encode()).hexdigest()[:32]))


class SimulatedStripe:
    """One account. Its restricted key may do what `permissions` has, as in `{"customer_read"}`.

    `in_flight` are idempotency keys whose first request is said to be still under way.
    """

    name = "stripe"

    def __init__(self) -> None:
        self.permissions: set[str] = set()
        self.in_flight: set[str] = set()
        self._failures: dict[str, Answer] = {}
        self._requests = 0

    @property
    def routes(self) -> Sequence[Route]:
        read, write = self._reading, self._writing
        return (
            read("GET", r"/v1/account", handlers.account, "account_retrieve_current"),
            read("GET", r"/v1/customers", handlers.list_customers, "customer_list"),
            read("GET", r"/v1/customers/search", handlers.search, "customer_search"),
            read("GET", rf"/v1/customers/{_ID}", handlers.customer, "customer_retrieve"),
            read("GET", r"/v1/subscriptions", handlers.list_subscriptions, "subscription_list"),
            read("GET", rf"/v1/subscriptions/{_ID}", handlers.subscription, "subscription_retrieve"),
            write("POST", rf"/v1/subscriptions/{_ID}", handlers.update_subscription, "subscription_update"),
            write("DELETE", rf"/v1/subscriptions/{_ID}", handlers.cancel_subscription, "subscription_cancel"),
            read("GET", r"/v1/prices", handlers.list_prices, "price_list"),
            read("GET", rf"/v1/prices/{_ID}", handlers.price, "price_retrieve"),
            read("GET", r"/v1/coupons", handlers.list_coupons, "coupon_list"),
            read("GET", rf"/v1/coupons/{_ID}", handlers.coupon, "coupon_retrieve"),
            write("POST", r"/v1/coupons", handlers.make_coupon, "coupon_create"),
            write("DELETE", rf"/v1/coupons/{_ID}", handlers.delete_coupon, "coupon_delete"),
            read("POST", r"/v1/invoices/create_preview", handlers.preview, "invoice_create_preview"),
        )  # fmt: skip

    # --- Who asks ---

    def credentials(self, mode: str) -> Mapping[str, str]:
        return {"api_key": key_of("sk", mode), "webhook_secret": webhook_secret_of(mode)}

    def mode_of(self, ask: Ask) -> str | None:
        given = _key_in(ask)
        for mode in ("live", "test"):
            if any(hmac.compare_digest(given, key_of(kind, mode)) for kind in ("sk", "rk")):
                return mode
        return None

    def refuse_credentials(self, ask: Ask) -> Answer:
        given = _key_in(ask)
        message = (
            f"Invalid API Key provided: {given[:7]}****{given[-4:]}"
            if given
            else "You did not provide an API key."
        )
        return self._error(Refusal(message, status=401))

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        """A failure of Stripe's own is the answer to that idempotency key from then on; slowing down is not."""
        if status == 429:
            refusal = Refusal("Request rate limit exceeded.", code="rate_limit", status=429)
        else:
            refusal = Refusal("An unknown error occurred.", status=status, kind="api_error")
        answer = self._error(refusal)
        if retry_after is not None:
            answer = Answer(answer.body, status, {**answer.headers, "retry-after": str(retry_after)})
        key = ask.headers.get("idempotency-key")
        if status >= 500 and ask.method == "POST" and key:
            self._failures.setdefault(key, answer)
        return answer

    def not_found(self, ask: Ask) -> Answer:
        message = f"Unrecognized request URL ({ask.method}: {ask.path})."
        return self._error(Refusal(message, status=404))

    # --- Idempotency: https://docs.stripe.com/api/idempotent_requests ---

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        key = ask.headers.get("idempotency-key")
        if ask.method != "POST" or not key:
            return None
        if key in self.in_flight:
            message = "There is currently another in-progress request using this Idempotent Key."
            return self._error(
                Refusal(message, code="idempotency_key_in_use", status=409, kind="idempotency_error")
            )
        if key in self._failures:
            return _replayed(self._failures[key])
        kept = books.state.get("keys", {}).get(key)
        if kept is None or datetime.fromisoformat(kept["at"]) + KEYS_LAST <= ask.now:
            return None
        if kept["request"] != _fingerprint(ask):
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
            return self._error(Refusal(message, kind="idempotency_error"))
        return _replayed(Answer(kept["body"], kept["status"], kept["headers"]))

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        key = ask.headers.get("idempotency-key")
        if ask.method != "POST" or not key or answer.status in (401, 403, 409, 429):
            return
        error = answer.body.get("error") if isinstance(answer.body, dict) else None
        if error and str(error.get("code", "")).startswith("parameter_"):
            return
        before = books.before
        with books.commit() as state:
            tables(state)["keys"][key] = {
                "request": _fingerprint(ask),
                "status": answer.status,
                "body": answer.body,
                "headers": dict(answer.headers),
                "at": ask.now.isoformat(),
            }
        books.before = before  # remembering an answer is no change that a stale read could miss

    # --- Canonical documents ---

    def put_price(self, books: Books, price: Document) -> None:
        with books.commit() as state:
            put_price(tables(state), price, books.mode == "live")

    def put_coupon(self, books: Books, coupon: Document) -> None:
        with books.commit() as state:
            put_coupon(tables(state), coupon, books.mode == "live")

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        livemode = books.mode == "live"
        with books.commit() as state:
            tables(state)["customers"][customer["id"]] = new_customer(customer, livemode, now)
            state["indexed"].setdefault(customer["id"], []).append([stamp(now), customer.get("email")])
            for given in subscriptions:
                owned = {**given, "customerId": given.get("customerId", customer["id"])}
                state["subscriptions"][given["id"]] = new_subscription(state, owned, livemode, now)

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        with books.commit() as state:
            tables(state)["coupons"].pop(coupon_id, None)

    def id_of(self, canonical_id: str) -> str:
        return canonical_id

    def settle(self, books: Books, now: datetime) -> None:
        if is_due(books.state, now):
            with books.commit() as state:
                settle(tables(state), now)

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        found = books.state.get("customers", {}).get(customer_id)
        return found and truth.customer(found)

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]:
        wanted = email.strip().lower()
        everyone = books.state.get("customers", {}).values()
        return [truth.customer(one) for one in everyone if (one["email"] or "").lower() == wanted]

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]:
        found = books.state.get("subscriptions", {}).values()
        return [truth.subscription(books.state, one, now) for one in found if one["customer"] == customer_id]

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None:
        found = books.state.get("subscriptions", {}).get(subscription_id)
        return found and truth.subscription(books.state, found, now)

    # --- Webhooks: https://docs.stripe.com/webhooks ---

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        event = {
            "id": event_id,
            "object": "event",
            "api_version": stripe.api_version,
            "created": stamp(now),
            "data": {"object": sent(books.state, books.state["subscriptions"][subscription_id])},
            "livemode": books.mode == "live",
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "customer.subscription.updated",
        }
        body = json.dumps(event).encode()
        return {"stripe-signature": sign(body, webhook_secret_of(books.mode), now)}, body

    # --- How a request is met ---

    def _reading(self, method: str, pattern: str, handler: Handler, types: str) -> Route:
        return Route(method, pattern, self._met(handler, "read", types), reads=True)

    def _writing(self, method: str, pattern: str, handler: Handler, types: str) -> Route:
        return Route(method, pattern, self._met(handler, "write", types))

    def _met(self, handler: Handler, use: str, types: str) -> Callable[[Books, Ask], Answer]:
        """`types` is the library's name of what may be asked, as in `subscription_update`."""
        words = types.split("_")

        def meet(books: Books, ask: Ask) -> Answer:
            tables(books.state)
            try:
                self._admit(ask, f"{words[0]}_{use}")
                params = unfold(ask.form() if ask.method == "POST" else ask.query)
                check(params, f"_{types}_params", "".join(map(str.capitalize, [*words, "params"])))
                answer = handler(books, ask, params)
            except Refusal as refusal:
                return self._error(refusal)
            return Answer(answer.body, answer.status, {**self._headers(), **answer.headers})

        return meet

    def _admit(self, ask: Ask, permission: str) -> None:
        if ask.headers.get("stripe-version") != stripe.api_version:
            raise Refusal("The simulator knows one version of the API only.", status=400)
        given = _key_in(ask)
        if not given.startswith("rk_"):
            return
        start = (
            f"The provided key '{given[:8]}****' does not have the required permissions for this endpoint on account "
            f"'{ACCOUNT}'. "
        )
        if permission.startswith("account"):
            raise Refusal(
                start
                + "This is a restricted API key, but the required permissions are not available for use by "
                "restricted keys.",
                status=403,
            )
        if (
            permission not in self.permissions
            and permission.replace("_read", "_write") not in self.permissions
        ):
            raise Refusal(
                start + f"Having the 'rak_{permission}' permission would allow this request to continue.",
                status=403,
            )

    def _error(self, refusal: Refusal) -> Answer:
        return Answer({"error": refusal.error}, refusal.status, self._headers())

    def _headers(self) -> dict[str, str]:
        self._requests += 1
        return {"request-id": f"req_sim{self._requests:011d}", "stripe-version": stripe.api_version}


VENDOR = SimulatedStripe


def sign(body: bytes, secret: str, now: datetime) -> str:
    at = stamp(now)
    return (
        f"t={at},v1={hmac.new(secret.encode(), str(at).encode() + b'.' + body, hashlib.sha256).hexdigest()}"
    )


def _key_in(ask: Ask) -> str:
    scheme, _, given = ask.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(given, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return given if scheme.lower() == "bearer" else ""


def _fingerprint(ask: Ask) -> str:
    return hashlib.sha256(f"{ask.method} {ask.path} ".encode() + ask.body).hexdigest()


def _replayed(answer: Answer) -> Answer:
    return Answer(answer.body, answer.status, {**answer.headers, "idempotent-replayed": "true"})
