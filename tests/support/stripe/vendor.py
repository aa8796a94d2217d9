"""Stripe's API over stored objects: addresses, keys, lists, search, previews, webhooks, answers to mistakes."""

import hashlib
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import stripe

from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route
from tests.support.stripe import truth
from tests.support.stripe.objects import (
    NEVER,
    fresh_id,
    new_coupon,
    new_customer,
    new_subscription,
    period_end,
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
    number,
    required,
    strings,
    unfold,
)
from tests.support.stripe.timeline import is_due, off, reduced, revalue, settle
from tests.support.stripe.updates import end_now, find_coupon, find_price, item_of, update

ACCOUNT: Final = "acct_1SimNorthwind"
KEYS_LAST: Final = timedelta(hours=24)
SEARCHABLE_AFTER: Final = timedelta(minutes=1)
_BY_EMAIL: Final = re.compile(r'\s*email\s*:\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\')\s*')

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
            read("GET", r"/v1/account", _account, "account", "_account_retrieve_current_params"),
            read("GET", r"/v1/customers", _list_customers, "customer", "_customer_list_params"),
            read("GET", r"/v1/customers/search", _search, "customer", "_customer_search_params"),
            read("GET", rf"/v1/customers/{_ID}", _customer, "customer", "_customer_retrieve_params"),
            read("GET", r"/v1/subscriptions", _list_subscriptions, "subscription", "_subscription_list_params"),
            read("GET", rf"/v1/subscriptions/{_ID}", _subscription, "subscription", "_subscription_retrieve_params"),
            write("POST", rf"/v1/subscriptions/{_ID}", _update, "subscription", "_subscription_update_params"),
            write("DELETE", rf"/v1/subscriptions/{_ID}", _cancel, "subscription", "_subscription_cancel_params"),
            read("GET", r"/v1/prices", _list_prices, "price", "_price_list_params"),
            read("GET", rf"/v1/prices/{_ID}", _price, "price", "_price_retrieve_params"),
            read("GET", r"/v1/coupons", _list_coupons, "coupon", "_coupon_list_params"),
            read("GET", rf"/v1/coupons/{_ID}", _coupon, "coupon", "_coupon_retrieve_params"),
            write("POST", r"/v1/coupons", _make_coupon, "coupon", "_coupon_create_params"),
            write("DELETE", rf"/v1/coupons/{_ID}", _delete_coupon, "coupon", "_coupon_delete_params"),
            read("POST", r"/v1/invoices/create_preview", _preview, "invoice", "_invoice_create_preview_params"),
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

    def _reading(self, method: str, pattern: str, handler: Handler, resource: str, types: str) -> Route:
        return Route(method, pattern, self._met(handler, f"{resource}_read", types), reads=True)

    def _writing(self, method: str, pattern: str, handler: Handler, resource: str, types: str) -> Route:
        return Route(method, pattern, self._met(handler, f"{resource}_write", types))

    def _met(self, handler: Handler, permission: str, types: str) -> Callable[[Books, Ask], Answer]:
        def meet(books: Books, ask: Ask) -> Answer:
            tables(books.state)
            try:
                self._admit(ask, permission)
                params = unfold(ask.form() if ask.method == "POST" else ask.query)
                check(params, types, "".join(map(str.capitalize, types.strip("_").split("_"))))
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


# --- Handlers ---


def _account(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(
        {
            "id": ACCOUNT,
            "object": "account",
            "business_profile": {"name": "Northwind Notes"},
            "country": "US",
            "email": "billing@northwind.example",
            "settings": {"dashboard": {"display_name": "Northwind Notes", "timezone": "Etc/UTC"}},
            "type": "standard",
        }
    )


def _customer(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "customers"), strings(params.get("expand"))))


def _list_customers(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["customers"].values())
    if "email" in params:
        found = [one for one in found if one["email"] == params["email"]]
    return _page(books, "/v1/customers", found, params)


def _search(books: Books, ask: Ask, params: Params) -> Answer:
    """Knows each customer as of a minute ago, and compares without case."""
    query = _BY_EMAIL.fullmatch(required(params, "query"))
    if query is None:
        raise Refusal("We were unable to parse your search query.", param="query")
    wanted = re.sub(r"\\(.)", r"\1", query[1] or query[2] or "").lower()
    as_of = stamp(ask.now - SEARCHABLE_AFTER)
    found = []
    for name, history in books.state["indexed"].items():
        known = [email for at, email in history if at <= as_of]
        if known and (known[-1] or "").lower() == wanted and name in books.state["customers"]:
            found.append(books.state["customers"][name])
    limit = number(params, "limit", at_least=1, at_most=100) or 10
    data = [sent(books.state, one) for one in found[:limit]]
    return Answer(
        {
            "object": "search_result",
            "url": "/v1/customers/search",
            "has_more": len(found) > limit,
            "next_page": "page_2" if len(found) > limit else None,
            "data": data,
        }
    )


