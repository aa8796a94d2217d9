"""Runs Braintree's own library in threads of its own, and carries its requests out on the event loop.

The library is synchronous and opens connections by itself; here it opens none. Nothing of it leaves this package.
"""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar
from xml.parsers.expat import ExpatError

import anyio

from app.adapters.http import OutboundError, OutboundHttp, Reason, Reply
from app.core.billing import CredentialsRefused, ProviderUnavailable, RateLimited

with warnings.catch_warnings():
    # As it loads, the library uses a name that it has itself deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import braintree
    from braintree.exceptions.braintree_error import BraintreeError
    from braintree.exceptions.not_found_error import NotFoundError

READ_S: Final = 4.0
WRITE_S: Final = 15.0
MAX_BYTES: Final = (
    2_097_152  # a customer comes with all payment methods, their subscriptions and transactions
)
NOT_UNDERSTOOD: Final = "Braintree's answer was not understood."

# Each waits for the event loop most of the time. One that hangs is free again at its deadline.
_THREADS: Final = ThreadPoolExecutor(32, thread_name_prefix="braintree")
_GRACE_S: Final = 1.0  # for the loop to report that the deadline has passed
UNREADABLE: Final = (  # what the library raises at answers that it did not expect
    BraintreeError,
    ExpatError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

T = TypeVar("T")
Gateway = Any  # braintree.BraintreeGateway; the library has no types


class Errand:
    """One piece of work with the library, until a deadline; at once the `http_strategy` of its one gateway.

    `loop` carries the requests; `do` runs in a thread, `abandon` ends its waiting from outside.
    """

    def __init__(
        self,
        config: Mapping[str, str],
        http: OutboundHttp,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
    ) -> None:
        self._config = config
        self._http = http
        self._root = config.get("api_base", "").rstrip("/")
        self._deadline = time.monotonic() + deadline_s
        self._loop = loop
        self._lock = threading.Lock()
        self._under_way: Future[Reply] | None = None
        self._is_abandoned = False

    def do(self, work: Callable[[Gateway], T]) -> T:
        """Whatever `work` makes of the gateway. Raises ProviderError, nothing of the library's."""
        try:
            return work(gateway(self._config, self))
        except NotFoundError:
            raise ProviderUnavailable("Braintree does not know the address; check the merchant ID.") from None
        except UNREADABLE:
            raise ProviderUnavailable(NOT_UNDERSTOOD) from None

    def abandon(self) -> None:
        """Nobody waits for it any more: the request under way is given up, and no other begins."""
        with self._lock:
            self._is_abandoned = True
            if self._under_way is not None:
                self._under_way.cancel()

    def http_do(
        self, verb: str, url: str, headers: Mapping[str, str | bytes], body: str | bytes
    ) -> tuple[int, str]:
        """The library's seam: make one request, answer with status and text."""
        fields = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in headers.items()
            if name.lower() != "accept-encoding"  # it asks for gzip, and nothing is decompressed here
        }
        content = body.encode() if isinstance(body, str) else body
        reply = self._carry_out(verb, self._address(url), fields, content)
        text = _readable(reply)
        if reply.status != 404 and url.endswith("/plans/") and "<plans" not in text:
            # The library would take it for no plans at all.
            raise ProviderUnavailable(NOT_UNDERSTOOD)
        return reply.status, text

    def _address(self, url: str) -> str:
        base = braintree.Environment.All[self._config["environment"]].base_url
        return self._root + url.removeprefix(base) if self._root else url

    def _carry_out(self, verb: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ProviderUnavailable(Reason.TIMEOUT.sentence)
        request = self._http.request(verb, url, headers, body=body, deadline_s=left, max_bytes=MAX_BYTES)
        with self._lock:
            if self._is_abandoned or self._loop.is_closed():
                request.close()
                raise ProviderUnavailable(Reason.TIMEOUT.sentence)
            call = self._under_way = asyncio.run_coroutine_threadsafe(request, self._loop)
        try:
            return call.result(timeout=left + _GRACE_S)
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None
        except (CancelledError, TimeoutError):
            call.cancel()
            raise ProviderUnavailable(Reason.TIMEOUT.sentence) from None


def gateway(config: Mapping[str, str], strategy: object) -> Gateway:
    """A gateway of its own: the library's `configure` would set it up for the whole process."""
    return braintree.BraintreeGateway(
        braintree.Configuration(
            environment=config["environment"],
            merchant_id=config["merchant_id"],
            public_key=config["public_key"],
            private_key=config["private_key"],
            http_strategy=lambda _config, _environment: strategy,
        )
    )


async def run(
    config: Mapping[str, str], http: OutboundHttp, work: Callable[[Gateway], T], *, deadline_s: float
) -> T:
    """Do `work` in a thread; the deadline covers the waiting for one and all requests. Raises ProviderError."""
    loop = asyncio.get_running_loop()
    errand = Errand(config, http, loop, deadline_s)
    try:
        with anyio.fail_after(deadline_s + 2 * _GRACE_S):
            return await loop.run_in_executor(_THREADS, errand.do, work)
    except TimeoutError:
        raise ProviderUnavailable(Reason.TIMEOUT.sentence) from None
    finally:
        errand.abandon()


def email_is(email: str) -> Any:
    """The term of a search for customers."""
    return braintree.CustomerSearch.email == email


def as_subscription(gateway: Gateway, attributes: Mapping[str, Any]) -> Any:
    """What the library would have made of it."""
    return braintree.Subscription(gateway, attributes)


def found(search: Callable[[], T]) -> T | None:
    """What a look-up brings; None where the library says that there is no such thing."""
    try:
        return search()
    except NotFoundError:
        return None


def _readable(reply: Reply) -> str:
    """The body of an answer that the library is to see. A 404 has its meaning without one."""
    match reply.status:
        case 200 | 201 | 204 | 422:
            if b"<!DOCTYPE" in reply.body or b"<!ENTITY" in reply.body:
                raise ProviderUnavailable(NOT_UNDERSTOOD)  # no entities that grow
            return reply.body.decode()
        case 404:
            return ""
        case 401:
            raise CredentialsRefused(
                "Braintree does not know the keys for this merchant, or their user is not active."
            )
        case 403:
            raise CredentialsRefused(
                "The Braintree user whom the keys belong to has a role that does not permit this."
            )
        case 429:
            raise RateLimited("Braintree is asked too often.", retry_after=reply.retry_after)
        case status:
            raise ProviderUnavailable(f"Braintree answered {status}.", retry_after=reply.retry_after)
