"""Opens the shop: an ASGI application that answers everything at and under `/demo`."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import httpx
from litestar import Litestar, Response
from litestar.datastructures import CacheControlHeader, State
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router

from demo.shop.billing import Billing
from demo.shop.config import ShopConfig
from demo.shop.desk import Desk, ShopRequest, desk_of, utc_now
from demo.shop.forms import is_from_elsewhere
from demo.shop.hooks import actions, customer_data, lookup
from demo.shop.journal import Journal
from demo.shop.leavewell import Leavewell
from demo.shop.mail import attachment, letter, letter_html, letter_source, mailbox
from demo.shop.pages import (
    backstage,
    billing,
    cancel,
    front_door,
    help_article,
    notes,
    sign_in,
    sign_out,
    switch_mode,
    take_back,
)
from demo.shop.render import HERE, Pages
from demo.shop.signin import SignIn

_LARGEST_BODY: Final = 256 * 1024
_HOOKS: Final = "/demo/leavewell/"
_WORDS: Final = {
    403: "That form came from another site, so nothing was done. Open the page here and try again.",
    404: "There is nothing at this address. Perhaps the note was moved.",
    405: "This address does not take that kind of request.",
    413: "That was more than this page takes.",
}
_log: Final = logging.getLogger("northwind")


def create_shop(
    config: ShopConfig,
    *,
    now: Callable[[], datetime] = utc_now,
    leavewell_transport: httpx.AsyncBaseTransport | None = None,
    billing_transport: httpx.AsyncBaseTransport | None = None,
) -> Litestar:
    """The shop. Tests give it another clock and other ways to its two services."""
    journal = Journal()
    desk = Desk(
        config=config,
        billing=Billing(config.billing_url, config.billing_key, transport=billing_transport),
        leavewell=Leavewell(config.leavewell_url, journal, transport=leavewell_transport),
        journal=journal,
        sign_in=SignIn(config.cookie_secret),
        pages=Pages(leavewell_url=config.leavewell_url),
        now=now,
    )

    async def close() -> None:
        await desk.leavewell.aclose()
        await desk.billing.aclose()

    return Litestar(
        route_handlers=[
            front_door,
            sign_in,
            sign_out,
            switch_mode,
            notes,
            billing,
            cancel,
            take_back,
            backstage,
            help_article,
            mailbox,
            letter,
            letter_html,
            letter_source,
            attachment,
            customer_data,
            actions,
            lookup,
            create_static_files_router(
                path="/demo/static",
                directories=[HERE / "static"],
                cache_control=CacheControlHeader(max_age=86_400, public=True),
                include_in_schema=False,
            ),
        ],
        state=State({"desk": desk}),
        before_request=_refuse_forms_from_elsewhere,
        exception_handlers={HTTPException: _sorry, Exception: _our_fault},
        on_shutdown=[close],
        request_max_body_size=_LARGEST_BODY,
        logging_config=None,  # whoever runs the shop decides where its one logger writes
        openapi_config=None,
    )


async def _refuse_forms_from_elsewhere(request: ShopRequest) -> Response[Any] | None:
    # What Leavewell's server sends carries no browser headers; all else that posts is a form of ours.
    if request.method == "POST" and is_from_elsewhere(request):
        return _error_page(request, 403)
    return None


def _sorry(request: ShopRequest, problem: HTTPException) -> Response[Any]:
    # Litestar answers a body over the limit with 422; to the sender it is too large.
    status = (
        413
        if "larger than" in problem.detail or "too large" in problem.detail.lower()
        else problem.status_code
    )
    return _error_page(request, status)


def _our_fault(request: ShopRequest, problem: Exception) -> Response[Any]:
    _log.error("the shop failed on %s %s", request.method, request.url.path, exc_info=problem)
    return _error_page(request, 500)


def _error_page(request: ShopRequest, status: int) -> Response[Any]:
    said = _WORDS.get(status, "Something went wrong on our side. Please try again in a moment.")
    if request.url.path.startswith(_HOOKS):
        return Response({"message": said}, status_code=status, media_type="application/json")
    desk = desk_of(request)
    return desk.pages.page(
        "error.html", status=status, said=said, is_missing=status == 404, **desk.frame(request)
    )
