"""Starts the billing service: `python -m demo.billing --port 8001 --database billing.sqlite3 --key …`."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from demo.billing.faults import Faults
from demo.billing.seed import seed
from demo.billing.service import create_app
from demo.billing.store import Store


def main() -> None:
    options = _read_options()
    options.database.parent.mkdir(parents=True, exist_ok=True)
    store = Store(options.database)
    seed(store, datetime.now(UTC))
    app = create_app(store, key=options.key, faults=Faults() if options.faults else None)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.billing", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True, help="its SQLite file, made if missing")
    key = os.environ.get("DEMO_BILLING_KEY")
    parser.add_argument("--key", default=key, help="what callers must send (or DEMO_BILLING_KEY)")
    parser.add_argument("--faults", action="store_true", help="let tests plan failures and set the clock")
    return parser.parse_args()


if __name__ == "__main__":
    main()
