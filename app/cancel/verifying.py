"""Where a code is typed, and where it leads: to the session, or first to the choice whose it is to be. Says nothing
about an address before its code was right."""

from typing import Any, Final, Literal, assert_never

from litestar import Request, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.cancel import screens as sc
from app.cancel.drawing import choice_of
from app.cancel.entry import code_address, entry_address, request_address
from app.cancel.framing import contacts_of
from app.cancel.visit import (
    READ,
    Answer,
    Host,
    Visit,
    address,
    host_of,
    host_page,
    sent_from_here,
    to,
    visit_of,
)
from app.cancel.words import Wording
from app.core.codes import TRIES_PER_CODE
from app.core.errors import FieldError
from app.db.database import Session
from app.db.tables.verifications import Verification
from app.sessions import verified
from app.sessions.ports import SessionPorts
from app.sessions.verified import ChooseCustomer, NobodyFound
from app.verify import queries as verify_queries
from app.verify import service as verify
from app.verify.service import Found, TooManyCodes, Tried, Verdict, VerificationNotYours
from app.web.copy import copy_for
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.forms import Form, parse_form
from app.web.frame import Frame

VERIFICATION: Final = "/cancel/v/{verification_id:str}"
AGAIN: Final = "again"  # in the query: one more mail was just asked for

CodeState = Literal["sent", "again", "soon", "held", "expired", "spent", "limited"]


@route(VERIFICATION, http_method=READ, include_in_schema=False)
async def show_verification(
    request: Request[Any, Any, Any],
    verification_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
) -> Answer:
    """The code's field; once it was right, where that leads."""
    visit = visit_of(request, ports, session_ports)
    try:
        row = await _find(visit, verification_id)
    except VerificationNotYours:
        return await _elsewhere(visit, verification_id)
    host = await host_of(visit, row.app_id, locale=row.locale)
    if row.used_at is not None:
        return _proven(visit, host, row)
    mailed: CodeState = "again" if AGAIN in request.query_params else "sent"
    return _code_page(visit, host, row, _over(visit, row) or mailed)


@route(VERIFICATION, http_method=HttpMethod.POST, include_in_schema=False)
async def submit_verification(
    request: Request[Any, Any, Any],
    verification_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
) -> Answer:
    """Try a code, ask for another mail, or say which subscription it is about."""
    visit = visit_of(request, ports, session_ports)
    form = await parse_form(request)
    try:
        row = await _find(visit, verification_id)
        host = await host_of(visit, row.app_id, locale=row.locale)
        if sent_from_here(visit, host, form) is None:
            notice = host.copy.t("notice.kept_typing.text")
            if row.used_at is not None:
                return _proven(visit, host, row, status=403, notice=notice)
            state = _over(visit, row) or "sent"
            return _code_page(visit, host, row, state, typed=form.get("code"), status=403, notice=notice)
        if row.used_at is not None:
            return await _go_on(visit, host, row, form)
        if form.get("action") == "resend":
            return await _resend(visit, host, row)
        return await _check(visit, host, row, form)
    except VerificationNotYours:
        return await _elsewhere(visit, verification_id)


def _over(visit: Visit, row: Verification) -> Literal["spent", "expired"] | None:
    """Why its code does not work any more, whoever types it: also for who only comes back to the page."""
    if row.tries >= TRIES_PER_CODE:
        return "spent"
    return "expired" if verify.is_expired(row, visit.ports.clock.now()) else None


async def _check(visit: Visit, host: Host, row: Verification, form: Form) -> Answer:
    typed = form.get("code")
    if not typed.strip() and _over(visit, row) is None:
        return _code_page(visit, host, row, "sent", status=422, error=host.copy.t("errors.code.missing"))
    tried = await visit.ports.database.write(
        verify.try_code,
        visit.ports.signer,
        verification_id=row.id,
        browser_sha256=row.browser_sha256,
        typed=typed,
        ip=visit.ip,
        now=visit.ports.clock.now(),
    )
    match tried.verdict:
        case Verdict.RIGHT:
            try:
                return await _enter(visit, row)
            except (ChooseCustomer, NobodyFound):
                return to(code_address(row.id))
        case Verdict.USED:
            return to(code_address(row.id))
        case Verdict.WRONG | Verdict.UNREADABLE:
            return _code_page(visit, host, row, "sent", typed=typed, status=422, error=_mistake(host, tried))
        case Verdict.EXPIRED:
            return _code_page(visit, host, row, "expired", status=422)
        case Verdict.SPENT:
            return _code_page(visit, host, row, "spent", status=422)
        case Verdict.LIMITED:
            return _code_page(visit, host, row, "limited", typed=typed, status=429, wait_s=tried.wait_s)
        case _:
            assert_never(tried.verdict)


def _mistake(host: Host, tried: Tried) -> str:
    if tried.verdict is Verdict.UNREADABLE:
        return host.copy.t("errors.code.unreadable")
    return host.copy.t("errors.code.wrong", count=tried.left or 0)


async def _resend(visit: Visit, host: Host, row: Verification) -> Answer:
    try:
        asked = await visit.ports.database.write(
            verify.resend,
            visit.ports.signer,
            verification_id=row.id,
            browser_sha256=row.browser_sha256,
            ip=visit.ip,
            now=visit.ports.clock.now(),
        )
    except TooManyCodes as refused:
        state: CodeState = "held" if _over(visit, row) else "soon"
        return _code_page(visit, host, row, state, status=429, wait_s=refused.retry_after)
    return to(f"{code_address(asked.verification_id)}?{AGAIN}")


