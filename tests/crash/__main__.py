"""`python -m tests.crash [--vendor NAME …]`: carries out the crash matrix and prints it.

Writes docs/crash-matrix.md, of which a run for some providers renews their sections alone. Ends with 1 where something
did not come out right, and names what disagreed.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.crash import table
from tests.crash.matrix import PROVIDERS, Result, carry_out
from tests.support import run

PAGE = Path(__file__).parents[2] / "docs" / "crash-matrix.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--vendor", action="append", choices=PROVIDERS, help="all without; may come several times"
    )
    parser.add_argument("--lanes", type=int, default=3, help="how many installations work side by side")
    parser.add_argument("--minutes", type=float, default=60.0, help="when to stop, whatever is left")
    parser.add_argument("--no-page", action="store_true", help="leave docs/crash-matrix.md as it is")
    options = parser.parse_args()
    providers = [name for name in PROVIDERS if name in (options.vendor or PROVIDERS)]
    run.begin()
    started = time.monotonic()
    try:
        outcome = carry_out(
            providers,
            folder=run.folder(),
            lanes=options.lanes,
            limit_s=options.minutes * 60,
            report=_report,
        )
    finally:
        run.end()
    sections = {provider: table.section(provider, outcome) for provider in providers}
    sys.stdout.write("\n" + "\n".join(sections.values()))
    failed = [result for result in outcome.results if result.disagreement is not None]
    if outcome.is_complete and not options.no_page:
        known = PAGE.read_text() if PAGE.exists() else ""
        PAGE.write_text(table.page(known, sections, order=PROVIDERS))
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"\n{len(outcome.results)} cases in {seconds:.0f} s, {len(failed)} did not come out right.\n"
    )
    if not outcome.is_complete:
        sys.stdout.write("The time was up before all were carried out.\n")
    return 1 if failed or not outcome.is_complete else 0


def _report(result: Result) -> None:
    """A failing case says at once what disagreed; the others are a dot."""
    sys.stdout.write(
        "." if result.disagreement is None else f"\n✗ {result}\n{_indented(result.disagreement)}\n"
    )
    sys.stdout.flush()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
