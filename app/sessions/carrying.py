"""Sees a change through at the provider: tried at once while a customer waits, and by the worker after that."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, cast

from sqlmodel import Session

from app.core.billing import (
    Cancel,
    ChangeRequest,
    ProviderUnavailable,
    parse_change,
)
from app.core.direct import DirectSubscription
from app.core.eligibility import automation_blockers, eligibility, outdated
from app.core.errors import InvalidInput
from app.core.facts import History
from app.core.flow import FlowDefinition, Offer
from app.core.flow_check import offers_of
from app.core.offers import ShownOffer
from app.core.world import World, read_world
from app.db import outbox
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.sessions import CancelSession
from app.effects import service as effects
from app.effects.service import Settlement
from app.flows import service as flows
from app.sessions import queries, settling
from app.sessions.ports import SessionPorts
from app.sessions.records import EFFECT_JOB

WORKER_PATIENCE_S: Final = 30.0
MOST_TAKEN_UP: Final = 1_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    effect: Effect
    environment: Environment
    flow: FlowDefinition
    world: World
    history: History
    settled_before: frozenset[str]  # other changes to this subscription; the decision rests on them


async def try_now(ports: SessionPorts, jobs: Sequence[outbox.Job]) -> None:
    """Try changes that were just written and are leased to this process; what does not get through within the ports'
    patience is given to the worker."""
    for job in jobs:
        try:
            await _carry_out(ports, job, patience_s=ports.patience_s, finishes_job=True)
        except outbox.RetryLater as later:
            await _put_off(ports, job, later, gives_back=True)


async def work_on(ports: SessionPorts, job: outbox.Job) -> None:
    """The worker's handler for an effect. Raises outbox.RetryLater while it is not known what became of it."""
    try:
        await _carry_out(ports, job, patience_s=WORKER_PATIENCE_S, finishes_job=False)
    except outbox.RetryLater as later:
        await _put_off(ports, job, later, gives_back=False)
        raise


def take_up(db: Session, *, app_id: str, now: datetime) -> None:
    """The billing system answers again: what has been put off is done now, not when its wait is over."""
    for effect_id in queries.list_pending(db, app_id=app_id, limit=MOST_TAKEN_UP):
        outbox.bring_forward(db, kind=EFFECT_JOB, subject_id=effect_id, due_at=now)


async def _carry_out(ports: SessionPorts, job: outbox.Job, *, patience_s: float, finishes_job: bool) -> None:
    effect_id = job.subject_id
    now = ports.clock.now()
    task = await ports.database.read(_load, effect_id, now)
    if task is None:
        return
    settlement = await _attempt(ports, task, job, patience_s=patience_s, now=now)
    await ports.database.write(
        settling.settle,
        effect_id=effect_id,
        job=job if finishes_job else None,
        holder=ports.holder,
        settlement=settlement,
        now=ports.clock.now(),
    )


async def _put_off(
    ports: SessionPorts, job: outbox.Job, later: outbox.RetryLater, *, gives_back: bool
) -> None:
    due_at = ports.clock.now() + timedelta(seconds=later.after_s or 0)
    await ports.database.write(
        settling.put_off,
        effect_id=job.subject_id,
        job=job if gives_back else None,
        holder=ports.holder,
        error=str(later),
        due_at=due_at,
        waits=isinstance(later, settling.Waits),
        now=ports.clock.now(),
    )


async def _attempt(
    ports: SessionPorts, task: _Task, job: outbox.Job, *, patience_s: float, now: datetime
) -> Settlement:
    effect = task.effect
    try:
        async with asyncio.timeout(patience_s):
            provider = await ports.billing_of(
                task.environment, customer=task.world.customer, subscriptions=task.world.subscriptions
            )
            return await effects.attempt(
                provider,
                _request(task),
                was_sent=effect.attempts > 0,
                was_taken=settling.was_taken(effect),
                blockers=lambda found: _blockers(task, found, now),
                claim=partial(_claim, ports, task, provider.reads_back),
                now=now,
            )
    except ProviderUnavailable as error:
        if error.reason == effects.NOT_VERIFIED:
            _log.error("effect %s is not in place although the provider took it", effect.id)
        reason, retry_after = error.reason, error.retry_after
    except TimeoutError:
        reason, retry_after = "The billing system did not answer in time.", None
    except InvalidInput as error:  # the connection is not finished, or no longer valid; that can be mended
        _log.error("effect %s has no billing system to go to: %s", effect.id, error)
        reason, retry_after = "The billing system is not connected.", None
    if now - effect.requested_at > effects.GIVE_UP_AFTER:
        return Settlement(False, reason=settling.given_up(effect))
    raise outbox.RetryLater(reason, after_s=effects.wait_s(job.attempts, retry_after=retry_after))


async def _claim(ports: SessionPorts, task: _Task, can_read_back: bool, subscription_id: str) -> str | None:
    return await ports.database.write(
        settling.claim_sending,
        effect_id=task.effect.id,
        subscription_id=subscription_id,
        sent_before=task.effect.attempts,
        settled_before=task.settled_before,
        can_read_back=can_read_back,
        now=ports.clock.now(),
    )


def _load(db: Session, effect_id: str, now: datetime) -> _Task | None:
    effect = db.get(Effect, effect_id)
    if effect is None or effect.status != "pending":
        return None
    row = db.get_one(CancelSession, effect.session_id)
    subscription_id = effect.subscription_id or ""
    history = queries.history_of(
        db,
        app_id=row.app_id,
        customer_id=row.customer_id,
        subscription_ids=[subscription_id],
        now=now,
    )
    return _Task(
        effect=effect,
        environment=db.get_one(Environment, row.app_id),
        flow=flows.load(db, row.flow_version_id),
        world=read_world(row.snapshot),
        history=history[subscription_id],
        settled_before=settling.settled_now(
            queries.list_other_changes(db, effect, created_after=now - settling.RELEVANT)
        ),
    )


def _request(task: _Task) -> ChangeRequest:
    effect = task.effect
    return ChangeRequest(
        effect_id=effect.id,
        session_id=effect.session_id,
        customer_id=effect.customer_id,
        subscription_id=effect.subscription_id or "",
        mode=cast("Literal['live', 'test']", task.environment.mode),
        change=parse_change(effect.change),
        shown=effect.shown,
        requested_at=effect.requested_at,
    )


def _blockers(task: _Task, found: DirectSubscription, now: datetime) -> Sequence[str]:
    """What has come to stand against the change since the customer was offered it."""
    change = parse_change(task.effect.change)
    if isinstance(change, Cancel):
        return [str(b) for b in automation_blockers(found, task.history, now)]
    offer, shown = _offer_of(task), task.effect.shown
    if offer is None or shown is None:
        return ()
    against = eligibility(
        offer,
        subscription=found,
        customer=task.world.customer,
        history=task.history,
        capabilities=task.world.capabilities,
        flow_cooldowns=task.flow.cooldowns,
        catalog=task.world.catalog,
        now=now,
        accepted_in_session=False,
    )
    return [str(b) for b in (*against, *outdated(ShownOffer.model_validate(shown), found, now))]


def _offer_of(task: _Task) -> Offer | None:
    if task.effect.shown is None:
        return None
    offer_id = task.effect.shown.get("offerId")
    return next((offer for _, offer in offers_of(task.flow) if offer.id == offer_id), None)
