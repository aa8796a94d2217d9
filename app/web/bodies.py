"""Reads a request's body within a bound, whether its length was announced or not. Knows no format."""

from email.message import Message
from typing import Any, TypeAlias

from litestar import Request

from app.core.errors import MalformedRequest, PayloadTooLarge

AnyRequest: TypeAlias = Request[Any, Any, Any]

LONGEST_MEDIA_TYPE = 255  # the standard library reads parameters in quadratic time


class ClientWentAway(MalformedRequest):
    code = "client_went_away"
    user_message = "The request ended before all of it had arrived."


async def read_body(request: AnyRequest, max_bytes: int) -> bytes:
    """Return the whole body; raises PayloadTooLarge as soon as it is known to be over `max_bytes`.

    Reads the ASGI channel itself: Litestar's own reader holds a body against the application's limit alone.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 12 or int(announced) > max_bytes):
        raise PayloadTooLarge
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
