"""Carries out one change at a provider and finds out what became of it. Writes no row and knows no session: the
caller has committed the effect before it comes here, and commits what it is told afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from app.core.billing import (
    BillingProvider,
    Cancel,
    ChangeRequest,
    ProviderRefused,
    ProviderUnavailable,
    is_in_place,
)
from app.core.direct import DirectSubscription

NOT_VERIFIED: Final = "not_verified"
WITHDRAWN: Final = "withdrawn"
GIVE_UP_AFTER: Final = timedelta(hours=72)
_BACKOFF_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 900, 1_800, 3_600)

Check = Callable[[DirectSubscription], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a change. `reason` is for the merchant, `message` (if any) may be shown to the customer."""

    is_applied: bool
    reason: str = ""
    message: str | None = None
    can_retry: bool = False
    reference: str | None = None
    confirmation: str | None = None
    subscription: DirectSubscription | None = None


async def attempt(
    provider: BillingProvider,
    request: ChangeRequest,
    *,
    was_tried: bool,
    is_withdrawn: bool,
    blockers: Check,
    now: datetime,
) -> Settlement:
    """Try the change once, and prove it.

    `was_tried`: an earlier try may have got through, so the provider's state is read before anything is sent again.
    `blockers` names what has come to stand against the change since it was offered. Raises ProviderUnavailable while
    it is not known, or not yet provable, what happened.
    """
    if not request.subscription_id:
        only = await _only_subscription(provider, request.customer_id)
        if only is None:
            return Settlement(False, reason="subscription_unclear")
        request = replace(request, subscription_id=only.id)
    before = await provider.find_subscription(request.customer_id, request.subscription_id)
    if before is None:
        return Settlement(False, reason="subscription_not_found")
    may_be_done = was_tried or isinstance(request.change, Cancel)
    if provider.reads_back and may_be_done and is_in_place(request.change, before, now):
        return Settlement(True, confirmation="read_back", subscription=before)
    if is_withdrawn and (provider.reads_back or not was_tried):
        return Settlement(False, reason=WITHDRAWN)
    found = blockers(before) if provider.reads_back or not was_tried else ()
    if found:
        return Settlement(False, reason=found[0], can_retry=False)
    try:
        applied = await provider.apply(request)
    except ProviderRefused as refused:
        return Settlement(False, reason=refused.reason, message=refused.user_message)
    if not provider.reads_back:
        return Settlement(
            True,
            reference=applied.reference,
            confirmation=applied.confirmation,
            subscription=applied.subscription or before,
        )
    after = await provider.find_subscription(request.customer_id, request.subscription_id)
    if after is None or not is_in_place(request.change, after, now):
        raise ProviderUnavailable(NOT_VERIFIED)
    return Settlement(True, reference=applied.reference, confirmation="read_back", subscription=after)


def next_try(attempts: int, *, now: datetime, retry_after: float | None) -> datetime:
    """When to try again after `attempts` tries, not before the provider asked for."""
    wait = _BACKOFF_S[min(attempts, len(_BACKOFF_S)) - 1]
    return now + timedelta(seconds=max(wait, retry_after or 0))


async def _only_subscription(provider: BillingProvider, customer_id: str) -> DirectSubscription | None:
    """The customer's one running subscription; None where there is a choice to make that nobody has made."""
    live = [s for s in await provider.list_subscriptions(customer_id) if s.status.name != "canceled"]
    return live[0] if len(live) == 1 else None
