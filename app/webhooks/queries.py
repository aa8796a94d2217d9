"""Every SQL statement about endpoints, deliveries and their tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import (
    CursorResult,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    update,
)
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from app.db.tables.accounts import Environment
from app.db.tables.events import EventRow
from app.db.tables.records import SessionRecord
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.kinds import DeliveryStatus

_Endpoint, _Delivery = WebhookEndpoint, WebhookDelivery

# Built once, as all that runs with every event and every delivery: to build one takes longer than to run it.
_LISTENING: Final = (
    select_columns(col(_Endpoint.id), col(_Endpoint.types))
    .where(
        col(_Endpoint.app_id) == bindparam("app_id"),
        col(_Endpoint.disabled_at).is_(None),
        col(_Endpoint.removed_at).is_(None),
    )
    .order_by(col(_Endpoint.id))
)
_NEW_DELIVERY: Final = insert(_Delivery)
_NEW_ATTEMPT: Final = insert(WebhookAttempt)
_IS_DUE: Final = and_(
    col(_Delivery.due_at) <= bindparam("now"),
    or_(col(_Delivery.locked_until).is_(None), col(_Delivery.locked_until) <= bindparam("now")),
)
_IS_ON: Final = and_(col(_Endpoint.disabled_at).is_(None), col(_Endpoint.removed_at).is_(None))
_DUE_TO: Final = (
    select_columns(col(_Endpoint.id), col(_Endpoint.failing_since).is_not(None))
    .where(_IS_ON, exists().where(col(_Delivery.endpoint_id) == col(_Endpoint.id), _IS_DUE))
    .order_by(col(_Endpoint.id))
)
_TAKING: Final = (
    select(_Endpoint, Environment.mode)
    .join(Environment, col(Environment.app_id) == col(_Endpoint.app_id))
    .where(col(_Endpoint.id) == bindparam("to_whom"), _IS_ON)
)
_LONGEST_DUE: Final = (
    select_columns(col(_Delivery.id))
    .where(col(_Delivery.endpoint_id) == bindparam("to_whom"), _IS_DUE)
    .order_by(col(_Delivery.due_at))
    .limit(bindparam("most"))
    # As in db/outbox.py: SQLite leaves it out, and needs none.
    .with_for_update(skip_locked=True)
    .cte("due")
)
_LEASED: Final = (
    col(_Delivery.id),
    col(_Delivery.claims),
    col(_Delivery.tries),
    col(_Delivery.event_id),
    col(_Delivery.first_tried_at),
    col(_Delivery.due_at),
)
_LEASE: Final = (
    update(_Delivery)
    .values(locked_by=bindparam("worker"), locked_until=bindparam("until"), claims=col(_Delivery.claims) + 1)
    .returning(*_LEASED)
)
_IS_HELD: Final = and_(
    col(_Delivery.id) == bindparam("this_one"),
    col(_Delivery.locked_by) == bindparam("by_whom"),
    col(_Delivery.claims) == bindparam("by_lease"),
)
_LET_GO: Final = update(_Delivery).where(_IS_HELD).values(locked_by=None, locked_until=None)
_KEEP: Final = update(_Delivery).where(_IS_HELD).values(locked_until=bindparam("until"))
_SUCCEEDED: Final = (
    update(_Endpoint)
    .where(
        col(_Endpoint.id) == bindparam("to_whom"),
        or_(
            col(_Endpoint.failing_since).is_not(None),
            col(_Endpoint.last_success_at).is_(None),
            col(_Endpoint.last_success_at) < bindparam("unless_since"),
        ),
    )
    .values(failing_since=None, last_success_at=bindparam("now"))
)
_EVENTS: Final = select(EventRow).where(col(EventRow.id).in_(bindparam("ids", expanding=True)))
_LEASE_LONGEST_DUE: Final = _LEASE.where(col(_Delivery.id).in_(select_columns(_LONGEST_DUE.c.id)))
_LEASE_ONE: Final = _LEASE.where(col(_Delivery.id) == bindparam("this_one"))


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery in a worker's hands: what to send, where, and which lease it is held by."""

    id: str
    claims: int
    tries: int  # that failed before this one
    endpoint: WebhookEndpoint
    event: EventRow
    mode: str
    first_tried_at: datetime | None


