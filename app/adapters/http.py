"""The one door for calls to addresses that somebody else chose: deadlines, caps, public addresses only.

No redirects, cookies, proxies or decompression: httpcore has none of them. No other module may open a
connection to a URL from a setting or a form.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address
from socket import SOCK_STREAM, gaierror, getaddrinfo
from typing import Any

import anyio
import httpcore

from app.adapters.addresses import BadUrl, Network, Target, is_allowed, parse_url, unwrap
from app.adapters.tls import client_tls

DEFAULT_MAX_BYTES = 65_536
MOST_CALLS = 200
_MOST_IDLE = 40
_IDLE_S = 20.0
_MOST_ADDRESSES = 4
_ATTEMPT_S = 0.4  # how long one address may keep the next one waiting
_RESOLVER_THREADS = 8  # a name server that hangs must not take the process's other threads with it

_CUT_OFF = re.compile(
    "disconnected|closed connection"
)  # httpcore's and h11's words; they have no type for it
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class Reason(StrEnum):
    """Why a call brought no answer. Recorded and shown to the merchant, never to the customer."""

    BAD_URL = "bad_url"
    UNRESOLVED = "unresolved"
    PRIVATE_ADDRESS = "private_address"
    REFUSED = "refused"
    CONNECTION = "connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    COMPRESSED = "compressed"
    NOT_HTTP = "not_http"
    NOT_JSON = "not_json"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    Reason.BAD_URL: "The URL cannot be called.",
    Reason.UNRESOLVED: "The host name was not found.",
    Reason.PRIVATE_ADDRESS: "The host is not on the public internet, and its network is not in "
    "LEAVEWELL_ALLOWED_NETWORKS. Plain http:// is spoken to allowed networks only.",
    Reason.REFUSED: "The server refused the connection.",
    Reason.CONNECTION: "The connection broke off before the answer was complete.",
    Reason.TLS: "No secure connection could be made; check the server's certificate.",
    Reason.TIMEOUT: "There was no complete answer in time.",
    Reason.REDIRECT: "The server answered with a redirect. Redirects are not followed; enter the final URL.",
    Reason.TOO_LARGE: "The answer was larger than allowed.",
    Reason.COMPRESSED: "The answer was compressed although the request asked for it plain.",
    Reason.NOT_HTTP: "The answer was not valid HTTP.",
    Reason.NOT_JSON: "The answer was not valid JSON.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer that is no redirect, whatever its status. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> object:
        """The body's value; raises OutboundError(NOT_JSON), also for text that no database can keep."""
        try:
            value: object = json.loads(self.body, parse_constant=_refuse_constant)
            if rb"\u" in self.body:  # such escapes can be lone surrogates and NUL, which databases refuse
                text = json.dumps(value, ensure_ascii=False)
                if _NUL.search(text):
                    raise ValueError("NUL")
                text.encode()
        except (ValueError, RecursionError):  # nesting without end
            raise OutboundError(Reason.NOT_JSON) from None
        return value

    @property
    def retry_after(self) -> float | None:
        """Seconds from a `Retry-After` header, if it names seconds (a date would need a clock)."""
        seconds = self.headers.get("retry-after", "")
        return float(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 7 else None


class OutboundError(Exception):
    """A call brought no usable answer. It may have reached the other side all the same.

    `reply` is what had come of an answer that is not accepted: its head, and the body as far as it was read.
    """

    def __init__(self, reason: Reason, detail: str = "", *, reply: Reply | None = None) -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason
        self.sentence = detail or reason.sentence
        self.reply = reply


class OutboundHttp:
    """Calls URLs that merchants configured.

    Only public addresses are dialled, and those in `allowed_networks`; plain http goes to the latter alone.
    The resolved address is checked at the moment of dialling, and that very address is dialled, so a name
    that resolves differently the second time gains nothing. Connections are reused; `aclose` ends them.
    """

    def __init__(
        self,
        allowed_networks: Iterable[Network] = (),
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        most_calls: int = MOST_CALLS,
    ) -> None:
        self._calls = asyncio.Semaphore(most_calls)
        self._allowed = tuple(allowed_networks)
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve")
        self._resolve = resolver or self._resolve_by_system
        self._tls = tls

    async def post_json(
        self,
        url: str,
        payload: object,
        headers: Mapping[str, str] | None = None,
        *,
        deadline_s: float,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Reply:
        """POST a value as JSON; bytes go out as they are (what is sent must be what was signed)."""
        body = payload if isinstance(payload, bytes) else dump_json(payload)
        headers = {"content-type": "application/json", **(headers or {})}
        return await self.request("POST", url, headers, body=body, deadline_s=deadline_s, max_bytes=max_bytes)

    async def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        deadline_s: float,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Reply:
        return await self.request("GET", url, headers, deadline_s=deadline_s, max_bytes=max_bytes)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        deadline_s: float,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Reply:
        """Make one call and return its whole answer; raises OutboundError.

        The deadline covers everything from the name's look-up to the body's last byte.
        """
        try:
            target = parse_url(url)
        except BadUrl as error:
            raise OutboundError(Reason.BAD_URL, str(error)) from None
        request = _build_request(method, target, headers or {}, body)
        try:
            # Not asyncio.timeout: only anyio's cancellation leaves httpcore the time to tidy its pool.
            with anyio.fail_after(deadline_s):
                async with self._calls:
                    return await _exchange(self._pool(target.scheme), request, max_bytes)
        except (TimeoutError, httpcore.TimeoutException):
            raise OutboundError(Reason.TIMEOUT) from None
        except httpcore.RemoteProtocolError as error:
            raise OutboundError(
                Reason.CONNECTION if _CUT_OFF.search(str(error)) else Reason.NOT_HTTP
            ) from None
        except httpcore.LocalProtocolError:
            raise OutboundError(Reason.BAD_URL, "The request's headers cannot be sent.") from None
        except httpcore.NetworkError as error:
            raise OutboundError(_reason_of(error)) from None

    async def aclose(self) -> None:
        """Close the idle connections; calls under way fail."""
        for scheme in ("https", "http"):
            pool = self.__dict__.get(f"_{scheme}_pool")
            if pool is not None:
                await pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pool(self, scheme: str) -> httpcore.AsyncConnectionPool:
        return self._https_pool if scheme == "https" else self._http_pool

    @cached_property
    def _https_pool(self) -> httpcore.AsyncConnectionPool:
        backend = GuardedBackend(self._resolve, self._allowed, public=True)
        return _open_pool(backend, self._tls or client_tls())

    @cached_property
    def _http_pool(self) -> httpcore.AsyncConnectionPool:
        return _open_pool(GuardedBackend(self._resolve, self._allowed, public=False), None)

    async def _resolve_by_system(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _look_up, host, port)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, refuses what may not be dialled, and dials the very address it judged.

    TLS starts above this floor with the host's name, so certificates are checked against the name as usual.
    """

    def __init__(self, resolve: Resolver, allowed: Sequence[Network], *, public: bool) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._public = public
        self._dialler = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._admissible(host, port)
        dial = self._dialler.connect_tcp
        for address in addresses[:-1]:
            try:
                return _Stream(await dial(address, port, _ATTEMPT_S, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _Stream(await dial(addresses[-1], port, timeout, local_address, socket_options))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundError(Reason.PRIVATE_ADDRESS)

    async def _admissible(self, host: str, port: int) -> list[str]:
        try:
            found = [host] if _is_ip(host) else await self._resolve(host, port)
        except (gaierror, UnicodeError):
            raise OutboundError(Reason.UNRESOLVED) from None
        if not found:
            raise OutboundError(Reason.UNRESOLVED)
        addresses = [unwrap(ip_address(text)) for text in found]
        admitted = [a for a in addresses if is_allowed(a, allowed=self._allowed, public=self._public)]
        if not admitted:
            raise OutboundError(Reason.PRIVATE_ADDRESS)
        return [str(address) for address in dict.fromkeys(admitted)][:_MOST_ADDRESSES]


class _Stream(httpcore.AsyncNetworkStream):
    """A dialled connection that is closed too when the deadline falls into its TLS handshake."""

    def __init__(self, dialled: httpcore.AsyncNetworkStream) -> None:
        self._dialled = dialled

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        return await self._dialled.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        await self._dialled.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._dialled.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._dialled.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._dialled.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._dialled.aclose()
            raise


def dump_json(value: object) -> bytes:
    """The compact UTF-8 JSON that we send and sign."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


async def _exchange(pool: httpcore.AsyncConnectionPool, request: httpcore.Request, max_bytes: int) -> Reply:
    response = await pool.handle_async_request(request)
    try:
        headers = {k.lower().decode("latin-1"): v.decode("latin-1") for k, v in response.headers}
        head = Reply(response.status, headers, b"")
        if 300 <= response.status < 400:
            raise OutboundError(Reason.REDIRECT, reply=head)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise OutboundError(Reason.COMPRESSED, reply=head)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > max_bytes:
            raise OutboundError(Reason.TOO_LARGE, reply=head)
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise OutboundError(
                    Reason.TOO_LARGE, reply=Reply(response.status, headers, bytes(body[:max_bytes]))
                )
    finally:
        await response.aclose()
    return Reply(response.status, headers, bytes(body))


def _build_request(method: str, target: Target, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
    fields = {
        "host": target.authority,
        "user-agent": "Leavewell",
        "accept": "application/json",
        "accept-encoding": "identity",  # nothing is decompressed, so no small answer becomes a large one
        **({"content-length": str(len(body))} if body or method != "GET" else {}),
        **{name.lower(): value for name, value in headers.items()},
    }
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    return httpcore.Request(method, url, headers=list(fields.items()), content=body)


def _open_pool(backend: GuardedBackend, tls: ssl.SSLContext | None) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=tls,
        max_connections=None,  # the semaphore bounds them: a call that waits inside this pool can lose its place
        max_keepalive_connections=_MOST_IDLE,
        keepalive_expiry=_IDLE_S,
        network_backend=backend,
    )


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in getaddrinfo(host, port, type=SOCK_STREAM)]


def _reason_of(error: httpcore.NetworkError) -> Reason:
    """httpcore keeps what really happened as its error's first argument."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLError):
        return Reason.TLS
    return Reason.REFUSED if isinstance(error, httpcore.ConnectError) else Reason.CONNECTION


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
