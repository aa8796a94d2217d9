"""The worker's part of telling Slack: composes what became of a session and posts it. A day late it is news no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import structlog
from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.http import OutboundError, OutboundHttp, Reply
from app.adapters.vault import SealBroken, Vault
from app.core.calendar import parse_moment
from app.core.errors import AppError
from app.core.money import Money
from app.core.slack_message import Word, compose, compose_test
from app.core.state import Outcome, SessionState
from app.core.summary import plan_of
from app.core.world import read_world
from app.db.database import Database
from app.db.outbox import Job, RetryLater
from app.db.tables.accounts import Environment, Organization
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.sessions.noticing import OWED_AT
from app.web.formats import Formats, formats_for

GIVE_UP_AFTER: Final = timedelta(hours=24)
DEADLINE_S: Final = 10.0
MOST_BYTES: Final = 4_096
LONGEST_WAIT_S: Final = 3_600.0
_FOR_NOW: Final = frozenset({408, 425, 429})

_log = structlog.get_logger(__name__)


class SlackRefused(AppError):
    """What it answered is in the message; Slack's answers are a word or two, and repeat nothing."""

    code = "slack_refused"
    status = 502
    user_message = "Slack did not take the message."


@dataclass(frozen=True, slots=True)
class SlackPorts:
    database: Database
    clock: Clock
    http: OutboundHttp
    vault: Vault


@dataclass(frozen=True, slots=True)
class _Owed:
    sealed_url: str
    body: Mapping[str, Any]


async def tell(ports: SlackPorts, job: Job) -> None:
    """The worker's handler. Raises RetryLater for what may pass; gives up on what will not, and after a day."""
    owed = await ports.database.read(_load, job.subject_id)
    if owed is None:
        return
    try:
        reply = await _post(ports.http, ports.vault.open(owed.sealed_url), owed.body)
    except SealBroken:
        _log.error("slack.not_told", session=job.subject_id, why="no secret opens the URL")
        return
    except OutboundError as error:
        _again(ports, job, error.sentence, None)
        return
    if reply.is_success:
        return
    if reply.status in _FOR_NOW or reply.status >= 500:
        _again(ports, job, f"Slack answered {reply.status}.", reply.retry_after)
    else:  # the hook was removed, the channel archived: to ask again does not help
        _log.error("slack.not_told", session=job.subject_id, why=f"Slack answered {reply.status}")


async def test(ports: SlackPorts, *, app_id: str) -> None:
    """Post a test message now. Raises SlackRefused, also where no URL is set."""
    environment, brand_name = await ports.database.read(_environment, app_id)
    if environment.slack_url_encrypted is None:
        raise SlackRefused(f"No URL is set: leavewell setup slack {app_id} URL")
    body = compose_test(brand_name=brand_name, mode=environment.mode)
    try:
        reply = await _post(ports.http, ports.vault.open(environment.slack_url_encrypted), body)
    except OutboundError as error:
        raise SlackRefused(error.sentence) from None
    if not reply.is_success:
        said = reply.body[:100].decode("ascii", "replace")
        raise SlackRefused(f"Slack answered {reply.status}: {said}")


async def _post(http: OutboundHttp, url: str, body: Mapping[str, Any]) -> Reply:
    return await http.post_json(url, body, deadline_s=DEADLINE_S, max_bytes=MOST_BYTES)


def _again(ports: SlackPorts, job: Job, why: str, retry_after: float | None) -> None:
    owed_at = parse_moment(job.payload[OWED_AT])
    if ports.clock.now() - owed_at >= GIVE_UP_AFTER:
        _log.error("slack.not_told", session=job.subject_id, why=why)
        return
    raise RetryLater(why, after_s=None if retry_after is None else min(retry_after, LONGEST_WAIT_S))


def _load(db: Session, session_id: str) -> _Owed | None:
    """None where nothing is to be told: nobody listens any more, it was taken up again, or it is forgotten."""
    row = db.get(CancelSession, session_id)
    record = db.get(SessionRecord, session_id)
    if row is None or record is None or row.outcome is None or row.erased_at is not None:
        return None
    environment, brand_name = _environment(db, row.app_id)
    if environment.slack_url_encrypted is None:
        return None
    return _Owed(environment.slack_url_encrypted, compose(_word(row, record.record, brand_name)))


def _environment(db: Session, app_id: str) -> tuple[Environment, str]:
    environment = db.get_one(Environment, app_id)
    return environment, db.get_one(Organization, environment.organization_id).name


def _word(row: CancelSession, told: Mapping[str, Any], brand_name: str) -> Word:
    formats = formats_for("en")
    world = read_world(row.snapshot) if row.snapshot else None
    state = SessionState.model_validate(row.state)
    subscription = world.subscription_at_start(state.subscription_id) if world else None
    is_own_words = told["followupOptionId"] is None
    reason = [told["surveyChoiceValue"], None if is_own_words else told["followupResponse"]]
    said = [told["followupResponse"] if is_own_words else None, told["feedback"]]
    return Word(
        outcome=Outcome(row.outcome or Outcome.DISMISSED),
        brand_name=brand_name,
        mode=row.mode,
        session_id=row.id,
        customer_id=row.customer_id,
        at=formats.moment(row.closed_at or row.last_seen_at),
        plan=plan_of(subscription) or told["customer"]["planId"],
        price=_price(told["customer"], formats),
        reason=", ".join(part for part in reason if part) or None,
        offer=_offer(told["acceptedOffer"], told["customer"]["currency"], formats),
        said=[words for words in said if words],
        used_exit=told["usedClickToCancel"],
    )


def _price(customer: Mapping[str, Any], formats: Formats) -> str | None:
    amount, currency, every = (
        customer[name] for name in ("subscriptionPrice", "currency", "billingInterval")
    )
    if amount is None or currency is None:
        return None
    money = formats.money(Money(amount, currency))
    return f"{money} {formats.interval(every, customer['billingIntervalCount'] or 1)}" if every else money


def _offer(taken: Mapping[str, Any] | None, currency: str | None, formats: Formats) -> str | None:
    """In a few words; the figures are those that were shown."""
    if taken is None:
        return None
    match taken["offerType"]:
        case "DISCOUNT":
            reduction = _reduction(taken, currency, formats)
            return f"{reduction} {_duration(taken['couponDuration'], formats)}".strip()
        case "PAUSE" if taken["pauseDuration"]:
            return f"A pause of {formats.span(str(taken['pauseInterval']).lower(), taken['pauseDuration'])}"
        case "PAUSE":
            return f"A pause until {str(taken['pauseEnd'])[:10]}"
        case "PLAN_CHANGE":
            return f"The plan {taken['newPlanId']}"
        case "TRIAL_EXTENSION":
            return f"{taken['trialExtensionDays']} more days of trial"
        case kind:
            return str(kind).replace("_", " ").capitalize()


def _reduction(taken: Mapping[str, Any], currency: str | None, formats: Formats) -> str:
    amount = taken["couponAmount"]
    if amount is None:
        return f"The coupon {taken['couponId']}"
    if taken["couponType"] == "PERCENT":
        return f"{formats.percent(Decimal(str(amount)))} off"
    return f"{formats.money(Money(int(amount), currency))} off" if currency else "A discount"


def _duration(duration: object, formats: Formats) -> str:
    match duration:
        case int():
            return f"for {formats.span('month', duration)}"
        case "forever":
            return "for good"
        case "once":
            return "once"
        case _:
            return ""
