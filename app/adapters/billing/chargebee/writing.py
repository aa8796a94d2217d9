"""Changes in Chargebee's words: which call with which parameters. Calls nothing.

https://apidocs.chargebee.com/docs/api/subscriptions
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from app.adapters.billing.chargebee.amounts import from_minor, from_moment
from app.adapters.billing.chargebee.wire import NOT_ALLOWED, Document, Params, segment
from app.core.billing import Discount, ProviderRefused
from app.core.direct import DirectCoupon, DirectSubscription
from app.core.renewals import is_renewal, last_charge_within, months_past

MARK: Final = "lw-"
"""How the ids of coupons begin that are made for one acceptance."""

REDEEMABLE_FOR: Final = timedelta(hours=1)
_LONGEST_NAME: Final = 50
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
_DURATIONS: Mapping[str, str] = {"once": "one_time", "repeating": "limited_period", "forever": "forever"}
# Not now and not as an unbilled charge: the change is to cost nothing before the next renewal.
NO_PRORATION: Params = (("prorate", "false"), ("invoice_immediately", "false"))


def effect_key(effect_id: str, step: str = "") -> str:
    """The idempotency key of an effect, or of a step before its own call; at most 100 characters."""
    plain = effect_id if _PLAIN.fullmatch(effect_id) else hashlib.sha256(effect_id.encode()).hexdigest()[:40]
    return f"{plain}:{step}" if step else plain


def path(subscription_id: str, action: str = "") -> str:
    return f"/subscriptions/{segment(subscription_id)}{f'/{action}' if action else ''}"


def cancel(option: str, reason_code: str) -> Params:
    reason = (("cancel_reason_code", reason_code),) if reason_code else ()
    return (("cancel_option", option), *reason)


def check_pause(subscription: DirectSubscription, resumes_at: datetime) -> None:
    """Raises ProviderRefused for a pause that would be charged on another day than the customer is told.

    Chargebee begins a new term, and charges it, on the day that a subscription resumes. So a pause lasts from the end
    of what is paid for to a day on which the subscription would have renewed.
    """
    term_end = subscription.period_end
    if term_end is None or resumes_at <= term_end:
        raise ProviderRefused(NOT_ALLOWED, "It is paid for until after the pause.")
    if not is_renewal(subscription, resumes_at):
        raise ProviderRefused(
            NOT_ALLOWED, "Chargebee charges on the day of resumption, which is none of its renewals."
        )


def pause(resumes_at: datetime) -> Params:
    return ("pause_option", "end_of_term"), ("resume_date", from_moment(resumes_at))


def pause_estimate(resumes_at: datetime) -> Params:
    return ("pause_option", "end_of_term"), ("subscription[resume_date]", from_moment(resumes_at))


RESUME: Params = (
    ("resume_option", "immediately"),
    ("charges_handling", "invoice_immediately"),
    ("unpaid_invoices_handling", "no_action"),
)


def term_end(moment: datetime) -> Params:
    return (("term_ends_at", from_moment(moment)), *NO_PRORATION)


def other_plan(item_price: Document, item: Document) -> Params:
    """One item price in place of another, as many of it; a flat fee has no quantity."""
    quantity: list[tuple[str, str]] = []
    if item_price.get("pricing_model") != "flat_fee":
        quantity = [
            (f"subscription_items[{name}][0]", str(item[name]))
            for name in ("quantity_in_decimal", "quantity")
            if name in item
        ][:1]
    return (
        ("subscription_items[item_price_id][0]", str(item_price.get("id"))),
        *quantity,
        ("replace_items_list", "true"),
        *NO_PRORATION,
    )


def with_coupon(coupon_id: str) -> Params:
    return (("coupon_ids[0]", coupon_id), ("replace_coupon_list", "false"), *NO_PRORATION)


# --- How long a discount lasts --------------------------------------------------------------------


def lasting(change: Discount, subscription: DirectSubscription, now: datetime) -> Discount:
    """The discount with the months that Chargebee has to keep it so that it covers the charges that were promised.

    Chargebee counts them from now, the promise counts from the next charge: on a yearly plan that is eight months off,
    three of Chargebee's months would be over before anything was reduced.
    """
    first = subscription.period_end
    if change.months is None or first is None or first < now:
        return change
    months = months_past(now, last_charge_within(subscription, first, change.months))
    return change.model_copy(update={"months": months})


def check_lasts(change: Discount, subscription: DirectSubscription, now: datetime) -> None:
    """Raises ProviderRefused where the merchant's own coupon reduces fewer charges than the customer is told of."""
    if change.months is not None and (lasting(change, subscription, now).months or 0) > change.months:
        raise ProviderRefused(
            NOT_ALLOWED, "The coupon would run out before the last charge that it is shown for."
        )


