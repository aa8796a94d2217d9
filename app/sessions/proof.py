"""What a customer gets in writing of a session: receipts, and the notice of a cancellation that a person carries out.

Written in the transaction of the step they are about, or of the change that was settled.
"""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlmodel import Session

from app.core import receipt
from app.core.receipt import ReceiptStatus
from app.core.state import Outcome, Pending, Phase, SessionState
from app.core.world import Walk
from app.db.base import new_id
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.sessions import CancelSession
from app.manual import service as manual
from app.receipts import queries as receipts_queries
from app.receipts import service as receipts

ZONE_ATTRIBUTE: Final = "timezone"  # a merchant may say it among the customer's attributes
LONGEST_ZONE: Final = 64


def prove_end(db: Session, row: CancelSession, walk: Walk, before: SessionState, state: SessionState) -> None:
    """Write the receipt of a walk that has just ended, if it changed or requested anything."""
    has_ended = state.phase is Phase.FINISHED and before.phase is not Phase.FINISHED
    if not has_ended or state.outcome not in receipt.TYPE_OF_OUTCOME:
        return
    asked = before.pending
    effect = db.get(Effect, asked.effect_id) if asked else None
    is_manual = state.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED
    if is_manual:
        db.flush()
        manual.record(
            db,
            app_id=row.app_id,
            session_id=row.id,
            customer_id=row.customer_id,
            subscription_id=state.subscription_id,
            reasons=state.manual_reasons,
            now=walk.now,
        )
    content = receipt.of_outcome(
        _frame(db, row, walk), walk, state, asked=asked, reference=effect.reference if effect else None
    )
    if content is not None:
        # A request that a person carries out is none of the change that failed before it.
        _issue(db, row, walk, content, asked.effect_id if asked and not is_manual else None)


def prove_request(db: Session, row: CancelSession, walk: Walk, state: SessionState, asked: Pending) -> None:
    """Write that a change was asked for and has yet to be made: the provider does not answer."""
    content = receipt.of_change(_frame(db, row, walk), walk, state, asked, ReceiptStatus.REQUESTED)
    _issue(db, row, walk, content, asked.effect_id)


def prove_failure(
    db: Session,
    row: CancelSession,
    walk: Walk,
    state: SessionState,
    asked: Pending,
    *,
    reason: str,
) -> None:
    """Write that a change was not made in the end, to a customer who has it in writing that it was asked for.

    Not of a cancellation: that goes on to a person, with a receipt of its own.
    """
    is_told = receipts_queries.find_of_effect(db, effect_id=asked.effect_id, status=ReceiptStatus.REQUESTED)
    if is_told is None or asked.change.type == "cancel":
        return
    content = receipt.of_change(
        _frame(db, row, walk), walk, state, asked, ReceiptStatus.FAILED, reasons=(reason,)
    )
    _issue(db, row, walk, content, asked.effect_id)


def known_zone(name: object) -> str | None:
    """The name of a time zone if it is one; whoever says it may say anything."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ZONE or not name.isascii():
        return None
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a path, a folder of zones
        return None


def _issue(
    db: Session,
    row: CancelSession,
    walk: Walk,
    content: Mapping[str, Any],
    effect_id: str | None,
) -> None:
    customer = walk.world.customer
    db.flush()  # the session row first: the receipt refers to it
    receipts.issue(
        db,
        app_id=row.app_id,
        session_id=row.id,
        effect_id=effect_id,
        content=content,
        recipient=row.recipient or (customer.email if customer else None),
        now=walk.now,
    )


def _frame(db: Session, row: CancelSession, walk: Walk) -> receipt.Frame:
    environment = db.get_one(Environment, row.app_id)
    attributes = {**walk.world.mint_attributes, **walk.world.attributes}
    said = known_zone(attributes.get(ZONE_ATTRIBUTE))
    return receipt.Frame(
        receipt_id=new_id("rcp"),
        merchant=receipts.merchant_of(db, environment),
        customer_id=row.customer_id,
        locale=row.locale,
        time_zone=said or row.time_zone or environment.time_zone,
        flow_version=row.flow_version_id,
    )
