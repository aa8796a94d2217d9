"""An empty page behind empty redirects: the least that pressing a button and arriving can take."""

import os

import uvicorn
from litestar import Litestar, MediaType, Response, get, post

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
)
SHOP = f'{_HEAD}<title>Shop</title><form method="post" action="/leave"><button>Cancel subscription</button></form>'
EMPTY = f"{_HEAD}<title>Empty</title><h1>Empty</h1>"


@get("/healthz")
async def healthz() -> str:
    return "ok"


@get("/", media_type=MediaType.HTML)
async def shop() -> str:
    return SHOP


@post("/leave")
async def leave() -> Response[None]:
    return _to("/landing")


@get("/landing")
async def landing() -> Response[None]:
    return _to("/arrived")


@get("/arrived", media_type=MediaType.HTML)
async def arrived() -> str:
    return EMPTY


def _to(path: str) -> Response[None]:
    return Response(None, status_code=303, headers={"Location": path, "Cache-Control": "no-store"})


def create_empty() -> Litestar:
    return Litestar([healthz, shop, leave, landing, arrived], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    uvicorn.run(
        create_empty(),
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
    )
