"""Begins sessions for customers who proved their address by a code. The code itself is verify's."""

from datetime import datetime
from functools import partial

from sqlmodel import Session

from app.adapters.vault import Vault
from app.core.errors import Conflict
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.db.tables.verifications import Verification
from app.sessions import opening, service
from app.sessions.ports import SessionPorts
from app.sessions.service import Begun
from app.verify import queries as verify_queries
from app.verify import service as verify
from app.verify.service import Found, VerificationNotYours


class ChooseCustomer(Conflict):
    """Several customers have this address; which one is meant has to be said first."""

    code = "choose_customer"
    user_message = "Choose which subscription you mean."


class NobodyFound(Conflict):
    """The address is proven, and nobody with a subscription has it."""

    code = "nobody_found"
    user_message = "We found no active subscription for this address."


async def enter(
    ports: SessionPorts,
    *,
    verification_id: str,
    browser_sha256: str,
    customer_id: str | None = None,
    subscription_id: str | None = None,
) -> tuple[str, str | None]:
    """Open the session of a proven address, or go back to the one that is open already; its id, and the screen that it
    was opened on, None if that was not done here.

    `customer_id` is one of those that were found; it may be left out where there is only one, and where the link that
    the customer came by was made for one of them. Raises
    VerificationNotYours (also before the code was right), ChooseCustomer, NobodyFound.
    """
    now = ports.clock.now()
    begin = partial(
        _begin,
        vault=ports.vault,
        verification_id=verification_id,
        browser_sha256=browser_sha256,
        customer_id=customer_id,
        subscription_id=subscription_id,
        holder=ports.holder,
        now=now,
    )
    return await opening.enter_by(ports, begin, now)


def _begin(
    db: Session,
    *,
    vault: Vault,
    verification_id: str,
    browser_sha256: str,
    customer_id: str | None,
    subscription_id: str | None,
    holder: str,
    now: datetime,
) -> Begun:
    verification = verify_queries.lock(db, verification_id)
    if verification is None or verification.browser_sha256 != browser_sha256 or verification.used_at is None:
        raise VerificationNotYours
    if verification.session_id is not None:
        return Begun(verification.session_id)
    found = verify.found_customers(vault, verification)
    link = _link_of_one(db, verification, found)
    meant = _meant(found, customer_id or (link.customer_id if link else None))
    if link is not None and link.customer_id != meant.customer.id:
        link = None
    begun = service.new_session(
        db,
        db.get_one(Environment, verification.app_id),
        customer_id=meant.customer.id,
        subscription_id=subscription_id or (link.subscription_id if link else None),
        link=link,
        browser_sha256=browser_sha256,
        locale=verification.locale,
        holder=holder,
        now=now,
        entry="email",
        verification_id=verification.id,
        recipient=verification.address,
    )
    verification.session_id = begun.session_id
    return begun


def _meant(found: tuple[Found, ...], customer_id: str | None) -> Found:
    if not found:
        raise NobodyFound
    if customer_id is None and len(found) == 1:
        return found[0]
    for each in found:
        if each.customer.id == customer_id:
            return each
    raise ChooseCustomer


def _link_of_one(db: Session, verification: Verification, found: tuple[Found, ...]) -> CancelLink | None:
    """The link that was over when the customer came by it, if it was made for one of those found: then he is meant,
    and its subscription, attributes and return address hold. Somebody else's says nothing about him."""
    link = db.get(CancelLink, verification.link_id) if verification.link_id else None
    if link is None or link.app_id != verification.app_id:
        return None
    return link if any(each.customer.id == link.customer_id for each in found) else None
