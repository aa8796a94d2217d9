"""Paddle's entities as ours. Pure: what a later version of its API adds is passed over, never refused."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, cast, get_args

from pydantic import ValidationError

from app.adapters.billing.paddle.values import (
    DURATION,
    EFFECT,
    MONTHS,
    built,
    currency_code,
    metadata,
    moment,
    text,
    whole,
)
from app.adapters.billing.paddle.wire import Object, inner
from app.core.billing import ProviderUnavailable
from app.core.calendar import Interval
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
    Unpaid,
)

Duration = Literal["once", "repeating", "forever"]
_MONTHS_IN: Final = {"month": 1, "year": 12}
_MOST_PIECES: Final = 1_000_000


# --- Customers ------------------------------------------------------------------------------------


def read_customer(
    raw: Object, customer_id: str, address: Object | None = None, currency: object = None
) -> DirectCustomer:
    """A customer by the id that was asked for: Paddle's own for it, or that of a subscription."""
    customer = built(
        lambda: DirectCustomer(
            id=customer_id,
            name=text(raw.get("name")),
            currency=currency_code(currency),
            addresses=[_address(address)] if address else None,
            metadata=metadata(raw.get("custom_data")),
        )
    )
    try:
        return DirectCustomer.model_validate({**dict(customer), "email": text(raw.get("email"))})
    except ValidationError:  # an address that is none to us, such as one with a space
        return customer


def _address(raw: Object) -> DirectAddress:
    country = raw.get("country_code")
    is_country = isinstance(country, str) and len(country) == 2 and country.isascii() and country.isalpha()
    return DirectAddress(
        line1=text(raw.get("first_line")),
        line2=text(raw.get("second_line")),
        city=text(raw.get("city")),
        state=text(raw.get("region")),
        postal_code=text(raw.get("postal_code")),
        country=cast("str", country) if is_country else None,
    )


def country_of(address: Mapping[str, object] | None) -> str | None:
    return _address(dict(address)).country if address else None


# --- Prices and discounts -------------------------------------------------------------------------


def read_price(raw: Object, amount: Amount | None = None) -> DirectPrice:
    """A price; `amount` in place of its own where another one holds for the subscription."""
    return built(
        lambda: DirectPrice(
            id=str(raw["id"]),
            type="product",
            active=raw.get("status") == "active",
            product_id=text(raw.get("product_id")),
            name=text(raw.get("name")) or text(raw.get("description")),
            description=text(raw.get("description")),
            duration=read_cycle(raw.get("billing_cycle")),
            amount=amount or _amount(raw.get("unit_price")),
            metadata=metadata(raw.get("custom_data")),
        )
    )


def read_cycle(raw: object) -> DurationConfig | None:
    match raw:
        case {"interval": str() as interval, "frequency": int() as count} if (
            interval in get_args(Interval) and not isinstance(count, bool) and 1 <= count <= 3650
        ):
            return DurationConfig(interval=cast("Interval", interval), interval_count=count)
    return None


def read_coupon(raw: Object, cycle: DurationConfig | None = None, pieces: int | None = None) -> DirectCoupon:
    """A discount. Paddle counts billing periods: `cycle` says how long one is, a month where that is not known.

    What is taken off each piece needs to know of how many (`pieces`).
    """
    duration, months = _duration(raw, cycle)
    percent, minor = None, None
    match raw.get("type"):
        case "percentage":
            percent = _percent(raw.get("amount"))
        case "flat":
            minor = whole(raw.get("amount"))
        case "flat_per_seat" if pieces is not None and (each := whole(raw.get("amount"))) is not None:
            minor = each * pieces
    return built(
        lambda: DirectCoupon(
            id=str(raw["id"]),
            name=text(raw.get("description")),
            percent_off=percent,
            amount_off=minor,
            currency=currency_code(raw.get("currency_code")) if minor is not None else None,
            duration=duration,
            duration_in_months=months,
            metadata=metadata(raw.get("custom_data")),
        )
    )


def is_usable_coupon(raw: Object) -> bool:
    """Whether it can be put on a running subscription: Paddle takes only recurring ones there."""
    coupon = read_coupon(raw)
    has_figure = coupon.percent_off is not None or coupon.amount_off is not None
    return raw.get("status") == "active" and raw.get("recur") is True and has_figure


