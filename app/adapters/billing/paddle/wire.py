"""Paddle's HTTP: one call at a time, its error bodies as our errors. Knows paths, no subscriptions.

https://developer.paddle.com/api-reference/about/errors
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from app.adapters.http import OutboundError, OutboundHttp, Reply, dump_json
from app.core.billing import CredentialsRefused, NotYet, ProviderRefused, ProviderUnavailable, RateLimited

READ_S: Final = 4.0
WRITE_S: Final = 15.0
MAX_BYTES: Final = 2_097_152
API_VERSION: Final = "1"
PAGE: Final = 50
MOST_PAGES: Final = 8

LOCKED: Final = frozenset({"subscription_locked_renewal", "subscription_locked_processing"})
"""Nothing can be changed in the 30 minutes before a renewal, and while it is under way."""
NOT_POSSIBLE: Final = "This change is not possible for your subscription."

_DISCOUNT = "This discount cannot be used for your subscription."
_OVER = "Your subscription has already ended."
_SENTENCES: Final = {
    "discount_expired": _DISCOUNT,
    "discount_usage_limit_exceeded": _DISCOUNT,
    "subscription_one_off_discount_not_valid": _DISCOUNT,
    "subscription_discount_not_valid_for_items": _DISCOUNT,
    "subscription_invalid_discount_currency": _DISCOUNT,
    "subscription_update_when_canceled": _OVER,
    "subscription_is_canceled_action_invalid": _OVER,
    "subscription_update_when_past_due": "A payment for your subscription is overdue, so it cannot be changed here.",
    "subscription_payment_declined": "The payment was declined, so nothing was changed.",
    "subscription_locked_renewal": "Your subscription is about to renew, and cannot be changed until it has.",
    "subscription_locked_processing": "Your subscription is being renewed, and cannot be changed until it has.",
}
_CREDENTIALS: Final = {
    "invalid_token": "Paddle does not know this API key here, or it was revoked or has expired.",
    "authentication_missing": "The API key did not reach Paddle.",
    "authentication_malformed": "Paddle cannot read the API key.",
    "paddle_billing_not_enabled": "Paddle Billing is not enabled for this account.",
}
_ENTITIES: Final = {
    "subscriptions": "subscription",
    "customers": "customer",
    "prices": "price",
    "discounts": "discount",
}
_ID = re.compile(r"(?P<kind>sub|ctm|pri|dsc|add)_[a-z\d]{26}", re.ASCII)
_CODE = re.compile(r"[a-z_]{1,100}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]]{1,60}", re.ASCII)

Object = dict[str, Any]


class PaddleRefused(ProviderRefused):
    """Paddle's final no, with its error code."""

    def __init__(self, code: str, fields: str = "") -> None:
        super().__init__(_SENTENCES.get(code, NOT_POSSIBLE), f"Paddle refused the change: {code}{fields}.")
        self.code = code


