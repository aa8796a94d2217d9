"""A merchant's webhook endpoint on a loopback port: keeps what it is sent, and answers as it is told."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec
from litestar.types import Receive, Scope, Send

from tests.support import server

HOLDS_AT_MOST_S = 60.0


@dataclass(frozen=True, slots=True)
class Got:
    """One message, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


@dataclass
class Receiver:
    """`then` answers one message each; what comes after them gets `usual`. While `hold` is set, nobody is answered."""

    url: str = ""
    usual: Answer = Answer()
    then: deque[Answer] = field(default_factory=deque)
    inbox: list[Got] = field(default_factory=list)
    on_message: Callable[[Got], None] | None = None
    after_answer: Callable[[], None] | None = None
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.let_go.set()

    def hold(self) -> None:
        """Take messages and answer none until `release`."""
        self.let_go.clear()

    def release(self) -> None:
        self.let_go.set()

    def answer(self, *statuses: int, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.then += [Answer(status, named) for status in statuses]

    @property
    def ids(self) -> list[str]:
        return [got.id for got in self.inbox]

    @property
    def types(self) -> list[str]:
        return [got.json()["type"] for got in self.inbox]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]  # Litestar types requests only
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        got = Got(
            scope["path"],
            {name.decode(): value.decode() for name, value in scope["headers"]},
            await _body(receive),
        )
        self.inbox.append(got)
        self.arrived.release()
        if self.on_message is not None:
            self.on_message(got)
        await anyio.to_thread.run_sync(self.let_go.wait, HOLDS_AT_MOST_S, abandon_on_cancel=True)
        answer = self.then.popleft() if self.then else self.usual
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        if self.after_answer is not None:
            self.after_answer()


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver()
    with server.served(receiver, server.listen(port)) as receiver.url:
        try:
            yield receiver
        finally:
            receiver.release()


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
