"""Makes one try at a delivery and says what came of it. Writes nothing down."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from app.adapters.http import DEFAULT_MAX_BYTES, OutboundError, OutboundHttp, Reason, Reply
from app.webhooks.messages import Message

DEADLINE_S: Final = 15.0
KEPT_BODY: Final = 1024
KEPT_VALUE: Final = 300
KEPT_HEADERS: Final = (
    "content-type",
    "content-length",
    "date",
    "location",
    "retry-after",
    "server",
    "x-request-id",
)

# An answer that was not read to its end is an answer all the same: its head says whether the message was taken.
_UNREAD: Final = frozenset({Reason.TOO_LARGE, Reason.COMPRESSED})


@dataclass(frozen=True, slots=True)
class Tried:
    """One try. `failure` is None where the message was taken. What is kept of an answer is clean text."""

    at: datetime
    latency_ms: int
    url: str
    request_headers: Mapping[str, str]
    status: int | None = None
    response_headers: Mapping[str, str] | None = None
    response_body: str | None = None
    failure: str | None = None
    retry_after_s: float | None = None

    @property
    def ended_at(self) -> datetime:
        """When the answer had come, or was waited for no longer."""
        return _ended_at(self.at, self.latency_ms)

    @property
    def is_gone(self) -> bool:
        """The receiver wants no more of them, ever."""
        return self.status == HTTPStatus.GONE


async def send(http: OutboundHttp, url: str, message: Message, *, at: datetime) -> Tried:
    """Raises nothing that the other side could bring about."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    reply: Reply | None
    try:
        reply, failure = (
            await http.post_json(
                url, message.body, message.headers, deadline_s=DEADLINE_S, max_bytes=DEFAULT_MAX_BYTES
            ),
            None,
        )
    except OutboundError as error:
        reply, failure = error.reply, error.sentence
        if reply is not None and error.reason in _UNREAD:
            failure = None
    latency_ms = round((loop.time() - begun) * 1000)
    if reply is None:
        return Tried(at, latency_ms, url, message.logged, failure=failure)
    if failure is None and not reply.is_success:
        failure = f"It answered {_named(reply.status)}."
    return Tried(
        at,
        latency_ms,
        url,
        message.logged,
        status=reply.status,
        response_headers={
            name: clean(reply.headers[name])[:KEPT_VALUE] for name in KEPT_HEADERS if name in reply.headers
        },
        response_body=clean(reply.body[:KEPT_BODY].decode("utf-8", "replace")),
        failure=failure,
        retry_after_s=retry_after_s(reply, _ended_at(at, latency_ms)),
    )


def retry_after_s(reply: Reply, now: datetime) -> float | None:
    """How long the answer that has just come asks us to wait: seconds, or until a date (RFC 9110, 10.2.3)."""
    if reply.retry_after is not None:
        return reply.retry_after
    try:
        until = parsedate_to_datetime(reply.headers.get("retry-after", ""))
    except (ValueError, OverflowError):  # the latter where a figure is larger than any date has
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())


def clean(text: str) -> str:
    """Text that every database keeps and no terminal obeys."""
    return "".join(mark if mark.isprintable() or mark in "\n\t" else "�" for mark in text)


def _ended_at(at: datetime, latency_ms: int) -> datetime:
    return at + timedelta(milliseconds=latency_ms)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
