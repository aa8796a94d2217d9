"""Endpoints as an operator makes and changes them, and what is asked to be sent once more. Sends nothing, and checks no
URL: `setup/webhooks.py` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.adapters import standard_webhooks
from app.adapters.vault import Vault
from app.core.errors import Conflict, NotFound
from app.core.events import EventType, webhook_test
from app.db.base import new_id
from app.db.database import after_commit
from app.db.tables.accounts import Environment
from app.db.tables.events import EventRow
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks import messages, queries
from app.webhooks.kinds import (
    KEPT,
    MOST_ENDPOINTS,
    OLD_SECRET_FOR,
    DeliveryStatus,
    DisabledReason,
    Format,
    SigningScheme,
)
from app.webhooks.messages import has_old_secret
from app.webhooks.queries import Owed
from app.webhooks.service import TOPIC, new_delivery

REDELIVERED_AT_ONCE: Final = 500


class EndpointNotFound(NotFound):
    code = "webhook_endpoint_not_found"
    user_message = "There is no such webhook endpoint in this environment."


class DeliveryNotFound(NotFound):
    code = "webhook_delivery_not_found"
    user_message = "There is no such delivery in this environment."


class TooManyEndpoints(Conflict):
    code = "too_many_webhook_endpoints"
    user_message = f"An environment has at most {MOST_ENDPOINTS} webhook endpoints. Remove one first."


class EndpointDisabled(Conflict):
    code = "webhook_endpoint_disabled"
    user_message = "This endpoint is disabled. Enable it first."


class StillRotating(Conflict):
    code = "webhook_secret_rotating"
    user_message = (
        "The secret before this one is still valid. Wait for its end, or `webhooks rotate --end-old`."
    )


@dataclass(frozen=True, slots=True)
class NewSecret:
    """`shown` is what the receiver verifies with, as it is shown, this once (a public key at any time)."""

    endpoint: WebhookEndpoint
    shown: str


# --- Endpoints --------------------------------------------------------------------------------------------------------


def add(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    url: str,
    types: Sequence[EventType] | None,
    description: str | None,
    format: Format,
    scheme: SigningScheme,
    now: datetime,
) -> NewSecret:
    """An endpoint that is told from now on. Raises TooManyEndpoints."""
    if len(queries.list_endpoints(db, app_id)) >= MOST_ENDPOINTS:
        raise TooManyEndpoints
    secret, shown = _new_secret(scheme)
    endpoint = WebhookEndpoint(
        id=new_id("whk"),
        app_id=app_id,
        url=url,
        format=str(format),
        types=types_of(format, types),
        description=description,
        secret_encrypted=vault.seal(secret),
        created_at=now,
    )
    db.add(endpoint)
    return NewSecret(endpoint, shown)


def types_of(format: Format, types: Sequence[EventType] | None) -> list[str] | None:
    """What is stored of a choice; the compatibility envelope knows only sessions that are over."""
    if format is Format.COMPATIBLE:
        return [str(EventType.SESSION_COMPLETED)]
    return sorted({str(type) for type in types}) if types else None


def get(db: Session, *, app_id: str, endpoint_id: str, locked: bool = False) -> WebhookEndpoint:
    """Raises EndpointNotFound."""
    found = queries.find_endpoint(db, app_id=app_id, endpoint_id=endpoint_id, locked=locked)
    if found is None:
        raise EndpointNotFound
    return found


def scheme_of(endpoint: WebhookEndpoint, vault: Vault) -> SigningScheme:
    """Raises SealBroken."""
    secret = vault.open(endpoint.secret_encrypted)
    is_private = secret.startswith(standard_webhooks.PRIVATE_PREFIX)
    return SigningScheme.V1A if is_private else SigningScheme.V1


def public_keys(endpoint: WebhookEndpoint, vault: Vault, now: datetime) -> list[str]:
    """What receivers verify `v1a` with, the newest first; none where there is a shared secret. Raises SealBroken."""
    sealed = [endpoint.secret_encrypted]
    if has_old_secret(endpoint, now) and endpoint.old_secret_encrypted:
        sealed.append(endpoint.old_secret_encrypted)
    opened = [vault.open(one) for one in sealed]
    return [
        standard_webhooks.public_key(one)
        for one in opened
        if one.startswith(standard_webhooks.PRIVATE_PREFIX)
    ]


def rotate(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    endpoint_id: str,
    now: datetime,
    keep_old_for: timedelta = OLD_SECRET_FOR,
) -> NewSecret:
    """A new secret; the old one signs too for that long. Raises EndpointNotFound, StillRotating."""
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    if has_old_secret(endpoint, now) and keep_old_for > timedelta():
        raise StillRotating
    secret, shown = _new_secret(scheme_of(endpoint, vault))
    _forget_old(endpoint)
    if keep_old_for > timedelta():
        endpoint.old_secret_encrypted, endpoint.old_secret_until = (
            endpoint.secret_encrypted,
            now + keep_old_for,
        )
    endpoint.secret_encrypted = vault.seal(secret)
    return NewSecret(endpoint, shown)


def end_old_secret(db: Session, *, app_id: str, endpoint_id: str) -> bool:
    """The secret before this one signs no more. False if there was none."""
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    had_one = endpoint.old_secret_encrypted is not None
    _forget_old(endpoint)
    return had_one


def enable(db: Session, *, app_id: str, endpoint_id: str) -> None:
    """What it is owed still is sent; what happened meanwhile was not kept for it. Raises EndpointNotFound."""
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
    after_commit(db, TOPIC)


def disable(db: Session, *, app_id: str, endpoint_id: str, now: datetime) -> None:
    """Nothing is sent there, or kept for it, until it is enabled. Raises EndpointNotFound."""
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    if endpoint.disabled_at is None:
        endpoint.disabled_at, endpoint.disabled_reason = now, str(DisabledReason.OPERATOR)


def remove(db: Session, vault: Vault, *, app_id: str, endpoint_id: str, now: datetime) -> None:
    """It is gone at once, with its secrets; its log is swept away later. Raises EndpointNotFound."""
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    endpoint.removed_at, endpoint.secret_encrypted = now, vault.seal("")
    _forget_old(endpoint)


def _new_secret(scheme: SigningScheme) -> tuple[str, str]:
    """The secret, and what the receiver is given."""
    if scheme is SigningScheme.V1A:
        private = standard_webhooks.new_private_key()
        return private, standard_webhooks.public_key(private)
    secret = standard_webhooks.new_secret()
    return secret, secret


def _forget_old(endpoint: WebhookEndpoint) -> None:
    endpoint.old_secret_encrypted = endpoint.old_secret_until = None


# --- Tests and repetitions --------------------------------------------------------------------------------------------


def owe_test(
    db: Session, *, app_id: str, endpoint_id: str, holder: str, now: datetime, lease: timedelta
) -> Owed:
    """A test event for this endpoint alone, born leased to who sends it at once; disabled ones get theirs too.

    Raises EndpointNotFound.
    """
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id)
    told = webhook_test(endpoint_id=endpoint_id)
    event = EventRow(id=new_id("evt"), app_id=app_id, type=str(told.type), created_at=now, data=told.data)
    db.add(event)
    db.flush()
    row = new_delivery(endpoint_id=endpoint_id, event_id=event.id, now=now)
    queries.add_deliveries(db, [row])
    [owed] = queries.claim_one(db, endpoint, row["id"], worker=holder, until=now + lease)
    return owed


def redeliver(db: Session, *, app_id: str, delivery_id: str, now: datetime) -> WebhookDelivery:
    """Send an event once more, at once, with all its tries. Raises DeliveryNotFound, EndpointDisabled."""
    delivery = queries.find_delivery(db, app_id=app_id, delivery_id=delivery_id, locked=True)
    if delivery is None:
        raise DeliveryNotFound
    _refuse_disabled(get(db, app_id=app_id, endpoint_id=delivery.endpoint_id))
    queries.owe_again(db, endpoint_id=delivery.endpoint_id, event_ids=[delivery.event_id], now=now)
    after_commit(db, TOPIC)
    return delivery


@dataclass(frozen=True, slots=True)
class Repeated:
    """How many of a batch are sent again; `last` is where the next one begins, None behind the end."""

    count: int
    last: tuple[datetime, str] | None


def redeliver_since(
    db: Session,
    *,
    app_id: str,
    endpoint_id: str,
    since: datetime,
    after: tuple[datetime, str] | None,
    takes_delivered: bool,
    now: datetime,
) -> Repeated:
    """A batch of what happened since then, of the types that the endpoint wants: what failed, what it was never owed,
    and with `takes_delivered` also what it has taken. What is still being tried is left to that.

    Raises EndpointNotFound, EndpointDisabled.
    """
    endpoint = get(db, app_id=app_id, endpoint_id=endpoint_id)
    _refuse_disabled(endpoint)
    events = queries.list_events_since(db, app_id=app_id, since=since, after=after, limit=REDELIVERED_AT_ONCE)
    wanted = [
        event_id
        for _, event_id, type in events
        if type != EventType.WEBHOOK_TEST and (endpoint.types is None or type in endpoint.types)
    ]
    known = queries.statuses_of(db, endpoint_id=endpoint_id, event_ids=wanted)
    repeated = {DeliveryStatus.FAILED, *((DeliveryStatus.DELIVERED,) if takes_delivered else ())}
    again = [event_id for event_id in wanted if known.get(event_id) in repeated]
    missing = [event_id for event_id in wanted if event_id not in known]
    if again:
        queries.owe_again(db, endpoint_id=endpoint_id, event_ids=again, now=now)
    if missing:
        queries.add_deliveries(
            db, [new_delivery(endpoint_id=endpoint_id, event_id=one, now=now) for one in missing]
        )
    if again or missing:
        after_commit(db, TOPIC)
    last = None if len(events) < REDELIVERED_AT_ONCE else (events[-1][0], events[-1][1])
    return Repeated(len(again) + len(missing), last)


def _refuse_disabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise EndpointDisabled


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery with what it tells, and its last tries."""

    delivery: WebhookDelivery
    type: str
    payload: Mapping[str, Any]
    attempts: Sequence[WebhookAttempt]


