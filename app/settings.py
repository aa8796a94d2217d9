"""What an installation is told by its environment, read and checked once, at start. Opens no connection."""

import difflib
import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.core.email_address import is_address

__all__ = [
    "LogFormat",
    "LogLevel",
    "Network",
    "Settings",
    "SettingsError",
    "Smtp",
    "SmtpSecurity",
    "WorkerPlace",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Choice = TypeVar("Choice", bound=StrEnum)

DEFAULT_DATABASE_URL = "sqlite:///.leavewell/leavewell.sqlite3"
DEMO_SECRET = "the-demo-needs-no-secret-because-it-holds-none"  # noqa: S105 (only LEAVEWELL_DEMO uses it)
MIN_SECRET_LENGTH = 32
MIN_DISTINCT = 8
MAX_FILE_BYTES = 64 * 1024

HOW_TO_MAKE_ONE = (
    'Make one with `leavewell secret` or `python3 -c "import secrets; print(secrets.token_urlsafe(48))"`, '
    "and keep it: it encrypts what is stored."
)

SMTP_EXAMPLE = (
    "Write it like smtp://user:password@mail.example.com:587?from=leave@example.com, or smtps://…:465."
)
SMTP_ESCAPES = "In the user and the password write / as %2F, ? as %3F, # as %23, @ as %40 and : as %3A."

# Variables that the server reads. Those in the second set may be given as a file's path in NAME_FILE.
_NAMES = {
    "LEAVEWELL_SECRET",
    "LEAVEWELL_BASE_URL",
    "LEAVEWELL_DATABASE_POOL",
    "LEAVEWELL_ALLOWED_NETWORKS",
    "LEAVEWELL_TRUSTED_PROXIES",
    "LEAVEWELL_WORKER",
    "LEAVEWELL_LEASE_SECONDS",
    "LEAVEWELL_DEMO",
    "LEAVEWELL_LOG_LEVEL",
    "LEAVEWELL_LOG_FORMAT",
    "LEAVEWELL_API_RATE",
}
_FILE_NAMES = {"LEAVEWELL_SECRET", "DATABASE_URL", "SMTP_URL"}
# What a merchant’s own programs are given (the demo writes some into .leavewell/demo.env), and what tests use.
_FOREIGN = re.compile(r"LEAVEWELL_(URL|(LIVE_)?APP_ID|(LIVE_)?(API|DATA)_KEY|DEMO_CUSTOMERS|(TEST|BENCH)_.*)")
_MADE_UP = re.compile(r"change|secret|password|example|leavewell|placeholder|insecure|your[-_]")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

SMTP_TIMEOUT_S = 15
MAX_SMTP_TIMEOUT_S = 60
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_SMTP_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9])?")  # containers' names have underscores
_SMTP_OPTIONS = ("from", "tls", "timeout", "ca")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class WorkerPlace(StrEnum):
    """Where the background work is done: in the server, or in a process of its own (`leavewell worker`)."""

    EMBEDDED = "embedded"
    NONE = "none"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class SettingsError(Exception):
    """The environment is not usable. Names every variable that is wrong, and what to do; never a secret."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["The settings are not usable:", *(f"  - {line}" for line in problems)]))


class SmtpSecurity(StrEnum):
    """How the way to the mail server is encrypted. There is no falling back from one to the other."""

    STARTTLS = "starttls"  # plain at first; a server that does not offer to encrypt gets no mail
    TLS = "tls"
    NONE = "none"  # this machine and allowed networks alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """The mail server that takes our mail, as `SMTP_URL` says. Login is needed if there is a user."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    sender: str  # where an environment has no address of its own
    timeout_s: float = (
        SMTP_TIMEOUT_S  # for one mail, from the look-up of the host to the server's last answer
    )
    ca_file: Path | None = None  # certificate authorities that are trusted in place of the system's
    plain_networks: tuple[
        Network, ...
    ] = ()  # with SmtpSecurity.NONE: whom else than this machine one may reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. What is secret is left out of `repr`."""

    secrets: tuple[str, ...] = field(repr=False)  # the first signs and encrypts, all verify and decrypt
    base_url: str  # without a slash at the end
    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    database_pool: int = 0  # connections; 0: what suits the database
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_networks: tuple[Network, ...] = ()  # may be called although they are private
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-* headers are believed
    smtp: Smtp | None = None  # without it no mail leaves
    worker: WorkerPlace = WorkerPlace.EMBEDDED
    lease_s: int = 15  # how long the work of a process that died waits for another one
    is_demo: bool = False
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT
    api_rate: int = 600  # mints per minute and key

    @property
    def is_https(self) -> bool:
        return self.base_url.startswith("https://")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the environment; an empty variable counts as absent. Raises SettingsError."""
        reader = _Reader(env)
        is_demo = reader.flag("LEAVEWELL_DEMO")
        host = reader.host("HOST", "127.0.0.1")
        port = reader.number("PORT", 8000, low=1, high=65535)
        allowed_networks = reader.networks("LEAVEWELL_ALLOWED_NETWORKS")
        settings = cls(
            secrets=reader.secrets("LEAVEWELL_SECRET", is_demo=is_demo),
            base_url=reader.base_url("LEAVEWELL_BASE_URL", host, port),
            database_url=reader.database_url("DATABASE_URL"),
            database_pool=reader.number("LEAVEWELL_DATABASE_POOL", 0, low=1, high=100),
            host=host,
            port=port,
            allowed_networks=allowed_networks,
            trusted_proxies=reader.networks("LEAVEWELL_TRUSTED_PROXIES"),
            smtp=reader.smtp("SMTP_URL", allowed_networks),
            worker=reader.choice("LEAVEWELL_WORKER", WorkerPlace.EMBEDDED),
            lease_s=reader.number("LEAVEWELL_LEASE_SECONDS", 15, low=2, high=600),
            is_demo=is_demo,
            log_level=reader.choice("LEAVEWELL_LOG_LEVEL", LogLevel.INFO),
            log_format=reader.choice("LEAVEWELL_LOG_FORMAT", LogFormat.TEXT),
            api_rate=reader.number("LEAVEWELL_API_RATE", 600, low=1, high=1_000_000),
        )
        reader.check_names()
        if reader.problems:
            raise SettingsError(reader.problems)
        return settings


class _Reader:
    """Reads variables and collects what is wrong with them; a wrong one reads as its default."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """The value, or the content of the file that NAME_FILE names; "" when neither is given."""
        value = self._env.get(name, "").strip()
        file_name = f"{name}_FILE"
        path = self._env.get(file_name, "").strip() if name in _FILE_NAMES else ""
        if not path:
            return value
        if value:
            self._complain(file_name, f"is given as well as {name}. Keep one of the two.")
            return value
        return self._content(file_name, Path(path))

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
            self._complain(name, "is neither yes nor no. Write 1 or 0.")
        return value in ("1", "true", "yes", "on")

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            self._complain(name, f"must be a whole number from {low} to {high}.")
            return default
        return int(value)

    def choice(self, name: str, default: Choice) -> Choice:
        value = self.text(name).lower()
        kind = type(default)
        if not value:
            return default
        if value not in list(kind):
            self._complain(name, f"must be one of: {', '.join(kind)}.")
            return default
        return kind(value)

    def networks(self, name: str) -> tuple[Network, ...]:
        return tuple(
            network for part in _split(self.text(name)) if (network := self._network(name, part)) is not None
        )

    def host(self, name: str, default: str) -> str:
        value = self.text(name) or default
        if not _is_ip(value) and not _HOST_NAME.fullmatch(value):
            self._complain(
                name, "must be an address or host name to listen on, such as 127.0.0.1 or 0.0.0.0."
            )
            return default
        return value

    def base_url(self, name: str, host: str, port: int) -> str:
        value = self.text(name).rstrip("/")
        if not value:
            if not _is_loopback(host):
                self._complain(
                    name,
                    f"is missing. Customers cannot follow a link to HOST={host}: give the address they see, "
                    "such as https://leave.example.com.",
                )
            return f"http://{f'[{host}]' if ':' in host else host}:{port}"
        problem = _base_url_problem(value)
        if problem:
            self._complain(
                name, f"{problem} It is the address customers see, such as https://leave.example.com."
            )
        return value

    def secrets(self, name: str, *, is_demo: bool) -> tuple[str, ...]:
        ring = tuple(_split(self.text(name)))
        if not ring:
            # A file that could not be read has already been complained of.
            if not is_demo and not any(problem.startswith(name) for problem in self.problems):
                self._complain(name, f"is missing. {HOW_TO_MAKE_ONE}")
            return (DEMO_SECRET,)
        for position, secret in enumerate(ring, start=1):
            weakness = None if is_demo else _weakness(secret)
            if weakness:
                which = f" (number {position} of {len(ring)})" if len(ring) > 1 else ""
                self._complain(name, f"{weakness}{which}. {HOW_TO_MAKE_ONE}")
        return ring

    def database_url(self, name: str) -> str:
        value = self.text(name) or DEFAULT_DATABASE_URL
        problem = _database_url_problem(value)
        if problem:
            self._complain(
                name, f"{problem} Write sqlite:///path/to/file or postgresql://user:password@host/name."
            )
            return DEFAULT_DATABASE_URL
        return value

    def smtp(self, name: str, allowed: tuple[Network, ...]) -> Smtp | None:
        value = self.text(name)
        if not value:
            return None
        try:
            return _parse_smtp(value, allowed)
        except _BadSmtp as problem:
            self._complain(name, f"{problem} {SMTP_EXAMPLE}")
            return None

    def check_names(self) -> None:
        """A misspelt variable would otherwise be ignored in silence."""
        known = _NAMES | {f"{name}_FILE" for name in _FILE_NAMES}
        for name in sorted(self._env):
            if name.startswith("LEAVEWELL_") and name not in known and not _FOREIGN.fullmatch(name):
                near = difflib.get_close_matches(name, known, n=1)
                self._complain(
                    name, f"is not known. Did you mean {near[0]}?" if near else "is not known. Remove it."
                )

    def _network(self, name: str, value: str) -> Network | None:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            self._complain(
                name, f"{value!r} is not a network. Write it like 10.0.0.0/8 or 192.0.2.7, comma-separated."
            )
            return None
        if network.prefixlen == 0:
            self._complain(name, f"{value} is every address there is. Name the networks that are meant.")
            return None
        if "/" in value and ipaddress.ip_interface(value).ip != network.network_address:
            self._complain(name, f"{value} has bits set beyond its mask. Did you mean {network}?")
            return None
        return network

    def _content(self, file_name: str, path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return self._complain(file_name, f"names {path}, and there is no such file.")
        except OSError as error:
            return self._complain(file_name, f"names {path}, which cannot be read: {error.strerror}.")
        if len(content) > MAX_FILE_BYTES:
            return self._complain(
                file_name, f"names {path}, which is larger than {MAX_FILE_BYTES // 1024} KB."
            )
        try:
            text = content.decode().strip()
        except UnicodeDecodeError:
            return self._complain(file_name, f"names {path}, which is not UTF-8 text.")
        return text or self._complain(file_name, f"names {path}, which is empty.")

    def _complain(self, name: str, what: str) -> str:
        self.problems.append(f"{name} {what}")
        return ""


def _split(value: str) -> list[str]:
    return value.replace(",", " ").split()


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if _is_ip(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _base_url_problem(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL."
    if parts.scheme not in ("http", "https") or not host or not (_is_ip(host) or _HOST_NAME.fullmatch(host)):
        return "must be a URL that begins with https:// and names a host."
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return "must be only a scheme and a host, and perhaps a port."
    if parts.scheme == "http" and not _is_loopback(host):
        return "must begin with https://; plain http is for this machine alone."
    return None


def _database_url_problem(value: str) -> str | None:
    """What is wrong with it, in words that repeat nothing of it: it may hold a password."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        return "is not a database address."
    if url.drivername == "sqlite":
        is_file = url.database and url.database != ":memory:" and not url.database.startswith("file:")
        return (
            None
            if is_file and not url.host
            else "must name a file; a database in memory would lose everything."
        )
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return None if url.database else "does not name a database."
    return "is neither SQLite nor PostgreSQL."


