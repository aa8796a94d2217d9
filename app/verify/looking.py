"""The worker's half of a verification: asks billing who has the address, makes the code, owes the mail, and
starts the code's life as it goes out. May be run again from any point on: one code, and one mail for each asked for."""

import asyncio
import logging
import math
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.places import Places
from app.adapters.signing import Signer
from app.adapters.vault import SealBroken, Vault
from app.connections import service as connections
from app.core.billing import Capability, ProviderError, ProviderRefused, ProviderUnavailable
from app.core.calendar import iso
from app.core.codes import CODES, TRIES_PER_CODE, write_code
from app.core.email_address import is_look_alike
from app.core.errors import InvalidInput
from app.db.database import Database
from app.db.outbox import Job, RetryLater
from app.db.tables.accounts import Environment
from app.db.tables.mail import Mail
from app.db.tables.verifications import Verification
from app.mail import delivery
from app.mail import service as mail
from app.mail.delivery import MailPorts
from app.mail.service import MailKind, MailStatus
from app.verify import queries
from app.verify.service import Found, code_value, load_found, seal_found

CODE_MAIL_JOB: Final = "code_mail"
DEADLINE_S: Final = 10.0
MOST_CUSTOMERS: Final = 10
BEAT: Final = timedelta(seconds=15)  # longer than a look-up takes that is not tried again
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failing:
    """Environments (App IDs) whose billing failed when it was last asked, and of these the ones being asked now: one
    customer at a time, so that billing that hangs holds up no other merchant's customers."""

    known: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class VerifyPorts:
    """What the worker needs for verifications. `base_url` is where customers reach us."""

    database: Database
    clock: Clock
    http: OutboundHttp
    vault: Vault
    signer: Signer
    base_url: str
    mail: MailPorts
    failing: Failing = field(default_factory=Failing)
    places: Places = field(default_factory=Places)


@dataclass(frozen=True, slots=True)
class _Order:
    verification: Verification
    environment: Environment
    needs_look_up: bool


@dataclass(frozen=True, slots=True)
class _Secret:
    """What is sealed in a verification."""

    code: str
    found: tuple[Found, ...]


async def look_up(ports: VerifyPorts, job: Job) -> None:
    """The handler of `verification` jobs. While billing cannot be asked it raises RetryLater: the mail comes late, not
    never. It is given up with the verification, after a day."""
    number = int(job.payload.get("send", 1))
    order = await ports.database.read(
        _load, ports.vault, verification_id=job.subject_id, number=number, now=ports.clock.now()
    )
    if order is None:
        return
    fresh = None
    if order.needs_look_up:
        found = await _ask_billing(ports, order, attempts=job.attempts)
        fresh = _Secret(write_code(secrets.randbelow(CODES)), found)
    await ports.database.write(
        _owe_mail, ports, verification_id=job.subject_id, number=number, fresh=fresh, now=ports.clock.now()
    )


async def send_code(ports: VerifyPorts, job: Job) -> None:
    """The handler of `code_mail` jobs, whether the mail has a code or says that nobody was found: a code lives from
    now on, and a clock that only runs for those who were found would tell who was. Raises RetryLater."""
    await ports.database.write(_start_life, mail_id=job.subject_id, now=ports.clock.now())
    await delivery.deliver(ports.mail, job)


def _load(db: Session, vault: Vault, *, verification_id: str, number: int, now: datetime) -> _Order | None:
    """None where no mail is owed, or not any more."""
    row = queries.find(db, verification_id)
    if row is None or _why_over(row, now) is not None or queries.count_mails(db, row.id) >= number:
        if row is not None and row.looked_up_at is None:
            _log.error("nothing was mailed for %s: %s", verification_id, _why_over(row, now))
        return None
    environment = db.get_one(Environment, row.app_id)
    return _Order(row, environment, needs_look_up=_unseal(vault, row) is None)


async def _ask_billing(ports: VerifyPorts, order: _Order, *, attempts: int) -> tuple[Found, ...]:
    environment, retry_after = order.environment, 0.0
    app_id, failing = environment.app_id, ports.failing
    ladder = FIRST_RETRY_S * 2.0 ** min(attempts - 1, 30)
    is_probe = app_id in failing.known
    if is_probe and app_id in failing.asked:
        raise RetryLater(
            "billing has failed, and is just being asked again", after_s=min(ladder, LAST_RETRY_S)
        )
    if is_probe:
        failing.asked.add(app_id)
    try:
        async with asyncio.timeout(DEADLINE_S):
            found = await _find(ports, environment, order.verification.address)
        failing.known.discard(app_id)
        return found
    except ProviderUnavailable as error:
        reason, retry_after = error.reason, error.retry_after or 0.0
    except (ProviderError, InvalidInput) as error:
        reason = str(error)
    except TimeoutError:
        reason = f"Billing did not answer within {DEADLINE_S:.0f} seconds."
    finally:
        if is_probe:
            failing.asked.discard(app_id)
    failing.known.add(app_id)
    _log.warning("billing of %s cannot be asked who has an address: %s", app_id, reason)
    raise RetryLater(reason, after_s=min(max(ladder, retry_after), LAST_RETRY_S))


