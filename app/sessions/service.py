"""Begins, advances, settles and closes sessions: one unit of work each, in which the walk's decision becomes rows.

Talks to no network; opening.py and carrying.py do that between these units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.addresses import BadUrl
from app.adapters.vault import SealBroken, Vault
from app.core.answers import Mistake
from app.core.commands import Command
from app.core.email_address import address_key
from app.core.errors import NotFound
from app.core.events import EventType, session_started
from app.core.path import Path, find_path
from app.core.returning import signed_return_url
from app.core.session import (
    advance,
    ending,
    open_walk,
    resting_outcome,
)
from app.core.state import Phase, SessionState
from app.core.world import Walk, World
from app.db import outbox
from app.db.base import new_id
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.db.tables.sessions import CancelSession
from app.flows import service as flows
from app.links import service as links
from app.links.origins import is_listed
from app.sessions import queries
from app.sessions.noticing import owe_notice
from app.sessions.proof import known_zone
from app.sessions.recording import keep_record, world_of
from app.sessions.records import EFFECT_LEASE, record
from app.web.copy import customary
from app.webhooks import service as webhooks

IDLE_AFTER: Final = timedelta(minutes=60)
LIFE: Final = timedelta(hours=24)
OPENING_LEASE: Final = timedelta(seconds=10)
_SWEEP: Final = 100

Entry = Literal["link", "email", "receipt"]


class SessionNotYours(NotFound):
    """No such session, or another browser's: the same answer, so that neither can be told apart."""

    code = "session_not_yours"
    status = 403
    user_message = "This page belongs to another browser."


@dataclass(frozen=True, slots=True)
class New:
    """A session that was written just now and still has to be opened. Its row is a copy, of no database session."""

    row: CancelSession
    environment: Environment
    link: CancelLink | None


@dataclass(frozen=True, slots=True)
class Begun:
    """The browser's session; `new` where it was not there before."""

    session_id: str
    new: New | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands, with all that a screen of it shows."""

    row: CancelSession
    environment: Environment
    brand_name: str
    walk: Walk
    state: SessionState
    path: Path | None

    @property
    def is_opening(self) -> bool:
        return self.state.phase is Phase.OPENING

    def moved_to(self, state: SessionState) -> "Standing":
        path = find_path(self.walk, state) if state.phase is Phase.WALKING else None
        return replace(self, state=state, path=path)


Reading = Callable[[Standing], Command]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a command led to: the new standing, what is to be put right, and the changes to try at once."""

    standing: Standing
    mistakes: tuple[Mistake, ...] = ()
    jobs: tuple[outbox.Job, ...] = ()


def begin(
    db: Session,
    *,
    token_sha256: str,
    browser_sha256: str,
    accept_language: str | None,
    holder: str,
    now: datetime,
) -> Begun:
    """Exchange a link for a session of this browser, in one transaction.

    A browser that exchanged the link before gets its session back, also after the link has expired. Raises
    links.LinkUnknown, and links.LinkNotUsable for everyone else once it is used up or over.
    """
    link, environment = links.hold(db, token_sha256=token_sha256)
    known = find_of_link(db, link=link, browser_sha256=browser_sha256, now=now)
    if known is not None:
        return Begun(known)
    session_id = new_id("cs")
    links.exchange(db, link, session_id=session_id, browser_sha256=browser_sha256, now=now)
    return new_session(
        db,
        environment,
        session_id=session_id,
        customer_id=link.customer_id,
        subscription_id=link.subscription_id,
        link=link,
        browser_sha256=browser_sha256,
        locale=customary(requested=link.locale, accept_language=accept_language, default=environment.locale),
        holder=holder,
        now=now,
    )


