"""Receipts as the database's rows, without the session that they are about."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlmodel import select

from app.accounts import queries as accounts
from app.accounts import service
from app.db.base import new_id
from app.db.database import Database, Session
from app.db.tables.receipts import Receipt, ReceiptKey
from app.receipts.service import issue

CONTENT: dict[str, Any] = {
    "version": 1,
    "reference": "LW-7F3C-92AD",
    "type": "cancellation",
    "status": "confirmed",
    "locale": "en",
    "plan": "Pro für Zwei 🙂",
    "facts": {"price": {"amount": 2900, "currency": "USD"}, "endsNow": False},
    "undoUntil": "2026-12-01T23:30:00Z",
    "reasons": [],
}


def open_environment(db: Session, now: datetime) -> str:
    """The App ID of a new merchant."""
    organization = service.create_organization(db, name="Northwind Notes", slug="northwind", now=now)
    return accounts.list_environments(db, organization.id)[0].app_id


def write(
    database: Database,
    app_id: str,
    now: datetime,
    *,
    recipient: str | None = "ben@example.com",
    request_id: str | None = None,
    **changes: Any,
) -> Receipt:
    """A receipt that the worker has not seen yet."""
    content = {**CONTENT, "id": new_id("rcp"), **changes}
    return database.write_sync(
        issue, app_id=app_id, content=content, recipient=recipient, now=now, request_id=request_id
    )


def kept(database: Database, receipt_id: str) -> Receipt:
    """The row as it is now."""
    return database.read_sync(lambda db: db.get_one(Receipt, receipt_id))


def change_key(database: Database, key_id: str, change: Callable[[ReceiptKey], None]) -> None:
    database.write_sync(lambda db: change(db.get_one(ReceiptKey, key_id)))


def all_keys(database: Database) -> list[ReceiptKey]:
    return database.read_sync(lambda db: list(db.exec(select(ReceiptKey))))
