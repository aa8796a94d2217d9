"""Proves that whoever sits at a browser reads an address's mail: asked for, mailed by the worker, checked by a code.

Knows no customer before the code was right, and does the same for every address until then.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.signing import Signer
from app.adapters.vault import SealBroken, Vault
from app.connections import service as connections
from app.core import limits
from app.core.billing import Capability
from app.core.codes import TRIES_PER_CODE, read_code
from app.core.direct import DirectCustomer, DirectSubscription, parse_customer, parse_subscriptions
from app.core.email_address import address_key, address_problem, normal_address
from app.core.errors import FieldError, Forbidden, Gone, InvalidInput, TooManyRequests
from app.db import outbox
from app.db.base import new_id
from app.db.limits import Claim, hold
from app.db.tables.accounts import Environment
from app.db.tables.verifications import Verification
from app.links import queries as links
from app.verify import queries
from app.web.limits import claim
from app.web.strangers import neighbourhood

JOB: Final = "verification"  # its subject is the verification, its payload says which mail of it is owed
LIFE: Final = timedelta(hours=24)
LONGEST_ID: Final = queries.LONGEST_ID


class VerificationNotYours(Forbidden):
    """No such verification, or another browser's: the same answer, so that neither can be told apart."""

    code = "verification_not_yours"
    user_message = "This page belongs to another browser."


class VerificationLost(Gone):
    """What was found for the address is sealed with a secret that is gone."""

    code = "verification_lost"
    user_message = "We can no longer read what belongs to this page. Please enter your email address again."


class TooManyCodes(TooManyRequests):
    """`limit` is the name of the one in the way (core/limits.py), `retry_after` the seconds until it is not."""

    code = "too_many_codes"
    user_message = "Too many codes were asked for. Please wait a little and try again."

    def __init__(self, limit: str, wait_s: float) -> None:
        super().__init__(retry_after=math.ceil(wait_s))
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Asked:
    """`is_new`: a mail was asked for. Else one is under way already, and nothing was asked for again."""

    verification_id: str
    is_new: bool


class Verdict(StrEnum):
    """What became of a try. Only the first ends well; after the second one may try again."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREADABLE = "unreadable"  # not six digits: nothing was tried, and nothing counts
    EXPIRED = "expired"
    SPENT = "spent"  # five wrong tries: the code does not work any more, right or not
    LIMITED = "limited"  # nothing was tried: too many wrong ones from this address or network
    USED = "used"  # it was right before; see `session_id` of the verification


@dataclass(frozen=True, slots=True)
class Tried:
    """`left`: tries left of this code, where there is still a code. `wait_s`: with LIMITED, until the next try."""

    verdict: Verdict
    left: int | None = None
    wait_s: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A customer with the proven address, and his subscriptions that are not over; there is at least one."""

    customer: DirectCustomer
    subscriptions: tuple[DirectSubscription, ...]


def can_verify(
    environment: Environment, *, vault: Vault, http: OutboundHttp, clock: Clock, has_mailer: bool
) -> bool:
    """Whether an address can be proven here: the entry is on, mail can be sent, billing finds customers by address.

    Asks nobody. Where it is False the entry takes requests instead (`manual.service.request`).
    """
    if not environment.hosted_enabled or not has_mailer:
        return False
    try:
        can = connections.capabilities(environment, vault=vault, http=http, clock=clock)
    except InvalidInput:
        return False
    return Capability.FIND_BY_EMAIL in can


def ask(
    db: Session,
    signer: Signer,
    *,
    app_id: str,
    address: str,
    browser_sha256: str,
    ip: str,
    link_id: str | None,
    locale: str,
    now: datetime,
) -> Asked:
    """Have a code mailed to an address as it was typed. A browser that asks again for the address it has just asked
    for is taken to what it has; one whose code has life enough is mailed the same code once more.

    `link_id` is the link that was over; another environment's is left out. Raises InvalidInput (the field is `email`,
    its message a key of the catalogue) and TooManyCodes.
    """
    address = address.strip()
    if problem := address_problem(address):
        raise InvalidInput(fields=[FieldError("email", problem)])
    link_id = _link_of(db, app_id, link_id)
    claims = _sends(signer, app_id=app_id, address=address, ip=ip)
    held = hold(db, claims, now=now)
    # Only now: of two that were sent at once, the second sees what the first has written.
    known = _find_open(db, app_id=app_id, address=address, browser_sha256=browser_sha256, now=now)
    if known is not None and link_id is not None:
        known.link_id = link_id
    if known is not None and now - known.asked_at < limits.SEND_GAP.window:
        return Asked(known.id, is_new=False)
    if (refused := held.refusal(claims)) is not None:
        raise TooManyCodes(refused[0].limit.name, refused[1])
    held.count(claims)
    if known is not None and _is_owed(known, now):
        known.asked_at = now
        return Asked(known.id, is_new=False)
    if known is not None and _has_life(db, known, now):
        _send_again(db, known, now)
        return Asked(known.id, is_new=True)
    return _begin(
        db,
        app_id=app_id,
        address=address,
        browser_sha256=browser_sha256,
        link_id=link_id or (known.link_id if known else None),
        locale=locale,
        now=now,
    )


