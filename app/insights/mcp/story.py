"""A session's record as a story in a few lines, and as the short row of a list. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

LIST_FIELDS: Final = (
    *("_id", "createdAt", "mode", "outcome", "saveType", "canceled", "bounced"),
    *("surveyChoiceValue", "followupResponse", "feedback", "usedClickToCancel", "flowVersion"),
)
LIST_CUSTOMER: Final = ("id", "email", "planId", "subscriptionPrice", "currency", "billingInterval")
MOST_TEXT: Final = 400  # of each free text in a list


def summary(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a list says of one session."""
    customer, accepted = told["customer"], told["acceptedOffer"] or {}
    return {
        **{name: _short(told.get(name)) for name in LIST_FIELDS},
        "customer": {name: customer.get(name) for name in LIST_CUSTOMER},
        "acceptedOffer": accepted.get("offerType"),
    }


def story(told: Mapping[str, Any]) -> list[str]:
    """What happened, in order. Repeats nothing that the record does not say."""
    return list(_lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['createdAt']}: began ({told['entry']}), flow version {told['flowVersion']}."
    if not told.get("billingKnown", True):
        yield "Billing could not be asked, so no offers were made."
    for step in told["stepsViewed"]:
        took = step["duration"]
        seconds = f" for {took / 1000:.0f} s" if took is not None else ""
        yield f"{step['start']}: saw {step['stepType'].lower()} “{step['guid']}”{seconds}."
    if told["surveyChoiceValue"]:
        yield f"Reason: {told['surveyChoiceValue']}."
    if told["followupResponse"]:
        yield f"{told['followupQuestion']} — {told['followupResponse']}"
    if told["feedback"]:
        yield f"Feedback: {told['feedback']}"
    for offer in told["presentedOffers"]:
        yield f"{offer['presentedAt']}: was offered {offer['offerType']} “{offer['guid']}”: {offer['status']}."
    for reason in told["manualReasons"]:
        yield f"A person has to carry it out: {reason}."
    for effect in told["effects"]:
        yield f"Change at the billing system: {effect['type']}, {effect['status']}."
    if told["usedClickToCancel"]:
        yield "Left by “Cancel now”."
    yield f"{told['closedAt']}: ended as {told['outcome']}."


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"{value[: MOST_TEXT - 1].rstrip()}…"
    return value
