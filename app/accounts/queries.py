"""Every SQL statement about organizations, environments and keys."""

from sqlmodel import Session, col, select

from app.db.tables.accounts import ApiKey, Environment, Organization


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


def find_key(db: Session, key_sha256: str) -> ApiKey | None:
    return db.exec(select(ApiKey).where(ApiKey.key_sha256 == key_sha256)).first()


def list_keys(db: Session, app_id: str) -> list[ApiKey]:
    """Oldest first, revoked ones too; an environment has few."""
    return list(
        db.exec(
            select(ApiKey)
            .where(ApiKey.app_id == app_id)
            .order_by(col(ApiKey.created_at), col(ApiKey.id))
            .limit(100)
        )
    )