def resend(
    db: Session, signer: Signer, *, verification_id: str, browser_sha256: str, ip: str, now: datetime
) -> Asked:
    """Have one more mail sent: with the same code while that has half its life and a try left, else with a new one,
    which is another verification. One that was used stays as it is, and so does one whose first mail is still to be
    made; but that counts all the same, for when billing has answered may be seen by nobody: it tells who is known.

    Raises VerificationNotYours and TooManyCodes.
    """
    row = find(db, verification_id=verification_id, browser_sha256=browser_sha256, now=now)
    if row.used_at is not None:
        return Asked(row.id, is_new=False)
    claims = _sends(signer, app_id=row.app_id, address=row.address, ip=ip)
    held = hold(db, claims, now=now)
    row = _own(queries.lock(db, row.id), browser_sha256)
    if row.used_at is not None:
        return Asked(row.id, is_new=False)
    if (refused := held.refusal(claims)) is not None:
        raise TooManyCodes(refused[0].limit.name, refused[1])
    held.count(claims)
    if _is_owed(row, now):
        row.asked_at = now
        return Asked(row.id, is_new=False)
    if _has_life(db, row, now):
        _send_again(db, row, now)
        return Asked(row.id, is_new=True)
    return _begin(
        db,
        app_id=row.app_id,
        address=row.address,
        browser_sha256=browser_sha256,
        link_id=row.link_id,
        locale=row.locale,
        now=now,
    )


def find(db: Session, *, verification_id: str, browser_sha256: str, now: datetime) -> Verification:
    """This browser's verification, also when it is over. Raises VerificationNotYours."""
    return _own(queries.find(db, verification_id), browser_sha256)


def is_expired(row: Verification, now: datetime) -> bool:
    """Whether its code does not work any more because of the time. One that was not mailed yet still has all of it."""
    return now >= row.expires_at or (row.code_expires_at is not None and now >= row.code_expires_at)


def try_code(
    db: Session,
    signer: Signer,
    *,
    verification_id: str,
    browser_sha256: str,
    typed: str,
    ip: str,
    now: datetime,
) -> Tried:
    """Check a typed code. It is right once; a wrong one counts for the code, for the address across codes, and for
    the network. A code that nobody was mailed is checked just like one that somebody was.

    Raises VerificationNotYours.
    """
    row = find(db, verification_id=verification_id, browser_sha256=browser_sha256, now=now)
    if (over := _verdict_without_code(row, now)) is not None:
        return Tried(over)
    code = read_code(typed)
    if code is None:
        return Tried(Verdict.UNREADABLE, left=TRIES_PER_CODE - row.tries)
    claims = (
        claim(signer, limits.WRONG_PER_ADDRESS, normal_address(row.address)),
        claim(signer, limits.WRONG_PER_IP, neighbourhood(ip)),
    )
    held = hold(db, claims, now=now)
    row = _own(queries.lock(db, row.id), browser_sha256)
    if (over := _verdict_without_code(row, now)) is not None:
        return Tried(over)
    if (refused := held.refusal(claims)) is not None:
        return Tried(Verdict.LIMITED, left=TRIES_PER_CODE - row.tries, wait_s=math.ceil(refused[1]))
    is_right = signer.is_mac("code", code_value(row.id, code), row.code_mac or "")
    if is_right and queries.use(db, verification_id=row.id, now=now):
        db.refresh(row)
        return Tried(Verdict.RIGHT)
    held.count(claims)
    row.tries += 1
    left = TRIES_PER_CODE - row.tries
    if left == 0:
        row.code_encrypted = None
    return Tried(Verdict.WRONG if left else Verdict.SPENT, left=left)