def made_for(raw: Object) -> str | None:
    """The effect that a discount was made for; None for the merchant's own."""
    effect_id = inner(raw, "custom_data").get(EFFECT)
    return effect_id if isinstance(effect_id, str) else None


def _duration(raw: Object, cycle: DurationConfig | None) -> tuple[Duration, int | None]:
    promised = inner(raw, "custom_data") if made_for(raw) else {}
    if (duration := promised.get(DURATION)) in get_args(Duration):
        months = whole(promised.get(MONTHS)) if duration == "repeating" else None
        return cast("Duration", duration), months
    periods = raw.get("maximum_recurring_intervals")
    if raw.get("recur") is not True or periods == 1:
        return "once", None
    if not isinstance(periods, int):
        return "forever", None
    if cycle is not None and cycle.interval not in _MONTHS_IN:
        return "repeating", None
    length = _MONTHS_IN[cycle.interval] * cycle.interval_count if cycle else 1
    return "repeating", min(periods * length, 1200)


def _percent(raw: object) -> Decimal | None:
    try:
        percent = Decimal(raw) if isinstance(raw, str) and len(raw) < 20 else None
    except InvalidOperation:
        return None
    if percent is None or not percent.is_finite() or not 0 < percent <= 100:
        return None
    return percent if percent == (rounded := round(percent, 6)) else rounded


# --- Subscriptions --------------------------------------------------------------------------------


def needs_country(raw: Object) -> bool:
    """Whether what it costs depends on where the customer is."""
    return any(bool(_price_of(item).get("unit_price_overrides")) for item in _items(raw))


def read_subscription(
    raw: Object, *, customer_id: str, discount: Object | None, country: str | None, now: datetime
) -> DirectSubscription:
    """A subscription; `discount` is the entity that its discount names, `country` where it is billed."""
    status, obstacles = _status(raw)
    cycle = read_cycle(raw.get("billing_cycle"))
    items = [_item(each, raw, country) for each in _items(raw)]
    if not items:
        obstacles.append(Obstacle.UNKNOWN_STATE)
        items = [_no_item()]
    if len(items) > MAX_ITEMS:
        obstacles.append(Obstacle.SEVERAL_ITEMS)
    pieces = sum(item.quantity for item in items)
    return built(
        lambda: DirectSubscription(
            id=str(raw["id"]),
            customer_id=customer_id,
            start=_start(raw),
            status=status,
            items=items[:MAX_ITEMS],
            duration=cycle,
            end=_end(raw),
            discounts=_discounts(inner(raw, "discount"), discount, cycle, pieces, now),
            metadata=metadata(raw.get("custom_data")),
            obstacles=tuple(dict.fromkeys(obstacles)) or None,
        )
    )


def scheduled(raw: Object) -> tuple[str | None, datetime | None, datetime | None]:
    """The change that waits: what it does, when, and (a pause) until when."""
    change = inner(raw, "scheduled_change")
    action = str(change.get("action")) if change else None
    return action, moment(change.get("effective_at")), moment(change.get("resume_at"))


def paid_until(raw: Object) -> datetime | None:
    """When what is paid for, or tried, runs out. A scheduled pause moves `next_billed_at` to its own end."""
    action, effective_at, _ = scheduled(raw)
    if action in ("pause", "cancel") and raw.get("status") != "paused":
        return effective_at
    return moment(raw.get("next_billed_at")) or period_end(raw)


def _status(raw: Object) -> tuple[SubscriptionStatus, list[Obstacle]]:
    action, effective_at, resume_at = scheduled(raw)
    obstacles = [] if action in (None, "cancel", "pause", "resume") else [Obstacle.PENDING_UPDATE]
    period = _period(raw)
    match raw.get("status"):
        case "active" | "trialing" if action == "pause" and effective_at is not None:
            return Paused(pause=_open(effective_at, resume_at), current_period=period), obstacles
        case "active" if period is not None:
            return Active(current_period=period), obstacles
        case "trialing" if period is not None:
            return Trial(trial=period), obstacles
        case "paused":
            until = effective_at if action == "resume" else None
            return Paused(pause=_open(moment(raw.get("paused_at")) or _start(raw), until)), obstacles
        case "past_due":
            return Unpaid(current_period=period), obstacles
        case "canceled":
            return Canceled(canceled_at=moment(raw.get("canceled_at")) or _start(raw)), obstacles
    obstacles.append(Obstacle.UNKNOWN_STATE)
    return Active(current_period=period) if period else Future(), obstacles


