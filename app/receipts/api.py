"""`/.well-known/leavewell-receipts.json`: the public keys that receipts are checked with, for anybody."""

import json
from typing import Final

from litestar import Response, route
from litestar.di import NamedDependency

from app.core.receipt_file import to_base64url, to_jwks
from app.receipts import keys
from app.web.assets import READ
from app.web.bodies import AnyRequest
from app.web.deps import Ports

PATH: Final = "/.well-known/leavewell-receipts.json"
HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",  # whoever checks a receipt in a browser
    "Cache-Control": "public, max-age=3600",
    "Vary": "Accept-Encoding",
}


@route(PATH, http_method=READ, include_in_schema=False)
async def public_keys(request: AnyRequest, ports: NamedDependency[Ports]) -> Response[bytes]:
    """Every key there has been, as a JWK set: what an old one signed stays valid."""
    found = await ports.database.read(keys.public_keys)
    published = to_jwks((key_id, to_base64url(raw)) for key_id, raw in found.items())
    body = json.dumps(published, indent=2).encode()
    return ports.renderer.answer(request, body, media_type="application/jwk-set+json", headers=HEADERS)