def new_session(
    db: Session,
    environment: Environment,
    *,
    customer_id: str,
    subscription_id: str | None,
    link: CancelLink | None,
    browser_sha256: str,
    locale: str,
    holder: str,
    now: datetime,
    session_id: str | None = None,
    entry: Entry = "link",
    verification_id: str | None = None,
    receipt_id: str | None = None,
    recipient: str | None = None,
) -> Begun:
    """A session that is still to be opened, by `holder`. With a link it is one of that link's."""
    row = CancelSession(
        id=session_id or new_id("cs"),
        app_id=environment.app_id,
        link_id=link.id if link else None,
        flow_version_id=flows.get_published_id(db, environment.organization_id),
        customer_id=customer_id,
        subscription_id=subscription_id,
        mode=environment.mode,
        entry=entry,
        verification_id=verification_id,
        receipt_id=receipt_id,
        recipient=recipient,
        recipient_key=address_key(recipient) if recipient else None,
        browser_sha256=browser_sha256,
        phase=Phase.OPENING,
        locale=locale,
        return_url=link.return_url if link else None,
        created_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
        opening_by=holder,
        opening_until=now + OPENING_LEASE,
        data_call_claimed_at=now if environment.customer_data_url else None,
        state=SessionState().to_json(),
        # Named although they are the defaults: finding those out takes longer than all the rest.
        revision=0,
        event_count=0,
        steps_viewed=[],
        explanations=[],
        snapshot={},
    )
    queries.add_session(db, row)
    return Begun(row.id, New(row, environment, link))


def find_standing(db: Session, *, session_id: str, browser_sha256: str, now: datetime) -> Standing:
    """The session as it is now, for the browser it belongs to. Reads only. Raises SessionNotYours."""
    found = queries.find_owned(db, session_id)
    if found is None or found.session.browser_sha256 != browser_sha256:
        raise SessionNotYours
    return standing_of(db, found, now)


def find_of_link(db: Session, *, link: CancelLink, browser_sha256: str, now: datetime) -> str | None:
    """The session that this browser already has by this link, unless the link opens another one by now."""
    if links.state_of(link, now) is links.LinkState.ACTIVE:
        return None  # nobody came by it; by one that is over some did, and proved their address
    known = queries.find_session_of_link(db, link_id=link.id, browser_sha256=browser_sha256)
    if known is None or (is_over(known, now) and not link.single_use):
        return None
    return known.id


def return_address(db: Session, vault: Vault, standing: Standing, now: datetime) -> str | None:
    """Where the session leads back to, with its result signed (DESIGN §2.12): a hint, the webhook is the truth.

    None without an address, and for one whose origin is no longer allowed.
    """
    row, environment = standing.row, standing.environment
    url = row.return_url or environment.return_url
    if url is None or not _is_allowed(url, environment.return_origins):
        return None
    if row.outcome is None:
        return url
    link = db.get(CancelLink, row.link_id) if row.link_id else None
    try:
        key = accounts.signing_key(
            db, vault, app_id=row.app_id, minted_with=link.api_key_id if link else None
        )
    except (accounts.NoActiveKey, SealBroken):  # unsigned it is less of a hint, and still the way back
        return url
    return signed_return_url(url, session_id=row.id, result=row.outcome, at=now, key=key)


def _is_allowed(url: str, origins: Sequence[str]) -> bool:
    """Read as it was when the link was minted: what two readers take for two origins is the way off the list."""
    try:
        return is_listed(url, origins)
    except BadUrl:
        return False


def is_over(row: CancelSession, now: datetime) -> bool:
    """Too long ago to go on: the browser's cookie has run out with it. A finished session's result stays as long."""
    return now >= row.expires_at


def is_idle(row: CancelSession, now: datetime) -> bool:
    """Left alone for an hour; it can be taken up again until it is over."""
    is_resting = row.phase not in (Phase.FINISHED, Phase.WORKING, Phase.OPENING)
    return is_resting and now - row.last_seen_at >= IDLE_AFTER


