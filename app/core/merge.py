"""Merge fields in a merchant's copy: `{{name|fallback}}`. Plain text in, plain text out; escaping is the renderer's."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.core.direct import DirectCustomer

_FIELD = re.compile(r"\{\{([^{}|]{1,100})(?:\|([^{}]{0,500}))?\}\}")


@dataclass(frozen=True, slots=True)
class MergeField:
    """One field as written; `fallback` is None where none is given, `at` is its offset in the text."""

    name: str
    fallback: str | None
    at: int


def plain(value: object) -> str:
    """A value without any locale: dates as 2025-04-01, whole numbers without decimals."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.15g}"
        case datetime():
            return value.date().isoformat()
        case _:
            return str(value)


def fill(text: str, facts: Mapping[str, object], *, show: Callable[[object], str] = plain) -> str:
    """The text with every field replaced by its fact, else its fallback, else nothing.

    `show` words a value for the reader's locale. Values are put in as they are, once: a `{{…}}` in one stays.
    """

    def replacement(match: re.Match[str]) -> str:
        value = facts.get(match[1].strip())
        shown = "" if value is None else show(value)
        return shown if shown.strip() else (match[2] or "").strip()

    return _FIELD.sub(replacement, text)


def has_fields(text: str) -> bool:
    """Whether it is worth finding out what could be filled in."""
    return "{{" in text


def fields(text: str) -> Iterator[MergeField]:
    """Every well-formed merge field of the text, in order."""
    for match in _FIELD.finditer(text):
        yield MergeField(match[1].strip(), None if match[2] is None else match[2].strip(), match.start())


def unreadable(text: str) -> Iterator[int]:
    """Offsets of braces that look like a merge field but are none, and so would reach the customer as they stand."""
    blanked = _FIELD.sub(lambda match: " " * len(match[0]), text)
    return (match.start() for match in re.finditer(r"\{\{|\}\}", blanked))


def customer_names(customer: DirectCustomer | None) -> dict[str, str]:
    """The customer's names for copy, and for nothing else: rules, records and webhooks never see them.

    `CUSTOMER_NAME`, `CUSTOMER_NAME.FIRST`, `CUSTOMER_NAME.LAST` and `CUSTOMER_EMAIL`; what is not known is absent.
    """
    if customer is None:
        return {}
    whole = (customer.name or "").strip()
    first, _, last = whole.partition(" ")
    if customer.last_name and customer.last_name != last.strip():
        last = customer.last_name
        whole = f"{whole} {last}"
    names = {
        "CUSTOMER_NAME": whole.strip(),
        "CUSTOMER_NAME.FIRST": first,
        "CUSTOMER_NAME.LAST": last.strip(),
        "CUSTOMER_EMAIL": customer.email or "",
    }
    return {name: value for name, value in names.items() if value}
