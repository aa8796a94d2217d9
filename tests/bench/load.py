"""Asks a server over kept-alive loopback connections, in a closed loop: each connection asks, waits, asks again."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float


@dataclass(frozen=True, slots=True)
class Burst:
    """What one closed loop measured."""

    took_s: float
    latencies_s: tuple[float, ...]

    @property
    def cost_s(self) -> float:
        """Time per request, the server being busy all the while."""
        return self.took_s / len(self.latencies_s)


class UnexpectedAnswer(Exception):
    """The server did something else than what was to be measured."""


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request as bytes, made before the clock starts."""
    fields = {"host": "127.0.0.1", "accept-encoding": "gzip", **(headers or {})}
    if body or method == "POST":
        fields["content-length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def form(path: str, headers: Mapping[str, str], fields: Mapping[str, str]) -> bytes:
    """A form as a browser posts it."""
    sent = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", **headers}
    return request("POST", path, sent, urlencode(fields).encode())


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiter: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or self._waiter is None:
            return
        length = _length(head)
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._waiter.set_result((head, rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(UnexpectedAnswer("the server closed the connection"))

    async def ask(self, raw: bytes) -> Answer:
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self._transport.write(raw)
        head, body = await self._waiter
        took = time.perf_counter() - started
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(status_line.split()[1]), headers, body, took)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def ask(port: int, raw: bytes) -> Answer:
    """One request on a connection of its own."""
    connection = await connect(port)
    try:
        return await connection.ask(raw)
    finally:
        connection.close()


async def burst(port: int, requests: Sequence[bytes], *, connections: int, expect: int) -> Burst:
    """Send the requests, each once, over so many connections. Raises UnexpectedAnswer for any other status."""
    opened = [await connect(port) for _ in range(connections)]
    queue = iter(requests)
    try:
        started = time.perf_counter()
        shares = await asyncio.gather(*(_drain(connection, queue, expect) for connection in opened))
        took = time.perf_counter() - started
    finally:
        for connection in opened:
            connection.close()
    return Burst(took, tuple(latency for share in shares for latency in share))


async def _drain(connection: Connection, queue: Iterator[bytes], expect: int) -> list[float]:
    latencies = []
    for raw in queue:
        answer = await connection.ask(raw)
        if answer.status != expect:
            asked = raw.split(b"\r\n", 1)[0].decode()[:60]
            raise UnexpectedAnswer(f"{asked}… was answered {answer.status}: {answer.body[:300]!r}")
        latencies.append(answer.took_s)
    return latencies


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
