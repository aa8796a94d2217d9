"""`/v1/cancel-sessions`: a merchant's backend mints, lists, reads and revokes cancel links (DESIGN §2.2)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Concatenate, Final, ParamSpec

from litestar import Response, Router, post, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod, MediaType
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlmodel import Session

from app.accounts import service as accounts
from app.accounts.service import Caller, Credentials
from app.core.errors import AppError, Unauthorized
from app.links import forms, queries, service
from app.links.idempotency import Answer, IdempotencyKey, find_answer, keep_answer
from app.links.service import LinkOrder
from app.web.assets import READ
from app.web.bodies import AnyRequest
from app.web.deps import Ports, after_ports
from app.web.problems import read_json
from app.web.ratelimit import TokenBucket
from app.web.security import client_ip
from app.web.strangers import Strangers

PATH: Final = "/v1/cancel-sessions"
APP_HEADER: Final = "x-ck-app"
KEY_HEADER: Final = "x-ck-api-key"
MODE_HEADER: Final = "x-ck-mode"
IDEMPOTENCY_HEADER: Final = "idempotency-key"

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, as he says, and when. `mode` is the one he takes his key to be of, if he says so."""

    ports: Ports
    credentials: Credentials
    now: datetime
    mode: str | None = None


class ApiRates:
    """How often one key may ask, in this process: minting apart from everything else; and how often one address may
    be wrong about its key: as often, for a key cannot be guessed anyway and a merchant's own mistake is no attack."""

    def __init__(self, per_minute: int) -> None:
        self._mints = TokenBucket(per_minute=per_minute)
        self._others = TokenBucket(per_minute=per_minute)
        self._strangers = Strangers(per_minute=per_minute)

    @asynccontextmanager
    async def admitted(
        self, request: AnyRequest, ports: Ports, *, is_mint: bool = False, writes: bool = False
    ) -> AsyncIterator[Asked]:
        """Raises TooManyRequests. Counted by address and by what was sent as key, so before anybody looks it up.

        Where the body writes, credentials that are new here are looked up first: a stranger does not get the
        database's one writer.
        """
        headers, now = request.headers, ports.clock.now()
        credentials = accounts.credentials(headers.get(APP_HEADER, ""), headers.get(KEY_HEADER, ""))
        is_known = self._strangers.is_known(credentials)
        if not is_known:
            self._strangers.check(client_ip(request, ports.settings.trusted_proxies), now)
        (self._mints if is_mint else self._others).take(credentials.key_sha256, now)
        try:
            if writes and not is_known:
                await ports.database.read(accounts.authenticate, credentials)
            yield Asked(ports, credentials, now, headers.get(MODE_HEADER))
        except Unauthorized:
            self._strangers.note(client_ip(request, ports.settings.trusted_proxies), credentials, now)
            raise
        self._strangers.welcome(credentials)


def router(per_minute: int) -> Router:
    """The handlers, with rate limits of their own."""
    return Router(PATH, route_handlers=HANDLERS, dependencies=after_ports(rates=ApiRates(per_minute)))


@post("/")
async def mint(
    request: AnyRequest, ports: NamedDependency[Ports], rates: NamedDependency[ApiRates]
) -> Response[bytes]:
    """Make a link. Authentication, the kept answer, the link and its event are one unit of work."""
    async with rates.admitted(request, ports, is_mint=True, writes=True) as asked:
        try:
            _, body = await read_json(request)
            key = forms.read_idempotency_key(
                request.headers.getall(IDEMPOTENCY_HEADER, []), f"POST {PATH}", body
            )
            order = forms.read_order(body)
        except AppError:
            await ports.database.read(
                accounts.authenticate, asked.credentials
            )  # a stranger learns nothing else
            raise
        answer = await ports.database.write(_mint, asked, order, key)
    headers = {"Idempotent-Replayed": "true"} if answer.is_replay else {}
    return _json(answer.body, status=answer.status, headers=headers)


