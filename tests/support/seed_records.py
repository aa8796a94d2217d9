"""Believable records of closed sessions: a shop that grows, with its hours, reasons, offers and currencies."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.core.calendar import iso
from app.core.session_record import ABANDON
from app.db.base import dump_json
from app.db.tables.accounts import Environment

PEOPLE: Final = 2_000_000
Who = Callable[[random.Random, int], int]  # by chance, or by the session's number
STEPS: Final = {"SURVEY": "why", "OFFER": "why.offer", "FREEFORM": "anything-else", "CONFIRM": "confirm"}

PLANS: Final = (
    ("price_lite_monthly", 900, "month", 40),
    ("price_pro_monthly", 1900, "month", 35),
    ("price_team_monthly", 4900, "month", 10),
    ("price_pro_yearly", 19000, "year", 12),
    ("price_team_yearly", 49000, "year", 3),
)
CURRENCIES: Final = (("EUR", 45), ("USD", 40), ("GBP", 12), ("JPY", 3))
COUNTRIES: Final = {"EUR": ("DE", "FR", "NL", "IT"), "USD": ("US", "CA"), "GBP": ("GB",), "JPY": ("JP",)}
REASONS: Final = (
    ("too-expensive", "It is too expensive", 34),
    ("not-used", "I do not use it enough", 27),
    ("missing", "Something is missing", 14),
    ("broken", "Something does not work", 9),
    ("switching", "I found something else", 9),
    ("other", "Another reason", 7),
)
# Outcome, the kind of offer that was taken, weight.
OUTCOMES: Final = (
    ("canceled", None, 50),
    ("discount_accepted", "DISCOUNT", 11),
    ("pause_accepted", "PAUSE", 7),
    ("plan_switched", "PLAN_CHANGE", 3),
    ("support_requested", "CONTACT", 2),
    ("redirected", "REDIRECT", 1),
    ("kept", None, 7),
    ("dismissed", None, 16),
    ("manual_cancellation_requested", None, 2),
    ("cancel_already_scheduled", None, 1),
)
ENDS: Final = ("canceled", "manual_cancellation_requested", "cancel_already_scheduled")
HOURS: Final = (1, 1, 1, 1, 1, 2, 3, 5, 7, 9, 9, 8, 7, 8, 8, 8, 7, 7, 7, 8, 8, 6, 4, 2)
WORDS: Final = (
    "The price went up twice this year.",
    "I only need it for one project and that is over.",
    "The export loses my tags.",
    "My team has moved to another tool.",
    "I will be back in spring.",
    "Too many emails, and no way to turn them off.",
    "It is good, but I cannot afford it now.",
)


@dataclass(frozen=True)
class Shop:
    """Whose sessions are made."""

    app_id: str
    organization_id: str
    mode: str = "live"
    flow_versions: tuple[str, ...] = ("fv_seeded_1", "fv_seeded_2", "fv_seeded_3")


def anybody(chance: random.Random, _: int) -> int:
    return chance.randrange(PEOPLE)


def sessions(
    shop: Shop, *, start: datetime, end: datetime, count: int, seed: int = 1, prefix: str = "seeded"
) -> Iterator[dict[str, Any]]:
    """The rows of that many records, oldest first, more of them towards the end."""
    for row in records(shop, start=start, end=end, count=count, seed=seed, prefix=prefix):
        yield {**row, "record": dump_json(row["record"])}


def records(
    shop: Shop,
    *,
    start: datetime,
    end: datetime,
    count: int,
    seed: int = 1,
    prefix: str = "seeded",
    who: Who = anybody,
) -> Iterator[dict[str, Any]]:
    """The same with each record as it is told. `who` says which customer comes, by number."""
    chance = random.Random(seed)
    span = (end - start).total_seconds()
    for number in range(count):
        passed = (number + chance.random()) / count
        grown = -0.5 + (0.25 + 2 * passed) ** 0.5  # of a density that rises from 1/2 to 3/2
        at = _at_an_hour(start + timedelta(seconds=span * min(grown, 1)), chance)
        session_id = f"cs_{prefix}_{number:07d}"
        customer = who(chance, number)
        yield _session(shop, session_id, min(max(at, start), end), chance, passed, customer)


def _at_an_hour(at: datetime, chance: random.Random) -> datetime:
    hour = chance.choices(range(24), HOURS)[0]
    return at.replace(
        hour=hour,
        minute=chance.randrange(60),
        second=chance.randrange(60),
        microsecond=chance.randrange(1_000_000),
    )


def _pick(chance: random.Random, of: Sequence[Any]) -> Any:
    return chance.choices(of, [one[-1] for one in of])[0]


def _session(
    shop: Shop, session_id: str, at: datetime, chance: random.Random, passed: float, customer: int
) -> dict[str, Any]:
    plan, price, interval, _ = _pick(chance, PLANS)
    currency, _ = _pick(chance, CURRENCIES)
    outcome, offer_type, _ = _pick(chance, OUTCOMES)
    reason_id, label, _ = _pick(chance, REASONS)
    age = min(int(chance.expovariate(1 / 9)), 90)
    is_bounced = outcome == "dismissed" and chance.random() < 0.4
    if is_bounced or (outcome in ("dismissed", "kept") and chance.random() < 0.5):
        reason_id = label = None
    is_canceled = outcome in ENDS
    save_type = None if is_canceled else offer_type or ABANDON
    is_trial = interval == "month" and chance.random() < 0.08
    shown = offer_type or ("DISCOUNT" if reason_id == "too-expensive" else None)
    accepted = _accepted(session_id, offer_type, price, chance) if offer_type else None
    closed = at + timedelta(seconds=3600 if outcome == "dismissed" else 20 + int(chance.expovariate(1 / 60)))
    renewal = at + timedelta(days=chance.randrange(1, 365 if interval == "year" else 30))
    version = shop.flow_versions[min(int(passed * len(shop.flow_versions)), len(shop.flow_versions) - 1)]
    country = chance.choice(COUNTRIES[currency])
    feedback = None
    if reason_id and chance.random() < 0.3:
        feedback = f"{chance.choice(WORDS)} Yours, number {customer}."  # who says something signs it
    if currency == "JPY":
        price = price * 3 // 2
    told = {
        "_id": session_id,
        "org": shop.organization_id,
        "mode": shop.mode.upper(),
        "provider": "stripe",
        "blueprintId": version,
        "flowVersion": shop.flow_versions.index(version) + 1,
        "segmentId": None,
        "abtest": None,
        "surveyId": "why" if reason_id else None,
        "surveyChoiceId": reason_id,
        "surveyChoiceValue": label,
        "followupQuestion": None,
        "followupOptionId": None,
        "followupResponse": None,
        "feedback": feedback,
        "outcome": outcome,
        "aborted": save_type == ABANDON,
        "canceled": is_canceled,
        "saveType": save_type,
        "bounced": is_bounced,
        "usedClickToCancel": is_canceled and chance.random() < 0.2,
        "clickToCancelEnabled": True,
        "exitPolicy": "always",
        "region": {"country": country},
        "entry": "link",
        "locale": "en",
        "lang": "en",
        "billingKnown": True,
        "manualReasons": ["schedule"] if outcome == "manual_cancellation_requested" else [],
        "discountCooldown": 90,
        "discountCooldownApplied": False,
        "pauseCooldown": None,
        "pauseCooldownApplied": False,
        "customer": {
            "id": f"cus_{customer:07d}",
            "email": f"person{customer}@mail{customer % 50}.example",
            "subscriptionId": f"sub_{customer:07d}",
            "subscriptionStatus": "trial" if is_trial else "active",
            "subscriptionStart": iso(at.replace(microsecond=0) - timedelta(days=30 * age)),
            "subscriptionPeriodStart": iso(renewal - timedelta(days=30)),
            "subscriptionPeriodEnd": iso(renewal),
            "planId": plan,
            "planPrice": price,
            "subscriptionPrice": price,
            "currency": currency,
            "itemQuantity": 1,
            "billingInterval": interval,
            "billingIntervalCount": 1,
            "onTrial": is_trial,
            "trialStart": iso(at - timedelta(days=7)) if is_trial else None,
            "trialEnd": iso(at + timedelta(days=7)) if is_trial else None,
            "paused": False,
            "pauseEnd": None,
            "subscriptionDiscount": None,
            "latestDiscountExpiration": None,
            "metadata": {"source": chance.choice(("ads", "search", "friends"))},
            "customAttributes": {"notebooks": chance.randrange(400)},
        },
        "stepsViewed": _steps(at, closed, is_bounced, bool(shown)),
        "presentedOffers": [_presented(session_id, shown, reason_id, at, bool(offer_type))] if shown else [],
        "acceptedOffer": accepted,
        "effects": [],
        "rules": [],
        "createdAt": iso(at),
        "closedAt": iso(closed),
        "updatedAt": iso(closed),
    }
    return {
        "session_id": session_id,
        "app_id": shop.app_id,
        "created_at": at,
        "begun_s": int(at.timestamp()),
        "outcome": outcome,
        "save_type": save_type,
        "offer_type": offer_type,
        "reason_id": reason_id,
        "response": label,
        "is_aborted": save_type == ABANDON,
        "is_canceled": is_canceled,
        "is_bounced": is_bounced,
        "is_trial": is_trial,
        "is_cooled_down": False,
        "entry": "link",
        "flow_version_id": version,
        "segment_id": None,
        "test_id": None,
        "plan_id": plan,
        "billing_interval": interval,
        "currency": currency,
        "session_currency": currency,
        "price_minor": price,
        "invoice_month": renewal.strftime("%Y-%m"),
        "age_months": age,
        "coupon_id": accepted["couponId"] if accepted else None,
        "pause_duration": accepted["pauseDuration"] if accepted else None,
        "customer_id": told["customer"]["id"],
        "customer_email": told["customer"]["email"],
        "updated_at": closed,
        "record": told,
    }


def _steps(at: datetime, closed: datetime, is_bounced: bool, has_offer: bool) -> list[dict[str, Any]]:
    kinds = ["SURVEY"] if is_bounced else ["SURVEY", *(["OFFER"] if has_offer else []), "FREEFORM", "CONFIRM"]
    share = (closed - at) / len(kinds)
    return [
        {
            "stepType": kind,
            "customStepType": None,
            "guid": STEPS[kind],
            "numChoices": 6 if kind == "SURVEY" else 0,
            "start": iso(at + share * number),
            "end": None if is_bounced else iso(at + share * (number + 1)),
            "duration": None if is_bounced else round(share.total_seconds() * 1000),
        }
        for number, kind in enumerate(kinds)
    ]


def _presented(
    session_id: str, kind: str, reason_id: str | None, at: datetime, is_taken: bool
) -> dict[str, Any]:
    return {
        "guid": kind.lower(),
        "decisionId": f"dec_{session_id}",
        "placement": f"why.offer:{reason_id}",
        "offerType": kind,
        "status": "applied" if is_taken else "declined",
        "accepted": is_taken,
        "surveyOffer": True,
        "presentedAt": iso(at),
        "acceptedAt": iso(at) if is_taken else None,
        "declinedAt": None if is_taken else iso(at),
    }


def _accepted(session_id: str, kind: str, price: int, chance: random.Random) -> dict[str, Any]:
    nothing = dict.fromkeys(
        (
            *("couponId", "couponType", "couponAmount", "couponDuration"),
            *("pauseDuration", "pauseInterval", "pauseEnd", "newPlanId", "newPlanPrice"),
            *("trialExtensionDays", "redirectUrl"),
        )
    )
    told = {
        "guid": kind.lower(),
        "decisionId": f"dec_{session_id}",
        "offerType": kind,
        "status": "applied",
        **nothing,
    }
    match kind:
        case "DISCOUNT":
            percent = chance.choice((20, 30, 50))
            told |= {
                "couponId": f"SAVE{percent}",
                "couponType": "PERCENT",
                "couponAmount": percent,
                "couponDuration": 3,
            }
        case "PAUSE":
            told |= {"pauseDuration": chance.choice((1, 1, 2, 3)), "pauseInterval": "MONTH"}
        case "PLAN_CHANGE":
            told |= {"newPlanId": "price_lite_monthly", "newPlanPrice": min(900, price)}
        case "REDIRECT":
            told |= {"redirectUrl": "https://shop.example/guide"}
    return told


def shop_of(db: Session, app_id: str) -> Shop:
    environment = db.get_one(Environment, app_id)
    return Shop(app_id, environment.organization_id, environment.mode)
