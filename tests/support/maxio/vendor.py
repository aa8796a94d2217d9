"""A simulated Maxio Advanced Billing site, from developers.maxio.com and its published SDKs' reference.

Where the documentation is silent, this refuses: changing the billing date or scheduling a cancellation while a
subscription is on hold, and parameters that are not documented.
"""

import hmac
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

from tests.support.maxio import clockwork, shapes
from tests.support.maxio.clockwork import must, write
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route

A_DAY: Final = timedelta(days=1)
_ID: Final = r"(?P<id>[^/]+)"
_CODE: Final = re.compile(r"[A-Z0-9%@+_.-]{1,255}")
_EFFECT: Final = re.compile(r"eff_\w+")


class Refused(Exception):
    """A 4xx with Maxio's error body."""

    def __init__(self, *errors: str, status: int = 422, body: object = None) -> None:
        super().__init__(*errors)
        self.answer = Answer({"errors": list(errors)} if body is None else body, status)


class Maxio:
    name = "maxio"

    def __init__(self) -> None:
        handlers: Sequence[tuple[str, str, Any]] = (
            ("GET", r"/site\.json", self._site),
            ("GET", r"/customers\.json", self._search_customers),
            ("GET", r"/customers/lookup\.json", self._look_up_customer),
            ("GET", rf"/customers/{_ID}/subscriptions\.json", self._list_subscriptions),
            ("GET", rf"/customers/{_ID}/metadata\.json", self._list_customer_metadata),
            ("GET", rf"/customers/{_ID}\.json", self._read_customer),
            ("GET", rf"/subscriptions/{_ID}\.json", self._read_subscription),
            ("PUT", rf"/subscriptions/{_ID}\.json", self._update_subscription),
            ("DELETE", rf"/subscriptions/{_ID}\.json", self._cancel),
            ("GET", rf"/subscriptions/{_ID}/components\.json", self._list_components),
            ("GET", rf"/subscriptions/{_ID}/scheduled_renewals\.json", self._list_renewals),
            ("GET", rf"/subscriptions/{_ID}/metadata\.json", self._list_subscription_metadata),
            ("POST", rf"/subscriptions/{_ID}/metadata\.json", self._write_metadata),
            ("POST", rf"/subscriptions/{_ID}/delayed_cancel\.json", self._delay_cancel),
            ("DELETE", rf"/subscriptions/{_ID}/delayed_cancel\.json", self._undo_delayed_cancel),
            ("POST", rf"/subscriptions/{_ID}/hold\.json", self._hold),
            ("POST", rf"/subscriptions/{_ID}/resume\.json", self._resume),
            ("POST", rf"/subscriptions/{_ID}/add_coupon\.json", self._add_coupon),
            ("GET", r"/products\.json", self._list_products),
            ("GET", rf"/products/{_ID}\.json", self._read_product),
            ("GET", r"/products_price_points\.json", self._list_price_points),
            ("GET", r"/coupons\.json", self._list_coupons),
            ("GET", r"/coupons/find\.json", self._find_coupon),
            ("GET", r"/coupons/validate\.json", self._validate_coupon),
            ("POST", rf"/product_families/{_ID}/coupons\.json", self._create_coupon),
            (
                "DELETE",
                rf"/product_families/{_ID}/coupons/(?P<coupon>[^/]+)\.json",
                self._archive_coupon,
            ),
        )
        self._routes = tuple(Route(method, path, self._guarded(how)) for method, path, how in handlers)

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
        return Answer({"errors": ["Not Found"]}, 404)

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
        with self._commit(books) as state:
            clockwork.settle(state, now)

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

    # --- Reads ---

    def _site(self, books: Books, ask: Ask) -> Answer:
        return Answer({"site": books.state["site"]})

    def _search_customers(self, books: Books, ask: Ask) -> Answer:
        """A search in everything, for parts."""
        given = _known(ask, "q", "page", "per_page", "direction")
        wanted = given.get("q", "").lower()
        names = ("id", "email", "first_name", "last_name", "organization", "reference")
        found = [
            {"customer": each}
            for each in books.state["customers"].values()
            if any(wanted in str(each[name] or "").lower() for name in names)
        ]
        return Answer(_page(given, found, usual=50))

    def _look_up_customer(self, books: Books, ask: Ask) -> Answer:
        wanted = _known(ask, "reference").get("reference", "").lower()
        for each in books.state["customers"].values():  # the database compares without case
            if wanted and (each["reference"] or "").lower() == wanted:
                return Answer({"customer": each})
        return self.not_found(ask)

    def _read_customer(self, books: Books, ask: Ask) -> Answer:
        return Answer({"customer": _one(books.state, "customers", ask)})

    def _list_subscriptions(self, books: Books, ask: Ask) -> Answer:
        _one(books.state, "customers", ask)
        own = [s for s in books.state["subscriptions"].values() if str(s["customer_id"]) == ask.ids["id"]]
        shown = [shapes.shown_subscription(books.state, each, with_coupons=False) for each in own]
        return Answer([{"subscription": each} for each in shown])

    def _read_subscription(self, books: Books, ask: Ask) -> Answer:
        found = _one(books.state, "subscriptions", ask)
        included = [value for name, value in ask.query if name == "include[]"]
        if set(included) - {"coupons", "self_service_page_token"}:
            raise Refused("include: not included in list", status=400)
        shown = shapes.shown_subscription(books.state, found, with_coupons="coupons" in included)
        return Answer({"subscription": shown})

    def _list_components(self, books: Books, ask: Ask) -> Answer:
        _one(books.state, "subscriptions", ask)
        _known(ask, "in_use", "page", "per_page")
        components = books.state["components"].get(ask.ids["id"], [])
        return Answer([{"component": {**each, "subscription_id": int(ask.ids["id"])}} for each in components])

    def _list_renewals(self, books: Books, ask: Ask) -> Answer:
        _one(books.state, "subscriptions", ask)
        listed = books.state["renewals"].get(ask.ids["id"], [])
        return Answer({"scheduled_renewal_configurations": listed})

    def _list_customer_metadata(self, books: Books, ask: Ask) -> Answer:
        return self._list_metadata(books, ask, "customers")

    def _list_subscription_metadata(self, books: Books, ask: Ask) -> Answer:
        return self._list_metadata(books, ask, "subscriptions")

    def _list_metadata(self, books: Books, ask: Ask, kind: str) -> Answer:
        _one(books.state, kind, ask)
        given = _known(ask, "page", "per_page")
        own = books.state["metadata"][kind].get(ask.ids["id"], {})
        listed = [
            {
                "id": number,
                "resource_id": int(ask.ids["id"]),
                "name": name,
                "value": value,
                "deleted_at": None,
            }
            for number, (name, value) in enumerate(own.items(), 1)
        ]
        page = _page(given, listed, usual=20)
        return Answer(
            {
                "total_count": len(listed),
                "current_page": 1,
                "total_pages": 1,
                "per_page": 20,
                "metadata": page,
            }
        )

    def _list_products(self, books: Books, ask: Ask) -> Answer:
        given = _known(ask, "page", "per_page", "include_archived")
        listed = [{"product": each} for each in books.state["products"].values() if not each["archived_at"]]
        return Answer(_page(given, listed, usual=20))

    def _read_product(self, books: Books, ask: Ask) -> Answer:
        return Answer({"product": _one(books.state, "products", ask)})

    def _list_price_points(self, books: Books, ask: Ask) -> Answer:
        given = _known(
            ask, "page", "per_page", "direction", "filter[ids]", "filter[type]", "filter[archived_at]"
        )
        ids, kinds = given.get("filter[ids]"), given.get("filter[type]")
        listed = [
            each
            for each in books.state["price_points"].values()
            if (ids is None or str(each["id"]) in ids.split(","))
            and (kinds is None or each["type"] in kinds.split(","))
            and not (given.get("filter[archived_at]") == "null" and each["archived_at"])
        ]
        if given.get("direction") == "desc":
            listed.reverse()
        return Answer({"price_points": _page(given, listed, usual=20)})

    def _list_coupons(self, books: Books, ask: Ask) -> Answer:
        given = _known(ask, "page", "per_page", "filter[codes]", "filter[ids]", "currency_prices")
        codes = given.get("filter[codes]")
        listed = [
            {"coupon": each}
            for each in books.state["coupons"].values()
            if not each["archived_at"] and (codes is None or each["code"] in codes.split(","))
        ]
        return Answer(_page(given, listed, usual=30))

    def _find_coupon(self, books: Books, ask: Ask) -> Answer:
        given = _known(ask, "code", "product_family_id", "currency_prices")
        found = _coupon(books.state, given.get("code", ""), given.get("product_family_id"))
        return Answer({"coupon": found}) if found else self.not_found(ask)

    def _validate_coupon(self, books: Books, ask: Ask) -> Answer:
        given = _known(ask, "code", "product_family_id")
        found = _coupon(books.state, given.get("code", ""), given.get("product_family_id"))
        why = "Coupon not found" if found is None else _unusable(found, ask.now)
        return Answer({"errors": why}, 404) if why or found is None else Answer({"coupon": found})

    # --- Writes ---

    def _update_subscription(self, books: Books, ask: Ask) -> Answer:
        given = _body(
            ask,
            "subscription",
            "next_billing_at",
            "product_id",
            "product_price_point_id",
            "product_change_delayed",
        )
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if shapes.is_over(found) or found["state"] == "on_hold":
                raise Refused("The subscription cannot be changed in its current state.")
            if "next_billing_at" in given:
                self._move_billing(books, state, found, _moment(given["next_billing_at"], ask.now), ask)
            if "product_id" in given or "product_price_point_id" in given:
                self._change_product(books, state, found, given, ask)
            return _answer(state, found)

    def _move_billing(self, books: Books, state: Document, found: Document, at: datetime, ask: Ask) -> None:
        if found["snap_day"] is not None:
            raise Refused("Next billing date: cannot be set for subscriptions with calendar billing.")
        if at <= ask.now:
            raise Refused("Next billing date: must be in the future.")
        if write(at) == found["current_period_ends_at"]:
            return
        found.update(current_period_ends_at=write(at), next_assessment_at=write(at))
        if found["state"] == "trialing":
            found["trial_ended_at"] = write(at)
        self._record(books, state, found, "extend-trial" if found["state"] == "trialing" else "pause", ask)

    def _change_product(
        self, books: Books, state: Document, found: Document, given: Document, ask: Ask
    ) -> None:
        product_id = given.get("product_id", found["product_id"])
        price_id = given.get("product_price_point_id")
        price = state["price_points"].get(str(price_id)) if price_id is not None else None
        if str(product_id) not in state["products"]:
            raise Refused("Product: could not be found.")
        if price_id is not None and (
            price is None or price["product_id"] != product_id or price["archived_at"]
        ):
            raise Refused("Product price point: must belong to the product.")
        if given.get("product_change_delayed"):
            found["next_product_id"] = product_id
        else:
            clockwork.change_product(state, found, product_id, price_id)
        self._record(books, state, found, "change-plan", ask)

    def _cancel(self, books: Books, ask: Ask) -> Answer:
        given = _body(ask, "subscription", "cancellation_message", "reason_code", may_be_missing=True)
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if shapes.is_over(found):
                raise Refused("The subscription is already canceled.")
            clockwork.cancel(found, ask.now)
            found["cancellation_message"] = given.get("cancellation_message")
            self._record(books, state, found, "cancel", ask, given.get("cancellation_message"))
            return _answer(state, found)

    def _delay_cancel(self, books: Books, ask: Ask) -> Answer:
        given = _body(ask, "subscription", "cancellation_message", "reason_code", may_be_missing=True)
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if found["state"] not in ("active", "trialing"):
                raise Refused("Cannot set a delayed cancellation in the current state.")
            if not found["cancel_at_end_of_period"]:
                found.update(
                    cancel_at_end_of_period=True,
                    delayed_cancel_at=found["current_period_ends_at"],
                    cancellation_message=given.get("cancellation_message"),
                )
                self._record(books, state, found, "cancel", ask, given.get("cancellation_message"))
        return Answer({"message": "This subscription will be canceled at the end of the current period."})

    def _undo_delayed_cancel(self, books: Books, ask: Ask) -> Answer:
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if found["cancel_at_end_of_period"] and not shapes.is_over(found):
                found.update(cancel_at_end_of_period=False, delayed_cancel_at=None)
                self._record(books, state, found, "uncancel", ask)
        return Answer({"message": "This subscription will no longer be canceled."})

    def _hold(self, books: Books, ask: Ask) -> Answer:
        given = _body(ask, "hold", "automatically_resume_at", may_be_missing=True)
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if found["state"] not in ("active", "trialing"):
                raise Refused("This subscription is not eligible to be put on hold.")
            if must(found["current_period_ends_at"]) - ask.now < A_DAY:
                raise Refused("A subscription that renews within 24 hours cannot be put on hold.")
            resumes_at = given.get("automatically_resume_at")
            at = _moment(resumes_at, ask.now) if resumes_at is not None else None
            if at is not None and at - ask.now < timedelta(hours=1):
                raise Refused("Automatically resume at: must be at least an hour in the future.")
            found.update(state="on_hold", on_hold_at=write(ask.now), automatically_resume_at=write(at))
            self._record(books, state, found, "pause", ask)
            return _answer(state, found)

    def _resume(self, books: Books, ask: Ask) -> Answer:
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            if found["state"] != "on_hold":
                raise Refused("This subscription is not on hold.")
            clockwork.resume(state, found, ask.now)
            self._record(books, state, found, "resume", ask)
            return _answer(state, found)

    def _add_coupon(self, books: Books, ask: Ask) -> Answer:
        given = _object(ask)
        if set(given) - {"codes"}:
            raise Refused("found unpermitted parameter", status=400)
        codes = given.get("codes")
        with books.commit() as state:
            found = _one(state, "subscriptions", ask)
            family = str(state["products"][str(found["product_id"])]["product_family"]["id"])
            for code in codes if isinstance(codes, list) else []:
                self._add_one(state, found, _coupon(state, str(code), family), str(code), ask)
                self._record(books, state, found, "discount", ask, str(code).lower())
            return _answer(state, found)

    def _add_one(
        self, state: Document, found: Document, coupon: Document | None, code: str, ask: Ask
    ) -> None:
        why = "Coupon code could not be found." if coupon is None else _unusable(coupon, ask.now)
        given = [state["coupons"][str(each["coupon_id"])] for each in found["_coupons"]]
        if coupon is not None and any(each["id"] == coupon["id"] for each in given):
            why = "Coupon code has already been applied."
        if coupon is not None and given and not all(each["stackable"] for each in (*given, coupon)):
            why = "Coupon is not stackable."
        if shapes.is_over(found):
            why = "The subscription is canceled."
        if why or coupon is None:
            raise Refused(body={"codes": [f"{code}: {why}"]})
        coupon["conversions"] += 1
        found["_coupons"].append({"coupon_id": coupon["id"], "use_count": 0})

    def _create_coupon(self, books: Books, ask: Ask) -> Answer:
        given = _body(
            ask, "coupon",
            "name", "code", "description", "percentage", "amount_in_cents", "allow_negative_balance", "recurring",
            "duration_period_count", "duration_interval", "duration_interval_unit", "end_date", "conversion_limit",
            "product_family_id", "stackable", "compounding_strategy", "exclude_mid_period_allocations",
            "apply_on_cancel_at_end_of_period", "apply_on_subscription_expiration",
        )  # fmt: skip
        code, percentage, amount = given.get("code"), given.get("percentage"), given.get("amount_in_cents")
        errors = [
            f"{name.capitalize()}: cannot be blank." for name in ("name", "code") if not given.get(name)
        ]
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            errors.append("Code: must be uppercase letters, numbers and %@+-_.")
        if (percentage is None) == (amount is None):
            errors.append("Percentage: either a percentage or an amount is needed.")
        with books.commit() as state:
            if _coupon(state, str(code), ask.ids["id"], with_archived=True) is not None:
                errors.append("Code: has already been taken.")
            if ask.ids["id"] != str(shapes.FAMILY):
                errors.append("Product family: could not be found.")
            if errors:
                raise Refused(*errors)
            scheme = "do_not_recur"
            if given.get("recurring"):
                scheme = "recur_with_duration" if given.get("duration_period_count") else "recur_indefinitely"
            made = {
                "id": 3_000_000 + len(state["coupons"]),
                "name": given["name"],
                "code": code,
                "description": given.get("description"),
                "amount_in_cents": amount,
                "percentage": _percentage(percentage),
                "product_family_id": shapes.FAMILY,
                "recurring": bool(given.get("recurring")),
                "recurring_scheme": scheme,
                "duration_period_count": given.get("duration_period_count"),
                "duration_interval": None,
                "duration_interval_unit": None,
                "end_date": given.get("end_date"),
                "conversion_limit": given.get("conversion_limit"),
                "stackable": bool(given.get("stackable")),
                "archived_at": None,
                "conversions": 0,
                "created_at": write(ask.now),
            }
            state["coupons"][str(made["id"])] = made
            return Answer({"coupon": made}, 201)

    def _archive_coupon(self, books: Books, ask: Ask) -> Answer:
        with books.commit() as state:
            found = state["coupons"].get(ask.ids["coupon"])
            if found is None or str(found["product_family_id"]) != ask.ids["id"]:
                return self.not_found(ask)
            found["archived_at"] = write(ask.now)
            return Answer({"coupon": found})

    def _write_metadata(self, books: Books, ask: Ask) -> Answer:
        given = _object(ask).get("metadata")
        entries = given if isinstance(given, list) else [given]
        with books.commit() as state:
            _one(state, "subscriptions", ask)
            own = state["metadata"]["subscriptions"].setdefault(ask.ids["id"], {})
            for entry in entries:
                if not isinstance(entry, dict) or set(entry) != {"name", "value"}:
                    raise Refused("Metadata: needs a name and a value.")
                if len(str(entry["value"]).encode()) > 2048:
                    raise Refused("Value: is too long.")
                own[entry["name"]] = str(entry["value"])
                if effect := _EFFECT.search(str(entry["value"])):
                    state["marks"][ask.ids["id"]] = effect.group()
        return Answer([{"resource_id": int(ask.ids["id"]), **entry} for entry in entries])

    # --- What all share ---

    def _commit(self, books: Books) -> Any:
        if not books.state:
            books.state = shapes.empty(books.mode)
        return books.commit()

    def _guarded(self, handle: Any) -> Any:
        def guarded(books: Books, ask: Ask) -> Answer:
            try:
                return handle(books, ask)
            except Refused as refused:
                return refused.answer

        return guarded

    def _record(
        self, books: Books, state: Document, found: Document, type: str, ask: Ask, where: str | None = None
    ) -> None:
        """Steps that carry the mark of one effect, one after the other, are one change: what it came to."""
        subscription_id = str(found["id"])
        named = _EFFECT.search(where or "")
        key = named.group() if named else ("" if where else state["marks"].get(subscription_id, ""))
        last = books.changes_of(subscription_id)[-1:]
        if key and last and last[0]["idempotencyKey"] == key:
            last[0]["type"] = type
            return
        books.record(subscription_id, type, key, ask.now)


