"""Who is on the other side: browser cookie, form tokens, client address. Decides nothing about sessions."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address

from litestar.datastructures import Cookie

from app.adapters.signing import LONGEST_SIGNED, Signer
from app.core.errors import Forbidden
from app.settings import Network
from app.web.bodies import AnyRequest

BROWSER_COOKIE = "lw_browser"
BROWSER_COOKIE_PATH = "/cancel"
ZONE_COOKIE = "lw_zone"
BROWSER_LIFE = timedelta(hours=24)
CSRF_FIELD = "csrf_token"
LONGEST_FORWARDED_FOR = 2000


class FormNotFromHere(Forbidden):
    code = "form_not_from_here"
    user_message = "This page was open for long, or in another browser. Go back, reload it and try again."


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser, known by a random id that only its cookie carries; the database gets `fingerprint`."""

    id: str
    since: datetime

    @property
    def fingerprint(self) -> str:
        return sha256(self.id.encode()).hexdigest()


def new_browser(now: datetime) -> Browser:
    """Return a browser not seen before."""
    return Browser(secrets.token_urlsafe(18), now)


def find_browser(request: AnyRequest, signer: Signer, now: datetime) -> Browser | None:
    """Return the browser whose cookie we signed in the last 24 hours; None for any other."""
    read = (signer.read("browser", signed) for signed in _sent_as(BROWSER_COOKIE, request))
    value = next((value for value in read if value is not None), None)
    if value is None:
        return None
    browser_id, _, seconds = value.partition(".")
    since = datetime.fromtimestamp(int(seconds), now.tzinfo)
    return Browser(browser_id, since) if now - since < BROWSER_LIFE else None


def time_zone(request: AnyRequest) -> str | None:
    """Return what the browser says of its time zone (static/js/hosted.js); anybody may say anything there."""
    return next(_sent_as(ZONE_COOKIE, request), None)


def browser_cookie(browser: Browser, signer: Signer, now: datetime, *, secure: bool) -> Cookie:
    """Return the cookie that keeps this browser known for 24 hours from `now`.

    Lax, not strict: the customer arrives from the merchant's page, and a browser that holds a session must be
    recognised by that very navigation.
    """
    return Cookie(
        key=BROWSER_COOKIE,
        value=signer.sign("browser", f"{browser.id}.{int(now.timestamp())}"),
        path=BROWSER_COOKIE_PATH,
        max_age=int(BROWSER_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def is_secure(request: AnyRequest, base_url: str, trusted: Sequence[Network]) -> bool:
    """True where the visitor came by HTTPS: as set up, or as a trusted proxy says."""
    if base_url.startswith("https:") or request.scope["scheme"] == "https":
        return True
    says_https = request.headers.get("x-forwarded-proto", "").lower() == "https"
    return says_https and _is_trusted(_peer(request), trusted)


def csrf_token(signer: Signer, browser: Browser, purpose: str) -> str:
    """Return a token for forms of one purpose (a session's id, say), worth nothing in another browser.

    It is salted, so no two responses carry the same one and compressing a page gives nothing away (BREACH).
    """
    salt = secrets.token_urlsafe(9)
    return signer.sign("csrf", f"{salt}.{_csrf_digest(salt, browser, purpose)}")


def check_csrf(
    request: AnyRequest, token: str, signer: Signer, browser: Browser | None, purpose: str
) -> None:
    """Raise FormNotFromHere unless the form was ours, for this browser and this purpose.

    `Origin` cannot be asked: under `no-referrer` a browser sends `Origin: null` with its own forms.
    """
    salt, _, digest = (signer.read("csrf", token) or "").partition(".")
    if (
        browser is None
        or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        or not compare_digest(digest, _csrf_digest(salt, browser, purpose))
    ):
        raise FormNotFromHere


def client_ip(request: AnyRequest, trusted: Sequence[Network]) -> str:
    """Return the visitor's address: the last in X-Forwarded-For that is no trusted proxy's, or the peer's.

    Whatever stands left of that address was written by the visitor and is not read.
    """
    address = _peer(request)
    forwarded = ",".join(request.headers.getall("x-forwarded-for", []))[-LONGEST_FORWARDED_FOR:]
    for hop in reversed(forwarded.split(",")):
        if not _is_trusted(address, trusted):
            break
        found = _parse_address(hop)
        if found is None:
            break
        address = found
    return address


def _sent_as(name: str, request: AnyRequest) -> Iterator[str]:
    """Return every value that the browser sent under a cookie's name, as it came.

    Another host of the same domain can set one of the same name, so ours may not be the only one. Litestar's reader
    keeps one of them, and undoes quoting in quadratic time: 64 KB of backslashes hold the whole process for seconds.
    """
    for header in request.headers.getall("cookie", []):
        for pair in header.split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name and len(value) <= LONGEST_SIGNED:
                yield value


def _csrf_digest(salt: str, browser: Browser, purpose: str) -> str:
    return sha256(f"{salt}\n{browser.id}\n{purpose}".encode()).hexdigest()[:32]


def _peer(request: AnyRequest) -> str:
    return request.client.host if request.client else ""


def _parse_address(text: str) -> str | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse_address(address)
    return parsed is not None and any(ip_address(parsed) in network for network in trusted)
