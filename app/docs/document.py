"""Assembles the OpenAPI 3.1 document from what each room says of its API. A new room is one entry in OPERATIONS."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.insights import dsr_reference as dsr
from app.insights import reference as data
from app.links import reference as links
from app.links.api import APP_HEADER, KEY_HEADER
from app.web.problems import PROBLEM
from app.web.reference import Operation, Parameter, Problem, Refusal, Success

OPERATIONS: Final[Sequence[Operation]] = (*links.OPERATIONS, *data.OPERATIONS, *dsr.OPERATIONS)

TAGS: Final[Mapping[str, str]] = {
    links.TAG: "A link leads one customer to your cancel flow. Your backend makes it at the moment it is needed.",
    data.TAG: data.ABOUT,
    dsr.TAG: dsr.ABOUT,
}

VERSION: Final = "1"
SECURITY: Final[list[dict[str, list[str]]]] = [{"appId": [], "apiKey": []}]
DESCRIPTION: Final = (
    "The API of Leavewell, the self-hosted cancel page. JSON in, JSON out, over HTTPS.\n\n"
    f"Every request carries your App ID (`{APP_HEADER}`) and an API key (`{KEY_HEADER}`). Both belong to one "
    "environment, live or test, and that alone decides the mode. Keep keys on your server.\n\n"
    f"An error is a problem document (`{PROBLEM}`, RFC 9457): `code` is for programs, `detail` for people, and "
    "`errors` names each field that is wrong. A field that there is not is an error too, so that a misspelt one is "
    "never ignored."
)
_REF: Final = "#/components/schemas/{model}"


@cache
def openapi(base_url: str) -> dict[str, Any]:
    """The document of an installation at that address. Shared: not to be changed."""
    references, schemas = _schemas(OPERATIONS)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method] = _operation(operation, references)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Leavewell API",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base_url}],
        "security": SECURITY,
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": dict(paths),
        "components": {
            "securitySchemes": {
                "appId": {
                    "type": "apiKey",
                    "in": "header",
                    "name": APP_HEADER,
                    "description": "The environment's App ID: `app_…` live, `app_test_…` test.",
                },
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": KEY_HEADER,
                    "description": "An API key of that environment: `live_…` or `test_…`; at `/v1/data` a data key.",
                },
            },
            "schemas": schemas,
        },
    }


Mode = Literal["validation", "serialization"]
References = Mapping[tuple[type[BaseModel], Mode], dict[str, Any]]


def _schemas(operations: Iterable[Operation]) -> tuple[References, dict[str, Any]]:
    """A reference for every model, and all their schemas with those they refer to."""
    models: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            models[operation.body, "validation"] = None
        models |= {(one.model, "serialization"): None for one in (operation.success, *operation.also)}
    references, definitions = models_json_schema(list(models), by_alias=True, ref_template=_REF)
    schemas = {name: _tidy(schema) for name, schema in sorted(definitions["$defs"].items())}
    return {key: references[key] for key in models}, schemas


def _operation(operation: Operation, references: References) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": references[operation.body, "validation"]}
        if operation.body_example is not None:
            content["example"] = operation.body_example
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    described["responses"] = {
        **{str(one.status): _success(one, references) for one in (operation.success, *operation.also)},
        **_refusals(operation.refusals, references[Problem, "serialization"]),
    }
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": {key: value for key, value in parameter.schema.items() if key not in _NOISE},
    }
    if parameter.example is not None:
        described["example"] = parameter.example
    return described


_NOISE: Final = frozenset({"title", "description", "examples"})


def _success(success: Success, references: References) -> dict[str, Any]:
    headers = {
        name: {"description": says, "schema": {"type": "string"}} for name, says in success.headers.items()
    }
    return {
        "description": success.description,
        **({"headers": headers} if headers else {}),
        "content": {
            "application/json": {
                "schema": references[success.model, "serialization"],
                "example": success.example,
            },
            **{
                media_type: {"schema": {"type": "string"}, "example": example}
                for media_type, example in success.also.items()
            },
        },
    }


def _refusals(refusals: Sequence[Refusal], reference: Mapping[str, Any]) -> dict[str, Any]:
    by_status: dict[int, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        by_status[refusal.status].append(refusal)
    described = {}
    for status, found in sorted(by_status.items()):
        content = {
            "schema": reference,
            "examples": {refusal.code: {"value": _example(refusal)} for refusal in found},
        }
        described[str(status)] = {
            "description": " ".join(refusal.when for refusal in found),
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
            "content": {PROBLEM: content},
        }
    return described


_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}


def _example(refusal: Refusal) -> dict[str, Any]:
    is_about_fields = refusal.code == "invalid_input"
    return {
        "type": f"urn:leavewell:problem:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "errors": [{"field": "expiresAt", "message": "Must be in the future."}] if is_about_fields else [],
        "message": refusal.detail,
    }


def _tidy(schema: Any, *, is_name: bool = False) -> Any:
    """Leave out what pydantic adds for itself, and require what tells a union's members apart."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if is_name:  # the keys are names of fields, not words of JSON Schema
        return {name: _tidy(part) for name, part in schema.items()}
    tidied = {
        key: _tidy(part, is_name=key == "properties")
        for key, part in schema.items()
        if key != "title" and not (key == "default" and part is None)
    }
    properties = tidied.get("properties", {})
    if fixed := [name for name, part in properties.items() if isinstance(part, dict) and "const" in part]:
        tidied["required"] = sorted({*tidied.get("required", ()), *fixed}, key=list(properties).index)
    return tidied


def names_of(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Method and path of every operation in a document."""
    return set(
        chain.from_iterable(
            ((method.upper(), path) for method in methods) for path, methods in document["paths"].items()
        )
    )
