"""What time does to subscriptions at Paddle: renewals, scheduled changes, discounts that run out."""

from datetime import datetime

from tests.support.paddle.ids import moment, stamp
from tests.support.paddle.shapes import Entity, after, change


def is_due(sub: Entity, now: datetime) -> bool:
    at = _next_event(sub)
    return at is not None and at <= now


def advance(sub: Entity, now: datetime) -> None:
    """Let everything happen that falls due up to `now`, in order."""
    while (at := _next_event(sub)) is not None and at <= now:
        waiting = sub["scheduled_change"]
        if waiting is not None and moment(waiting["effective_at"]) == at:
            _carry_out(sub, waiting, at)
        else:
            renew(sub, at)


def renew(sub: Entity, at: datetime) -> None:
    """Charge for a period that begins now."""
    billing_cycle = sub["billing_cycle"]
    anchor = sub["_anchor"]
    if anchor is None or moment(anchor["at"]) > at:
        anchor = {"at": stamp(at), "count": 0}
    anchor = {"at": anchor["at"], "count": anchor["count"] + 1}
    ends_at = after(moment(anchor["at"]), billing_cycle, anchor["count"])
    sub["_anchor"] = anchor
    sub["status"] = "active"
    sub["current_billing_period"] = {"starts_at": stamp(at), "ends_at": stamp(ends_at)}
    sub["next_billed_at"] = stamp(ends_at)
    for each in sub["items"]:
        each |= {"status": "active", "trial_dates": None, "next_billed_at": stamp(ends_at)}
    given = sub["discount"]
    if given is not None and given["ends_at"] is not None and moment(given["ends_at"]) <= at:
        sub["discount"] = None


def _next_event(sub: Entity) -> datetime | None:
    waiting = sub["scheduled_change"]
    if waiting is not None:
        return moment(waiting["effective_at"])
    if sub["status"] in ("active", "trialing") and sub["next_billed_at"] is not None:
        return moment(sub["next_billed_at"])
    return None


def _carry_out(sub: Entity, waiting: Entity, at: datetime) -> None:
    sub["scheduled_change"] = None
    match waiting["action"]:
        case "cancel":
            end(sub, at)
        case "pause":
            pause(sub, at, waiting["resume_at"])
        case "resume":
            sub["paused_at"], sub["_anchor"] = None, None
            renew(sub, at)


def end(sub: Entity, at: datetime) -> None:
    sub |= {
        "status": "canceled",
        "canceled_at": stamp(at),
        "scheduled_change": None,
        "current_billing_period": None,
        "next_billed_at": None,
        "paused_at": None,
    }
    for each in sub["items"]:
        each |= {"status": "inactive", "next_billed_at": None}


def pause(sub: Entity, at: datetime, resume_at: str | None) -> None:
    sub |= {
        "status": "paused",
        "paused_at": stamp(at),
        "next_billed_at": None,
        "scheduled_change": change("resume", resume_at) if resume_at else None,
    }