def _known(ask: Ask, *names: str) -> dict[str, str]:
    given = ask.params()
    if unknown := set(given) - set(names):
        raise Refused(f"found unpermitted parameter: {sorted(unknown)[0]}", status=400)
    return given


def _object(ask: Ask) -> Document:
    if ask.body and not ask.headers.get("content-type", "").startswith("application/json"):
        raise Refused("Unsupported media type", status=415)
    try:
        given = ask.json()
    except ValueError:
        raise Refused("The request could not be parsed.", status=400) from None
    return given if isinstance(given, dict) else {}


def _body(ask: Ask, name: str, *permitted: str, may_be_missing: bool = False) -> Document:
    given = _object(ask)
    inner = given.get(name, {} if may_be_missing else None)
    if not isinstance(inner, dict) or set(given) - {name, "uniqueness_token"}:
        raise Refused(f"param is missing or the value is empty: {name}", status=400)
    if unknown := set(inner) - set(permitted):
        raise Refused(f"found unpermitted parameter: {sorted(unknown)[0]}", status=400)
    return inner


def _one(state: Document, kind: str, ask: Ask) -> Document:
    found: Document | None = state[kind].get(ask.ids["id"])
    if found is None:
        raise Refused("Not Found", status=404)
    return found


def _answer(state: Document, found: Document) -> Answer:
    return Answer({"subscription": shapes.shown_subscription(state, found, with_coupons=False)})


