"""Customers and subscriptions as merchants send them, to be changed by a test in one place."""

from copy import deepcopy
from typing import Any

# The complete example of the published document on customer and subscription shapes.
CUSTOMER: dict[str, Any] = {
    "id": "cus_123",
    "email": "jane@acme.com",
    "name": "Jane",
    "metadata": {"plan": "pro", "signupDate": "2024-03-12"},
}
SUBSCRIPTION: dict[str, Any] = {
    "id": "sub_456",
    "start": "2024-03-12",
    "status": {"name": "active", "currentPeriod": {"start": "2025-04-01", "end": "2025-05-01"}},
    "items": [
        {
            "price": {
                "id": "price_pro",
                "name": "Pro monthly",
                "amount": {"value": 2999, "currency": "USD"},
                "duration": {"interval": "month"},
            }
        }
    ],
    "discounts": [{"coupon": {"id": "STRIPE_LOYAL10", "percentOff": 10}, "end": "2025-07-01"}],
}

GONE = object()


def put(shape: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the shape with `value` at a path such as `items.0.price.id`; GONE takes it away."""
    whole: Any = deepcopy(shape)
    inner = whole
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        inner = inner[step]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return whole
