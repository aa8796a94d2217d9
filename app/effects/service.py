"""Carries out one change at a provider and finds out what became of it. Writes no row and knows no session: the
caller has committed the effect before it comes here, and commits what it is told afterwards."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from app.core.billing import (
    BillingProvider,
    Cancel,
    ChangeRequest,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    Uncancel,
    is_in_place,
)
from app.core.direct import DirectSubscription

NOT_VERIFIED: Final = "The provider took the change, and does not show it."
GIVE_UP_AFTER: Final = timedelta(hours=72)
LONGEST_WAIT_S: Final = 3_600.0
# What a provider has just taken, another of its machines may show a moment later.
LOOKS_AGAIN_AFTER_S: Final = (0.2, 0.5, 1.0)
_WAITS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 900, 1_800)
_STATES: Final = (Cancel, Uncancel, Resume)

Check = Callable[[DirectSubscription], Sequence[str]]
Claim = Callable[[str], Awaitable[str | None]]
Look = Callable[[], Awaitable[DirectSubscription | None]]


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
    was_sent: bool,
    was_taken: bool = False,
    blockers: Check,
    claim: Claim,
    now: datetime,
    looks_again_after_s: Sequence[float] = LOOKS_AGAIN_AFTER_S,
) -> Settlement:
    """Try the change once, and prove it.

    `was_sent`: an earlier try may have got through, so the provider's state is read before anything is sent again;
    `was_taken`: the provider has even said that it did, and it did not show.
    `claim` is awaited with the subscription's id before anything is sent: when it returns None it has been written
    down that the change may have happened from here on, else it returns why it must not be sent. `blockers`, asked
    last, names what has come to stand against the change since it was offered. What was sent and does not show at once
    is looked for again, after each of `looks_again_after_s`. Raises ProviderUnavailable while it is not known, or not
    yet provable, what happened; its reason is NOT_VERIFIED where the provider took the change and does not show it.
    """
    if not request.subscription_id:
        only = await _only_subscription(provider, request.customer_id)
        if only is None:
            return Settlement(False, reason="subscription_unclear")
        request = replace(request, subscription_id=only.id)
    # These ask for a state. Where it is there already, whoever brought it about, nothing is left to do.
    may_be_done = provider.reads_back and (was_sent or isinstance(request.change, _STATES))
    before = await provider.find_subscription(request.customer_id, request.subscription_id)
    if provider.reads_back and before is None:
        return Settlement(False, reason="subscription_not_found")
    if may_be_done and before is not None and is_in_place(request.change, before, now):
        return Settlement(True, confirmation="read_back", subscription=before)
    if (refused := await claim(request.subscription_id)) is not None:
        return Settlement(False, reason=refused)
    # Without reading back, only asking again tells what became of a change that may have been sent.
    is_open_question = was_sent and not provider.reads_back
    if before is not None and not is_open_question and (found := blockers(before)):
        return Settlement(False, reason=found[0])
    look = partial(_look_for, provider, request, now, looks_again_after_s)
    return await _send(provider, request, before, look, may_be_done=may_be_done, was_taken=was_taken)


async def _send(
    provider: BillingProvider,
    request: ChangeRequest,
    before: DirectSubscription | None,
    look: Look,
    *,
    may_be_done: bool,
    was_taken: bool,
) -> Settlement:
    try:
        applied = await provider.apply(request)
    except ProviderRefused as refused:
        # It may refuse to do twice what an earlier try has brought about, unseen when it was looked for before.
        if may_be_done and (after := await look()) is not None:
            return Settlement(True, confirmation="read_back", subscription=after)
        if was_taken:
            raise ProviderUnavailable(NOT_VERIFIED) from None
        # Asking once more costs nothing and may help where a person has mended something meanwhile.
        return Settlement(False, reason=refused.reason, message=refused.user_message, can_retry=True)
    if not provider.reads_back:
        return Settlement(
            True,
            reference=applied.reference,
            confirmation=applied.confirmation,
            subscription=applied.subscription or before,
        )
    if (after := await look()) is None:
        raise ProviderUnavailable(NOT_VERIFIED)
    return Settlement(True, reference=applied.reference, confirmation="read_back", subscription=after)


async def _look_for(
    provider: BillingProvider, request: ChangeRequest, now: datetime, again_after_s: Sequence[float]
) -> DirectSubscription | None:
    """The subscription, once the change shows in it; None if it does not."""
    for wait in (0.0, *again_after_s):
        await asyncio.sleep(wait)
        found = await provider.find_subscription(request.customer_id, request.subscription_id)
        if found is not None and is_in_place(request.change, found, now):
            return found
    return None


def wait_s(tries: int, *, retry_after: float | None = None) -> float:
    """How long to wait after that many tries: not less than the provider asked for, and never more than an hour."""
    wait = _WAITS_S[min(max(tries, 1), len(_WAITS_S)) - 1]
    return min(max(float(wait), retry_after or 0.0), LONGEST_WAIT_S)


async def _only_subscription(provider: BillingProvider, customer_id: str) -> DirectSubscription | None:
    """The customer's one running subscription; None where there is a choice to make that nobody has made."""
    live = [s for s in await provider.list_subscriptions(customer_id) if s.status.name != "canceled"]
    return live[0] if len(live) == 1 else None