def _page(given: Mapping[str, str], listed: list[Any], *, usual: int) -> list[Any]:
    size = min(max(int(given.get("per_page", usual)), 1), 200)
    first = (max(int(given.get("page", 1)), 1) - 1) * size
    return listed[first : first + size]


def _coupon(
    state: Document, code: str, family: str | None, *, with_archived: bool = False
) -> Document | None:
    for coupon in state["coupons"].values():
        is_there = with_archived or not coupon["archived_at"]
        if coupon["code"] == code and is_there and family in (None, str(coupon["product_family_id"])):
            found: Document = coupon
            return found
    return None


def _unusable(coupon: Document, now: datetime) -> str | None:
    if coupon["end_date"] and now.date() > date.fromisoformat(coupon["end_date"][:10]):
        return "Coupon expired"
    if coupon["conversion_limit"] is not None and coupon["conversions"] >= int(coupon["conversion_limit"]):
        return "Coupon is invalid"
    return None


def _percentage(given: object) -> str | None:
    if given is None:
        return None
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        raise Refused("Percentage: is not a number.") from None
    if not 0 < value <= 100:
        raise Refused("Percentage: must be between 0 and 100.")
    return f"{value.quantize(Decimal('0.0001'), ROUND_DOWN).normalize():f}"


def _moment(given: object, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        raise Refused("Date: is invalid.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


VENDOR = Maxio
