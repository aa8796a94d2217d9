"""Keeps cancellations that a person at the merchant has to carry out, and sees to it that the merchant is told.

Some come out of sessions. Others are left by somebody whose address nobody has proven: those are a wish, no more.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.adapters.signing import Signer
from app.core import limits
from app.core.email_address import address_key, address_problem, normal_address
from app.core.errors import FieldError, InvalidInput, NotFound, TooManyRequests
from app.core.events import unverified_request
from app.core.fields import is_clean
from app.core.receipt import Frame, of_unverified_request
from app.core.request_reasons import EMAIL_NOT_VERIFIED
from app.core.summary import reference_of
from app.db import outbox
from app.db.base import new_id
from app.db.limits import hold
from app.db.tables.accounts import Environment
from app.db.tables.manual import CancellationRequest
from app.manual import queries
from app.receipts import service as receipts
from app.web.limits import claim
from app.web.strangers import neighbourhood
from app.webhooks import service as webhooks

JOB: Final = "manual_notice"
MAX_NOTE: Final = 2_000
SAME_WITHIN: Final = timedelta(minutes=10)


class TooManyCancellationRequests(TooManyRequests):
    """`limit` is the name of the one in the way (core/limits.py), `retry_after` the seconds until it is not."""

    code = "too_many_requests"
    user_message = "Too many requests were left. Please wait a little and try again."

    def __init__(self, limit: str, wait_s: float) -> None:
        super().__init__(retry_after=math.ceil(wait_s))
        self.limit = limit


class RequestNotFound(NotFound):
    """Another environment's request is not found either."""

    code = "request_not_found"
    user_message = "There is no such cancellation request in this environment."


def request(
    db: Session,
    signer: Signer,
    *,
    app_id: str,
    address: str,
    note: str,
    ip: str,
    now: datetime,
    locale: str,
) -> CancellationRequest:
    """Keep a request of somebody whose address is not proven, and tell the merchant. The same words again within ten
    minutes are the same request.

    Raises InvalidInput (fields `email` and `note`, messages are keys of the catalogue; `errors.note.long` takes
    `count`, MAX_NOTE) and TooManyCancellationRequests.
    """
    address, note = address.strip(), note.strip()
    _check(address, note)
    mailbox, network = normal_address(address), neighbourhood(ip)
    claims = (
        claim(signer, limits.REQUESTS_PER_ADDRESS, mailbox),
        claim(signer, limits.REQUESTS_PER_IP, network),
        claim(signer, limits.REQUESTS_PER_ENVIRONMENT, app_id),
    )
    answers = (
        claim(signer, limits.SENDS_PER_HOUR, mailbox),
        claim(signer, limits.SENDS_PER_DAY, mailbox),
        claim(signer, limits.SENDS_PER_IP, network),
        claim(signer, limits.SENDS_PER_ENVIRONMENT, app_id),
    )
    held = hold(db, [*claims, *answers], now=now)
    known = queries.find_twin(db, app_id=app_id, address=address, note=note or None, since=now - SAME_WITHIN)
    if known is not None:
        return known
    if (refused := held.refusal(claims)) is not None:
        raise TooManyCancellationRequests(refused[0].limit.name, refused[1])
    held.count(claims)
    is_answered = held.refusal(answers) is None
    if is_answered:
        held.count(answers)
    row = CancellationRequest(
        id=new_id("req"),
        app_id=app_id,
        address=address,
        address_key=address_key(address),
        note=note or None,
        reasons=[EMAIL_NOT_VERIFIED],
        created_at=now,
    )
    db.add(row)
    told = unverified_request(
        request_id=row.id, reference=reference_of(row.id), email=address, note=row.note, blockers=row.reasons
    )
    webhooks.emit(db, app_id=app_id, events=[told], now=now)
    db.flush()
    environment = db.get_one(Environment, app_id)
    frame = Frame(
        receipt_id=new_id("rcp"),
        merchant=receipts.merchant_of(db, environment),
        customer_id=None,
        locale=locale,
        time_zone=environment.time_zone,
        flow_version=None,
        email=address,
    )
    proof = of_unverified_request(frame, request_id=row.id, requested_at=now, issued_at=now)
    # Not mailed as a receipt: what is mailed to an address that is not proven is only that the request arrived.
    receipts.issue(db, app_id=app_id, content=proof, recipient=None, request_id=row.id, now=now)
    _owe_notice(db, row, answers_in=locale if is_answered else None, now=now)
    return row


def record(
    db: Session,
    *,
    app_id: str,
    session_id: str,
    customer_id: str,
    subscription_id: str | None,
    reasons: Sequence[str],
    now: datetime,
    address: str | None = None,
    note: str | None = None,
) -> CancellationRequest:
    """Keep a request that came out of a session, and have the merchant mailed; once for each of its subscriptions.

    The session's row must have been written. Its events are its own business.
    """
    known = queries.find_of_session(db, session_id=session_id, subscription_id=subscription_id)
    if known is not None:
        return known
    row = CancellationRequest(
        id=new_id("req"),
        app_id=app_id,
        session_id=session_id,
        customer_id=customer_id,
        subscription_id=subscription_id,
        address=address,
        address_key=address_key(address) if address else None,
        note=note,
        reasons=list(reasons),
        created_at=now,
    )
    db.add(row)
    _owe_notice(db, row, answers_in=None, now=now)
    return row


def list_requests(
    db: Session,
    *,
    app_id: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    is_open: bool | None = None,
) -> list[CancellationRequest]:
    """An environment's requests, newest first, from just behind `before` (created_at, id) on."""
    return queries.list_requests(db, app_id=app_id, limit=limit, before=before, is_open=is_open)


def close(db: Session, *, app_id: str, request_id: str, now: datetime) -> CancellationRequest:
    """The merchant has dealt with it; saying so again changes nothing. Raises RequestNotFound."""
    if not request_id.isprintable():
        raise RequestNotFound  # not every text may reach a database: PostgreSQL takes no NUL
    row = queries.find_request(db, app_id=app_id, request_id=request_id)
    if row is None:
        raise RequestNotFound
    row.closed_at = row.closed_at or now
    return row


def _check(address: str, note: str) -> None:
    problems = []
    if problem := address_problem(address):
        problems.append(FieldError("email", problem))
    if len(note) > MAX_NOTE:
        problems.append(FieldError("note", "errors.note.long"))
    elif not is_clean(note, allowed="\n\t"):
        problems.append(FieldError("note", "errors.text.control"))
    if problems:
        raise InvalidInput(fields=problems)


def _owe_notice(db: Session, row: CancellationRequest, *, answers_in: str | None, now: datetime) -> None:
    """`answers_in`: the locale in which whoever left it is told that it has arrived; None: he is not."""
    outbox.enqueue(db, kind=JOB, subject_id=row.id, due_at=now, payload={"answers_in": answers_in})
