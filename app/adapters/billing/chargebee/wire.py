"""HTTP as Chargebee speaks it: forms in, JSON out, and its errors in our words. Knows no change and no shape.

https://apidocs.chargebee.com/docs/api/error-handling
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from app.adapters.http import OutboundError, OutboundHttp, Reply
from app.core.billing import CredentialsRefused, NotYet, ProviderRefused, ProviderUnavailable, RateLimited

READ_S: Final = 4.0
WRITE_S: Final = 15.0
MAX_BYTES: Final = 2_097_152
PAGE: Final = 100  # the most that Chargebee gives at once
MOST_PAGES: Final = 9  # a customer has at most 900 subscriptions
_LONGEST_FILTER: Final = 1_400  # an address may have 2,048 characters
NOT_ALLOWED: Final = "The billing system does not allow this change."
NO_PAYMENT: Final = "The payment did not go through, so nothing was changed."

Document = Mapping[str, Any]
Params = Sequence[tuple[str, str]]

_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.@:+~= -]{1,100}", re.ASCII)
_LISTED_ID = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,100}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_.\[\]]{1,80}", re.ASCII)
_FINAL = (400, 402, 404, 409, 422)
_TOO_OFTEN = "api_request_limit_exceeded"
# Whatever status these come with, they say nothing about the request.
_PASSING = frozenset(
    {
        "db_connection_failure",
        "gateway_timeout",
        "internal_error",
        "internal_temporary_error",
        "third_party_api_limit_exceeded",
    }
)
_CREDENTIALS: Mapping[str, str] = {
    "api_authentication_failed": "Chargebee does not accept the API key.",
    "api_authorization_failed": "Chargebee accepts the API key, but not for this: it needs a full-access key.",
    "basic_authentication_failed": "Chargebee does not accept the API key.",
    "request_blocked": "Chargebee has blocked the API of this site, or this address.",
    "site_not_found": "Chargebee has no such site.",
    "site_not_ready": "The Chargebee site is not ready.",
}


class Refused(ProviderRefused):
    """A final no, with what Chargebee calls it."""

    def __init__(self, user_message: str, reason: str, *, code: str, param: str) -> None:
        super().__init__(user_message, reason)
        self.code = code
        self.param = param


class _NotAnswered(ProviderUnavailable):
    """A question that it understands, and does not answer on this site."""


class Wire:
    """One site's API."""

    def __init__(self, http: OutboundHttp, address: str, api_key: str) -> None:
        self._http = http
        self._root = f"{address.rstrip('/')}/api/v2"
        token = b64encode(f"{api_key}:".encode()).decode()
        self._headers = {"authorization": f"Basic {token}"}

    async def find(self, path: str) -> Document | None:
        """One thing; None where there is none."""
        return await self._read(path, ())

    async def get(self, path: str) -> Document:
        found = await self._read(path, ())
        if found is None:
            raise ProviderUnavailable("Chargebee knows nothing at an address where it should.")
        return found

    async def list(
        self, path: str, params: Params, *, most: int, is_optional: bool = False
    ) -> list[Document]:
        """What a list holds, page by page, up to `most`. An optional one is empty where the site does not have it."""
        found: list[Document] = []
        offset: tuple[tuple[str, str], ...] = ()
        for _ in range(MOST_PAGES):
            limit = ("limit", str(min(PAGE, most - len(found))))
            try:
                page = await self._read(path, (*params, limit, *offset))
            except (_NotAnswered, CredentialsRefused):
                if not is_optional:
                    raise
                return []
            entries = page.get("list") if page else None
            if page is None or not isinstance(entries, list):
                raise ProviderUnavailable("Chargebee's answer is not the list it should be.")
            found += [entry for entry in entries if isinstance(entry, dict)]
            following = page.get("next_offset")
            if not isinstance(following, str) or not following or not entries or len(found) >= most:
                break
            offset = (("offset", following),)
        return found[:most]

    async def estimate(self, path: str, params: Params) -> Document:
        """Ask what a change would come to. Changes nothing, takes no key. Raises Refused where it would be refused."""
        reply = await self._call("POST", path, body=_form(params), deadline_s=READ_S)
        answer = _judge(reply).get("estimate")
        if not isinstance(answer, dict):
            raise ProviderUnavailable("Chargebee's answer is not the estimate it should be.")
        return answer

    async def change(self, path: str, params: Params, *, key: str | None) -> Document:
        """Change something. Raises Refused for a final no."""
        headers = {"chargebee-idempotency-key": key} if key else {}
        return _judge(await self._call("POST", path, headers, body=_form(params), deadline_s=WRITE_S))

    async def _read(self, path: str, params: Params) -> Document | None:
        query = f"?{urlencode(params)}" if params else ""
        reply = await self._call("GET", path + query, deadline_s=READ_S)
        try:
            return _judge(reply)
        except Refused as refused:
            if reply.status == 404 and refused.code == "resource_not_found":
                return None
            raise _NotAnswered(f"Chargebee did not answer the question: {refused.reason}") from None

    async def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        deadline_s: float,
    ) -> Reply:
        sent = {**self._headers, **(headers or {})}
        if method == "POST":
            sent["content-type"] = "application/x-www-form-urlencoded"
        try:
            return await self._http.request(
                method, self._root + path, sent, body=body, deadline_s=deadline_s, max_bytes=MAX_BYTES
            )
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None


