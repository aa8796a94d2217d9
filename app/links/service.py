"""Mints, exchanges and revokes cancel links. The token is handed out once; only its hash is kept."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session

from app.core.errors import Gone
from app.core.events import Event, EventType, link_event
from app.db.tables.links import CancelLink
from app.links import queries
from app.webhooks import service as webhooks


class LinkState(StrEnum):
    """`exchanged`: used, and usable again; `consumed`: used up."""

    ACTIVE = "active"
    EXCHANGED = "exchanged"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    REVOKED = "revoked"


class LinkNotUsable(Gone):
    """The link exists and is over for whoever asks. `app_id` says whose page may tell them."""

    code = "link_not_usable"
    user_message = "This link cannot be used any more."

    def __init__(self, state: LinkState, app_id: str) -> None:
        super().__init__()
        self.state = state
        self.app_id = app_id


class LinkUnknown(Gone):
    """Forged, or never ours: names no organization."""

    code = "link_unknown"
    user_message = "This link does not work."


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The link, and whether this exchange opens a session or leads back to the one that the browser has."""

    link: CancelLink
    is_new: bool


def exchange(
    db: Session, *, token_sha256: str, browser_sha256: str, now: datetime, anew: bool = False
) -> Exchanged:
    """Use a link. Of parallel exchanges of a single-use link exactly one is new; the browser that made it comes back
    to its session any number of times, also after the link has expired. With `anew` that browser asks for another
    session of a reusable link. Raises LinkUnknown, LinkNotUsable."""
    known = queries.find_by_token(db, token_sha256)
    if known is None:
        raise LinkUnknown
    if known.browser_sha256 == browser_sha256 and not anew:
        return Exchanged(known, is_new=False)
    link = queries.consume(db, token_sha256=token_sha256, browser_sha256=browser_sha256, now=now)
    if link is None:
        db.refresh(known)
        if known.browser_sha256 == browser_sha256 and not anew:
            return Exchanged(known, is_new=False)
        raise LinkNotUsable(state_of(known, now), known.app_id)
    events = [told(EventType.CANCEL_LINK_EXCHANGED, link)]
    if link.single_use:
        events.append(told(EventType.CANCEL_LINK_CONSUMED, link))
    webhooks.emit(db, app_id=link.app_id, events=events, now=now)
    return Exchanged(link, is_new=True)


def state_of(link: CancelLink, now: datetime) -> LinkState:
    """What is true of a link now; used up beats expired, because that is what its holder remembers."""
    if link.revoked_at is not None:
        return LinkState.REVOKED
    if link.consumed_at is not None:
        return LinkState.CONSUMED
    if link.expires_at <= now:
        return LinkState.EXPIRED
    return LinkState.EXCHANGED if link.exchanged_at is not None else LinkState.ACTIVE


def told(type: EventType, link: CancelLink) -> Event:
    """What merchants are told of a link."""
    return link_event(
        type,
        link_id=link.id,
        customer_id=link.customer_id,
        subscription_id=link.subscription_id,
        is_single_use=link.single_use,
        expires_at=link.expires_at,
    )
