"""What Maxio would take without a word and carry out differently from what the customer was shown. Pure."""

from datetime import datetime
from typing import Final, NoReturn

from app.adapters.billing.maxio.seen import Seen
from app.core.billing import Change, Discount, Pause, PlanChange, ProviderRefused, TrialExtension
from app.core.money import exponent

GONE: Final = "This offer is no longer available."
_NO_PAUSE: Final = "A pause is not possible for this subscription."
_NO_TRIAL: Final = "The trial cannot be extended."
_NO_DISCOUNT: Final = "The discount cannot be used for this subscription."
_NO_PLAN: Final = "The plan cannot be changed for this subscription."


def refuse_impossible(change: Change, seen: Seen, now: datetime) -> None:
    """Raises ProviderRefused; asked before anything is written, and when an offer is previewed."""
    match change:
        case Pause():
            _pause(change, seen, now)
        case TrialExtension():
            if seen.state != "trialing":
                _no(_NO_TRIAL, "The subscription is not on trial.")
            _no_date_of_its_own(seen, _NO_TRIAL)
            if seen.is_to_end:
                _no(_NO_TRIAL, "The subscription is to be cancelled.")
        case Discount():
            _discount(change, seen)
        case PlanChange():
            _running(seen, _NO_PLAN)
            if seen.raw.get("next_product_id"):
                _no(_NO_PLAN, "Another product change is waiting for the next renewal.")
        case _:
            pass


def _pause(change: Pause, seen: Seen, now: datetime) -> None:
    if seen.state != "active":
        _no(_NO_PAUSE, "Only active subscriptions are paused.")
    if seen.is_to_end:
        _no(_NO_PAUSE, "The subscription is to be cancelled; nothing is cancelled while it is on hold.")
    if (change.renews_at or change.resumes_at) <= now:
        _no(_NO_PAUSE, "The pause would end in the past.")
    _no_date_of_its_own(seen, _NO_PAUSE)


def _discount(change: Discount, seen: Seen) -> None:
    _running(seen, _NO_DISCOUNT)
    if change.coupon_id is not None or change.amount_off_minor is None:
        return
    if change.currency != seen.site.currency or seen.currency != change.currency:
        _no(_NO_DISCOUNT, "Amounts off are in the site's own currency; use a percentage for others.")
    if change.currency and exponent(change.currency) != 2:
        _no(_NO_DISCOUNT, "Maxio does not say how it counts amounts of a currency without two decimals.")


def _running(seen: Seen, message: str) -> None:
    if seen.state not in ("active", "trialing"):
        _no(message, "The subscription is neither active nor on trial.")


def _no_date_of_its_own(seen: Seen, message: str) -> None:
    if seen.has_calendar_billing:
        _no(message, "It has calendar billing: Maxio keeps its billing day and prorates what does not fit.")


def _no(message: str, reason: str) -> NoReturn:
    raise ProviderRefused(message, reason)
