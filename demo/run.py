"""What a run of the demo stands on: its folder with secrets and a lock, its port, its billing service.

Light on purpose: the billing service starts before the server's many modules are loaded, so that both load at once.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

HOST: Final = "127.0.0.1"
_STOPPING_S: Final = 5.0
_BACKLOG: Final = 1024

# The demo's own billing service (as `direct`, behind the shop), or a simulated vendor.
Vendor = Literal["stripe", "paddle", "chargebee", "braintree", "maxio"]
Provider = Literal["demo", "direct"] | Vendor
VENDORS: Final[tuple[Vendor, ...]] = get_args(Vendor)
PROVIDERS: Final[tuple[Provider, ...]] = ("demo", "direct", *VENDORS)


class CannotStart(Exception):
    """Something outside is in the way. The message says what, and what to do."""


@dataclass(frozen=True)
class Options:
    """What the person who starts the demo chose."""

    port: int
    provider: Provider
    folder: Path
    has_faults: bool

    @property
    def url(self) -> str:
        """Where Leavewell and the shop answer."""
        return f"http://{HOST}:{self.port}"

    @property
    def vendor(self) -> Vendor | None:
        """The vendor to simulate, if it is one."""
        return next((vendor for vendor in VENDORS if vendor == self.provider), None)


@dataclass(frozen=True)
class Billing:
    """The running billing service: where the shop looks into it, and, of a simulated vendor, where its API is."""

    url: str
    key: str
    api_url: str | None = None


class MerchantSecrets:
    """What Northwind keeps to itself or shares with one party, all from one secret of its own."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def text(self, purpose: str) -> str:
        """A secret for one purpose."""
        return self._derive(purpose).hex()

    def webhook(self, purpose: str) -> str:
        """The same in the form of Standard Webhooks, `whsec_…`."""
        return "whsec_" + base64.b64encode(self._derive(purpose)).decode()

    def _derive(self, purpose: str) -> bytes:
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Make the folder and keep it to this run: an embedded database belongs to one server. Raises CannotStart."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"It is running already, with the data in {folder}.\n"
                "Stop that one first, or give this one a folder of its own: --data PATH"
            ) from None
        yield


def keep_secret(file: Path) -> str:
    """The secret in the file; made once, readable by its owner alone."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text().strip()
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_urlsafe(48) + "\n")
    return file.read_text().strip()


def write_atomically(file: Path, lines: Mapping[str, str]) -> None:
    """Write `NAME=value` lines, for its owner's eyes; a reader sees the old file or the new one, never half."""
    replace_file(file, "".join(f"{name}={value}\n" for name, value in lines.items()).encode())


def replace_file(file: Path, content: bytes) -> None:
    """The same for any content."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 is any free one. Raises CannotStart."""
    # Named as TCP, or the event loop does not take it for such and leaves Nagle's algorithm on: the body of an answer
    # then waits 40 ms for the acknowledgement of its head.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise CannotStart(
            f"Port {port} of {HOST} is not free: {problem.strerror}.\n"
            f"Stop what uses it, or choose another one: make run PORT={port + 1 if port < 65535 else 8000}"
        ) from None
    return listener


@contextmanager
def billing_service(options: Options, *, key: str) -> Iterator[Billing]:
    """The billing service in a process of its own, as long as the body runs.

    Its socket is opened here: the address is known at once, and a request that comes early waits instead of failing.
    It is in a session of its own, so that Ctrl-C reaches it only through us, after the server has finished.
    """
    with listen(0) as listener:
        child = subprocess.Popen(  # noqa: S603 - our own modules, no shell
            [sys.executable, "-m", *_billing_command(options), "--fd", str(listener.fileno())],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "DEMO_BILLING_KEY": key},
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        url = f"http://{HOST}:{listener.getsockname()[1]}"
    try:
        yield Billing(f"{url}/_sim", key, api_url=url) if options.vendor else Billing(url, key)
    finally:
        child.terminate()
        try:
            child.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _billing_command(options: Options) -> list[str]:
    if options.vendor:
        kept = str(options.folder / "simulated")
        return ["tests.support.simulator", options.vendor, "--data", kept, "--with-parent"]
    command = ["demo.run_billing", "--database", str(options.folder / "billing.sqlite3")]
    return [*command, "--faults"] if options.has_faults else command