async def _go_on(visit: Visit, host: Host, row: Verification, form: Form) -> Answer:
    """From a proven address into the session, of the customer and the subscription that were chosen if there are
    several customers."""
    found = verify.found_customers(visit.ports.vault, row)
    if row.session_id is not None or not found or form.get("action") not in ("open", "choose"):
        return to(code_address(row.id))
    if len(found) == 1:
        return await _enter(visit, row)
    chosen = form.get("subscription")
    for customer_number, each in enumerate(found):
        for number, subscription in enumerate(each.subscriptions):
            if chosen == _choice_id(customer_number, number):
                return await _enter(visit, row, each.customer.id, subscription.id)
    key = "errors.subscription.unknown" if chosen else "errors.subscription.missing"
    wrong = (FieldError("subscription", host.copy.t(key)),)
    return _chooser(visit, host, row, found, status=422, errors=wrong)


async def _enter(
    visit: Visit, row: Verification, customer_id: str | None = None, subscription_id: str | None = None
) -> Answer:
    session_id, place = await verified.enter(
        visit.session_ports,
        verification_id=row.id,
        browser_sha256=row.browser_sha256,
        customer_id=customer_id,
        subscription_id=subscription_id,
    )
    cookies = (visit.cookie(visit.browser),) if visit.browser is not None else ()
    return to(address(session_id, place), *cookies)


# --- Pages ----------------------------------------------------------------------------------------------------------


def _code_page(
    visit: Visit,
    host: Host,
    row: Verification,
    state: CodeState,
    *,
    typed: str = "",
    status: int = 200,
    error: str | None = None,
    notice: str | None = None,
    wait_s: int | None = None,
) -> Answer:
    t = host.copy.t
    screen = sc.CodeEntry(
        t(f"code.{state}.title"),
        state,
        row.address,
        minutes=max(1, host.environment.code_life_s // 60),
        change_href=entry_address(row.app_id, row.id),
        request_href=request_address(row.app_id, row.id),
        typed=typed,
        wait=host.wording.wait(wait_s) if wait_s is not None else "",
    )
    return host_page(
        visit,
        host,
        screen,
        action=code_address(row.id),
        status=status,
        errors=(FieldError("code", error),) if error else (),
        notice=notice,
        retry_after=wait_s,
    )


def _proven(
    visit: Visit, host: Host, row: Verification, *, status: int = 200, notice: str | None = None
) -> Answer:
    """Where somebody stands whose code was right."""
    if row.session_id is not None:
        return to(address(row.session_id))
    found = verify.found_customers(visit.ports.vault, row)
    t = host.copy.t
    if not found:
        words = host.wording.notice("nothing_found")
        ways = (
            sc.Link(t("entry.again"), entry_address(row.app_id, row.id)),
            sc.Link(t("entry.request"), request_address(row.app_id, row.id)),
        )
        screen = sc.Notice(words.title, words.lead, contacts_of(host.environment), ways=ways)
        return host_page(visit, host, screen, status=status, notice=notice)
    if len(found) == 1:
        proven = sc.Proven(t("proven.title"))
        return host_page(visit, host, proven, action=code_address(row.id), status=status, notice=notice)
    return _chooser(visit, host, row, found, status=status, notice=notice)


def _chooser(
    visit: Visit,
    host: Host,
    row: Verification,
    found: tuple[Found, ...],
    *,
    status: int = 200,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
) -> Answer:
    now = visit.ports.clock.now()
    choices = []
    for customer_number, each in enumerate(found):
        for number, subscription in enumerate(each.subscriptions):
            choice = choice_of(subscription, now)
            choices.append(
                sc.SubscriptionChoice(
                    _choice_id(customer_number, number),
                    choice.name,
                    choice.price,
                    choice.state,
                    choice.at,
                    _account(host, each, customer_number),
                )
            )
    screen = sc.Chooser(host.copy.t("choose.title"), tuple(choices))
    return host_page(
        visit, host, screen, action=code_address(row.id), status=status, errors=errors, notice=notice
    )


def _account(host: Host, found: Found, number: int) -> str:
    """What tells one account under an address from the others."""
    names = (found.customer.name, found.customer.last_name)
    name = " ".join(part for part in names if part)
    t = host.copy.t
    return t("choose.account", name=name) if name else t("choose.account_number", number=number + 1)


def _choice_id(customer_number: int, number: int) -> str:
    return f"{customer_number}.{number}"


async def _elsewhere(visit: Visit, verification_id: str) -> Answer:
    """Another browser's, or nobody's: how to begin anew, where it is known with whom."""
    app_id = await visit.ports.database.read(_find_app, verification_id)
    if app_id is None:
        locale = visit.locale()
        copy = copy_for(locale)
        words = Wording(copy, formats_for(locale), "").notice("other_browser")
        frame = Frame(title=words.title, lang=copy.language)
        return visit.page(frame, sc.Notice(words.title, words.lead), locale=locale, status=403)
    host = await host_of(visit, app_id)
    words = host.wording.notice("code_elsewhere")
    start = sc.Link(host.copy.t("entry.start"), entry_address(app_id))
    return host_page(visit, host, sc.Notice(words.title, words.lead, ways=(start,)), status=403)


async def _find(visit: Visit, verification_id: str) -> Verification:
    """Raises VerificationNotYours."""
    if visit.browser is None:
        raise VerificationNotYours
    return await visit.ports.database.read(
        verify.find,
        verification_id=verification_id,
        browser_sha256=visit.browser.fingerprint,
        now=visit.ports.clock.now(),
    )


def _find_app(db: Session, verification_id: str) -> str | None:
    if len(verification_id) > verify.LONGEST_ID or not verification_id.isprintable():
        return None
    row = verify_queries.find(db, verification_id)
    return row.app_id if row is not None else None
