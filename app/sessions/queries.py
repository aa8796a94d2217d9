"""Every SQL statement about sessions, their offers and a customer's history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, Update, bindparam, func, insert, or_, tuple_, update
from sqlmodel import Session, col, select

from app.core.billing import Pause, parse_change
from app.core.facts import History
from app.core.state import OfferStatus, Phase
from app.db.tables.accounts import Environment, Organization
from app.db.tables.effects import Effect
from app.db.tables.sessions import CancelSession, SessionOffer

YEAR = timedelta(days=365)
SAVES = ("discount", "pause", "plan_change", "trial_extension")

# Built once: every step, every screen and every landing runs some of these.
_WITH_OWNER: Final = (
    select(CancelSession, Environment, Organization)
    .join(Environment, col(Environment.app_id) == CancelSession.app_id)
    .join(Organization, col(Organization.id) == Environment.organization_id)
    .where(col(CancelSession.id) == bindparam("session_id"))
)
STEP_COLUMNS: Final = (
    "phase",
    "outcome",
    "subscription_id",
    "revision",
    "event_count",
    "last_seen_at",
    "closed_at",
    "time_zone",
    "state",
    "steps_viewed",
    "explanations",
)
_OPENING_COLUMNS: Final = (
    *STEP_COLUMNS,
    "customer_id",
    "email_key",
    "snapshot",
    "opened_at",
    "opening_by",
    "opening_until",
    "data_call_reason",
)
_TABLE: Final[Table] = CancelSession.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_SAVE: Final = update(_TABLE).where(col(CancelSession.id) == bindparam("session_id"))
_SAVE_STEP: Final = _SAVE.values({name: bindparam(name) for name in STEP_COLUMNS})
_SAVE_OPENING: Final = _SAVE.values({name: bindparam(name) for name in _OPENING_COLUMNS})
_NEW_SESSION: Final = insert(CancelSession)
_COLUMNS: Final = tuple(_TABLE.columns.keys())
_NEW_OFFER: Final = insert(SessionOffer)
_LOCKED: Final = (
    select(CancelSession).where(col(CancelSession.id) == bindparam("session_id")).with_for_update()
)
_OF_CUSTOMER: Final = (
    col(CancelSession.app_id) == bindparam("app_id"),
    col(CancelSession.customer_id) == bindparam("customer_id"),
)
_TAKEN_BACK: Final = (
    select(Effect.id)
    .join(CancelSession, col(CancelSession.id) == Effect.session_id)
    .where(
        *_OF_CUSTOMER,
        col(Effect.subscription_id).is_not_distinct_from(bindparam("subscription")),
        col(Effect.type) == "uncancel",
        col(Effect.status) == "applied",
        col(Effect.applied_at) >= bindparam("after"),
    )
    .limit(1)
)
_ACCEPTED: Final = (
    select(SessionOffer)
    .where(
        col(SessionOffer.app_id) == bindparam("app_id"),
        col(SessionOffer.customer_id) == bindparam("customer_id"),
        col(SessionOffer.kind).in_(SAVES),
        col(SessionOffer.accepted_at).is_not(None),
        col(SessionOffer.status) == OfferStatus.APPLIED,
    )
    .order_by(col(SessionOffer.accepted_at).desc())
    .limit(200)
)
_COUNT: Final = (
    select(func.count())
    .select_from(CancelSession)
    .where(
        *_OF_CUSTOMER,
        col(CancelSession.id) != bindparam("besides"),
        col(CancelSession.entry) != "receipt",  # who takes a cancellation back does not come to cancel
    )
)
_PAUSES: Final = (
    select(Effect)
    .join(CancelSession, col(CancelSession.id) == Effect.session_id)
    .where(
        *_OF_CUSTOMER,
        col(Effect.status) == "applied",
        col(Effect.type).in_(("pause", "resume")),
    )
    .order_by(col(Effect.applied_at))
    .limit(200)
)
_LOCKED_WITH_OWNER: Final = _WITH_OWNER.with_for_update(of=CancelSession)


class Owned(NamedTuple):
    """A session with whose it is."""

    session: CancelSession
    environment: Environment
    organization: Organization


def find_owned(db: Session, session_id: str) -> Owned | None:
    found = db.exec(_WITH_OWNER, params={"session_id": session_id}).first()
    return Owned(*found) if found is not None else None


def lock_owned(db: Session, session_id: str) -> Owned | None:
    """As `lock_session`; the owner is only read."""
    found = db.exec(_LOCKED_WITH_OWNER, params={"session_id": session_id}).first()
    return Owned(*found) if found is not None else None


def owned(db: Session, session: CancelSession) -> Owned:
    environment = db.get_one(Environment, session.app_id)
    return Owned(session, environment, db.get_one(Organization, environment.organization_id))


def lock_session(db: Session, session_id: str) -> CancelSession | None:
    """The session, held against every other writer until the transaction ends (SQLite has one writer anyway)."""
    return db.exec(_LOCKED, params={"session_id": session_id}).first()


def add_session(db: Session, row: CancelSession) -> None:
    """Write a new session, past the ORM, which does not get to know `row`."""
    db.connection().execute(_NEW_SESSION, {name: getattr(row, name) for name in _COLUMNS})


def save_step(db: Session, row: CancelSession) -> None:
    """Write what a step changes in a session, past the ORM; the row is let go of, and may still be read."""
    _save(db, row, _SAVE_STEP, STEP_COLUMNS)


def save_opening(db: Session, row: CancelSession) -> None:
    """Write what opening changes in a session, as `save_step` does."""
    _save(db, row, _SAVE_OPENING, _OPENING_COLUMNS)


def _save(db: Session, row: CancelSession, statement: Update, columns: Sequence[str]) -> None:
    values = {name: getattr(row, name) for name in columns}
    db.connection().execute(statement, {**values, "session_id": row.id})
    db.expunge(row)


def find_session(db: Session, session_id: str) -> CancelSession | None:
    return db.get(CancelSession, session_id)


def find_session_of_link(db: Session, *, link_id: str, browser_sha256: str) -> CancelSession | None:
    """The newest session that this browser opened with this link."""
    return db.exec(
        select(CancelSession)
        .where(CancelSession.link_id == link_id, CancelSession.browser_sha256 == browser_sha256)
        .order_by(col(CancelSession.created_at).desc())
        .limit(1)
    ).first()


def find_session_of_receipt(db: Session, *, origin: CancelSession, receipt_id: str) -> CancelSession | None:
    """The newest session that a receipt's undo opened."""
    return db.exec(
        select(CancelSession)
        .where(
            CancelSession.app_id == origin.app_id,
            CancelSession.customer_id == origin.customer_id,
            CancelSession.receipt_id == receipt_id,
        )
        .order_by(col(CancelSession.created_at).desc())
        .limit(1)
    ).first()


