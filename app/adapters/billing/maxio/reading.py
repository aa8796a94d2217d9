"""Maxio's customers and subscriptions as canonical ones. Pure: asks nobody.

Built never to fail on what it does not know: an unknown state, a missing product or date becomes an obstacle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from app.adapters.billing.maxio.values import (
    MARKER,
    cents,
    country_code,
    currency_code,
    fields,
    identity,
    interval,
    metadata,
    moment,
    number,
    percent,
    text,
)
from app.core.calendar import EARLIEST, add_interval
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

OVER: Final = frozenset({"canceled", "expired", "failed_to_create"})
_UNPAID: Final = frozenset({"past_due", "soft_failure", "unpaid", "suspended", "trial_ended"})
_NOT_YET: Final = frozenset({"pending", "awaiting_signup"})
_RUNNING: Final = frozenset({"active", "assessing"})
_MOVED: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Site:
    """What is true of the whole site, as far as it matters here."""

    id: str
    name: str | None
    currency: str | None
    is_test: bool | None
    has_renewal_contracts: bool


@dataclass(frozen=True, slots=True)
class Marker:
    """What we leave at a subscription while a pause is made, ended or cancelled.

    `paid_until` is the renewal before the pause, `renews_at` the one that the pause moved it to (the same where it
    moved nothing).
    """

    effect_id: str
    paid_until: datetime
    renews_at: datetime

    def written(self) -> str:
        return f"{self.effect_id} {self.paid_until.isoformat()} {self.renews_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A subscription as Maxio tells of it in several answers."""

    raw: Mapping[str, Any]
    site: Site
    components: Sequence[Mapping[str, Any]] = ()
    custom: Mapping[str, str] = field(default_factory=dict)
    renewal_contracts: Sequence[Mapping[str, Any]] = ()

    @property
    def state(self) -> str:
        return str(self.raw.get("state"))

    @property
    def renews_at(self) -> datetime | None:
        return moment(self.raw.get("current_period_ends_at")) or moment(self.raw.get("next_assessment_at"))

    @property
    def is_to_end(self) -> bool:
        return self.raw.get("cancel_at_end_of_period") is True or bool(
            self.raw.get("scheduled_cancellation_at")
        )

    @property
    def has_calendar_billing(self) -> bool:
        return self.raw.get("snap_day") is not None

    @property
    def currency(self) -> str | None:
        return currency_code(self.raw.get("currency")) or self.site.currency

    @property
    def marker(self) -> Marker | None:
        """What we wrote here, while the renewal is still where it was put then."""
        parts = self.custom.get(MARKER, "").split()
        dates = [moment(part) for part in parts[1:]]
        if len(parts) != 3 or dates[0] is None or dates[1] is None or self.renews_at is None:
            return None
        is_there = abs(self.renews_at - dates[1]) < _MOVED
        return Marker(parts[0], dates[0], dates[1]) if is_there else None

    @property
    def paid_until(self) -> datetime | None:
        """When what is paid for runs out, whatever a pause has done to the renewal."""
        return self.marker.paid_until if self.marker else self.renews_at


def read_site(raw: Mapping[str, Any]) -> Site:
    is_test = raw.get("test")
    return Site(
        id=text(raw.get("subdomain")) or identity(raw.get("id")) or "",
        name=text(raw.get("name")),
        currency=currency_code(raw.get("currency")),
        is_test=is_test if isinstance(is_test, bool) else None,
        has_renewal_contracts=raw.get("auto_renewals_enabled") is True,
    )


def read_customer(raw: Mapping[str, Any], customer_id: str, custom: Mapping[str, str]) -> DirectCustomer:
    """`customer_id` is what was asked for: Maxio's number, or the merchant's own reference."""
    address = DirectAddress(
        line1=text(raw.get("address")),
        line2=text(raw.get("address_2")),
        city=text(raw.get("city")),
        state=text(raw.get("state")),
        postal_code=text(raw.get("zip")),
        country=country_code(raw.get("country")),
    )
    customer = DirectCustomer(
        id=customer_id,
        name=text(raw.get("first_name")),
        last_name=text(raw.get("last_name")),
        phone=text(raw.get("phone")),
        addresses=[address] if address.to_wire() else [],
        metadata=metadata(custom),
    )
    try:
        email = DirectCustomer(id=customer_id, email=raw.get("email") or None).email
    except ValidationError:
        email = None
    return customer.model_copy(update={"email": email})


def read_subscription(seen: Seen, customer_id: str, now: datetime) -> DirectSubscription | None:
    """None where there is not even an id."""
    raw = seen.raw
    subscription_id = identity(raw.get("id"))
    if subscription_id is None:
        return None
    every = interval(
        fields(raw.get("product")).get("interval"), fields(raw.get("product")).get("interval_unit")
    )
    status = _status(seen, now)
    start = moment(raw.get("created_at")) or moment(raw.get("activated_at"))
    obstacles = list(dict.fromkeys(_obstacles(seen, status)))
    if start is None:
        start = moment(raw.get("current_period_started_at")) or EARLIEST
    return DirectSubscription(
        id=subscription_id,
        customer_id=customer_id,
        start=start,
        status=status,
        items=_items(seen, every),
        duration=every,
        end=_end(seen, status),
        discounts=_discounts(seen, every, now),
        metadata=metadata(seen.custom),
        obstacles=tuple(obstacles) or None,
    )


