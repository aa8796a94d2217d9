"""What an update does to a subscription: checks as Stripe does, and changes it. Tells what was really changed."""

from datetime import datetime, timedelta
from typing import Any, Final

from tests.support.simulator.books import Document
from tests.support.stripe.objects import add_discount, next_period_end, period_end, stamp
from tests.support.stripe.params import Params, Refusal, flag, number
from tests.support.stripe.timeline import bill, revalue

_DONE_HERE: Final = frozenset(
    {"cancel_at", "cancel_at_period_end", "discounts", "expand", "items", "metadata", "pause_collection",
     "proration_behavior", "trial_end"}
)  # fmt: skip
# Documented from the billing cycle anchor, seen from now: https://github.com/stripe/stripe-ruby/issues/804
_LONGEST_TRIAL: Final = timedelta(days=730)


def update(state: Document, subscription: Document, params: Params, now: datetime) -> str | None:
    """Change it, and name the change as the demo's billing does; None where everything was so already."""
    if beyond := sorted(params.keys() - _DONE_HERE):
        raise Refusal(f"The simulator does not do {', '.join(beyond)}.", param=beyond[0])
    if subscription["status"] == "canceled":
        raise Refusal("A canceled subscription can only update its cancellation_details and metadata.")
    before = _looks(subscription)
    was_on_trial = subscription["status"] == "trialing" and not subscription["_was_paid_for"]
    _items(state, subscription, params, now)
    _discounts(state, subscription, params, now)
    _pause(subscription, params, now)
    _trial(state, subscription, params, now)
    _end(subscription, params, now)
    _metadata(subscription, params)
    return _change(before, _looks(subscription), was_on_trial=was_on_trial)


def find_coupon(state: Document, name: str, currency: str, now: datetime, param: str) -> Document:
    """A coupon that can be redeemed. Raises Refusal."""
    coupon: Document | None = state["coupons"].get(name)
    if coupon is None:
        raise Refusal(f"No such coupon: '{name}'", code="resource_missing", param=param)
    revalue(coupon, now)
    if not coupon["valid"]:
        raise Refusal(f"Coupon {name} is used up or has expired.", code="coupon_expired", param=param)
    if coupon["amount_off"] is not None and currency not in coupon["currency_options"]:
        raise Refusal(f"The coupon {name} is not of the currency {currency}.", param=param)
    return coupon


