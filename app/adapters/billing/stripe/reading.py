"""A Stripe subscription in our words: where it stands, when it ends, and what makes it unsafe to touch."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from app.adapters.billing.stripe.shapes import (
    OURS,
    discounts_of,
    duration_of,
    fitting,
    metadata_of,
    moment_of,
    price_of,
)
from app.adapters.billing.stripe.wire import Raw
from app.core.calendar import EARLIEST, add_interval
from app.core.direct import (
    MAX_ITEMS,
    Active,
    Amount,
    Canceled,
    DirectPrice,
    DirectSubscription,
    DirectSubscriptionItem,
    Obstacle,
    OpenPeriod,
    Paused,
    Period,
    SubscriptionStatus,
    Trial,
    Unpaid,
)
from app.core.fields import Currency

# A pause that ends at a renewal is ended at Stripe a little earlier, or that very renewal could still be voided.
PAUSE_LEAD: Final = timedelta(hours=1)
RENEWAL_MARK: Final = f"{OURS}renews_at"
"""Metadata of a paid subscription whose renewal we moved: the moved renewal, in seconds, as `trial_end` says it too."""


def subscription_of(raw: Raw, now: datetime) -> DirectSubscription:
    """What Stripe sent, with discounts, coupons and products expanded as far as they were asked for."""
    items = _items_in(raw)
    status = _status(raw, now)
    return DirectSubscription(
        id=raw["id"],
        customer_id=customer_id_of(raw),
        start=start_of(raw),
        status=status,
        items=[_item(item, raw) for item in items[:MAX_ITEMS]] or [_unknown_item(raw)],
        duration=duration_of(items[0]["price"]) if items else None,
        end=_end(raw, status),
        discounts=discounts_of(discounts_in(raw)),
        metadata=metadata_of(raw),
        obstacles=tuple(dict.fromkeys(_obstacles(raw, now))) or None,
    )


def customer_id_of(raw: Raw) -> str | None:
    customer = raw.get("customer")
    found = customer.get("id") if isinstance(customer, dict) else customer
    return found if isinstance(found, str) else None


def start_of(raw: Raw) -> datetime:
    return moment_of(raw.get("start_date")) or moment_of(raw.get("created")) or EARLIEST


def is_over(raw: Raw) -> bool:
    return raw.get("status") in _OVER


def period_of(raw: Raw) -> Period | None:
    """What is paid for (or tried) now. Stripe keeps it with each item; of one item there is no doubt."""
    for item in _items_in(raw):
        start, end = moment_of(item.get("current_period_start")), moment_of(item.get("current_period_end"))
        if start is not None and end is not None and start <= end:
            return Period(start=start, end=end)
    return None


def discounts_in(raw: Raw) -> list[Raw]:
    """The discounts at work: the subscription's and its items', or, where there are none, the customer's."""
    own = [raw.get("discounts"), *(item.get("discounts") for item in _items_in(raw))]
    found = [one for some in own if isinstance(some, list) for one in some if isinstance(one, dict)]
    if found or _has_discounts(raw):
        return found
    customer = raw.get("customer")
    theirs = customer.get("discount") if isinstance(customer, dict) else None
    return [theirs] if isinstance(theirs, dict) else []


def has_moved_renewal(raw: Raw) -> bool:
    """Whether its trial is none: we set it, to move the renewal of what was paid for.

    Where somebody sets another `trial_end` later, the mark no longer fits, and it is a trial again.
    """
    marks = raw.get("metadata")
    mark = marks.get(RENEWAL_MARK) if isinstance(marks, dict) else None
    return raw.get("status") == "trialing" and mark is not None and mark == str(raw.get("trial_end"))


def renewal_from(raw: Raw, moment: datetime) -> datetime | None:
    """The first renewal that is not before `moment`, counted from the billing cycle anchor as Stripe does."""
    period, every = period_of(raw), duration_of(_items_in(raw)[0]["price"]) if _items_in(raw) else None
    anchor = moment_of(raw.get("billing_cycle_anchor"))
    if period is None or every is None:
        return None
    if period.end >= moment:
        return period.end
    at, number = anchor or period.end, 0
    first = at
    while at < moment:
        number += 1
        at = add_interval(first, every.interval, every.interval_count * number)
    return at


def _items_in(raw: Raw) -> list[Raw]:
    items = raw.get("items")
    data = items.get("data") if isinstance(items, dict) else None
    return (
        [item for item in data if isinstance(item, dict) and isinstance(item.get("price"), dict)]
        if isinstance(data, list)
        else []
    )


def _item(item: Raw, raw: Raw) -> DirectSubscriptionItem:
    quantity = item.get("quantity")
    return DirectSubscriptionItem(
        id=item["id"],
        price=price_of(item["price"], _currency(raw)),
        quantity=quantity if type(quantity) is int and 0 <= quantity <= 1_000_000 else 1,
    )


def _unknown_item(raw: Raw) -> DirectSubscriptionItem:
    amount = Amount(model="tiered", value=None, currency=_currency(raw))
    return DirectSubscriptionItem(price=DirectPrice(id="unknown", amount=amount))


def _currency(raw: Raw) -> str | None:
    found: str | None = fitting(Currency, raw.get("currency"))
    return found


