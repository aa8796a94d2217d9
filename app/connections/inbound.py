"""Webhooks of billing systems: checked by the vendor's own scheme, taken once, and believed nothing but the ids.

What happened is read back by the worker; nobody is asked while the vendor waits for his answer.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

import structlog
from sqlmodel import Session

from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.connections import queries, service
from app.core.billing import (
    AnswersChallenges,
    BillingProvider,
    InboundMessage,
    InboundNotice,
    InboundRefused,
)
from app.core.errors import InvalidInput, MalformedRequest
from app.core.fields import is_clean
from app.db import outbox
from app.db.tables.accounts import Environment

RECONCILE_JOB: Final = "reconcile"
MAX_BYTES: Final = 256 * 1024
REMEMBERED: Final = timedelta(days=30)  # longer than any vendor sends one again
MOST_NAMED: Final = 20
_LONGEST_ID: Final = 255
_LONGEST_CHALLENGE: Final = 255

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class WebhookRefused(MalformedRequest):
    """Whatever is wrong: who sends it without the proof learns nothing about what is connected here."""

    code = "webhook_refused"
    user_message = "This webhook is not accepted here."


def path_of(provider: str, app_id: str) -> str:
    """Where a vendor sends an environment's webhooks."""
    return f"/hooks/{provider}/{app_id}"


def missing_secrets(provider: str, config: Iterable[str]) -> tuple[str, ...]:
    """Which fields are still needed before the vendor's webhooks can be checked. `config`: the names that are set.

    A secret that a connection can do without is what its webhooks are proven by.
    """
    kind = PROVIDERS.get(provider)
    if kind is None or not kind.has_inbound:
        return ()
    given = set(config)
    return tuple(
        field.name
        for field in kind.credential_fields
        if (field.is_for_webhooks or (field.is_secret and not field.is_required)) and field.name not in given
    )


def find_receiver(db: Session, *, app_id: str, provider: str) -> Environment | None:
    """The environment whose webhooks come there; None where there is none, or it has another billing system."""
    kind = PROVIDERS.get(provider)
    if kind is None or not kind.has_inbound or not is_clean(app_id):
        return None
    environment = db.get(Environment, app_id)
    return environment if environment is not None and environment.provider == provider else None


def check(
    environment: Environment | None,
    message: InboundMessage,
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
) -> InboundNotice | None:
    """What the webhook tells; None for a genuine one that is none of our business. Raises WebhookRefused."""
    return _ask(
        environment, lambda adapter: adapter.verify_inbound(message), vault=vault, http=http, clock=clock
    )


def answer(
    environment: Environment | None,
    query: Iterable[tuple[str, str]],
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
) -> str:
    """What proves to the vendor, who asks with a challenge in the query, that his webhooks are wanted here.

    Raises WebhookRefused, also where the vendor asks for no proof.
    """

    def prove(adapter: BillingProvider) -> str:
        if not isinstance(adapter, AnswersChallenges):
            raise InboundRefused("This billing system sends no challenges.")
        name = PROVIDERS[environment.provider].challenged_by if environment else ""
        given = [value for field, value in query if field == name]
        if len(given) != 1 or len(given[0]) > _LONGEST_CHALLENGE:
            raise InboundRefused("There is not one challenge.")
        return adapter.answer_challenge(given[0])

    return _ask(environment, prove, vault=vault, http=http, clock=clock)


def _ask(
    environment: Environment | None,
    question: Callable[[BillingProvider], T],
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
) -> T:
    """Who asks is not told why he is refused; whoever runs this wants to know."""
    if environment is None:
        raise WebhookRefused
    try:
        return question(service.adapter_of(environment, vault=vault, http=http, clock=clock))
    except (InboundRefused, InvalidInput) as refused:
        _log.warning(
            "webhook.refused", app_id=environment.app_id, provider=environment.provider, reason=str(refused)
        )
        raise WebhookRefused from None


def take(db: Session, *, app_id: str, notice: InboundNotice, now: datetime) -> bool:
    """Owe the reading back, once for each event; False for one that was taken before, or that names nothing."""
    named = {
        "subscription_ids": _usable(notice.subscription_ids),
        "customer_ids": _usable(notice.customer_ids),
    }
    if not any(named.values()):
        return False
    event = sha256(notice.event_id.encode(errors="replace")).hexdigest()
    if not queries.remember_event(db, app_id=app_id, event_sha256=event, expires_at=now + REMEMBERED):
        return False
    outbox.enqueue(db, kind=RECONCILE_JOB, subject_id=app_id, payload=named, due_at=now)
    return True


def _usable(ids: Iterable[str]) -> list[str]:
    """Those that could be ids of ours: no database keeps every text."""
    usable = (each for each in dict.fromkeys(ids) if 0 < len(each) <= _LONGEST_ID and is_clean(each))
    return [each for each, _ in zip(usable, range(MOST_NAMED), strict=False)]
