"""The hosted page: where links land, and every screen of a session. Knows HTTP; asks the services what is true."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response, route
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.accounts import queries as accounts
from app.cancel import screens as sc
from app.cancel.canvas import Drawing, drawing_of
from app.cancel.drawing import draw, has_exit
from app.cancel.forms import read_command
from app.cancel.framing import contacts_of, frame_of, has_exit_everywhere
from app.cancel.words import NoticeKind, Wording
from app.core.errors import FieldError, NotFound
from app.core.path import Stop
from app.core.state import Phase
from app.db.database import Session
from app.db.tables.accounts import Environment, Organization
from app.links import queries as link_queries
from app.links import service as links
from app.links.service import LinkNotUsable, LinkState, LinkUnknown
from app.sessions import carrying, opening, service
from app.sessions.ports import SessionPorts
from app.sessions.service import SessionNotYours, Standing
from app.web.bodies import AnyRequest
from app.web.copy import Copy, copy_for, negotiate
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.forms import Form, parse_form
from app.web.frame import Frame
from app.web.security import (
    Browser,
    FormNotFromHere,
    browser_cookie,
    check_csrf,
    csrf_token,
    find_browser,
    is_secure,
    new_browser,
)

READ: Final = [HttpMethod.GET, HttpMethod.HEAD]
PAGE: Final = "cancel/show.html"
REFRESH_S: Final = 3
IDLE: Final = "resume-session"
SESSION: Final = ["/cancel/s/{session_id:str}", "/cancel/s/{session_id:str}/{step:str}"]
_EXPIRED_KINDS: Final[dict[LinkState, NoticeKind]] = {
    LinkState.CONSUMED: "link_used",
    LinkState.EXPIRED: "link_expired",
    LinkState.REVOKED: "link_revoked",
}

Answer = Response[Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the hosted page: who asks, with what, and the ways to answer."""

    request: AnyRequest
    ports: Ports
    session_ports: SessionPorts
    browser: Browser | None

    def cookie(self, browser: Browser) -> Cookie:
        settings = self.ports.settings
        secure = is_secure(self.request, settings.base_url, settings.trusted_proxies)
        return browser_cookie(browser, self.ports.signer, self.ports.clock.now(), secure=secure)

    def locale(self, *, requested: str | None = None, default: str | None = None) -> str:
        accepted = self.request.headers.get("accept-language")
        return negotiate(requested=requested, accept_language=accepted, default=default)

    def page(
        self,
        frame: Frame,
        screen: sc.Screen,
        *,
        locale: str,
        status: int = 200,
        cookies: tuple[Cookie, ...] = (),
    ) -> Answer:
        return self.ports.renderer.page(
            self.request,
            PAGE,
            {"frame": frame, "s": screen},
            status=status,
            locale=locale,
            cookies=cookies,
        )


def visit_of(request: AnyRequest, ports: Ports, session_ports: SessionPorts) -> Visit:
    return Visit(request, ports, session_ports, find_browser(request, ports.signer, ports.clock.now()))


# --- Landing --------------------------------------------------------------------------------------------------------


@route("/cancel/{token:str}", http_method=[*READ, HttpMethod.POST], include_in_schema=False)
async def landing(
    request: Request[Any, Any, Any],
    token: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
) -> Answer:
    """A link's address (`cl_…`), or an environment's own entry (`app_…`). A GET that no page led to changes nothing."""
    visit = visit_of(request, ports, session_ports)
    if token.startswith("app_"):
        return await _entry(visit, token)
    token_sha256 = ports.signer.read_link(token)
    if token_sha256 is None:
        return _unknown_link(visit)
    try:
        if request.method == HttpMethod.POST:
            if _is_sent_on(visit):
                return Response(None, status_code=303, headers={"Location": f"/cancel/{quote(token)}"})
            return await _exchange(visit, token_sha256)
        if request.method == HttpMethod.GET and is_led_by_a_page(request):
            return await _exchange(visit, token_sha256)
        return await _look(visit, token, token_sha256)
    except LinkUnknown:
        return _unknown_link(visit)
    except LinkNotUsable as refused:
        return await _link_over(visit, refused)