# --- Where it stands ------------------------------------------------------------------------------


def _status(seen: Seen, now: datetime) -> SubscriptionStatus:
    raw, state = seen.raw, seen.state
    if state in OVER:
        ended = (
            moment(raw.get("canceled_at")) or moment(raw.get("expires_at")) or moment(raw.get("updated_at"))
        )
        return Canceled(canceled_at=ended or now)
    if state in _UNPAID:
        return Unpaid(current_period=_period(seen))
    if state in _NOT_YET:
        return Future(current_period=_period(seen))
    if state == "trialing":
        start, end = moment(raw.get("trial_started_at")), moment(raw.get("trial_ended_at"))
        period = _period_of(start, end or seen.renews_at) or _period(seen)
        return Trial(trial=period, current_period=period) if period else Future()
    if state in ("on_hold", "paused"):
        start = moment(raw.get("on_hold_at")) or moment(raw.get("updated_at")) or now
        end = moment(raw.get("automatically_resume_at"))
        pause = OpenPeriod(start=start, end=end if end and end >= start else None)
        return Paused(pause=pause, current_period=_period(seen))
    return Active(current_period=_period(seen) or Period(start=now, end=now))


def _period(seen: Seen) -> Period | None:
    """What is paid for. While on hold the moved renewal is none of it."""
    end = seen.paid_until if seen.state == "on_hold" else seen.renews_at
    return _period_of(moment(seen.raw.get("current_period_started_at")), end)


def _period_of(start: datetime | None, end: datetime | None) -> Period | None:
    return Period(start=start, end=end) if start is not None and end is not None and start <= end else None


def _end(seen: Seen, status: SubscriptionStatus) -> datetime | None:
    raw = seen.raw
    if isinstance(status, Canceled):
        return status.canceled_at
    if seen.state == "on_hold":
        return None  # nothing ends while it is on hold: see the obstacle
    if raw.get("cancel_at_end_of_period") is True:
        return moment(raw.get("delayed_cancel_at")) or seen.renews_at
    if scheduled := moment(raw.get("scheduled_cancellation_at")):
        return scheduled
    expires = moment(raw.get("expires_at"))
    return expires if expires and seen.renews_at and expires <= seen.renews_at else None


def _obstacles(seen: Seen, status: SubscriptionStatus) -> list[Obstacle]:
    raw, state = seen.raw, seen.state
    found = []
    if state == "paused":  # the merchant's own account with Maxio is in arrears
        found.append(Obstacle.FOREIGN_PAUSE)
    elif state == "assessing":  # a renewal is being charged at this moment
        found.append(Obstacle.PENDING_UPDATE)
    elif state not in OVER | _UNPAID | _NOT_YET | _RUNNING | {"trialing", "on_hold"}:
        found.append(Obstacle.UNKNOWN_STATE)
    if state in _RUNNING and isinstance(status, Active) and _period(seen) is None:
        found.append(Obstacle.UNKNOWN_STATE)
    if state == "trialing" and not isinstance(status, Trial):
        found.append(Obstacle.UNKNOWN_STATE)
    if raw.get("group"):
        found.append(Obstacle.SHARED_BILLING)
    if raw.get("next_product_id") or raw.get("next_product_price_point_id"):
        found.append(Obstacle.PENDING_UPDATE)
    if state == "on_hold" and seen.is_to_end:  # takes effect only once it is resumed
        found.append(Obstacle.PENDING_UPDATE)
    if state in _RUNNING | {"trialing"} and (number(raw.get("balance_in_cents")) or 0) > 0:
        found.append(Obstacle.UNPAID)
    if raw.get("prepaid_dunning") is True:
        found.append(Obstacle.UNPAID)
    found += _terms(seen)
    if len(seen.components) > MAX_ITEMS - 1:
        found.append(Obstacle.SEVERAL_ITEMS)
    if not fields(raw.get("product")):  # sold by components alone
        found.append(Obstacle.SEVERAL_ITEMS)
    return found


def _terms(seen: Seen) -> list[Obstacle]:
    """Prepaid balances are paid out on cancelling, fixed terms run to their own end: neither is ours to settle."""
    found = []
    if seen.raw.get("payment_collection_method") == "prepaid":
        found.append(Obstacle.CONTRACT)
    expires = moment(seen.raw.get("expires_at"))
    if expires and seen.state not in OVER and (seen.renews_at is None or expires > seen.renews_at):
        found.append(Obstacle.CONTRACT)
    for renewal in seen.renewal_contracts:
        if renewal.get("status") not in ("draft", "canceled", "fulfilled"):
            found.append(Obstacle.CONTRACT if renewal.get("contract") else Obstacle.SCHEDULE)
    return found


# --- What it costs --------------------------------------------------------------------------------


