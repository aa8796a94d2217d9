"""The published JSON Schema of a rule."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.facts import BUILT_INS, MAX_NAME, MAX_NUMBER, MAX_VALUE
from app.core.rules.operators import MAX_LIST, Op
from app.core.rules.parsing import MAX_NODES


def rule_json_schema(ref: str = "#/$defs/Rule") -> dict[str, Any]:
    """JSON Schema (2020-12) of a rule; `ref` is the place where it will stand, as it refers to itself."""
    scalar: dict[str, Any] = {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE}
    number = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
    moment = {
        "type": "string",
        "pattern": r"^\d{4}-\d\d-\d\d",
        "examples": ["2025-04-01", "2025-04-01T12:00:00Z"],
    }
    text = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE}
    listed = [
        {"type": "array", "items": {**kind, "maxLength": MAX_VALUE}, "minItems": 1, "maxItems": MAX_LIST}
        for kind in ({"type": "string"}, {"type": "number"}, {"type": "boolean"})
    ]
    pairs = [{"type": "array", "items": kind, "minItems": 2, "maxItems": 2} for kind in (number, moment)]
    parts = {"type": "array", "items": {"$ref": ref}, "minItems": 1, "maxItems": MAX_NODES}
    return {
        "title": "Rule",
        "description": "A condition on attributes. Only true matches: a missing attribute makes it unknown.",
        "oneOf": [
            _object({"all": {**parts, "description": "Every part must match."}}),
            _object({"any": {**parts, "description": "One part must match."}}),
            _object({"not": {"$ref": ref, "description": "The part must not match."}}),
            _leaf_schema((Op.EQ, Op.NEQ), scalar),
            _leaf_schema((Op.IN, Op.NOT_IN), {"anyOf": listed}),
            _leaf_schema((Op.GT, Op.GTE, Op.LT, Op.LTE), number),
            _leaf_schema((Op.BETWEEN,), {"anyOf": pairs}),
            _leaf_schema((Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH), text),
            _leaf_schema((Op.BEFORE, Op.AFTER), moment),
            _leaf_schema((Op.EXISTS, Op.NOT_EXISTS), None),
        ],
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _leaf_schema(ops: Sequence[Op], value: Mapping[str, Any] | None) -> dict[str, Any]:
    attribute = {
        "anyOf": [
            {"enum": sorted(BUILT_INS)},
            {"type": "string", "pattern": r"^[^.]+$", "minLength": 1, "maxLength": MAX_NAME},
        ]
    }
    asked = {"attribute": attribute, "op": {"enum": [op.value for op in ops]}}
    return _object(asked if value is None else {**asked, "value": value})
