"""The addresses that belong to no feature: health, robots, the front page."""

from typing import Any

import structlog
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.enums import MediaType

from app.db.database import Database
from app.web.assets import READ
from app.web.render import Renderer

log = structlog.get_logger("leavewell.health")

ROBOTS = "User-agent: *\nDisallow: /cancel\nDisallow: /v1/\n"


@route("/healthz", http_method=READ, include_in_schema=False)
async def healthz(database: NamedDependency[Database]) -> Response[dict[str, str]]:
    """200 while requests can be served, which needs the database; 503 otherwise. Says nothing else."""
    try:
        await database.ping()
    except Exception:  # whatever keeps the database from answering, the answer is the same
        log.warning("the database does not answer", exc_info=True)
        return Response({"status": "unavailable"}, status_code=503, headers={"Cache-Control": "no-store"})
    return Response({"status": "ok"}, headers={"Cache-Control": "no-store"})


@route("/robots.txt", http_method=READ, include_in_schema=False)
async def robots() -> Response[str]:
    """Keep crawlers from walking links; what matters is that following one changes nothing."""
    return Response(ROBOTS, media_type=MediaType.TEXT, headers={"Cache-Control": "public, max-age=86400"})


@route("/favicon.ico", http_method=READ, include_in_schema=False)
async def favicon() -> Response[None]:
    """Nothing: a hosted page is the merchant's and shows no icon of ours."""
    return Response(None, status_code=204, headers={"Cache-Control": "public, max-age=86400"})


@route("/", http_method=READ, include_in_schema=False)
async def home(request: Request[Any, Any, Any], renderer: NamedDependency[Renderer]) -> Response[bytes]:
    """Say what this address is, to who types it."""
    return renderer.page(request, "home/index.html")