@route("/", http_method=READ)
async def list_links(
    request: AnyRequest, ports: NamedDependency[Ports], rates: NamedDependency[ApiRates]
) -> Response[bytes]:
    """A page of the environment's links."""
    async with rates.admitted(request, ports) as asked:
        return _json(await _read(asked, _list, list(request.query_params.multi_items())))


@route("/{link_id:str}", http_method=READ)
async def show(
    request: AnyRequest,
    link_id: FromPath[str],
    ports: NamedDependency[Ports],
    rates: NamedDependency[ApiRates],
) -> Response[bytes]:
    """One link."""
    async with rates.admitted(request, ports) as asked:
        return _json(await _read(asked, _show, link_id))


@post("/{link_id:str}/revoke", status_code=200)
async def revoke(
    request: AnyRequest,
    link_id: FromPath[str],
    ports: NamedDependency[Ports],
    rates: NamedDependency[ApiRates],
) -> Response[bytes]:
    """Revoke a link, once or again. A body would say nothing and is not read."""
    async with rates.admitted(request, ports, writes=True) as asked:
        return _json(await ports.database.write(_revoke, asked, link_id))


@route("/", http_method=HttpMethod.OPTIONS)
async def methods() -> Response[None]:
    """What Litestar answers by itself names the methods of only one of the two handlers above."""
    return Response(None, status_code=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (methods, mint, list_links, show, revoke)


# --- Units of work ----------------------------------------------------------------------------------------------------


def _mint(db: Session, asked: Asked, order: LinkOrder, key: IdempotencyKey | None) -> Answer:
    ports, now = asked.ports, asked.now
    caller = accounts.authenticate(db, asked.credentials)
    accounts.note_use(db, caller, now=now)
    kept = find_answer(db, ports.vault, app_id=caller.app_id, key=key, now=now) if key else None
    if kept is not None:
        return kept
    minted = service.draft(
        ports.signer,
        app_id=caller.app_id,
        api_key_id=caller.key_id,
        return_origins=caller.return_origins,
        order=order,
        now=now,
    )
    answer = Answer(201, forms.dump(forms.minted_link(minted, caller.mode, ports.settings.base_url)))
    if key is not None:
        before = keep_answer(db, ports.vault, app_id=caller.app_id, key=key, answer=answer, now=now)
        if before is not None:
            return before
    service.store(db, minted, now=now)
    return answer


async def _read(
    asked: Asked,
    fn: Callable[Concatenate[Session, Caller, datetime, P], str],
    *args: P.args,
    **kwargs: P.kwargs,
) -> str:
    """Authenticate and read in one unit of work; note the key's use, where that is due, in another."""

    def read(db: Session) -> tuple[Caller, str]:
        caller = accounts.authenticate(db, asked.credentials)
        return caller, fn(db, caller, asked.now, *args, **kwargs)

    caller, answer = await asked.ports.database.read(read)
    if caller.is_use_news(asked.now):
        await asked.ports.database.write(accounts.note_use, caller, now=asked.now)
    return answer


def _list(db: Session, caller: Caller, now: datetime, parameters: Sequence[tuple[str, str]]) -> str:
    query = forms.read_query(parameters)
    found = queries.list_links(
        db,
        app_id=caller.app_id,
        limit=query.limit + 1,
        before=query.before,
        customer_id=query.customer_id,
    )
    page = found[: query.limit]
    return forms.dump(
        forms.LinkPage(
            data=[forms.link_shape(link, caller.mode, now) for link in page],
            next_cursor=forms.write_cursor(page[-1]) if len(found) > len(page) else None,
        )
    )


def _show(db: Session, caller: Caller, now: datetime, link_id: str) -> str:
    link = service.get_link(db, app_id=caller.app_id, link_id=link_id)
    return forms.dump(forms.link_shape(link, caller.mode, now))


def _revoke(db: Session, asked: Asked, link_id: str) -> str:
    caller, now = accounts.authenticate(db, asked.credentials), asked.now
    accounts.note_use(db, caller, now=now)
    link = service.revoke(db, app_id=caller.app_id, link_id=link_id, now=now)
    return forms.dump(forms.link_shape(link, caller.mode, now))


def _json(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        body.encode(),
        status_code=status,
        media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
