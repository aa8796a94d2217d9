"""Every SQL statement about organizations, environments and keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, or_, update
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.db.tables.accounts import ApiKey, Environment, Organization

# Built once: it runs before every API request.
_CALLER: Select[*tuple[Any, ...]] = (
    select_columns(
        col(Environment.app_id),
        col(Environment.mode),
        col(Environment.return_origins),
        col(ApiKey.id).label("key_id"),
        col(ApiKey.last_used_at),
    )
    .join(ApiKey, col(ApiKey.app_id) == col(Environment.app_id))
    .where(
        col(ApiKey.key_sha256) == bindparam("key_sha256"),
        col(ApiKey.kind) == "flow",
        col(ApiKey.revoked_at).is_(None),
        col(Environment.app_id) == bindparam("app_id"),
    )
)

_Named = aliased(Environment)
# The App ID may be the other environment's of the same organization: existing clients of the Data API know one App ID,
# and tell test from live by the key alone.
_DATA_CALLER: Select[*tuple[Any, ...]] = (
    select_columns(
        col(Environment.app_id),
        col(Environment.mode),
        col(Environment.organization_id),
        col(ApiKey.id).label("key_id"),
        col(ApiKey.scopes),
        col(ApiKey.last_used_at),
    )
    .join(ApiKey, col(ApiKey.app_id) == col(Environment.app_id))
    .join(_Named, col(_Named.organization_id) == col(Environment.organization_id))
    .where(
        col(ApiKey.key_sha256) == bindparam("key_sha256"),
        col(ApiKey.kind) == "data",
        col(ApiKey.revoked_at).is_(None),
        col(_Named.app_id) == bindparam("app_id"),
    )
)

# So is this: before every page that stands at a merchant's own address.
_WITH_OWNER = (
    select(Environment, Organization)
    .join(Organization, col(Organization.id) == Environment.organization_id)
    .where(col(Environment.app_id) == bindparam("app_id"))
)

_KEYS = (
    select(ApiKey)
    .where(col(ApiKey.app_id) == bindparam("app_id"), col(ApiKey.kind) == bindparam("kind"))
    .order_by(col(ApiKey.created_at), col(ApiKey.id))
    .limit(100)
)


def find_caller(db: Session, *, app_id: str, key_sha256: str) -> Row[*tuple[Any, ...]] | None:
    """The environment with that App ID, if that is an active key of it."""
    return db.connection().execute(_CALLER, {"app_id": app_id, "key_sha256": key_sha256}).first()


def find_data_caller(db: Session, *, app_id: str, key_sha256: str) -> Row[*tuple[Any, ...]] | None:
    """The environment of that active data key, if the App ID is one of the same organization."""
    return db.connection().execute(_DATA_CALLER, {"app_id": app_id, "key_sha256": key_sha256}).first()


def note_use(db: Session, *, key_id: str, now: datetime, unless_since: datetime) -> None:
    """Note when the key was last used, unless that is known as of `unless_since` or later."""
    db.connection().execute(
        update(ApiKey)
        .where(
            col(ApiKey.id) == key_id,
            or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) < unless_since),
        )
        .values(last_used_at=now)
    )


def find_organization(db: Session, slug: str) -> Organization | None:
    return db.exec(select(Organization).where(Organization.slug == slug)).first()


def list_organizations(db: Session, *, limit: int = 100, after: str = "") -> list[Organization]:
    """In the order of their slugs, from the one after `after` on."""
    return list(
        db.exec(
            select(Organization)
            .where(col(Organization.slug) > after)
            .order_by(col(Organization.slug))
            .limit(limit)
        )
    )


def find_with_owner(db: Session, app_id: str) -> tuple[Environment, Organization] | None:
    """The environment with that App ID, and whose it is."""
    found = db.exec(_WITH_OWNER, params={"app_id": app_id}).first()
    return (found[0], found[1]) if found is not None else None


def find_environment(db: Session, app_id: str) -> Environment | None:
    return db.get(Environment, app_id)


def list_environments(db: Session, organization_id: str) -> list[Environment]:
    """Live first, then test."""
    return list(
        db.exec(
            select(Environment)
            .where(Environment.organization_id == organization_id)
            .order_by(col(Environment.mode))
        )
    )


def list_keys(db: Session, app_id: str, *, kind: str = "flow") -> list[ApiKey]:
    """Those of that kind, oldest first, revoked ones too; an environment has few."""
    return list(db.exec(_KEYS, params={"app_id": app_id, "kind": kind}))


def list_every_key(db: Session) -> list[ApiKey]:
    """Of every environment, held until the transaction ends."""
    return list(db.exec(select(ApiKey).order_by(col(ApiKey.id)).with_for_update()))


def list_every_environment(db: Session) -> list[Environment]:
    """Of every organization, held until the transaction ends."""
    return list(db.exec(select(Environment).order_by(col(Environment.app_id)).with_for_update()))
