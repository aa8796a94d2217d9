"""Turns a template into an answer: whole page or htmx's fragment, strict CSP, compression. Knows no feature.

Nothing else asks whether a request is htmx's.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, select_autoescape
from litestar import Response
from litestar.datastructures import Cookie
from markupsafe import Markup

from app.web.assets import Assets
from app.web.bodies import AnyRequest
from app.web.compress import accepts_gzip, compress
from app.web.copy import copy_for, negotiate
from app.web.formats import formats_for
from app.web.richtext import rich_text

FRAGMENT = "_fragment.html"

# htmx fetches from our own address only (connect-src). A merchant's logo is served by us or is a data: URI.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding, Accept-Language, HX-Request-Type",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


class Renderer:
    """Every template, compiled when the process starts: a broken one stops the start, not a customer."""

    def __init__(self, loader: BaseLoader, assets: Assets) -> None:
        self._environment = Environment(
            loader=loader,
            # Nobody unescapes the plain text of a mail.
            autoescape=select_autoescape(disabled_extensions=("txt",), default=True),
            undefined=StrictUndefined,
            auto_reload=False,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(asset=assets.url, inline_css=lambda name: Markup(assets.css(name)))  # noqa: S704 - our own file
        self._environment.filters["rich"] = rich_text
        self._names = frozenset(self._environment.list_templates())
        for name in self._names:
            self._environment.get_template(name)

    def page(
        self,
        request: AnyRequest,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        locale: str | None = None,
        cookies: Sequence[Cookie] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        """Return the whole page, or what htmx swaps: the nearest `_fragment.html`, in its folder or above.

        Templates also see `nonce`, `lang`, `t`, `money`, `day`, `short_day`, `moment`, `local`, `interval`,
        `span`, `asset(path)` and `inline_css(path)`. Without a `locale` the browser's languages decide.
        """
        nonce = secrets.token_urlsafe(16)
        locale = locale or negotiate(accept_language=request.headers.get("accept-language"))
        name = self._fragment_of(template) if wants_fragment(request) else template
        body = self._environment.get_template(name).render(
            {**words(locale), "nonce": nonce, "template": template, **(context or {})}
        )
        return self.answer(
            request,
            body.encode(),
            media_type="text/html",
            status=status,
            cookies=cookies,
            headers={
                **PAGE_HEADERS,
                "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=nonce),
                "Content-Language": copy_for(locale).language,
                **(headers or {}),
            },
        )

    def answer(
        self,
        request: AnyRequest,
        body: bytes,
        *,
        media_type: str,
        status: int = 200,
        cookies: Iterable[Cookie] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        """Return a finished body, compressed where the client takes that.

        Pages hold form tokens, which compression could give away bit by bit (BREACH). Not here: our cookie is
        SameSite=Lax, so another site's requests are answered without anybody's secrets, and each token is
        salted anew in every response (web/security.py).
        """
        headers = dict(headers or {})
        packed = compress(body) if accepts_gzip(request.headers.get("accept-encoding", "")) else None
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return Response(
            packed or body, media_type=media_type, status_code=status, cookies=list(cookies), headers=headers
        )

    def template(self, name: str) -> Template:
        """Return a compiled template, for what is not a page."""
        return self._environment.get_template(name)

    def _fragment_of(self, template: str) -> str:
        for folder in PurePosixPath(template).parents:
            name = (folder / FRAGMENT).as_posix()
            if name in self._names:
                return name
        return template


def wants_fragment(request: AnyRequest) -> bool:
    """True where htmx will swap the answer into a part of the page. *Back* and reloads ask for the whole."""
    return request.headers.get("hx-request-type") == "partial"


def words(locale: str) -> dict[str, Any]:
    """Return what templates say things with in one locale."""
    copy, formats = copy_for(locale), formats_for(locale)
    return {
        "lang": copy.language,
        "t": copy.t,
        "money": formats.money,
        "day": formats.day,
        "short_day": formats.short_day,
        "moment": formats.moment,
        "local": formats.local,
        "interval": formats.interval,
        "span": formats.span,
    }
