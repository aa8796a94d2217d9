"""Small HTTP manners of the shop: its redirects, its raw forms, and which addresses it sends a browser to."""

from typing import Final
from urllib.parse import quote, urlsplit

from litestar import Response
from litestar.datastructures import Cookie
from litestar.status_codes import HTTP_303_SEE_OTHER

from demo.shop.desk import ShopRequest

_LONGEST_PATH: Final = 2_000


def see_other(address: str, *, cookies: list[Cookie] | None = None) -> Response[bytes]:
    """`303`, the answer to every form."""
    headers = {"location": address, "cache-control": "no-store"}
    return Response(b"", status_code=HTTP_303_SEE_OTHER, headers=headers, cookies=cookies or [])


def to_sign_in(request: ShopRequest) -> Response[bytes]:
    """To the front door, which leads back to the page that was asked for, query and all."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return see_other(f"/demo?then={quote(wanted, safe='')}")


def local_path(value: object, *, otherwise: str) -> str:
    """A page of the shop to go to, or the other one: no form field sends anybody off the site."""
    if not isinstance(value, str) or len(value) > _LONGEST_PATH or "\\" in value or not value.isprintable():
        return otherwise
    try:
        parts = urlsplit(value)
    except ValueError:
        return otherwise
    is_local = not parts.scheme and not parts.netloc
    is_ours = is_local and (parts.path == "/demo" or parts.path.startswith("/demo/"))
    return value if is_ours else otherwise


async def form_field(request: ShopRequest, name: str) -> str:
    """One field of the posted form; empty where it is missing or is a file."""
    form = await request.form()
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def is_from_elsewhere(request: ShopRequest) -> bool:
    """Whether another site made the browser send this form."""
    return request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
