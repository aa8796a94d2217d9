"""`python -m tests.bench [PART …]`: runs the parts, all without names, and prints their tables."""

import argparse
import time

from tests.bench import footprint, hanging, insights, paint, report, servers, webhooks, weight

PARTS = {
    "ratios": servers.against_bare,
    "growth": servers.against_few_rows,
    "hanging": hanging.measure,
    "weight": weight.weigh,
    "paint": paint.measure,
    "footprint": footprint.measure,
    "webhooks": webhooks.measure,
    "insights": insights.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    started = time.monotonic()
    report.machine()
    for name in chosen:
        PARTS[name]()
    report.say(f"\nTook {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
