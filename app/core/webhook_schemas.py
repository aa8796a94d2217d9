"""The published JSON Schemas of what webhooks say, one for each type. Strict: what is not in them is not sent."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from app.core.billing import Change
from app.core.direct import DirectCustomer, DirectSubscription, Obstacle
from app.core.events import ENDING_EVENTS, LINK_EVENTS, OFFER_EVENTS, EventType
from app.core.flow import OfferKind
from app.core.state import Outcome

SCHEMA_ID: Final = "urn:leavewell:webhooks:1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = 1

# What has happened, in a sentence.
ABOUT: Final[Mapping[EventType, str]] = MappingProxyType(
    {
        EventType.CANCEL_LINK_CREATED: "A cancel link was made.",
        EventType.CANCEL_LINK_EXCHANGED: "A browser opened a cancel link, which began the session `sessionId`.",
        EventType.CANCEL_LINK_CONSUMED: "A cancel link cannot be used any more, because it was opened once.",
        EventType.CANCEL_LINK_REVOKED: "A cancel link was revoked.",
        EventType.SESSION_STARTED: "A customer is on the first screen. What billing knew of them at that moment.",
        EventType.OFFER_PRESENTED: "A customer was shown an offer.",
        EventType.OFFER_ACCEPTED: "A customer took an offer; `effect.applied` tells when it has been carried out.",
        EventType.OFFER_DECLINED: "A customer went on without an offer.",
        EventType.SESSION_COMPLETED: "A session is over, by a decision or because it was left alone for an hour "
        "(`dismissed`). One that is taken up again within a day ends again: the higher `sequence` is the later.",
        EventType.EFFECT_APPLIED: "A change was made at the billing system, and proven.",
        EventType.EFFECT_FAILED: "A change was given up, or refused by the billing system.",
        EventType.CANCELLATION_REQUESTED: "A customer has confirmed that they leave. It is being carried out.",
        EventType.CANCELLATION_CONFIRMED: "The cancellation stands at the billing system.",
        EventType.CANCELLATION_MANUAL_REQUIRED: "Somebody wants to leave, and a person of yours has to see to it.",
        EventType.WEBHOOK_TEST: "Nothing has happened: somebody tries this endpoint.",
    }
)


def _text(about: str) -> dict[str, Any]:
    return {"type": "string", "description": about}


def _maybe(about: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "description": about}


def _moment(about: str, *, is_optional: bool = False) -> dict[str, Any]:
    return {
        "type": ["string", "null"] if is_optional else "string",
        "format": "date-time",
        "description": about,
    }


def _yes(about: str) -> dict[str, Any]:
    return {"type": "boolean", "description": about}


def _or_null(name: str, about: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}], "description": about}


_LINK: Final = {
    "linkId": _text("The link, `lnk_…`."),
    "customerId": _text("Whose it is."),
    "subscriptionId": _maybe("The subscription that it was made for."),
    "singleUse": _yes("Whether the first browser uses it up."),
    "expiresAt": _moment("When it ends."),
    "sessionId": _maybe("The session that it began."),
}
_STARTED: Final = {
    "sessionId": _text("The session, `cs_…`."),
    "customerId": _text("Who came."),
    "flowVersion": _text("The published version of the flow that they walk through."),
    "customer": _or_null("RecordedCustomer", "What billing knows of them, without name and phone."),
    "subscriptions": {
        "type": "array",
        "items": {"$ref": "#/$defs/RecordedSubscription"},
        "description": "Theirs, as they were.",
    },
}
_OFFER: Final = {
    "decisionId": _text("This offer, to this customer: `dec_…`."),
    "offerId": _text("The offer in the flow."),
    "kind": {"enum": [str(kind) for kind in OfferKind], "description": "What it offers."},
    "placement": _text("Where in the flow it was shown."),
    "optionId": _maybe("Which of its ways was taken."),
}
_EFFECT: Final = {
    "effectId": _text("The change, `eff_…`: its idempotency key at the billing system."),
    "change": _or_null("Change", "What was to be changed."),
    "reference": _maybe("The billing system's own id for it."),
    "reason": _maybe("Why it was not made."),
}
_ENDING: Final = {
    "outcome": {"enum": [str(outcome) for outcome in Outcome], "description": "What came out."},
    "subscriptionId": _maybe("Which subscription it is about."),
    "reason": _maybe("The id of the reason that was given last."),
    "followUp": _maybe("What was answered to its question."),
    "feedback": _maybe("What was written at the end."),
    "usedExit": _yes("Whether *Cancel now* was pressed."),
}
_ENDS_AT: Final = {
    "endsAt": _moment("When the subscription ends; null where that is not known.", is_optional=True)
}
_MANUAL: Final = {
    "blockers": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Why a person has to do it.",
    }
}
# Of a request that somebody left who was in no session.
_UNVERIFIED: Final = {
    "customerId": _maybe("Always null: nobody knows who it is."),
    "requestId": _text("The request, `req_…`."),
    "reference": _text("What they were told to name."),
    "email": _text("An address as it was typed, proven by nobody."),
    "note": _maybe("What they wrote."),
}
_TEST: Final = {
    "endpointId": _text("The endpoint that is tried, `whk_…`."),
    "message": _text("That this is a test."),
}


def data_schema(type: EventType) -> dict[str, Any]:
    """The shape of `data`; references lead to `#/$defs/…`, which `definitions` has."""
    if type in LINK_EVENTS:
        return _object(_LINK)
    if type in OFFER_EVENTS:
        return _object(_OFFER)
    if type in (EventType.EFFECT_APPLIED, EventType.EFFECT_FAILED):
        return _object(_EFFECT)
    if type is EventType.CANCELLATION_MANUAL_REQUIRED:
        return _object({**_ENDING, **_MANUAL}, optional=_UNVERIFIED)
    if type in (EventType.CANCELLATION_REQUESTED, EventType.CANCELLATION_CONFIRMED):
        return _object({**_ENDING, **_ENDS_AT})
    if type in ENDING_EVENTS:
        return _object(_ENDING)
    return _object(_STARTED if type is EventType.SESSION_STARTED else _TEST)


def body_schema(type: EventType) -> dict[str, Any]:
    """The shape of a whole message of that type."""
    schema = _object(
        {
            "id": _text("The event, `evt_…`: the same in `webhook-id`, and at each try."),
            "type": {"const": str(type)},
            "timestamp": _moment("When it happened; `webhook-timestamp` is when it was sent."),
            "version": {
                "const": VERSION,
                "description": "Of these shapes. Fields may be added to a version.",
            },
            "appId": _text("The environment's App ID."),
            "mode": {"enum": ["live", "test"], "description": "The environment's."},
            "sessionId": _maybe("The session that it belongs to."),
            "sequence": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "Its place in the session, from 1 without gaps. They may arrive in another order.",
            },
            "data": data_schema(type),
        }
    )
    return {"title": str(type), "description": ABOUT[type], **schema}


@cache
def definitions() -> dict[str, Any]:
    """The shapes of billing that events refer to, by name. Shared: not to be changed."""
    found: dict[str, Any] = {}
    models: dict[str, TypeAdapter[Any]] = {
        "RecordedCustomer": TypeAdapter(DirectCustomer),
        "RecordedSubscription": TypeAdapter(DirectSubscription),
        "Change": TypeAdapter(Change),
    }
    for name, model in models.items():
        schema = model.json_schema(by_alias=True, ref_template="#/$defs/{model}")
        found |= schema.pop("$defs", {})
        found[name] = schema
    customer, subscription = deepcopy(found["RecordedCustomer"]), deepcopy(found["RecordedSubscription"])
    for private in ("name", "lastName", "phone"):
        del customer["properties"][private]
    subscription["properties"]["obstacles"] = {
        "type": "array",
        "items": {"enum": [str(one) for one in Obstacle]},
        "description": "Why it is changed by nobody but a person.",
    }
    return {**found, "RecordedCustomer": customer, "RecordedSubscription": subscription}


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of every message, whichever its type. Shared: not to be changed."""
    bodies = {str(type): body_schema(type) for type in EventType}
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        "title": "Leavewell webhooks",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in bodies],
        "$defs": {**bodies, **definitions()},
    }


def _object(properties: Mapping[str, Any], *, optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }
