"""Maxio's writes: each handler checks, changes and records in one commit."""

import re
from datetime import datetime, timedelta
from typing import Final

from tests.support.maxio import clockwork, shapes
from tests.support.maxio.asking import (
    Refused,
    answer,
    body_of,
    coupon_by_code,
    moment,
    not_found,
    one,
    percentage,
    unusable,
    whole_body,
)
from tests.support.maxio.clockwork import must, write
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask

A_DAY: Final = timedelta(days=1)
_CODE: Final = re.compile(r"[A-Z0-9%@+_.-]{1,255}")
_EFFECT: Final = re.compile(r"eff_\w+")


def update_subscription(books: Books, ask: Ask) -> Answer:
    given = body_of(
        ask,
        "subscription",
        "next_billing_at",
        "product_id",
        "product_price_point_id",
        "product_change_delayed",
    )
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if shapes.is_over(found) or found["state"] == "on_hold":
            raise Refused("The subscription cannot be changed in its current state.")
        if "next_billing_at" in given:
            _move_billing(books, state, found, moment(given["next_billing_at"], ask.now), ask)
        if "product_id" in given or "product_price_point_id" in given:
            _change_product(books, state, found, given, ask)
        return answer(state, found)


def _move_billing(books: Books, state: Document, found: Document, at: datetime, ask: Ask) -> None:
    if found["snap_day"] is not None:
        raise Refused("Next billing date: cannot be set for subscriptions with calendar billing.")
    if at <= ask.now:
        raise Refused("Next billing date: must be in the future.")
    if write(at) == found["current_period_ends_at"]:
        return
    found.update(current_period_ends_at=write(at), next_assessment_at=write(at))
    if found["state"] == "trialing":
        found["trial_ended_at"] = write(at)
    _record(books, state, found, "extend-trial" if found["state"] == "trialing" else "pause", ask)


def _change_product(books: Books, state: Document, found: Document, given: Document, ask: Ask) -> None:
    product_id = given.get("product_id", found["product_id"])
    price_id = given.get("product_price_point_id")
    price = state["price_points"].get(str(price_id)) if price_id is not None else None
    if str(product_id) not in state["products"]:
        raise Refused("Product: could not be found.")
    if price_id is not None and (price is None or price["product_id"] != product_id or price["archived_at"]):
        raise Refused("Product price point: must belong to the product.")
    before = dict(found)
    if given.get("product_change_delayed"):
        found["next_product_id"] = product_id
    else:
        clockwork.change_product(state, found, product_id, price_id)
    if found != before:  # the product that it is on already is no change
        _record(books, state, found, "change-plan", ask)


def cancel(books: Books, ask: Ask) -> Answer:
    given = body_of(ask, "subscription", "cancellation_message", "reason_code", may_be_missing=True)
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if shapes.is_over(found):
            raise Refused("The subscription is already canceled.")
        clockwork.cancel(found, ask.now)
        found["cancellation_message"] = given.get("cancellation_message")
        _record(books, state, found, "cancel", ask, given.get("cancellation_message"))
        return answer(state, found)


def delay_cancel(books: Books, ask: Ask) -> Answer:
    given = body_of(ask, "subscription", "cancellation_message", "reason_code", may_be_missing=True)
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if found["state"] not in ("active", "trialing"):
            raise Refused("Cannot set a delayed cancellation in the current state.")
        if not found["cancel_at_end_of_period"]:
            found.update(
                cancel_at_end_of_period=True,
                delayed_cancel_at=found["current_period_ends_at"],
                cancellation_message=given.get("cancellation_message"),
            )
            _record(books, state, found, "cancel", ask, given.get("cancellation_message"))
    return Answer({"message": "This subscription will be canceled at the end of the current period."})


def undo_delayed_cancel(books: Books, ask: Ask) -> Answer:
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if found["cancel_at_end_of_period"] and not shapes.is_over(found):
            found.update(cancel_at_end_of_period=False, delayed_cancel_at=None)
            _record(books, state, found, "uncancel", ask)
    return Answer({"message": "This subscription will no longer be canceled."})


