"""What merchants are told: the types of events and the shape of each one's data, for records and webhooks alike.

Written in the transaction of the change; sending is another room's. A customer's name and phone are in none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.core.billing import Change, dump_change
from app.core.calendar import iso
from app.core.direct import DirectCustomer, DirectSubscription


class EventType(StrEnum):
    """Every type, in the past tense: a thing that has happened."""

    CANCEL_LINK_CREATED = "cancel_link.created"
    CANCEL_LINK_EXCHANGED = "cancel_link.exchanged"
    CANCEL_LINK_CONSUMED = "cancel_link.consumed"
    CANCEL_LINK_REVOKED = "cancel_link.revoked"
    SESSION_STARTED = "session.started"
    OFFER_PRESENTED = "session.offer_presented"
    OFFER_ACCEPTED = "session.offer_accepted"
    OFFER_DECLINED = "session.offer_declined"
    SESSION_COMPLETED = "session.completed"
    EFFECT_APPLIED = "effect.applied"
    EFFECT_FAILED = "effect.failed"
    CANCELLATION_REQUESTED = "cancellation.requested"
    CANCELLATION_CONFIRMED = "cancellation.confirmed"
    CANCELLATION_MANUAL_REQUIRED = "cancellation.manual_required"
    WEBHOOK_TEST = "webhook.test"  # nothing has happened: somebody tries an endpoint


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` is plain JSON, camelCase, nothing absent: what is not known is null."""

    type: EventType
    data: dict[str, Any]


LINK_EVENTS = frozenset(
    {
        EventType.CANCEL_LINK_CREATED,
        EventType.CANCEL_LINK_EXCHANGED,
        EventType.CANCEL_LINK_CONSUMED,
        EventType.CANCEL_LINK_REVOKED,
    }
)
OFFER_EVENTS = frozenset({EventType.OFFER_PRESENTED, EventType.OFFER_ACCEPTED, EventType.OFFER_DECLINED})
ENDING_EVENTS = frozenset(
    {
        EventType.SESSION_COMPLETED,
        EventType.CANCELLATION_REQUESTED,
        EventType.CANCELLATION_CONFIRMED,
        EventType.CANCELLATION_MANUAL_REQUIRED,
    }
)


def link_event(
    type: EventType,
    *,
    link_id: str,
    customer_id: str,
    subscription_id: str | None,
    is_single_use: bool,
    expires_at: datetime,
    session_id: str | None = None,
) -> Event:
    """`cancel_link.*`: which link, for whom; `session_id` is the session that an exchange opened. Never the token."""
    if type not in LINK_EVENTS:
        raise ValueError(f"{type} is not about a link")
    return Event(
        type,
        {
            "linkId": link_id,
            "customerId": customer_id,
            "subscriptionId": subscription_id,
            "singleUse": is_single_use,
            "expiresAt": iso(expires_at),
            "sessionId": session_id,
        },
    )


def session_started(
    *,
    session_id: str,
    customer_id: str,
    flow_version_id: str,
    customer: DirectCustomer | None = None,
    subscriptions: Sequence[DirectSubscription] = (),
) -> Event:
    """`session.started`: who came, and what is known of his billing at that moment."""
    return Event(
        EventType.SESSION_STARTED,
        {
            "sessionId": session_id,
            "customerId": customer_id,
            "flowVersion": flow_version_id,
            "customer": customer.to_record() if customer else None,
            "subscriptions": [subscription.to_wire() for subscription in subscriptions],
        },
    )


def offer_event(
    type: EventType,
    *,
    decision_id: str,
    offer_id: str,
    kind: str,
    placement: str,
    option_id: str | None = None,
) -> Event:
    """`session.offer_*`: which offer, where it was shown, and, once accepted, which of its options was taken."""
    if type not in OFFER_EVENTS:
        raise ValueError(f"{type} is not about an offer")
    return Event(
        type,
        {
            "decisionId": decision_id,
            "offerId": offer_id,
            "kind": kind,
            "placement": placement,
            "optionId": option_id,
        },
    )


def effect_event(
    *,
    effect_id: str,
    is_applied: bool,
    change: Change | None = None,
    reference: str | None = None,
    reason: str | None = None,
) -> Event:
    """`effect.applied` with the provider's reference, or `effect.failed` with the reason."""
    return Event(
        EventType.EFFECT_APPLIED if is_applied else EventType.EFFECT_FAILED,
        {
            "effectId": effect_id,
            "change": dump_change(change) if change else None,
            "reference": reference,
            "reason": reason,
        },
    )


def ending_event(
    type: EventType,
    *,
    outcome: str,
    subscription_id: str | None,
    reason: str | None,
    follow_up: str | None,
    feedback: str | None,
    used_exit: bool,
    more: Mapping[str, Any] | None = None,
) -> Event:
    """`session.completed` and `cancellation.*`: how it came out and what the customer said.

    `more` are facts of one type only: `blockers` for `cancellation.manual_required`, `endsAt` for the others.
    """
    if type not in ENDING_EVENTS:
        raise ValueError(f"{type} does not end a session")
    return Event(
        type,
        {
            "outcome": outcome,
            "subscriptionId": subscription_id,
            "reason": reason,
            "followUp": follow_up,
            "feedback": feedback,
            "usedExit": used_exit,
            **(more or {}),
        },
    )


def webhook_test(*, endpoint_id: str) -> Event:
    """`webhook.test`: goes to one endpoint, because somebody wants to see whether it arrives."""
    return Event(EventType.WEBHOOK_TEST, {"endpointId": endpoint_id, "message": "This is a test."})


def unverified_request(
    *, request_id: str, reference: str, email: str, note: str | None, blockers: Sequence[str]
) -> Event:
    """`cancellation.manual_required` of somebody who was in no session: an address as it was typed, proven by nobody.

    It has all that `ending_event` gives this type, empty, so that who reads one reads both.
    """
    ended = ending_event(
        EventType.CANCELLATION_MANUAL_REQUIRED,
        outcome="manual_cancellation_requested",
        subscription_id=None,
        reason=None,
        follow_up=None,
        feedback=None,
        used_exit=False,
    )
    wish = {
        "blockers": list(blockers),
        "customerId": None,
        "requestId": request_id,
        "reference": reference,
        "email": email,
        "note": note,
    }
    return Event(ended.type, {**ended.data, **wish})
