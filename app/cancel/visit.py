"""One request to the hosted page: who asks, with what, and the answers that every part of it gives."""

from dataclasses import dataclass
from typing import Any, Final

from litestar import Response
from litestar.datastructures import Cookie
from litestar.enums import HttpMethod, MediaType

from app.accounts import queries as accounts
from app.cancel import screens as sc
from app.cancel.framing import contacts_of, frame_of
from app.cancel.words import NoticeKind, Wording
from app.core.errors import NotFound
from app.db.database import Session
from app.db.tables.accounts import Environment, Organization
from app.sessions.ports import SessionPorts
from app.web.bodies import AnyRequest
from app.web.copy import copy_for, negotiate
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.frame import Frame
from app.web.security import (
    Browser,
    browser_cookie,
    find_browser,
    is_secure,
)

READ: Final = [HttpMethod.GET, HttpMethod.HEAD]
PAGE: Final = "cancel/show.html"

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


async def show_notice(visit: Visit, app_id: str, kind: NoticeKind, *, status: int) -> Answer:
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


def address(session_id: str, place: str | None = None) -> str:
    return f"/cancel/s/{session_id}/{place}" if place else f"/cancel/s/{session_id}"


def to(address: str, *cookies: Cookie) -> Answer:
    """Send on. Nobody may keep it: the address has a link in it, or a session."""
    headers = {"Location": address, "Cache-Control": "no-store"}
    return Response(b"", media_type=MediaType.TEXT, status_code=303, headers=headers, cookies=list(cookies))
