"""Every SQL statement that finds what is about one address, and how erasures stand. Erases nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.orm import load_only
from sqlmodel import Session, col, select

from app.core.erasure import NOBODY
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.privacy import Erasure
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession, SessionOffer
from app.db.tables.verifications import Verification
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery

LINK_TYPES: Final = "cancel_link."
MOST_NAMED: Final = 500  # in one statement

Columns = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Whose:
    """An address as addresses are compared, and the App IDs of the organization that is asked about it."""

    app_ids: tuple[str, ...]
    key: str


@dataclass(frozen=True, slots=True)
class About:
    """All that hangs on one session."""

    offers: Sequence[SessionOffer] = ()
    effects: Sequence[Effect] = ()
    receipts: Sequence[Receipt] = ()
    requests: Sequence[CancellationRequest] = ()
    events: Sequence[EventRow] = ()
    mails: Sequence[Mail] = field(default=())


def app_ids_of(db: Session, organization_id: str) -> tuple[str, ...]:
    """Both modes."""
    return tuple(
        db.exec(
            select(Environment.app_id)
            .where(Environment.organization_id == organization_id)
            .order_by(col(Environment.app_id))
        )
    )


def _is_of(whose: Whose, app_id: Any) -> ColumnElement[bool]:
    """Whether a row is the organization's. Said so that no index is used for it: SQLite takes an App ID, of which there
    may be a million rows, to be as rare as an address."""
    return func.coalesce(app_id, "").in_(whose.app_ids)


def slim(columns: Columns) -> tuple[Any, ...]:
    """For a statement that is to read these columns alone; to ask a row for another one raises. None named: whole
    rows."""
    return (load_only(*columns, raiseload=True),) if columns else ()


# --- By address -------------------------------------------------------------------------------------------------------


def list_sessions(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[CancelSession]:
    """Sessions whose customer, whose proven address or whose request has it; of each, those with a change under way
    come last. `only`, here and below: the columns to read, where that is not all."""
    asked = (
        select(CancellationRequest.session_id)
        .where(CancellationRequest.address_key == whose.key, col(CancellationRequest.session_id).is_not(None))
        .distinct()
    )
    has_it = (
        or_(col(CancelSession.email_key) == whose.key, col(CancelSession.recipient_key) == whose.key),
        col(CancelSession.id).in_(asked),  # by itself: one index each
    )
    found: dict[str, CancelSession] = {}
    for condition in has_it:
        rows = db.exec(
            select(CancelSession)
            .where(
                condition,
                _is_of(whose, CancelSession.app_id),
                col(CancelSession.erased_at).is_(None),
            )
            .order_by(is_changing(), col(CancelSession.id))
            .limit(limit)
            .options(*slim(only))
        )
        found |= {row.id: row for row in rows}
    return list(found.values())[:limit]


def is_changing() -> ColumnElement[bool]:
    """Whether a change that a session asked for is still to be made."""
    return (
        select(Effect.id)
        .where(Effect.session_id == CancelSession.id, Effect.status == "pending")
        .correlate(CancelSession)
        .exists()
    )


def list_nameless_sessions(
    db: Session, *, app_id: str, customer_id: str, limit: int, only: Columns = ()
) -> list[CancelSession]:
    """The customer's sessions of which no address is known, and which are not erased yet."""
    return list(
        db.exec(
            select(CancelSession)
            .where(
                CancelSession.app_id == app_id,
                CancelSession.customer_id == customer_id,
                CancelSession.customer_id != NOBODY,
                col(CancelSession.email_key).is_(None),
                col(CancelSession.recipient_key).is_(None),
                col(CancelSession.erased_at).is_(None),
            )
            .order_by(col(CancelSession.created_at))
            .limit(limit)
            .options(*slim(only))
        )
    )