def hold(books: Books, ask: Ask) -> Answer:
    given = body_of(ask, "hold", "automatically_resume_at", may_be_missing=True)
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if found["state"] not in ("active", "trialing"):
            raise Refused("This subscription is not eligible to be put on hold.")
        if found["group"]:
            raise Refused("A member of a subscription group cannot be put on hold.")
        if must(found["current_period_ends_at"]) - ask.now < A_DAY:
            raise Refused("A subscription that renews within 24 hours cannot be put on hold.")
        resumes_at = given.get("automatically_resume_at")
        at = moment(resumes_at, ask.now) if resumes_at is not None else None
        if at is not None and at - ask.now < timedelta(hours=1):
            raise Refused("Automatically resume at: must be at least an hour in the future.")
        found.update(state="on_hold", on_hold_at=write(ask.now), automatically_resume_at=write(at))
        _record(books, state, found, "pause", ask)
        return answer(state, found)


def resume(books: Books, ask: Ask) -> Answer:
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        if found["state"] != "on_hold":
            raise Refused("This subscription is not on hold.")
        clockwork.resume(state, found, ask.now)
        _record(books, state, found, "resume", ask)
        return answer(state, found)


def add_coupon(books: Books, ask: Ask) -> Answer:
    given = whole_body(ask)
    if set(given) - {"codes"}:
        raise Refused("found unpermitted parameter", status=400)
    codes = given.get("codes")
    with books.commit() as state:
        found = one(state, "subscriptions", ask)
        family = str(state["products"][str(found["product_id"])]["product_family"]["id"])
        for code in codes if isinstance(codes, list) else []:
            _add_one(state, found, coupon_by_code(state, str(code), family), str(code), ask)
            _record(books, state, found, "discount", ask, str(code).lower())
        return answer(state, found)


def _add_one(state: Document, found: Document, coupon: Document | None, code: str, ask: Ask) -> None:
    why = "Coupon code could not be found." if coupon is None else unusable(coupon, ask.now)
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


def create_coupon(books: Books, ask: Ask) -> Answer:
    given = body_of(
        ask, "coupon",
        "name", "code", "description", "percentage", "amount_in_cents", "allow_negative_balance", "recurring",
        "duration_period_count", "duration_interval", "duration_interval_unit", "end_date", "conversion_limit",
        "product_family_id", "stackable", "compounding_strategy", "exclude_mid_period_allocations",
        "apply_on_cancel_at_end_of_period", "apply_on_subscription_expiration",
    )  # fmt: skip
    code, percent, amount = given.get("code"), given.get("percentage"), given.get("amount_in_cents")
    errors = [f"{name.capitalize()}: cannot be blank." for name in ("name", "code") if not given.get(name)]
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        errors.append("Code: must be uppercase letters, numbers and %@+-_.")
    if (percent is None) == (amount is None):
        errors.append("Percentage: either a percentage or an amount is needed.")
    with books.commit() as state:
        if coupon_by_code(state, str(code), ask.ids["id"], with_archived=True) is not None:
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
            "percentage": percentage(percent),
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


def archive_coupon(books: Books, ask: Ask) -> Answer:
    with books.commit() as state:
        found = state["coupons"].get(ask.ids["coupon"])
        if found is None or str(found["product_family_id"]) != ask.ids["id"]:
            return not_found()
        found["archived_at"] = write(ask.now)
        return Answer({"coupon": found})


def write_metadata(books: Books, ask: Ask) -> Answer:
    given = whole_body(ask).get("metadata")
    entries = given if isinstance(given, list) else [given]
    with books.commit() as state:
        one(state, "subscriptions", ask)
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


def _record(
    books: Books, state: Document, found: Document, type: str, ask: Ask, where: str | None = None
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
