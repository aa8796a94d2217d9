"""Where a request is left by somebody whose address nobody has proven: a to-do for the merchant, and said to be one."""

from functools import partial
from typing import Any, Final

from litestar import Request, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.cancel import screens as sc
from app.cancel.entry import (
    can_verify,
    in_words,
    known_of,
    request_address,
    request_screen,
    typing_errors,
)
from app.cancel.visit import (
    READ,
    Answer,
    Host,
    Visit,
    host_of,
    host_page,
    proof_of,
    sent_from_here,
    to,
    visit_of,
)
from app.core.errors import FieldError, InvalidInput, TooManyRequests
from app.core.summary import reference_of
from app.db.database import Session
from app.db.tables.manual import CancellationRequest
from app.db.tables.receipts import Receipt
from app.manual import service as manual
from app.receipts import queries as receipts
from app.sessions.ports import SessionPorts
from app.web.deps import Ports
from app.web.forms import parse_form

REQUEST: Final = "/cancel/r/{app_id:str}"
_LEFT: Final = "request"  # what the address of a request that was left is signed for


@route(REQUEST, http_method=READ, include_in_schema=False)
async def show_request(
    request: Request[Any, Any, Any],
    app_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
) -> Answer:
    """The form, or with `?left=` what became of the one that was sent."""
    visit = visit_of(request, ports, session_ports)
    host = await host_of(visit, app_id)
    request_id = ports.signer.read(_LEFT, str(request.query_params.get("left") or ""))
    if request_id is not None:
        left = await ports.database.read(_find, request_id, app_id)
        if left is not None:
            return host_page(visit, host, _left(visit, host, *left))
    known = await known_of(visit, app_id)
    return await _page(visit, host, email=known.email, verification_id=known.verification_id)


@route(REQUEST, http_method=HttpMethod.POST, include_in_schema=False)
async def submit_request(
    request: Request[Any, Any, Any],
    app_id: FromPath[str],
    ports: NamedDependency[Ports],
    session_ports: NamedDependency[SessionPorts],
) -> Answer:
    """Keep the request, and lead to its reference."""
    visit = visit_of(request, ports, session_ports)
    form = await parse_form(request)
    host = await host_of(visit, app_id)
    page = partial(_page, visit, host, email=form.get("email"), note=form.get("note"))
    if sent_from_here(visit, host, form) is None:
        return await page(status=403, notice=host.copy.t("entry.blocked"))
    if errors := typing_errors(host, form, "email", "note"):
        return await page(status=422, errors=errors)
    try:
        left = await ports.database.write(
            manual.request,
            ports.signer,
            app_id=app_id,
            address=form.text("email"),
            note=form.text("note"),
            ip=visit.ip,
            now=ports.clock.now(),
            locale=host.locale,
        )
    except InvalidInput as refused:
        errors = in_words(host, refused, count=manual.MAX_NOTE)
        return await page(status=422, errors=errors)
    except TooManyRequests as refused:
        wait_s = refused.retry_after or 1
        message = host.copy.t("errors.request.wait", wait=host.wording.wait(wait_s))
        errors = (FieldError("email", message),)
        return await page(status=429, errors=errors, retry_after=wait_s)
    return to(f"{request_address(app_id)}?left={ports.signer.sign(_LEFT, left.id)}")


async def _page(
    visit: Visit,
    host: Host,
    *,
    email: str = "",
    note: str = "",
    verification_id: str | None = None,
    status: int = 200,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
    retry_after: int | None = None,
) -> Answer:
    screen = request_screen(
        host,
        email=email,
        note=note,
        can_verify=await can_verify(visit, host),
        verification_id=verification_id,
    )
    return host_page(
        visit,
        host,
        screen,
        action=request_address(host.environment.app_id),
        status=status,
        errors=errors,
        notice=notice,
        retry_after=retry_after,
    )


def _left(visit: Visit, host: Host, left: CancellationRequest, receipt: Receipt | None) -> sc.Result:
    t = host.copy.t
    return sc.Result(
        t("request.done.title", brand=host.brand_name),
        t("request.done.lead"),
        "waiting",
        sc.Facts(requested_at=left.created_at, reference=reference_of(left.id)),
        return_link=host.return_link,
        proof=proof_of(visit, receipt) if receipt else None,
    )


def _find(db: Session, request_id: str, app_id: str) -> tuple[CancellationRequest, Receipt | None] | None:
    row = db.get(CancellationRequest, request_id)
    if row is None or row.app_id != app_id:
        return None
    return row, receipts.find_of_request(db, row.id)