# --- Coupons made for one acceptance --------------------------------------------------------------


def coupon_id(effect_id: str, number: int) -> str:
    """The id is the marker: a repeat finds by it what the first try made."""
    return f"{MARK}{effect_key(effect_id)}-{number}"


def is_made_for(effect_id: str, name: str) -> bool:
    return name.startswith(f"{MARK}{effect_key(effect_id)}-")


def coupon_of(change: Discount, name: str) -> DirectCoupon:
    return DirectCoupon(
        id=name,
        percent_off=change.percent_off,
        amount_off=change.amount_off_minor,
        currency=change.currency if change.amount_off_minor is not None else None,
        duration=change.duration,
        duration_in_months=change.months,
    )


def is_same(made: DirectCoupon, wanted: DirectCoupon) -> bool:
    """Whether Chargebee made the coupon that was asked for, and rounded nothing.

    One of an earlier try may be for a month more: the charges that it has to cover have come nearer since.
    """
    keys = ("percent_off", "amount_off", "currency", "duration")
    is_as_long = (made.duration_in_months or 0) >= (wanted.duration_in_months or 0)
    return is_as_long and all(getattr(made, key) == getattr(wanted, key) for key in keys)


def new_coupon(change: Discount, name: str, now: datetime) -> Params:
    """For one redemption, within an hour, on the whole invoice."""
    return (
        ("id", name),
        ("name", f"Leavewell {name.removeprefix(MARK)}"[:_LONGEST_NAME]),
        ("invoice_name", "Discount"),
        *_reduction(change, "discount_type", "discount_percentage", "discount_amount"),
        *_currency(change),
        ("apply_on", "invoice_amount"),
        *_duration(change),
        ("max_redemptions", "1"),
        ("valid_till", from_moment(now + REDEEMABLE_FOR)),
    )


def as_manual_discount(change: Discount) -> Params:
    """The same as a manual discount, for estimates: there it needs no coupon."""
    named = (
        *((key, value) for key, value in _reduction(change, "", "percentage", "amount") if key),
        ("apply_on", "invoice_amount"),
        *_duration(change),
        ("operation_type", "add"),
    )
    return tuple((f"discounts[{key}][0]", value) for key, value in named)


def _reduction(change: Discount, kind: str, percentage: str, amount: str) -> Params:
    if change.percent_off is not None:
        return (kind, "percentage"), (percentage, f"{change.percent_off:f}")
    units = None
    if change.amount_off_minor is not None and change.currency is not None:
        units = from_minor(change.amount_off_minor, change.currency)
    if units is None:
        raise ProviderRefused(NOT_ALLOWED, "Chargebee keeps two decimals of a currency; the amount has more.")
    return (kind, "fixed_amount"), (amount, str(units))


def _currency(change: Discount) -> Params:
    is_amount = change.amount_off_minor is not None and change.currency is not None
    return (("currency_code", str(change.currency)),) if is_amount else ()


def _duration(change: Discount) -> Params:
    months = (("period", str(change.months)), ("period_unit", "month")) if change.months is not None else ()
    return (("duration_type", _DURATIONS[change.duration]), *months)
