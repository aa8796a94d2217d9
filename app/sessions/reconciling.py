"""Holds what was done here against what the billing system has: when it tells of a change, and when a merchant asks.

What a webhook says is not believed: the subscription is read back. Nothing is changed at the provider.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.core.billing import ProviderError, ProviderRefused, ProviderUnavailable, parse_change
from app.core.commands import LookAgain
from app.core.direct import DirectSubscription
from app.core.drift import Difference, Promise, differences
from app.core.errors import FieldError, InvalidInput
from app.core.session import advance
from app.core.world import read_world
from app.db import outbox
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.sessions import queries, settling
from app.sessions.ports import SessionPorts
from app.sessions.records import EFFECT_JOB, record
from app.sessions.service import is_over, standing_of

MOST_AT_ONCE: Final = 20  # subscriptions of one webhook
PAGE: Final = 100
DOUBTFUL: Final = (settling.TOO_LATE, settling.NOT_VERIFIED)  # given up, and perhaps made all the same
MOST_TRIES: Final = (
    150  # about a day; what a webhook told is old news by then, and sessions read for themselves
)
SETTLES: Final = timedelta(minutes=1)  # what was read so soon after a change of ours may be from before it
_PATIENCE_S: Final = 20.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A subscription that was dealt with here, and whose it is."""

    customer_id: str
    subscription_id: str


START: Final = Known("", "")


class CannotBeAsked(InvalidInput):
    """The environment's billing system shows nobody what it has (`direct`)."""

    def __init__(self) -> None:
        message = "Your own billing cannot be asked what it has, so there is nothing to compare with."
        super().__init__(fields=[FieldError("", message)])


@dataclass(frozen=True, slots=True)
class Finding:
    """One subscription of which something is not as promised; or `trouble`: why it could not be looked at."""

    known: Known
    differences: tuple[Difference, ...] = ()
    trouble: str | None = None


# --- The billing system tells of a change -----------------------------------------------------------------------------


async def work_on(ports: SessionPorts, job: outbox.Job) -> None:
    """The worker's handler of a verified webhook: `subject_id` is the App ID, the payload names ids and nothing else.

    Raises outbox.RetryLater while the billing system does not answer, for about a day, and where what was read may be
    older than a change of ours.
    """
    named = job.payload
    known = await ports.database.read(
        _known, job.subject_id, named.get("subscription_ids", ()), named.get("customer_ids", ())
    )
    is_settled = True
    for one in known:
        asked_at = ports.clock.now()
        try:
            found = await _look(ports, job.subject_id, one)
        except CannotBeAsked:
            return  # it was another billing system that sent this
        except ProviderRefused as refused:
            _log.warning("a subscription was not read back: %s", refused.reason)
            continue
        except (ProviderUnavailable, InvalidInput, TimeoutError) as error:
            if job.attempts >= MOST_TRIES:
                _log.warning("a webhook's subscriptions could not be read back for so long: %s", error)
                return
            raise outbox.RetryLater(str(error) or "The billing system did not answer in time.") from None
        is_settled &= await ports.database.write(_take_in, ports, job.subject_id, one, found, asked_at)
    if not is_settled and job.attempts < MOST_TRIES:
        raise outbox.RetryLater("It was changed here a moment ago.", after_s=SETTLES.total_seconds())


def _known(
    db: Session, app_id: str, subscription_ids: Sequence[str], customer_ids: Sequence[str]
) -> list[Known]:
    """Those of the named subscriptions that there is anything of here."""
    rows = queries.list_known_subscriptions(
        db,
        app_id=app_id,
        subscription_ids=subscription_ids[:MOST_AT_ONCE],
        customer_ids=customer_ids[:MOST_AT_ONCE],
        limit=MOST_AT_ONCE,
    )
    return [Known(customer_id, subscription_id) for customer_id, subscription_id in rows]


async def _look(ports: SessionPorts, app_id: str, known: Known) -> DirectSubscription | None:
    environment = await ports.database.read(_environment, app_id)
    async with asyncio.timeout(_PATIENCE_S):
        provider = await ports.billing_of(environment, customer=None, subscriptions=())
        if not provider.reads_back:
            raise CannotBeAsked
        return await provider.find_subscription(known.customer_id, known.subscription_id)


def _environment(db: Session, app_id: str) -> Environment:
    return db.get_one(Environment, app_id)


