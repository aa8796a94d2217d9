"""The Data API, described for the published document."""

from collections.abc import Sequence
from typing import Any, Final

from app.accounts.service import Scope, ScopeMissing
from app.core.errors import InvalidInput
from app.core.session_record import ABANDON
from app.core.state import Outcome
from app.db.base import dump_json
from app.db.database import TookTooLong
from app.insights import api
from app.insights.aggregation import MAX_DIMENSIONS, MAX_ROWS, PRICE
from app.insights.dimensions import DIMENSIONS
from app.insights.filters import (
    DEFAULT_LIMIT,
    FORMATS,
    MAX_LIMIT,
    MAX_SKIP,
    MAX_VALUE,
    MEDIA_TYPES,
    OFFER_TYPES,
)
from app.insights.shapes import AggregationShape, RecordPage, UsageShape
from app.insights.telling import SESSION_COLUMNS, csv_lines, flat_session
from app.web.reference import ALWAYS, Operation, Parameter, Success, refusal

TAG: Final = "Data"
ABOUT: Final = (
    "What happened, for your own reports. It takes a *data key* (`data_…`, `test_data_…`) in `x-ck-api-key`: one "
    "that mints links is refused here, and a data key cannot mint. The key decides between live and test; `x-ck-app` "
    "may be either App ID of your organization.\n\n"
    "Every filter can be turned round by a hyphen before its name (`-canceled=true`), and given several times for any "
    "of several values. Bounced sessions are left out unless `bounced` is asked for."
)

_TEXT: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_VALUE,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
}
_FLAG: Final = {"type": "string", "enum": ["true", "false"]}
_WHOLE: Final = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_FILTERS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("sessionId", "One session.", _TEXT),
    ("customerId", "A customer's id.", _TEXT),
    ("customerEmail", "A customer's address, in any case. Needs the scope `sessions.read_pii`.", _TEXT),
    ("segmentId", "A segment.", _TEXT),
    ("abtest", "A test.", _TEXT),
    ("blueprintId", "A version of the flow.", _TEXT),
    ("outcome", "How it came out.", {"type": "string", "enum": [str(one) for one in Outcome]}),
    ("saveType", "What it was saved by.", {"type": "string", "enum": [*OFFER_TYPES, ABANDON]}),
    ("offerType", "The kind of the offer that was taken.", {"type": "string", "enum": [*OFFER_TYPES]}),
    ("response", "A reason, by its id or its label.", _TEXT),
    ("aborted", "Neither canceled nor an offer taken.", _FLAG),
    ("canceled", "Whether the subscription ends.", _FLAG),
    ("trial", "Whether it was a trial.", _FLAG),
    ("bounced", "Whether nothing was done on the first screen. Default: `false`.", _FLAG),
    ("planId", "A plan.", _TEXT),
    (
        "billingInterval",
        "How often it is billed.",
        {"type": "string", "enum": ["day", "week", "month", "year"]},
    ),
    ("couponId", "The coupon that was taken.", _TEXT),
    ("pauseDuration", "How long a pause was taken.", _WHOLE),
    ("sessionCurrency", "The subscription's currency.", {"type": "string", "pattern": "^[A-Za-z]{3}$"}),
    ("ageYears", "How many full years the subscription had run.", _WHOLE),
)


def _query(name: str, description: str, schema: dict[str, Any], example: Any = None) -> Parameter:
    return Parameter(name=name, place="query", description=description, schema=schema, example=example)


