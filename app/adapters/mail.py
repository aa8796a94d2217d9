"""The one door for mail: hands a finished message to the operator's mail server. Composes nothing, retries nothing."""

import asyncio
import email.policy
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import cached_property
from ipaddress import ip_address
from socket import IPPROTO_TCP, SOCK_STREAM, gaierror, getaddrinfo, socket
from typing import Any, Protocol, cast, runtime_checkable

import aiosmtplib
import idna
import structlog

from app.adapters.addresses import is_allowed, unwrap
from app.adapters.tls import client_tls
from app.core.email_address import is_address
from app.settings import Smtp, SmtpSecurity

MAX_REASON = 300
_ATTEMPT_S = 2.0  # how long one of the host's addresses may keep the next one waiting
_MOST_ADDRESSES = 4
_GOODBYE_S = 1.0
_RESOLVER_THREADS = 4  # a name server that hangs must not take the process's other threads with it

# Seven bits arrive everywhere, and no server on the way has to recode what somebody may have signed.
_ASCII_HEADERS = email.policy.SMTP.clone(cte_type="7bit")
_UTF8_HEADERS = email.policy.SMTPUTF8.clone(cte_type="7bit")

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?!\S)")  # RFC 3463
_PASSING = frozenset(
    {"5.2.2", "5.4.5"}
)  # a full mailbox, a quota of ours: permanent by their number, not by nature
# What is answered to RCPT although it is not about the recipient: by default Postfix says only there whom it does not
# serve. A sender that is not wanted, protocol, policy.
_NOT_THE_RECIPIENT = re.compile(r"5\.(1\.[78]|5\.\d+|7\.\d+)")
_ABOUT_THE_RECIPIENT = frozenset({550, 551, 553})  # RFC 5321 §4.2.3, where no enhanced code says more
_NO_SUCH_ADDRESS = 553
_NOT_THIS_MESSAGE = 554

_log = structlog.get_logger(__name__)


