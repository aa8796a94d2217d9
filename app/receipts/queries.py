"""Every SQL statement about receipts and their keys."""

from sqlmodel import Session, select

from app.db.tables.receipts import Receipt


def find_of_effect(db: Session, *, effect_id: str, status: str) -> Receipt | None:
    """The receipt of one change in one status; there is at most one."""
    return db.exec(select(Receipt).where(Receipt.effect_id == effect_id, Receipt.status == status)).first()
