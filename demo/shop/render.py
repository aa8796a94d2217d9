"""The shop's pages: its own templates, its own headers. Knows no route and no customer."""

import hashlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.datastructures import Cookie

from demo.shop.formats import day, stamp

HERE: Final = Path(__file__).parent


class Pages:
    """Renders a template with the headers that every page of the shop carries."""

    def __init__(self, *, leavewell_url: str) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["style_version"] = _fingerprint(HERE / "static" / "shop.css")
        self._templates.filters |= {"day": day, "stamp": stamp}
        origin = urlsplit(leavewell_url)
        # The cancel button posts to us and is redirected to Leavewell: a browser follows a form's redirect
        # only to where the page's own policy lets forms go.
        policy = (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {origin.scheme}://{origin.netloc}"
        )
        self._headers = {
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }

    def page(
        self, template: str, *, status: int = 200, cookies: list[Cookie] | None = None, **context: Any
    ) -> Response[str]:
        """One whole page."""
        html = self._templates.get_template(template).render(context)
        return Response(
            html, status_code=status, media_type="text/html", headers=self._headers, cookies=cookies or []
        )


def _fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
