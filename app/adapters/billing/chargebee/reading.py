"""Chargebee's objects as the canonical model. Whatever they hold, the reading does not fail.

https://apidocs.chargebee.com/docs/api/subscriptions
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from app.adapters.billing.chargebee import shapes
from app.adapters.billing.chargebee.amounts import decimal_to_minor, read_decimal, to_minor, to_moment
from app.adapters.billing.chargebee.wire import Document
from app.core.calendar import EARLIEST
from app.core.direct import (
    MAX_ITEMS,
    Active,
    Amount,
    Canceled,
    DirectAddress,
    DirectCoupon,
    DirectCustomer,
    DirectDiscount,
    DirectPrice,
    DirectSubscription,
    DirectSubscriptionItem,
    DurationConfig,
    Future,
    Obstacle,
    OpenPeriod,
    Paused,
    Period,
    SubscriptionStatus,
    Trial,
)

MOST_DISCOUNTS: Final = 20
# What is looked up in these may be anything, also what cannot be hashed.
_INTERVALS: Final = ("day", "week", "month", "year")
_DURATIONS: Final = {"one_time": "once", "limited_period": "repeating", "forever": "forever"}
_MONTHS: Final = {"month": 1, "year": 12}
# Of tiered, volume and stairstep pricing one unit has no price; of the others it has.
_UNIT_PRICED: Final = ("per_unit", "flat_fee")
_MOST_QUANTITY: Final = 1_000_000
_LAG: Final = timedelta(days=1)  # how long after its time Chargebee may still carry something out

Definitions = Mapping[str, Document]


def customer(found: Document) -> DirectCustomer | None:
    name = shapes.identifier(found.get("id"))
    if name is None or found.get("deleted") is True:
        return None
    return DirectCustomer(
        id=name,
        email=shapes.email(found.get("email")),
        name=shapes.text(found.get("first_name")),
        last_name=shapes.text(found.get("last_name")),
        phone=shapes.text(found.get("phone")),
        currency=shapes.currency(found.get("preferred_currency_code")),
        addresses=[_address(found["billing_address"])] if _is_object(found.get("billing_address")) else None,
        metadata=shapes.metadata(found.get("meta_data"), custom=found),
    )


def _address(found: Document) -> DirectAddress:
    return DirectAddress(
        line1=shapes.text(found.get("line1")),
        line2=shapes.text(found.get("line2")),
        city=shapes.text(found.get("city")),
        state=shapes.text(found.get("state")) or shapes.text(found.get("state_code")),
        postal_code=shapes.text(found.get("zip")),
        country=shapes.country(found.get("country")),
    )


# --- Prices and coupons ---------------------------------------------------------------------------


def price(found: Document) -> DirectPrice | None:
    """An item price of the catalog."""
    name, currency = shapes.identifier(found.get("id")), shapes.currency(found.get("currency_code"))
    if name is None or currency is None:
        return None
    is_plain = found.get("pricing_model") in _UNIT_PRICED and not _is_partly_free(found)
    value = _unit_price(found, "price", currency) if is_plain else None
    return DirectPrice(
        id=name,
        type="product",
        active=found.get("status") == "active",
        product_id=shapes.identifier(found.get("item_id")),
        name=shapes.text(found.get("external_name")) or shapes.text(found.get("name")),
        description=shapes.text(found.get("description")),
        duration=_duration(found.get("period_unit"), found.get("period")),
        amount=_amount(value, currency),
        metadata=shapes.metadata(found.get("metadata"), found.get("meta_data"), custom=found),
    )


def coupon(found: Document) -> DirectCoupon | None:
    """A coupon as it is defined; one that gives units instead of money has neither percent nor amount."""
    name = shapes.identifier(found.get("id"))
    if name is None:
        return None
    return _reduction(
        found, name, kind="discount_type", percentage="discount_percentage", amount="discount_amount"
    )


def is_usable(found: Document, now: datetime) -> bool:
    """Whether a coupon may still be put on a subscription."""
    until, most, redeemed = (found.get(key) for key in ("valid_till", "max_redemptions", "redemptions"))
    ends_at = to_moment(until)
    is_used_up = isinstance(most, int) and isinstance(redeemed, int) and redeemed >= most
    is_over = ends_at is not None and ends_at <= now
    gives = found.get("discount_type") in ("percentage", "fixed_amount")
    return found.get("status") == "active" and gives and not is_used_up and not is_over


def _reduction(found: Document, name: str, *, kind: str, percentage: str, amount: str) -> DirectCoupon:
    currency = shapes.currency(found.get("currency_code"))
    is_percent = found.get(kind) == "percentage"
    is_amount = found.get(kind) == "fixed_amount" and currency is not None
    duration = _DURATIONS.get(str(found.get("duration_type")))
    months = _months(found) if duration == "repeating" else None
    return DirectCoupon(
        id=name,
        name=shapes.text(found.get("invoice_name")) or shapes.text(found.get("name")),
        percent_off=shapes.percent(found.get(percentage)) if is_percent else None,
        amount_off=to_minor(found.get(amount), currency) if is_amount and currency else None,
        currency=currency if is_amount else None,
        duration=cast("Any", duration),
        duration_in_months=months,
        metadata=shapes.metadata(found.get("meta_data")),
    )


def _months(found: Document) -> int | None:
    """For how many months; None for a period in days or weeks, which are no months."""
    each = _MONTHS.get(str(found.get("period_unit")))
    period = shapes.whole(found.get("period"), at_least=1, at_most=1200)
    if each is None or period is None:
        return shapes.whole(found.get("duration_month"), at_least=1, at_most=1200)
    return shapes.whole(each * period, at_least=1, at_most=1200)


# --- Subscriptions --------------------------------------------------------------------------------


def is_over(found: Document) -> bool:
    return found.get("status") == "cancelled" or found.get("deleted") is True


def item_price_ids(found: Document) -> list[str]:
    names = [shapes.identifier(each.get("item_price_id")) for each in _items_of(found)]
    return [name for name in names if name is not None]


def coupon_ids(found: Document) -> list[str]:
    """The coupons on a subscription, whether still at work or used up."""
    names = [shapes.identifier(each.get("coupon_id")) for each in shapes.documents(found.get("coupons"))]
    return [name for name in names if name is not None]


def subscription(
    found: Document,
    owner: Document,
    *,
    prices: Definitions,
    coupons: Definitions,
    has_ramp: bool,
    now: datetime,
) -> DirectSubscription | None:
    """A subscription; `prices` and `coupons` are what the catalog has of those it names.

    `has_ramp`: changes to come are scheduled for it.
    """
    name = shapes.identifier(found.get("id"))
    if name is None or found.get("deleted") is True:
        return None
    begun = start(found)
    status, is_known = _status(found, begun, now)
    obstacles = _obstacles(found, owner, has_ramp=has_ramp, is_known=is_known and bool(_items_of(found)))
    return DirectSubscription(
        id=name,
        customer_id=shapes.identifier(found.get("customer_id")),
        start=begun,
        status=status,
        items=_items(found, prices),
        duration=_duration(found.get("billing_period_unit"), found.get("billing_period")),
        end=ends_at(found, now),
        discounts=_discounts(found, coupons, begun),
        metadata=shapes.metadata(found.get("meta_data"), custom=found),
        obstacles=obstacles or None,
    )


def ends_at(found: Document, now: datetime) -> datetime | None:
    """When it ended or is set to end; None while it goes on."""
    status, set_for = found.get("status"), to_moment(found.get("cancelled_at"))
    is_ending = status in ("cancelled", "non_renewing")
    if set_for is not None and (is_ending or set_for > now - _LAG):  # else it was brought back to life since
        return set_for
    match status:
        case "non_renewing":
            return to_moment(found.get("current_term_end"))
        case "in_trial" if found.get("trial_end_action") == "cancel_subscription":
            return to_moment(found.get("trial_end"))
        case "cancelled":
            return to_moment(found.get("updated_at")) or start(found)
        case _:
            return None


def start(found: Document) -> datetime:
    times = (to_moment(found.get(key)) for key in ("started_at", "start_date", "created_at"))
    return next((time for time in times if time is not None), EARLIEST)


def has_pause_to_come(found: Document, now: datetime) -> bool:
    """Whether it still runs, and is set to pause."""
    if found.get("status") not in ("active", "non_renewing"):
        return False
    dates = (to_moment(found.get("pause_date")), to_moment(found.get("resume_date")))
    return dates[0] is not None and any(date is not None and date > now for date in dates)


def _status(found: Document, since: datetime, now: datetime) -> tuple[SubscriptionStatus, bool]:
    """What it is doing, and whether that was understood."""
    term = _period(found, "current_term_start", "current_term_end")
    match found.get("status"):
        case "cancelled":
            return Canceled(canceled_at=ends_at(found, now) or since), True
        case "future":
            return Future(current_period=term), True
        case "in_trial":
            begun = to_moment(found.get("trial_start")) or since
            until = to_moment(found.get("trial_end"))
            if until is not None and until >= begun:
                return Trial(trial=Period(start=begun, end=until)), True
        case "paused":
            return Paused(pause=_pause(found, since), current_period=term), True
        case "active" | "non_renewing" if has_pause_to_come(found, now):
            return Paused(pause=_pause(found, since), current_period=term), True
        case "active" | "non_renewing" if term is not None:
            return Active(current_period=term), True
        case _:
            pass
    return Active(current_period=term or Period(start=since, end=since)), False


def _pause(found: Document, since: datetime) -> OpenPeriod:
    """A pause that has begun, or that is set to begin; without an end it lasts until somebody ends it."""
    begins = to_moment(found.get("pause_date")) or since
    ends = to_moment(found.get("resume_date"))
    return OpenPeriod(start=begins, end=ends if ends is not None and ends >= begins else None)


def _period(found: Document, start_key: str, end_key: str) -> Period | None:
    begins, ends = to_moment(found.get(start_key)), to_moment(found.get(end_key))
    return Period(start=begins, end=ends) if begins and ends and ends >= begins else None


def _obstacles(found: Document, owner: Document, *, has_ramp: bool, is_known: bool) -> tuple[Obstacle, ...]:
    contract = found["contract_term"] if _is_object(found.get("contract_term")) else {}
    in_store = found.get("channel") in ("app_store", "play_store")
    given = (
        (Obstacle.SCHEDULE, has_ramp or "changes_scheduled_at" in found or _is_invoiced_ahead(found)),
        (Obstacle.PENDING_UPDATE, found.get("has_scheduled_changes") is True),
        (Obstacle.SHARED_BILLING, _is_paid_by_another(found, owner)),
        (Obstacle.SEVERAL_ITEMS, len(_items_of(found)) > MAX_ITEMS),
        (Obstacle.CONTRACT, contract.get("status") == "active"),
        (Obstacle.UNPAID, _is_positive(found.get("due_invoices_count"))),
        (Obstacle.UNKNOWN_STATE, not is_known or in_store or found.get("decommissioned") is True),
    )
    return tuple(obstacle for obstacle, is_there in given if is_there)


def _is_invoiced_ahead(found: Document) -> bool:
    """Terms to come are invoiced, or will be: when a cancellation would take effect is then not told."""
    if found.get("has_scheduled_advance_invoices") is True:
        return True
    billed_at, term_ends = to_moment(found.get("next_billing_at")), to_moment(found.get("current_term_end"))
    if found.get("status") != "active" or "pause_date" in found or billed_at is None or term_ends is None:
        return False
    return (billed_at - term_ends).days >= 2


def _is_paid_by_another(found: Document, owner: Document) -> bool:
    if found.get("override_relationship") is True or not _is_object(owner.get("relationship")):
        return False
    owners = [owner["relationship"].get(key) for key in ("invoice_owner_id", "payment_owner_id")]
    return any(isinstance(each, str) and each != owner.get("id") for each in owners)


def _items_of(found: Document) -> list[Document]:
    return shapes.documents(found.get("subscription_items"))


def _items(found: Document, prices: Definitions) -> list[DirectSubscriptionItem]:
    currency = shapes.currency(found.get("currency_code"))
    tiered = [each.get("item_price_id") for each in shapes.documents(found.get("item_tiers"))]
    items = [_item(each, found, currency, prices, tiered) for each in _items_of(found)[:MAX_ITEMS]]
    if items:
        return items
    return [
        DirectSubscriptionItem(price=DirectPrice(id="unknown", amount=_amount(None, currency)), quantity=1)
    ]


def _item(
    item: Document, found: Document, currency: str | None, prices: Definitions, tiered: Sequence[object]
) -> DirectSubscriptionItem:
    name = shapes.identifier(item.get("item_price_id")) or "unknown"
    listed = price(prices[name]) if name in prices else None
    quantity = _quantity(item)
    value = None
    if currency is not None and quantity is not None and name not in tiered and not _is_partly_free(item):
        value = _unit_price(item, "unit_price", currency)
    duration = _duration(item.get("billing_period_unit"), item.get("billing_period"))
    sold = DirectPrice(
        id=name,
        type="product",
        active=listed.active if listed else None,
        product_id=listed.product_id if listed else None,
        name=listed.name if listed else None,
        description=listed.description if listed else None,
        duration=duration or _duration(found.get("billing_period_unit"), found.get("billing_period")),
        amount=_amount(value, currency),
        metadata=listed.metadata if listed else None,
    )
    return DirectSubscriptionItem(id=name, price=sold, quantity=1 if quantity is None else quantity)


def _quantity(item: Document) -> int | None:
    """How many; None for a part of one, which has no usable price."""
    exact = read_decimal(item.get("quantity_in_decimal"))
    if exact is not None:
        return int(exact) if exact == exact.to_integral_value() and exact <= _MOST_QUANTITY else None
    if "quantity" not in item:
        return 1
    return shapes.whole(item["quantity"], at_least=0, at_most=_MOST_QUANTITY)


def _is_partly_free(found: Document) -> bool:
    exact = read_decimal(found.get("free_quantity_in_decimal"))
    return _is_positive(found.get("free_quantity")) or bool(exact)


def _unit_price(found: Document, key: str, currency: str) -> int | None:
    exact = f"{key}_in_decimal"
    return decimal_to_minor(found[exact], currency) if exact in found else to_minor(found.get(key), currency)


def _amount(value: int | None, currency: str | None) -> Amount:
    if value is None:
        return Amount(model="tiered", currency=currency)
    return Amount(model="fixed", value=value, currency=currency)


def _duration(unit: object, count: object) -> DurationConfig | None:
    times = shapes.whole(count, at_least=1, at_most=3650)
    if unit not in _INTERVALS or times is None:
        return None
    return DurationConfig(interval=unit, interval_count=times)


def _discounts(found: Document, coupons: Definitions, begun: datetime) -> list[DirectDiscount]:
    """Coupons and manual discounts. One that was for a single invoice is over once that is written."""
    since = to_moment(found.get("current_term_start")) or begun
    given = []
    for each in shapes.documents(found.get("coupons")):
        name = shapes.identifier(each.get("coupon_id"))
        if name is not None:
            defined = coupon(coupons[name]) if name in coupons else None
            given.append(_discount(each, name, defined or DirectCoupon(id=name), since))
    ours = coupon_ids(found)
    for each in shapes.documents(found.get("discounts")):
        name = shapes.identifier(each.get("id"))
        if name is not None and each.get("coupon_id") not in ours:
            reduction = _reduction(each, name, kind="type", percentage="percentage", amount="amount")
            given.append(_discount(each, name, reduction, since))
    return given[:MOST_DISCOUNTS]


def _discount(each: Document, name: str, reduction: DirectCoupon, since: datetime) -> DirectDiscount:
    end = to_moment(each.get("apply_till"))
    if reduction.duration == "once" and _is_positive(each.get("applied_count")):
        end = since
    return DirectDiscount(id=name, coupon=reduction, end=end)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and value > 0
