"""Paddle's API: its addresses, what each does to the books, and who may ask."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tests.support.paddle import shapes
from tests.support.paddle.answers import Entity, Refused, data, error, invalid, listed, page, read_body
from tests.support.paddle.ids import moment, named, stamp
from tests.support.paddle.reckoning import next_transaction
from tests.support.paddle.time import end, pause, renew
from tests.support.paddle.updates import SIMULATED, check_open, update
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Handler, Route

BASE: Final = "https://sandbox-api.paddle.com"
_STATUSES: Final = {
    "prices": ("active", "archived"),
    "customers": ("active", "archived"),
    "addresses": ("active", "archived"),
    "discounts": ("active", "archived", "expired", "used"),
    "subscriptions": ("active", "canceled", "past_due", "paused", "trialing"),
}
_DISCOUNT_FIELDS: Final = frozenset(
    {
        "description",
        "enabled_for_checkout",
        "code",
        "type",
        "mode",
        "amount",
        "currency_code",
        "recur",
        "maximum_recurring_intervals",
        "usage_limit",
        "restrict_to",
        "expires_at",
        "discount_group_id",
        "custom_data",
    }
)
_ALL: Final = (
    "subscription.write",
    "customer.read",
    "address.read",
    "price.read",
    "discount.write",
)
_CODE: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_PREFIXES: Final = {"live": "live", "test": "sdbx"}


class Api:
    """What is asked for, and what is answered. Its notes on an entity begin with an underscore, and are not shown."""

    def __init__(self) -> None:
        self.largest_page = 200
        self.tax_rate = Decimal(0)
        self.permissions: Sequence[str] = _ALL

    # --- Who may ask ---

    def credentials(self, mode: str) -> Mapping[str, str]:
        kind = f"pdl_{_PREFIXES[mode]}_" + "apikey_"
        secret = "pdl_" + "ntfset_" + named("x", f"secret {mode}")[2:] + "_" + "s" * 32
        return {
            "api_key": kind + named("x", mode)[2:] + "_" + "k" * 22 + "_abc123",
            "webhook_secret": secret,
        }

    def mode_of(self, ask: Ask) -> str | None:
        given = ask.headers.get("authorization", "")
        for mode in _PREFIXES:
            if given == f"Bearer {self.credentials(mode)['api_key']}":
                return mode
        return None

    def refuse_credentials(self, ask: Ask) -> Answer:
        given = ask.headers.get("authorization")
        if given is None:
            return error(403, "authentication_missing")
        return error(403, "invalid_token" if given.startswith("Bearer ") else "authentication_malformed")

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        if status == 429:
            headers = {"retry-after": str(retry_after)} if retry_after is not None else {}
            return error(429, "too_many_requests", headers=headers)
        return error(status, "internal_error")

    def not_found(self, ask: Ask) -> Answer:
        return error(404, "invalid_url", "URL called is invalid.")

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        return None  # Paddle has no idempotency keys

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        return None

    # --- Addresses ---

    @property
    def routes(self) -> Sequence[Route]:
        one = "(?P<id>[^/]+)"
        return [
            Route("GET", "/", self._guarded(self._root, "")),
            Route("GET", "/customers", self._guarded(self._list_customers, "customer.read")),
            Route("GET", f"/customers/{one}", self._guarded(self._get("customers"), "customer.read")),
            Route("GET", f"/customers/{one}/addresses", self._guarded(self._list_addresses, "address.read")),
            Route(
                "GET",
                f"/customers/(?P<owner>[^/]+)/addresses/{one}",
                self._guarded(self._get("addresses"), "address.read"),
            ),
            Route("GET", "/prices", self._guarded(self._list_prices, "price.read")),
            Route("GET", f"/prices/{one}", self._guarded(self._get("prices"), "price.read")),
            Route("GET", "/discounts", self._guarded(self._list_discounts, "discount.read")),
            Route("GET", f"/discounts/{one}", self._guarded(self._get("discounts"), "discount.read")),
            Route("POST", "/discounts", self._guarded(self._create_discount, "discount.write")),
            Route("PATCH", f"/discounts/{one}", self._guarded(self._update_discount, "discount.write")),
            Route("GET", "/subscriptions", self._guarded(self._list_subscriptions, "subscription.read")),
            Route(
                "GET", f"/subscriptions/{one}", self._guarded(self._get("subscriptions"), "subscription.read")
            ),
            Route("PATCH", f"/subscriptions/{one}", self._guarded(self._update, "subscription.write")),
            Route(
                "PATCH",
                f"/subscriptions/{one}/preview",
                self._guarded(self._preview, "subscription.read"),
                reads=True,
            ),
            Route("POST", f"/subscriptions/{one}/cancel", self._guarded(self._cancel, "subscription.write")),
            Route("POST", f"/subscriptions/{one}/pause", self._guarded(self._pause, "subscription.write")),
            Route("POST", f"/subscriptions/{one}/resume", self._guarded(self._resume, "subscription.write")),
        ]

    def _guarded(self, handler: Handler, permission: str) -> Handler:
        def guarded(books: Books, ask: Ask) -> Answer:
            needed = {permission, permission.replace(".read", ".write")}
            if permission and not needed & set(self.permissions):
                return error(403, "forbidden", "You aren't permitted to perform this request.")
            if ask.headers.get("paddle-version", "1") != "1":
                return error(400, "bad_request", "There is no such version.")
            if ask.body and ask.headers.get("content-type") != "application/json":
                return error(415, "unsupported_media_type")
            try:
                return handler(books, ask)
            except Refused as refused:
                return refused.answer

        return guarded

    def _root(self, books: Books, ask: Ask) -> Answer:
        environment = "production" if books.mode == "live" else "sandbox"
        account = {"id": f"acc_{books.mode}", "name": "Northwind Notes"}
        return data(
            {
                "api": {"name": "Paddle API", "version": "1", "environment": environment},
                "caller": {
                    "auth_type": "api_key",
                    "account": account,
                    "permissions": list(self.permissions),
                },
            }
        )

    # --- Reading ---

    def _get(self, shelf: str) -> Handler:
        def get(books: Books, ask: Ask) -> Answer:
            entity = _entity(books.state, shelf, ask.ids["id"])
            if ask.ids.get("owner", entity.get("customer_id")) != entity.get("customer_id"):
                raise Refused(404, "not_found")
            return data(shown(entity))

        return get

    def _list(
        self, books: Books, ask: Ask, shelf: str, filters: Mapping[str, str], default: str = "active"
    ) -> Answer:
        statuses = listed(ask, "status", default) or list(_STATUSES[shelf])
        if set(statuses) - set(_STATUSES[shelf]):
            raise invalid("status")
        found = [each for each in books.state.get(shelf, {}).values() if each["status"] in statuses]
        for name, field in {"id": "id", **filters}.items():
            if wanted := listed(ask, name):
                found = [each for each in found if each[field] in wanted]
        if recurring := ask.params().get("recurring"):
            found = [each for each in found if (each["billing_cycle"] is not None) == (recurring == "true")]
        return page(
            ask,
            [shown(each) for each in found],
            filters={"id", "status", "recurring", *filters},
            base=BASE,
            largest=self.largest_page,
        )

    def _list_customers(self, books: Books, ask: Ask) -> Answer:
        return self._list(books, ask, "customers", {"email": "email"})

    def _list_addresses(self, books: Books, ask: Ask) -> Answer:
        owner = _entity(books.state, "customers", ask.ids["id"])["id"]
        own = {name: each for name, each in books.state["addresses"].items() if each["customer_id"] == owner}
        return self._list(Books(state={"addresses": own}), ask, "addresses", {})

    def _list_prices(self, books: Books, ask: Ask) -> Answer:
        return self._list(books, ask, "prices", {"product_id": "product_id", "type": "type"})

    def _list_discounts(self, books: Books, ask: Ask) -> Answer:
        return self._list(books, ask, "discounts", {"code": "code", "mode": "mode"})

    def _list_subscriptions(self, books: Books, ask: Ask) -> Answer:
        filters = {"customer_id": "customer_id", "address_id": "address_id"}
        return self._list(books, ask, "subscriptions", filters, default="")

    # --- Changing ---

    def _create_discount(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, _DISCOUNT_FIELDS)
        _check_new_discount(body)
        code = body.get("code")
        with books.commit() as state:
            discounts = state.setdefault("discounts", {})
            if code and any((each["code"] or "").upper() == code.upper() for each in discounts.values()):
                raise Refused(409, "discount_code_conflict")
            blank = dict.fromkeys(_DISCOUNT_FIELDS)
            made = {
                **blank,
                "enabled_for_checkout": True,
                "mode": "standard",
                "recur": False,
                **body,
                "id": named("dsc", f"made {len(discounts)}"),
                "status": "active",
                "times_used": 0,
                "import_meta": None,
                "created_at": stamp(ask.now),
                "updated_at": stamp(ask.now),
            }
            discounts[made["id"]] = made
        return data(made, 201)

    def _update_discount(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, _DISCOUNT_FIELDS | {"status"})
        if body.get("status", "active") not in ("active", "archived"):
            raise invalid("status")
        with books.commit() as state:
            entity = _entity(state, "discounts", ask.ids["id"])
            entity |= {**body, "updated_at": stamp(ask.now)}
        return data(entity)

    def _update(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, SIMULATED)
        with books.commit() as state:
            sub = _entity(state, "subscriptions", ask.ids["id"])
            kind = update(sub, body, state, ask.now)
        if kind is not None:
            books.record(sub["id"], kind, _marker(body, books.state), ask.now)
        return data(shown(sub))

    def _preview(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, SIMULATED)
        state = deepcopy(books.state)
        sub = _entity(state, "subscriptions", ask.ids["id"])
        update(sub, body, state, ask.now)
        coming = next_transaction(sub, state["discounts"], self.tax_rate)
        seen = shown(sub)
        del seen["id"]
        return data(
            {
                **seen,
                "immediate_transaction": None,
                "next_transaction": coming,
                "recurring_transaction_details": coming["details"] if coming else None,
                "update_summary": None,
            }
        )

    def _cancel(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, {"effective_from"})
        when = body.get("effective_from") or "next_billing_period"
        if when not in ("immediately", "next_billing_period"):
            raise invalid("effective_from")
        with books.commit() as state:
            sub = _entity(state, "subscriptions", ask.ids["id"])
            check_open(sub, ask.now)
            if when == "immediately" or sub["status"] == "paused":
                end(sub, ask.now)
            else:
                if sub["scheduled_change"] is not None:
                    raise Refused(400, "subscription_locked_pending_changes")
                sub["scheduled_change"] = shapes.change("cancel", sub["next_billed_at"])
                sub["next_billed_at"] = None
        books.record(sub["id"], "cancel", "", ask.now)
        return data(shown(sub))

    def _pause(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, {"effective_from", "resume_at", "on_resume"})
        _check_on_resume(body)
        when, resume_at = body.get("effective_from") or "next_billing_period", body.get("resume_at")
        if when not in ("immediately", "next_billing_period"):
            raise invalid("effective_from")
        with books.commit() as state:
            sub = _entity(state, "subscriptions", ask.ids["id"])
            check_open(sub, ask.now)
            if sub["status"] == "paused":
                raise Refused(400, "subscription_cannot_be_paused")
            if sub["scheduled_change"] is not None:
                raise Refused(400, "subscription_locked_pending_changes")
            begins = ask.now if when == "immediately" else moment(sub["next_billed_at"])
            if resume_at is not None and _time(resume_at, "resume_at") <= begins:
                raise invalid("resume_at")
            if when == "immediately":
                pause(sub, ask.now, resume_at)
            else:
                sub["scheduled_change"] = shapes.change("pause", sub["next_billed_at"], resume_at)
                sub["next_billed_at"] = resume_at
        books.record(sub["id"], "pause", "", ask.now)
        return data(shown(sub))

    def _resume(self, books: Books, ask: Ask) -> Answer:
        body = read_body(ask, {"effective_from", "on_resume"})
        _check_on_resume(body)
        when = body.get("effective_from") or "immediately"
        with books.commit() as state:
            sub = _entity(state, "subscriptions", ask.ids["id"])
            check_open(sub, ask.now)
            if sub["status"] != "paused":
                self._move_resume(sub, when)
            elif when != "immediately":
                sub["scheduled_change"] = shapes.change("resume", stamp(_time(when, "effective_from")))
            else:
                _go_on(sub, body.get("on_resume"), ask.now)
        books.record(sub["id"], "resume", "", ask.now)
        return data(shown(sub))

    def _move_resume(self, sub: Entity, when: str) -> None:
        waiting = sub["scheduled_change"]
        if waiting is None or waiting["action"] != "pause" or when == "immediately":
            raise Refused(400, "subscription_must_be_paused")
        waiting["resume_at"] = sub["next_billed_at"] = stamp(_time(when, "effective_from"))


def _entity(state: Document, shelf: str, entity_id: str) -> Entity:
    entity: Entity | None = state.get(shelf, {}).get(entity_id)
    if entity is None:
        raise Refused(404, "not_found", "Entity not found.")
    return entity


def shown(entity: Entity) -> Entity:
    return {name: value for name, value in entity.items() if not name.startswith("_")}


def _marker(body: Entity, state: Document) -> str:
    """The effect that a write names, in what it leaves there."""
    custom = body.get("custom_data") or {}
    if not custom and body.get("discount"):
        custom = state["discounts"][body["discount"]["id"]]["custom_data"] or {}
    return str(next((value for name, value in custom.items() if name.endswith("_effect")), ""))


def _check_new_discount(body: Entity) -> None:
    if missing := sorted({"description", "type", "amount"} - body.keys()):
        raise invalid(*missing)
    amount, kind = body["amount"], body["type"]
    if kind not in ("percentage", "flat", "flat_per_seat"):
        raise invalid("type")
    is_number = isinstance(amount, str) and re.fullmatch(r"\d+(\.\d{1,2})?", amount) is not None
    if not is_number or (kind == "percentage" and not 0 < Decimal(amount) <= 100):
        raise invalid("amount")
    if kind != "percentage" and ("." in amount or not body.get("currency_code")):
        raise invalid("currency_code")
    if body.get("maximum_recurring_intervals") is not None and not body.get("recur"):
        raise invalid("maximum_recurring_intervals")
    if body.get("code") is not None and not _CODE.fullmatch(body["code"]):
        raise invalid("code")
    if body.get("expires_at") is not None:
        _time(body["expires_at"], "expires_at")


def _check_on_resume(body: Entity) -> None:
    if body.get("on_resume") not in (None, "continue_existing_billing_period", "start_new_billing_period"):
        raise invalid("on_resume")


def _go_on(sub: Entity, on_resume: str | None, now: datetime) -> None:
    sub["scheduled_change"], sub["paused_at"] = None, None
    if on_resume != "continue_existing_billing_period":
        sub["_anchor"] = None
        sub["_charges"] = [*sub.get("_charges", []), "resume"]
        renew(sub, now)
        return
    period = sub["current_billing_period"]
    if period is None or moment(period["ends_at"]) <= now:
        raise Refused(400, "subscription_continuing_existing_billing_period_not_allowed")
    sub["status"], sub["next_billed_at"] = "active", period["ends_at"]


def _time(text: Any, field: str) -> datetime:
    try:
        return moment(text)
    except (ValueError, TypeError):
        raise invalid(field) from None
