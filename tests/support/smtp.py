"""A real mail server on a loopback port, in a thread of its own: for tests that wait, and for those that await.

It takes mail into its inbox until a test tells it to refuse, to hang, to close or to talk nonsense.
"""

import asyncio
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.settings import Settings, Smtp
from tests.support import server
from tests.support.authority import Authority, new_authority

SENDER = "leave@northwind.example"
START_WITHIN_S = 10.0
ANSWER_WITHIN_S = 20.0


class Tls(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    AT_ONCE = "tls"


class Moment(StrEnum):
    """When the server is about to answer: a new connection, a command, the message itself."""

    CONNECT = "CONNECT"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    MESSAGE = "MESSAGE"
    QUIT = "QUIT"


@dataclass(frozen=True, slots=True)
class Received:
    """One mail that was taken, as it came."""

    sender: str
    recipient: str
    message: EmailMessage
    raw: bytes
    options: tuple[str, ...]  # of MAIL FROM
    user: str | None  # who was logged in
    is_encrypted: bool


# Does something in place of the usual answer. Returns whether it did; else the server goes on as it would.
Trouble = Callable[["_Connection"], Awaitable[bool]]


@dataclass
class SmtpServer:
    """Where it listens, what it took, and how it is to behave from now on. Safe to use from any thread."""

    tls: Tls
    auth: tuple[str, str] | None
    authority: Authority
    port: int
    inbox: list[Received] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)  # commands, and CONNECT and MESSAGE
    greeted_as: list[str] = field(default_factory=list)  # names that clients gave with EHLO
    _refused: dict[str, str] = field(default_factory=dict)
    _postponed: int = 0
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _accepting: Callable[[Received], None] | None = None
    _answered: Callable[[Received], None] | None = None
    _guests: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """The SMTP_URL for it."""
        return self.url_with()

    def url_with(self, **options: str) -> str:
        """The same with options such as `timeout="1"` put in; an empty one is left out, as in `ca=""`."""
        scheme = "smtps" if self.tls is Tls.AT_ONCE else "smtp"
        login = f"{':'.join(quote(part, safe='') for part in self.auth)}@" if self.auth else ""
        security = {"tls": "none"} if self.tls is Tls.NONE else {"ca": str(self.authority.file)}
        given = {"from": SENDER, **security, **options}
        query = "&".join(f"{name}={quote(text, safe='')}" for name, text in given.items() if text)
        return f"{scheme}://{login}127.0.0.1:{self.port}?{query}"

    def settings(self, **options: str) -> Smtp:
        """What the server reads out of such a URL."""
        smtp = Settings.from_env({"LEAVEWELL_DEMO": "1", "SMTP_URL": self.url_with(**options)}).smtp
        assert smtp is not None
        return smtp

    def wait_until_at(self, moment: Moment | str) -> None:
        """Until some client has come that far."""
        with self._news:
            assert self._news.wait_for(lambda: self.seen[moment], ANSWER_WITHIN_S), (
                f"no client came to {moment}"
            )

    def wait_until_left(self) -> None:
        """Until no client is connected any more."""
        with self._news:
            assert self._news.wait_for(lambda: not self._guests, ANSWER_WITHIN_S), "a client holds on"

    def wait_for(self, count: int) -> list[Received]:
        """The inbox as soon as it holds that many; for mail that another process or thread sends."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.inbox) >= count, ANSWER_WITHIN_S), self.inbox
            return list(self.inbox)

    # --- How it behaves ---

    def refuse(self, address: str, code: int = 550, text: str = "5.1.1 No such user here") -> None:
        """Answer RCPT for this address so, each time."""
        self._refused[address] = f"{code} {text}"

    def greylist(self, times: int = 1) -> None:
        """Put the next so many recipients off: 451."""
        self._postponed = times

    def answer(self, moment: Moment | str, reply: str) -> None:
        """Give this answer at that moment, each time, and do nothing else."""
        self._troubles[moment] = partial(_say, f"{reply}\r\n".encode())

    def babble(self, moment: Moment | str, raw: bytes, *, forever: bool = False) -> None:
        """Send these very bytes in place of the answer, once or without end."""
        self._troubles[moment] = partial(_pour if forever else _say, raw)

    def hang(self, moment: Moment | str = Moment.MESSAGE) -> None:
        """Never answer at that moment."""
        self._troubles[moment] = _wait_for_ever

    def drip(self, moment: Moment | str) -> None:
        """Answer there without end, a byte at a time: no single read takes long."""
        self._troubles[moment] = _drip

    def close_in_the_middle(self, moment: Moment | str = Moment.MESSAGE) -> None:
        """Close the connection in place of that answer."""
        self._troubles[moment] = _close

    def behave(self) -> None:
        """From now on do as a mail server should."""
        self._refused.clear()
        self._troubles.clear()
        self._postponed = 0
        self._accepting = self._answered = None

    def after_accept(self, callback: Callable[[Received], None], *, answered: bool = False) -> None:
        """Call this, in the server's thread, with each mail that is in the inbox, before the client is told so.

        With `answered`: just after it was told.
        """
        if answered:
            self._answered = callback
        else:
            self._accepting = callback

    # --- What the server's thread does ---

    def _see(self, moment: str) -> None:
        with self._news:
            self.seen[moment] += 1
            self._news.notify_all()

    def _count(self, guests: int) -> None:
        with self._news:
            self._guests += guests
            self._news.notify_all()

    def _verdict(self, address: str) -> str | None:
        if self._postponed > 0:
            self._postponed -= 1
            return "451 4.7.1 Greylisted, please try again later"
        return self._refused.get(address)

    def _take(self, received: Received) -> None:
        with self._news:
            self.inbox.append(received)
            self._news.notify_all()
        if self._accepting is not None:
            self._accepting(received)

    def _told(self, received: Received) -> None:
        if self._answered is not None:
            self._answered(received)


@contextmanager
def smtp_server(
    *,
    tls: Tls | str = Tls.NONE,
    auth: tuple[str, str] | None = None,
    names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    smtputf8: bool = True,
    port: int = 0,
) -> Iterator[SmtpServer]:
    """Serve, on a free port unless one is named, until the block ends. With `auth` only who logs in so may send.

    `names` are those in its certificate, which a private authority of its own has signed.
    """
    with tempfile.TemporaryDirectory(prefix="leavewell-smtp-") as folder, server.listen(port) as listener:
        described = SmtpServer(
            tls=Tls(tls),
            auth=auth,
            authority=new_authority(Path(folder)),
            port=listener.getsockname()[1],
        )
        context = None if described.tls is Tls.NONE else described.authority.server_tls(*names)
        running = _Running(described, context, smtputf8=smtputf8)
        thread = threading.Thread(target=running.run, args=(listener,), name="smtp", daemon=True)
        thread.start()
        try:
            assert running.is_ready.wait(START_WITHIN_S), "the mail server did not start"
            yield described
        finally:
            running.stop()
            thread.join(ANSWER_WITHIN_S)


class _Running:
    """The server's own loop."""

    def __init__(self, described: SmtpServer, context: ssl.SSLContext | None, *, smtputf8: bool) -> None:
        self.is_ready = threading.Event()
        self._described = described
        self._context = context
        self._smtputf8 = smtputf8
        self._connections: set[_Connection] = set()

    def run(self, listener: Any) -> None:
        asyncio.run(self._serve(listener))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self, listener: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        at_once = self._context if self._described.tls is Tls.AT_ONCE else None
        serving = await self._loop.create_server(self._meet, sock=listener, ssl=at_once)
        self.is_ready.set()
        await self._end.wait()
        serving.close()
        for connection in self._connections:
            connection.drop()

    def _meet(self) -> "_Connection":
        later = self._context if self._described.tls is Tls.STARTTLS else None
        connection = _Connection(self._described, self._loop, later, smtputf8=self._smtputf8)
        self._connections.add(connection)
        return connection


