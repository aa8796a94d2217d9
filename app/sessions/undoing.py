"""Takes a cancellation back from its receipt, weeks later and in any browser: a session of its own does it, so that it
is asked for, proven and reported as everything else is."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlmodel import Session

from app.core.calendar import parse_moment
from app.core.commands import Keep, UndoCancel
from app.core.errors import AppError
from app.core.receipt import ReceiptStatus, ReceiptType
from app.core.state import Phase
from app.db.tables.accounts import Environment
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession
from app.receipts import queries as receipts
from app.sessions import carrying, opening, queries, service
from app.sessions.ports import SessionPorts
from app.sessions.service import Begun, Standing

ASKED_WITHIN: Final = timedelta(minutes=1)  # a session that was begun for it asks for it at once


class NothingToUndo(AppError):
    """The receipt is not about a cancellation that can still be taken back."""

    code = "nothing_to_undo"
    status = 410
    user_message = "This can no longer be undone."


class UndoUnderWay(AppError):
    """Another browser has asked for it, and the billing system is yet to answer."""

    code = "undo_under_way"
    status = 409
    user_message = "This is being undone already."


def is_undone(db: Session, receipt: Receipt) -> bool:
    """Whether the cancellation that the receipt confirms was taken back later, as far as is known here."""
    content = receipt.content
    return _confirms_cancellation(receipt) and queries.is_taken_back(
        db,
        app_id=receipt.app_id,
        customer_id=content["customerId"],
        subscription_id=content["subscriptionId"],
        after=receipt.created_at,
    )


def is_open(receipt: Receipt, now: datetime) -> bool:
    """Whether there is time left to take the receipt's cancellation back, unless that was done."""
    until = receipt.content["undoUntil"]
    return _confirms_cancellation(receipt) and until is not None and parse_moment(until) > now


def _confirms_cancellation(receipt: Receipt) -> bool:
    is_confirmed = receipt.status == ReceiptStatus.CONFIRMED
    return is_confirmed and receipt.content["type"] == ReceiptType.CANCELLATION


async def undo(
    ports: SessionPorts, *, receipt_id: str, browser_sha256: str, time_zone: str | None = None
) -> str:
    """Ask the billing system to keep the subscription; the session that does it, which then shows how it went.

    A subscription that does not end any more is left as it is. `time_zone` is the customer's, if known. Raises
    NothingToUndo.
    """
    now = ports.clock.now()
    begin = partial(
        _begin, receipt_id=receipt_id, browser_sha256=browser_sha256, holder=ports.holder, now=now
    )
    session_id, _ = await opening.enter_by(ports, begin, now)
    submitted = await ports.database.write(
        service.submit,
        session_id=session_id,
        browser_sha256=browser_sha256,
        command=_command,
        holder=ports.holder,
        now=ports.clock.now(),
        time_zone=time_zone,
    )
    await carrying.try_now(ports, submitted.jobs)
    return session_id


def _command(standing: Standing) -> UndoCancel | Keep:
    """What was asked for where the end is scheduled; else there is nothing to change."""
    return UndoCancel() if standing.state.phase is Phase.SCHEDULED else Keep()


def _is_under_way(known: CancelSession, now: datetime) -> bool:
    """Whether what another browser has asked for may still be done. Each that asks is mailed about; whoever has the
    receipt could else flood its owner while the billing system is down."""
    return known.phase == Phase.WORKING or (
        known.phase != Phase.FINISHED and now - known.created_at < ASKED_WITHIN
    )


def _begin(db: Session, *, receipt_id: str, browser_sha256: str, holder: str, now: datetime) -> Begun:
    receipt = receipts.lock_receipt(db, receipt_id)  # of many browsers at once one begins
    if receipt is None or receipt.session_id is None:
        raise NothingToUndo
    origin = db.get_one(CancelSession, receipt.session_id)
    known = queries.find_session_of_receipt(db, origin=origin, receipt_id=receipt_id)
    if known is not None and known.browser_sha256 == browser_sha256 and not service.is_over(known, now):
        return Begun(known.id)  # pressed twice
    if known is not None and _is_under_way(known, now):
        raise UndoUnderWay
    if not is_open(receipt, now) or is_undone(db, receipt):
        raise NothingToUndo
    return service.new_session(
        db,
        db.get_one(Environment, receipt.app_id),
        customer_id=origin.customer_id,
        subscription_id=receipt.content["subscriptionId"],
        link=None,
        browser_sha256=browser_sha256,
        locale=origin.locale,
        holder=holder,
        now=now,
        entry="receipt",
        receipt_id=receipt_id,
        recipient=origin.recipient,
    )
