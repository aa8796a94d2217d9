"""What stays of a session when its customer is forgotten: that there was one, what it came to, and when. Pure.

Two measures. A person who asks to be forgotten takes every answer along. When time alone has passed, the reason that
was picked from a list stays: it says nothing of anybody, and merchants count it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from app.core.calendar import iso
from app.core.request_reasons import own_reasons
from app.core.state import SessionState

# The customer's id where a row has to have one. No customer has it: links, billing systems and the customer data
# endpoint have to name one by at least one character.
NOBODY: Final = ""
_SAID: Final = (
    *("surveyId", "surveyChoiceId", "surveyChoiceValue"),
    *("followupQuestion", "followupOptionId", "followupResponse"),
)
_PICKED: Final = frozenset({"surveyId", "surveyChoiceId", "surveyChoiceValue"})
# Whatever else a record comes to tell goes, unless it is named here.
_STAYS: Final = frozenset(
    {"_id", "org", "mode", "provider", "blueprintId", "flowVersion", "segmentId", "abtest"}
    | {"outcome", "aborted", "canceled", "saveType", "bounced", "entry", "locale", "lang", "billingKnown"}
    | {"usedClickToCancel", "clickToCancelEnabled", "exitPolicy", "stepsViewed"}
    | {"discountCooldown", "discountCooldownApplied", "pauseCooldown", "pauseCooldownApplied"}
    | {"createdAt", "closedAt"}
)
_PLAN: Final = frozenset(
    {"planId", "planPrice", "currency", "billingInterval", "billingIntervalCount", "onTrial"}
)
_FREE: Final = frozenset({"metadata", "customAttributes"})  # objects, of whatever the merchant has
_OFFER: Final = frozenset(
    {"guid", "decisionId", "placement", "offerType", "status", "accepted", "surveyOffer"}
    | {"presentedAt", "acceptedAt", "declinedAt"}
)
_TAKEN: Final = frozenset(
    {"guid", "decisionId", "offerType", "status"}
    | {"couponId", "pauseDuration", "pauseInterval", "newPlanId"}
)
_EFFECT: Final = frozenset({"id", "type", "status", "decisionId", "requestedAt", "appliedAt"})


def erased_state(stored: Mapping[str, Any], *, keeps_reason: bool) -> dict[str, Any]:
    """The state of a finished walk without what was said, shown and asked for. Readable as any other.

    That a person was needed stays, and why where that is a reason of ours: a refusal is told in the billing system's
    words, and these may name anybody.
    """
    state = SessionState.model_validate(stored)
    answers = {
        step: answer.model_copy(update={"follow_up": None, "text": None})
        for step, answer in state.answers.items()
        if keeps_reason and answer.reason and not answer.is_skipped
    }
    bare = state.model_copy(
        update={
            "answers": answers,
            "offers": (),
            "pending": None,
            "withdrawn": (),
            "trouble": None,
            "subscription_id": None,
            "manual_reasons": own_reasons(state.manual_reasons),
            "views": (),
        }
    )
    kept = bare.to_json()
    kept.pop("views", None)
    return kept


def erased_record(told: Mapping[str, Any], *, keeps_reason: bool, now: datetime) -> dict[str, Any]:
    """The record with every name in its place, and null where something was of the customer's own."""
    kept = _PICKED if keeps_reason else frozenset[str]()
    accepted = told.get("acceptedOffer")
    return {
        **{name: value if name in _STAYS else None for name, value in told.items()},
        **{name: told.get(name) if name in kept else None for name in _SAID},
        "region": {"country": None},
        "manualReasons": [],
        "customer": {
            name: value if name in _PLAN else ({} if name in _FREE else None)
            for name, value in told["customer"].items()
        },
        "presentedOffers": [_only(offer, _OFFER) for offer in told["presentedOffers"]],
        "acceptedOffer": _only(accepted, _TAKEN) if accepted else None,
        "effects": [
            {name: value if name in _EFFECT else None for name, value in effect.items()}
            for effect in told["effects"]
        ],
        "rules": [],
        "erasedAt": iso(now),
        "updatedAt": iso(now),
    }


def erased_columns(*, keeps_reason: bool) -> dict[str, Any]:
    """What the columns beside the record are set to."""
    said = {} if keeps_reason else {"reason_id": None, "response": None}
    return {"customer_id": None, "customer_email": None, **said}


def _only(offer: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value if name in names else None for name, value in offer.items()}
