"""Where links land: exchanged at once when a web page led here, else shown with one button (DESIGN §2.3)."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from litestar import Request, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.cancel import entry
from app.cancel import screens as sc
from app.cancel.visit import READ, Answer, Visit, address, to, visit_of
from app.cancel.words import OverKind, Wording
from app.db.database import Session
from app.links import queries as link_queries
from app.links import service as links
from app.links.service import LinkNotUsable, LinkState, LinkUnknown
from app.sessions import opening, service
from app.sessions.ports import SessionPorts
from app.web.bodies import AnyRequest
from app.web.copy import copy_for
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.frame import Frame
from app.web.security import (
    Browser,
    new_browser,
)

_EXPIRED_KINDS: Final[dict[LinkState, OverKind]] = {
    LinkState.CONSUMED: "link_used",
    LinkState.EXPIRED: "link_expired",
    LinkState.REVOKED: "link_revoked",
}


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
        if request.method == HttpMethod.POST:
            return await entry.submit_entry(visit, token)
        return await entry.show_entry(visit, token)
    token_sha256 = ports.signer.read_link(token)
    if token_sha256 is None:
        return _unknown_link(visit)
    try:
        if request.method == HttpMethod.POST:
            if _is_sent_on(visit):
                return to(f"/cancel/{quote(token)}")
            return await _exchange(visit, token_sha256)
        if request.method == HttpMethod.GET and is_led_by_a_page(request):
            return await _exchange(visit, token_sha256)
        return await _look(visit, token, token_sha256)
    except LinkUnknown:
        return _unknown_link(visit)
    except LinkNotUsable as refused:
        return await _link_over(visit, refused, token_sha256)


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
    return to(address(session_id, place), visit.cookie(browser))


async def _look(visit: Visit, token: str, token_sha256: str) -> Answer:
    """Show what the link is good for, and change nothing."""
    now = visit.ports.clock.now()
    known = await visit.ports.database.read(_find_link, token_sha256, visit.browser, now)
    if known.session_id is not None:
        return to(address(known.session_id))
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


async def _link_over(visit: Visit, refused: LinkNotUsable, token_sha256: str) -> Answer:
    link = await visit.ports.database.read(link_queries.find_by_token, token_sha256)
    link_id = link.id if link is not None else None
    return await entry.show_way_in(visit, refused.app_id, _EXPIRED_KINDS[refused.state], link_id=link_id)
