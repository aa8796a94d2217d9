"""Every screen of a session, and what its buttons do. Knows HTTP; asks the services what is true."""

from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.adapters.vault import Vault
from app.cancel import screens as sc
from app.cancel.canvas import Drawing, drawing_of
from app.cancel.drawing import draw, has_exit
from app.cancel.entry import show_way_in
from app.cancel.forms import read_command
from app.cancel.framing import frame_of, has_exit_everywhere
from app.cancel.visit import READ, Answer, Visit, address, proof_of, to, visit_of
from app.cancel.words import Wording
from app.core.errors import FieldError
from app.core.path import Stop
from app.core.state import Phase
from app.db.database import Session
from app.db.tables.receipts import Receipt
from app.receipts import queries as receipts
from app.sessions import carrying, opening, service
from app.sessions.ports import SessionPorts
from app.sessions.service import SessionNotYours, Standing
from app.web.copy import Copy, copy_for
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.forms import Form, parse_form
from app.web.frame import Frame
from app.web.security import (
    FormNotFromHere,
    check_csrf,
    csrf_token,
    time_zone,
)

REFRESH_S: Final = 3
IDLE: Final = "resume-session"
SESSION: Final = ["/cancel/s/{session_id:str}", "/cancel/s/{session_id:str}/{step:str}"]


@route(
    SESSION,
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
        return to(address(session_id, _place(standing)))
    return await _screen(visit, standing, _stop(standing, step))


@route(
    SESSION,
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
            return to(address(session_id))
        submitted = await ports.database.write(
            service.submit,
            session_id=session_id,
            browser_sha256=_fingerprint(visit, session_id),
            command=lambda found: read_command(form, phase=found.state.phase, stop=_stop(found, step)),
            holder=session_ports.holder,
            lease=timedelta(seconds=session_ports.lease_s),
            now=ports.clock.now(),
            time_zone=time_zone(request),
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
    return to(address(session_id, _place(standing)))


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
        return await show_way_in(visit, row.app_id, "session_expired", link_id=row.link_id)
    copy = copy_for(row.locale)
    is_idle = service.is_idle(row, now) and typed is None
    return_link, proof = await _afterwards(visit, standing, copy)
    drawing = drawing_of(standing, typed=typed, return_link=return_link, proof=proof)
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
        action=address(session_id, place),
        exit=shows_exit and not is_idle and has_exit(state, stop),
        back_href=address(session_id, before.id) if before is not None else None,
        csrf_token=csrf_token(visit.ports.signer, visit.browser, session_id) if visit.browser else None,
        errors=errors,
        notice=notice,
        refresh_seconds=REFRESH_S if is_waiting else None,
    )


async def _afterwards(visit: Visit, standing: Standing, copy: Copy) -> tuple[sc.Link | None, sc.Proof | None]:
    """For screens where the walk is over: the way back to the merchant's own pages, and the receipt."""
    if standing.path is not None:
        return None, None
    ports = visit.ports
    href, receipt = await ports.database.read(_load_afterwards, ports.vault, standing, ports.clock.now())
    link = sc.Link(copy.t("frame.return", brand=standing.brand_name), href) if href else None
    return link, proof_of(visit, receipt) if receipt else None


def _load_afterwards(
    db: Session, vault: Vault, standing: Standing, now: datetime
) -> tuple[str | None, Receipt | None]:
    href = service.return_address(db, vault, standing, now)
    return href, receipts.find_newest_of_session(db, standing.row.id)


def _not_yours(visit: Visit) -> Answer:
    locale = visit.locale()
    copy = copy_for(locale)
    words = Wording(copy, formats_for(locale), "").notice("other_browser")
    frame = Frame(title=words.title, lang=copy.language)
    return visit.page(frame, sc.Notice(words.title, words.lead), locale=locale, status=403)
