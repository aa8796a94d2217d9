"""A receipt at its own address: to read, to print, to keep as a signed file, and to take a cancellation back with."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath
from sqlmodel import Session

from app.cancel import screens as sc
from app.cancel.framing import frame_of
from app.cancel.visit import READ, Answer, Visit, address, to, visit_of
from app.core.calendar import parse_moment
from app.core.errors import Unavailable
from app.core.receipt import ReceiptStatus, summary_in
from app.core.receipt_file import file_name, to_file
from app.db.tables.accounts import Environment
from app.db.tables.receipts import Receipt
from app.mail.letters import Pen, by_clocks_of, receipt_words
from app.receipts import address as addresses
from app.receipts import queries
from app.receipts.keys import NoKeyOpens, Notary, Signed
from app.sessions import undoing
from app.sessions.ports import SessionPorts
from app.sessions.undoing import NothingToUndo, UndoUnderWay
from app.web.copy import copy_for
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.frame import Frame
from app.web.richtext import rich_text
from app.web.security import new_browser

PLACE: Final = f"{addresses.FOLDER}/{{token:str}}"
FILE: Final = "receipt.json"
# What somebody has to name who asks about it. The file has more: the session, the version of the flow.
RECORDS: Final = ("reference", "id", "email", "customerId", "subscriptionId", "providerReference")

NOTABLE: Final = timedelta(minutes=1)


class ReceiptNotSigned(Unavailable):
    """No key has signed it yet; the worker is about to make one."""

    code = "receipt_not_signed"
    user_message = "The receipt is not signed yet. Please try again in a moment."


@dataclass(frozen=True, slots=True)
class _Found:
    receipt: Receipt
    environment: Environment
    signed: Signed | None
    can_undo: bool
    is_undone: bool  # it still says what was so when it was written
    since: str | None  # the status of what followed a request


@route(PLACE, http_method=READ, include_in_schema=False)
async def show_receipt(
    request: Request[Any, Any, Any],
    token: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
    notary: NamedDependency[Notary],
) -> Answer:
    """The receipt in words. Changes nothing; whoever has the address may read it, in any browser."""
    visit = visit_of(request, ports, session_ports)
    found = await _find(visit, notary, token)
    return _missing(visit, token) if found is None else _page(visit, token, found)


@route(PLACE, http_method=HttpMethod.POST, include_in_schema=False)
async def undo_cancellation(
    request: Request[Any, Any, Any],
    token: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
    notary: NamedDependency[Notary],
) -> Answer:
    """Take the cancellation back. The address is the secret: neither the browser nor a form's token has to be known."""
    visit = visit_of(request, ports, session_ports)
    found = await _find(visit, notary, token)
    if found is None:
        return _missing(visit, token)
    browser = visit.browser or new_browser(ports.clock.now())
    try:
        session_id = await undoing.undo(
            session_ports,
            receipt_id=found.receipt.id,
            browser_sha256=browser.fingerprint,
            time_zone=found.receipt.content["timeZone"],
        )
    except (NothingToUndo, UndoUnderWay) as refused:
        return _page(visit, token, found, status=refused.status, refused=refused.code)
    return to(address(session_id), visit.cookie(browser))


@route(f"{PLACE}/{FILE}", http_method=READ, include_in_schema=False)
async def receipt_file(
    request: Request[Any, Any, Any],
    token: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
    notary: NamedDependency[Notary],
) -> Answer:
    """The signed file, to be kept."""
    visit = visit_of(request, ports, session_ports)
    found = await _find(visit, notary, token)
    if found is None:
        return _missing(visit, token)
    if found.signed is None:
        raise ReceiptNotSigned
    content = found.receipt.content
    return Response(
        to_file(content, found.signed.key_id, found.signed.signature).encode(),
        media_type="application/json",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{file_name(content)}"',
            "X-Robots-Tag": "noindex",
        },
    )


async def _find(visit: Visit, notary: Notary, token: str) -> _Found | None:
    """What stands at an address; a token that is not ours is refused without a look into the database."""
    receipt_id = addresses.read(visit.ports.signer, token)
    if receipt_id is None:
        return None
    return await visit.ports.database.read(_load, notary, receipt_id, visit.ports.clock.now())


def _load(db: Session, notary: Notary, receipt_id: str, now: datetime) -> _Found | None:
    found = queries.find_with_owner(db, receipt_id)
    if found is None:
        return None
    receipt, environment = found
    is_undone = undoing.is_undone(db, receipt)
    outcome = queries.find_outcome(db, receipt)
    return _Found(
        receipt,
        environment,
        _signature(db, notary, receipt),
        can_undo=undoing.is_open(receipt, now) and not is_undone,
        is_undone=is_undone,
        since=outcome.status if outcome else None,
    )


