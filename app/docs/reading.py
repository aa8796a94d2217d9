"""Turns the OpenAPI document into what its page shows, so that the page cannot say anything else than the document."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from markupsafe import Markup

from app.docs.prose import inline, prose

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field or parameter: its name, what it is, whether it must be there."""

    name: str
    kind: Markup
    is_required: bool
    about: Markup
    place: str = ""


@dataclass(frozen=True, slots=True)
class RefusalView:
    status: int
    title: str
    code: str
    when: Markup


@dataclass(frozen=True, slots=True)
class OperationView:
    anchor: str
    method: str
    path: str
    summary: str
    about: Markup
    parameters: tuple[FieldView, ...]
    body: tuple[FieldView, ...]
    request: str
    answer: str
    answer_status: str
    answer_about: Markup
    answer_fields: tuple[FieldView, ...]
    refusals: tuple[RefusalView, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    anchor: str
    title: str
    about: Markup
    operations: tuple[OperationView, ...]


@dataclass(frozen=True, slots=True)
class ShapeView:
    anchor: str
    name: str
    about: Markup
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    about: Markup
    server: str
    groups: tuple[GroupView, ...]
    shapes: tuple[ShapeView, ...]


def read(document: Mapping[str, Any]) -> Reference:
    """The whole page. Shapes are those that fields refer to; bodies and answers stand with their operation."""
    schemas = document["components"]["schemas"]
    server = document["servers"][0]["url"]
    groups = tuple(
        GroupView(
            anchor=_anchor(tag["name"]),
            title=tag["name"],
            about=prose(tag["description"]),
            operations=tuple(
                _operation(method, path, operation, schemas, server)
                for path, methods in document["paths"].items()
                for method, operation in methods.items()
                if tag["name"] in operation["tags"]
            ),
        )
        for tag in document["tags"]
    )
    shapes = tuple(
        ShapeView(f"shape-{name}", name, prose(schemas[name].get("description", "")), _fields(schemas[name]))
        for name in _nested(document["paths"], schemas)
        if "properties" in schemas[name]
    )
    return Reference(prose(document["info"]["description"]), server, groups, shapes)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Schema, server: str
) -> OperationView:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    status, success = next(
        (status, response) for status, response in operation["responses"].items() if status < "300"
    )
    content = success["content"]["application/json"]
    return OperationView(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        about=prose(operation["description"]),
        parameters=tuple(
            FieldView(
                name=parameter["name"],
                kind=_kind(parameter["schema"]),
                is_required=parameter["required"],
                about=inline(parameter["description"]),
                place=parameter["in"],
            )
            for parameter in operation["parameters"]
        ),
        body=_fields(_resolved(body["schema"], schemas)) if body else (),
        request=_curl(method, path, operation, body, server),
        answer=_pretty(content["example"]),
        answer_status=f"{status} {HTTPStatus(int(status)).phrase}",
        answer_about=inline(success["description"]),
        answer_fields=_fields(_resolved(content["schema"], schemas)),
        refusals=tuple(_refusals(operation["responses"])),
    )


def _refusals(responses: Mapping[str, Any]) -> Iterator[RefusalView]:
    for status, response in responses.items():
        for content in response["content"].values():
            codes = content.get("examples", {})
            if codes:
                title = HTTPStatus(int(status)).phrase
                yield RefusalView(int(status), title, ", ".join(codes), inline(response["description"]))


def _fields(schema: Schema) -> tuple[FieldView, ...]:
    required = schema.get("required", ())
    return tuple(
        FieldView(name, _kind(part), name in required, inline(_about(part)))
        for name, part in schema.get("properties", {}).items()
    )


def _about(schema: Schema) -> str:
    said = [schema.get("description", "")]
    if "default" in schema and "const" not in schema:
        said.append(f"Default: `{json.dumps(schema['default'])}`.")
    return " ".join(part for part in said if part)


def _kind(schema: Schema) -> Markup:
    """A schema in a few words; a shape is a link to where it stands."""
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return inline(f"`{json.dumps(schema['const'])}`")
    if "enum" in schema:
        return inline(" or ".join(f"`{json.dumps(value)}`" for value in schema["enum"]))
    parts = schema.get("oneOf") or (schema.get("anyOf") if "type" not in schema else None)
    if parts:
        return Markup(" or ").join(dict.fromkeys(_kind(part) for part in parts))
    kind = schema.get("type", "anything")
    if kind == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return Markup("list of {}{}").format(_kind(schema.get("items", {})), most)
    word = _WORDS.get(schema.get("format", ""))
    return Markup("{}{}").format(word or kind, "" if word else _bounds(schema))


_WORDS = {"date-time": "date and time", "uri": "URL", "date": "date", "time-zone": "IANA time zone"}


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        return f", {low} to {high} characters" if low else f", up to {high} characters"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    return ""


def _named(name: str) -> Markup:
    return Markup('<a href="#shape-{0}">{0}</a>').format(name) if name not in _INLINE else inline(f"`{name}`")


_INLINE = frozenset({"LinkState", "Outcome", "OfferStatus"})


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    found: Schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _nested(paths: Mapping[str, Any], schemas: Schema) -> list[str]:
    """The shapes that others refer to, in the order in which a reader meets them."""
    top = list(dict.fromkeys(_references(paths)))
    found: dict[str, None] = {}
    pending = list(top)
    while pending:
        name = pending.pop(0)
        for inner in _references(schemas[name]):
            if inner not in found:
                found[inner] = None
                pending.append(inner)
    return list(found)


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, inner in node.items():
            if key == "$ref":
                yield inner.rpartition("/")[2]
            elif key not in ("example", "examples", "mapping"):
                yield from _references(inner)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for inner in node:
            yield from _references(inner)


def _curl(
    method: str, path: str, operation: Mapping[str, Any], body: Mapping[str, Any] | None, server: str
) -> str:
    filled = re.sub(r"\{(\w+)\}", lambda part: _example_of(part[1], operation), path)
    lines = [f"curl {server}{filled}"]
    if method != "get":
        lines[0] = f"curl -X {method.upper()} {server}{filled}"
    lines += ['-H "x-ck-app: $LEAVEWELL_APP_ID"', '-H "x-ck-api-key: $LEAVEWELL_API_KEY"']
    if body is not None:
        lines += ['-H "content-type: application/json"', f"-d '{_pretty(body['example'])}'"]
    return " \\\n  ".join(lines)


def _example_of(name: str, operation: Mapping[str, Any]) -> str:
    return next(str(p["example"]) for p in operation["parameters"] if p["name"] == name)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