def _period(raw: Object) -> Period | None:
    start, end = moment(inner(raw, "current_billing_period").get("starts_at")), paid_until(raw)
    if start is None or end is None:
        return None
    return Period(start=min(start, end), end=end)


def period_end(raw: Object) -> datetime | None:
    return moment(inner(raw, "current_billing_period").get("ends_at"))


def _open(start: datetime, end: datetime | None) -> OpenPeriod:
    return OpenPeriod(start=start, end=max(start, end) if end else None)


def _start(raw: Object) -> datetime:
    for name in ("started_at", "first_billed_at", "created_at"):
        if (found := moment(raw.get(name))) is not None:
            return found
    raise ProviderUnavailable("Paddle's answer was not understood.")


def _end(raw: Object) -> datetime | None:
    if raw.get("status") == "canceled":
        return moment(raw.get("canceled_at")) or _start(raw)
    action, effective_at, _ = scheduled(raw)
    return effective_at if action == "cancel" else None


def _discounts(
    attached: Object, entity: Object | None, cycle: DurationConfig | None, pieces: int, now: datetime
) -> list[DirectDiscount]:
    """Paddle's `starts_at` is the first charge with the discount; from when it is attached, it does not say.

    One whose first charge is still to come is attached all the same, so it has no start here.
    """
    discount_id = text(attached.get("id"))
    if discount_id is None:
        return []
    start, end = moment(attached.get("starts_at")), moment(attached.get("ends_at"))
    has_begun = start is not None and start <= now
    coupon = read_coupon(entity, cycle, pieces) if entity else DirectCoupon(id=discount_id)
    return [DirectDiscount(id=discount_id, coupon=coupon, start=start if has_begun else None, end=end)]


def _items(raw: Object) -> list[Object]:
    """What renews; what is billed once is no part of the plan."""
    items = raw.get("items")
    known = [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
    return [each for each in known if each.get("recurring") is not False] or known


def _item(item: Object, raw: Object, country: str | None) -> DirectSubscriptionItem:
    price = _price_of(item)
    count = item.get("quantity")
    is_count = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MOST_PIECES
    amount = _unit_price(price, raw.get("currency_code"), country)
    if not is_count:
        amount = Amount(model="tiered", currency=amount.currency)
    return DirectSubscriptionItem(
        price=read_price(price, amount), quantity=cast("int", count) if is_count else 1
    )


def _price_of(item: Object) -> Object:
    price = item.get("price")
    return price if isinstance(price, dict) and isinstance(price.get("id"), str) else {"id": "unknown"}


def _no_item() -> DirectSubscriptionItem:
    return DirectSubscriptionItem(price=DirectPrice(id="unknown", amount=Amount(model="tiered")))


def _unit_price(price: Object, currency: object, country: str | None) -> Amount:
    """What one piece costs this customer: by the override for his country, else the price itself.

    Where Paddle converts it into another currency by a rate of its own, nobody here can say.
    """
    overrides = price.get("unit_price_overrides") or []
    given = price.get("unit_price")
    for override in overrides if isinstance(overrides, list) else []:
        match override:
            case {"country_codes": list() as countries, "unit_price": money} if country in countries:
                given = money
    amount = _amount(given)
    is_known = amount.currency == currency_code(currency) and (country is not None or not overrides)
    return amount if is_known else Amount(model="tiered", currency=currency_code(currency))


def _amount(raw: object) -> Amount:
    match raw:
        case {"amount": str() as digits, "currency_code": currency} if (
            minor := whole(digits)
        ) is not None and currency_code(currency):
            return Amount(value=minor, currency=currency_code(currency))
    return Amount(model="tiered")