def is_id(text: str) -> bool:
    """Whether it may be the id of a customer or subscription, and be put into a path."""
    return _ID.fullmatch(text) is not None


def segment(identifier: str) -> str:
    return quote(identifier, safe="")


def any_of(field: str, ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """List filters: those with one of these ids, in as many parts as fit an address each.

    What cannot be an id is left out.
    """
    part: list[str] = []
    for each in dict.fromkeys(ids):
        if not _LISTED_ID.fullmatch(each):
            continue
        if part and (len(part) == PAGE or len(quote(json.dumps([*part, each]), safe="")) > _LONGEST_FILTER):
            yield f"{field}[in]", json.dumps(part)
            part = []
        part.append(each)
    if part:
        yield f"{field}[in]", json.dumps(part)


def _form(params: Params) -> bytes:
    return urlencode(params).encode()


def _judge(reply: Reply) -> Document:
    """The answer's object, or the error that it stands for."""
    answer = _object(reply)
    if reply.is_success and answer is not None:
        return answer
    code = _word(answer, "api_error_code")
    param = _word(answer, "param")
    if reply.status in (401, 403) or code in _CREDENTIALS:
        fallback = "Chargebee does not accept the API key." if reply.status == 401 else None
        raise CredentialsRefused(
            _CREDENTIALS.get(code, fallback or "Chargebee does not allow this to the API key.")
        )
    said = f"Chargebee answered {reply.status}{f' ({code})' if code else ''}."
    if reply.status == 429 or code == _TOO_OFTEN:
        raise RateLimited(said, retry_after=reply.retry_after)
    if reply.status == 409 and code and not code.startswith("invalid_state"):
        raise NotYet(said, retry_after=reply.retry_after)
    if reply.status not in _FINAL or not code or code in _PASSING:
        raise ProviderUnavailable(said, retry_after=reply.retry_after)
    is_payment = _word(answer, "type") == "payment"
    raise Refused(
        NO_PAYMENT if is_payment else NOT_ALLOWED,
        f"Chargebee refused: {f'{code}, {param}' if param else code} (HTTP {reply.status}).",
        code=code,
        param=param,
    )


def _object(reply: Reply) -> dict[str, Any] | None:
    try:
        value = reply.json()
    except OutboundError:
        return None
    return value if isinstance(value, dict) else None


def _word(answer: Document | None, name: str) -> str:
    """A code or a parameter's name; nothing that could be a sentence, which may tell of a customer."""
    value = (answer or {}).get(name)
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""
