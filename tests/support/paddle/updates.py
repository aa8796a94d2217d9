"""PATCH /subscriptions/{id}: what it takes in which state, and what it then does. No HTTP, no books."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from tests.support.paddle.answers import Refused, invalid
from tests.support.paddle.ids import moment, stamp
from tests.support.paddle.shapes import Entity, after, item

LOCK: Final = timedelta(minutes=30)
MODES: Final = (
    "prorated_immediately",
    "prorated_next_billing_period",
    "full_immediately",
    "full_next_billing_period",
    "do_not_bill",
)
SIMULATED: Final = frozenset(
    {"next_billed_at", "discount", "scheduled_change", "items", "custom_data", "proration_billing_mode"}
)
"""Paddle has more fields than these; a request with one of the others is refused here, so that it is noticed."""


def check_open(sub: Entity, now: datetime) -> None:
    """Raises Refused for a subscription that takes no change now."""
    if sub["status"] == "canceled":
        raise Refused(400, "subscription_update_when_canceled")
    billed_at = sub["next_billed_at"]
    if sub["status"] in ("active", "trialing") and billed_at and moment(billed_at) - now < LOCK:
        raise Refused(
            409, "subscription_locked_renewal", "unable to update subscription 30m0s before renewal"
        )


def update(sub: Entity, body: Mapping[str, Any], shelves: Mapping[str, Entity], now: datetime) -> str | None:
    """Change the subscription as asked, and tell what kind of change that was; None for none to speak of.

    `shelves` has the prices and discounts by id; a discount that is put to use is counted there.
    """
    _check(sub, body, now)
    if "scheduled_change" in body:
        return _unschedule(sub)
    kinds = []
    if "items" in body:
        kinds.append(_replace_items(sub, body, shelves["prices"], now))
    if "next_billed_at" in body:
        kinds.append(_move(sub, body, now))
    if "discount" in body:
        kinds.append(_discount(sub, body["discount"], shelves["discounts"], now))
    if "custom_data" in body:
        sub["custom_data"] = body["custom_data"]
    sub["updated_at"] = stamp(now)
    return next((kind for kind in kinds if kind is not None), None)


def _check(sub: Entity, body: Mapping[str, Any], now: datetime) -> None:
    check_open(sub, now)
    if sub["status"] == "past_due":
        raise Refused(400, "subscription_update_when_past_due")
    if sub["status"] == "paused" and body.keys() - {"items", "proration_billing_mode"}:
        raise Refused(400, "subscription_only_update_items_on_paused_subscription")
    if "scheduled_change" in body and body["scheduled_change"] is not None:
        raise Refused(400, "subscription_scheduled_change_invalid_update")
    waits = sub["scheduled_change"] is not None and "scheduled_change" not in body
    if waits and body.keys() & {"discount", "next_billed_at"}:
        raise Refused(400, "subscription_locked_pending_changes")
    mode = body.get("proration_billing_mode")
    if mode is not None and mode not in MODES:
        raise invalid("proration_billing_mode")
    if mode is None and body.keys() & {"items", "next_billed_at"}:
        raise Refused(400, "subscription_items_update_missing_proration_billing_mode")
    if waits and mode in ("prorated_next_billing_period", "full_next_billing_period"):
        raise Refused(400, "subscription_invalid_billing_mode_for_scheduled_change")
    if not isinstance(body.get("custom_data") or {}, dict):
        raise invalid("custom_data")


def _unschedule(sub: Entity) -> str | None:
    waiting = sub["scheduled_change"]
    if waiting is None:
        return None
    sub["scheduled_change"] = None
    sub["next_billed_at"] = waiting["effective_at"]
    return "uncancel" if waiting["action"] == "cancel" else "resume"


def _replace_items(
    sub: Entity, body: Mapping[str, Any], prices: Mapping[str, Entity], now: datetime
) -> str | None:
    wanted = body["items"]
    if not isinstance(wanted, list) or not wanted:
        raise Refused(400, "subscription_all_items_removed")
    before = {each["price"]["id"]: each["quantity"] for each in sub["items"]}
    after_: dict[str, int] = {}
    for position, each in enumerate(wanted):
        if not isinstance(each, dict) or each.keys() - {"price_id", "quantity"} or "price_id" not in each:
            raise invalid(f"items[{position}]")
        price = prices.get(each["price_id"])
        if price is None or price["status"] != "active" or price["billing_cycle"] is None:
            raise Refused(400, "subscription_new_items_not_valid")
        if each["price_id"] in after_:
            raise Refused(400, "subscription_duplicate_price_ids")
        count = each.get("quantity", before.get(each["price_id"]))
        if count is None:
            raise Refused(400, "subscription_quantity_missing_for_new_items")
        if not price["quantity"]["minimum"] <= count <= price["quantity"]["maximum"]:
            raise Refused(400, "subscription_quantity_not_valid")
        after_[each["price_id"]] = count
    is_trial = sub["status"] == "trialing"
    if is_trial and (after_.keys() != before.keys() or body["proration_billing_mode"] != "do_not_bill"):
        raise Refused(400, "subscription_trialing_items_update_invalid_options")
    if after_ == before:
        return None
    period = {"start": None, "end": sub["next_billed_at"]}
    sub["items"] = [item(prices[name], count, is_trial, period, now) for name, count in after_.items()]
    sub["billing_cycle"] = sub["items"][0]["price"]["billing_cycle"]
    if body["proration_billing_mode"] != "do_not_bill":
        sub["_charges"] = [*sub.get("_charges", []), body["proration_billing_mode"]]
    return "change-plan"


def _move(sub: Entity, body: Mapping[str, Any], now: datetime) -> str | None:
    try:
        at = moment(body["next_billed_at"])
    except (ValueError, TypeError):
        raise invalid("next_billed_at") from None
    if at < now + LOCK:
        raise Refused(
            400, "subscription_next_billed_at_too_soon", "new next_billed_at needs to be 30m0s from now"
        )
    is_trial = sub["status"] == "trialing"
    if is_trial and body["proration_billing_mode"] != "do_not_bill":
        raise Refused(400, "subscription_update_when_trialing")
    if sub["next_billed_at"] is not None and moment(sub["next_billed_at"]) == at:
        return None
    if body["proration_billing_mode"] != "do_not_bill":
        sub["_charges"] = [*sub.get("_charges", []), body["proration_billing_mode"]]
    sub["next_billed_at"], sub["_anchor"] = stamp(at), None
    sub["current_billing_period"] = {**sub["current_billing_period"], "ends_at": stamp(at)}
    return "extend-trial" if is_trial else "pause"


def _discount(sub: Entity, wanted: Any, discounts: Mapping[str, Entity], now: datetime) -> str | None:
    if wanted is None:
        had, sub["discount"] = sub["discount"], None
        return "discount" if had else None
    if not isinstance(wanted, dict) or wanted.keys() != {"id", "effective_from"}:
        raise invalid("discount")
    if wanted["effective_from"] not in ("immediately", "next_billing_period"):
        raise invalid("discount.effective_from")
    given = discounts.get(wanted["id"])
    if given is None:
        raise Refused(404, "not_found")
    if sub["discount"] is not None and sub["discount"]["id"] == given["id"]:
        return None
    _check_discount(sub, given, wanted["effective_from"], now)
    begins = moment(sub["next_billed_at"]) if wanted["effective_from"] == "next_billing_period" else now
    periods = given["maximum_recurring_intervals"]
    ends = after(begins, sub["billing_cycle"], periods) if periods is not None else None
    sub["discount"] = {
        "id": given["id"],
        "type": "recurring",
        "starts_at": stamp(begins),
        "ends_at": stamp(ends) if ends else None,
    }
    sub["_attached_at"] = stamp(now)
    given["times_used"] += 1
    if given["usage_limit"] is not None and given["times_used"] >= given["usage_limit"]:
        given["status"] = "used"
    return "discount"


def _check_discount(sub: Entity, given: Entity, effective_from: str, now: datetime) -> None:
    if given["status"] == "archived":
        raise Refused(400, "entity_archived")
    if given["expires_at"] is not None and moment(given["expires_at"]) <= now:
        raise Refused(400, "discount_expired")
    if not given["recur"]:
        raise Refused(400, "subscription_one_off_discount_not_valid")
    if given["usage_limit"] is not None and given["times_used"] >= given["usage_limit"]:
        raise Refused(400, "discount_usage_limit_exceeded")
    if given["currency_code"] not in (None, sub["currency_code"]):
        raise Refused(400, "subscription_invalid_discount_currency")
    if sub["status"] == "trialing" and effective_from == "immediately":
        raise Refused(400, "subscription_trialing_discount_update_invalid_options")
    sold = {name for each in sub["items"] for name in (each["price"]["id"], each["price"]["product_id"])}
    if given["restrict_to"] and not sold & set(given["restrict_to"]):
        raise Refused(400, "subscription_discount_not_valid_for_items")
