"""Maxio's HTTP: JSON under Basic authentication, and what its answers mean as errors. Knows no billing.

Facts: developers.maxio.com (API Guidelines: four calls at once per site, 429; API Access Limitations: blocked sites
answer 422 to everything).
"""

import asyncio
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from app.adapters.billing.connection import Connection
from app.adapters.http import OutboundError, Reply, dump_json
from app.core.billing import CredentialsRefused, ProviderRefused, ProviderUnavailable
from app.core.fields import is_clean

READ_S: Final = 4.0
WRITE_S: Final = 15.0
MAX_BYTES: Final = 2_097_152
AT_ONCE: Final = 4  # what Maxio works on at once for a site; it queues the others, and so do we
# "Waiting a few minutes" is all that Maxio says about a 429 without Retry-After.
BUSY_S: Final = 120.0
NOT_ALLOWED: Final = "The billing system does not allow this change."
NOT_THERE: Final = "The billing system does not know this subscription any more."

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]

_SUBDOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_BLOCKED = re.compile(
    r"account has been canceled|trial has ended, please contact|site has been deleted|data clearing is in progress",
    re.IGNORECASE,
)
_LONGEST_REASON = 200


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = WeakKeyDictionary()


class Wire:
    """One site. Every method raises ProviderError only; no message holds the key or what the customer entered."""

    def __init__(self, connection: Connection) -> None:
        self._http = connection.http
        self._root = _root(connection.config)
        token = b64encode(f"{connection.config['api_key']}:x".encode()).decode()
        self._headers = {"authorization": f"Basic {token}"}

    async def get(self, path: str, query: Query = ()) -> Any:
        """What is there; None for a 404."""
        reply = await self._call("GET", path, query, None, READ_S)
        if reply.status == 404:
            return None
        if not reply.is_success:
            raise ProviderUnavailable(f"Maxio answered {reply.status}: {vendor_words(reply)}")
        return _json(reply)

    async def write(self, method: str, path: str, body: Json | None = None) -> Any:
        """Change something; the answer's JSON, None where there is none.

        Raises ProviderRefused for a 400, 404 or 422, which are final.
        """
        reply = await self._call(method, path, (), body, WRITE_S)
        if reply.status == 404:
            raise ProviderRefused(NOT_THERE, f"Maxio answered 404: {vendor_words(reply)}")
        if reply.status in (400, 422):
            raise ProviderRefused(NOT_ALLOWED, f"Maxio answered {reply.status}: {vendor_words(reply)}")
        if not reply.is_success:
            raise ProviderUnavailable(f"Maxio answered {reply.status}.")
        return _json(reply) if reply.body.strip() else None

    async def _call(
        self, method: str, path: str, query: Query, body: Json | None, deadline_s: float
    ) -> Reply:
        if self._root is None:
            raise CredentialsRefused("The subdomain can only have letters, digits and hyphens.")
        url = f"{self._root}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = dict(self._headers)
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            async with _gate(self._root):
                reply = await self._http.request(
                    method,
                    url,
                    headers,
                    body=b"" if body is None else dump_json(body),
                    deadline_s=deadline_s,
                    max_bytes=MAX_BYTES,
                )
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None
        _raise_for_access(reply)
        return reply


def _gate(root: str) -> asyncio.Semaphore:
    """One for all who talk to the site from here, whatever connection they hold."""
    gates = _gates.setdefault(asyncio.get_running_loop(), {})
    return gates.setdefault(root, asyncio.Semaphore(AT_ONCE))


def vendor_words(reply: Reply) -> str:
    """The vendor's own first sentences, for the merchant: short, plain, without addresses."""
    try:
        said = [text for text in _texts(reply.json()) if is_clean(text, allowed="\n\t")]
    except OutboundError:
        said = []
    words = " ".join(" ".join(said[:3]).split())
    return re.sub(r"\S+@\S+", "…", words)[:_LONGEST_REASON] or "no reason given"


def _raise_for_access(reply: Reply) -> None:
    if reply.status == 401:
        raise CredentialsRefused("Maxio does not accept the API key for this site.")
    if reply.status == 403:
        raise CredentialsRefused(f"The API key may not do this: {vendor_words(reply)}")
    if reply.status == 429:
        wait = reply.retry_after
        raise ProviderUnavailable("Maxio is busy.", retry_after=BUSY_S if wait is None else wait)
    if reply.status == 409 or reply.status >= 500:
        raise ProviderUnavailable(f"Maxio answered {reply.status}.", retry_after=reply.retry_after)
    if reply.status == 422 and _BLOCKED.search(vendor_words(reply)):
        raise CredentialsRefused(f"Maxio has blocked the site: {vendor_words(reply)}")


def _texts(value: object) -> Iterator[str]:
    """Errors come as a list, as lists by field, or as one text; under `errors`, `error` or on their own."""
    match value:
        case str():
            yield value
        case list():
            for inner in value:
                yield from _texts(inner)
        case dict():
            inside = {name: value[name] for name in ("errors", "error") if name in value} or value
            for inner in inside.values():
                yield from _texts(inner)
        case _:
            pass


def _json(reply: Reply) -> Any:
    try:
        return reply.json()
    except OutboundError as error:
        raise ProviderUnavailable(error.sentence) from None


def _root(config: Mapping[str, str]) -> str | None:
    """Where the site answers; None for a subdomain that would make an address of somebody else's."""
    if base := config.get("api_base", "").strip():
        return base.rstrip("/")
    subdomain = config["subdomain"].strip()
    return f"https://{subdomain}.chargify.com" if _SUBDOMAIN.fullmatch(subdomain) else None
