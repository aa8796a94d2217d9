"""The shop's pages: its own templates, its own headers. Knows no route and no customer."""

import hashlib
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.datastructures import Cookie

from demo.shop.formats import day, stamp

HERE: Final = Path(__file__).parent

# A mail comes from outside. Whatever is in it: no script runs, nothing is fetched or sent, no form goes anywhere, and
# it is nobody's origin. Its links work when somebody presses them, and open in place of the page around it.
_MAIL_SANDBOX: Final = "allow-top-navigation-by-user-activation"
_MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    f"frame-ancestors 'self'; sandbox {_MAIL_SANDBOX}"
)
# Stands before all of the mail; a parser puts it into the mail's own head.
_MAIL_START: Final = '<!doctype html><base target="_top">'
# A browser connects ahead for these, before it asks the policy. Renamed they are nothing; taken out they might leave
# pieces that become one.
_CONNECTS_AHEAD: Final = re.compile(r"<(?=(?:link|base|i?frame|fencedframe|object|embed)\b)", re.IGNORECASE)

_HEADERS: Final = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "x-dns-prefetch-control": "off",
}


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
        self._templates.globals["mail_sandbox"] = _MAIL_SANDBOX
        self._templates.filters |= {"day": day, "stamp": stamp}
        origin = urlsplit(leavewell_url)
        # The cancel button posts to us and is redirected to Leavewell: a browser follows a form's redirect
        # only to where the page's own policy lets forms go.
        policy = (
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; "
            f"form-action 'self' {origin.scheme}://{origin.netloc}"
        )
        self._headers = {**_HEADERS, "content-security-policy": policy}

    def page(
        self, template: str, *, status: int = 200, cookies: list[Cookie] | None = None, **context: Any
    ) -> Response[str]:
        """One whole page."""
        html = self._templates.get_template(template).render(context)
        return Response(
            html, status_code=status, media_type="text/html", headers=self._headers, cookies=cookies or []
        )


def mail_body(html: str) -> Response[str]:
    """The HTML of a mail as a document of its own, for a frame."""
    return Response(
        _MAIL_START + _CONNECTS_AHEAD.sub("<x-", html),
        media_type="text/html",
        headers={**_HEADERS, "content-security-policy": _MAIL_POLICY},
    )


def download(content: bytes, *, name: str, media_type: str = "application/octet-stream") -> Response[bytes]:
    """A file to be kept, never to be shown in the shop's name."""
    return Response(
        content,
        media_type=media_type,
        headers={
            **_HEADERS,
            "content-security-policy": "default-src 'none'; sandbox",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        },
    )


def _fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