def _items(seen: Seen, every: DurationConfig | None) -> list[DirectSubscriptionItem]:
    product = fields(seen.raw.get("product"))
    items = []
    if product:
        price_id = identity(seen.raw.get("product_price_point_id")) or identity(
            product.get("product_price_point_id")
        )
        price = DirectPrice(
            id=price_id or f"product-{identity(product.get('id')) or 'unknown'}",
            type="product",
            product_id=identity(product.get("id")),
            name=text(product.get("name")),
            description=text(product.get("description")),
            duration=every,
            amount=_amount(seen, seen.raw.get("product_price_in_cents", product.get("price_in_cents"))),
        )
        items.append(DirectSubscriptionItem(id=identity(seen.raw.get("id")), price=price))
    for component in seen.components[: MAX_ITEMS - len(items)]:
        items.append(_component(seen, component, every))
    if not items:
        price = DirectPrice(id="none", amount=Amount(model="tiered", currency=seen.currency))
        items.append(DirectSubscriptionItem(price=price))
    return items


def _component(
    seen: Seen, component: Mapping[str, Any], every: DurationConfig | None
) -> DirectSubscriptionItem:
    """Components are priced by tiers, volumes or use; the unit price is not in what they say of themselves."""
    price = DirectPrice(
        id=identity(component.get("price_point_id"))
        or f"component-{identity(component.get('component_id')) or 'unknown'}",
        type="standalone",
        name=text(component.get("name")),
        duration=every,
        amount=Amount(model="tiered", currency=seen.currency),
    )
    quantity = number(component.get("allocated_quantity")) or 1
    return DirectSubscriptionItem(price=price, quantity=min(max(quantity, 0), 1_000_000))


def _amount(seen: Seen, in_cents: object) -> Amount:
    """A fixed price in the site's own currency; elsewhere Maxio does not say which currency a price is in."""
    currency = seen.currency
    value = cents(in_cents, currency) if currency and currency == seen.site.currency else None
    if value is None:
        return Amount(model="tiered", currency=currency)
    return Amount(value=value, currency=currency)


def is_in_use(component: Mapping[str, Any]) -> bool:
    """Whether a component adds to the bill: some of it is allocated, switched on, or has been used."""
    if component.get("enabled") is True:
        return True
    return any(
        str(component.get(name)) not in ("None", "0", "0.0", "")
        for name in ("allocated_quantity", "unit_balance")
    )


def _discounts(seen: Seen, every: DurationConfig | None, now: datetime) -> list[DirectDiscount]:
    coupons = seen.raw.get("coupons")
    given = [fields(each) for each in coupons] if isinstance(coupons, list) else []
    named = {text(each.get("code")) for each in given}
    found = [_discount(seen, each, every, now) for each in given]
    codes = seen.raw.get("coupon_codes")
    for code in codes if isinstance(codes, list) else []:
        if text(code) not in named:
            found.append(DirectDiscount(id=text(code)))
    return [discount for discount in found if discount is not None][:20]


def _discount(
    seen: Seen, raw: Mapping[str, Any], every: DurationConfig | None, now: datetime
) -> DirectDiscount | None:
    """A coupon at work; None for one that is used up."""
    code = text(raw.get("code"))
    allowed, used = number(raw.get("uses_allowed")), number(raw.get("use_count")) or 0
    is_recurring = raw.get("recurring") is True
    if not is_recurring:
        allowed = allowed or 1
    expires = moment(raw.get("expires_at"))
    if (allowed is not None and used >= allowed) or (expires is not None and expires <= now):
        return None
    return DirectDiscount(
        id=code,
        coupon=DirectCoupon(
            id=code,
            percent_off=percent(raw.get("percentage")),
            amount_off=_amount_off(seen, raw),
            currency=seen.currency,
            duration=_duration(is_recurring, allowed, expires),
            duration_in_months=_months(allowed, every) if is_recurring else None,
        ),
        end=_end_of_uses(seen, every, None if allowed is None else allowed - used) or expires,
    )


def _amount_off(seen: Seen, raw: Mapping[str, Any]) -> int | None:
    if percent(raw.get("percentage")) is not None or seen.currency != seen.site.currency:
        return None
    return cents(raw.get("amount_in_cents"), seen.currency) if seen.currency else None


def _duration(is_recurring: bool, allowed: int | None, expires: datetime | None) -> Any:
    if not is_recurring:
        return "once"
    return "forever" if allowed is None and expires is None else "repeating"


def _months(uses: int | None, every: DurationConfig | None) -> int | None:
    span = {"month": 1, "year": 12}.get(every.interval) if every else None
    if uses is None or every is None or span is None:
        return None
    months = uses * span * every.interval_count
    return months if 1 <= months <= 1200 else None


def _end_of_uses(seen: Seen, every: DurationConfig | None, left: int | None) -> datetime | None:
    """The first renewal at which the coupon is used up."""
    if left is None or every is None or seen.renews_at is None:
        return None
    return add_interval(seen.renews_at, every.interval, every.interval_count * min(left, 1200))
