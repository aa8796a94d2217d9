"""An application with a few pages of its own, to see how the web floor treats whatever handlers do."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader
from litestar import Litestar, Request, Response, get, post, route
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import FromPath, FromQuery
from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import Conflict, FieldError, InvalidInput, TooManyRequests
from app.db.database import Database
from app.main import ROOT, create_app
from app.web.assets import READ
from app.web.bodies import read_body
from app.web.copy import copy_for
from app.web.deps import Ports
from app.web.forms import parse_form
from app.web.problems import parse_body
from app.web.render import Renderer
from tests.support import databases
from tests.support.apps import make_settings
from tests.support.clock import FakeClock
from tests.support.pages import Visitor, new_client

PAGE = """<!doctype html><html lang="{{ lang }}"><head><meta name="viewport" content="x">
<title>{{ word }}</title><style nonce="{{ nonce }}">b{}</style></head><body>
<main id="main">{% include "probe/_fragment.html" %}</main></body></html>"""
FRAGMENT = "<h1>{{ word }}</h1><p>{{ filler }}</p>"

SHARED = "the details of a customer, in an error nobody foresaw"


class Item(BaseModel):
    name: str = Field(max_length=5)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer: str
    items: list[Item] = []
    amount: float = 0


@get("/probe/raise/{kind:str}")
async def raising(kind: FromPath[str]) -> None:
    raise {
        "conflict": Conflict("Two of you at once."),
        "fields": InvalidInput(fields=[FieldError("items[0].name", "Too long.")]),
        "slow-down": TooManyRequests(retry_after=7),
        "teapot": HTTPException("internal words", status_code=418),
        "framework": PermissionDeniedException("internal words"),
        "bug": RuntimeError(SHARED),
    }[kind]


@get("/v1/probe/raise/{kind:str}")
async def raising_in_api(kind: FromPath[str]) -> None:
    await raising.fn(kind)


@get("/v1/probe/number")
async def number(count: FromQuery[int]) -> dict[str, int]:
    return {"count": count}


@post("/v1/probe/orders", status_code=201)
async def order(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return (await parse_body(request, Order, 2000)).model_dump()


@post("/probe/form", status_code=200)
async def form(request: Request[Any, Any, Any]) -> dict[str, Any]:
    found = await parse_form(request)
    errors = [[error.field, error.message] for error in found.errors(copy_for("en"))]
    return {"values": {name: list(values) for name, values in found.values.items()}, "errors": errors}


@post(["/probe/slow", "/v1/probe/slow"], status_code=200)
async def slow(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"bytes": len(await read_body(request, 1000, deadline_s=0.1))}


@post("/probe/small", status_code=200)
async def small(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"bytes": len(await read_body(request, 1000))}


@route("/probe/page/{word:str}", http_method=READ)
async def page(
    request: Request[Any, Any, Any], word: FromPath[str], renderer: NamedDependency[Renderer]
) -> Response[bytes]:
    return renderer.page(request, "probe/show.html", {"word": word, "filler": "again and again " * 100})


@get("/probe/ports")
async def all_ports(ports: NamedDependency[Ports], database: NamedDependency[Database]) -> dict[str, bool]:
    return {"same": ports.database is database}


class Probe:
    """The application under test, and a visitor of it."""

    def __init__(self, app: Litestar, visitor: Visitor) -> None:
        self.app = app
        self.visitor = visitor


def make_app(database: Database, clock: FakeClock, **options: Any) -> Litestar:
    url = database.url.render_as_string(hide_password=False)
    probes = {"probe/show.html": PAGE, "probe/_fragment.html": FRAGMENT}
    return create_app(
        make_settings(url),
        database=database,
        clock=clock,
        templates=ChoiceLoader([DictLoader(probes), FileSystemLoader(ROOT / "templates")]),
        extra_handlers=[raising, raising_in_api, number, order, form, slow, small, page, all_ports],
        **options,
    )


@pytest.fixture(scope="module")
def probe_app(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Litestar]:
    """One for a module: these tests are about HTTP, store nothing, and hardly touch the database."""
    url = databases.fresh_sqlite(run_folder, tmp_path_factory.mktemp("web"))
    with Database(url) as database:
        yield make_app(database, FakeClock())


@pytest.fixture
async def probe(probe_app: Litestar) -> AsyncIterator[Probe]:
    async with new_client(probe_app) as client:
        yield Probe(probe_app, Visitor(client))
