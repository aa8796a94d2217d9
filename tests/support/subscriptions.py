"""Subscriptions for tests, in one line each. Dates are ISO text; today is 21 November 2026."""

from datetime import UTC, datetime
from typing import Any

from app.core.direct import DirectPrice, DirectSubscription, parse_subscriptions

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def price(
    value: int = 2900,
    currency: str = "EUR",
    *,
    every: str = "month",
    count: int = 1,
    price_id: str = "price_pro",
) -> DirectPrice:
    return DirectPrice.model_validate(_price(value, currency, every, count, price_id))


def active(
    value: int = 2900,
    currency: str = "EUR",
    *,
    every: str = "month",
    count: int = 1,
    renews: str = "2026-12-01",
    began: str | None = None,
    started: str = "2025-06-01",
    quantity: int = 1,
    **more: Any,
) -> DirectSubscription:
    """A running subscription that renews on `renews`."""
    period = {"start": began or started, "end": renews}
    status = {"name": "active", "currentPeriod": period}
    return _subscription(value, currency, every, count, quantity, started, status, more)


def on_trial(
    value: int = 2900,
    currency: str = "EUR",
    *,
    started: str = "2026-11-16",
    ends: str = "2026-11-30",
    **more: Any,
) -> DirectSubscription:
    status = {"name": "trial", "trial": {"start": started, "end": ends}}
    return _subscription(value, currency, "month", 1, 1, started, status, more)


def in_state(status: dict[str, Any], **more: Any) -> DirectSubscription:
    return _subscription(2900, "EUR", "month", 1, 1, "2025-06-01", status, more)


def _price(value: int, currency: str, every: str, count: int, price_id: str = "price_pro") -> dict[str, Any]:
    return {
        "id": price_id,
        "name": "Pro",
        "duration": {"interval": every, "intervalCount": count},
        "amount": {"value": value, "currency": currency},
    }


def _subscription(
    value: int,
    currency: str,
    every: str,
    count: int,
    quantity: int,
    started: str,
    status: dict[str, Any],
    more: dict[str, Any],
) -> DirectSubscription:
    items = [{"price": _price(value, currency, every, count), "quantity": quantity}]
    raw = {"id": "sub_1", "start": started, "status": status, "items": items, **more}
    return parse_subscriptions([raw], None)[0]
