"""Reads requests as Chargebee does: which parameters there are, what they must be, its errors.

Names are those of https://apidocs.chargebee.com/docs/api?prod_cat_ver=2. A parameter that an operation does not have
is refused; so is one that it has and that this simulator cannot act on, with another sentence.
"""

import json
import re
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation

from tests.support.simulator.http import Answer

Pairs = Sequence[tuple[str, str]]

_INDEXED = re.compile(r"(?P<name>[a-z_]+(?:\[[a-z_]+\])?)\[(?P<index>\d+)\]")


class Refusal(Exception):
    """Chargebee's error."""

    def __init__(
        self, message: str, code: str, *, status: int = 400, kind: str = "invalid_request", param: str = ""
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.status, self.kind, self.param = message, code, status, kind, param

    def answer(self) -> Answer:
        return error(self.message, self.code, status=self.status, kind=self.kind, param=self.param)


def error(
    message: str, code: str, *, status: int = 400, kind: str = "invalid_request", param: str = ""
) -> Answer:
    body = {
        "message": message,
        "type": kind,
        "api_error_code": code,
        "error_code": code,
        "error_msg": message,
        "http_status_code": status,
    }
    if not kind:
        del body["type"]
    return Answer({**body, "param": param} if param else body, status)


def wrong(param: str, message: str) -> Refusal:
    return Refusal(f"{param} : {message}", "param_wrong_value", param=param)


def missing(thing: str, name: str, param: str = "") -> Refusal:
    return Refusal(f"{thing} {name} not found", "resource_not_found", status=404, param=param)


class Form:
    """A request's parameters. `known` are those of the operation, `usable` those that the simulator acts on."""

    def __init__(self, pairs: Pairs, usable: Collection[str], known: Collection[str] = ()) -> None:
        self._values: dict[str, str] = {}
        self._lists: dict[str, dict[int, str]] = {}
        for key, value in pairs:
            found = _INDEXED.fullmatch(key)
            name = found["name"] if found else key
            if name not in usable:
                if name in known:
                    raise AssertionError(f"the simulator does not know yet what {name} does")
                raise Refusal(f"Unknown parameters passed : {key}", "invalid_request", param=key)
            if found:
                self._lists.setdefault(name, {})[int(found["index"])] = value
            else:
                self._values[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._lists

    def text(self, name: str, default: str = "", *, most: int = 250) -> str:
        value = self._values.get(name, default)
        if len(value) > most:
            raise wrong(name, f"should not exceed {most} characters")
        return value

    def required(self, name: str, *, most: int = 250) -> str:
        if not self._values.get(name):
            raise Refusal(f"{name} : cannot be blank", "param_wrong_value", param=name)
        return self.text(name, most=most)

    def one_of(self, name: str, options: Collection[str], default: str = "") -> str:
        value = self._values.get(name, default)
        if value and value not in options:
            raise wrong(name, f"invalid value. Supported values are {', '.join(options)}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        return self.one_of(name, ("true", "false"), "true" if default else "false") == "true"

    def number(self, name: str) -> int | None:
        value = self._values.get(name)
        return None if value is None else whole(name, value)

    def needed_number(self, name: str) -> int:
        return whole(name, self.required(name))

    def each(self, name: str) -> list[str]:
        found = self._lists.get(name, {})
        return [found[index] for index in sorted(found)]


def whole(name: str, value: str) -> int:
    if not re.fullmatch(r"-?\d{1,15}", value):
        raise wrong(name, "should be a valid integer")
    return int(value)


def percentage(name: str, value: str) -> float:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise wrong(name, "should be a number") from None
    if not Decimal("0.01") <= number <= 100:
        raise wrong(name, "should be between 0.01 and 100")
    if number != round(number, 2):
        raise wrong(name, "should have at most 2 decimal places")
    return float(number)


class Listing:
    """A list operation: filters, order and pages."""

    def __init__(self, query: Pairs, *, filters: Collection[str], orders: Collection[str]) -> None:
        self.filters: dict[tuple[str, str], str] = {}
        self.limit, self.offset = 10, 0
        self.order: tuple[str, bool] = ("created_at", True)
        for key, value in query:
            found = re.fullmatch(r"(?P<field>[a-z_]+)\[(?P<op>[a-z_]+)\]", key)
            if key == "limit":
                self.limit = whole(key, value)
                if not 1 <= self.limit <= 100:
                    raise wrong(key, "should be between 1 and 100")
            elif key == "offset":
                self.offset = _offset(value)
            elif found and found["field"] == "sort_by" and found["op"] in ("asc", "desc"):
                if value not in orders:
                    raise wrong(key, "is not an attribute to sort by")
                self.order = (value, found["op"] == "desc")
            elif found and f"{found['field']}[{found['op']}]" in filters:
                self.filters[found["field"], found["op"]] = value
            else:
                raise Refusal(f"Unknown parameters passed : {key}", "invalid_request", param=key)

    def pick(self, things: Sequence[dict[str, object]]) -> tuple[list[dict[str, object]], str | None]:
        """The page, and where the next one begins."""
        field, is_descending = self.order
        found = [thing for thing in things if self._fits(thing)]
        found.sort(key=lambda thing: (_rank(thing.get(field)), str(thing.get("id"))), reverse=is_descending)
        page = found[self.offset : self.offset + self.limit]
        following = self.offset + self.limit
        return page, json.dumps([str(following)]) if following < len(found) else None

    def _fits(self, thing: dict[str, object]) -> bool:
        for (field, op), wanted in self.filters.items():
            value = thing.get(field)
            match op:
                case "is" if value != wanted:
                    return False
                case "is_not" if value == wanted:
                    return False
                case "in" if value not in _names(field, wanted):
                    return False
        return True


def _rank(value: object) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (0, str(value))


def _names(field: str, value: str) -> list[str]:
    try:
        names = json.loads(value)
    except ValueError:
        raise wrong(field, 'should be a list such as ["a","b"]') from None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise wrong(field, 'should be a list such as ["a","b"]')
    return names


def _offset(value: str) -> int:
    try:
        (start,) = json.loads(value)
        return int(start)
    except (ValueError, TypeError):
        raise wrong("offset", "is not one that was given") from None
