"""Field types for shapes that outsiders send, and how mistakes are worded. Bounded, strict, never coercing."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from app.core.calendar import iso, parse_moment, to_utc
from app.core.errors import FieldError
from app.core.money import is_currency_code

MAX_ID = 255
MAX_TEXT = 500
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 8 * 1024
MAX_METADATA_DEPTH = 8
MAX_MINOR = 999_999_999_999


class Shape(BaseModel):
    """A frozen value: camelCase on the wire, snake_case in Python, strict types, no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """Plain JSON as it came: camelCase, absent fields left out, ISO dates."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def refusal(message: str) -> PydanticCustomError:
    """A validator's refusal, worded for the merchant's developer."""
    return PydanticCustomError("refused", "{message}", {"message": message})


_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode categories Cc and Cs


def is_clean(text: str, *, allowed: str = "") -> bool:
    """True when no control characters (but those allowed) and no half of a surrogate pair are in the text."""
    return all(char in allowed for char in _UNCLEAN.findall(text))


def _clean_id(text: str) -> str:
    if not is_clean(text):
        raise refusal("Control characters are not allowed here.")
    if text != text.strip():
        raise refusal("Remove the spaces around it.")
    return text


def _clean_text(text: str) -> str:
    if not is_clean(text, allowed="\n\t"):
        raise refusal("Control characters are not allowed here, except line feeds and tabs.")
    return text


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _currency(value: object) -> object:
    if isinstance(value, str):
        value = value.upper()
        if not is_currency_code(value):
            raise refusal("Must be an ISO 4217 currency of three letters, such as USD.")
    return value


def _country(value: object) -> object:
    if isinstance(value, str):
        value = value.upper()
        if not (len(value) == 2 and value.isascii() and value.isalpha()):
            raise refusal("Must be an ISO 3166-1 country of two letters, such as DE.")
    return value


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str):
            return parse_moment(value)
        if isinstance(value, datetime):
            return to_utc(value)
        if isinstance(value, date):  # YAML reads 2025-04-01 as one
            return parse_moment(value.isoformat())
    except ValueError as error:
        raise refusal(str(error)) from None
    raise refusal("Must be an ISO 8601 date in a string, such as 2025-04-01.")


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refusal("Must be a number.")
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise refusal("Must be a finite number.")
    return number


def _whole(value: object) -> object:
    """JSON does not tell 5.0 from 5, and some writers send the former."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_MINOR:
        return int(value)
    return value


def _number_out(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > MAX_METADATA_KEYS:
        raise refusal(f"Must have at most {MAX_METADATA_KEYS} keys (it has {len(value)}).")
    _check_json(value, MAX_METADATA_DEPTH)
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_METADATA_BYTES:
        raise refusal(f"Must be at most {MAX_METADATA_BYTES // 1024} KB as JSON (it has {size} bytes).")
    return value


def sift_metadata(given: object) -> dict[str, Any]:
    """What a billing system keeps with an object, as far as `Metadata` and rules take it; the rest is left out.

    Kept, in the order given: flat texts, numbers and booleans, with names as ids are and texts as `Text` is, at most
    50 of them and 8 KB as JSON. One that is too large leaves room for smaller ones after it. Never raises: what is no
    object has nothing to keep.
    """
    kept: dict[str, Any] = {}
    size = len(b"{}")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        if len(kept) == MAX_METADATA_KEYS:
            break
        if not _is_name(name) or not _is_flat(value):
            continue
        more = (
            len(json.dumps({name: value}, ensure_ascii=False).encode())
            - len(b"{}")
            + (len(b", ") if kept else 0)
        )
        if size + more <= MAX_METADATA_BYTES:
            kept[name] = value
            size += more
    return kept


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_ID and name == name.strip() and is_clean(name)


def _is_flat(value: object) -> bool:
    match value:
        case str():
            return len(value) <= MAX_TEXT and is_clean(value, allowed="\n\t")
        case float():
            return math.isfinite(value)
        case int():  # a boolean is one
            return abs(value) < 2**63
        case _:
            return False


def _check_json(value: object, depth: int) -> None:
    if depth == 0:
        raise refusal(f"Must not be nested deeper than {MAX_METADATA_DEPTH} levels.")
    match value:
        case str():
            _clean_text(value)
        case float() if not math.isfinite(value):
            raise refusal("Numbers must be finite.")
        case int() if abs(value) >= 2**63:
            raise refusal("A number in it is too long.")
        case None | bool() | int() | float():
            pass
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise refusal("Keys must be strings.")
                _clean_id(key)
                _check_json(item, depth - 1)
        case list() | tuple():
            for item in value:
                _check_json(item, depth - 1)
        case _:
            raise refusal("Must be plain JSON.")


def _pattern(regex: str) -> Any:
    """Tells JSON Schema what a validator checks, with a better message than a regular expression would give."""
    return Field(json_schema_extra={"pattern": regex})


_CONTROL = r"\x00-\x1f\x7f-\x9f"
_YEARS = r"^(19[7-9]\d|[2-9]\d{3})-"

Id = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID),
    _pattern(rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$"),
    AfterValidator(_clean_id),
]
Text = Annotated[
    str,
    Field(max_length=MAX_TEXT),
    _pattern(r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"),
    AfterValidator(_clean_text),
]
OptionalText = Annotated[Text | None, BeforeValidator(_blank_to_none)]
Currency = Annotated[str, _pattern("^[A-Za-z]{3}$"), BeforeValidator(_currency)]
Country = Annotated[str, _pattern("^[A-Za-z]{2}$"), BeforeValidator(_country)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(iso, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"format": "date", "pattern": _YEARS}, {"format": "date-time", "pattern": _YEARS}],
            "description": "ISO 8601: a date (midnight UTC) or a date and time with offset.",
            "examples": ["2025-04-01", "2025-04-01T12:00:00Z"],
        }
    ),
]
Minor = Annotated[int, Field(ge=0, le=MAX_MINOR), BeforeValidator(_whole)]
Percent = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(gt=0, le=100, max_digits=9, decimal_places=6),
    PlainSerializer(_number_out, return_type=int | float, when_used="json"),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]


