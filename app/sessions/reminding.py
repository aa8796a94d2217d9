"""Reminds a customer that a pause is about to end, if it still is. Changes nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.core.billing import Pause, ProviderUnavailable, parse_change
from app.core.calendar import iso
from app.core.direct import DirectSubscription, Paused
from app.core.errors import InvalidInput
from app.core.receipt import charge_to_wire, price_to_wire
from app.core.renewals import price_at
from app.core.summary import Charge, plan_of, price_of, reference_of
from app.core.world import World, read_world
from app.db import outbox
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.sessions import CancelSession
from app.mail import service as mail
from app.mail.service import MailKind
from app.sessions import queries
from app.sessions.ports import SessionPorts

REMINDER_JOB: Final = "pause_reminder"
TOLERANCE: Final = timedelta(days=1)  # a provider may move the date to its own hour
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Task:
    effect: Effect
    session: CancelSession
    environment: Environment
    world: World
    pause: Pause
    recipient: str


def owe(db: Session, effect: Effect, environment: Environment, now: datetime) -> None:
    """Owe the reminder of a pause that was just made; none where it ends too soon for one, or none is wanted."""
    change = parse_change(effect.change)
    if not isinstance(change, Pause) or environment.pause_reminder_days == 0:
        return
    due_at = change.resumes_at - timedelta(days=environment.pause_reminder_days)
    if due_at > now:
        outbox.enqueue(db, kind=REMINDER_JOB, subject_id=effect.id, due_at=due_at)


async def remind(ports: SessionPorts, job: outbox.Job) -> None:
    """The worker's handler. Raises outbox.RetryLater while the billing system does not say whether the pause stands."""
    now = ports.clock.now()
    task = await ports.database.read(_load, job.subject_id, now)
    if task is not None and await _still_stands(ports, task):
        await ports.database.write(_write, ports, job.subject_id, now)


async def _still_stands(ports: SessionPorts, task: _Task) -> bool:
    subscription_id = task.effect.subscription_id or ""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            provider = await ports.billing_of(
                task.environment, customer=task.world.customer, subscriptions=task.world.subscriptions
            )
            if not provider.reads_back:
                return True  # what was done here since is all that can be known
            found = await provider.find_subscription(task.effect.customer_id, subscription_id)
    except (ProviderUnavailable, InvalidInput, TimeoutError) as error:
        raise outbox.RetryLater(str(error) or "The billing system did not answer in time.") from None
    return found is not None and _is_as_made(task.pause, found)


def _is_as_made(pause: Pause, found: DirectSubscription) -> bool:
    """Whether the pause ends when it was to, or, of paid time, the renewal is where it moved to."""
    if pause.renews_at is not None:
        return found.end is None and _is_about(found.period_end, pause.renews_at)
    return isinstance(found.status, Paused) and _is_about(found.status.pause.end, pause.resumes_at)


def _is_about(found: datetime | None, wanted: datetime) -> bool:
    return found is not None and abs(found - wanted) <= TOLERANCE


def _load(db: Session, effect_id: str, now: datetime) -> _Task | None:
    """What to remind of; None where nothing is to be said any more."""
    effect = db.get(Effect, effect_id)
    change = parse_change(effect.change) if effect else None
    if effect is None or not isinstance(change, Pause) or change.resumes_at <= now:
        return None
    session = db.get_one(CancelSession, effect.session_id)
    environment = db.get_one(Environment, effect.app_id)
    world = read_world(session.snapshot)
    recipient = session.recipient or (world.customer.email if world.customer else None)
    if recipient is None or environment.pause_reminder_days == 0 or queries.is_changed_since(db, effect):
        return None
    return _Task(effect, session, environment, world, change, recipient)


def _write(db: Session, ports: SessionPorts, effect_id: str, now: datetime) -> None:
    task = _load(db, effect_id, now)
    if task is not None:
        mail.enqueue(
            db,
            ports.vault,
            app_id=task.environment.app_id,
            kind=MailKind.PAUSE_REMINDER,
            recipient=task.recipient,
            locale=task.session.locale,
            data=_said(task, ports.base_url),
            now=now,
            subject_id=effect_id,
        )


def _said(task: _Task, base_url: str) -> Mapping[str, Any]:
    subscription = task.world.find_subscription(task.effect.subscription_id)
    resumes_at, renews_at = task.pause.resumes_at, task.pause.renews_at
    charged_at = renews_at or resumes_at
    charged = price_at(subscription, charged_at) if subscription else None
    return {
        "plan": plan_of(subscription),
        "resumes_at": iso(resumes_at),
        "renews_at": iso(renews_at) if renews_at else None,
        "price": price_to_wire(price_of(subscription, charged_at)),
        "next_charge": charge_to_wire(Charge(charged_at, charged) if charged else None),
        "reference": reference_of(task.session.id),
        "entry_url": f"{base_url}/cancel/{task.environment.app_id}",
    }
