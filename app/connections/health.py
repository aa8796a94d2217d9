"""When a billing system is left alone: after failures, when it asks for it, when it refuses us. For all processes.

Units of work on one row a connection. A call that goes well writes nothing but, once a minute, that it did.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.adapters.vault import Vault
from app.connections import queries
from app.core.billing import Account
from app.core.calendar import iso
from app.db.tables.accounts import Environment
from app.db.tables.connections import Connection
from app.mail import service as mail
from app.mail.service import MailKind

FAILURES: Final = 5  # in a row, before it is left alone
FIRST_REST: Final = timedelta(seconds=10)
LONGEST_REST: Final = timedelta(minutes=5)
LONGEST_ASKED: Final = timedelta(minutes=15)  # of what it asks for itself (Retry-After)
REFUSED_REST: Final = timedelta(seconds=60)
PROBE: Final = timedelta(seconds=20)  # longer than any call takes
NOTE_EVERY: Final = timedelta(minutes=1)
CALM: Final = timedelta(minutes=10)  # without a refusal, before one counts as mended
MAIL_AGAIN: Final = timedelta(hours=6)
LONGEST_ERROR: Final = 500
LONGEST_NAME: Final = 255
SILENCE: Final = "The billing system did not answer in time."  # in the time that a customer's opening has


@dataclass(frozen=True, slots=True)
class Standing:
    """What the row says, as far as it matters before a call."""

    failures: int = 0
    rest_until: datetime | None = None
    probe_until: datetime | None = None
    last_ok_at: datetime | None = None
    last_error: str | None = None

    def wait(self, now: datetime) -> timedelta:
        """How long nobody may ask; nothing also where the rest is over and somebody has to try."""
        if self.rest_until is None:
            return timedelta()
        return max(self.rest_until, self.probe_until or now, now) - now

    @property
    def is_open(self) -> bool:
        """Whether it has to show first that it answers again."""
        return self.rest_until is not None

    @property
    def is_silent(self) -> bool:
        """Whether all that is known of it is that it is slower than a customer's patience: it may answer others."""
        return self.last_error == SILENCE

    def is_success_news(self, now: datetime) -> bool:
        """Whether that a call went well has to be written down."""
        return (
            self.failures > 0
            or self.is_open
            or self.last_ok_at is None
            or now - self.last_ok_at >= NOTE_EVERY
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call brought no answer. `reason` holds no secret; `retry_after` is what it asked for, in seconds."""

    reason: str
    retry_after: float | None = None
    refuses_credentials: bool = False


def rest_after(failures: int) -> timedelta:
    """Ten seconds after five failures, twice as long after each one more, five minutes at most."""
    doublings: int = 2 ** min(max(failures - FAILURES, 0), 10)
    return min(FIRST_REST * doublings, LONGEST_REST)


def find_standing(db: Session, app_id: str) -> Standing:
    row = queries.find_standing(db, app_id)
    return Standing(*row) if row is not None else Standing()


def claim_probe(db: Session, *, app_id: str, now: datetime) -> datetime | None:
    """Be the one who asks whether it answers again; returns the claim. None: somebody else is, or it rests on."""
    until = now + PROBE
    return until if queries.claim_probe(db, app_id=app_id, now=now, until=until) else None


def note_success(db: Session, *, app_id: str, claim: datetime | None, now: datetime) -> Standing:
    """It has answered. What was asked before it was left alone proves nothing about now."""
    row = queries.hold(db, app_id)
    is_probe = claim is not None and row.probe_until == claim
    if is_probe or _standing(row).wait(now) <= timedelta():
        row.failures, row.rest_until, row.probe_until = 0, None, None
        row.last_ok_at = now
        if row.last_failed_at is None or now - row.last_failed_at >= CALM:
            row.needs_attention = False
    return _standing(row)


def note_failure(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    failure: Failure,
    claim: datetime | None,
    now: datetime,
    sealed: str | None = None,
) -> Standing:
    """It has not. Calls that were under way when it was first left alone count once, not each.

    `sealed`: the stored credentials that were used, where that is known. Others may have been saved meanwhile, and the
    old ones revoked: that says nothing about the new ones.
    """
    row = queries.hold(db, app_id)
    if sealed is not None and db.get_one(Environment, app_id).provider_config != sealed:
        return _standing(row)
    is_probe = claim is not None and row.probe_until == claim
    is_news = is_probe or _standing(row).wait(now) <= timedelta()
    rests = []
    if is_news:
        row.failures += 1
        if is_probe or row.failures >= FAILURES:
            rests.append(rest_after(row.failures))
    if failure.retry_after is not None:
        rests.append(min(timedelta(seconds=max(failure.retry_after, 0)), LONGEST_ASKED))
    if failure.refuses_credentials:
        rests.append(REFUSED_REST)
        _need_attention(db, vault, row, failure, now)
    if rests:
        until = now + max(rests)
        row.rest_until = max(row.rest_until or until, until)
    if is_probe:
        row.probe_until = None
    row.last_failed_at = now
    if is_news or failure.reason != SILENCE:  # else what it has said itself would be lost
        row.last_error = failure.reason[:LONGEST_ERROR]
    return _standing(row)


def note_check(db: Session, *, app_id: str, account: Account | None, now: datetime) -> None:
    """A person has asked who it is: whatever was wrong is over. None where nobody can be asked; then time will tell."""
    row = queries.hold(db, app_id)
    _close(row)
    if account is not None:
        _name(row, account, now)


def begin_anew(
    db: Session, *, app_id: str, account: Account | None, is_other_system: bool, now: datetime
) -> None:
    """Other credentials were saved: nothing is known of how these fare."""
    row = queries.hold(db, app_id)
    _close(row)
    row.last_ok_at = row.last_failed_at = row.last_error = None
    row.saved_at = now
    if is_other_system:
        row.account_id = row.account_name = row.account_mode = row.checked_at = None
    if account is not None:
        _name(row, account, now)


def _close(row: Connection) -> None:
    row.failures, row.rest_until, row.probe_until, row.needs_attention = 0, None, None, False


def _name(row: Connection, account: Account, now: datetime) -> None:
    row.account_id = account.id[:LONGEST_NAME]
    row.account_name = account.name[:LONGEST_NAME] if account.name else None
    row.account_mode = account.mode
    row.last_ok_at = row.checked_at = now


def _need_attention(db: Session, vault: Vault, row: Connection, failure: Failure, now: datetime) -> None:
    """Mail the merchant, once for as long as it lasts."""
    is_news, row.needs_attention = not row.needs_attention, True
    if not is_news or not _may_mail(row, now):
        return
    environment = db.get_one(Environment, row.app_id)
    if environment.contact_email is None:
        return
    row.notified_at = now
    mail.enqueue(
        db,
        vault,
        app_id=row.app_id,
        kind=MailKind.CONNECTION_REFUSED,
        recipient=environment.contact_email,
        locale=environment.locale,
        data={
            "app_id": row.app_id,
            "provider": environment.provider,
            "reason": failure.reason[:LONGEST_ERROR],
            "refused_at": iso(now),
        },
        now=now,
        subject_id=row.app_id,
    )


def _may_mail(row: Connection, now: datetime) -> bool:
    """A key that may do some things and not others comes and goes; that is no reason to write each time."""
    if row.notified_at is None or now - row.notified_at >= MAIL_AGAIN:
        return True
    return any(at is not None and at > row.notified_at for at in (row.saved_at, row.checked_at))


def _standing(row: Connection) -> Standing:
    return Standing(row.failures, row.rest_until, row.probe_until, row.last_ok_at, row.last_error)
