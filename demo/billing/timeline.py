"""How a subscription changes by itself as time passes. Pure: a document and a moment in, a document out."""

from calendar import monthrange
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

Document = dict[str, Any]

FAR = datetime(9999, 1, 1, tzinfo=UTC)
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def read_moment(text: str) -> datetime:
    """Read an ISO 8601 moment with an offset; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs an offset")
    return moment.astimezone(UTC)


def write_moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def add_months(moment: datetime, months: int) -> datetime:
    """Count calendar months; where the month is too short, its last day."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def add_interval(moment: datetime, duration: Document, times: int = 1) -> datetime:
    """Count billing intervals such as `{"interval": "month", "intervalCount": 3}`."""
    count = int(duration.get("intervalCount", 1)) * times
    if duration["interval"] in _DAYS:
        return moment + timedelta(days=_DAYS[duration["interval"]] * count)
    return add_months(moment, _MONTHS[duration["interval"]] * count)


def duration_of(subscription: Document) -> Document:
    """How often it is charged: as its first item's price says."""
    duration: Document = subscription["items"][0]["price"]["duration"]
    return duration


def period_at(now: datetime, start: datetime, duration: Document) -> Document:
    """The billing period that `now` lies in, if the first one began at `start`.

    Counted from that one start, so that 31 January, 28 February, 31 March come out right.
    """
    past = 0
    while add_interval(start, duration, past + 1) <= now:
        past += 1
    first, last = (add_interval(start, duration, past + step) for step in (0, 1))
    return {"start": write_moment(first), "end": write_moment(last)}


def as_of(subscription: Document, now: datetime) -> Document:
    """Return the subscription as it stands now: ended, out of its trial or pause, in its latest period."""
    subscription = deepcopy(subscription)
    stored = subscription["status"]
    subscription["status"] = _status_at(now, subscription)
    invoiced = subscription["status"]["name"] != "paused" and _next_invoice(stored) <= now
    subscription["discounts"] = [
        discount
        for discount in subscription["discounts"]
        if not _is_used_up(discount, now, invoiced=invoiced)
    ]
    return subscription


def paid_until(subscription: Document, now: datetime) -> datetime:
    """When what is paid for (or tried) runs out; now, if that is past."""
    status = subscription["status"]
    period = status.get("trial") or status.get("currentPeriod")
    return max(read_moment(period["end"]), now) if period else now


def resumed(subscription: Document, at: datetime, now: datetime) -> Document:
    """The status at `now` after a pause ended at `at`: what was paid for goes on, else a period begins."""
    period = subscription["status"].get("currentPeriod")
    if period and read_moment(period["end"]) > at:
        return _active(period, subscription, now)
    return _active_from(at, subscription, now)


def _status_at(now: datetime, subscription: Document) -> Document:
    status: Document = subscription["status"]
    end = read_moment(subscription["end"]) if subscription.get("end") else FAR
    if status["name"] == "canceled":
        return status
    if end <= now:
        return {"name": "canceled", "canceledAt": write_moment(end)}
    if status["name"] == "trial" and (trial_end := read_moment(status["trial"]["end"])) <= now:
        return _active_from(trial_end, subscription, now)
    if status["name"] == "paused" and (pause_end := read_moment(status["pause"]["end"])) <= now:
        return resumed(subscription, pause_end, now)
    return _active(status["currentPeriod"], subscription, now) if status["name"] == "active" else status


def _active(period: Document, subscription: Document, now: datetime) -> Document:
    """Active in `period`, or in the one that has followed by now."""
    start, end = read_moment(period["start"]), read_moment(period["end"])
    if end > now:
        return {"name": "active", "currentPeriod": period}
    follows = add_interval(start, duration_of(subscription)) == end  # else the plan's interval has changed
    return _active_from(start if follows else end, subscription, now)


def _active_from(start: datetime, subscription: Document, now: datetime) -> Document:
    return {"name": "active", "currentPeriod": period_at(now, start, duration_of(subscription))}


def _next_invoice(status: Document) -> datetime:
    """The first invoice after the moment that a stored status describes."""
    spans = [status[name] for name in ("trial", "currentPeriod", "pause") if name in status]
    ends = [read_moment(span["end"]) for span in spans if span.get("end")]
    return max(ends, default=FAR)


def _is_used_up(discount: Document, now: datetime, *, invoiced: bool) -> bool:
    """A coupon for one invoice names no end: it is gone with that invoice."""
    if discount.get("end"):
        return read_moment(discount["end"]) <= now
    return invoiced and discount["coupon"]["duration"] == "once"
