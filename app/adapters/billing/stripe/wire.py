"""Stripe's library over our own transport: who is asked, how long, and what its refusals mean.

The library builds requests and knows the API's version; it opens no connection, retries nothing, and sends no
telemetry.
"""

import logging
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import stripe
from stripe import StripeClient, StripeObject

from app.adapters.http import OutboundError, OutboundHttp, Reply
from app.core.billing import CredentialsRefused, NotYet, ProviderUnavailable, RateLimited

Raw = dict[str, Any]

DEFAULT_BASE: Final = "https://api.stripe.com"
READ_S: Final = 4.0
WRITE_S: Final = 15.0
MAX_BYTES: Final = 2_097_152  # a page of 100 prices, each with its product

_SENT: Final = frozenset({"authorization", "content-type", "idempotency-key", "stripe-version"})
_READS_BY_POST: Final = "/v1/invoices/create_preview"
_ID: Final = re.compile(r"(?!(?:search|\.{1,2})$)[A-Za-z0-9_.@:+-]{1,255}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")
_PERMISSION: Final = re.compile(r"\b(?:rak_)?([a-z_]+_(?:read|write))\b")
_ACCOUNT: Final = re.compile(r"\bacct_[A-Za-z0-9]+\b")

stripe.enable_telemetry = False
logging.getLogger("stripe").setLevel(
    logging.CRITICAL
)  # it writes whole addresses, and an email can be in one


class Declined(Exception):
    """Stripe understood the request and said no. Stays inside the adapter.

    `was_kept`: it is not a new answer, but the one kept under the idempotency key.
    """

    def __init__(self, status: int, error: Mapping[str, Any], request_id: str, *, was_kept: bool) -> None:
        self.status = status
        self.type = _word(error.get("type"))
        self.code = _word(error.get("code"))
        self.param = _word(error.get("param"))
        self.was_kept = was_kept
        where = [
            f"{name} {value}" for name, value in (("parameter", self.param), ("request", request_id)) if value
        ]
        self.reason = f"Stripe declined: {self.code or self.type or status}" + (
            f" ({', '.join(where)})." if where else "."
        )
        super().__init__(self.reason)

    @property
    def is_missing(self) -> bool:
        """There is nothing of that id, in this mode."""
        return self.code == "resource_missing" or (self.status == 404 and not self.code)


class KeptFailure(ProviderUnavailable):
    """A failure of Stripe's own that it keeps under the idempotency key: asking again with that key tells no more."""


class NotPermitted(CredentialsRefused):
    """A restricted key lacks a permission. `account` is the one that Stripe named, or None."""

    def __init__(self, reason: str, account: str | None) -> None:
        super().__init__(reason)
        self.account = account


@dataclass(frozen=True, slots=True)
class Found:
    """An answer as it came, and the id under which Stripe's log has it."""

    raw: Raw
    request_id: str | None


class Transport(stripe.HTTPClient):
    """Carries the library's requests; raises our errors, which it lets pass."""

    name = "leavewell"

    def __init__(self, http: OutboundHttp) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        is_read = method == "get" or url.partition("?")[0].endswith(_READS_BY_POST)
        try:
            reply = await self._http.request(
                method.upper(),
                url,
                {name: value for name, value in headers.items() if name.lower() in _SENT},
                body=(post_data or "").encode(),
                deadline_s=READ_S if is_read else WRITE_S,
                max_bytes=MAX_BYTES,
            )
            if not reply.is_success:
                raise _failure(reply)
            if not isinstance(reply.json(), dict):
                raise ProviderUnavailable("Stripe's answer was not understood.")
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None
        return reply.body, reply.status, reply.headers

    async def close_async(self) -> None:
        """The connections are not ours to close."""


def open_client(api_key: str, base: str, http: OutboundHttp) -> StripeClient:
    return StripeClient(
        api_key,
        base_addresses={"api": base.rstrip("/")},
        http_client=Transport(http),
        max_network_retries=0,
    )


async def ask(call: Awaitable[StripeObject]) -> Found:
    """What the library's call brought, as Stripe sent it. Raises Declined, ProviderUnavailable."""
    try:
        answer = await call
    except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError, RecursionError):
        raise ProviderUnavailable("Stripe's answer was not understood.") from None
    response = answer.last_response
    raw = getattr(response, "data", None)
    if not isinstance(raw, dict):
        raise ProviderUnavailable("Stripe's answer was not understood.")
    return Found(raw, response.request_id if response is not None else None)


async def find(call: Awaitable[StripeObject]) -> Raw | None:
    """The object; None for one that does not exist, or was deleted."""
    try:
        found = (await ask(call)).raw
    except Declined as declined:
        if declined.is_missing:
            return None
        raise not_understood(declined) from None
    return None if found.get("deleted") else found


async def page(call: Awaitable[StripeObject]) -> tuple[list[Raw], Raw]:
    """One page of a list or a search, and the whole answer. A list of nobody's things is empty."""
    try:
        found = (await ask(call)).raw
    except Declined as declined:
        if declined.is_missing:
            return [], {}
        raise not_understood(declined) from None
    data = found.get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else [], found


def not_understood(declined: Declined) -> ProviderUnavailable:
    """A read that Stripe declines is a mistake of ours or a change of theirs: to be looked at, not to be shown."""
    return ProviderUnavailable(declined.reason)


def is_id(given: str) -> bool:
    """False for what Stripe cannot have given, and for what would lead to another address."""
    return _ID.fullmatch(given) is not None


def _failure(reply: Reply) -> Exception:
    error = _error_of(reply)
    was_kept = reply.headers.get("idempotent-replayed") == "true"
    request_id = _word(reply.headers.get("request-id"))
    match reply.status, error.get("code"):
        case 401, _:
            return CredentialsRefused(
                "Stripe does not know the API key, or it has been revoked or has expired."
            )
        case 403, _:
            return _not_permitted(error)
        case (429, _) | (400, "rate_limit"):
            return RateLimited("Stripe asked to slow down (429).", retry_after=reply.retry_after)
        case 409, _:
            return NotYet("Stripe is still busy with the same request (409).", retry_after=reply.retry_after)
        case status, _ if 400 <= status < 500 and error:
            return Declined(status, error, request_id, was_kept=was_kept)
    kind = KeptFailure if was_kept else ProviderUnavailable
    return kind(f"Stripe answered {reply.status}.", retry_after=reply.retry_after)


def _not_permitted(error: Mapping[str, Any]) -> NotPermitted:
    message = str(error.get("message"))
    permission, account = _PERMISSION.search(message), _ACCOUNT.search(message)
    reason = "The API key is not allowed to do this"
    reason += f": it lacks the permission {permission[1]}." if permission else "."
    return NotPermitted(reason, account[0] if account else None)


def _error_of(reply: Reply) -> Mapping[str, Any]:
    try:
        value = reply.json()
    except OutboundError:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _word(value: object) -> str:
    """A code, a parameter's name, an id; nothing longer or freer, which could hold what is a customer's."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