class MailRefused(Exception):
    """The server will not have this mail, now or later: its recipient is unknown, or the message is not wanted."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class MailUnavailable(Exception):
    """The mail did not go out, or it is not known whether it did; try again later.

    `needs_operator`: it will go on like this until somebody changes the settings, or the server.
    """

    def __init__(self, reason: str, *, needs_operator: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.needs_operator = needs_operator


@runtime_checkable
class Mailer(Protocol):
    """Hands mails over, one at a time, at least once.

    `send` returns when the other side has taken responsibility for the mail. If it raises MailUnavailable after the
    message was sent, the mail may have been taken all the same: who tries again keeps the `Message-ID`, by which
    mailboxes know the copy. Reasons are one printable line of at most 300 characters, without credentials; they may
    quote the server, and with it an address, so they belong in no log.
    """

    @property
    def sender(self) -> str:
        """The installation's own address, for those who have none."""
        ...

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Hand one mail over for one recipient; `sender` gets what bounces. Bare addresses, both.

        Raises MailRefused (no use to try again) or MailUnavailable.
        """
        ...


class SmtpMailer:
    """Speaks SMTP (RFC 5321) to one server, a connection a mail, within one deadline from the look-up to the answer.

    Encryption is as the settings say and never less; certificates are checked. Unencrypted, nobody is dialled but this
    machine and allowed networks.
    """

    def __init__(self, smtp: Smtp) -> None:
        self.sender = smtp.sender
        self._smtp = smtp
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve-mail")

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        if not is_address(recipient):
            raise MailRefused("The recipient is not an email address.", _NO_SUCH_ADDRESS)
        if not is_address(sender):
            raise _for_operator("The sender is not an email address.")
        mail = _Mail(message, _mailbox(sender), _mailbox(recipient))
        tls = None if self._smtp.security is SmtpSecurity.NONE else self._tls
        limit = self._smtp.timeout_s
        client: _Client | None = None
        try:
            async with asyncio.timeout(limit):
                client = self._client(await self._dial(), tls)
                await self._open(client)
                await _hand_over(client, mail)
            await _say_goodbye(client)
        except aiosmtplib.SMTPResponseException as error:
            if error.code > 0:  # aiosmtplib's -1: it was no answer at all
                await _say_goodbye(client)
            raise _judge_answer(error) from None
        except TimeoutError:
            raise MailUnavailable(f"The mail server did not answer within {limit:g} s.") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:  # or nonsense
            raise _judge_failure(error) from None
        finally:
            if client is not None:
                client.close()

    async def _dial(self) -> socket:
        """A connection to the first of the host's addresses that takes one."""
        loop = asyncio.get_running_loop()
        host, port = self._smtp.host, self._smtp.port
        try:
            found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except (gaierror, UnicodeError):
            raise MailUnavailable("The mail server's host name was not found.") from None
        candidates = [one for one in found if self._may_dial(one[1][0])][:_MOST_ADDRESSES]
        if not candidates:
            raise _for_operator(
                "The mail server is not in LEAVEWELL_ALLOWED_NETWORKS, and without TLS no other is dialled."
            )
        for family, address in candidates[:-1]:
            with suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(_ATTEMPT_S):
                    return await _connect(family, address)
        return await _connect(*candidates[-1])

    def _may_dial(self, text: str) -> bool:
        if self._smtp.security is not SmtpSecurity.NONE:
            return True
        address = unwrap(ip_address(text))
        return address.is_loopback or is_allowed(address, allowed=self._smtp.plain_networks, public=False)

    def _client(self, connection: socket, tls: ssl.SSLContext | None) -> "_Client":
        return _Client(
            hostname=self._smtp.host,
            sock=connection,
            local_hostname=self.sender.rpartition("@")[2],
            timeout=None,  # one deadline over all
            use_tls=self._smtp.security is SmtpSecurity.TLS,
            start_tls=False,  # done by hand below: left to itself it takes a missing STARTTLS for leave to go without
            tls_context=tls,
        )

    async def _open(self, client: "_Client") -> None:
        """Up to where mail is taken: encrypted and known, as the settings ask."""
        await client.connect()
        await client.ehlo()
        if self._smtp.security is SmtpSecurity.STARTTLS:
            if not client.supports_extension("starttls"):
                raise _for_operator(
                    "The mail server does not offer STARTTLS, and nothing is sent unencrypted."
                )
            await client.starttls()
            await client.ehlo()
        if self._smtp.username is not None and self._smtp.password is not None:
            if not client.supported_auth_methods:
                raise _for_operator("The mail server offers no login that we know: PLAIN, LOGIN or CRAM-MD5.")
            await client.login(self._smtp.username, self._smtp.password)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        try:
            return client_tls(self._smtp.ca_file)
        except OSError:  # it was there when the server started
            raise _for_operator("The file of certificate authorities cannot be read.") from None


class _Client(aiosmtplib.SMTP):
    """Lets go of its connection at once: a server that hangs would keep one open that is closed politely."""

    def close(self) -> None:
        transport = cast("asyncio.WriteTransport | None", self.transport)
        super().close()
        if transport is not None:
            transport.abort()


class _Mail:
    """A message with its envelope, as they go over the wire."""

    def __init__(self, message: EmailMessage, sender: str, recipient: str) -> None:
        self.sender = sender
        self.recipient = recipient
        self.needs_utf8 = not (sender + recipient).isascii()
        policy = _UTF8_HEADERS if self.needs_utf8 else _ASCII_HEADERS
        self.content = message.as_bytes(policy=policy)
        if _breaks_out(message, policy):
            raise MailRefused("A value breaks out of its header.", _NOT_THIS_MESSAGE)


def _breaks_out(message: EmailMessage, policy: "EmailPolicy[Any]") -> bool:
    """Whether a value ends its header. Python writes out a line break that stands in an encoded word (RFC 2047), so a
    name or a subject could say `=?utf-8?q?=0D=0ABcc=3A…?=`."""
    for part in message.walk():
        for name, value in part.raw_items():
            _, *others = re.split(r"\r\n|\r|\n", policy.fold(name, value).removesuffix(policy.linesep))
            if any(not line.startswith((" ", "\t")) or line.isspace() for line in others):
                return True
    return False


async def _hand_over(client: _Client, mail: _Mail) -> None:
    """Returns when the server has answered for the mail."""
    if mail.needs_utf8 and not client.supports_extension("smtputf8"):
        raise MailRefused("The mail server takes only addresses in ASCII.", _NO_SUCH_ADDRESS)
    encoding = "utf-8" if mail.needs_utf8 else "ascii"
    options = ["SMTPUTF8"] if mail.needs_utf8 else []
    await client.mail(mail.sender, options=options, encoding=encoding)
    await client.rcpt(mail.recipient, encoding=encoding)
    await client.data(mail.content)


