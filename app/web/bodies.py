"""Reads a request's body within a bound, whether its length was announced or not. Knows no format."""

import asyncio
from email.message import Message
from typing import Any, TypeAlias

from litestar import Request

from app.core.errors import AppError, MalformedRequest, PayloadTooLarge

AnyRequest: TypeAlias = Request[Any, Any, Any]

DEADLINE_S = 10  # for the whole of it: a byte a minute would hold its connection for days
LONGEST_MEDIA_TYPE = 255  # the standard library reads parameters in quadratic time


class ClientWentAway(MalformedRequest):
    code = "client_went_away"
    user_message = "The request ended before all of it had arrived."


class BodyTooSlow(AppError):
    code = "request_timeout"
    status = 408
    user_message = f"The body of the request did not arrive within {DEADLINE_S} seconds. Send it again."


async def read_body(request: AnyRequest, max_bytes: int, *, deadline_s: float = DEADLINE_S) -> bytes:
    """Return the whole body; raises PayloadTooLarge as soon as it is known to be over `max_bytes`, and BodyTooSlow
    when all of it is not there in time.

    Reads the ASGI channel itself: Litestar's own reader holds a body against the application's limit alone.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 12 or int(announced) > max_bytes):
        raise PayloadTooLarge
    try:
        async with asyncio.timeout(deadline_s):
            return await _read(request, max_bytes)
    except TimeoutError:
        raise BodyTooSlow from None


async def _read(request: AnyRequest, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientWentAway
        body += message["body"]
        if len(body) > max_bytes:
            raise PayloadTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def media_type(request: AnyRequest) -> tuple[str, str]:
    """Return the body's media type and charset, lower case, "" where not said or too long to be one."""
    said = request.headers.get("content-type", "")
    if not said or len(said) > LONGEST_MEDIA_TYPE:
        return "", ""
    header = Message()
    header["content-type"] = said
    return header.get_content_type(), str(header.get_param("charset", "")).lower()
