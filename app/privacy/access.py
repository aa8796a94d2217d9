"""Everything that is kept about one address, in both modes of an organization, to be handed to the person. Reads only.

Nothing is left out because it is internal, but secrets: hashes of tokens and browsers, codes, and what is sealed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from app.core.calendar import iso
from app.core.email_address import address_key
from app.core.errors import Conflict
from app.db.base import Table
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.db.tables.verifications import Verification
from app.privacy import finding
from app.privacy.finding import Whose

MOST: Final = 5_000  # rows of one kind in one answer
BITE: Final = 25  # rows of one kind, with what hangs on each, that are in memory at once
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


# What rows are found and put in order by. A whole one may have tens of kilobytes, so that thousands are read bite by
# bite, and told as they are read.
_SESSION: Final = (
    CancelSession.app_id,
    CancelSession.customer_id,
    CancelSession.link_id,
    CancelSession.created_at,
)
_LINK: Final = (CancelLink.app_id, CancelLink.customer_id, CancelLink.email_key)


@dataclass(frozen=True, slots=True)
class Known:
    """Whose it is, and the ids of what is known, section by section and in the order in which it is told."""

    whose: Whose
    ids: Mapping[str, Sequence[str]]

    def bites(self, section: str) -> Iterator[Sequence[str]]:
        """What `tell` is to be asked for, one after the other."""
        ids = self.ids[section]
        return (ids[begin : begin + BITE] for begin in range(0, len(ids), BITE))


def look_up(db: Session, *, organization_id: str, email: str, most: int) -> Known:
    """What there is about an address. Raises TooMuchToTell."""
    whose = Whose(finding.app_ids_of(db, organization_id), address_key(email))
    ids = _find_ids(db, whose, most + 1)
    db.expunge_all()  # what is not whole
    if any(len(of_one_kind) > most for of_one_kind in ids.values()):
        raise TooMuchToTell
    return Known(whose, ids)


def tell(db: Session, section: str, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """These rows with all that hangs on them, in their order; what was erased meanwhile is left out."""
    kind, told = _SECTIONS[section]
    rows = [db.get(kind, one) for one in ids]
    return [told(db, row) for row in rows if row is not None and getattr(row, "erased_at", None) is None]


def _find_ids(db: Session, whose: Whose, limit: int) -> dict[str, list[str]]:
    sessions = finding.list_sessions(db, whose, limit=limit, only=_SESSION)
    customers = dict.fromkeys((row.app_id, row.customer_id) for row in sessions)
    links = finding.list_links(db, whose, limit=limit, only=_LINK)
    customers |= dict.fromkeys((row.app_id, row.customer_id) for row in links)
    found = {row.id: row for row in sessions}
    by_id = {row.id: row for row in links}
    for app_id, customer_id in customers:
        nameless = finding.list_nameless_sessions(
            db, app_id=app_id, customer_id=customer_id, limit=limit, only=_SESSION
        )
        found |= {row.id: row for row in nameless}
        unused = finding.list_nameless_links(
            db, app_id=app_id, customer_id=customer_id, limit=limit, only=_LINK
        )
        by_id |= {row.id: row for row in unused}
        if max(len(found), len(by_id)) >= limit:
            raise TooMuchToTell
    for link_id in dict.fromkeys(row.link_id for row in found.values() if row.link_id):
        link = db.get(CancelLink, link_id, options=finding.slim(_LINK)) if link_id not in by_id else None
        if link is not None and link.email_key in (None, whose.key):
            by_id[link.id] = link
    requests = finding.list_requests(db, whose, limit=limit, only=(CancellationRequest.session_id,))
    verifications = finding.list_verifications(db, whose, limit=limit, only=(Verification.id,))
    mails = finding.list_mails(db, whose, limit=limit, only=(Mail.id,))
    records = finding.list_records(db, whose, limit=limit, only=(SessionRecord.session_id,))
    return {
        "sessions": sorted(found, key=lambda id: (found[id].created_at, id)),
        "links": list(by_id),
        "requests": [row.id for row in requests if row.session_id not in found],
        "verifications": [row.id for row in verifications],
        "mails": [row.id for row in mails],
        "records": [row.session_id for row in records if row.session_id not in found],
    }


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


def _plain(db: Session, row: Table) -> dict[str, Any]:
    return _row(row)


def _record(db: Session, record: SessionRecord) -> Mapping[str, Any]:
    return record.record


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


# In the order in which they are told: what a row of each is, and how it is told.
_SECTIONS: Final[Mapping[str, tuple[type[Table], Callable[[Session, Any], Mapping[str, Any]]]]] = {
    "sessions": (CancelSession, _session),
    "links": (CancelLink, _link),
    "requests": (CancellationRequest, _request),
    "verifications": (Verification, _plain),
    "mails": (Mail, _plain),
    "records": (SessionRecord, _record),
}
SECTIONS: Final = tuple(_SECTIONS)