_DATE: Final = {"type": "string", "format": "date", "pattern": r"^(19[7-9]\d|[2-8]\d\d\d)-"}
_SPAN: Final = (
    _query(
        "startDate",
        "The first day, or an ISO 8601 date and time with offset: of when the session began.",
        _DATE,
        "2026-11-01",
    ),
    _query("endDate", "The last day, or moment; it is included.", _DATE, "2026-11-30"),
)
_ZONE: Final = _query(
    "timeZone",
    "In which days begin and end, by its IANA name. Default: UTC.",
    {"type": "string", "format": "time-zone", "minLength": 3, "maxLength": 64},
    "Europe/Berlin",
)
_FORMAT: Final = _query(
    "format",
    "How to answer. Without it the `Accept` header decides (`text/csv`, `application/x-ndjson`), else it is JSON.",
    {"type": "string", "enum": [*FORMATS]},
)
_SELECTION: Final = (
    *_SPAN,
    _ZONE,
    *(_query(name, description, schema) for name, description, schema in _FILTERS),
    _FORMAT,
)
_REFUSALS: Final = (
    *ALWAYS,
    refusal(ScopeMissing, "The key has not the scope that this needs; `detail` names it."),
    refusal(InvalidInput, "A parameter is unknown, or its value is not valid; `errors` names each."),
    refusal(TookTooLong, "It would have taken longer than 30 seconds: ask for a shorter span, or for less."),
)
_EXAMPLE: Final[dict[str, Any]] = {
    "_id": "cs_5d1c0f3a9e7b42d68c15f0aa",
    "org": "org_1b0f6f1e2d3c4b5a69788796",
    "mode": "LIVE",
    "provider": "stripe",
    "blueprintId": "fv_0a1b2c3d4e5f60718293a4b5",
    "flowVersion": 3,
    "segmentId": None,
    "abtest": None,
    "surveyId": "why",
    "surveyChoiceId": "too-expensive",
    "surveyChoiceValue": "It is too expensive",
    "followupQuestion": "What would help?",
    "followupOptionId": "lower-price",
    "followupResponse": "A lower price",
    "feedback": None,
    "outcome": "discount_accepted",
    "aborted": False,
    "canceled": False,
    "saveType": "DISCOUNT",
    "bounced": False,
    "usedClickToCancel": False,
    "clickToCancelEnabled": True,
    "exitPolicy": "always",
    "region": {"country": "DE"},
    "entry": "link",
    "locale": "en",
    "lang": "en",
    "billingKnown": True,
    "manualReasons": [],
    "discountCooldown": 90,
    "discountCooldownApplied": False,
    "pauseCooldown": None,
    "pauseCooldownApplied": False,
    "customer": {
        "id": "cus_R4nd0m",
        "email": None,
        "subscriptionId": "sub_R4nd0m",
        "subscriptionStatus": "active",
        "subscriptionStart": "2025-04-01T09:00:00Z",
        "subscriptionPeriodStart": "2026-11-01T09:00:00Z",
        "subscriptionPeriodEnd": "2026-12-01T09:00:00Z",
        "planId": "price_pro_monthly",
        "planPrice": 1900,
        "subscriptionPrice": 1900,
        "currency": "EUR",
        "itemQuantity": 1,
        "billingInterval": "month",
        "billingIntervalCount": 1,
        "onTrial": False,
        "trialStart": None,
        "trialEnd": None,
        "paused": False,
        "pauseEnd": None,
        "subscriptionDiscount": None,
        "latestDiscountExpiration": None,
        "metadata": {},
        "customAttributes": {},
    },
    "stepsViewed": [
        {
            "stepType": "SURVEY",
            "customStepType": None,
            "guid": "why",
            "numChoices": 7,
            "start": "2026-11-20T10:00:00Z",
            "end": "2026-11-20T10:00:21Z",
            "duration": 21000,
        }
    ],
    "presentedOffers": [
        {
            "guid": "half-price",
            "decisionId": "dec_8f14e45fceea167a5a36dedd",
            "placement": "why.offer:too-expensive",
            "offerType": "DISCOUNT",
            "status": "applied",
            "accepted": True,
            "surveyOffer": True,
            "presentedAt": "2026-11-20T10:00:21Z",
            "acceptedAt": "2026-11-20T10:00:40Z",
            "declinedAt": None,
            "discountConfig": {
                "couponId": "HALF3",
                "couponType": "PERCENT",
                "couponAmount": 50,
                "couponDuration": 3,
            },
        }
    ],
    "acceptedOffer": {
        "guid": "half-price",
        "decisionId": "dec_8f14e45fceea167a5a36dedd",
        "offerType": "DISCOUNT",
        "status": "applied",
        "couponId": "HALF3",
        "couponType": "PERCENT",
        "couponAmount": 50,
        "couponDuration": 3,
        "pauseDuration": None,
        "pauseInterval": None,
        "pauseEnd": None,
        "newPlanId": None,
        "newPlanPrice": None,
        "trialExtensionDays": None,
        "redirectUrl": None,
    },
    "effects": [
        {
            "id": "eff_c9f0f895fb98ab9159f51fd0",
            "type": "discount",
            "status": "applied",
            "decisionId": "dec_8f14e45fceea167a5a36dedd",
            "reason": None,
            "reference": "di_R4nd0m",
            "requestedAt": "2026-11-20T10:00:40Z",
            "appliedAt": "2026-11-20T10:00:41Z",
        }
    ],
    "rules": [
        {
            "at": "why.offer:too-expensive",
            "offer": "half-price",
            "verdict": None,
            "shown": True,
            "blockers": [],
        }
    ],
    "createdAt": "2026-11-20T10:00:00Z",
    "closedAt": "2026-11-20T10:00:41Z",
    "updatedAt": "2026-11-20T10:00:41Z",
}
_COUNTED: Final[list[dict[str, Any]]] = [
    {"month": "2026-10", "canceled": False, "count": 63},
    {"month": "2026-10", "canceled": True, "count": 41},
    {"month": "2026-11", "canceled": False, "count": 58},
    {"month": "2026-11", "canceled": True, "count": 0},
]
_USED: Final[dict[str, Any]] = {
    "day": "2026-11-20",
    "keyId": "key_5d1c0f3a9e7b42d68c15f0aa",
    "endpoint": "sessions",
    "requests": 12,
    "rows": 1200,
}


