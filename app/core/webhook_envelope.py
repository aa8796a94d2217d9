"""The envelope of Churnkey's webhook, `{event: "session", data: {customer, session}}`, for programs that know it. Pure.

`session` is the record that the Data API tells (app/core/session_record.py), with two names that only webhooks have.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from app.core.calendar import iso

_RESULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "canceled": "cancel",
        "manual_cancellation_requested": "cancel",
        "cancel_already_scheduled": "cancel",
        "discount_accepted": "discount",
        "pause_accepted": "pause",
        "plan_switched": "plan_change",
        "trial_extended": "trial_extension",
        "support_requested": "contact",
        "redirected": "redirect",
    }
)
_ABORT: Final = "abort"


def envelope(record: Mapping[str, Any]) -> dict[str, Any]:
    """A session that has come to an end, as its record has it when this is sent."""
    more = {
        "result": _RESULTS.get(record.get("outcome") or "", _ABORT),
        "surveyResponse": record.get("surveyChoiceValue"),
    }
    return {"event": "session", "data": {"customer": record.get("customer"), "session": {**record, **more}}}


def forgotten(*, session_id: str, mode: str, outcome: str | None, at: datetime) -> dict[str, Any]:
    """What is left to say of a session whose record has been erased meanwhile: that it was, and what came out."""
    stamp = iso(at)
    return envelope(
        {
            "_id": session_id,
            "mode": mode.upper(),
            "outcome": outcome,
            "customer": None,
            "createdAt": stamp,
            "updatedAt": stamp,
        }
    )


def example_envelope(*, mode: str, at: datetime) -> dict[str, Any]:
    """One that tells of nobody, to try an endpoint with; `test` marks it."""
    return envelope(
        {
            "_id": "cs_test",
            "test": True,
            "mode": mode.upper(),
            "outcome": "dismissed",
            "saveType": "ABANDON",
            "canceled": False,
            "aborted": True,
            "surveyChoiceId": None,
            "surveyChoiceValue": None,
            "feedback": None,
            "presentedOffers": [],
            "acceptedOffer": None,
            "customer": {"id": "cus_test", "email": "test@example.com", "subscriptionId": None},
            "createdAt": iso(at),
            "updatedAt": iso(at),
        }
    )
