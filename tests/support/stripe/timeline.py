"""What time does to Stripe's subscriptions: trials and periods end, invoices come, pauses and discounts run out."""

from collections.abc import Iterator
from datetime import datetime

from tests.support.simulator.books import Document
from tests.support.stripe.objects import fresh_id, new_invoice, next_period_end, period_end, stamp

_RUNNING = ("active", "trialing", "past_due")


def is_due(state: Document, now: datetime) -> bool:
    at = stamp(now)
    return any(_next_event(state, one) <= at for one in state.get("subscriptions", {}).values())


def settle(state: Document, now: datetime) -> None:
    """Everything that is due by then, one event after the other."""
    at = stamp(now)
    for subscription in state["subscriptions"].values():
        while (due := _next_event(state, subscription)) <= at:
            _happen(state, subscription, due)


def revalue(coupon: Document, now: datetime) -> None:
    """`valid` is worked out when it is looked at."""
    is_spent = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    is_late = coupon["redeem_by"] is not None and coupon["redeem_by"] <= stamp(now)
    coupon["valid"] = not is_spent and not is_late


def _next_event(state: Document, subscription: Document) -> float:
    if subscription["status"] not in _RUNNING:
        return float("inf")
    return min(_events(state, subscription))


def _events(state: Document, subscription: Document) -> Iterator[float]:
    yield period_end(subscription)
    if subscription["cancel_at"] is not None:
        yield subscription["cancel_at"]
    pause = subscription["pause_collection"]
    if pause is not None and pause.get("resumes_at") is not None:
        yield pause["resumes_at"]
    for name in subscription["discounts"]:
        end = state["discounts"][name]["end"]
        if end is not None:
            yield end


def _happen(state: Document, subscription: Document, at: float) -> None:
    """At one instant: an end comes first; an invoice is made before a pause of that very instant is over."""
    moment = int(at)
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= moment:
        subscription.update(status="canceled", ended_at=subscription["cancel_at"], cancel_at_period_end=False)
        return
    subscription["discounts"] = [
        name
        for name in subscription["discounts"]
        if (end := state["discounts"][name]["end"]) is None or end > moment
    ]
    if period_end(subscription) <= moment:
        renew(state, subscription, moment)
    pause = subscription["pause_collection"]
    if pause is not None and pause.get("resumes_at") is not None and pause["resumes_at"] <= moment:
        subscription["pause_collection"] = None


def renew(state: Document, subscription: Document, at: int) -> None:
    """Begin the next period, and bill it."""
    ends = next_period_end(subscription, at)
    for item in subscription["items"]["data"]:
        item.update(current_period_start=at, current_period_end=ends)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    subscription["_was_paid_for"] = True
    bill(state, subscription, at)


def bill(state: Document, subscription: Document, at: int) -> None:
    total = reduced(state, subscription, subscription["discounts"])
    pause = subscription["pause_collection"]
    behaviors = {"void": "void", "keep_as_draft": "draft", "mark_uncollectible": "uncollectible"}
    status = behaviors[pause["behavior"]] if pause else "paid"
    name = fresh_id(state, "in")
    state["invoices"][name] = new_invoice(
        name, subscription["id"], subscription["customer"], total, subscription["currency"], at, status=status
    )
    subscription["latest_invoice"] = name
    subscription["discounts"] = [
        one for one in subscription["discounts"] if state["discounts"][one]["_coupon"]["duration"] != "once"
    ]


def reduced(state: Document, subscription: Document, discounts: list[str]) -> int:
    """What an invoice comes to."""
    total = sum(item["price"]["unit_amount"] * item["quantity"] for item in subscription["items"]["data"])
    for name in discounts:
        total -= off(state["discounts"][name]["_coupon"], total)
    return total


def off(coupon: Document, amount: int) -> int:
    if coupon["percent_off"] is not None:
        return int(amount * float(coupon["percent_off"]) / 100 + 0.5)
    return min(amount, int(coupon["amount_off"]))
