"""Loaded by schemathesis itself. Makes of data that fits the schema data that fits the moment as well: what a schema
cannot say (a date in the near future or behind another, an origin on a list, the name of a zone, a cursor of ours) has
tests of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis


@schemathesis.hook  # type: ignore[untyped-decorator]  # schemathesis leaves it so
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query.pop("cursor", None)
    if "timeZone" in case.query:
        case.query["timeZone"] = "Europe/Berlin"
    if "startDate" in case.query and "endDate" in case.query:
        case.query["endDate"] = case.query["startDate"]  # not before it
    if isinstance(case.body, dict) and "email" in case.body:
        case.body = {**case.body, "email": "ada@example.com"}
    if isinstance(case.body, dict) and "expiresAt" in case.body:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        # Billing data has rules between its fields: a currency in one of two places, an end after its start.
        given = {name: case.body[name] for name in case.body if name not in ("customer", "subscriptions")}
        case.body = {**given, "expiresAt": tomorrow.isoformat()}
        if case.body.get("returnUrl") is not None:
            case.body["returnUrl"] = "https://app.example.com/billing"