def submit(
    db: Session,
    *,
    session_id: str,
    browser_sha256: str,
    command: Command | Reading,
    holder: str,
    now: datetime,
    lease: timedelta = EFFECT_LEASE,
    time_zone: str | None = None,
) -> Submitted:
    """Carry out a customer's command; takes a session that was left alone up again.

    `command` may also be how to read it from where the session is found to stand. `time_zone` is the customer's, if
    the browser says one: receipts give times in it.
    State, offers, changes to be made and events are written together or not at all. The changes come back leased to
    `holder`, who tries them at once. Raises SessionNotYours.
    """
    found = queries.lock_owned(db, session_id)
    if found is None or found.session.browser_sha256 != browser_sha256:
        raise SessionNotYours
    row = found.session
    standing = standing_of(db, found, now)
    if is_over(row, now):
        return Submitted(standing)
    _touch(row, now)
    row.time_zone = row.time_zone or known_zone(time_zone)
    decision = advance(standing.walk, standing.state, command(standing) if callable(command) else command)
    if decision.mistakes or decision.state is standing.state:
        return Submitted(standing, decision.mistakes)
    jobs = record(db, row, standing.walk, standing.state, decision, holder=holder, lease=lease)
    queries.save_step(db, row)
    return Submitted(standing.moved_to(decision.state), jobs=jobs)


def take_up(db: Session, *, session_id: str, browser_sha256: str, now: datetime) -> None:
    """Go on with a session that was left alone; answers are as they were. Raises SessionNotYours."""
    row = queries.lock_session(db, session_id)
    if row is None or row.browser_sha256 != browser_sha256:
        raise SessionNotYours
    if not is_over(row, now):
        _touch(row, now)


def open_with(
    db: Session, row: CancelSession, *, holder: str, world: World, subscription_id: str | None, now: datetime
) -> str:
    """Write down what a session that is held is decided on, and its first screen. Returns which one that is."""
    row.snapshot = world.to_json()
    if world.customer is not None:
        row.customer_id = world.customer.id
        row.email_key = address_key(world.customer.email) if world.customer.email else None
    row.opened_at = row.last_seen_at = now
    row.opening_by = row.opening_until = None
    walk = Walk(row.id, flows.load(db, row.flow_version_id), world, now)
    decision = open_walk(walk, subscription_id=subscription_id)
    # Not what was asked for, where the customer has no such one.
    row.subscription_id = decision.state.subscription_id
    started = session_started(
        session_id=row.id,
        customer_id=row.customer_id,
        flow_version_id=row.flow_version_id,
        customer=world.customer,
        subscriptions=world.subscriptions,
    )
    decision = replace(decision, events=(started, *decision.events))
    record(db, row, walk, SessionState(), decision, holder=holder)
    queries.save_opening(db, row)
    return decision.state.views[-1].step


def close_idle(db: Session, *, now: datetime) -> int:
    """Close the sessions that were left alone for an hour, up to a hundred of them. Returns how many."""
    idle = queries.list_idle(db, seen_before=now - IDLE_AFTER, limit=_SWEEP)
    for row in idle:
        state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
        outcome = resting_outcome(state)
        row.closed_at = now
        row.outcome = outcome
        completed = ending(EventType.SESSION_COMPLETED, state, outcome)
        row.event_count = webhooks.emit(
            db, app_id=row.app_id, session_id=row.id, events=(completed,), after=row.event_count, now=now
        )
        walk = Walk(row.id, flows.load(db, row.flow_version_id), world_of(row), now)
        keep_record(db, row, walk, state, outcome, now)
        owe_notice(db, row, now)
    return len(idle)


def standing_of(db: Session, found: queries.Owned, now: datetime) -> Standing:
    """Where the session stands now, whoever asks."""
    row, environment, organization = found
    walk = Walk(row.id, flows.load(db, row.flow_version_id), world_of(row), now)
    state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
    path = find_path(walk, state) if state.phase is Phase.WALKING else None
    return Standing(row, environment, organization.name, walk, state, path)


def _touch(row: CancelSession, now: datetime) -> None:
    """Somebody is here: a session that was closed for being left alone is open again. One that has finished stays
    finished, also while its cancellation is being undone."""
    row.last_seen_at = now
    if "finished_at" not in row.state:
        row.closed_at = None
        row.outcome = None
