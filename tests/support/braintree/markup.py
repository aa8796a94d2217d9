"""Braintree's XML: elements with hyphens and a `type`, as its libraries read and write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

_SURPRISES: Final = (
    '<x-new-field>of a later version</x-new-field><x-new-number type="integer">7</x-new-number>'
    '<x-new-object><x-new-list type="array"><x-new-item><y nil="true"/></x-new-item></x-new-list></x-new-object>'
)


@dataclass(frozen=True)
class Day:
    """A date, `2026-11-21`."""

    text: str | None


@dataclass(frozen=True)
class Time:
    """A time in UTC, `2026-11-21T09:00:00Z`."""

    text: str | None


@dataclass(frozen=True)
class Many:
    """A list, each entry under the same name."""

    name: str
    entries: Sequence[Any]


@dataclass(frozen=True)
class Found:
    """One page of a search."""

    name: str
    entries: Sequence[Any]
    page_size: int


def write(name: str, value: Any, *, has_surprises: bool = False) -> bytes:
    """A whole document. With surprises, each object has elements that no documentation knows."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return (head + _element(name, value, has_surprises) + "\n").encode()


def _element(name: str, value: Any, odd: bool) -> str:
    tag = name.replace("_", "-")
    match value:
        case None | Day(None) | Time(None):
            return f'<{tag} nil="true"/>'
        case bool():
            return f'<{tag} type="boolean">{str(value).lower()}</{tag}>'
        case int():
            return f'<{tag} type="integer">{value}</{tag}>'
        case Day(text):
            return f'<{tag} type="date">{text}</{tag}>'
        case Time(text):
            return f'<{tag} type="datetime">{text}</{tag}>'
        case Many(inner, entries):
            return f'<{tag} type="array">{"".join(_element(inner, each, odd) for each in entries)}</{tag}>'
        case Found(inner, entries, size):
            head = _element("current_page_number", 1, odd) + _element("page_size", size, odd)
            body = "".join(_element(inner, each, odd) for each in entries)
            total = _element("total_items", len(entries), odd)
            return f'<{tag} type="collection">{head}{total}{body}</{tag}>'
        case Mapping():
            inner_text = "".join(_element(key, each, odd) for key, each in value.items())
            return f"<{tag}>{inner_text}{_SURPRISES if odd and value else ''}</{tag}>"
        case _:
            return f"<{tag}>{escape(str(value))}</{tag}>"


def read(body: bytes) -> tuple[str, Any]:
    """A request's root name and value; names come with underscores. Raises ValueError."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - a test's own requests
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    return root.tag.replace("-", "_"), _value(root)


def _value(element: ElementTree.Element) -> Any:
    text = (element.text or "").strip()
    match element.get("type"):
        case "array":
            return [_value(each) for each in element]
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
    if len(element):
        return {each.tag.replace("-", "_"): _value(each) for each in element}
    return text
