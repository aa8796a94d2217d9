"""The published schema agrees with what is read: an editor neither refuses a good flow nor passes a misspelt one."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from app.core.flow import OfferKind
from app.core.flow_check import InvalidFlow, parse_flow
from app.core.flow_schema import json_schema
from app.core.rules import Op

SCHEMA = json_schema()
CONFIRM = {"kind": "confirm", "id": "confirm"}
DEMO = Path(__file__).parents[2] / "demo" / "flow.yaml"


def is_valid(data: object) -> bool:
    return jsonschema_rs.Draft202012Validator(SCHEMA).is_valid(data)


def flow(**step: Any) -> dict[str, Any]:
    return {"name": "x", "steps": [{"id": "a", **step}, CONFIRM]}


def ruled(rule: object) -> dict[str, Any]:
    return flow(kind="message", title="x", when=rule)


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_demo_flow_is_valid() -> None:
    assert is_valid(yaml.safe_load(DEMO.read_text("utf-8")))


GOOD: list[dict[str, Any]] = [
    {"name": "x", "steps": [CONFIRM]},
    {"version": 1, "name": "x", "cooldowns": {kind.value: 3 for kind in OfferKind}, "steps": [CONFIRM]},
    flow(kind="survey", reasons=[{"id": "r", "label": "R", "follow_up": {"kind": "text", "question": "?"}}]),
    flow(
        kind="offer",
        offers=[{"id": "o", "kind": "discount", "percent": 12.5, "duration": "once", "copy": {}}],
    ),
    flow(kind="offer", offers=[{"id": "o", "kind": "pause", "unit": "week", "max": 26}]),
    flow(kind="feedback", branches=[{"goto": "confirm"}]),
    ruled({"attribute": "plan", "op": "exists"}),
    ruled({"all": [{"not": {"any": [{"attribute": "plan", "op": "in", "value": ["a", "b"]}]}}]}),
]

BAD: list[object] = [
    [],
    {"name": "x"},
    {"name": "x", "steps": []},
    {"name": "x", "steps": [CONFIRM], "nmae": 1},
    {"name": "x", "steps": [CONFIRM], "cooldowns": {"pauze": 3}},
    {"name": "x" * 201, "steps": [CONFIRM]},
    flow(kind="sruvey"),
    flow(kind="survey", reasons=[]),
    flow(kind="survey", reasons=[{"id": "R!", "label": "R"}]),
    flow(kind="offer", offers=[{"id": "o", "kind": "discount", "percent": 101, "duration": "once"}]),
    flow(kind="offer", offers=[{"id": "o", "kind": "trial_extension", "days": 31}]),
    flow(kind="message", titel="x"),
    ruled({"attribute": "plan"}),
    ruled({"attribute": "plan", "op": "is", "value": "a"}),
    ruled({"attribute": "plan", "op": "eq"}),
    ruled({"attribute": "plan", "op": "exists", "value": 1}),
    ruled({"all": []}),
    ruled({"all": [], "any": []}),
    ruled({"every": []}),
]


@pytest.mark.parametrize("data", GOOD)
def test_what_is_read_is_valid(data: dict[str, Any]) -> None:
    parse_flow(data)
    assert is_valid(data)


@pytest.mark.parametrize("data", BAD)
def test_what_is_refused_is_not_valid(data: object) -> None:
    with pytest.raises(InvalidFlow):
        parse_flow(data)
    assert not is_valid(data)


@pytest.mark.parametrize("op", list(Op))
def test_every_operator_is_known_to_it(op: Op) -> None:
    assert is_valid(ruled({"attribute": "plan", "op": op.value, "value": 1})) is (
        op not in (Op.EXISTS, Op.NOT_EXISTS)
    )


def test_editors_have_something_to_show() -> None:
    parts = {name: part for name, part in SCHEMA["$defs"].items() if name.endswith(("Step", "Offer"))}
    assert len(parts) == 11
    assert all(part.get("description") for part in parts.values())
