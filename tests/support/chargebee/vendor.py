"""One Chargebee site, live and test: its API, its idempotency keys, and what tests put there."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from tests.support.chargebee import estimates, objects, operations, terms
from tests.support.chargebee.objects import seconds
from tests.support.chargebee.params import Listing, Refusal, error, missing, wrong
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Handler, Route

KEPT_FOR: Final = timedelta(minutes=30)
LONGEST_KEY: Final = 100
ROOT: Final = "/api/v2"
_ID: Final = "(?P<id>[^/]+)"
_EQUAL: Final = {"is", "is_not", "in"}

Operation = Callable[[Books, Ask], Answer]


def _filters(*fields: str) -> set[str]:
    return {f"{field}[{op}]" for field in fields for op in _EQUAL}


class Chargebee:
    name = "chargebee"

    # --- The API ---

    @property
    def routes(self) -> Sequence[Route]:
        return (
            _get("/configurations", self._configurations),
            _get("/customers", self._customers),
            _get(f"/customers/{_ID}", self._customer),
            _get("/subscriptions", self._subscriptions),
            _get(f"/subscriptions/{_ID}", self._subscription),
            _get("/item_prices", self._item_prices),
            _get("/coupons", self._coupons),
            _get(f"/coupons/{_ID}", self._coupon),
            _get("/ramps", self._ramps),
            _post("/coupons/create_for_items", operations.create_coupon_for_items),
            _post(f"/subscriptions/{_ID}/cancel_for_items", operations.cancel_for_items),
            _post(
                f"/subscriptions/{_ID}/remove_scheduled_cancellation",
                operations.remove_scheduled_cancellation,
            ),
            _post(f"/subscriptions/{_ID}/pause", operations.pause),
            _post(f"/subscriptions/{_ID}/resume", operations.resume),
            _post(f"/subscriptions/{_ID}/remove_scheduled_pause", operations.remove_scheduled_pause),
            _post(f"/subscriptions/{_ID}/change_term_end", operations.change_term_end),
            _post(f"/subscriptions/{_ID}/update_for_items", operations.update_for_items),
            _post(
                "/estimates/update_subscription_for_items",
                estimates.update_subscription_for_items,
                reads=True,
            ),
            _post(
                f"/subscriptions/{_ID}/change_term_end_estimate",
                estimates.change_term_end_estimate,
                reads=True,
            ),
            _post(
                f"/subscriptions/{_ID}/pause_subscription_estimate",
                estimates.pause_subscription_estimate,
                reads=True,
            ),
        )

    def credentials(self, mode: str) -> Mapping[str, str]:
        return {
            "site": "northwind" if mode == "live" else "northwind-test",
            "api_key": f"{mode}_" + "Simulated" + "0" * 20,
            "webhook_user": "chargebee",
            "webhook_password": f"{mode}-webhook-password",
        }

    def mode_of(self, ask: Ask) -> str | None:
        for mode in ("live", "test"):
            key = self.credentials(mode)["api_key"]
            if ask.headers.get("authorization") == "Basic " + b64encode(f"{key}:".encode()).decode():
                return mode
        return None

    def refuse_credentials(self, ask: Ask) -> Answer:
        message = "Sorry, authentication failed. Invalid api key"
        return error(message, "api_authentication_failed", status=401, kind="")

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        if status == 429:
            message = (
                "Sorry, access has been blocked temporarily due to request count exceeding acceptable limits."
            )
            answer = error(message, "api_request_limit_exceeded", status=429, kind="operation_failed")
            return Answer(answer.body, 429, {"retry-after": str(retry_after)} if retry_after else {})
        message = "Sorry, Something went wrong when trying to process the request."
        return error(message, "internal_error", status=status, kind="operation_failed")

    def not_found(self, ask: Ask) -> Answer:
        return error("Sorry, we couldn't find that resource", "resource_not_found", status=404)

    # --- Idempotency: 30 minutes, by path, body and headers ---

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        key = ask.headers.get("chargebee-idempotency-key")
        if key is None:
            return None
        if not 1 <= len(key) <= LONGEST_KEY:
            return error("The idempotency key is too long", "invalid_request", status=400)
        kept = books.state.get("idempotency", {}).get(key)
        if kept is None or seconds(ask.now) - kept["at"] >= KEPT_FOR.total_seconds():
            return None
        if kept["signature"] != _signature(ask):
            return error("The idempotency key was used with another request", "invalid_request", status=400)
        return Answer(kept["body"], kept["status"], {"chargebee-idempotency-replayed": "true"})

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        key = ask.headers.get("chargebee-idempotency-key")
        if key is None or answer.status >= 500 or "chargebee-idempotency-replayed" in answer.headers:
            return
        before = books.before
        with books.commit() as state:
            state.setdefault("idempotency", {})[key] = {
                "at": seconds(ask.now),
                "signature": _signature(ask),
                "status": answer.status,
                "body": json.loads(answer.encoded()),
            }
        books.before = before  # for a reader who sees what was before, the write itself is what came last

    # --- What tests put there ---

    def put_price(self, books: Books, price: Document) -> None:
        with self._open(books) as state:
            state["item_prices"].setdefault(
                price["id"], objects.item_price(price, len(state["item_prices"]) + 1)
            )

    def put_coupon(self, books: Books, coupon: Document) -> None:
        with self._open(books) as state:
            state["coupons"][coupon["id"]] = objects.coupon(coupon, len(state["coupons"]) + 1)

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        for given in subscriptions:
            for item in given["items"]:
                self.put_price(books, item["price"])
            for discount in given.get("discounts", []):
                named = {
                    "id": discount["id"],
                    "name": discount["id"],
                    "duration": "once",
                    **discount["coupon"],
                }
                self.put_coupon(books, named)
        with self._open(books) as state:
            state["customers"][customer["id"]] = objects.customer(customer, seconds(now))
            for given in subscriptions:
                made = objects.subscription(given, seconds(now))
                for discount in given.get("discounts", []):
                    used = {"coupon_id": discount["id"], "applied_count": 0, "object": "coupon"}
                    end = {"apply_till": seconds(discount["end"])} if "end" in discount else {}
                    made["coupons"].append(used | end)
                state["subscriptions"][made["id"]] = made

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        with self._open(books) as state:
            del state["coupons"][coupon_id]

    def edit(self, books: Books, subscription_id: str, **changes: object) -> None:
        """Give a subscription attributes that no canonical one has; None takes one away."""
        with self._open(books) as state:
            found = state["subscriptions"][subscription_id]
            found |= {name: value for name, value in changes.items() if value is not None}
            for name in [name for name, value in changes.items() if value is None]:
                found.pop(name, None)

    def set_up(self, books: Books, **settings: object) -> None:
        """Change the site's settings."""
        with self._open(books) as state:
            state["settings"] |= settings

    def id_of(self, canonical_id: str) -> str:
        return canonical_id

    def settle(self, books: Books, now: datetime) -> None:
        due = seconds(now)
        draft = Books(state=json.loads(json.dumps(books.state)))
        changed = [
            subscription
            for subscription in draft.state.get("subscriptions", {}).values()
            if terms.settle(subscription, draft.state["coupons"], due)
        ]
        if changed:
            with books.commit() as state:
                state["subscriptions"] |= {each["id"]: each for each in changed}

    # --- The truth ---

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        found = books.state.get("customers", {}).get(customer_id)
        return objects.canonical_customer(found) if found else None

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]:
        return [
            objects.canonical_customer(each)
            for each in books.state.get("customers", {}).values()
            if each.get("email", "").casefold() == email.casefold()
        ]

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]:
        return [
            objects.canonical_subscription(each, books.state, now)
            for each in books.state.get("subscriptions", {}).values()
            if each["customer_id"] == customer_id and each["status"] != "cancelled"
        ]

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None:
        self.settle(books, now)
        found = books.state.get("subscriptions", {}).get(subscription_id)
        return objects.canonical_subscription(found, books.state, now) if found else None

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        subscription = books.state["subscriptions"][subscription_id]
        event = {
            "id": event_id,
            "occurred_at": seconds(now),
            "source": "admin_console",
            "user": "support@example.com",
            "object": "event",
            "api_version": "v2",
            "content": {
                "subscription": subscription,
                "customer": books.state["customers"][subscription["customer_id"]],
            },
            "event_type": "subscription_changed",
            "webhook_status": "scheduled",
        }
        given = self.credentials(books.mode)
        proof = b64encode(f"{given['webhook_user']}:{given['webhook_password']}".encode()).decode()
        headers = {"authorization": f"Basic {proof}", "content-type": "application/json;charset=UTF-8"}
        return headers, json.dumps(event).encode()

    # --- Reads ---

    def _configurations(self, books: Books, ask: Ask) -> Answer:
        version = books.state.get("settings", {}).get("product_catalog", "v2")
        domain = self.credentials(books.mode)["site"]
        return Answer(
            {
                "configurations": [
                    {"domain": domain, "product_catalog_version": version, "object": "configuration"}
                ]
            }
        )

    def _customers(self, books: Books, ask: Ask) -> Answer:
        filters = _filters("id", "email", "first_name", "last_name", "company", "phone")
        asked = Listing(ask.query, filters=filters, orders=("created_at", "updated_at"))
        return _page(asked, books.state["customers"], "customer")

    def _customer(self, books: Books, ask: Ask) -> Answer:
        return Answer({"customer": _one(books, "customers", ask, "Customer")})

    def _subscriptions(self, books: Books, ask: Ask) -> Answer:
        filters = _filters("id", "customer_id", "status", "item_price_id")
        asked = Listing(ask.query, filters=filters, orders=("created_at", "updated_at"))
        going = {name: each for name, each in books.state["subscriptions"].items() if not each["deleted"]}
        page, following = asked.pick(list(going.values()))
        entries = [
            {"subscription": each, "customer": books.state["customers"][str(each["customer_id"])]}
            for each in page
        ]
        return Answer({"list": entries, **({"next_offset": following} if following else {})})

    def _subscription(self, books: Books, ask: Ask) -> Answer:
        return operations.answer(books.state, _one(books, "subscriptions", ask, "Subscription"))

    def _item_prices(self, books: Books, ask: Ask) -> Answer:
        filters = _filters("id", "item_id", "item_type", "status", "currency_code", "pricing_model")
        asked = Listing(ask.query, filters=filters, orders=("name", "id", "updated_at"))
        return _page(asked, books.state["item_prices"], "item_price")

    def _coupons(self, books: Books, ask: Ask) -> Answer:
        filters = _filters("id", "name", "status", "discount_type", "duration_type", "apply_on")
        asked = Listing(ask.query, filters=filters, orders=("created_at",))
        return _page(asked, books.state["coupons"], "coupon")

    def _coupon(self, books: Books, ask: Ask) -> Answer:
        return Answer({"coupon": _one(books, "coupons", ask, "Coupon")})

    def _ramps(self, books: Books, ask: Ask) -> Answer:
        """`status` may be asked for only together with `subscription_id`."""
        filters = _filters("subscription_id", "status")
        asked = Listing(ask.query, filters=filters, orders=("updated_at",))
        ramps = books.state["settings"]["ramps"]
        if ramps is None:
            return error("Ramps are not enabled for your site", "configuration_incompatible")
        if not any(field == "subscription_id" for field, _ in asked.filters):
            raise wrong("subscription_id", "is needed")
        return _page(asked, {str(each["id"]): each for each in ramps}, "ramp")

    def _open(self, books: Books):  # type: ignore[no-untyped-def]  # the books' own context manager
        for name in ("customers", "subscriptions", "item_prices", "coupons"):
            books.state.setdefault(name, {})
        defaults = {
            "can_pause": True,
            "manual_discounts": True,
            "payments_fail": False,
            "setup_charges": {},
            "tax": None,
            "ramps": None,
        }
        books.state["settings"] = defaults | books.state.get("settings", {})
        return books.commit()


VENDOR = Chargebee


def _get(path: str, handler: Handler) -> Route:
    return Route("GET", ROOT + path, _refusing(handler))


def _post(path: str, handler: Handler, *, reads: bool | None = None) -> Route:
    return Route("POST", ROOT + path, _refusing(handler), reads)


def _refusing(handler: Handler) -> Handler:
    def handle(books: Books, ask: Ask) -> Answer:
        try:
            return handler(books, ask)
        except Refusal as refusal:
            return refusal.answer()

    return handle


def _one(books: Books, kind: str, ask: Ask, thing: str) -> Document:
    found: Document | None = books.state[kind].get(ask.ids["id"])
    if found is None or found.get("deleted"):
        raise missing(thing, ask.ids["id"])
    return found


def _page(asked: Listing, things: Mapping[str, Document], kind: str) -> Answer:
    page, following = asked.pick(list(things.values()))
    return Answer(
        {"list": [{kind: each} for each in page], **({"next_offset": following} if following else {})}
    )


def _signature(ask: Ask) -> list[str]:
    return [ask.path, ask.body.decode(), ask.headers.get("authorization", "")]
