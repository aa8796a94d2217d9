"""Which vendors are simulated. A new one is a package beside this one and a line here."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from tests.support.simulator.http import Vendor

VENDORS: Final[Mapping[str, str]] = {
    "stripe": "tests.support.stripe.vendor",
    "paddle": "tests.support.paddle.vendor",
    "chargebee": "tests.support.chargebee.vendor",
    "braintree": "tests.support.braintree.vendor",
    "maxio": "tests.support.maxio.vendor",
}


def make(name: str) -> Vendor:
    """A vendor of its own; each module has a `VENDOR` class that takes no argument."""
    vendor: Vendor = import_module(VENDORS[name]).VENDOR()
    return vendor
