"""Data subject requests: erases everything about one address in an organization, in bites, and keeps the proof.

An erasure is a row and a job. Whoever asks begins it and waits a little; what is not done by then the worker goes on
with, from wherever it stands: what is erased is found no more, so that is all there is to remember.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.signing import Signer
from app.adapters.vault import SealBroken, Vault
from app.core.email_address import address_key, may_be_known_by
from app.core.errors import FieldError, InvalidInput, NotFound
from app.db import outbox, pauses
from app.db.base import new_id
from app.db.database import Database
from app.db.tables.privacy import Erasure
from app.db.tables.sessions import CancelSession
from app.privacy import erasing, finding
from app.privacy.erasing import Counts, Measure
from app.privacy.finding import Whose

JOB: Final = "erasure"
BITE: Final = (
    5  # sessions, links or requests in one transaction: SQLite has one writer, and others wait for it
)
LOOKED_AT: Final = 20  # sessions, of which some may have to wait
SHORT_BITE: Final = 100  # of rows that nothing hangs on
LEASE: Final = timedelta(seconds=30)
PATIENCE_S: Final = 5.0  # of who asked
WAIT_S: Final = 60.0  # for a change under way


class ErasureNotFound(NotFound):
    """Another organization's is not found either."""

    code = "erasure_not_found"
    user_message = "There is no such erasure in this organization."


@dataclass(frozen=True, slots=True)
class PrivacyPorts:
    """`holder` names this process: a job that it begins is leased to it."""

    database: Database
    clock: Clock
    vault: Vault
    signer: Signer
    holder: str


async def delete(ports: PrivacyPorts, *, organization_id: str, email: str, requested_by: str) -> Erasure:
    """Erase everything about an address, in both modes, for good. Returns the proof: with `finished_at` where all is
    done, else the worker goes on. While it does, asking again returns the same one; afterwards it is a new one.

    Raises InvalidInput (field `email`).
    """
    check_address(email)
    now = ports.clock.now()
    erasure, job = await ports.database.write(
        _begin, ports, organization_id=organization_id, email=email, requested_by=requested_by, now=now
    )
    if job is None:
        return erasure
    is_done = False
    try:
        async with asyncio.timeout(PATIENCE_S):
            is_done = await _go_on(ports, erasure.id)
    except TimeoutError:
        pass
    finally:
        await asyncio.shield(
            asyncio.ensure_future(ports.database.write(_let_go, ports, job, is_done=is_done, now=now))
        )
    return await ports.database.read(_reread, erasure.id)


async def work_on(ports: PrivacyPorts, job: outbox.Job) -> None:
    """The worker's handler. Raises RetryLater while changes are under way."""
    if not await _go_on(ports, job.subject_id):
        raise outbox.RetryLater("changes at the billing provider are under way", after_s=WAIT_S)


def get(db: Session, *, organization_id: str, erasure_id: str) -> Erasure:
    """Raises ErasureNotFound."""
    found = finding.find_erasure(db, organization_id=organization_id, erasure_id=erasure_id)
    if found is None:
        raise ErasureNotFound
    return found


def prove(
    db: Session, signer: Signer, *, organization_id: str, email: str, limit: int = 100
) -> list[Erasure]:
    """The erasures of an address, newest first: only who knows it, and has our secret, can tell which they are."""
    key, found = address_key(email), list[Erasure]()
    before: tuple[datetime, str] | None = None
    while len(found) < limit:
        page = finding.list_erasures(db, organization_id, limit=500, before=before)
        if not page:
            break
        found += [one for one in page if signer.is_mac(JOB, _proved(organization_id, key), one.address_mac)]
        before = page[-1].requested_at, page[-1].id
    return found[:limit]


def check_address(email: str) -> None:
    """By what billing systems call people, some of whom have no mailbox there. Raises InvalidInput (field `email`)."""
    if not may_be_known_by(email.strip()):
        raise InvalidInput(fields=[FieldError("email", "Must be an email address.")])


def reseal(db: Session, vault: Vault) -> int:
    """Encrypt the addresses of erasures that go on anew. Returns how many. Raises SealBroken."""
    going_on = finding.list_every_going_on(db)
    for erasure in going_on:
        erasure.address_encrypted = vault.seal(vault.open(erasure.address_encrypted or ""))
    return len(going_on)


def _begin(
    db: Session, ports: PrivacyPorts, *, organization_id: str, email: str, requested_by: str, now: datetime
) -> tuple[Erasure, outbox.Job | None]:
    """The erasure and its job, leased to us; no job where the erasure was going on already."""
    proved = _proved(organization_id, address_key(email))
    for known in finding.list_going_on(db, organization_id):
        if ports.signer.is_mac(JOB, proved, known.address_mac):
            return known, None
    erasure = Erasure(
        id=new_id("ers"),
        organization_id=organization_id,
        address_mac=ports.signer.mac(JOB, proved),
        address_encrypted=ports.vault.seal(address_key(email)),
        requested_by=requested_by,
        requested_at=now,
    )
    db.add(erasure)
    job = outbox.enqueue(
        db,
        kind=JOB,
        subject_id=erasure.id,
        due_at=now,
        locked_by=ports.holder,
        locked_until=now + LEASE,
    )
    return erasure, job


