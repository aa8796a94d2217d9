"""The operators: which values each takes, when it holds, and how that is said."""

import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import assert_never

from app.core.facts import BUILT_INS, Scalar
from app.core.rules.values import (
    NAMES,
    is_date_text,
    is_number,
    is_scalar,
    kind_of,
    moment_of,
    span_of,
)

MAX_LIST = 200

Expected = Scalar | tuple[Scalar, ...] | None


class Op(StrEnum):
    """What a condition may ask of an attribute."""

    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    BEFORE = "before"
    AFTER = "after"


# How a finding is worded: when the condition holds, and when it does not.
WORDS: Mapping[Op, tuple[str, str]] = {
    Op.EQ: ("is", "is not"),
    Op.NEQ: ("is not", "is"),
    Op.IN: ("is one of", "is none of"),
    Op.NOT_IN: ("is none of", "is one of"),
    Op.GT: ("is more than", "is not more than"),
    Op.GTE: ("is at least", "is less than"),
    Op.LT: ("is less than", "is not less than"),
    Op.LTE: ("is at most", "is more than"),
    Op.BETWEEN: ("is between", "is not between"),
    Op.CONTAINS: ("contains", "does not contain"),
    Op.STARTS_WITH: ("starts with", "does not start with"),
    Op.ENDS_WITH: ("ends with", "does not end with"),
    Op.BEFORE: ("is before", "is not before"),
    Op.AFTER: ("is after", "is not after"),
}

_TEXT_TESTS: Mapping[Op, Callable[[str, str], bool]] = {
    Op.CONTAINS: lambda seen, wanted: wanted in seen,
    Op.STARTS_WITH: str.startswith,
    Op.ENDS_WITH: str.endswith,
}
_NUMBER_TESTS: Mapping[Op, Callable[[float, float], bool]] = {
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}


def holds(op: Op, seen: object, value: Expected) -> bool | None:
    """True or false, or None where the two cannot be compared."""
    kind = kind_of(seen)
    match op, value:
        case (Op.EQ | Op.NEQ, str() | bool() | int() | float()):
            return (seen == value) is (op is Op.EQ) if kind == kind_of(value) else None
        case (Op.IN | Op.NOT_IN, tuple()):
            return (seen in value) is (op is Op.IN) if kind == kind_of(value[0]) else None
        case (Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH, str()):
            return _TEXT_TESTS[op](seen, value) if isinstance(seen, str) else None
        case (Op.GT | Op.GTE | Op.LT | Op.LTE, int() | float()):
            return _NUMBER_TESTS[op](seen, value) if is_number(seen) else None
        case (Op.BETWEEN, (low, high)) if is_number(low) and is_number(high):
            return low <= seen <= high if is_number(seen) else None
        case (Op.BETWEEN, (str() as low, str() as high)):
            moment = moment_of(seen)
            return span_of(low)[0] <= moment <= span_of(high)[1] if moment else None
        case (Op.BEFORE | Op.AFTER, str()):
            moment, (first, last) = moment_of(seen), span_of(value)
            if moment is None:
                return None
            return moment < first if op is Op.BEFORE else moment > last
    return None


def problem_with_value(op: Op, value: object) -> str | None:
    """Why the operator cannot work with the value, or None."""
    match op:
        case Op.EXISTS | Op.NOT_EXISTS:
            return None if value is None else "Leave value out: only the attribute itself is asked for."
        case Op.EQ | Op.NEQ:
            return None if is_scalar(value) else "Must be a string, a number or a boolean."
        case Op.IN | Op.NOT_IN:
            return _problem_with_list(value)
        case Op.GT | Op.GTE | Op.LT | Op.LTE:
            return None if is_number(value) else "Must be a number; for dates use before, after or between."
        case Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            return (
                None
                if is_scalar(value) and isinstance(value, str) and value
                else "Must be a string, not empty."
            )
        case Op.BEFORE | Op.AFTER:
            return None if is_date_text(value) else f"Must be a date: {_DATES}."
        case Op.BETWEEN:
            return _problem_with_range(value)
        case _:
            assert_never(op)


_DATES = "2025-04-01 or 2025-04-01T12:00:00Z"


def _problem_with_list(value: object) -> str | None:
    if not isinstance(value, tuple) or not value:
        return "Must be a list of at least one string, number or boolean."
    if len(value) > MAX_LIST:
        return f"Must have at most {MAX_LIST} entries."
    if not all(map(is_scalar, value)):
        return "Each entry must be a string, a number or a boolean."
    return None if len(set(map(kind_of, value))) == 1 else "All entries must be of one type."


def _problem_with_range(value: object) -> str | None:
    if isinstance(value, tuple) and len(value) == 2:
        low, high = value
        if is_number(low) and is_number(high):
            return None if low <= high else "The lower bound comes first."
        if is_date_text(low) and is_date_text(high):
            return None if span_of(low)[0] <= span_of(high)[1] else "The earlier date comes first."
    return f"Must be a list of two numbers, or of two dates ({_DATES})."


def problem_with_type(attribute: str, op: Op, value: object) -> str | None:
    """A built-in attribute has one type; a condition that asks for another could never match."""
    has = BUILT_INS.get(attribute)
    match op:
        case Op.EXISTS | Op.NOT_EXISTS:
            return None
        case Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            wants = "text"
        case Op.BEFORE | Op.AFTER:
            wants = "date"
        case _:
            sample = value[0] if isinstance(value, tuple) else value
            wants = "date" if op is Op.BETWEEN and isinstance(sample, str) else str(kind_of(sample))
    if has is None or has == wants:
        return None
    if has == "date":
        return "This attribute is a date: ask with before, after or between."
    return f"This attribute is {NAMES[has]}, so this could never match."