def tell(db: Session, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Told:
    """A delivery to this endpoint in full. What it tells is as it would be sent now: erased is erased there too.

    Raises DeliveryNotFound: it has been forgotten.
    """
    event = db.get(EventRow, delivery.event_id)
    if event is None:
        raise DeliveryNotFound
    mode = db.get_one(Environment, endpoint.app_id).mode
    needs_record = messages.needs_record(endpoint, event)
    record = queries.find_record(db, event.session_id or "") if needs_record else None
    told = messages.payload(endpoint, event, mode, record)
    return Told(delivery, event.type, told, queries.list_attempts(db, delivery.id))


# --- Sweeps and resealing ---------------------------------------------------------------------------------------------


def forget_deliveries(db: Session, *, now: datetime, limit: int) -> int:
    """A bite of what is older than the log is kept, then of what was removed; and secrets whose time is over.

    Returns how many rows were deleted.
    """
    queries.forget_old_secrets(db, now=now)
    return queries.delete_deliveries_before(db, before=now - KEPT, limit=limit) or queries.delete_removed(
        db, limit=limit
    )


def reseal(db: Session, vault: Vault) -> int:
    """Encrypt every secret anew; returns how many. Raises SealBroken."""
    count = 0
    for endpoint in queries.list_every_endpoint(db):
        endpoint.secret_encrypted = vault.seal(vault.open(endpoint.secret_encrypted))
        count += 1
        if endpoint.old_secret_encrypted is not None:
            endpoint.old_secret_encrypted = vault.seal(vault.open(endpoint.old_secret_encrypted))
            count += 1
    return count