def _let_go(db: Session, ports: PrivacyPorts, job: outbox.Job, *, is_done: bool, now: datetime) -> None:
    if is_done:
        outbox.finish(db, job, ports.holder)
    else:
        outbox.retry(db, job, ports.holder, due_at=now, error="taking longer than who asked could wait")


async def _go_on(ports: PrivacyPorts, erasure_id: str) -> bool:
    """Bite after bite, until all is erased (True) or only what has to wait is left."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        has_more = await ports.database.write(_bite, ports.vault, erasure_id, ports.clock.now())
        if has_more is None:
            return True
        if not has_more:
            return False
        await asyncio.sleep(pauses.pause_s(ports.database, loop.time() - began))


def _bite(db: Session, vault: Vault, erasure_id: str, now: datetime) -> bool | None:
    """One transaction's worth. None when all is done; False when what is left has to wait."""
    erasure = finding.hold_erasure(db, erasure_id)
    if erasure is None or erasure.finished_at is not None:
        return None
    try:
        key = vault.open(erasure.address_encrypted or "")
    except SealBroken:
        raise outbox.RetryLater("no secret opens the address: LEAVEWELL_SECRET has changed") from None
    whose = Whose(finding.app_ids_of(db, erasure.organization_id), key)
    counts, waiting = _erase_some(db, whose, Measure(now))
    erasure.counts = dict(sorted((Counter(erasure.counts) + counts).items()))
    erasure.waiting = waiting
    if counts:
        return True
    if waiting:
        return False
    erasing.forget_failures(db, whose.app_ids)
    erasure.finished_at, erasure.address_encrypted = now, None
    return None


def _erase_some(db: Session, whose: Whose, measure: Measure) -> tuple[Counts, int]:
    """What was erased, and how many sessions have to wait."""
    counts: Counts = Counter()
    waiting = 0
    known: dict[tuple[str, str], int] = {}  # customers without nameless sessions that could be erased
    for session in finding.list_sessions(db, whose, limit=LOOKED_AT):
        if counts["sessions"] >= BITE:
            break
        customer = session.app_id, session.customer_id
        if customer not in known:
            nameless, known[customer] = _erase_nameless(db, *customer, measure)
            counts += nameless
            if nameless:
                return counts, waiting  # there may be more, and this one tells whose they are: it goes last
        waits = known[customer]
        link_id = session.link_id
        erased = None if waits else erasing.erase_session(db, session.id, measure)
        if erased is None:
            waiting += 1
        else:
            counts += erased + _erase_link_of(db, link_id, whose, measure)
    if counts:
        return counts, waiting
    for link in finding.list_links(db, whose, limit=BITE):
        nameless, waits = _erase_nameless(db, link.app_id, link.customer_id, measure)
        counts += nameless
        if nameless:
            return counts, waiting
        waiting += waits
        if not waits:
            counts += erasing.erase_link(db, link, measure)
    for request in finding.list_requests(db, whose, limit=BITE):
        counts += erasing.erase_request(db, request, measure)
    counts += erasing.delete_verifications(db, finding.list_verifications(db, whose, limit=SHORT_BITE))
    counts += erasing.delete_mails(db, finding.list_mails(db, whose, limit=SHORT_BITE))
    if not waiting:  # else they are of those that wait
        for record in finding.list_records(db, whose, limit=BITE):
            row = db.get(CancelSession, record.session_id)
            if row is None or row.erased_at is not None:
                erasing.erase_record(db, record.session_id, measure)
                counts["records"] += 1
            else:
                # From before there were keys: the migration's was made by the database, which may fold ASCII alone.
                # By this one the next bite finds it, and nothing is counted yet.
                row.email_key = whose.key
                counts["records"] += 0
    return counts, waiting


def _erase_nameless(db: Session, app_id: str, customer_id: str, measure: Measure) -> tuple[Counts, int]:
    """Sessions and links of the same customer of which no address is known: billing did not say it, or was down. What
    was erased, and how many sessions have to wait."""
    counts: Counts = Counter()
    waiting = 0
    for session in finding.list_nameless_sessions(db, app_id=app_id, customer_id=customer_id, limit=BITE):
        erased = erasing.erase_session(db, session.id, measure)
        if erased is None:
            waiting += 1
        else:
            counts += erased
    for link in finding.list_nameless_links(db, app_id=app_id, customer_id=customer_id, limit=BITE):
        counts += erasing.erase_link(db, link, measure)
    return counts, waiting


def _erase_link_of(db: Session, link_id: str | None, whose: Whose, measure: Measure) -> Counts:
    """The link that a session came by, unless it names somebody else, or leads to a session that stays."""
    link = finding.find_unused_link(db, link_id, whose.key) if link_id else None
    return erasing.erase_link(db, link, measure) if link is not None else Counter()


def _proved(organization_id: str, key: str) -> str:
    return f"{organization_id} {key}"


def _reread(db: Session, erasure_id: str) -> Erasure:
    return db.get_one(Erasure, erasure_id)
