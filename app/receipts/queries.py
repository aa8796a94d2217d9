"""Every SQL statement about receipts and their keys."""

from typing import Final

from sqlalchemy import bindparam, text
from sqlmodel import Session, col, select

from app.core.receipt import ReceiptStatus
from app.db.tables.accounts import Environment
from app.db.tables.receipts import Receipt, ReceiptKey

# Built once: whoever has a receipt's address may ask for it at any time.
_WITH_OWNER: Final = (
    select(Receipt, Environment)
    .join(Environment, col(Environment.app_id) == Receipt.app_id)
    .where(col(Receipt.id) == bindparam("receipt_id"))
)


def find_of_effect(db: Session, *, effect_id: str, status: str) -> Receipt | None:
    """The receipt of one change in one status; there is at most one."""
    return db.exec(select(Receipt).where(Receipt.effect_id == effect_id, Receipt.status == status)).first()


def find_receipt(db: Session, receipt_id: str) -> Receipt | None:
    return db.get(Receipt, receipt_id)


def find_with_owner(db: Session, receipt_id: str) -> tuple[Receipt, Environment] | None:
    """The receipt and the environment whose customer has it."""
    found = db.exec(_WITH_OWNER, params={"receipt_id": receipt_id}).first()
    return (found[0], found[1]) if found is not None else None


def lock_receipt(db: Session, receipt_id: str) -> Receipt | None:
    """The receipt, this transaction's alone until it ends: of two workers one signs it."""
    return db.exec(select(Receipt).where(Receipt.id == receipt_id).with_for_update()).first()


def find_outcome(db: Session, receipt: Receipt) -> Receipt | None:
    """What became of a change after this receipt said that it was requested."""
    if receipt.effect_id is None or receipt.status != ReceiptStatus.REQUESTED:
        return None
    return db.exec(
        select(Receipt)
        .where(Receipt.effect_id == receipt.effect_id, col(Receipt.id) != receipt.id)
        .order_by(col(Receipt.created_at).desc())
        .limit(1)
    ).first()


def find_newest_of_session(db: Session, session_id: str) -> Receipt | None:
    """What the customer of a session was told last in writing."""
    return db.exec(
        select(Receipt)
        .where(Receipt.session_id == session_id)
        .order_by(col(Receipt.created_at).desc(), col(Receipt.id).desc())
        .limit(1)
    ).first()


def list_of_session(db: Session, session_id: str) -> list[Receipt]:
    """Everything that the customer of a session has in writing, oldest first."""
    of_session = select(Receipt).where(Receipt.session_id == session_id)
    return list(db.exec(of_session.order_by(col(Receipt.created_at), col(Receipt.id))))


def find_of_request(db: Session, request_id: str) -> Receipt | None:
    """What somebody has in writing of a cancellation request that he left."""
    return db.exec(select(Receipt).where(Receipt.request_id == request_id).limit(1)).first()


def list_of_reference(db: Session, begin: str, *, limit: int) -> list[Receipt]:
    """Every receipt of the sessions and requests whose ids go on like this (`3f0c…`), oldest first."""
    found: list[Receipt] = []
    for column, prefix in ((col(Receipt.session_id), "cs_"), (col(Receipt.request_id), "req_")):
        # A range, which an index serves; ids are hexadecimal, so `g` comes behind them all.
        of_reference = (column >= prefix + begin) & (column < prefix + begin + "g")
        found += db.exec(select(Receipt).where(of_reference).order_by(col(Receipt.created_at)).limit(limit))
    return sorted(found, key=lambda receipt: (receipt.created_at, receipt.id))[:limit]


# --- Keys ---------------------------------------------------------------------------------------------------------


def list_keys(db: Session, *, locked: bool = False) -> list[ReceiptKey]:
    """Every key, the oldest first. They are made by hand, one in years: there are few."""
    keys = select(ReceiptKey).order_by(col(ReceiptKey.created_at), col(ReceiptKey.id))
    return list(db.exec(keys.with_for_update() if locked else keys))


def lock_keys(db: Session) -> None:
    """Until this transaction ends nobody else makes a key. SQLite's writers come one after the other anyway."""
    if db.get_bind().dialect.name == "postgresql":
        db.connection().execute(text("LOCK TABLE receipt_keys IN SHARE ROW EXCLUSIVE MODE"))