def claim_opening(db: Session, *, session_id: str, holder: str, now: datetime, until: datetime) -> bool:
    """Take over an opening whose holder died. False where somebody is at it, or it is done."""
    claimed = db.connection().execute(
        update(CancelSession)
        .where(
            col(CancelSession.id) == session_id,
            col(CancelSession.phase) == Phase.OPENING,
            or_(col(CancelSession.opening_until).is_(None), col(CancelSession.opening_until) <= now),
        )
        .values(opening_by=holder, opening_until=until)
    )
    return claimed.rowcount == 1


def list_idle(db: Session, *, seen_before: datetime, limit: int) -> list[CancelSession]:
    """Open sessions that nobody has touched since; not those with a change under way."""
    resting = (Phase.OPENING, Phase.CHOOSING, Phase.WALKING, Phase.TROUBLE, Phase.SCHEDULED, Phase.PAUSED)
    return list(
        db.exec(
            select(CancelSession)
            .where(
                col(CancelSession.phase).in_(resting),
                col(CancelSession.last_seen_at) <= seen_before,
                col(CancelSession.closed_at).is_(None),
            )
            .order_by(col(CancelSession.last_seen_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def hold_customer(db: Session, *, app_id: str, customer_id: str, created_after: datetime) -> None:
    """Until the transaction ends, nobody else holds this customer, in any process. Sessions are taken in one order."""
    db.exec(
        select(CancelSession.id)
        .where(
            CancelSession.app_id == app_id,
            CancelSession.customer_id == customer_id,
            col(CancelSession.created_at) > created_after,
        )
        .order_by(col(CancelSession.id))
        .with_for_update()
    ).all()


def list_other_changes(db: Session, effect: Effect, *, created_after: datetime) -> list[Effect]:
    """Changes to the same subscription out of any session of this customer that is not older than that. One for which
    the subscription has yet to be found out may be about any of them."""
    changes = (
        select(Effect)
        .join(CancelSession, col(CancelSession.id) == Effect.session_id)
        .where(
            CancelSession.app_id == effect.app_id,
            CancelSession.customer_id == effect.customer_id,
            col(CancelSession.created_at) > created_after,
            Effect.id != effect.id,
        )
    )
    if effect.subscription_id is not None:
        same = col(Effect.subscription_id) == effect.subscription_id
        changes = changes.where(or_(same, col(Effect.subscription_id).is_(None)))
    return list(db.exec(changes))


def lock_effect_and_session(db: Session, effect_id: str) -> tuple[Effect, CancelSession] | None:
    """Both, the session first: whoever submits a step takes them in that order too."""
    effect = db.get(Effect, effect_id)
    row = lock_session(db, effect.session_id) if effect else None
    if effect is None or row is None:
        return None
    db.refresh(effect, with_for_update=True)
    return effect, row


def is_taken_back(
    db: Session, *, app_id: str, customer_id: str, subscription_id: str | None, after: datetime
) -> bool:
    """Whether a later session of this customer has undone the end of the subscription."""
    whose = {"app_id": app_id, "customer_id": customer_id, "subscription": subscription_id, "after": after}
    return db.connection().execute(_TAKEN_BACK, whose).first() is not None


def is_changed_since(db: Session, effect: Effect) -> bool:
    """Whether a later change to the same subscription was carried out."""
    later = (
        select(Effect.id)
        .join(CancelSession, col(CancelSession.id) == Effect.session_id)
        .where(
            CancelSession.app_id == effect.app_id,
            CancelSession.customer_id == effect.customer_id,
            Effect.subscription_id == effect.subscription_id,
            Effect.id != effect.id,
            Effect.status == "applied",
            col(Effect.applied_at) >= effect.applied_at,
        )
        .limit(1)
    )
    return db.exec(later).first() is not None


def note_error(db: Session, effect_id: str, error: str) -> None:
    """Keep why the last try did not get through, unless it is settled by now: then its session may be erased, and the
    words of a billing system must not come back."""
    is_it = (col(Effect.id) == effect_id, col(Effect.status) == "pending")
    db.connection().execute(update(Effect).where(*is_it).values(last_error=error))


def list_pending(db: Session, *, app_id: str, limit: int) -> list[str]:
    """The changes of an environment that are not settled yet, the oldest first."""
    pending = (
        select(Effect.id)
        .where(Effect.app_id == app_id, Effect.status == "pending")
        .order_by(col(Effect.requested_at))
        .limit(limit)
    )
    return list(db.exec(pending))


def withdraw(db: Session, effect_id: str, now: datetime) -> None:
    """The customer went on to cancel: the change is not to be sent any more, if it has not been."""
    db.connection().execute(
        update(Effect)
        .where(col(Effect.id) == effect_id, col(Effect.status) == "pending")
        .values(withdrawn_at=now)
    )


def add_offer(db: Session, values: Mapping[str, Any]) -> None:
    """Write an offer that was shown, past the ORM: its session must be there."""
    db.connection().execute(_NEW_OFFER, values)


def change_offer(db: Session, decision_id: str, values: Mapping[str, Any]) -> None:
    db.connection().execute(update(SessionOffer).where(col(SessionOffer.id) == decision_id).values(**values))


def list_offers(db: Session, session_id: str) -> list[SessionOffer]:
    return list(
        db.exec(
            select(SessionOffer)
            .where(SessionOffer.session_id == session_id)
            .order_by(col(SessionOffer.presented_at))
        )
    )


def list_effects(db: Session, session_id: str) -> list[Effect]:
    """The changes that a session asked for, in that order."""
    return list(
        db.exec(select(Effect).where(Effect.session_id == session_id).order_by(col(Effect.requested_at)))
    )


def list_known_subscriptions(
    db: Session, *, app_id: str, subscription_ids: Sequence[str], customer_ids: Sequence[str], limit: int
) -> list[tuple[str, str]]:
    """Customer and subscription of those named that a session here was about."""
    named = []
    if subscription_ids:
        named.append(col(CancelSession.subscription_id).in_(subscription_ids))
    if customer_ids:
        named.append(col(CancelSession.customer_id).in_(customer_ids))
    found: dict[tuple[str, str], None] = {}
    for is_named in named:  # one index each
        statement = (
            select(CancelSession.customer_id, CancelSession.subscription_id)
            .where(CancelSession.app_id == app_id, is_named, col(CancelSession.subscription_id).is_not(None))
            .distinct()
            .limit(limit)
        )
        for customer_id, subscription_id in db.exec(statement):
            found[customer_id, subscription_id or ""] = None
    return list(found)[:limit]


def list_changes_of(db: Session, *, app_id: str, customer_id: str, subscription_id: str) -> list[Effect]:
    """The newest changes to one subscription, oldest of them first."""
    newest = db.exec(
        select(Effect)
        .join(CancelSession, col(CancelSession.id) == Effect.session_id)
        .where(
            CancelSession.app_id == app_id,
            CancelSession.customer_id == customer_id,
            Effect.subscription_id == subscription_id,
        )
        .order_by(col(Effect.requested_at).desc())
        .limit(200)
    )
    return list(reversed(newest.all()))


def list_promised(
    db: Session, *, app_id: str, since: datetime, after: tuple[str, str], doubtful: Sequence[str], limit: int
) -> list[tuple[str, str]]:
    """Customer and subscription of each that was changed since then, or perhaps was: by one of the reasons `doubtful`
    for giving up. Those behind `after`, in their own order."""
    whose = (Effect.customer_id, col(Effect.subscription_id))
    statement = (
        select(*whose)
        .where(
            Effect.app_id == app_id,
            or_(col(Effect.status) == "applied", col(Effect.failed_reason).in_(doubtful)),
            Effect.requested_at >= since,
            col(Effect.subscription_id).is_not(None),
            tuple_(*whose) > after,
        )
        .distinct()
        .order_by(*whose)
        .limit(limit)
    )
    return [(customer_id, subscription_id or "") for customer_id, subscription_id in db.exec(statement)]


def list_open_sessions(
    db: Session, *, app_id: str, customer_id: str, subscription_id: str
) -> list[CancelSession]:
    """Sessions about that subscription that somebody may be in the middle of, held against every other writer."""
    return list(
        db.exec(
            select(CancelSession)
            .where(
                CancelSession.app_id == app_id,
                CancelSession.customer_id == customer_id,
                CancelSession.subscription_id == subscription_id,
                col(CancelSession.phase).in_((Phase.WALKING, Phase.SCHEDULED, Phase.PAUSED)),
            )
            .order_by(col(CancelSession.id))
            .limit(50)
            .with_for_update()
        )
    )


def list_sessions(
    db: Session, *, app_id: str, limit: int, customer_id: str | None = None
) -> list[CancelSession]:
    """The environment's newest sessions."""
    statement = select(CancelSession).where(CancelSession.app_id == app_id)
    if customer_id is not None:
        statement = statement.where(CancelSession.customer_id == customer_id)
    newest_first = (col(CancelSession.created_at).desc(), col(CancelSession.id).desc())
    return list(db.exec(statement.order_by(*newest_first).limit(limit)))


def history_of(
    db: Session,
    *,
    app_id: str,
    customer_id: str,
    subscription_ids: Iterable[str],
    now: datetime,
    besides: str | None = None,
) -> dict[str, History]:
    """What the customer did here before, by subscription; the session `besides` is not counted among his sessions.

    Cooldowns count per customer, a pause per subscription.
    """
    whose = {"app_id": app_id, "customer_id": customer_id}
    accepted = db.exec(_ACCEPTED, params=whose).all()
    sessions = db.exec(_COUNT, params={**whose, "besides": besides or ""}).one()
    recent = [o for o in accepted if o.accepted_at is not None and o.accepted_at > now - YEAR]
    last_by_kind: dict[str, datetime] = {}
    for offer in accepted:
        if offer.accepted_at is not None:
            last_by_kind.setdefault(offer.kind, offer.accepted_at)
    pauses = _pauses(db, app_id=app_id, customer_id=customer_id)
    shared = History(
        sessions=sessions,
        pauses_12m=sum(o.kind == "pause" for o in recent),
        discounts_12m=sum(o.kind == "discount" for o in recent),
        saves_12m=len(recent),
        last_discount_at=last_by_kind.get("discount"),
        last_by_kind=last_by_kind,
        trial_extensions=sum(o.kind == "trial_extension" for o in accepted),
    )
    return {
        subscription_id: _with_pause(shared, pauses.get(subscription_id, ()), now)
        for subscription_id in subscription_ids
    }


def _pauses(db: Session, *, app_id: str, customer_id: str) -> dict[str, list[Effect]]:
    """The pauses and resumptions that were carried out, oldest first, by subscription."""
    rows = db.exec(_PAUSES, params={"app_id": app_id, "customer_id": customer_id})
    by_subscription: dict[str, list[Effect]] = {}
    for effect in rows:
        by_subscription.setdefault(effect.subscription_id or "", []).append(effect)
    return by_subscription


def _with_pause(shared: History, effects: Sequence[Effect], now: datetime) -> History:
    """Add how the subscription's last pause ended: on its date, or by a resumption before it.

    During a break of paid time the subscription is active: were it paused then, somebody else would have done that.
    """
    resumes_at: datetime | None = None
    is_paid = False
    for effect in effects:
        change = parse_change(effect.change)
        if isinstance(change, Pause):
            resumes_at, is_paid = change.resumes_at, change.renews_at is not None
        elif resumes_at is not None and effect.applied_at is not None:
            resumes_at = min(resumes_at, effect.applied_at)
        if resumes_at is not None and effect.type == "pause" and effect.ended_at is not None:
            resumes_at = min(resumes_at, effect.ended_at)  # somebody ended it at the provider
    if resumes_at is None:
        return shared
    if resumes_at <= now:
        return replace(shared, last_pause_ended_at=resumes_at)
    return replace(shared, break_ends_at=resumes_at) if is_paid else replace(shared, paused_by_us=True)