def _status(raw: Raw, now: datetime) -> SubscriptionStatus:
    period = period_of(raw) or Period(start=start_of(raw), end=start_of(raw))
    match raw.get("status"):
        case status if status in _OVER:
            return Canceled(canceled_at=_ended_at(raw) or period.end)
        case "past_due" | "unpaid" | "incomplete":
            return Unpaid(current_period=period)
        case "paused":
            return Paused(pause=OpenPeriod(start=_paused_at(raw) or period.start), current_period=period)
        case "trialing" if not has_moved_renewal(raw) and not _is_paused(raw, now):
            return _trial(raw, period)
    return _paused(raw, period, now) or Active(current_period=period)


def _trial(raw: Raw, period: Period) -> SubscriptionStatus:
    start, end = moment_of(raw.get("trial_start")) or start_of(raw), moment_of(raw.get("trial_end"))
    if end is None or end < start:
        return Active(current_period=period)
    return Trial(trial=Period(start=start, end=end), current_period=period)


def _paused(raw: Raw, period: Period, now: datetime) -> Paused | None:
    """Stripe keeps no beginning of such a pause: it is at work from the moment it is set."""
    if not _is_paused(raw, now):
        return None
    end = moment_of(raw["pause_collection"].get("resumes_at"))
    if end is not None and renewal_from(raw, end) == end + PAUSE_LEAD:
        end += PAUSE_LEAD
    ends_at = _scheduled_end(raw)
    if ends_at is not None and (end is None or ends_at <= end):
        return None  # it ends before it could go on: then what counts is the end
    start = min(period.start, end) if end is not None else period.start
    return Paused(pause=OpenPeriod(start=start, end=end), current_period=period)


def _is_paused(raw: Raw, now: datetime) -> bool:
    pause = raw.get("pause_collection")
    if not isinstance(pause, dict):
        return False
    end = moment_of(pause.get("resumes_at"))
    return end is None or end > now


def _paused_at(raw: Raw) -> datetime | None:
    details = raw.get("status_details")
    paused = details.get("paused") if isinstance(details, dict) else None
    return moment_of(paused.get("transitioned_at")) if isinstance(paused, dict) else None


def _end(raw: Raw, status: SubscriptionStatus) -> datetime | None:
    return _ended_at(raw) or status.canceled_at if isinstance(status, Canceled) else _scheduled_end(raw)


def _ended_at(raw: Raw) -> datetime | None:
    return moment_of(raw.get("ended_at")) or moment_of(raw.get("canceled_at"))


def _scheduled_end(raw: Raw) -> datetime | None:
    """Either field may say it: subscriptions in flexible billing mode have `cancel_at` alone."""
    period = period_of(raw)
    at_period_end = period.end if period is not None and raw.get("cancel_at_period_end") is True else None
    return moment_of(raw.get("cancel_at")) or at_period_end


def _has_discounts(raw: Raw) -> bool:
    return any(bool(one.get("discounts")) for one in (raw, *_items_in(raw)))


def _obstacles(raw: Raw, now: datetime) -> Iterator[Obstacle]:
    items = raw.get("items")
    # An item's own trial ends in another price, as a phase of a schedule does.
    if raw.get("schedule") is not None or any(item.get("current_trial") for item in _items_in(raw)):
        yield Obstacle.SCHEDULE
    if raw.get("pending_update") is not None:
        yield Obstacle.PENDING_UPDATE
    if raw.get("cadence") is not None or raw.get("billing_cadence") is not None:
        yield Obstacle.SHARED_BILLING
    if isinstance(items, dict) and items.get("has_more") is True:
        yield Obstacle.SEVERAL_ITEMS
    if raw.get("billing_schedules") or _is_billed_ahead(raw):
        yield Obstacle.CONTRACT
    if raw.get("status") in ("active", "trialing") and _is_overdue(raw.get("latest_invoice"), now):
        yield Obstacle.UNPAID
    if raw.get("status") == "paused" or _has_foreign_pause(raw, now):
        yield Obstacle.FOREIGN_PAUSE
    if raw.get("status") not in _STATUSES or not _items_in(raw) or period_of(raw) is None:
        yield Obstacle.UNKNOWN_STATE


_OVER: Final = ("canceled", "incomplete_expired")
_STATUSES: Final = (
    "active", "trialing", "past_due", "unpaid", "incomplete", "incomplete_expired", "paused", "canceled",
)  # fmt: skip


def _has_foreign_pause(raw: Raw, now: datetime) -> bool:
    """Ours voids invoices. The other kinds keep them to be paid or written off, and resuming would touch those."""
    return _is_paused(raw, now) and raw["pause_collection"].get("behavior") != "void"


def _is_billed_ahead(raw: Raw) -> bool:
    """Periods after this one are billed already; ending or changing it now would leave them to be settled."""
    return any(
        type(until := item.get("billed_until")) is int and until > (item.get("current_period_end") or until)
        for item in _items_in(raw)
    )


def _is_overdue(invoice: object, now: datetime) -> bool:
    """Not each open one is: a bank may take days over a first try, and one sent by mail has a date to be paid by."""
    if not isinstance(invoice, dict):
        return False
    if invoice.get("status") == "uncollectible":
        return True
    if invoice.get("status") != "open":
        return False
    due, tries = moment_of(invoice.get("due_date")), invoice.get("attempt_count")
    return (due is not None and due < now) or (type(tries) is int and tries > 1)