class _Connection(SMTP):
    """aiosmtpd's server, which asks at each moment whether it is to misbehave."""

    def __init__(
        self,
        described: SmtpServer,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None,
        *,
        smtputf8: bool,
    ) -> None:
        self.described = described
        self.last: Received | None = None
        self.has_said = False
        self.is_met = False
        super().__init__(
            _Handler(described),
            hostname="mail.northwind.example",
            ident="test",
            tls_context=context,
            auth_require_tls=described.tls is Tls.STARTTLS,
            authenticator=self._check,
            enable_SMTPUTF8=smtputf8,
            loop=loop,
        )
        if described.auth is None:
            self._auth_methods.clear()
        self._smtp_methods = {
            name: partial(self._meet, name, method) for name, method in self._smtp_methods.items()
        }

    def say(self, raw: bytes) -> None:
        self._writer.write(raw)

    async def push(self, status: str | bytes) -> None:
        if self.has_said:  # in its trouble it has answered already
            self.has_said = False
        else:
            await super().push(status)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self.is_met:
            self.is_met = False
            self.described._count(-1)

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined] - every transport of asyncio can

    async def is_in_trouble(self, moment: str) -> bool:
        self.described._see(moment)
        trouble = self.described._troubles.get(moment)
        return trouble is not None and await trouble(self)

    async def _handle_client(self) -> None:
        self.is_met = True
        self.described._count(+1)
        try:
            if await self.is_in_trouble(Moment.CONNECT):
                return
        except asyncio.CancelledError:  # the client has left
            self._writer.close()
            raise
        await super()._handle_client()

    async def _meet(self, name: str, method: Callable[[str], Awaitable[None]], argument: str) -> None:
        if await self.is_in_trouble(name):
            return
        if name == Moment.EHLO:
            self.described.greeted_as.append(argument)
        if name == Moment.MAIL and self.described.auth is not None and not self._is_known():
            await self.push("530 5.7.0 Authentication required")
            return
        await method(argument)
        if name == Moment.DATA and self.last is not None:
            told, self.last = self.last, None
            self.described._told(told)

    def _is_known(self) -> bool:
        return bool(self.session is not None and self.session.authenticated)

    def _check(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if not isinstance(data, LoginPassword) or self.described.auth is None:
            return AuthResult(success=False, handled=False)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.described.auth, handled=False, auth_data=given[0])