def _as_lines(
    rows: Sequence[dict[str, Any]], names: Sequence[str], cells: Sequence[Sequence[Any]]
) -> dict[str, str]:
    """The same answer in the other formats."""
    return {
        MEDIA_TYPES["csv"]: csv_lines([names, *cells]),
        MEDIA_TYPES["ndjson"]: "".join(f"{dump_json(row)}\n" for row in rows),
    }


OPERATIONS: Final = (
    Operation(
        method="get",
        path=f"{api.PREFIX}/sessions",
        id="listSessions",
        tag=TAG,
        summary="List sessions",
        description=(
            "Records of closed sessions, newest first. A session has its record from the moment it closes (one that is "
            "left alone for an hour closes by itself, as *dismissed*), and a new one when something changes later.\n\n"
            f"Needs the scope `{Scope.SESSIONS}`; personal data comes with `{Scope.SESSIONS_PII}` alone."
        ),
        parameters=(
            *_SELECTION,
            _query(
                "limit",
                "How many at most. A long answer is sent while it is read.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                DEFAULT_LIMIT,
            ),
            _query(
                "skip",
                "How many to pass over. For more, and for speed, use `cursor`.",
                {"type": "integer", "minimum": 0, "maximum": MAX_SKIP, "default": 0},
            ),
            _query(
                "cursor",
                "Where to go on: the `nextCursor` of the answer before, which is its last `_id`.",
                {"type": "string", "minLength": 1, "maxLength": 100, "pattern": r"^[\x20-\x7e]+$"},
            ),
        ),
        success=Success(
            status=200,
            description="Records.",
            model=RecordPage,
            example={"data": [_EXAMPLE], "nextCursor": None},
            also=_as_lines([_EXAMPLE], SESSION_COLUMNS, [flat_session(_EXAMPLE)]),
        ),
        refusals=_REFUSALS,
    ),
    Operation(
        method="get",
        path=f"{api.PREFIX}/session-aggregation",
        id="aggregateSessions",
        tag=TAG,
        summary="Count sessions",
        description=(
            "How many sessions there were, by up to four dimensions. By `day`, `week` or `month` it is a time series "
            "without gaps: from `startDate` to `endDate`, else from the first session to the last.\n\n"
            f"Needs the scope `{Scope.SESSIONS}`."
        ),
        parameters=(
            _query(
                "breakdown",
                f"At most {MAX_DIMENSIONS} dimensions, joined by hyphens: {', '.join(DIMENSIONS)}. Weeks begin on "
                f"Monday. More than {MAX_ROWS} rows are refused.",
                {"type": "string", "enum": ["saveType", "month-canceled", "day", "response-offerType"]},
                "month-canceled",
            ),
            _query(
                "sum",
                "Also add up what the subscriptions cost, which counts by `sessionCurrency` as well.",
                {"type": "string", "enum": [PRICE]},
            ),
            *_SELECTION,
        ),
        success=Success(
            status=200,
            description="The rows: in the order of time, then the largest count first.",
            model=AggregationShape,
            example={"data": _COUNTED},
            also=_as_lines(_COUNTED, tuple(_COUNTED[0]), [tuple(row.values()) for row in _COUNTED]),
        ),
        refusals=_REFUSALS,
    ),
    Operation(
        method="get",
        path=f"{api.PREFIX}/api-usage",
        id="readApiUsage",
        tag=TAG,
        summary="Read how much was asked",
        description=(
            "How often each data key of the environment asked, and how many rows it was answered: by day (UTC), the "
            f"last thirty unless asked otherwise. Needs the scope `{Scope.USAGE}`."
        ),
        parameters=(*_SPAN, _FORMAT),
        success=Success(
            status=200,
            description="The rows, oldest first.",
            model=UsageShape,
            example={"data": [_USED]},
            also=_as_lines([_USED], tuple(_USED), [tuple(_USED.values())]),
        ),
        refusals=_REFUSALS,
    ),
)