def _subscription(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "subscriptions"), strings(params.get("expand"))))


def _list_subscriptions(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["subscriptions"].values())
    customer = params.get("customer")
    if customer is not None and customer not in books.state["customers"]:
        raise Refusal(f"No such customer: '{customer}'", code="resource_missing", param="customer")
    if customer is not None:
        found = [one for one in found if one["customer"] == customer]
    match params.get("status"):
        case None:
            found = [one for one in found if one["status"] not in ("canceled", "incomplete_expired")]
        case "all":
            pass
        case wanted:
            found = [one for one in found if one["status"] == wanted]
    return _page(books, "/v1/subscriptions", found, params)


def _update(books: Books, ask: Ask, params: Params) -> Answer:
    _one(books, ask, "subscriptions")
    with books.commit() as state:
        subscription = tables(state)["subscriptions"][ask.ids["id"]]
        change = update(state, subscription, params, ask.now)
        answer = Answer(sent(state, subscription, strings(params.get("expand"))))
    if change is not None:
        books.record(ask.ids["id"], change, _effect_of(ask), ask.now)
    return answer


def _cancel(books: Books, ask: Ask, params: Params) -> Answer:
    if _one(books, ask, "subscriptions")["status"] == "canceled":
        raise _missing("subscription", ask.ids["id"])
    with books.commit() as state:
        subscription = tables(state)["subscriptions"][ask.ids["id"]]
        end_now(subscription, ask.now)
        answer = Answer(sent(state, subscription, strings(params.get("expand"))))
    books.record(ask.ids["id"], "cancel", _effect_of(ask), ask.now)
    return answer


def _price(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "prices"), strings(params.get("expand"))))


def _list_prices(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["prices"].values())
    if "active" in params:
        found = [one for one in found if one["active"] is (params["active"] == "true")]
    if "type" in params:
        found = [one for one in found if one["type"] == params["type"]]
    return _page(books, "/v1/prices", found, params)


def _coupon(books: Books, ask: Ask, params: Params) -> Answer:
    found = _one(books, ask, "coupons")
    revalue(found, ask.now)
    return Answer(sent(books.state, found, strings(params.get("expand"))))


def _list_coupons(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["coupons"].values())
    for one in found:
        revalue(one, ask.now)
    return _page(books, "/v1/coupons", found, params)


def _make_coupon(books: Books, ask: Ask, params: Params) -> Answer:
    if ("percent_off" in params) == ("amount_off" in params):
        raise Refusal("You must pass either percent_off or amount_off.", code="parameter_missing")
    redeem_by, months = number(params, "redeem_by"), number(params, "duration_in_months", at_least=1)
    if redeem_by is not None and redeem_by <= stamp(ask.now):
        raise Refusal("Invalid timestamp: must be in the future.", param="redeem_by")
    duration = params.get("duration", "once")
    if (duration == "repeating") != (months is not None):
        raise Refusal(
            "duration_in_months is for repeating coupons, and they need it.", param="duration_in_months"
        )
    if len(params.get("name", "")) > 40:
        raise Refusal("Invalid string: must be at most 40 characters.", param="name")
    percent = float(params["percent_off"]) if "percent_off" in params else None
    if percent is not None and not 0 < percent <= 100:
        raise Refusal("Invalid percent_off.", param="percent_off")
    with books.commit() as state:
        name = params.get("id") or fresh_id(tables(state), "co")
        if name in tables(state)["coupons"]:
            raise Refusal("Coupon already exists.", code="resource_already_exists", param="id")
        state["coupons"][name] = new_coupon(
            name,
            name=params.get("name"),
            percent_off=percent,
            amount_off=number(params, "amount_off", at_least=1),
            currency=required(params, "currency") if "amount_off" in params else None,
            duration=duration,
            months=months,
            livemode=books.mode == "live",
            max_redemptions=number(params, "max_redemptions", at_least=1),
            redeem_by=redeem_by,
            metadata=params.get("metadata"),
            created=stamp(ask.now),
        )
        return Answer(sent(state, state["coupons"][name], strings(params.get("expand"))))


def _delete_coupon(books: Books, ask: Ask, params: Params) -> Answer:
    _one(books, ask, "coupons")
    with books.commit() as state:
        del tables(state)["coupons"][ask.ids["id"]]
    return Answer({"id": ask.ids["id"], "object": "coupon", "deleted": True})