def find_price(state: Document, name: str, subscription: Document, param: str) -> Document:
    price: Document | None = state["prices"].get(name)
    if price is None:
        raise Refusal(f"No such price: '{name}'", code="resource_missing", param=param)
    if not price["active"]:
        raise Refusal("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["type"] != "recurring":
        raise Refusal("The price specified is one-time; it must be recurring.", param=param)
    if subscription["currency"] not in price["currency_options"]:
        raise Refusal(
            f"The price specified only supports `{price['currency']}`. This doesn't match the expected currency: "
            f"`{subscription['currency']}`.",
            param=param,
        )
    return price


def item_of(subscription: Document, given: Any, param: str) -> Document:
    for item in subscription["items"]["data"]:
        if item["id"] == given:
            found: Document = item
            return found
    raise Refusal(f"No such subscription item: '{given}'", code="resource_missing", param=param)


def end_now(subscription: Document, now: datetime) -> None:
    subscription.update(status="canceled", canceled_at=stamp(now), ended_at=stamp(now))


def _items(state: Document, subscription: Document, params: Params, now: datetime) -> None:
    for place, given in enumerate(params.get("items") or []):
        item = item_of(subscription, given.get("id"), f"items[{place}][id]")
        if "quantity" in given:
            item["quantity"] = number(given, "quantity", at_least=0)
        if "price" not in given:
            continue
        price = find_price(state, given["price"], subscription, f"items[{place}][price]")
        every = item["price"]["recurring"]
        has_changed = any(every[name] != price["recurring"][name] for name in ("interval", "interval_count"))
        is_other = item["price"]["id"] != price["id"]
        item["price"] = {**price}
        if is_other and params.get("proration_behavior", "create_prorations") != "none":
            state.setdefault("prorations", []).append(subscription["id"])
        if has_changed and subscription["status"] != "trialing":
            subscription["billing_cycle_anchor"] = stamp(now)
            item.update(
                current_period_start=stamp(now), current_period_end=next_period_end(subscription, stamp(now))
            )
            bill(state, subscription, stamp(now))


def _discounts(state: Document, subscription: Document, params: Params, now: datetime) -> None:
    given = params.get("discounts")
    if given == "":
        subscription["discounts"] = []
    if not isinstance(given, list):
        return
    wanted = []
    for place, one in enumerate(given):
        if "discount" in one:
            if one["discount"] not in subscription["discounts"]:
                param = f"discounts[{place}][discount]"
                raise Refusal(f"No such discount: '{one['discount']}'", code="resource_missing", param=param)
            wanted.append(one["discount"])
            continue
        param = f"discounts[{place}][coupon]"
        coupon = find_coupon(state, str(one.get("coupon")), subscription["currency"], now, param)
        wanted.append(add_discount(state, subscription, coupon, stamp(now)))
    subscription["discounts"] = wanted


def _pause(subscription: Document, params: Params, now: datetime) -> None:
    given = params.get("pause_collection")
    if given == "":
        subscription["pause_collection"] = None
    if not isinstance(given, dict):
        return
    if given.get("behavior") not in ("void", "keep_as_draft", "mark_uncollectible"):
        raise Refusal("Invalid pause_collection[behavior].", param="pause_collection[behavior]")
    until = number(given, "resumes_at")
    if until is not None and until <= stamp(now):
        raise Refusal("`resumes_at` must be in the future.", param="pause_collection[resumes_at]")
    subscription["pause_collection"] = {"behavior": given["behavior"], "resumes_at": until}


def _trial(state: Document, subscription: Document, params: Params, now: datetime) -> None:
    """A trial of a running period moves its end, and bills nothing now; without `none` it credits what was paid."""
    until = number(params, "trial_end")
    if until is None:
        return
    if until <= stamp(now):
        raise Refusal(
            "Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end"
        )
    if until > stamp(now + _LONGEST_TRIAL):
        raise Refusal("The maximum number of trial period days is 730 (2 years).", param="trial_end")
    if subscription["status"] == "active":
        if params.get("proration_behavior", "create_prorations") != "none":
            state.setdefault("prorations", []).append(subscription["id"])
        subscription["trial_start"] = stamp(now)
        for item in subscription["items"]["data"]:
            item["current_period_start"] = stamp(now)
    subscription.update(status="trialing", trial_end=until, billing_cycle_anchor=until)
    for item in subscription["items"]["data"]:
        item["current_period_end"] = until
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = until


def _end(subscription: Document, params: Params, now: datetime) -> None:
    at_period_end, at = flag(params, "cancel_at_period_end"), params.get("cancel_at")
    if at_period_end is not None and at is not None:
        raise Refusal("You can only pass one of cancel_at and cancel_at_period_end.", param="cancel_at")
    if at_period_end:
        subscription.update(
            cancel_at_period_end=True,
            cancel_at=period_end(subscription),
            canceled_at=subscription["canceled_at"] or stamp(now),
        )
    elif at_period_end is False and subscription["cancel_at_period_end"]:
        subscription.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    if at == "":
        subscription.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    elif at is not None:
        subscription.update(cancel_at=number(params, "cancel_at"), canceled_at=stamp(now))


def _metadata(subscription: Document, params: Params) -> None:
    given = params.get("metadata")
    if given == "":
        subscription["metadata"] = {}
    if isinstance(given, dict):
        merged = {**subscription["metadata"], **given}
        subscription["metadata"] = {key: value for key, value in merged.items() if value != ""}


def _looks(subscription: Document) -> Document:
    return {
        "items": [
            (item["id"], item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]
        ],
        "discounts": list(subscription["discounts"]),
        "pause": subscription["pause_collection"] and dict(subscription["pause_collection"]),
        "trial_end": subscription["trial_end"],
        "cancel_at": subscription["cancel_at"],
    }


def _change(before: Document, after: Document, *, was_on_trial: bool) -> str | None:
    changed = [name for name in before if before[name] != after[name]]
    if not changed:
        return None
    match changed[0]:
        case "items":
            return "change-plan"
        case "discounts":
            return "discount"
        case "pause":
            return "pause" if after["pause"] else "resume"
        case "trial_end":
            return "extend-trial" if was_on_trial else "pause"
        case _:
            return "cancel" if after["cancel_at"] is not None else "uncancel"
