"""`POST /hooks/{provider}/{app_id}`: billing systems tell that something has changed; with `GET` one asks first whether
it may. Answers at once, asks nobody."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Final

import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.connections import inbound, service
from app.connections.inbound import WebhookRefused
from app.core.billing import InboundMessage
from app.core.errors import AppError
from app.web.bodies import AnyRequest, read_body
from app.web.deps import Ports, after_ports
from app.web.errors import describe
from app.web.problems import problem
from app.web.ratelimit import TokenBucket
from app.web.security import client_ip
from app.web.strangers import Strangers, neighbourhood

PREFIX: Final = "/hooks"

log = structlog.get_logger("leavewell.hooks")


class HookRates:
    """How many webhooks one environment may get, in this process; and how often one address may be without proof.

    Counted apart, so that a stranger keeps no vendor out who was right lately.
    """

    def __init__(self, per_minute: int) -> None:
        self._genuine = TokenBucket(per_minute=per_minute)
        self._strangers = Strangers(per_minute=per_minute)

    def admit(self, app_id: str, address: str, now: datetime) -> None:
        """Raises TooManyRequests."""
        if not self._strangers.is_known((app_id, neighbourhood(address))):
            self._strangers.check(address, now)

    def admit_unproven(self, address: str, now: datetime) -> None:
        """For what proves nothing of who asks: each time counts as a stranger's. Raises TooManyRequests."""
        self._strangers.check(address, now)
        self._strangers.note(address, None, now)

    def refuse(self, app_id: str, address: str, now: datetime) -> None:
        self._strangers.note(address, (app_id, neighbourhood(address)), now)

    def welcome(self, app_id: str, address: str, now: datetime) -> None:
        """Raises TooManyRequests; the vendor sends it again."""
        self._strangers.welcome((app_id, neighbourhood(address)))
        self._genuine.take(app_id, now)


def router(per_minute: int) -> Router:
    """The handler, with rate limits of its own."""
    return Router(
        PREFIX, route_handlers=[receive, prove], dependencies=after_ports(hook_rates=HookRates(per_minute))
    )


@post("/{provider:str}/{app_id:str}", status_code=200, include_in_schema=False)
async def receive(
    request: AnyRequest,
    provider: FromPath[str],
    app_id: FromPath[str],
    ports: NamedDependency[Ports],
    hook_rates: NamedDependency[HookRates],
) -> Response[bytes]:
    """Take a webhook."""
    return await _answer(_take(request, provider, app_id, ports, hook_rates))


@get("/{provider:str}/{app_id:str}", status_code=200, include_in_schema=False)
async def prove(
    request: AnyRequest,
    provider: FromPath[str],
    app_id: FromPath[str],
    ports: NamedDependency[Ports],
    hook_rates: NamedDependency[HookRates],
) -> Response[bytes]:
    """Prove that webhooks are wanted here, to a vendor who asks before he sends any. Changes nothing."""
    return await _answer(_prove(request, provider, app_id, ports, hook_rates))


async def _answer(said: Awaitable[bytes]) -> Response[bytes]:
    """A program asks, so refusals are problem+json here as well."""
    try:
        content = await said
    except AppError as error:
        failure = describe(error)
        if failure.status >= 500:
            log.error("webhook not taken", reference=failure.reference, code=failure.code)
        return problem(failure.status, failure.code, failure.detail, headers=failure.headers)
    return Response(content, media_type=MediaType.TEXT, headers={"Cache-Control": "no-store"})


async def _prove(request: AnyRequest, provider: str, app_id: str, ports: Ports, rates: HookRates) -> bytes:
    rates.admit_unproven(client_ip(request, ports.settings.trusted_proxies), ports.clock.now())
    environment = await ports.database.read(inbound.find_receiver, app_id=app_id, provider=provider)
    if environment is not None:
        await service.load(environment)
    query = request.query_params.multi_items()
    answer = inbound.answer(environment, query, vault=ports.vault, http=ports.http, clock=ports.clock)
    return answer.encode()


async def _take(request: AnyRequest, provider: str, app_id: str, ports: Ports, rates: HookRates) -> bytes:
    now, address = ports.clock.now(), client_ip(request, ports.settings.trusted_proxies)
    rates.admit(app_id, address, now)
    body = await read_body(request, inbound.MAX_BYTES)
    environment = await ports.database.read(inbound.find_receiver, app_id=app_id, provider=provider)
    if environment is not None:
        await service.load(environment)
    message = InboundMessage(_headers(request), body, now)
    try:
        notice = inbound.check(environment, message, vault=ports.vault, http=ports.http, clock=ports.clock)
    except WebhookRefused:
        rates.refuse(app_id, address, now)
        raise
    rates.welcome(app_id, address, now)
    if notice is not None:
        await ports.database.write(inbound.take, app_id=app_id, notice=notice, now=now)
    return b""


def _headers(request: AnyRequest) -> dict[str, str]:
    """By their names in lower case; one that came several times as one value."""
    names = {name.lower() for name in request.headers}
    return {name: ", ".join(request.headers.getall(name)) for name in names}