def _preview(books: Books, ask: Ask, params: Params) -> Answer:
    state = books.state
    name = required(params, "subscription")
    stored = state["subscriptions"].get(name)
    if stored is None:
        raise _missing("subscription", name)
    if stored["status"] == "canceled" or (stored["cancel_at"] or NEVER) <= period_end(stored):
        raise Refusal(
            f"No upcoming invoices for customer: {stored['customer']}",
            code="invoice_upcoming_none",
            status=404,
        )
    subscription = json.loads(json.dumps(stored))
    for place, given in enumerate(params.get("subscription_details", {}).get("items", [])):
        where = f"subscription_details[items][{place}]"
        item = item_of(subscription, given.get("id"), f"{where}[id]")
        if "price" in given:
            item["price"] = find_price(state, given["price"], subscription, f"{where}[price]")
        if "quantity" in given:
            item["quantity"] = number(given, "quantity", at_least=0)
    whole = reduced(state, subscription, [])
    after = reduced(state, subscription, subscription["discounts"])
    if isinstance(params.get("discounts"), list):
        after = whole
        for place, one in enumerate(params["discounts"]):
            param = f"discounts[{place}][coupon]"
            after -= off(
                find_coupon(state, str(one.get("coupon")), subscription["currency"], ask.now, param), after
            )
    return Answer(_upcoming(state, subscription, whole, after))


def _upcoming(state: Document, subscription: Document, whole: int, after: int) -> Document:
    """The invoice to come. `state["tax"]` is a percentage and its behaviour, where a test wants some."""
    begins = period_end(subscription)
    item = subscription["items"]["data"][0]
    percent, behavior = state.get("tax") or (0, "exclusive")
    tax = after * percent // (100 + percent if behavior == "inclusive" else 100)
    total = after + (tax if behavior == "exclusive" else 0)
    taxes = [{"amount": tax, "tax_behavior": behavior, "taxable_amount": after, "type": "tax_rate_details"}]
    return {
        "id": "upcoming_in_simulated",
        "object": "invoice",
        "amount_due": total,
        "created": begins,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "lines": {
            "object": "list",
            "has_more": False,
            "data": [
                {
                    "id": "il_tmp_simulated",
                    "object": "line_item",
                    "amount": whole,
                    "discount_amounts": [{"amount": whole - after, "discount": "di_tmp"}]
                    if after != whole
                    else [],
                    "parent": {
                        "type": "subscription_item_details",
                        "invoice_item_details": None,
                        "subscription_item_details": {
                            "proration": False,
                            "subscription": subscription["id"],
                            "subscription_item": item["id"],
                        },
                    },
                    "period": {"start": begins, "end": begins + 86_400},
                    "quantity": item["quantity"],
                }
            ],
        },
        "period_end": begins,
        "status": "draft",
        "subtotal": whole,
        "total": total,
        "total_taxes": taxes if percent else [],
    }


def _page(books: Books, url: str, found: list[Document], params: Params) -> Answer:
    """Newest first; the next page begins after the object that is named."""
    found = sorted(found, key=lambda one: (one["created"], one["id"]), reverse=True)
    limit = number(params, "limit", at_least=1, at_most=100) or 10
    begin = 0
    if "starting_after" in params:
        names = [one["id"] for one in found]
        if params["starting_after"] not in names:
            raise _missing("object", params["starting_after"])
        begin = names.index(params["starting_after"]) + 1
    expand = strings(params.get("expand"))
    page: dict[str, Any] = {
        "object": "list",
        "url": url,
        "has_more": len(found) > begin + limit,
        "data": [],
    }
    for path in expand:
        if not path.startswith("data."):
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        if path.count(".") > 3:
            raise Refusal(f"You cannot expand more than 4 levels of properties: {path}.", param="expand")
    inner = [path.removeprefix("data.") for path in expand]
    page["data"] = [sent(books.state, one, inner) for one in found[begin : begin + limit]]
    return Answer(page)


def _one(books: Books, ask: Ask, table: str) -> Document:
    found: Document | None = books.state[table].get(ask.ids["id"])
    if found is None:
        raise _missing(table.rstrip("s"), ask.ids["id"])
    return found


def _missing(what: str, name: str) -> Refusal:
    return Refusal(f"No such {what}: '{name}'", code="resource_missing", param="id", status=404)


def _key_in(ask: Ask) -> str:
    scheme, _, given = ask.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(given, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return given if scheme.lower() == "bearer" else ""


def _effect_of(ask: Ask) -> str:
    """The effect id that the key was made from."""
    return ask.headers.get("idempotency-key", "").partition(":")[0]


def _fingerprint(ask: Ask) -> str:
    return hashlib.sha256(f"{ask.method} {ask.path} ".encode() + ask.body).hexdigest()


def _replayed(answer: Answer) -> Answer:
    return Answer(answer.body, answer.status, {**answer.headers, "idempotent-replayed": "true"})