async def _find(ports: VerifyPorts, environment: Environment, address: str) -> tuple[Found, ...]:
    """Who has the address and a subscription that is not over."""
    provider = await connections.connect(
        environment,
        database=ports.database,
        vault=ports.vault,
        http=ports.http,
        clock=ports.clock,
        places=ports.places,
    )
    if Capability.FIND_BY_EMAIL not in provider.capabilities:  # it was disconnected since
        raise ProviderUnavailable("The billing system cannot find customers by their address.")
    try:
        customers = await provider.find_customers_by_email(address)
    except ProviderRefused as refused:  # no address for it: whoever types one must hold nobody else up
        _log.warning("billing of %s does not look for that address: %s", environment.app_id, refused.reason)
        customers = []
    if len(customers) > MOST_CUSTOMERS:
        _log.warning("more than %d customers of %s have one address", MOST_CUSTOMERS, environment.app_id)
    mine = [each for each in customers[:MOST_CUSTOMERS] if not is_look_alike(address, each.email or "")]
    if len(mine) < len(customers[:MOST_CUSTOMERS]):
        _log.warning("billing of %s takes letters for others in addresses", environment.app_id)
    known = {customer.id: customer for customer in mine}
    owned = await asyncio.gather(*(provider.list_subscriptions(customer_id) for customer_id in known))
    return tuple(
        Found(customer, tuple(subscriptions))
        for customer, subscriptions in zip(known.values(), owned, strict=True)
        if subscriptions
    )


def _owe_mail(
    db: Session,
    ports: VerifyPorts,
    *,
    verification_id: str,
    number: int,
    fresh: _Secret | None,
    now: datetime,
) -> None:
    """Keep what was found, with its code, unless another run has done so, and owe the mail of that number."""
    row = queries.lock(db, verification_id)
    if row is None or _why_over(row, now) is not None or queries.count_mails(db, row.id) >= number:
        return
    environment = db.get_one(Environment, row.app_id)
    secret = _unseal(ports.vault, row)
    if secret is None:
        if fresh is None:
            raise RetryLater("what was found can no longer be read", after_s=0)
        secret = fresh
        row.looked_up_at = now
        row.found_encrypted = seal_found(ports.vault, secret.found)
        row.code_mac = ports.signer.mac("code", code_value(row.id, secret.code))
        row.code_encrypted = ports.vault.seal(secret.code)
        row.code_expires_at = _code_ends(environment, row, now)
        db.flush()
    data: dict[str, str | int] = {"asked_at": iso(row.asked_at)}
    if secret.found:
        data |= {"code": secret.code, "minutes": environment.code_life_s // 60}
    else:
        data |= {"entry_url": f"{ports.base_url}/cancel/{row.app_id}"}
    mail.enqueue(
        db,
        ports.vault,
        app_id=row.app_id,
        kind=MailKind.CODE if secret.found else MailKind.NOT_FOUND,
        recipient=row.address,
        locale=row.locale,
        data=data,
        now=now,
        subject_id=row.id,
        job_kind=CODE_MAIL_JOB,
    )


def _start_life(db: Session, *, mail_id: str, now: datetime) -> None:
    """Let the code live as long as is promised, from the moment on that its mail goes out; one whose code is of no use
    any more is given up instead."""
    owed = db.get(Mail, mail_id)
    if owed is None or owed.subject_id is None:
        return
    row = queries.lock(db, owed.subject_id)
    db.refresh(owed)
    if owed.status != MailStatus.PENDING:
        return
    why = "forgotten" if row is None else _why_over(row, now)
    if row is None or why is not None:
        owed.status, owed.data_encrypted = MailStatus.GIVEN_UP, None
        owed.last_error = f"The code is {why}."
    else:
        row.code_expires_at = _code_ends(db.get_one(Environment, row.app_id), row, now)


def _why_over(row: Verification, now: datetime) -> str | None:
    """Why no mail is to be sent for it any more."""
    if row.used_at is not None:
        return "used"
    if row.tries >= TRIES_PER_CODE:
        return "spent"
    return "too old" if now >= row.expires_at else None


def _unseal(vault: Vault, row: Verification) -> _Secret | None:
    """None before the look-up, and where no secret of ours opens it any more: then no code is right either."""
    if row.looked_up_at is None or row.code_encrypted is None or row.found_encrypted is None:
        return None
    try:
        return _Secret(vault.open(row.code_encrypted), load_found(vault, row.found_encrypted))
    except SealBroken:
        return None


def _code_ends(environment: Environment, row: Verification, now: datetime) -> datetime:
    """A little later than promised, so that it falls on a beat of when the mail was asked for: whoever waits for the
    end could else tell to the millisecond how long billing was asked, which is longer for who is known there."""
    beats = max(math.ceil((now - row.asked_at) / BEAT), 0)
    return row.asked_at + beats * BEAT + timedelta(seconds=environment.code_life_s)
