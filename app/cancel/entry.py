"""The merchant's public address, where an email address stands for a link, and what takes its place: the same form on
the page of a link that is over, a request where nobody can be verified (DESIGN §2.4)."""

from dataclasses import dataclass
from typing import Final

from app.cancel import screens as sc
from app.cancel.framing import contacts_of
from app.cancel.visit import Answer, Host, Visit, host_of, host_page, sent_from_here, to
from app.cancel.words import OverKind
from app.connections import service as connections
from app.core.email_address import MAX_ADDRESS
from app.core.errors import FieldError, InvalidInput
from app.verify import service as verify
from app.verify.service import TooManyCodes, VerificationNotYours
from app.web.forms import Form, parse_form

_LINK: Final = "link-ref"  # what the form's `link` is signed for


@dataclass(frozen=True, slots=True)
class Known:
    """What the form is filled in with: shown, never trusted. `link_id` is the link that was over."""

    email: str = ""
    link_id: str | None = None
    verification_id: str | None = None


async def show_entry(visit: Visit, app_id: str) -> Answer:
    """The address field; where an address cannot be proven here, how to reach the merchant. Raises NotFound."""
    host = await host_of(visit, app_id)
    known = await known_of(visit, app_id)
    if not await can_verify(visit, host):
        return host_page(visit, host, request_off(host, known.email), action=request_address(app_id))
    return _page(visit, host, email=known.email, link=_sign_link(visit, app_id, known.link_id))


async def submit_entry(visit: Visit, app_id: str) -> Answer:
    """Have a code mailed, and lead to where it is typed: for any address alike. Raises NotFound."""
    form = await parse_form(visit.request)
    host = await host_of(visit, app_id)
    if not await can_verify(visit, host):
        return host_page(visit, host, request_off(host, form.get("email")), action=request_address(app_id))
    browser = sent_from_here(visit, host, form)
    if browser is None:
        return _again(visit, host, form, status=403, notice=host.copy.t("entry.blocked"))
    if form.get("action") == "request":
        screen = request_screen(host, email=form.get("email"), can_verify=True)
        return host_page(visit, host, screen, action=request_address(app_id))
    if errors := typing_errors(host, form, "email"):
        return _again(visit, host, form, status=422, errors=errors)
    try:
        asked = await visit.ports.database.write(
            verify.ask,
            visit.ports.signer,
            app_id=app_id,
            address=form.text("email"),
            browser_sha256=browser.fingerprint,
            ip=visit.ip,
            link_id=_read_link(visit, app_id, form.get("link")),
            locale=host.locale,
            now=visit.ports.clock.now(),
        )
    except InvalidInput as refused:
        return _again(visit, host, form, status=422, errors=in_words(host, refused))
    except TooManyCodes as refused:
        wait_s = refused.retry_after or 1
        message = host.copy.t("errors.email.wait", wait=host.wording.wait(wait_s))
        held = (FieldError("email", message),)
        return _again(visit, host, form, status=429, errors=held, retry_after=wait_s)
    return to(code_address(asked.verification_id), visit.cookie(browser))


async def show_way_in(
    visit: Visit, app_id: str, kind: OverKind, *, link_id: str | None, status: int = 410
) -> Answer:
    """Say in a sentence what is over, and go on from there: on the same page. Raises NotFound."""
    host = await host_of(visit, app_id)
    if not await can_verify(visit, host):
        words = host.wording.over(kind, "request")
        screen = sc.Request(
            words.title, words.lead, contacts=contacts_of(host.environment), return_link=host.return_link
        )
        return host_page(visit, host, screen, action=request_address(app_id), status=status)
    words = host.wording.over(kind, "entry")
    entry = sc.Entry(
        words.title,
        words.lead,
        request_address(app_id),
        link=_sign_link(visit, app_id, link_id),
        return_link=host.return_link,
    )
    return host_page(visit, host, entry, action=entry_address(app_id), status=status)


async def can_verify(visit: Visit, host: Host) -> bool:
    ports = visit.ports
    await connections.load(host.environment)
    return verify.can_verify(
        host.environment,
        vault=ports.vault,
        http=ports.http,
        clock=ports.clock,
        has_mailer=ports.mailer is not None,
    )