def list_links(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[CancelLink]:
    return list(
        db.exec(
            select(CancelLink)
            .where(CancelLink.email_key == whose.key, _is_of(whose, CancelLink.app_id))
            .order_by(col(CancelLink.id))
            .limit(limit)
            .options(*slim(only))
        )
    )


def list_nameless_links(
    db: Session, *, app_id: str, customer_id: str, limit: int, only: Columns = ()
) -> list[CancelLink]:
    """The customer's links that name no address and lead to no session that stays."""
    return list(
        db.exec(
            select(CancelLink)
            .where(
                CancelLink.app_id == app_id,
                CancelLink.customer_id == customer_id,
                CancelLink.customer_id != NOBODY,  # what is erased is nobody's
                col(CancelLink.email_key).is_(None),
                ~_leads_somewhere(),
            )
            .order_by(col(CancelLink.created_at))
            .limit(limit)
            .options(*slim(only))
        )
    )


def find_unused_link(db: Session, link_id: str, key: str) -> CancelLink | None:
    """The link, unless it names another address or leads to a session that stays."""
    return db.exec(
        select(CancelLink).where(
            CancelLink.id == link_id,
            or_(col(CancelLink.email_key).is_(None), col(CancelLink.email_key) == key),
            CancelLink.customer_id != NOBODY,
            ~_leads_somewhere(),
        )
    ).first()


def _leads_somewhere() -> ColumnElement[bool]:
    return (
        select(CancelSession.id)
        .where(CancelSession.link_id == CancelLink.id, col(CancelSession.erased_at).is_(None))
        .correlate(CancelLink)
        .exists()
    )


def list_requests(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[CancellationRequest]:
    return list(
        db.exec(
            select(CancellationRequest)
            .where(
                CancellationRequest.address_key == whose.key,
                _is_of(whose, CancellationRequest.app_id),
            )
            .order_by(col(CancellationRequest.id))
            .limit(limit)
            .options(*slim(only))
        )
    )


def list_verifications(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[Verification]:
    return list(
        db.exec(
            select(Verification)
            .where(Verification.address_key == whose.key, _is_of(whose, Verification.app_id))
            .order_by(col(Verification.id))
            .limit(limit)
            .options(*slim(only))
        )
    )


def list_mails(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[Mail]:
    return list(
        db.exec(
            select(Mail)
            .where(Mail.recipient_key == whose.key, _is_of(whose, Mail.app_id))
            .order_by(col(Mail.id))
            .limit(limit)
            .options(*slim(only))
        )
    )


def list_records(db: Session, whose: Whose, *, limit: int, only: Columns = ()) -> list[SessionRecord]:
    """Records of sessions whose own rows are gone, or were erased by another version."""
    return list(
        db.exec(
            select(SessionRecord)
            .where(SessionRecord.customer_email == whose.key, col(SessionRecord.app_id).in_(whose.app_ids))
            .order_by(col(SessionRecord.session_id))
            .limit(limit)
            .options(*slim(only))
        )
    )


# --- What hangs on it -------------------------------------------------------------------------------------------------


def about_session(db: Session, session: CancelSession) -> About:
    receipts = list(db.exec(select(Receipt).where(Receipt.session_id == session.id)))
    requests = list(db.exec(select(CancellationRequest).where(CancellationRequest.session_id == session.id)))
    effects = list(db.exec(select(Effect).where(Effect.session_id == session.id)))
    subjects = [
        session.id,
        *(one.id for one in receipts),
        *(one.id for one in requests),
        *(one.id for one in effects),
    ]
    if session.verification_id:
        subjects.append(session.verification_id)
    return About(
        offers=list(db.exec(select(SessionOffer).where(SessionOffer.session_id == session.id))),
        effects=effects,
        receipts=receipts,
        requests=requests,
        events=list(
            db.exec(
                select(EventRow).where(EventRow.session_id == session.id).order_by(col(EventRow.sequence))
            )
        ),
        mails=mails_about(db, subjects),
    )


def mails_about(db: Session, subject_ids: Collection[str]) -> list[Mail]:
    return list(db.exec(select(Mail).where(col(Mail.subject_id).in_(subject_ids))))


def receipts_of_request(db: Session, request_id: str) -> list[Receipt]:
    return list(db.exec(select(Receipt).where(Receipt.request_id == request_id)))


def events_of_link(db: Session, link: CancelLink) -> list[EventRow]:
    """A link's events are in no session; each was written at a moment that the link or its session has too."""
    exchanged = db.exec(select(CancelSession.created_at).where(CancelSession.link_id == link.id)).all()
    moments = {link.created_at, link.exchanged_at, link.consumed_at, link.revoked_at, *exchanged}
    found = _at(db, link.app_id, sorted(moment for moment in moments if moment is not None))
    return [e for e in found if e.type.startswith(LINK_TYPES) and e.data.get("linkId") == link.id]


def events_of_request(db: Session, request: CancellationRequest) -> list[EventRow]:
    found = _at(db, request.app_id, [request.created_at])
    return [event for event in found if event.data.get("requestId") == request.id]


def _at(db: Session, app_id: str, moments: Sequence[datetime]) -> list[EventRow]:
    found: list[EventRow] = []
    for begin in range(0, len(moments), MOST_NAMED):
        found += db.exec(
            select(EventRow).where(
                EventRow.app_id == app_id,
                col(EventRow.created_at).in_(moments[begin : begin + MOST_NAMED]),
                col(EventRow.session_id).is_(None),
            )
        )
    return found


def deliveries_of(
    db: Session, event_ids: Collection[str]
) -> list[tuple[WebhookDelivery, list[WebhookAttempt]]]:
    deliveries = db.exec(select(WebhookDelivery).where(col(WebhookDelivery.event_id).in_(event_ids))).all()
    attempts = db.exec(
        select(WebhookAttempt).where(col(WebhookAttempt.delivery_id).in_([one.id for one in deliveries]))
    ).all()
    return [(one, [each for each in attempts if each.delivery_id == one.id]) for one in deliveries]


# --- Erasures ---------------------------------------------------------------------------------------------------------


def hold_erasure(db: Session, erasure_id: str) -> Erasure | None:
    """This transaction's alone until it ends."""
    return db.exec(select(Erasure).where(Erasure.id == erasure_id).with_for_update()).first()


def find_erasure(db: Session, *, organization_id: str, erasure_id: str) -> Erasure | None:
    """Another organization's is not found, nor is text that is no id at all."""
    if not erasure_id.isprintable():
        return None
    return db.exec(
        select(Erasure).where(Erasure.id == erasure_id, Erasure.organization_id == organization_id)
    ).first()


def list_going_on(db: Session, organization_id: str) -> list[Erasure]:
    return list(
        db.exec(
            select(Erasure)
            .where(Erasure.organization_id == organization_id, col(Erasure.finished_at).is_(None))
            .order_by(col(Erasure.requested_at))
        )
    )


def list_every_going_on(db: Session) -> list[Erasure]:
    """Of every organization, held until the transaction ends."""
    unfinished = select(Erasure).where(col(Erasure.finished_at).is_(None))
    return list(db.exec(unfinished.order_by(col(Erasure.id)).with_for_update()))


def list_erasures(
    db: Session, organization_id: str, *, limit: int, before: tuple[datetime, str] | None = None
) -> list[Erasure]:
    """Newest first."""
    statement = select(Erasure).where(Erasure.organization_id == organization_id)
    if before is not None:
        at, erasure_id = before
        statement = statement.where(
            or_(
                col(Erasure.requested_at) < at,
                and_(col(Erasure.requested_at) == at, col(Erasure.id) < erasure_id),
            )
        )
    order = (col(Erasure.requested_at).desc(), col(Erasure.id).desc())
    return list(db.exec(statement.order_by(*order).limit(limit)))