def is_led_by_a_page(request: AnyRequest) -> bool:
    """Whether a person's browser navigates here from a web page: not the address bar, a mail program, a scanner or
    speculation (DESIGN §2.3)."""
    headers = request.headers
    return (
        headers.get("sec-fetch-dest") == "document"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-site") in ("cross-site", "same-site", "same-origin")
        and "sec-purpose" not in headers
        and "purpose" not in headers
    )


def _is_sent_on(visit: Visit) -> bool:
    """A merchant's 307 arrives as a cross-site POST, and with such a one the browser keeps our Lax cookie to itself.
    Taking it for a new browser would cut off the sessions in its other tabs; a GET brings the cookie along."""
    return visit.browser is None and visit.request.headers.get("sec-fetch-site") == "cross-site"


async def _exchange(visit: Visit, token_sha256: str) -> Answer:
    now = visit.ports.clock.now()
    browser = visit.browser or new_browser(now)
    # To the screen's own address: the browser's back button leads to it again when the walk has gone on.
    session_id, place = await opening.enter(
        visit.session_ports,
        token_sha256=token_sha256,
        browser_sha256=browser.fingerprint,
        accept_language=visit.request.headers.get("accept-language"),
    )
    return Response(
        None,
        status_code=303,
        headers={"Location": _address(session_id, place), "Cache-Control": "no-store"},
        cookies=[visit.cookie(browser)],
    )


async def _look(visit: Visit, token: str, token_sha256: str) -> Answer:
    """Show what the link is good for, and change nothing."""
    now = visit.ports.clock.now()
    known = await visit.ports.database.read(_find_link, token_sha256, visit.browser, now)
    if known.session_id is not None:
        return _to(_address(known.session_id))
    browser = visit.browser or new_browser(now)
    locale = visit.locale(requested=known.locale)
    title = copy_for(locale).t("landing.title")
    frame = Frame(title=title, lang=copy_for(locale).language, action=f"/cancel/{quote(token)}")
    return visit.page(frame, sc.Landing(title), locale=locale, cookies=(visit.cookie(browser),))


@dataclass(frozen=True, slots=True)
class _Known:
    session_id: str | None
    locale: str | None


def _find_link(db: Session, token_sha256: str, browser: Browser | None, now: Any) -> _Known:
    """Raises LinkUnknown, LinkNotUsable."""
    link = link_queries.find_by_token(db, token_sha256)
    if link is None:
        raise LinkUnknown
    if browser is not None:
        found = service.find_of_link(db, link=link, browser_sha256=browser.fingerprint, now=now)
        if found is not None:
            return _Known(found, link.locale)
    state = links.state_of(link, now)
    if state in _EXPIRED_KINDS:
        raise LinkNotUsable(state, link.app_id)
    return _Known(None, link.locale)


def _unknown_link(visit: Visit) -> Answer:
    locale = visit.locale()
    copy = copy_for(locale)
    words = Wording(copy, formats_for(locale), "").notice("link_unknown")
    frame = Frame(title=words.title, lang=copy.language)
    return visit.page(frame, sc.Notice(words.title, words.lead), locale=locale, status=410)


async def _link_over(visit: Visit, refused: LinkNotUsable) -> Answer:
    return await _notice(visit, refused.app_id, _EXPIRED_KINDS[refused.state], status=410)


async def _entry(visit: Visit, app_id: str) -> Answer:
    """The environment's public address: how to reach the merchant."""
    if visit.request.method == HttpMethod.POST:
        raise NotFound
    return await _notice(visit, app_id, "entry_off", status=200)


async def _notice(visit: Visit, app_id: str, kind: NoticeKind, *, status: int) -> Answer:
    owner = await visit.ports.database.read(_find_owner, app_id) if app_id.isprintable() else None
    if owner is None:
        raise NotFound
    environment, brand_name = owner
    locale = visit.locale(default=environment.locale)
    copy = copy_for(locale)
    words = Wording(copy, formats_for(locale), brand_name).notice(kind)
    link = (
        sc.Link(copy.t("frame.return", brand=brand_name), environment.return_url)
        if environment.return_url
        else None
    )
    screen = sc.Notice(words.title, words.lead, contacts_of(environment), link)
    frame = frame_of(environment, brand_name=brand_name, copy=copy, title=words.title)
    return visit.page(frame, screen, locale=locale, status=status)


