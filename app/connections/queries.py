"""Every SQL statement about connections and the webhooks that were seen."""

from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import CursorResult, Row, Select, bindparam, delete, or_, text, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from app.db.base import UtcDateTime
from app.db.tables.accounts import Environment, Organization
from app.db.tables.connections import Connection, InboundEvent

# Built once: it runs before a billing system is asked.
_STANDING: Final[Select[*tuple[Any, ...]]] = select_columns(
    col(Connection.failures),
    col(Connection.rest_until),
    col(Connection.probe_until),
    col(Connection.last_ok_at),
    col(Connection.last_error),
).where(col(Connection.app_id) == bindparam("app_id"))

_MAKE: Final = text(
    "INSERT INTO connections (app_id, failures, needs_attention) VALUES (:app_id, 0, false) "
    "ON CONFLICT (app_id) DO NOTHING"
)
_REMEMBER: Final = text(
    "INSERT INTO inbound_events (app_id, event_sha256, expires_at) VALUES (:app_id, :event_sha256, :expires_at) "
    "ON CONFLICT (app_id, event_sha256) DO NOTHING"
).bindparams(bindparam("expires_at", type_=UtcDateTime()))


class Connected(NamedTuple):
    """An environment that has been connected, whose it is, and how it fares if that is known."""

    environment: Environment
    organization: Organization
    connection: Connection | None


def find_standing(db: Session, app_id: str) -> Row[*tuple[Any, ...]] | None:
    """Failures, rest, probe, last success and last error."""
    return db.connection().execute(_STANDING, {"app_id": app_id}).first()


def hold(db: Session, app_id: str) -> Connection:
    """The environment's row, made where there is none yet, and nobody else's until the transaction ends."""
    held = select(Connection).where(Connection.app_id == app_id).with_for_update()
    row = db.exec(held).first()
    if row is None:
        db.connection().execute(_MAKE, {"app_id": app_id})
        row = db.exec(held).one()
    return row


def find(db: Session, app_id: str) -> Connection | None:
    return db.get(Connection, app_id)


def claim_probe(db: Session, *, app_id: str, now: datetime, until: datetime) -> bool:
    """True for one of all who try, once the rest is over."""
    claim = (
        update(Connection)
        .where(
            col(Connection.app_id) == app_id,
            col(Connection.rest_until) <= now,
            or_(col(Connection.probe_until).is_(None), col(Connection.probe_until) <= now),
        )
        .values(probe_until=until)
    )
    return cast("CursorResult[Any]", db.connection().execute(claim)).rowcount == 1


def list_connected(db: Session, *, limit: int, after: str = "") -> list[Connected]:
    """In the order of their App IDs, from the one after `after` on."""
    rows = db.exec(
        select(Environment, Organization, Connection)
        .join(Organization, col(Organization.id) == Environment.organization_id)
        .outerjoin(Connection, col(Connection.app_id) == Environment.app_id)
        .where(col(Environment.provider_config).is_not(None), col(Environment.app_id) > after)
        .order_by(col(Environment.app_id))
        .limit(limit)
    )
    return [Connected(*row) for row in rows]


def list_connected_providers(db: Session) -> list[str]:
    """Which billing systems any environment is connected to."""
    connected = select(Environment.provider).where(col(Environment.provider_config).is_not(None))
    return sorted(db.exec(connected.distinct()))


def remember_event(db: Session, *, app_id: str, event_sha256: str, expires_at: datetime) -> bool:
    """True the first time."""
    values = {"app_id": app_id, "event_sha256": event_sha256, "expires_at": expires_at}
    return cast("CursorResult[Any]", db.connection().execute(_REMEMBER, values)).rowcount == 1


def forget_events(db: Session, *, now: datetime, limit: int) -> int:
    """Delete those that are not sent again any more, the oldest first."""
    over = (
        select(InboundEvent)
        .where(col(InboundEvent.expires_at) <= now)
        .order_by(col(InboundEvent.expires_at))
        .limit(limit)
    )
    found = list(db.exec(over))
    for row in found:
        db.connection().execute(
            delete(InboundEvent).where(
                col(InboundEvent.app_id) == row.app_id,
                col(InboundEvent.event_sha256) == row.event_sha256,
            )
        )
    return len(found)