# --- Endpoints --------------------------------------------------------------------------------------------------------


def list_listening(db: Session, app_id: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """`id` and `types` of each endpoint that is told what happens; None is every type."""
    return db.connection().execute(_LISTENING, {"app_id": app_id}).all()


def find_endpoint(
    db: Session, *, app_id: str, endpoint_id: str, locked: bool = False
) -> WebhookEndpoint | None:
    """Another environment's, or one that was removed, is not found."""
    statement = select(_Endpoint).where(
        _Endpoint.id == endpoint_id, _Endpoint.app_id == app_id, col(_Endpoint.removed_at).is_(None)
    )
    return db.exec(statement.with_for_update() if locked else statement).first()


def list_endpoints(db: Session, app_id: str) -> list[WebhookEndpoint]:
    """Oldest first; an environment has few."""
    return list(
        db.exec(
            select(_Endpoint)
            .where(_Endpoint.app_id == app_id, col(_Endpoint.removed_at).is_(None))
            .order_by(col(_Endpoint.created_at), col(_Endpoint.id))
        )
    )


def list_every_endpoint(db: Session) -> list[WebhookEndpoint]:
    """Of every environment, held until the transaction ends."""
    return list(db.exec(select(_Endpoint).order_by(col(_Endpoint.id)).with_for_update()))


def count_owed(db: Session, endpoint_id: str) -> int:
    statement = (
        select_columns(func.count())
        .select_from(_Delivery)
        .where(col(_Delivery.endpoint_id) == endpoint_id, col(_Delivery.due_at).is_not(None))
    )
    return db.connection().execute(statement).scalar_one()


def note_success(db: Session, endpoint_id: str, *, now: datetime, unless_since: datetime) -> None:
    """Whatever was wrong is over. Written once in a while, for deliveries side by side share this row."""
    noted = {"to_whom": endpoint_id, "unless_since": unless_since, "now": now}
    db.connection().execute(_SUCCEEDED, noted)


def hold_endpoint(db: Session, endpoint_id: str) -> WebhookEndpoint | None:
    """To be changed, whosesoever it is; None once it was removed.

    Its key is not: whoever writes down that it is owed something refers to it, and does not wait.
    """
    return db.exec(
        select(_Endpoint)
        .where(_Endpoint.id == endpoint_id, col(_Endpoint.removed_at).is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).first()


# --- Owing and delivering ---------------------------------------------------------------------------------------------


def add_deliveries(db: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    db.connection().execute(_NEW_DELIVERY, rows)


def list_due(db: Session, *, now: datetime) -> list[tuple[str, bool]]:
    """The endpoints that something is due to, and whether each has been failing. One look into an index for each."""
    return [(row[0], bool(row[1])) for row in db.connection().execute(_DUE_TO, {"now": now})]


def claim(
    db: Session, endpoint_id: str, *, worker: str, now: datetime, lease: timedelta, limit: int
) -> list[Owed]:
    """Lease what is longest due to an endpoint; each delivery goes to one worker only."""
    found = db.exec(_TAKING, params={"to_whom": endpoint_id}).first()
    if found is None:
        return []
    endpoint, mode = found
    held = {"worker": worker, "until": now + lease, "to_whom": endpoint_id, "now": now, "most": limit}
    return _owed(db, endpoint, mode, db.connection().execute(_LEASE_LONGEST_DUE, held).all())


def claim_one(
    db: Session, endpoint: WebhookEndpoint, delivery_id: str, *, worker: str, until: datetime
) -> list[Owed]:
    """Lease this delivery, whose turn it may not be."""
    mode = db.exec(select(Environment.mode).where(Environment.app_id == endpoint.app_id)).one()
    held = {"worker": worker, "until": until, "this_one": delivery_id}
    return _owed(db, endpoint, mode, db.connection().execute(_LEASE_ONE, held).all())


def _owed(
    db: Session, endpoint: WebhookEndpoint, mode: str, leased: Sequence[Row[*tuple[Any, ...]]]
) -> list[Owed]:
    """Longest due first."""
    if not leased:
        return []
    found = db.exec(_EVENTS, params={"ids": [row.event_id for row in leased]})
    events = {event.id: event for event in found}
    return [
        Owed(row.id, row.claims, row.tries, endpoint, events[row.event_id], mode, row.first_tried_at)
        for row in sorted(leased, key=lambda row: (row.due_at, row.id))
    ]


def find_record(db: Session, session_id: str) -> dict[str, Any] | None:
    """What is told of a closed session; None, or nothing, once it has been erased."""
    found = db.get(SessionRecord, session_id)
    return found.record if found else None


def extend(db: Session, held: Sequence[Owed], *, worker: str, until: datetime) -> None:
    for owed in held:
        db.connection().execute(_KEEP, {**_hold(owed, worker), "until": until})


def give_back(db: Session, held: Sequence[Owed], *, worker: str) -> None:
    """Nobody works on these any more; they are as due as they were."""
    for owed in held:
        db.connection().execute(_LET_GO, _hold(owed, worker))


def settle(db: Session, owed: Owed, *, worker: str, values: Mapping[str, Any]) -> bool:
    """Write down what a try came to, and let go. False if it is no longer ours."""
    changed = db.connection().execute(_LET_GO, {**_hold(owed, worker), **values})
    return cast("CursorResult[Any]", changed).rowcount == 1


def add_attempt(db: Session, row: Mapping[str, Any]) -> None:
    db.connection().execute(_NEW_ATTEMPT, row)


def _hold(owed: Owed, worker: str) -> dict[str, Any]:
    return {"this_one": owed.id, "by_whom": worker, "by_lease": owed.claims}


# --- The log ----------------------------------------------------------------------------------------------------------


def list_deliveries(
    db: Session,
    *,
    endpoint_id: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    status: str | None = None,
) -> list[tuple[WebhookDelivery, str]]:
    """Newest first, each with its event's type, from just behind `before` (created_at, id) on."""
    statement = (
        select(_Delivery, EventRow.type)
        .join(EventRow, col(EventRow.id) == _Delivery.event_id)
        .where(_Delivery.endpoint_id == endpoint_id)
    )
    if status is not None:
        statement = statement.where(_Delivery.status == status)
    if before is not None:
        created_at, delivery_id = before
        statement = statement.where(
            or_(
                col(_Delivery.created_at) < created_at,
                and_(col(_Delivery.created_at) == created_at, col(_Delivery.id) < delivery_id),
            )
        )
    statement = statement.order_by(col(_Delivery.created_at).desc(), col(_Delivery.id).desc())
    return [(row[0], row[1]) for row in db.exec(statement.limit(limit))]


def find_delivery(
    db: Session, *, app_id: str, delivery_id: str, locked: bool = False
) -> WebhookDelivery | None:
    """Another environment's is not found, nor is one of an endpoint that was removed."""
    statement = (
        select(_Delivery)
        .join(_Endpoint, col(_Endpoint.id) == _Delivery.endpoint_id)
        .where(_Delivery.id == delivery_id, _Endpoint.app_id == app_id, col(_Endpoint.removed_at).is_(None))
    )
    return db.exec(statement.with_for_update(of=_Delivery) if locked else statement).first()


def list_attempts(db: Session, delivery_id: str, *, limit: int = 50) -> list[WebhookAttempt]:
    """The last ones, oldest first."""
    found = db.exec(
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery_id)
        .order_by(col(WebhookAttempt.tried_at).desc(), col(WebhookAttempt.id).desc())
        .limit(limit)
    )
    return list(reversed(list(found)))


# --- Once more --------------------------------------------------------------------------------------------------------


def list_events_since(
    db: Session,
    *,
    app_id: str,
    since: datetime,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[tuple[datetime, str, str]]:
    """(created_at, id, type) of the environment's events from `since` on, oldest first, from behind `after` on."""
    statement = select_columns(col(EventRow.created_at), col(EventRow.id), col(EventRow.type)).where(
        col(EventRow.app_id) == app_id, col(EventRow.created_at) >= since
    )
    if after is not None:
        created_at, event_id = after
        statement = statement.where(
            or_(
                col(EventRow.created_at) > created_at,
                and_(col(EventRow.created_at) == created_at, col(EventRow.id) > event_id),
            )
        )
    found = db.connection().execute(
        statement.order_by(col(EventRow.created_at), col(EventRow.id)).limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in found]


def statuses_of(db: Session, *, endpoint_id: str, event_ids: Sequence[str]) -> dict[str, str]:
    """What became of each of these events at that endpoint, by event; those it was never owed are not in it."""
    found = db.connection().execute(
        select_columns(col(_Delivery.event_id), col(_Delivery.status)).where(
            col(_Delivery.endpoint_id) == endpoint_id, col(_Delivery.event_id).in_(event_ids)
        )
    )
    return {row[0]: row[1] for row in found}


def owe_again(db: Session, *, endpoint_id: str, event_ids: Sequence[str], now: datetime) -> None:
    """Begin another round of tries at once, with whatever lease there was at an end. In the log they are new."""
    db.connection().execute(
        update(_Delivery)
        .where(col(_Delivery.endpoint_id) == endpoint_id, col(_Delivery.event_id).in_(event_ids))
        .values(
            status=str(DeliveryStatus.PENDING),
            tries=0,
            due_at=now,
            created_at=now,
            first_tried_at=None,
            settled_at=None,
            claims=col(_Delivery.claims) + 1,
            locked_by=None,
            locked_until=None,
        )
    )


# --- Sweeps -----------------------------------------------------------------------------------------------------------


def delete_deliveries_before(db: Session, *, before: datetime, limit: int) -> int:
    """Up to `limit` of those that were owed first before then, with their tries. Returns how many."""
    return _delete_deliveries(
        db,
        select_columns(col(_Delivery.id))
        .where(col(_Delivery.created_at) < before)
        .order_by(col(_Delivery.created_at))
        .limit(limit),
    )


def forget_old_secrets(db: Session, *, now: datetime) -> None:
    """Those whose time is over."""
    db.connection().execute(
        update(_Endpoint)
        .where(col(_Endpoint.old_secret_until) <= now)
        .values(old_secret_encrypted=None, old_secret_until=None)
    )


def delete_removed(db: Session, *, limit: int) -> int:
    """Up to `limit` deliveries of endpoints that were removed; then the endpoints. Returns how many rows."""
    removed = select_columns(col(_Endpoint.id)).where(col(_Endpoint.removed_at).is_not(None))
    count = _delete_deliveries(
        db, select_columns(col(_Delivery.id)).where(col(_Delivery.endpoint_id).in_(removed)).limit(limit)
    )
    if count:
        return count
    is_owed = exists().where(col(_Delivery.endpoint_id) == col(_Endpoint.id))
    gone = db.connection().execute(delete(_Endpoint).where(col(_Endpoint.removed_at).is_not(None), ~is_owed))
    return cast("CursorResult[Any]", gone).rowcount


def _delete_deliveries(db: Session, which: Any) -> int:
    # One that somebody is writing a try of is left for the next bite.
    ids = list(db.connection().execute(which.with_for_update(skip_locked=True)).scalars())
    if ids:
        db.connection().execute(delete(WebhookAttempt).where(col(WebhookAttempt.delivery_id).in_(ids)))
        db.connection().execute(delete(_Delivery).where(col(_Delivery.id).in_(ids)))
    return len(ids)
