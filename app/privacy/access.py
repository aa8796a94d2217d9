"""Everything that is kept about one address, in both modes of an organization, to be handed to the person. Reads only.

Nothing is left out because it is internal, but secrets: hashes of tokens and browsers, codes, and what is sealed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from app.core.calendar import iso
from app.core.email_address import address_key
from app.core.errors import Conflict
from app.db.base import Table
from app.db.tables.links import CancelLink
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.privacy import finding
from app.privacy.finding import Whose

MOST: Final = 5_000  # rows of one kind in one answer
BITE: Final = 25  # sessions that are in memory at once
SECTIONS: Final = ("sessions", "links", "requests", "verifications", "mails", "records")
_SECRET: Final = frozenset(
    {"token_sha256", "browser_sha256", "code_mac", "code_encrypted", "found_encrypted", "data_encrypted"}
    | {
        "opening_by",
        "opening_until",
        "email_key",
        "recipient_key",
        "address_key",
        "locked_by",
        "locked_until",
    }
)


class TooMuchToTell(Conflict):
    code = "too_much_to_tell"
    user_message = (
        f"More than {MOST} rows of one kind are about this address: `leavewell privacy access` tells them."
    )


@dataclass(frozen=True, slots=True)
class Known:
    """Whose it is, and the ids of what is known: what is told of them is read bite by bite."""

    whose: Whose
    session_ids: Sequence[str]
    others: Mapping[str, Sequence[Mapping[str, Any]]]  # section -> rows as they are told


def look_up(db: Session, *, organization_id: str, email: str, most: int = MOST) -> Known:
    """What there is about an address. Raises TooMuchToTell."""
    whose = Whose(finding.app_ids_of(db, organization_id), address_key(email))
    sessions = finding.list_sessions(db, whose, limit=most + 1)
    customers = dict.fromkeys((row.app_id, row.customer_id) for row in sessions)
    links = finding.list_links(db, whose, limit=most + 1)
    customers |= dict.fromkeys((row.app_id, row.customer_id) for row in links)
    found = {row.id: row for row in sessions}
    by_id = {row.id: row for row in links}
    for app_id, customer_id in customers:
        nameless = finding.list_nameless_sessions(db, app_id=app_id, customer_id=customer_id, limit=most + 1)
        found |= {row.id: row for row in nameless}
        unused = finding.list_nameless_links(db, app_id=app_id, customer_id=customer_id, limit=most + 1)
        by_id |= {row.id: row for row in unused}
    for link_id in {row.link_id for row in found.values() if row.link_id} - by_id.keys():
        link = db.get(CancelLink, link_id)
        if link is not None and link.email_key in (None, whose.key):
            by_id[link.id] = link
    others = {
        "links": [_link(db, row) for row in by_id.values()],
        "requests": [
            _request(db, row)
            for row in finding.list_requests(db, whose, limit=most + 1)
            if row.session_id not in found
        ],
        "verifications": [_row(row) for row in finding.list_verifications(db, whose, limit=most + 1)],
        "mails": [_row(row) for row in finding.list_mails(db, whose, limit=most + 1)],
        "records": [
            row.record
            for row in finding.list_records(db, whose, limit=most + 1)
            if row.session_id not in found
        ],
    }
    if len(found) > most or any(len(rows) > most for rows in others.values()):
        raise TooMuchToTell
    ids = sorted(found, key=lambda id: (found[id].created_at, id))
    return Known(whose, ids, others)


def tell_sessions(db: Session, session_ids: Sequence[str]) -> list[dict[str, Any]]:
    """These sessions with all that hangs on them, in their order; what was erased meanwhile is left out."""
    rows = [db.get(CancelSession, session_id) for session_id in session_ids]
    return [_session(db, row) for row in rows if row is not None and row.erased_at is None]


def _session(db: Session, row: CancelSession) -> dict[str, Any]:
    about = finding.about_session(db, row)
    record = db.get(SessionRecord, row.id)
    told = [_row(event) for event in about.events]
    return {
        **_row(row),
        "offers": [_row(offer) for offer in about.offers],
        "changes": [_row(effect) for effect in about.effects],
        "receipts": [_row(receipt) for receipt in about.receipts],
        "requests": [_row(request) for request in about.requests],
        "mails": [_row(mail) for mail in about.mails],
        "events": told,
        "deliveries": _deliveries(db, [event.id for event in about.events]),
        "record": record.record if record else None,
    }


def _link(db: Session, link: CancelLink) -> dict[str, Any]:
    events = finding.events_of_link(db, link)
    return {
        **_row(link),
        "events": [_row(event) for event in events],
        "deliveries": _deliveries(db, [event.id for event in events]),
    }


def _request(db: Session, request: Any) -> dict[str, Any]:
    events = finding.events_of_request(db, request)
    return {
        **_row(request),
        "receipts": [_row(receipt) for receipt in finding.receipts_of_request(db, request.id)],
        "mails": [_row(mail) for mail in finding.mails_about(db, [request.id])],
        "events": [_row(event) for event in events],
        "deliveries": _deliveries(db, [event.id for event in events]),
    }


def _deliveries(db: Session, event_ids: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {**_row(delivery), "attempts": [_row(attempt) for attempt in attempts]}
        for delivery, attempts in finding.deliveries_of(db, event_ids)
    ]


def _row(row: Table) -> dict[str, Any]:
    """Every column but the secret ones, under the API's kind of names; JSON columns as they are stored."""
    return {
        _camel(name): iso(value) if isinstance(value, datetime) else value
        for name, value in row.model_dump().items()
        if name not in _SECRET
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
