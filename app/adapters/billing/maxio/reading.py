"""Maxio's customers and subscriptions as canonical ones. Pure: asks nobody.

Built never to fail on what it does not know: an unknown state, a missing product or date becomes an obstacle.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from app.adapters.billing.maxio.bill import read_discounts, read_items
from app.adapters.billing.maxio.seen import OVER, Seen
from app.adapters.billing.maxio.values import (
    country_code,
    fields,
    identity,
    interval,
    metadata,
    moment,
    number,
    text,
)
from app.core.calendar import EARLIEST
from app.core.direct import (
    MAX_ITEMS,
    Active,
    Canceled,
    DirectAddress,
    DirectCustomer,
    DirectSubscription,
    Future,
    Obstacle,
    OpenPeriod,
    Paused,
    Period,
    SubscriptionStatus,
    Trial,
    Unpaid,
)

_UNPAID: Final = frozenset({"past_due", "soft_failure", "unpaid", "suspended", "trial_ended"})
_NOT_YET: Final = frozenset({"pending", "awaiting_signup"})
_RUNNING: Final = frozenset({"active", "assessing"})


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
        items=read_items(seen, every),
        duration=every,
        end=_end(seen, status),
        discounts=read_discounts(seen, every, now),
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