def _find_owner(db: Session, app_id: str) -> tuple[Environment, str] | None:
    environment = accounts.find_environment(db, app_id)
    if environment is None:
        return None
    return environment, db.get_one(Organization, environment.organization_id).name


# --- Session --------------------------------------------------------------------------------------------------------


@route(
    ["/cancel/s/{session_id:str}", "/cancel/s/{session_id:str}/{step:str}"],
    http_method=READ,
    include_in_schema=False,
)
async def show(
    request: Request[Any, Any, Any],
    session_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
    step: FromPath[str | None] = None,
) -> Answer:
    """The step of that name, if the walk has come to it, else where the session stands, at that step's own address.
    Changes nothing; a finished session shows its result anywhere."""
    visit = visit_of(request, ports, session_ports)
    try:
        standing = await _standing(visit, session_id)
        if standing.is_opening:
            await opening.open_session(session_ports, session_id)
            standing = await _standing(visit, session_id)
    except SessionNotYours:
        return _not_yours(visit)
    if standing.path is not None and (step is None or standing.path.find(step) is None):
        return _to(_address(session_id, _place(standing)))
    return await _screen(visit, standing, _stop(standing, step))


@route(
    ["/cancel/s/{session_id:str}", "/cancel/s/{session_id:str}/{step:str}"],
    http_method=HttpMethod.POST,
    include_in_schema=False,
)
async def submit(
    request: Request[Any, Any, Any],
    session_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
    step: FromPath[str | None] = None,
) -> Answer:
    """What a button does. Answers with a redirect to where the session then stands, or with the same page, everything
    typed still in it, where something has to be put right."""
    visit = visit_of(request, ports, session_ports)
    form = await parse_form(request)
    try:
        check_csrf(request, form.get("csrf_token"), ports.signer, visit.browser, session_id)
        is_from_here = True
    except FormNotFromHere:
        is_from_here = False
    is_exit = form.get("action") == "cancel_now"
    try:
        if not is_from_here or (form.with_control_characters and not is_exit):
            return await _send_back(visit, form, session_id, step, is_from_here=is_from_here)
        if step == IDLE:  # pressed twice it still does the one thing that the button says
            await ports.database.write(
                service.take_up,
                session_id=session_id,
                browser_sha256=_fingerprint(visit, session_id),
                now=ports.clock.now(),
            )
            return _to(_address(session_id))
        submitted = await ports.database.write(
            service.submit,
            session_id=session_id,
            browser_sha256=_fingerprint(visit, session_id),
            command=lambda found: read_command(form, phase=found.state.phase, stop=_stop(found, step)),
            holder=session_ports.holder,
            lease=timedelta(seconds=session_ports.lease_s),
            now=ports.clock.now(),
        )
    except SessionNotYours:
        return _not_yours(visit)
    standing = submitted.standing
    if submitted.mistakes:
        copy = copy_for(standing.row.locale)
        wrong = tuple(FieldError(m.name, copy.t(m.key, **m.args)) for m in submitted.mistakes)
        return await _screen(visit, standing, _stop(standing, step), typed=form, status=422, errors=wrong)
    if submitted.jobs:
        await carrying.try_now(session_ports, submitted.jobs)
        standing = await _standing(visit, session_id)
    return _to(_address(session_id, _place(standing)))


async def _send_back(
    visit: Visit, form: Form, session_id: str, step: str | None, *, is_from_here: bool
) -> Answer:
    """The same page again, for a form that is not ours or holds what cannot be kept. Raises SessionNotYours."""
    standing = await _standing(visit, session_id)
    stop, copy = _stop(standing, step), copy_for(standing.row.locale)
    if not is_from_here:
        notice = copy.t("notice.kept_typing.text")
        return await _screen(visit, standing, stop, typed=form, status=403, notice=notice)
    errors = tuple(form.errors(copy))
    return await _screen(visit, standing, stop, typed=form, status=422, errors=errors)


