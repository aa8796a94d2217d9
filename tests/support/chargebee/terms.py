"""What time does to Chargebee's subscriptions: trials end, terms renew, pauses and cancellations take effect."""

from datetime import UTC, datetime
from typing import Final

from demo.billing.timeline import add_interval
from tests.support.simulator.books import Document

_MOST_STEPS: Final = 1000


def later(since: int, unit: str, count: int) -> int:
    """So many billing periods after a time; from the 31st to the last day of a shorter month."""
    begun = datetime.fromtimestamp(since, UTC)
    return int(add_interval(begun, {"interval": unit, "intervalCount": count}).timestamp())


def settle(subscription: Document, coupons: Document, now: int) -> bool:
    """Carry out all that is due, in order. True if there was something."""
    for step in range(_MOST_STEPS):
        if not _next(subscription, coupons, now):
            return step > 0
    raise AssertionError("a subscription does not come to rest")


def begin_term(subscription: Document, coupons: Document, at: int) -> None:
    """A new term, invoiced at its start: coupons count, and those for one invoice are used up."""
    unit, count = subscription["billing_period_unit"], subscription["billing_period"]
    end = later(at, unit, count)
    subscription |= {"current_term_start": at, "current_term_end": end, "next_billing_at": end}
    kept = []
    for used in subscription["coupons"]:
        if used.get("apply_till", at + 1) <= at:
            continue
        used["applied_count"] += 1
        if coupons.get(used["coupon_id"], {}).get("duration_type") != "one_time":
            kept.append(used)
    subscription["coupons"] = kept


def _next(subscription: Document, coupons: Document, now: int) -> bool:
    status = subscription["status"]
    if status in ("cancelled", "transferred", "future"):
        return False
    ends, pauses = subscription.get("cancelled_at"), subscription.get("pause_date")
    if ends is not None and ends <= now:
        cancel(subscription, ends)
        return True
    if status == "paused":
        resumes = subscription.get("resume_date")
        if resumes is None or resumes > now:
            return False
        resume(subscription, coupons, resumes)
        return True
    if pauses is not None and pauses <= now:
        subscription["status"] = "paused"
        return True
    if status == "in_trial" and subscription["trial_end"] <= now:
        if subscription.get("trial_end_action") == "cancel_subscription":
            cancel(subscription, subscription["trial_end"])
            return True
        subscription |= {"status": "active", "activated_at": subscription["trial_end"]}
        begin_term(subscription, coupons, subscription["trial_end"])
        return True
    if status == "active" and subscription["current_term_end"] <= now:
        begin_term(subscription, coupons, subscription["current_term_end"])
        return True
    return False


def cancel(subscription: Document, at: int) -> None:
    subscription |= {"status": "cancelled", "cancelled_at": at}
    for key in ("next_billing_at", "pause_date", "resume_date", "cancel_schedule_created_at"):
        subscription.pop(key, None)


def resume(subscription: Document, coupons: Document, at: int) -> None:
    """In the term nothing is charged; after it, a new one begins."""
    for key in ("pause_date", "resume_date"):
        subscription.pop(key, None)
    subscription["status"] = "active"
    if subscription["current_term_end"] <= at:
        begin_term(subscription, coupons, at)
    else:
        subscription["next_billing_at"] = subscription["current_term_end"]
