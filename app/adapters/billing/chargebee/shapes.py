"""Sifts what Chargebee answers into values that our shapes take: what does not fit is left out, nothing raises."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from app.core.fields import MAX_ID, MAX_TEXT, is_clean, sift_metadata
from app.core.money import is_currency_code

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


def text(value: object) -> str | None:
    if not isinstance(value, str) or not is_clean(value, allowed="\n\t"):
        return None
    return value.strip()[:MAX_TEXT] or None


def identifier(value: object) -> str | None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID or value != value.strip():
        return None
    return value if is_clean(value) else None


def email(value: object) -> str | None:
    address = text(value)
    if address is None or len(address) > 320 or "@" not in address[1:-1] or re.search(r"\s", address):
        return None
    return address


def currency(value: object) -> str | None:
    code = value.upper() if isinstance(value, str) else ""
    return code if is_currency_code(code) else None


def country(value: object) -> str | None:
    code = value.upper() if isinstance(value, str) else ""
    return code if _COUNTRY.fullmatch(code) else None


def whole(value: object, *, at_least: int, at_most: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if at_least <= value <= at_most else None


def percent(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 < number <= 100:
        return None
    return number if number == round(number, 6) else None


def documents(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def metadata(*sources: object, custom: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is in metadata objects and in custom fields (`cf_…`), as much as our shapes keep."""
    found: dict[str, Any] = {}
    for source in sources:
        found |= source if isinstance(source, dict) else {}
    found |= {name: value for name, value in (custom or {}).items() if name.startswith("cf_")}
    return sift_metadata(found)
