"""The demo's billing service as a child process: served on a socket that its parent opened, gone when the parent is.

The parent holds the other end of our standard input. However it ends, by SIGKILL too, that end closes, and so do we.
"""

import argparse
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn

from demo.billing.faults import Faults
from demo.billing.seed import seed
from demo.billing.service import create_app
from demo.billing.store import Store

KEY_VARIABLE: Final = "DEMO_BILLING_KEY"
_LAST_WORDS_S: Final = 3.0


def main() -> None:
    """Serve until the parent is gone or says stop."""
    parser = argparse.ArgumentParser(prog="python -m demo.run_billing", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket, inherited")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    store = Store(options.database)
    seed(store, datetime.now(UTC))
    app = create_app(store, key=os.environ[KEY_VARIABLE], faults=Faults() if options.faults else None)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.fd)])


def _stop_without_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_LAST_WORDS_S)
    os._exit(1)


if __name__ == "__main__":
    main()
