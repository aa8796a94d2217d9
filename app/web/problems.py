"""The JSON side: reads bodies strictly and answers with problem+json (RFC 9457). Knows no endpoint."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from litestar import Response
from pydantic import BaseModel, ValidationError

from app.core.errors import FieldError, InvalidInput, MalformedRequest, UnsupportedMediaType
from app.core.fields import dotted, field_errors
from app.web.bodies import AnyRequest, media_type, read_body

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # and lone surrogates
PROBLEM = "application/problem+json"

Model = TypeVar("Model", bound=BaseModel)


class MalformedJson(MalformedRequest):
    code = "malformed_json"
    user_message = "The body is not valid JSON."


async def parse_body(request: AnyRequest, model: type[Model], max_bytes: int = MAX_BYTES) -> Model:
    """Return the JSON body as a model.

    Raises UnsupportedMediaType, PayloadTooLarge, MalformedJson (also for what two readers could understand
    differently: duplicate names, NaN) and InvalidInput with the path of each field.
    """
    _, checked = await read_json(request, max_bytes)
    return validate(model, checked)


async def read_json(request: AnyRequest, max_bytes: int = MAX_BYTES) -> tuple[bytes, Any]:
    """Return the body's bytes and what they say, for who must compare the bytes too (idempotency)."""
    kind, charset = media_type(request)
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise UnsupportedMediaType
    if charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType("Send the body in UTF-8.")
    body = await read_body(request, max_bytes)
    value = parse_json(body)
    return body, value


def parse_json(body: bytes) -> Any:
    """Return what a JSON text says; raises MalformedJson or, for text no database can hold, InvalidInput."""
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
    except UnicodeDecodeError as error:
        raise MalformedJson("The body is not valid UTF-8.") from error
    except RecursionError as error:
        raise MalformedJson(f"The body is nested more than {MAX_DEPTH} levels deep.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"The body is not valid JSON: {place}.") from error
    except ValueError as error:  # a number of thousands of digits
        raise MalformedJson("The body holds a number that is too long.") from error
    _check_text(value)
    return value


def validate(model: type[Model], value: Any) -> Model:
    """Return the value as a model; raises InvalidInput with the path of each field that is wrong."""
    try:
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise InvalidInput(fields=field_errors(error, value)) from error


def problem(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Return the error document that every address under `/v1` answers with."""
    document = {
        "type": f"urn:leavewell:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": error.field, "message": error.message} for error in errors],
        "message": detail,  # what published clients of this API read
    }
    return Response(
        json.dumps(document).encode(),
        status_code=status,
        media_type=PROBLEM,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedJson("The body names the same field twice in one object.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"The body is not valid JSON: {name} is not a JSON number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedJson("The body holds a number that is too large.")
    return number


def _check_text(value: Any) -> None:
    """Refuse control characters, lone surrogates and deep nesting, without recursion."""
    errors: list[FieldError] = []
    pending: list[tuple[str, Any, int]] = [("", value, 1)]
    while pending:
        path, item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise MalformedJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(item, str) and CONTROL.search(item):
            errors.append(FieldError(path, "Leave out control characters."))
        elif isinstance(item, dict):
            if any(CONTROL.search(name) for name in item):
                errors.append(FieldError(path, "Leave control characters out of the names."))
            else:
                pending += [(dotted((name,), path), below, depth + 1) for name, below in item.items()]
        elif isinstance(item, list):
            pending += [(dotted((index,), path), below, depth + 1) for index, below in enumerate(item)]
    if errors:
        raise InvalidInput(fields=sorted(errors, key=lambda error: error.field)[:50])
