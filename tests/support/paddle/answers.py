"""Paddle's answers: data with a request id, pages, errors with their codes."""

import uuid
from collections.abc import Collection, Sequence
from typing import Any

from tests.support.simulator.http import Answer, Ask

Entity = dict[str, Any]
_SETTINGS = {"per_page", "after", "order_by", "include", "search"}


class Refused(Exception):
    """An error answer, on its way out of a handler."""

    def __init__(self, status: int, code: str, detail: str = "", fields: Sequence[str] = ()) -> None:
        super().__init__(code)
        self.answer = error(status, code, detail, fields)


def data(entity: Any, status: int = 200) -> Answer:
    return Answer({"data": entity, "meta": {"request_id": str(uuid.uuid4())}}, status)


def error(
    status: int,
    code: str,
    detail: str = "",
    fields: Sequence[str] = (),
    headers: dict[str, str] | None = None,
) -> Answer:
    kind = "api_error" if status >= 500 or status == 429 else "request_error"
    body: Entity = {
        "type": kind,
        "code": code,
        "detail": detail or f"{code.replace('_', ' ').capitalize()}.",
        "documentation_url": f"https://developer.paddle.com/errors/shared/{code}",
    }
    if fields:
        body["errors"] = [{"field": field, "message": "is not valid"} for field in fields]
    return Answer({"error": body, "meta": {"request_id": str(uuid.uuid4())}}, status, headers or {})


def invalid(*fields: str) -> Refused:
    return Refused(400, "invalid_field", "Request does not pass validation.", fields)


def read_body(ask: Ask, known: Collection[str]) -> Entity:
    """The JSON object sent. Raises Refused for anything else, and for a field that Paddle does not have."""
    try:
        body = ask.json()
    except ValueError:
        raise Refused(400, "invalid_json") from None
    if not isinstance(body, dict):
        raise Refused(400, "bad_request")
    if unknown := sorted(body.keys() - set(known)):
        raise invalid(*unknown)
    return body


def page(
    ask: Ask, entities: Sequence[Entity], *, filters: Collection[str], base: str, largest: int = 200
) -> Answer:
    """One page of the entities that the query's filters let through, the newest ids first if not asked otherwise."""
    query = ask.params()
    if unknown := sorted(query.keys() - set(filters) - _SETTINGS):
        raise Refused(400, "bad_request", "There is no such query parameter.", unknown)
    order = query.get("order_by", "id[DESC]")
    if order not in ("id[ASC]", "id[DESC]"):
        raise invalid("order_by")
    wanted = query.get("per_page", "50")
    if not wanted.isdigit() or not 1 <= int(wanted) <= 200:
        raise invalid("per_page")
    size = min(int(wanted), largest)
    entities = sorted(entities, key=lambda each: each["id"], reverse=order == "id[DESC]")
    if after := query.get("after"):
        newest_first = order == "id[DESC]"
        entities = [each for each in entities if (each["id"] < after) == newest_first and each["id"] != after]
    shown = list(entities[:size])
    last = shown[-1]["id"] if shown else ""
    pagination = {
        "per_page": size,
        "next": f"{base}{ask.path}?after={last}",
        "has_more": len(entities) > size,
        "estimated_total": len(entities),
    }
    return Answer({"data": shown, "meta": {"request_id": str(uuid.uuid4()), "pagination": pagination}})


def listed(ask: Ask, name: str, default: str = "") -> list[str]:
    """A filter's values: a comma-separated list."""
    value = ask.params().get(name, default)
    return value.split(",") if value else []
