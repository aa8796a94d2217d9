"""Owes word to the merchant's people that a session is over, where they want it. Composes and sends nothing."""

from datetime import datetime
from typing import Final

from sqlmodel import Session

from app.core.calendar import iso
from app.db import outbox
from app.db.tables.accounts import Environment
from app.db.tables.sessions import CancelSession

SLACK_JOB: Final = "slack"
OWED_AT: Final = "owed_at"  # in the job's payload: word that comes days late is none


def owe_notice(db: Session, row: CancelSession, now: datetime) -> None:
    """One for each end that a session comes to; nothing where the environment has no Slack."""
    with db.no_autoflush:  # the step is written at its end, once
        environment = db.get_one(Environment, row.app_id)  # loaded anyway, with the session
    if environment.slack_url_encrypted is not None:
        outbox.enqueue(db, kind=SLACK_JOB, subject_id=row.id, due_at=now, payload={OWED_AT: iso(now)})
