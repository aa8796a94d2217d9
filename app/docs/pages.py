"""`/docs`: a page for browsers, JSON for programs; and the schemas of flows and webhooks. All of it is public."""

import json
from functools import cache
from typing import Any, Final

from litestar import Response, Router, route
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from app.core import webhook_schemas
from app.core.flow_schema import json_schema
from app.docs import reading, webhooks
from app.docs.document import openapi
from app.web.assets import READ
from app.web.bodies import AnyRequest
from app.web.deps import Ports

PATH: Final = "/docs"
DOCUMENT: Final = "/openapi.json"
FLOW_SCHEMA: Final = "/flow.schema.json"
WEBHOOK_SCHEMA: Final = "/webhooks.schema.json"

# Editors and tools in browsers load these from anywhere; there is nothing secret in them.
OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "public, max-age=300",
    "Vary": "Accept, Accept-Encoding",
}


@route("/", http_method=READ, include_in_schema=False)
async def reference(request: AnyRequest, ports: NamedDependency[Ports]) -> Response[bytes]:
    """The API to read, or, for who asks for JSON, the document itself."""
    base_url = ports.settings.base_url
    if _prefers_json(request.headers.get("accept", "")):
        return _json(request, ports, openapi(base_url))
    return ports.renderer.page(
        request,
        "docs/index.html",
        {
            "reference": _reference(base_url),
            "document_href": PATH + DOCUMENT,
            "schema_href": PATH + FLOW_SCHEMA,
            "webhooks": webhooks.view(),
            "webhook_schema_href": PATH + WEBHOOK_SCHEMA,
        },
        locale="en",
        headers={"Vary": "Accept, Accept-Encoding"},
    )


@route(DOCUMENT, http_method=READ, include_in_schema=False)
async def openapi_json(request: AnyRequest, ports: NamedDependency[Ports]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return _json(request, ports, openapi(ports.settings.base_url))


@route(FLOW_SCHEMA, http_method=READ, include_in_schema=False)
async def flow_schema(request: AnyRequest, ports: NamedDependency[Ports]) -> Response[bytes]:
    """The JSON Schema of flow files."""
    return _json(request, ports, json_schema(), media_type="application/schema+json")


@route(WEBHOOK_SCHEMA, http_method=READ, include_in_schema=False)
async def webhook_schema(request: AnyRequest, ports: NamedDependency[Ports]) -> Response[bytes]:
    """The JSON Schema of what webhooks say."""
    return _json(request, ports, webhook_schemas.json_schema(), media_type="application/schema+json")


HANDLERS: Final[list[ControllerRouterHandler]] = [reference, openapi_json, flow_schema, webhook_schema]
router: Final = Router(PATH, route_handlers=HANDLERS)


@cache
def _reference(base_url: str) -> reading.Reference:
    return reading.read(openapi(base_url))


def _json(
    request: AnyRequest, ports: Ports, value: dict[str, Any], *, media_type: str = "application/json"
) -> Response[bytes]:
    body = json.dumps(value, ensure_ascii=False, indent=2).encode()
    return ports.renderer.answer(request, body, media_type=media_type, headers=OPEN)


def _prefers_json(accept: str) -> bool:
    """True where JSON is asked for by name, and HTML is not asked for before it."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    is_json = [kind == "application/json" or kind.endswith("+json") for kind in wanted]
    return any(is_json) and "text/html" not in wanted[: is_json.index(True)]
