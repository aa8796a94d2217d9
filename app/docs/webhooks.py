"""Turns the published schemas of webhooks into what the reference's page shows of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from app.core.events import EventType
from app.core.webhook_schemas import ABOUT, body_schema
from app.docs.prose import inline
from app.docs.reading import FieldView


@dataclass(frozen=True, slots=True)
class EventView:
    """One type: what has happened, and what `data` has."""

    anchor: str
    type: str
    about: Markup
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, slots=True)
class WebhooksView:
    """What every message has around its data, and the types there are."""

    envelope: tuple[FieldView, ...]
    events: tuple[EventView, ...]


@cache
def view() -> WebhooksView:
    around = body_schema(EventType.WEBHOOK_TEST)
    around["properties"]["type"] = {"type": "string", "description": "What has happened."}
    around["properties"]["data"] = {"type": "object", "description": "What there is to say of it, by type."}
    return WebhooksView(
        envelope=_fields(around),
        events=tuple(
            EventView(
                anchor=f"event-{type.replace('.', '-')}",
                type=str(type),
                about=inline(ABOUT[type]),
                fields=_fields(body_schema(type)["properties"]["data"]),
            )
            for type in EventType
        ),
    )


def _fields(schema: Mapping[str, Any]) -> tuple[FieldView, ...]:
    return tuple(
        FieldView(name, inline(_kind(part)), name in schema["required"], inline(part.get("description", "")))
        for name, part in schema["properties"].items()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    word = "date and time" if schema.get("format") == "date-time" else types[0]
    return " or ".join([word, *types[1:]])
