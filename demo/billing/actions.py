"""What may be done to a subscription, and what it then is. Pure: documents in, documents out."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from demo.billing.timeline import (
    Document,
    add_months,
    paid_until,
    read_moment,
    resumed,
    write_moment,
)

LONGEST_PAUSE = timedelta(days=366)
LONGEST_TRIAL = timedelta(days=730)
_DURATIONS = ("once", "repeating", "forever")


class Refused(Exception):
    """The subscription's state does not allow it (409). `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Malformed(Exception):
    """The request itself makes no sense (422)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Catalog:
    prices: dict[str, Document]
    coupons: dict[str, Document]


Action = Callable[[Document, Document, Catalog, datetime], None]


def act(action: str, subscription: Document, body: Document, catalog: Catalog, now: datetime) -> Document:
    """Return the subscription after one of ACTIONS. It must be as of `now`. Raises Refused and Malformed."""
    change, fields = ACTIONS[action]
    for field in body.keys() - fields:
        raise Malformed(field, f"{field} is not a field of {action}.")
    if subscription["status"]["name"] == "canceled":
        raise Refused("already_canceled", "This subscription is already canceled.")
    after = deepcopy(subscription)
    change(after, body, catalog, now)
    return after


def _cancel(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    timing = body.get("timing")
    if timing == "now":
        subscription["end"] = write_moment(now)
        subscription["status"] = {"name": "canceled", "canceledAt": write_moment(now)}
    elif timing == "period_end":
        if subscription.get("end"):
            raise Refused("already_scheduled", "This subscription is already scheduled to end.")
        subscription["end"] = write_moment(paid_until(subscription, now))
    else:
        raise Malformed("timing", "timing must be period_end or now.")


def _uncancel(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    if not subscription.pop("end", None):
        raise Refused("not_scheduled", "This subscription is not scheduled to end.")


def _discount(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    if subscription["status"]["name"] not in ("active", "trial"):
        raise Refused("not_active", "A discount needs an active subscription.")
    if subscription["discounts"]:
        raise Refused("already_discounted", "This subscription already has a discount.")
    coupon = _coupon(subscription, body, catalog)
    discount: Document = {"id": f"di_{subscription['id']}_{int(now.timestamp())}", "coupon": coupon}
    discount["start"] = write_moment(now)
    if coupon["duration"] == "repeating":
        # Months count from the next invoice, the first that is reduced: three months are three reduced invoices.
        discount["end"] = write_moment(add_months(paid_until(subscription, now), coupon["durationInMonths"]))
    subscription["discounts"] = [discount]


def _pause(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    if subscription["status"]["name"] != "active":
        raise Refused("not_active", "Only an active subscription can be paused.")
    _refuse_if_ending(subscription)
    resumes_at = _moment(body, "resumesAt")
    if not now < resumes_at <= now + LONGEST_PAUSE:
        raise Refused("pause_out_of_range", "A pause must end in the future and last at most a year.")
    if "renewsAt" in body:
        _move_renewal(subscription, _moment(body, "renewsAt"), resumes_at, now)
        return
    subscription["status"] = {
        "name": "paused",
        "pause": {"start": write_moment(now), "end": write_moment(resumes_at)},
        "currentPeriod": subscription["status"]["currentPeriod"],
    }


def _move_renewal(subscription: Document, renews_at: datetime, resumes_at: datetime, now: datetime) -> None:
    """A break within a period that is paid for: it lasts longer by the time away, and the subscription stays active."""
    until = subscription["metadata"].get("breakUntil")
    if until and read_moment(until) > now:
        raise Refused("on_a_break", "This subscription is on a break already.")
    subscription["metadata"]["breakUntil"] = write_moment(resumes_at)
    period = subscription["status"]["currentPeriod"]
    if not timedelta(0) < renews_at - read_moment(period["end"]) <= LONGEST_PAUSE:
        raise Refused("renewal_out_of_range", "A renewal can move to a later day, by a year at most.")
    period["end"] = write_moment(renews_at)


def _resume(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    if subscription["status"]["name"] != "paused":
        raise Refused("not_paused", "This subscription is not paused.")
    subscription["status"] = resumed(subscription, now, now)


def _change_plan(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    if subscription["status"]["name"] not in ("active", "trial"):
        raise Refused("not_active", "Only an active subscription can change its plan.")
    _refuse_if_ending(subscription)
    price = catalog.prices.get(_text(body, "priceId"))
    if price is None or not price["active"]:
        raise Refused("no_such_price", "There is no such price.")
    item = subscription["items"][0]
    if price["id"] == item["price"]["id"]:
        raise Refused("same_price", "The subscription already has this price.")
    if price["amount"]["currency"] != item["price"]["amount"]["currency"]:
        raise Refused("other_currency", "The price is in another currency.")
    item["price"] = deepcopy(price)  # what is paid for stays so; the next invoice has the new price
    subscription["duration"] = deepcopy(price["duration"])


def _extend_trial(subscription: Document, body: Document, catalog: Catalog, now: datetime) -> None:
    status = subscription["status"]
    if status["name"] != "trial":
        raise Refused("not_trialing", "This subscription is not on trial.")
    _refuse_if_ending(subscription)
    ends_at = _moment(body, "endsAt")
    if ends_at <= read_moment(status["trial"]["end"]):
        raise Refused("not_longer", "The trial already lasts that long.")
    if ends_at > now + LONGEST_TRIAL:
        raise Refused("trial_too_long", "A trial can last two years at most.")
    status["trial"]["end"] = write_moment(ends_at)


ACTIONS: dict[str, tuple[Action, frozenset[str]]] = {
    "cancel": (_cancel, frozenset({"timing"})),
    "uncancel": (_uncancel, frozenset()),
    "discount": (
        _discount,
        frozenset({"couponId", "percentOff", "amountOff", "currency", "duration", "durationInMonths"}),
    ),
    "pause": (_pause, frozenset({"resumesAt", "renewsAt"})),
    "resume": (_resume, frozenset()),
    "change-plan": (_change_plan, frozenset({"priceId"})),
    "extend-trial": (_extend_trial, frozenset({"endsAt"})),
}


def _coupon(subscription: Document, body: Document, catalog: Catalog) -> Document:
    """The coupon named in the request, or the one it describes."""
    if "couponId" in body:
        coupon = catalog.coupons.get(_text(body, "couponId"))
        if coupon is None:
            raise Refused("no_such_coupon", "There is no such coupon.")
        coupon = deepcopy(coupon)
    else:
        coupon = _described_coupon(body)
    currency = subscription["items"][0]["price"]["amount"]["currency"]
    if "amountOff" in coupon and coupon["currency"] != currency:
        raise Refused("other_currency", "The discount is in another currency.")
    return coupon


def _described_coupon(body: Document) -> Document:
    duration = body.get("duration")
    if duration not in _DURATIONS:
        raise Malformed("duration", f"duration must be one of {', '.join(_DURATIONS)}.")
    coupon: Document = {"duration": duration}
    if duration == "repeating":
        coupon["durationInMonths"] = _number(body, "durationInMonths", 1, 36)
    if ("percentOff" in body) == ("amountOff" in body):
        raise Malformed("percentOff", "Give either percentOff or amountOff.")
    if "percentOff" in body:
        coupon["percentOff"] = _number(body, "percentOff", 0.01, 100)
    else:
        coupon["amountOff"] = int(_number(body, "amountOff", 1, 10**9))
        coupon["currency"] = _text(body, "currency").upper()
    return coupon


def _refuse_if_ending(subscription: Document) -> None:
    if subscription.get("end"):
        raise Refused("already_scheduled", "This subscription is scheduled to end.")


def _text(body: Document, field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        raise Malformed(field, f"{field} must be a text of 1 to 255 characters.")
    return value


def _number(body: Document, field: str, least: float, most: float) -> Any:
    value = body.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Malformed(field, f"{field} must be a number from {least} to {most}.")
    return value


def _moment(body: Document, field: str) -> datetime:
    try:
        return read_moment(_text(body, field))
    except ValueError:
        raise Malformed(field, f"{field} must be an ISO 8601 moment with an offset.") from None
