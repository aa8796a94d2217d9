"""The published JSON Schema of flow files, for editors. It says less than flow_check.py can."""

from typing import Any

from app.core.flow import FlowDefinition
from app.core.rules import MAX_LIST, Op

SCHEMA_ID = "urn:leavewell:flow:1"

_SCALAR = {"type": ["string", "number", "boolean"]}
_GROUP = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Rule"}}
_NO_VALUE = [Op.EXISTS.value, Op.NOT_EXISTS.value]

RULE: dict[str, Any] = {
    "title": "Rule",
    "description": "A condition. On an attribute that is missing, neither it nor its negation is true.",
    "oneOf": [
        {
            "title": "All of these",
            "type": "object",
            "properties": {"all": _GROUP},
            "required": ["all"],
            "additionalProperties": False,
        },
        {
            "title": "Any of these",
            "type": "object",
            "properties": {"any": _GROUP},
            "required": ["any"],
            "additionalProperties": False,
        },
        {
            "title": "Not this",
            "type": "object",
            "properties": {"not": {"$ref": "#/$defs/Rule"}},
            "required": ["not"],
            "additionalProperties": False,
        },
        {
            "title": "Condition on an attribute",
            "type": "object",
            "properties": {
                "attribute": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Built in, as subscription.tenure_months, or your own, without a dot.",
                    "examples": ["session.reason", "subscription.plan_id", "plan"],
                },
                "op": {"enum": [op.value for op in Op]},
                "value": {
                    "description": "What to compare with; a list for in, not_in and between (two).",
                    "oneOf": [
                        _SCALAR,
                        {"type": "array", "minItems": 1, "maxItems": MAX_LIST, "items": _SCALAR},
                    ],
                },
            },
            "required": ["attribute", "op"],
            "if": {"properties": {"op": {"enum": _NO_VALUE}}, "required": ["op"]},
            "then": {"properties": {"value": False}},
            "else": {"required": ["value"]},
            "additionalProperties": False,
        },
    ],
}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a flow definition, rules included."""
    schema = FlowDefinition.model_json_schema(by_alias=True)
    schema["$defs"]["Rule"] = RULE
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **{key: _tidy(part) for key, part in schema.items()},
        "title": "Leavewell cancel flow",
    }


def _tidy(node: Any) -> Any:
    """Point rules at their definition, and leave out what only OpenAPI knows."""
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-rule"):
        return {"$ref": "#/$defs/Rule"}
    return {
        key: _tidy(part)
        for key, part in node.items()
        if not (key == "discriminator" and isinstance(part, dict) and "mapping" in part)
    }