def _signature(db: Session, notary: Notary, receipt: Receipt) -> Signed | None:
    """The one it has, or the one that the worker is about to give it."""
    if receipt.key_id is not None and receipt.signature is not None:
        return Signed(receipt.key_id, receipt.signature)
    try:
        return notary.sign(db, receipt)
    except NoKeyOpens:
        return None


def _page(
    visit: Visit, token: str, found: _Found, *, status: int = 200, refused: str | None = None
) -> Answer:
    """`refused` is why an undo was: the code of its error, which the catalogue knows."""
    content = found.receipt.content
    place = addresses.path_of(visit.ports.signer, found.receipt.id)
    screen = draw_receipt(
        content,
        file_href=f"{place}/{FILE}" if found.signed else None,
        key_id=found.signed.key_id if found.signed else None,
        can_undo=found.can_undo and refused is None,
        is_undone=found.is_undone,
    )
    copy = copy_for(content["locale"])
    notice = "undone" if found.is_undone else refused or (f"since_{found.since}" if found.since else None)
    frame = frame_of(
        found.environment,
        brand_name=content["merchant"]["name"],
        copy=copy,
        title=copy.t("receipt.page_title", title=screen.title),
        action=place,
        notice=copy.t(f"receipt.{notice}") if notice else None,
    )
    return visit.page(frame, screen, locale=content["locale"], status=status)


def draw_receipt(
    content: dict[str, Any],
    *,
    file_href: str | None,
    key_id: str | None,
    can_undo: bool,
    is_undone: bool = False,
) -> sc.Receipt:
    """A receipt's content as a screen."""
    locale = content["locale"]
    pen = Pen(copy_for(locale), formats_for(locale), content["merchant"]["name"])
    title, lead = receipt_words(content, pen)
    merchant, offer = content["merchant"], content["offer"]
    requested_at, confirmed_at = parse_moment(content["requestedAt"]), _moment(content["confirmedAt"])
    issued_at = parse_moment(content["issuedAt"])
    return sc.Receipt(
        title=title,
        lead=lead,
        tone=_TONES[ReceiptStatus(content["status"])],
        reference=content["reference"],
        facts=_by_own_days(summary_in(content), content["timeZone"]),
        ends_now=content["facts"]["endsNow"],
        time_zone=content["timeZone"],
        requested_at=requested_at,
        confirmed_at=confirmed_at,
        issued_at=issued_at if issued_at - (confirmed_at or requested_at) >= NOTABLE else None,
        offer_headline=offer["headline"] if offer else None,
        offer_body=rich_text(offer["body"]) if offer and offer["body"] else None,
        merchant=merchant["name"],
        contacts=_contacts(merchant),
        records=tuple((name, content[name]) for name in RECORDS if content[name]),
        key_id=key_id,
        file_href=file_href,
        can_undo=can_undo,
        is_undone=is_undone,
    )


_TONES: Final[dict[ReceiptStatus, sc.Tone]] = {
    ReceiptStatus.CONFIRMED: "done",
    ReceiptStatus.REQUESTED: "waiting",
    ReceiptStatus.FAILED: "plain",
}


def _by_own_days(facts: sc.Facts, zone: str | None) -> sc.Facts:
    """Charges and renewals on the days that the customer's calendar has, as the times beside them."""

    def own(charge: sc.Charge | None) -> sc.Charge | None:
        return replace(charge, at=by_clocks_of(zone, charge.at)) if charge else None

    def day(at: datetime | None) -> datetime | None:
        return by_clocks_of(zone, at) if at else None

    return replace(
        facts,
        next_charge=own(facts.next_charge),
        back_to=own(facts.back_to),
        renews_before=day(facts.renews_before),
        renews_at=day(facts.renews_at),
    )


def _contacts(merchant: dict[str, Any]) -> tuple[sc.Link, ...]:
    ways = []
    if merchant["email"]:
        ways.append(sc.Link(merchant["email"], f"mailto:{merchant['email']}"))
    if merchant["url"]:
        ways.append(sc.Link(merchant["url"].split("://", 1)[-1].rstrip("/"), merchant["url"]))
    return tuple(ways)


def _moment(text: str | None) -> datetime | None:
    return parse_moment(text) if text else None


def _missing(visit: Visit, token: str) -> Answer:
    """A page that names nobody: here it is not known, or not known any more, whose receipt this was. An address that we
    have made and that leads to nothing was a receipt's that is erased."""
    is_erased = addresses.read(visit.ports.signer, token) is not None
    locale, key = visit.locale(), "receipt.erased" if is_erased else "receipt.unknown"
    copy = copy_for(locale)
    title, lead = copy.t(f"{key}.title"), copy.t(f"{key}.lead")
    return visit.page(
        Frame(title=title, lang=copy.language),
        sc.Notice(title, lead),
        locale=locale,
        status=410 if is_erased else 404,
    )