# --- Mail -----------------------------------------------------------------------------------------


class _BadSmtp(ValueError):
    """Why an SMTP_URL is not usable, in words that repeat nothing of it: any part may be a password's."""


def _parse_smtp(value: str, allowed: tuple[Network, ...]) -> Smtp:
    """Take an SMTP_URL apart; raises _BadSmtp, which names the part that is wrong."""
    parts, port = _split_smtp(value)
    options = _smtp_options(parts.query)
    security = _smtp_security(parts.scheme, options)
    host = parts.hostname or ""
    if "%" in host or not (_is_ip(host) or _SMTP_HOST.fullmatch(host)):  # ::1%eth0 is an address, to Python
        raise _BadSmtp("names no host that can be looked up.")
    if security is SmtpSecurity.NONE:
        _check_plain(host, allowed)
    username, password = _decode("user", parts.username or ""), _decode("password", parts.password or "")
    if bool(username) != bool(password):
        missing = "password" if username else "user"
        raise _BadSmtp(
            f"has no {missing}. Give both user and password, or neither if the server asks for none."
        )
    sender = options.get("from", username)
    if not (sender.isascii() and is_address(sender)):
        raise _BadSmtp(
            "has a from that is no email address."
            if "from" in options
            else "does not say who sends: add ?from= with an email address."
        )
    return Smtp(
        host=host,
        port=port or _SMTP_PORTS[security],
        username=username or None,
        password=password or None,
        security=security,
        sender=sender,
        timeout_s=_smtp_timeout(options.get("timeout")),
        ca_file=_smtp_authorities(options.get("ca"), security),
        plain_networks=allowed if security is SmtpSecurity.NONE else (),
    )


