"""`python -m demo`: Leavewell with a merchant to try it on. Reads the options, prints what to open; see run.py."""

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo.run import (
    PROVIDERS,
    CannotStart,
    MerchantSecrets,
    Options,
    billing_service,
    claim,
    keep_secret,
    listen,
)

FOLDER = Path(__file__).resolve().parent.parent / ".leavewell"


def main() -> None:
    """Run the demo until Ctrl-C or SIGTERM."""
    started = time.monotonic()
    options = _read_options()
    signal.signal(signal.SIGTERM, _leave)  # so that whatever is open gets closed, as on Ctrl-C
    try:
        _run(options, started)
    except CannotStart as problem:
        sys.exit(f"The demo cannot start. {problem}")
    except KeyboardInterrupt:
        print("\nStopped. Your data is kept; `make reset` throws it away.")


def _run(options: Options, started: float) -> None:
    with ExitStack() as open_things:
        listener = open_things.enter_context(listen(options.port))
        open_things.enter_context(claim(options.folder))
        # The last run's: this one's comes with its first answer.
        (options.folder / "demo.env").unlink(missing_ok=True)
        keep_secret(options.folder / "secret")
        merchant_secrets = MerchantSecrets(keep_secret(options.folder / "northwind-secret"))
        billing = open_things.enter_context(billing_service(options, key=merchant_secrets.text("billing")))
        # Loaded only now: its modules take most of the time until the first answer, and billing loads meanwhile.
        import_module("demo.run_server").serve(
            options,
            listener=listener,
            billing=billing,
            merchant_secrets=merchant_secrets,
            announce=lambda: _say_hello(options, time.monotonic() - started),
        )


def _read_options() -> Options:
    parser = _Parser(prog="python -m demo", description="Leavewell with a shop to try it on.")
    parser.add_argument("--port", type=_port, default=os.environ.get("PORT") or "8000", help="8000, or PORT")
    provider = os.environ.get("PROVIDER") or "demo"
    parser.add_argument("--provider", choices=PROVIDERS, default=provider, help="demo, or PROVIDER")
    parser.add_argument("--data", type=Path, default=FOLDER, help="the folder for databases and secrets")
    parser.add_argument("--faults", action="store_true", help="let tests make the billing service fail")
    given = parser.parse_args()
    if given.provider not in PROVIDERS:  # argparse does not check a default
        parser.error(f"PROVIDER must be one of {', '.join(PROVIDERS)}, not {given.provider}")
    return Options(given.port, given.provider, given.data, given.faults)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong and nothing else: most people come by `make run`, and gave no options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"The demo cannot start: {message}.\n")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def _leave(signal_number: int, _: FrameType | None) -> None:
    sys.exit(0)


def _say_hello(options: Options, took_s: float) -> None:
    strong, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
    print(f"""
  {strong}Leavewell is running.{plain} {dim}(ready in {took_s:.1f} s, provider {options.provider}){plain}

  Open      {strong}{options.url}/demo{plain}
            Northwind Notes: sign in as a customer, open Billing, press Cancel subscription.

  Mailbox   {options.url}/demo/mailbox
            Codes and receipts arrive there, unless SMTP_URL names a mail server.

  API       {options.url}/v1/cancel-sessions
  Keys      {_shown(options.folder)}/demo.env
  Stop      Ctrl-C {dim}(the data stays; make reset starts over){plain}
""", flush=True)  # fmt: skip


def _shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


if __name__ == "__main__":
    main()
