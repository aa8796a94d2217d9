"""Servers on free loopback ports: an app in a thread of this process, or a command in its own process."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

START_WITHIN_S = 20.0
LASTING_PORTS = range(20_000, 32_000)  # Linux gives connections 32,768 and above
STOP_WITHIN_S = 10.0


class ServerNotReady(AssertionError):
    """It ended, or never answered; what it printed is in the message."""


def listen(port: int = 0) -> socket.socket:
    """A free port, or the one that is named, taken; for an app that must know its own address before it is made.

    Made as TCP by name, because asyncio switches Nagle's algorithm off only then: answers would wait 40 ms else.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def served(app: Any, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve an ASGI app from a thread of this process, so that fakes given to it are shared with the test."""
    listener = listener or listen()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # what the fakes were asked is no part of what a test reads from the log
        lifespan="on",
        loop="asyncio",
        proxy_headers=False,  # as ours are started: it is for the app to say whom it believes
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_WITHIN_S
        while not server.started:
            thread.join(0.01)
            if not thread.is_alive() or time.monotonic() > deadline:
                raise ServerNotReady("the app did not start; its log says why")
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join(STOP_WITHIN_S)
        listener.close()


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that can be killed as a power cut would."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        self.process.kill()
        self.process.wait(STOP_WITHIN_S)

    def stop(self) -> int:
        """SIGTERM, as a service manager stops it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    log: Path,
    port: int | None = None,
    ready: str = "/healthz",
) -> Iterator[ServerProcess]:
    """Start `command` with `PORT` set, wait until `ready` answers 200, and stop it at the end."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **env, "PORT": str(port), "HOST": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = ServerProcess(url, process, log)
    try:
        _wait_until_ready(server, url + ready)
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port that nobody listens on now. Where a socket can be handed over, do that instead.

    Not one of those that outgoing connections are given: a server that is killed finds it free when it starts again.
    """
    for port in random.sample(LASTING_PORTS, 100):
        with suppress(OSError), listen(port):
            return port
    raise AssertionError("no port is free")


def _wait_until_ready(server: ServerProcess, address: str) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if _answers(address):
            return
        try:
            server.process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        break
    raise ServerNotReady(f"{address} did not answer. The server printed:\n{server.printed()}")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
