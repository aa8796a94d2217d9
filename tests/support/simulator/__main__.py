"""Starts a simulated vendor by hand: `python -m tests.support.simulator stripe --port 9100 [--data FOLDER]`.

Prints the config that connects to it. With `--with-parent` it ends when its standard input does.
"""

import argparse
import os
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from tests.support.simulator.service import Simulator
from tests.support.simulator.vendors import VENDORS, make


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.simulator", description=__doc__)
    parser.add_argument("vendor", choices=sorted(VENDORS))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=9100)
    where.add_argument("--fd", type=int, help="a listening socket, inherited")
    parser.add_argument("--data", type=Path, help="a folder to keep what happens in")
    parser.add_argument("--with-parent", action="store_true")
    options = parser.parse_args()
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.data is not None:
        options.data.mkdir(parents=True, exist_ok=True)
    simulator = Simulator(make(options.vendor), folder=options.data)
    simulator.seed()
    config = uvicorn.Config(
        simulator,
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    if options.fd is not None:
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.fd)])
        return
    sys.stdout.write(_how_to_connect(simulator, options.port))
    sys.stdout.flush()
    uvicorn.Server(config).run()


def _how_to_connect(simulator: Simulator, port: int) -> str:
    vendor = simulator.vendor
    fields = {"api_base": f"http://127.0.0.1:{port}", **vendor.credentials("test")}
    given = " ".join(shlex.quote(f"{name}={value}") for name, value in fields.items())
    return (
        f"{vendor.name}, simulated, on http://127.0.0.1:{port}. Connect to it with\n"
        f"  LEAVEWELL_ALLOWED_NETWORKS=127.0.0.0/8 leavewell setup provider app_test_… {vendor.name} {given}\n"
    )


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(3.0)
    os._exit(1)


if __name__ == "__main__":
    main()
