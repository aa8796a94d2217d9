"""`python -m tests.bench [PART …]`: runs the parts, all without names, and prints their tables."""

import argparse
import time

from tests.bench import (
    archive,
    footprint,
    hanging,
    insights,
    paint,
    privacy,
    report,
    servers,
    webhooks,
    weight,
)

PARTS = {
    "ratios": servers.against_bare,
    "growth": servers.against_few_rows,
    "hanging": hanging.measure,
    "weight": weight.weigh,
    "paint": paint.measure,
    "footprint": footprint.measure,
    "webhooks": webhooks.measure,
}
OF_ARCHIVE = {"insights": insights.measure, "privacy": privacy.measure}  # these have their database in common


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, *OF_ARCHIVE)))
    chosen = parser.parse_args().parts or [*PARTS, *OF_ARCHIVE]
    started = time.monotonic()
    report.machine()
    for name in chosen:
        if name not in OF_ARCHIVE:
            PARTS[name]()
    if of_archive := [part for name, part in OF_ARCHIVE.items() if name in chosen]:
        archive.measure(of_archive)
    report.say(f"\nTook {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