def found_customers(vault: Vault, row: Verification) -> tuple[Found, ...]:
    """Who has the address, as billing said when it was looked up: only for a verification whose code was right.

    Raises VerificationLost.
    """
    if row.used_at is None:
        raise ValueError("the address is not proven")
    if row.found_encrypted is None:
        return ()
    try:
        return load_found(vault, row.found_encrypted)
    except SealBroken:
        raise VerificationLost from None


def seal_found(vault: Vault, found: tuple[Found, ...]) -> str:
    """What `found_customers` reads, encrypted: nobody has proven the address yet."""
    plain: list[dict[str, Any]] = [
        {
            "customer": each.customer.to_wire(),
            "subscriptions": [subscription.to_wire() for subscription in each.subscriptions],
        }
        for each in found
    ]
    return vault.seal(json.dumps(plain))


def load_found(vault: Vault, sealed: str) -> tuple[Found, ...]:
    """Raises SealBroken."""
    found = []
    for each in json.loads(vault.open(sealed)):
        customer = parse_customer(each["customer"])
        found.append(Found(customer, tuple(parse_subscriptions(each["subscriptions"], customer))))
    return tuple(found)


def code_value(verification_id: str, code: str) -> str:
    """What the keyed hash of a code is made of; a code is worth nothing for another verification."""
    return f"{verification_id}.{code}"


def forget(db: Session, *, now: datetime, limit: int) -> int:
    """Delete what is over for good; the sweep. Returns how many were deleted."""
    return queries.forget(db, now=now, limit=limit)


def _own(row: Verification | None, browser_sha256: str) -> Verification:
    if row is None or row.browser_sha256 != browser_sha256:
        raise VerificationNotYours
    return row


def _verdict_without_code(row: Verification, now: datetime) -> Verdict | None:
    """What there is to say whatever was typed."""
    if row.used_at is not None:
        return Verdict.USED
    if row.tries >= TRIES_PER_CODE:
        return Verdict.SPENT
    return Verdict.EXPIRED if is_expired(row, now) else None


def _sends(signer: Signer, *, app_id: str, address: str, ip: str) -> tuple[Claim, ...]:
    """What one more mail with a code takes of."""
    mailbox = normal_address(address)
    return (
        claim(signer, limits.SEND_GAP, mailbox),
        claim(signer, limits.SENDS_PER_HOUR, mailbox),
        claim(signer, limits.SENDS_PER_DAY, mailbox),
        claim(signer, limits.SENDS_PER_IP, neighbourhood(ip)),
        claim(signer, limits.SENDS_PER_ENVIRONMENT, app_id),
    )


def _link_of(db: Session, app_id: str, link_id: str | None) -> str | None:
    if link_id is None or not link_id.isprintable():
        return None
    return link_id if links.find_link(db, app_id=app_id, link_id=link_id) else None


def _find_open(
    db: Session, *, app_id: str, address: str, browser_sha256: str, now: datetime
) -> Verification | None:
    """What this browser has asked for this very address and could still use, held."""
    recent = queries.list_recent(db, app_id=app_id, browser_sha256=browser_sha256, since=now - LIFE)
    same = next((row for row in recent if row.address.casefold() == address.casefold()), None)
    row = queries.lock(db, same.id) if same is not None else None
    return row if row is not None and _verdict_without_code(row, now) is None else None


def _is_owed(row: Verification, now: datetime) -> bool:
    """Its first mail is still to be made."""
    return row.looked_up_at is None and now < row.expires_at


def _has_life(db: Session, row: Verification, now: datetime) -> bool:
    """Whether the same code may be mailed once more."""
    if _verdict_without_code(row, now) is not None or row.code_expires_at is None:
        return False
    life = timedelta(seconds=db.get_one(Environment, row.app_id).code_life_s)
    return row.code_expires_at - now >= life / 2


def _send_again(db: Session, row: Verification, now: datetime) -> None:
    row.asked_at = now
    row.sends += 1
    outbox.enqueue(db, kind=JOB, subject_id=row.id, due_at=now, payload={"send": row.sends})


def _begin(
    db: Session,
    *,
    app_id: str,
    address: str,
    browser_sha256: str,
    link_id: str | None,
    locale: str,
    now: datetime,
) -> Asked:
    row = Verification(
        id=new_id("ver"),
        app_id=app_id,
        browser_sha256=browser_sha256,
        address=address,
        address_key=address_key(address),
        link_id=link_id,
        locale=locale,
        created_at=now,
        asked_at=now,
        expires_at=now + LIFE,
    )
    db.add(row)
    outbox.enqueue(db, kind=JOB, subject_id=row.id, due_at=now, payload={"send": 1})
    return Asked(row.id, is_new=True)