async def _say_goodbye(client: _Client | None) -> None:
    """QUIT, as RFC 5321 asks. What comes of it changes nothing: the server has answered already."""
    if client is not None and client.is_connected:
        with suppress(aiosmtplib.SMTPException, OSError):
            async with asyncio.timeout(_GOODBYE_S):
                await client.quit()


async def _connect(family: int, address: tuple[Any, ...]) -> socket:
    connection = socket(
        family, SOCK_STREAM, IPPROTO_TCP
    )  # by name: asyncio knows TCP by it, and sends at once
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _look_up(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    return [(entry[0], entry[4]) for entry in getaddrinfo(host, port, type=SOCK_STREAM)]


def _mailbox(address: str) -> str:
    """As envelopes spell it: an international host by its ASCII name."""
    local, _, host = address.rpartition("@")
    return f"{local}@{idna.encode(host, uts46=True).decode()}"


# --- What went wrong ------------------------------------------------------------------------------


def _judge_answer(error: aiosmtplib.SMTPResponseException) -> MailRefused | MailUnavailable:
    """What the server's answer means: for this mail, for all of them, or for now."""
    if not 400 <= error.code < 600:
        return MailUnavailable("The mail server gave an answer that is not SMTP.")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # In our words alone: there are servers that repeat what they were sent.
        if error.code < 500:
            return MailUnavailable(f"The mail server put the login off ({error.code}).")
        return _for_operator("The mail server refused the user or the password.", code=error.code)
    if error.code < 500 or _enhanced(error) in _PASSING:
        return MailUnavailable(_quote("The mail server put the mail off:", error))
    match error:
        case aiosmtplib.SMTPRecipientRefused():
            if _is_about_recipient(error):
                return MailRefused(_quote("The mail server refused the recipient:", error), error.code)
            fact = "The mail server does not deliver for us"
        case aiosmtplib.SMTPDataError():
            return MailRefused(_quote("The mail server refused the message:", error), error.code)
        case aiosmtplib.SMTPSenderRefused():
            fact = "The mail server refused the sender"
        case _:
            fact = "The mail server turned us away"
    return _for_operator(f"{fact}.", _quote(f"{fact}:", error), code=error.code)


def _judge_failure(error: Exception) -> MailUnavailable:
    """Why there was no answer."""
    cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
    match cause:
        case ssl.SSLCertVerificationError():
            why = _one_line(cause.verify_message).removesuffix(".")
            return _for_operator(f"The mail server's certificate is not trusted: {why}.")
        case ssl.SSLError():
            why = _one_line(cause.reason or "no reason given").replace("_", " ").lower()
            return MailUnavailable(f"No secure connection to the mail server could be made: {why}.")
        case ConnectionRefusedError():
            return MailUnavailable("The mail server refused the connection.")
        case aiosmtplib.SMTPServerDisconnected() | ConnectionError():
            return MailUnavailable("The mail server broke the connection off.")
        case OSError():
            return MailUnavailable("The mail server could not be reached.")
        case _:
            return MailUnavailable("The mail server gave an answer that is not SMTP.")


def _for_operator(fact: str, reason: str | None = None, *, code: int | None = None) -> MailUnavailable:
    """What stays so until somebody mends it; said to the log too, without the server's words."""
    _log.error("mail cannot be sent", problem=fact, code=code)
    return MailUnavailable(_one_line(reason or fact), needs_operator=True)


def _is_about_recipient(error: aiosmtplib.SMTPResponseException) -> bool:
    enhanced = _enhanced(error)
    if enhanced is None:
        return error.code in _ABOUT_THE_RECIPIENT
    return _NOT_THE_RECIPIENT.fullmatch(enhanced) is None


def _enhanced(error: aiosmtplib.SMTPResponseException) -> str | None:
    found = _ENHANCED.match(error.message)
    return found[1] if found else None


def _quote(fact: str, error: aiosmtplib.SMTPResponseException) -> str:
    return _one_line(f"{fact} {error.code} {error.message}")


def _one_line(text: str) -> str:
    """Printable, bounded: servers send control characters, line breaks, and bytes that are no text."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_REASON]