async def known_of(visit: Visit, app_id: str) -> Known:
    """What the address says (`?email=`), or what this browser has typed before (`?of=ver_…`)."""
    query = visit.request.query_params
    verification_id = str(query.get("of") or "")
    if verification_id and visit.browser is not None:
        try:
            row = await visit.ports.database.read(
                verify.find,
                verification_id=verification_id,
                browser_sha256=visit.browser.fingerprint,
                now=visit.ports.clock.now(),
            )
        except VerificationNotYours:
            return Known()
        return Known(row.address, row.link_id, row.id) if row.app_id == app_id else Known()
    email = str(query.get("email") or "").strip()
    return Known(email if len(email) <= MAX_ADDRESS and email.isprintable() else "")


def typing_errors(host: Host, form: Form, *fields: str) -> tuple[FieldError, ...]:
    """What is wrong with the typing itself, beside these fields."""
    message = host.copy.t("errors.text.control")
    return tuple(FieldError(name, message) for name in fields if name in form.with_control_characters)


def in_words(host: Host, refused: InvalidInput, **args: object) -> tuple[FieldError, ...]:
    """What a service refused: it names the catalogue's keys."""
    return tuple(FieldError(each.field, host.copy.t(each.message, **args)) for each in refused.fields)


def request_screen(
    host: Host, *, email: str = "", note: str = "", can_verify: bool, verification_id: str | None = None
) -> sc.Request:
    """The form that leaves a request: beside codes, or in their place. `verification_id`: whose address it is."""
    if not can_verify:
        return request_off(host, email, note)
    t = host.copy.t
    return sc.Request(
        t("request.title"),
        t("request.lead", brand=host.brand_name),
        email=email,
        note=note,
        entry_href=entry_address(host.environment.app_id, verification_id),
    )


def entry_address(app_id: str, verification_id: str | None = None) -> str:
    return f"/cancel/{app_id}" + (f"?of={verification_id}" if verification_id else "")


def code_address(verification_id: str) -> str:
    return f"/cancel/v/{verification_id}"


def request_address(app_id: str, verification_id: str | None = None) -> str:
    return f"/cancel/r/{app_id}" + (f"?of={verification_id}" if verification_id else "")


def _page(
    visit: Visit,
    host: Host,
    *,
    email: str = "",
    link: str | None = None,
    status: int = 200,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
    retry_after: int | None = None,
) -> Answer:
    app_id, t = host.environment.app_id, host.copy.t
    screen = sc.Entry(
        t("entry.title"),
        t("entry.way"),
        request_address(app_id),
        email=email,
        link=link,
        is_held=status == 429,
    )
    return host_page(
        visit,
        host,
        screen,
        action=entry_address(app_id),
        status=status,
        errors=errors,
        notice=notice,
        retry_after=retry_after,
    )


def _again(
    visit: Visit,
    host: Host,
    form: Form,
    *,
    status: int,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
    retry_after: int | None = None,
) -> Answer:
    """The same page with what was typed."""
    app_id = host.environment.app_id
    link = _sign_link(visit, app_id, _read_link(visit, app_id, form.get("link")))
    return _page(
        visit,
        host,
        email=form.get("email"),
        link=link,
        status=status,
        errors=errors,
        notice=notice,
        retry_after=retry_after,
    )


def request_off(host: Host, email: str, note: str = "") -> sc.Request:
    """How to cancel where no code can be sent: the merchant's contacts, and a request."""
    t = host.copy.t
    return sc.Request(
        t("request.off.title", brand=host.brand_name),
        t("request.off.lead", brand=host.brand_name),
        email=email,
        note=note,
        contacts=contacts_of(host.environment),
        return_link=host.return_link,
    )


def _sign_link(visit: Visit, app_id: str, link_id: str | None) -> str | None:
    return visit.ports.signer.sign(_LINK, f"{app_id}:{link_id}") if link_id else None


def _read_link(visit: Visit, app_id: str, signed: str) -> str | None:
    """The link that a form of ours named, of this merchant."""
    owner, _, link_id = (visit.ports.signer.read(_LINK, signed) or "").partition(":")
    return link_id if link_id and owner == app_id else None