class _Handler:
    """aiosmtpd's hooks: who is refused, and where mail goes."""

    def __init__(self, described: SmtpServer) -> None:
        self._described = described

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: _Connection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        verdict = self._described._verdict(address)
        if verdict is None:
            envelope.rcpt_tos.append(address)
        return verdict or "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: _Connection, session: Session, envelope: Envelope
    ) -> str:
        if await server.is_in_trouble(Moment.MESSAGE):
            server.has_said = True
            return ""
        raw = envelope.original_content or b""
        for recipient in envelope.rcpt_tos:
            server.last = Received(
                sender=str(envelope.mail_from),
                recipient=str(recipient),
                message=message_from_bytes(raw, policy=policy.default),  # type: ignore[arg-type] - makes EmailMessages
                raw=raw,
                options=tuple(envelope.mail_options),
                user=str(session.auth_data) if session.authenticated else None,
                is_encrypted=session.ssl is not None or server.described.tls is Tls.AT_ONCE,
            )
            self._described._take(server.last)
        return "250 2.0.0 Taken"


# --- Troubles ---


async def _say(raw: bytes, connection: _Connection) -> bool:
    connection.say(raw)
    return True


async def _pour(raw: bytes, connection: _Connection) -> bool:
    while connection.transport is not None and not connection.transport.is_closing():
        connection.say(raw)
        await connection._writer.drain()
        await asyncio.sleep(0)
    return True


async def _drip(connection: _Connection) -> bool:
    while connection.transport is not None and not connection.transport.is_closing():
        connection.say(b"2")
        await asyncio.sleep(0.01)
    return True


async def _wait_for_ever(connection: _Connection) -> bool:
    await asyncio.Event().wait()
    return True


async def _close(connection: _Connection) -> bool:
    connection.drop()
    return True
