"""Mints, exchanges and revokes cancel links. The token is handed out once; only its hash is kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session

from app.adapters.addresses import BadUrl
from app.adapters.signing import Signer
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.email_address import address_key
from app.core.errors import FieldError, Gone, InvalidInput, NotFound
from app.core.events import Event, EventType, link_event
from app.core.facts import Scalar
from app.db.base import new_id
from app.db.tables.links import CancelLink
from app.links import queries
from app.links.origins import is_listed
from app.webhooks import service as webhooks

LONGEST_LIFE: Final = timedelta(days=30)


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


class LinkNotFound(NotFound):
    """Another environment's link is not found either."""

    code = "link_not_found"
    user_message = "There is no such cancel link in this environment."


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOrder:
    """What a link is to be, well-formed already; whether it can be is for `mint` to say."""

    customer_id: str
    expires_at: datetime
    subscription_id: str | None = None
    is_single_use: bool = True
    return_url: str | None = None
    locale: str | None = None
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    customer: DirectCustomer | None = None
    subscriptions: Sequence[DirectSubscription] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new link and its token, which nobody is told again. A plain value: a row of the ORM costs more to make than
    everything else about minting."""

    id: str
    app_id: str
    api_key_id: str
    token: str
    token_sha256: str
    order: LinkOrder
    created_at: datetime

    def columns(self) -> dict[str, Any]:
        """Every column of the link's row."""
        order = self.order
        email = order.customer.email if order.customer else None
        return {
            "id": self.id,
            "app_id": self.app_id,
            "token_sha256": self.token_sha256,
            "customer_id": order.customer_id,
            "subscription_id": order.subscription_id,
            "api_key_id": self.api_key_id,
            "single_use": order.is_single_use,
            "locale": order.locale,
            "return_url": order.return_url,
            "expires_at": order.expires_at,
            "created_at": self.created_at,
            "exchange_count": 0,
            "attributes": dict(order.attributes),
            "direct_customer": order.customer.to_wire() if order.customer else None,
            "direct_subscriptions": None
            if order.subscriptions is None
            else [subscription.to_wire() for subscription in order.subscriptions],
            "email_key": address_key(email) if email else None,
        }


def draft(
    signer: Signer,
    *,
    app_id: str,
    api_key_id: str,
    return_origins: Collection[str],
    order: LinkOrder,
    now: datetime,
) -> Minted:
    """A new link of one environment, not yet written. Raises InvalidInput for what only the moment and the
    environment can tell: when it expires, where it returns to."""
    _check(order, return_origins, now)
    token, token_sha256 = signer.link_token()
    return Minted(
        id=new_id("lnk"),
        app_id=app_id,
        api_key_id=api_key_id,
        token=token,
        token_sha256=token_sha256,
        order=order,
        created_at=now,
    )


def store(db: Session, minted: Minted, *, now: datetime) -> None:
    """Write a drafted link, with its event."""
    queries.add_link(db, minted.columns())
    order = minted.order
    created = link_event(
        EventType.CANCEL_LINK_CREATED,
        link_id=minted.id,
        customer_id=order.customer_id,
        subscription_id=order.subscription_id,
        is_single_use=order.is_single_use,
        expires_at=order.expires_at,
    )
    webhooks.emit(db, app_id=minted.app_id, events=[created], now=now)


def get_link(db: Session, *, app_id: str, link_id: str) -> CancelLink:
    """Raises LinkNotFound, also for text that is no id at all."""
    _check_id(link_id)
    link = queries.find_link(db, app_id=app_id, link_id=link_id)
    if link is None:
        raise LinkNotFound
    return link


def revoke(db: Session, *, app_id: str, link_id: str, now: datetime) -> CancelLink:
    """Make a link useless from now on; doing it again changes nothing. A session it has opened goes on.

    Raises LinkNotFound.
    """
    _check_id(link_id)
    revoked = queries.revoke(db, app_id=app_id, link_id=link_id, now=now)
    if revoked is None:
        return get_link(db, app_id=app_id, link_id=link_id)
    webhooks.emit(db, app_id=app_id, events=[told(EventType.CANCEL_LINK_REVOKED, revoked)], now=now)
    return revoked


def hold(db: Session, *, token_sha256: str) -> queries.Held:
    """The link, held against every other exchange of it until the transaction ends. Raises LinkUnknown."""
    held = queries.hold_by_token(db, token_sha256)
    if held is None:
        raise LinkUnknown
    return held


def exchange(db: Session, link: CancelLink, *, session_id: str, browser_sha256: str, now: datetime) -> None:
    """Use a link up for a session; a reusable one only counts it. Of any number of exchanges of a single-use link,
    in any number of processes, exactly one succeeds. `link` itself stays as it was. Raises LinkNotUsable."""
    used = queries.consume(db, token_sha256=link.token_sha256, browser_sha256=browser_sha256, now=now)
    if used is None:
        db.refresh(link)
        raise LinkNotUsable(state_of(link, now), link.app_id)
    events = [told(EventType.CANCEL_LINK_EXCHANGED, link, session_id)]
    if used.is_used_up:
        events.append(told(EventType.CANCEL_LINK_CONSUMED, link, session_id))
    webhooks.emit(db, app_id=link.app_id, events=events, now=now)


def state_of(link: CancelLink, now: datetime) -> LinkState:
    """What is true of a link now; used up beats expired, because that is what its holder remembers."""
    if link.revoked_at is not None:
        return LinkState.REVOKED
    if link.consumed_at is not None:
        return LinkState.CONSUMED
    if link.expires_at <= now:
        return LinkState.EXPIRED
    return LinkState.EXCHANGED if link.exchanged_at is not None else LinkState.ACTIVE


def told(type: EventType, link: CancelLink, session_id: str | None = None) -> Event:
    """What merchants are told of a link, and of the session that an exchange opened."""
    return link_event(
        type,
        link_id=link.id,
        customer_id=link.customer_id,
        subscription_id=link.subscription_id,
        is_single_use=link.single_use,
        expires_at=link.expires_at,
        session_id=session_id,
    )


def _check_id(link_id: str) -> None:
    """Not every text may reach a database: PostgreSQL takes no NUL."""
    if not link_id.isprintable():
        raise LinkNotFound


def _check(order: LinkOrder, return_origins: Collection[str], now: datetime) -> None:
    problems: list[FieldError] = []
    if order.expires_at <= now:
        problems.append(FieldError("expiresAt", "Must be in the future."))
    elif order.expires_at - now > LONGEST_LIFE:
        problems.append(FieldError("expiresAt", f"Must be at most {LONGEST_LIFE.days} days ahead."))
    if order.return_url is not None and (problem := _return_url_problem(order.return_url, return_origins)):
        problems.append(FieldError("returnUrl", problem))
    if problems:
        raise InvalidInput(fields=problems)


def _return_url_problem(url: str, origins: Collection[str]) -> str | None:
    try:
        if is_listed(url, origins):
            return None
    except BadUrl as error:
        return str(error)
    return "Its origin is not on the environment's list of return addresses."