def _split_smtp(value: str) -> tuple[SplitResult, int | None]:
    if not value.isprintable() or " " in value:
        raise _BadSmtp("contains a space or a control character.")
    if not re.match("smtps?://", value, re.IGNORECASE):
        raise _BadSmtp("has a scheme that is neither smtp:// nor smtps://.")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise _BadSmtp("names no host that can be looked up.") from None
    if parts.path not in ("", "/") or parts.fragment or "#" in value:
        raise _BadSmtp(f"has a path. {SMTP_ESCAPES}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _BadSmtp(f"has a port that is no number from 1 to 65535. {SMTP_ESCAPES}")
    return parts, port


def _smtp_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, text = pair.partition("=")
        if name not in _SMTP_OPTIONS:
            raise _BadSmtp(
                f"has an option that is not known. There are: {', '.join(_SMTP_OPTIONS)}. {SMTP_ESCAPES}"
            )
        if name in options:
            raise _BadSmtp(f"has the option {name} twice.")
        options[name] = _decode(name, text)
    return options


def _decode(part: str, text: str) -> str:
    """Percent-decoded; a plus is a plus."""
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _BadSmtp(f"has a {part} that is not UTF-8 when percent-decoded.") from None
    if _NO_ESCAPE.search(text):
        raise _BadSmtp(f"has a {part} with a % that begins no percent-encoding; write it %25.")
    if not decoded.isprintable():
        raise _BadSmtp(f"has a {part} with a control character.")
    return decoded


def _smtp_security(scheme: str, options: Mapping[str, str]) -> SmtpSecurity:
    tls = options.get("tls")
    if tls not in (None, "none"):
        raise _BadSmtp(
            "has a tls that is not none. Leave it out: smtp:// is STARTTLS, smtps:// is TLS at once."
        )
    if scheme == "smtp":
        return SmtpSecurity.STARTTLS if tls is None else SmtpSecurity.NONE
    if tls is not None:
        raise _BadSmtp("has tls=none, but smtps:// is TLS. For a server without it begin with smtp://.")
    return SmtpSecurity.TLS


def _check_plain(host: str, allowed: Sequence[Network]) -> None:
    """What can be known before a name is looked up; the address it leads to is judged when it is reached."""
    is_near = _is_ip(host) and any(ipaddress.ip_address(host) in network for network in allowed)
    if not _is_loopback(host) and not is_near and (_is_ip(host) or not allowed):
        raise _BadSmtp(
            "has tls=none for a host that is neither this machine nor in LEAVEWELL_ALLOWED_NETWORKS. "
            "Name its network there, or leave tls=none out."
        )


def _smtp_timeout(text: str | None) -> int:
    if text is None:
        return SMTP_TIMEOUT_S
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= MAX_SMTP_TIMEOUT_S:
        raise _BadSmtp(f"has a timeout that is no whole number of seconds from 1 to {MAX_SMTP_TIMEOUT_S}.")
    return int(text)


def _smtp_authorities(text: str | None, security: SmtpSecurity) -> Path | None:
    """The file, if OpenSSL finds certificates in it."""
    if text is None:
        return None
    if security is SmtpSecurity.NONE:
        raise _BadSmtp("has a ca, but with tls=none no certificate is looked at.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=text)
    except ssl.SSLError:
        raise _BadSmtp("has a ca whose file holds no certificate in PEM form.") from None
    except OSError as error:
        raise _BadSmtp(f"has a ca whose file cannot be read: {error.strerror}.") from None
    return Path(text)


# --- Secrets --------------------------------------------------------------------------------------


def _weakness(secret: str) -> str | None:
    """Why it is no good as a secret, judged by what people write when they make one up."""
    if len(secret) < MIN_SECRET_LENGTH:
        return f"is too short: it needs at least {MIN_SECRET_LENGTH} characters"
    if not secret.isascii() or not secret.isprintable():
        return "must be printable ASCII"
    steps = [ord(after) - ord(before) for before, after in pairwise(secret)]
    is_run = sum(abs(step) <= 1 for step in steps) > len(steps) / 2
    is_repeated = (secret + secret).find(secret, 1) < len(secret)
    if len(set(secret)) < MIN_DISTINCT or is_run or is_repeated or _MADE_UP.search(secret.lower()):
        return "can be guessed"
    return None
