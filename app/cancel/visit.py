"""One request to the hosted page: who asks, with what, and the answers that every part of it gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from litestar import Response
from litestar.datastructures import Cookie
from litestar.enums import HttpMethod, MediaType

from app.accounts import queries as accounts
from app.cancel import screens as sc
from app.cancel.framing import frame_of
from app.cancel.words import Wording
from app.core.errors import FieldError, NotFound
from app.db.tables.accounts import Environment
from app.db.tables.receipts import Receipt
from app.receipts.address import path_of
from app.sessions.ports import SessionPorts
from app.web.bodies import AnyRequest
from app.web.copy import Copy, copy_for, negotiate
from app.web.deps import Ports
from app.web.formats import formats_for
from app.web.forms import Form
from app.web.frame import Frame
from app.web.security import (
    CSRF_FIELD,
    Browser,
    FormNotFromHere,
    browser_cookie,
    check_csrf,
    client_ip,
    csrf_token,
    find_browser,
    is_secure,
    new_browser,
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

    @property
    def ip(self) -> str:
        """The visitor's address, for counting."""
        return client_ip(self.request, self.ports.settings.trusted_proxies)

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
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self.ports.renderer.page(
            self.request,
            PAGE,
            {"frame": frame, "s": screen},
            status=status,
            locale=locale,
            cookies=cookies,
            headers=headers,
        )


def visit_of(request: AnyRequest, ports: Ports, session_ports: SessionPorts) -> Visit:
    return Visit(request, ports, session_ports, find_browser(request, ports.signer, ports.clock.now()))


@dataclass(frozen=True, slots=True)
class Host:
    """Whose page it is where no session says so, and in which language."""

    environment: Environment
    brand_name: str
    locale: str

    @property
    def copy(self) -> Copy:
        return copy_for(self.locale)

    @property
    def wording(self) -> Wording:
        return Wording(self.copy, formats_for(self.locale), self.brand_name)

    @property
    def return_link(self) -> sc.Link | None:
        """The way back to the merchant's own pages."""
        href = self.environment.return_url
        return sc.Link(self.copy.t("frame.return", brand=self.brand_name), href) if href else None


async def host_of(visit: Visit, app_id: str, *, locale: str | None = None) -> Host:
    """The merchant of an App ID, to a visitor of that locale or of whatever his browser says. Raises NotFound."""
    read = visit.ports.database.read
    found = await read(accounts.find_with_owner, app_id) if app_id.isprintable() else None
    if found is None:
        raise NotFound
    environment, owner = found
    return Host(environment, owner.name, locale or visit.locale(default=environment.locale))


def host_page(
    visit: Visit,
    host: Host,
    screen: sc.Screen,
    *,
    action: str = "",
    status: int = 200,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
    retry_after: int | None = None,
) -> Answer:
    """A screen in the merchant's frame. One with a form (`action`) makes this browser known: the form's token is its
    own, for the App ID."""
    browser = visit.browser or new_browser(visit.ports.clock.now())
    frame = frame_of(
        host.environment,
        brand_name=host.brand_name,
        copy=host.copy,
        title=screen.title,
        action=action,
        csrf_token=csrf_token(visit.ports.signer, browser, host.environment.app_id) if action else None,
        errors=errors,
        notice=notice,
    )
    return visit.page(
        frame,
        screen,
        locale=host.locale,
        status=status,
        cookies=(visit.cookie(browser),) if action else (),
        headers={"Retry-After": str(retry_after)} if retry_after is not None else None,
    )


def sent_from_here(visit: Visit, host: Host, form: Form) -> Browser | None:
    """The browser that sent a form of `host_page`; None where the form was not ours, or not for that browser."""
    browser = visit.browser
    try:
        check_csrf(visit.request, form.get(CSRF_FIELD), visit.ports.signer, browser, host.environment.app_id)
    except FormNotFromHere:
        return None
    return browser


def address(session_id: str, place: str | None = None) -> str:
    return f"/cancel/s/{session_id}/{place}" if place else f"/cancel/s/{session_id}"


def to(address: str, *cookies: Cookie) -> Answer:
    """Send on. Nobody may keep it: the address has a link in it, or a session."""
    headers = {"Location": address, "Cache-Control": "no-store"}
    return Response(b"", media_type=MediaType.TEXT, status_code=303, headers=headers, cookies=list(cookies))


def proof_of(visit: Visit, receipt: Receipt) -> sc.Proof:
    """Where a receipt is read, and to whom it is mailed, if it is."""
    is_mailed = receipt.recipient is not None and visit.ports.mailer is not None
    return sc.Proof(
        path_of(visit.ports.signer, receipt.id),
        _hidden(receipt.recipient) if receipt.recipient and is_mailed else None,
    )


def _hidden(email: str) -> str:
    """`b•••@example.com`: enough for its owner to know it by."""
    name, _, host = email.rpartition("@")
    return f"{name[:1]}•••@{host}"