def _take_in(
    db: Session,
    ports: SessionPorts,
    app_id: str,
    known: Known,
    found: DirectSubscription | None,
    asked_at: datetime,
) -> bool:
    """Let everything that rests on this subscription know: changes under way, open sessions, what was done before.

    False, and nothing is taken from what was read, where it differs from what was done here only just now.
    """
    now = ports.clock.now()
    effects = queries.list_changes_of(
        db, app_id=app_id, customer_id=known.customer_id, subscription_id=known.subscription_id
    )
    for effect in effects:
        if effect.status == "pending":
            outbox.bring_forward(db, kind=EFFECT_JOB, subject_id=effect.id, due_at=now)
    by_id = {effect.id: effect for effect in effects}
    drifted = [(by_id[each.effect_id], each) for each in differences(tuple(_promises(effects)), found, now)]
    if any(effect.applied_at and effect.applied_at > asked_at - SETTLES for effect, _ in drifted):
        return False
    for effect, difference in drifted:
        if effect.ended_at is None:
            effect.ended_at = now
            _log.warning("effect %s no longer holds at the provider: %s", effect.id, difference.drift)
    if found is not None:
        _refresh_sessions(db, ports, app_id, known, found, now)
    return True


def _refresh_sessions(
    db: Session, ports: SessionPorts, app_id: str, known: Known, found: DirectSubscription, now: datetime
) -> None:
    """Show whoever is in the middle of a walk what is true now; nobody is asked to begin anew."""
    rows = queries.list_open_sessions(
        db, app_id=app_id, customer_id=known.customer_id, subscription_id=known.subscription_id
    )
    for row in rows:
        if is_over(row, now) or not row.snapshot:
            continue
        world = read_world(row.snapshot)
        if world.find_subscription(found.id) == found:
            continue
        row.snapshot = world.with_subscription(found).to_json()
        standing = standing_of(db, queries.owned(db, row), now)
        decision = advance(standing.walk, standing.state, LookAgain())
        if decision.state is not standing.state:
            record(db, row, standing.walk, standing.state, decision, holder=ports.holder)


# --- A merchant asks --------------------------------------------------------------------------------------------------


async def compare(
    ports: SessionPorts, *, app_id: str, since: datetime, after: Known = START
) -> tuple[list[Finding], int, Known | None]:
    """Hold a page of subscriptions with promises made since then against the provider.

    Returns what is not as promised, how many subscriptions were looked at, and where the next page begins (None behind
    the end). Raises InvalidInput where billing is not connected, or cannot be asked.
    """
    promised = await ports.database.read(_promised, app_id, since, after)
    findings = [finding for each in promised if (finding := await _compare_one(ports, app_id, *each))]
    last = promised[-1][0] if len(promised) == PAGE else None
    return findings, len(promised), last


async def _compare_one(
    ports: SessionPorts, app_id: str, known: Known, promises: Sequence[Promise]
) -> Finding | None:
    try:
        found = await _look(ports, app_id, known)
    except (ProviderError, TimeoutError) as error:
        return Finding(known, trouble=str(error) or "The billing system did not answer in time.")
    drifted = differences(promises, found, ports.clock.now())
    return Finding(known, tuple(drifted)) if drifted else None


def _promised(
    db: Session, app_id: str, since: datetime, after: Known
) -> list[tuple[Known, tuple[Promise, ...]]]:
    pairs = queries.list_promised(
        db,
        app_id=app_id,
        since=since,
        after=(after.customer_id, after.subscription_id),
        doubtful=DOUBTFUL,
        limit=PAGE,
    )
    found = []
    for customer_id, subscription_id in pairs:
        effects = queries.list_changes_of(
            db, app_id=app_id, customer_id=customer_id, subscription_id=subscription_id
        )
        recent = [effect for effect in effects if effect.requested_at >= since]
        promises = (*_promises(recent), *_given_up(recent))
        found.append((Known(customer_id, subscription_id), promises))
    return found


def _promises(effects: Sequence[Effect]) -> Iterator[Promise]:
    for effect in effects:
        if effect.status == "applied" and effect.applied_at is not None:
            yield Promise(effect.id, parse_change(effect.change), effect.applied_at)


def _given_up(effects: Sequence[Effect]) -> Iterator[Promise]:
    """What was sent, and then given up without knowing what became of it."""
    for effect in effects:
        if effect.failed_reason in DOUBTFUL and effect.attempts > 0:
            yield Promise(effect.id, parse_change(effect.change), effect.requested_at, is_doubtful=True)