async def _standing(visit: Visit, session_id: str) -> Standing:
    browser_sha256 = _fingerprint(visit, session_id)
    now = visit.ports.clock.now()
    return await visit.ports.database.read(
        service.find_standing, session_id=session_id, browser_sha256=browser_sha256, now=now
    )


def _fingerprint(visit: Visit, session_id: str) -> str:
    """Whose session it has to be. Raises SessionNotYours where it can be nobody's."""
    if visit.browser is None or not session_id.isprintable():  # no database takes a NUL
        raise SessionNotYours
    return visit.browser.fingerprint


def _stop(standing: Standing, step: str | None) -> Stop | None:
    """The stop of that name on the session's path; without a name the current one."""
    if standing.path is None:
        return None
    return standing.path.find(step) if step is not None else standing.path.current


def _place(standing: Standing) -> str:
    """The last part of the address that the session stands at."""
    if standing.path is not None:
        return standing.path.current.id
    phase = standing.state.phase
    return "done" if phase is Phase.FINISHED else str(phase)


async def _screen(
    visit: Visit,
    standing: Standing,
    stop: Stop | None,
    *,
    typed: Form | None = None,
    status: int = 200,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
) -> Answer:
    row, now = standing.row, visit.ports.clock.now()
    if service.is_over(row, now):
        return await _notice(visit, row.app_id, "session_expired", status=410)
    copy = copy_for(row.locale)
    is_idle = service.is_idle(row, now) and typed is None
    drawing = drawing_of(standing, typed=typed, return_link=await _return_link(visit, standing, copy))
    if stop is None and standing.path is not None:
        stop = standing.path.current
    screen = sc.Idle(copy.t("idle.title")) if is_idle else draw(drawing, stop)
    frame = _frame(visit, drawing, screen, None if is_idle else stop, errors, notice)
    return visit.page(frame, screen, locale=row.locale, status=status)


def _frame(
    visit: Visit,
    drawing: Drawing,
    screen: sc.Screen,
    stop: Stop | None,
    errors: tuple[FieldError, ...],
    notice: str | None,
) -> Frame:
    standing, state = drawing.standing, drawing.state
    session_id = standing.row.id
    customer = drawing.walk.world.customer
    before = standing.path.before(stop.id) if standing.path is not None and stop is not None else None
    is_idle = isinstance(screen, sc.Idle)
    place = IDLE if is_idle else stop.id if stop is not None else _place(standing)
    shows_exit = has_exit_everywhere(standing.environment, customer.country if customer else None)
    is_waiting = state.phase in (Phase.WORKING, Phase.OPENING)
    return frame_of(
        standing.environment,
        brand_name=standing.brand_name,
        copy=drawing.wording.copy,
        title=screen.title,
        action=_address(session_id, place),
        exit=shows_exit and not is_idle and has_exit(state, stop),
        back_href=_address(session_id, before.id) if before is not None else None,
        csrf_token=csrf_token(visit.ports.signer, visit.browser, session_id) if visit.browser else None,
        errors=errors,
        notice=notice,
        refresh_seconds=REFRESH_S if is_waiting else None,
    )


async def _return_link(visit: Visit, standing: Standing, copy: Copy) -> sc.Link | None:
    """The way back to the merchant's own pages, from screens where the walk is over."""
    if standing.path is not None:
        return None
    href = await visit.ports.database.read(
        service.return_address, visit.ports.vault, standing, visit.ports.clock.now()
    )
    return sc.Link(copy.t("frame.return", brand=standing.brand_name), href) if href else None


def _not_yours(visit: Visit) -> Answer:
    locale = visit.locale()
    copy = copy_for(locale)
    words = Wording(copy, formats_for(locale), "").notice("other_browser")
    frame = Frame(title=words.title, lang=copy.language)
    return visit.page(frame, sc.Notice(words.title, words.lead), locale=locale, status=403)


def _address(session_id: str, place: str | None = None) -> str:
    return f"/cancel/s/{session_id}/{place}" if place else f"/cancel/s/{session_id}"


def _to(address: str) -> Answer:
    return Response(None, status_code=303, headers={"Location": address, "Cache-Control": "no-store"})
