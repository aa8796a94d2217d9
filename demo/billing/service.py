"""The billing system's HTTP: who may ask, what is asked and answered. Decides nothing about subscriptions."""

import json
import secrets
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from litestar import Litestar, Request, Response, Router, get, post, put
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from demo.billing.actions import ACTIONS, Malformed
from demo.billing.faults import Dropped, Failed, Faults, Point, read_fault, read_point
from demo.billing.store import Answer, Store, not_found
from demo.billing.timeline import Document, read_moment

LARGEST_BODY = 65_536
LONGEST_KEY = 255
ACCOUNT = {"id": "northwind", "name": "Northwind Notes"}

Mode = Literal["live", "test"]
Json = Response[Document]
BillingRequest = Request[Any, Any, Any]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Desk:
    """What the handlers work with. `faults` is there only where a test asked for it; `set_time` likewise."""

    store: Store
    key: str | None = None
    faults: Faults | None = None
    clock: Callable[[], datetime] = utc_now
    set_time: datetime | None = None

    def now(self) -> datetime:
        return self.set_time or self.clock()

    async def meet(self, point: Point) -> None:
        if self.faults is not None:
            await self.faults.meet(point)


def create_app(
    store: Store,
    *,
    key: str | None = None,
    faults: Faults | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Litestar:
    """The service over an open store. Without a key anybody may ask; with `faults` it can be made to fail."""
    handlers: list[ControllerRouterHandler] = [
        find_customer,
        find_customers,
        list_subscriptions,
        find_subscription,
        list_events,
        load_catalog,
        show_account,
        act,
    ]
    if faults is not None:
        handlers += [plan_fault, show_faults, await_held, release, set_clock, put_customer]
    return Litestar(
        [healthz, Router("/", route_handlers=handlers, guards=[require_key])],
        state=State({"desk": Desk(store, key, faults, now)}),
        exception_handlers={
            Malformed: _malformed,
            Dropped: _dropped,
            Failed: _failed,
            HTTPException: _http_error,
        },
        on_shutdown=[store.close],
        request_max_body_size=LARGEST_BODY,
        openapi_config=None,
        logging_config=None,  # whoever runs it decides where the log goes
    )


def require_key(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The key comes as a bearer token, or as the user name of basic authentication, as elsewhere."""
    key = _desk(connection).key
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = b64decode(credentials, validate=True).decode().partition(":")[0]
        except ValueError:
            credentials = ""
    if key is not None and not secrets.compare_digest(credentials.encode(), key.encode()):
        raise NotAuthorizedException("The key is missing or wrong.")


@get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


# --- Reading ---


@get("/{mode:str}/customers/{customer_id:str}")
async def find_customer(request: BillingRequest, mode: FromPath[Mode], customer_id: FromPath[str]) -> Json:
    return await _read(request, lambda store, _: store.find_customer(mode, customer_id), "customer")


@get("/{mode:str}/customers")
async def find_customers(request: BillingRequest, mode: FromPath[Mode], email: FromQuery[str]) -> Json:
    return await _read(request, lambda store, _: {"customers": store.find_customers_by_email(mode, email)})


@get("/{mode:str}/customers/{customer_id:str}/subscriptions")
async def list_subscriptions(
    request: BillingRequest, mode: FromPath[Mode], customer_id: FromPath[str]
) -> Json:
    def read(store: Store, now: datetime) -> Document | None:
        if store.find_customer(mode, customer_id) is None:
            return None
        return {"subscriptions": store.list_subscriptions(mode, customer_id, now)}

    return await _read(request, read, "customer")


@get("/{mode:str}/subscriptions/{subscription_id:str}")
async def find_subscription(
    request: BillingRequest, mode: FromPath[Mode], subscription_id: FromPath[str]
) -> Json:
    return await _read(
        request, lambda store, now: store.find_subscription(mode, subscription_id, now), "subscription"
    )


@get("/{mode:str}/subscriptions/{subscription_id:str}/events")
async def list_events(request: BillingRequest, mode: FromPath[Mode], subscription_id: FromPath[str]) -> Json:
    return await _read(request, lambda store, _: {"events": store.list_events(mode, subscription_id)})


@get("/{mode:str}/catalog")
async def load_catalog(
    request: BillingRequest,
    mode: FromPath[Mode],
    price: FromQuery[list[str] | None] = None,
    coupon: FromQuery[list[str] | None] = None,
) -> Json:
    """Prices and coupons by id (`?price=…&price=…&coupon=…`), unknown ones left out; without any id, all."""

    def read(store: Store, _: datetime) -> Document:
        named = store.load_catalog(mode, price or [], coupon or [])
        catalog = named if price or coupon else store.list_catalog(mode)
        return {"prices": list(catalog.prices.values()), "coupons": list(catalog.coupons.values())}

    return await _read(request, read)


@get("/{mode:str}/account")
async def show_account(request: BillingRequest, mode: FromPath[Mode]) -> Json:
    return await _read(request, lambda *_: {**ACCOUNT, "mode": mode})


# --- Changing ---


@post("/{mode:str}/subscriptions/{subscription_id:str}/{action:str}", status_code=200)
async def act(
    request: BillingRequest, mode: FromPath[Mode], subscription_id: FromPath[str], action: FromPath[str]
) -> Json:
    """Make one change and answer with the subscription as it then is."""
    if action not in ACTIONS:
        return _answer(not_found("action"))
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= LONGEST_KEY:
        raise HTTPException("Send an Idempotency-Key of 1 to 255 characters.", status_code=400)
    body = await _object(request)
    desk = _desk(request)
    await desk.meet("before_commit")
    answer = desk.store.act(mode, subscription_id, action, body, key, desk.now())
    await desk.meet("after_commit")
    return _answer(answer)


# --- Only for tests ---


@post("/faults")
async def plan_fault(request: BillingRequest) -> Json:
    """Plan `{point, kind, times?, retry_after?, seconds?}`; `{"clear": true}` forgets all that is planned."""
    faults, body = _faults(request), await _object(request)
    if body.get("clear"):
        faults.clear()
    else:
        try:
            faults.plan(read_fault(body))
        except (ValueError, TypeError) as error:
            raise Malformed("kind", str(error)) from None
    return Response(faults.describe(), status_code=201)


@get("/faults")
async def show_faults(request: BillingRequest) -> Json:
    return Response(_faults(request).describe())


@get("/faults/held")
async def await_held(request: BillingRequest, point: FromQuery[str]) -> Json:
    """Answers as soon as a call hangs at that point."""
    await _faults(request).wait_until_held(read_point(point))
    return Response(_faults(request).describe())


@post("/faults/release")
async def release(request: BillingRequest) -> Json:
    await _faults(request).release()
    return Response(_faults(request).describe())


@put("/clock")
async def set_clock(request: BillingRequest) -> Json:
    """Set the time with `{"now": "2026-11-21T09:00:00Z"}`, or let it run again with null."""
    now = (await _object(request)).get("now")
    try:
        _desk(request).set_time = read_moment(now) if now is not None else None
    except (ValueError, TypeError):
        raise Malformed("now", "now must be an ISO 8601 moment with an offset, or null.") from None
    return Response({"now": now})


@put("/{mode:str}/customers/{customer_id:str}")
async def put_customer(request: BillingRequest, mode: FromPath[Mode], customer_id: FromPath[str]) -> Json:
    """Put a customer and subscriptions there as given: `{customer, subscriptions}`."""
    match await _object(request):
        case {"customer": {"id": str() as given} as customer, "subscriptions": list() as subscriptions}:
            if given != customer_id:
                raise Malformed("customer.id", "The id is another one than in the address.")
            _desk(request).store.put_customer(mode, customer, subscriptions)
            return Response(customer)
    raise Malformed("customer", "Send customer and subscriptions.")


def _desk(connection: ASGIConnection[Any, Any, Any, Any]) -> Desk:
    desk: Desk = connection.app.state.desk
    return desk


def _faults(request: BillingRequest) -> Faults:
    faults = _desk(request).faults
    if faults is None:
        raise HTTPException("The fault switch is off.", status_code=404)
    return faults


async def _read(
    request: BillingRequest, read: Callable[[Store, datetime], Document | None], what: str = "thing"
) -> Json:
    desk = _desk(request)
    await desk.meet("read")
    found = read(desk.store, desk.now())
    return _answer(not_found(what)) if found is None else Response(found)


async def _object(request: BillingRequest) -> Document:
    """The body as a JSON object; nothing at all counts as an empty one."""
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise HTTPException("The body is not JSON.", status_code=400) from None
    if not isinstance(body, dict):
        raise HTTPException("The body must be a JSON object.", status_code=400)
    return body


def _answer(answer: Answer) -> Json:
    return Response(answer.body, status_code=answer.status)


def _malformed(_: BillingRequest, error: Malformed) -> Json:
    return _error(422, "invalid", error.message, field=error.field)


def _failed(_: BillingRequest, error: Failed) -> Json:
    response = _error(error.status, "unavailable", "Please try again later.")
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    return response


def _http_error(_: BillingRequest, error: HTTPException) -> Json:
    return _error(error.status_code, "refused", error.detail)


def _dropped(_: BillingRequest, error: Dropped) -> Json:
    return _HalfAnswer({})


def _error(status: int, code: str, message: str, **more: str) -> Json:
    return Response({"error": {"code": code, "message": message, **more}}, status_code=status)


class _HalfAnswer(Response[Document]):
    """An answer that breaks off: the server closes the connection when the body does not follow."""

    def to_asgi_response(self, *arguments: Any, **named: Any) -> ASGIResponse:
        return _BreaksOff()


class _BreaksOff(ASGIResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
