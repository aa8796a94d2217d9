"""Holds what is sent, or is to be, against the published schemas of webhooks."""

from functools import cache
from typing import Any

import jsonschema_rs
from sqlmodel import Session, select

from app.core.calendar import iso
from app.core.events import EventType
from app.core.webhook_schemas import VERSION, body_schema, definitions
from app.db.tables.events import EventRow


@cache
def _validator(type: str) -> jsonschema_rs.Draft202012Validator:
    schema = {**body_schema(EventType(type)), "$defs": definitions()}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def problems_of(body: Any) -> list[str]:
    """What is wrong with a message, by the schema of its type."""
    if body.get("type") not in set(EventType):
        return [f"there is no type {body.get('type')}"]
    return [
        f"{body['type']}: {'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in _validator(body["type"]).iter_errors(body)
    ]


def problems_in(db: Session) -> list[str]:
    """The same of every event that was written, whether anybody is told of it or not."""
    return [
        problem
        for event in db.exec(select(EventRow))
        for problem in problems_of(
            {
                "id": event.id,
                "type": event.type,
                "timestamp": iso(event.created_at),
                "version": VERSION,
                "appId": event.app_id,
                "mode": "test",
                "sessionId": event.session_id,
                "sequence": event.sequence if event.session_id else None,
                "data": event.data,
            }
        )
    ]