class PaddleApi:
    """Paddle's API, version 1, with one key. Raises nothing but `ProviderError`."""

    def __init__(self, http: OutboundHttp, root: str, api_key: str) -> None:
        self._http = http
        self._root = root.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}", "paddle-version": API_VERSION}

    async def find(self, path: str, **query: str) -> Object | None:
        """One entity; None where there is none of that id."""
        reply = await self._call("GET", path, query)
        if _is_not_found(reply):
            return None
        return _entity(_answer(reply))

    async def list_all(
        self, path: str, *, most: int, may_be_invalid: bool = False, **query: str
    ) -> list[Object]:
        """Up to `most` entities, the newest ids first, page by page; none of an unknown owner.

        `may_be_invalid`: what is asked for comes from outside, and what Paddle calls invalid is nobody's.
        """
        found: list[Object] = []
        after: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            page = {"per_page": str(min(PAGE, most)), "order_by": "id[DESC]", **query, **after}
            reply = await self._call("GET", path, page)
            if _is_not_found(reply) or (may_be_invalid and _error_code(reply) == "invalid_field"):
                break
            answer = _answer(reply)
            entities = answer.get("data")
            if not isinstance(entities, list):
                raise _not_understood()
            found += [each for each in entities if isinstance(each, dict)]
            if len(found) >= most or not entities or not _has_more(answer):
                break
            after = {"after": str(found[-1].get("id"))}
        return found[:most]

    async def preview(self, path: str, body: Object) -> Object:
        """What a change would come to. Raises PaddleRefused where it would not be taken."""
        reply = await self._call("PATCH", path, body=body, is_read=True)
        if 400 <= reply.status < 500:
            raise _refusal(reply)
        return _entity(_answer(reply))

    async def send(self, method: str, path: str, body: Object) -> tuple[Object, str | None]:
        """Change something: the entity as it is then, and the id by which Paddle's support finds the request."""
        reply = await self._call(method, path, body=body)
        if 400 <= reply.status < 500:
            raise _refusal(reply)
        answer = _answer(reply)
        return _entity(answer), _request_id(answer)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        *,
        is_read: bool = False,
    ) -> Reply:
        url = f"{self._root}{path}" + (f"?{urlencode(query)}" if query else "")
        has_body = body is not None
        try:
            reply = await self._http.request(
                method,
                url,
                {**self._headers, **({"content-type": "application/json"} if has_body else {})},
                body=dump_json(body) if has_body else b"",
                deadline_s=WRITE_S if has_body and not is_read else READ_S,
                max_bytes=MAX_BYTES,
            )
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None
        if reply.status == 429:
            raise RateLimited("Paddle answered 429.", retry_after=reply.retry_after)
        if reply.status >= 500:
            raise ProviderUnavailable(f"Paddle answered {reply.status}.", retry_after=reply.retry_after)
        if reply.status in (401, 403):
            raise _credentials_refused(reply, _permission(path, is_write=has_body and not is_read))
        return reply


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """All answers, in order, the calls made at the same time; raises the first error once all have ended."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)


def inner(raw: object, name: str) -> Object:
    """An object inside an object; an empty one where there is none."""
    found = raw.get(name) if isinstance(raw, dict) else None
    return found if isinstance(found, dict) else {}


def is_id(text: str, kind: str) -> bool:
    """Whether Paddle can have given this id to such an entity."""
    found = _ID.fullmatch(text)
    return found is not None and found["kind"] == kind


def path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _permission(at: str, *, is_write: bool) -> str:
    names = at.split("/")
    entity = "address" if "addresses" in names else _ENTITIES.get(names[1], names[1])
    return f"{entity}.{'write' if is_write else 'read'}"


def _credentials_refused(reply: Reply, permission: str) -> CredentialsRefused:
    code = _error_code(reply)
    if code == "forbidden":
        return CredentialsRefused(f"The API key lacks the permission {permission}.")
    return CredentialsRefused(_CREDENTIALS.get(code, "Paddle does not accept the API key."))


def _refusal(reply: Reply) -> ProviderRefused | ProviderUnavailable:
    code = _error_code(reply)
    if reply.status == 409 and code not in LOCKED and code != "discount_code_conflict":
        return NotYet(f"Another change was under way at Paddle ({code}).")
    return PaddleRefused(code, _named_fields(reply))


def _answer(reply: Reply) -> Object:
    try:
        value = reply.json()
    except OutboundError as error:
        raise ProviderUnavailable(error.sentence) from None
    if not reply.is_success or not isinstance(value, dict):
        raise ProviderUnavailable(f"Paddle answered {reply.status} ({_error_code(reply)}), not as expected.")
    return value


def _entity(answer: Object) -> Object:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise _not_understood()
    return data


def _not_understood() -> ProviderUnavailable:
    return ProviderUnavailable("Paddle's answer was not understood.")


def _is_not_found(reply: Reply) -> bool:
    """Another 404 is that of a wrong address, and no answer about the entity."""
    return reply.status == 404 and _error_code(reply) == "not_found"


def _has_more(answer: Object) -> bool:
    match answer:
        case {"meta": {"pagination": {"has_more": True}}}:
            return True
    return False


def _request_id(answer: Object) -> str | None:
    match answer:
        case {"meta": {"request_id": str() as request_id}} if 0 < len(request_id) <= 100:
            return request_id
    return None


def _error(reply: Reply) -> Object:
    try:
        return inner(reply.json(), "error")
    except OutboundError:
        return {}


def _error_code(reply: Reply) -> str:
    code = _error(reply).get("code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "no error code"


def _named_fields(reply: Reply) -> str:
    """Which fields were at fault. Paddle's sentences about them can hold what a customer entered: they stay out."""
    errors = _error(reply).get("errors")
    names = [
        each["field"]
        for each in (errors if isinstance(errors, list) else [])
        if isinstance(each, dict) and isinstance(each.get("field"), str) and _FIELD.fullmatch(each["field"])
    ]
    return f" ({', '.join(names[:5])})" if names else ""
