"""The six customers of Northwind Notes. The shop and its billing service both know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """One customer. `attributes` are what the shop's customer-data endpoint answers with."""

    id: str
    name: str
    email: str
    country: str
    blurb: str
    attributes: Mapping[str, str | int | bool]


def _attributes(
    plan: str, *, tenure_months: int, notes: int, tickets: int = 0, pauses: int = 0
) -> dict[str, str | int | bool]:
    return {
        "plan": plan,
        "tenureMonths": tenure_months,
        "notesCount": notes,
        "openTickets": tickets,
        "pausesThisYear": pauses,
    }


CUSTOMERS = (
    DemoCustomer(
        id="cus_ada",
        name="Ada Okafor",
        email="ada@example.com",
        country="US",
        blurb="New and on the small plan: Lite, monthly, three weeks in.",
        attributes=_attributes("Lite", tenure_months=0, notes=14),
    ),
    DemoCustomer(
        id="cus_ben",
        name="Ben Halvorsen",
        email="ben@example.com",
        country="US",
        blurb="With us for a year and a half: Pro, monthly.",
        attributes=_attributes("Pro", tenure_months=18, notes=1240),
    ),
    DemoCustomer(
        id="cus_chen",
        name="Chen Wei",
        email="chen@example.com",
        country="GB",
        blurb="Pays once a year: Pro, yearly, in the second year.",
        attributes=_attributes("Pro", tenure_months=16, notes=610),
    ),
    DemoCustomer(
        id="cus_dana",
        name="Dana Petrov",
        email="dana@example.com",
        country="DE",
        blurb="Still trying it out: Pro trial, nine days left.",
        attributes=_attributes("Pro", tenure_months=0, notes=6),
    ),
    DemoCustomer(
        id="cus_emil",
        name="Emil Santos",
        email="emil@example.com",
        country="US",
        blurb="Has two subscriptions: Pro and Northwind Publish.",
        attributes=_attributes("Pro", tenure_months=11, notes=385),
    ),
    DemoCustomer(
        id="cus_farah",
        name="Farah Haddad",
        email="farah@example.com",
        country="US",
        blurb="Pro, monthly. Paused twice this year and waits for support.",
        attributes=_attributes("Pro", tenure_months=14, notes=872, tickets=3, pauses=2),
    ),
)


# Whoever signed up twice, with one address: to the shop one person, to its billing two customers.
SECOND_ACCOUNT: Final = DemoCustomer(
    id="cus_emil_work",
    name="Studio Santos",
    email="emil@example.com",
    country="US",
    blurb="Emil once more, as the studio he works from: Lite, yearly.",
    attributes=_attributes("Lite", tenure_months=8, notes=52),
)
BILLED: Final = (*CUSTOMERS, SECOND_ACCOUNT)

# For the way out without signing in: whose address it is worth to try, and why.
ADDRESSES: Final = (
    ("ben@example.com", "one subscription"),
    ("emil@example.com", "two accounts, three subscriptions"),
    ("nobody@example.com", "nobody we know"),
)


def find_customer(customer_id: str) -> DemoCustomer | None:
    """One of the six who can sign in."""
    return next((customer for customer in CUSTOMERS if customer.id == customer_id), None)


def find_billed(customer_id: str) -> DemoCustomer | None:
    """Anybody whom billing knows."""
    return next((customer for customer in BILLED if customer.id == customer_id), None)
