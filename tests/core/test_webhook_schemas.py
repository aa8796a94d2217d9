"""The published schemas say of each event what there is, and no more."""

import jsonschema_rs
import pytest

from app.core.events import Event, EventType
from app.core.webhook_schemas import ABOUT, VERSION, body_schema, json_schema
from tests.core.test_events import one_of_each
from tests.support.schemas import problems_of

MESSAGES = sorted(
    (event for event in one_of_each() if "outcome" not in event.data or "requestId" in event.data),
    key=lambda event: event.type,
)


def body(event: Event, **changes: object) -> dict[str, object]:
    return {
        "id": "evt_1",
        "type": str(event.type),
        "timestamp": "2026-11-21T09:00:00Z",
        "version": VERSION,
        "appId": "app_1",
        "mode": "live",
        "sessionId": None,
        "sequence": None,
        "data": event.data,
        **changes,
    }


def test_the_schema_is_one_and_says_something_of_every_type() -> None:
    jsonschema_rs.meta.validate(json_schema())
    assert set(ABOUT) == set(EventType)
    for type in EventType:
        for name, part in body_schema(type)["properties"]["data"]["properties"].items():
            assert part["description"], f"{type}: {name}"


@pytest.mark.parametrize("event", MESSAGES, ids=lambda event: str(event.type))
def test_a_message_is_as_published(event: Event) -> None:
    assert problems_of(body(event)) == []
    assert problems_of(body(event, sessionId="cs_1", sequence=3)) == []


@pytest.mark.parametrize("event", MESSAGES, ids=lambda event: str(event.type))
def test_what_is_not_published_is_noticed(event: Event) -> None:
    assert problems_of(body(event, more=1))
    assert problems_of(body(Event(event.type, {**event.data, "phone": "555-0100"})))
    for name in set(event.data) - {"customerId", "requestId", "reference", "email", "note"}:
        rest = {key: value for key, value in event.data.items() if key != name}
        assert problems_of(body(Event(event.type, rest))), f"without {name}"
    assert problems_of({**body(event), "type": "session.over"})


def test_a_customer_s_name_and_phone_have_no_place() -> None:
    [started] = [event for event in one_of_each() if event.type is EventType.SESSION_STARTED]
    for private in ("name", "lastName", "phone"):
        data = {**started.data, "customer": {**started.data["customer"], private: "Ada"}}
        assert problems_of(body(Event(started.type, data)))