def whole(*, at_least: int, at_most: int) -> Any:
    """What to put into `Annotated[int, …]` for a bounded count."""
    return (Field(ge=at_least, le=at_most), BeforeValidator(_whole))


NO_SUCH_FIELD = "There is no such field; remove it or check its spelling."

_MESSAGES: Mapping[str, str] = {
    "missing": "This field is required.",
    "extra_forbidden": NO_SUCH_FIELD,
    "string_type": "Must be a string.",
    "int_type": "Must be a whole number.",
    "int_from_float": "Must be a whole number.",
    "int_parsing_size": "Must be a smaller number.",
    "bool_type": "Must be true or false.",
    "float_type": "Must be a number.",
    "finite_number": "Must be a finite number.",
    "decimal_max_digits": "Must have at most six decimals.",
    "decimal_max_places": "Must have at most six decimals.",
    "decimal_whole_digits": "Must have at most six decimals.",
    "list_type": "Must be a list.",
    "tuple_type": "Must be a list.",
    "dict_type": "Must be an object.",
    "model_type": "Must be an object.",
    "model_attributes_type": "Must be an object.",
    "string_unicode": "Must be valid Unicode text.",
    "invalid_key": "Keys must be strings.",
}


def _at_least(count: int, things: str) -> str:
    return "Must not be empty." if count == 1 else f"Must have at least {count} {things}."


_WORDED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_too_short": lambda c: _at_least(c["min_length"], "characters"),
    "string_too_long": lambda c: f"Must have at most {c['max_length']} characters.",
    "too_short": lambda c: _at_least(c["min_length"], "entries"),
    "too_long": lambda c: f"Must have at most {c['max_length']} entries.",
    "literal_error": lambda c: f"Must be {c['expected']}.",
    "greater_than": lambda c: f"Must be more than {c['gt']}.",
    "greater_than_equal": lambda c: f"Must be at least {c['ge']}.",
    "less_than": lambda c: f"Must be less than {c['lt']}.",
    "less_than_equal": lambda c: f"Must be at most {c['le']}.",
    "union_tag_invalid": lambda c: f"Must be one of {c['expected_tags']}.",
    "union_tag_not_found": lambda c: "This field is required.",
}


def _message(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in _WORDED:
        return _WORDED[kind](error["ctx"])
    return _MESSAGES.get(kind) or error["msg"].removeprefix("Value error, ")


_UNSEEN = object()


def field_errors(error: ValidationError, data: object = _UNSEEN, *, path: str = "") -> list[FieldError]:
    """Turn pydantic's findings into ours: paths as the sender writes them, sentences that say what to do.

    `data` is what was validated; with it the names of union members, which pydantic mixes into its paths, are
    left out. `path` stands before every path. What was sent is never repeated: it may be personal or secret.
    """
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        location = tuple(detail["loc"])
        if data is not _UNSEEN:
            location = _resolve(data, location, is_missing=detail["type"] == "missing") or ()
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            location += (detail["ctx"]["discriminator"].strip("'"),)
        found.append(FieldError(dotted(location, path), _message(detail)))
    return found


def dotted(location: Sequence[str | int], path: str = "") -> str:
    """`("items", 0, "price")` as `items[0].price`."""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _resolve(
    data: object, location: tuple[str | int, ...], *, is_missing: bool
) -> tuple[str | int, ...] | None:
    """The steps of `location` that exist in `data` (but the last, if it is missing); None if they lead nowhere."""
    if not location:
        return ()
    first, rest = location[0], location[1:]
    onward = None
    if isinstance(data, Mapping) and first in data:
        onward = _resolve(data[first], rest, is_missing=is_missing)
    elif isinstance(data, Mapping) and not rest and (is_missing or first not in data.values()):
        onward = ()  # a field that was left out; the name of a union's member is always a value
    elif isinstance(data, list | tuple) and isinstance(first, int) and first < len(data):
        onward = _resolve(data[first], rest, is_missing=is_missing)
    if onward is not None:
        return (first, *onward)
    return _resolve(data, rest, is_missing=is_missing) if isinstance(first, str) else None
