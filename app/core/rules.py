"""Rules: conditions on facts, as trees, in three-valued logic (Kleene). Parses, evaluates, explains; decides nothing.

A missing attribute or a value of another type makes a condition *unknown*; only *yes* matches. `not` leaves unknown
alone, so a condition on something that is not known never matches, negated or not.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeGuard, assert_never

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from app.core.calendar import add_days, is_date_only, parse_moment, to_utc
from app.core.errors import FieldError, InvalidInput
from app.core.facts import BUILT_INS, MAX_NAME, MAX_VALUE, Scalar
from app.core.fields import dotted, is_clean, refusal

MAX_DEPTH = 10
MAX_NODES = 200
MAX_LIST = 200
MAX_NUMBER = 10**15
MAX_PROBLEMS = 50
MAX_SHOWN = 80
MAX_LISTED = 5

Location = tuple[str | int, ...]


class Verdict(StrEnum):
    """The three truth values."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


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


def negate(verdict: Verdict) -> Verdict:
    """Kleene's not: unknown stays unknown."""
    match verdict:
        case Verdict.YES:
            return Verdict.NO
        case Verdict.NO:
            return Verdict.YES
        case Verdict.UNKNOWN:
            return Verdict.UNKNOWN


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene's and: one no decides, else one unknown; nothing at all is yes."""
    seen = set(verdicts)
    return next((v for v in (Verdict.NO, Verdict.UNKNOWN) if v in seen), Verdict.YES)


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene's or: one yes decides, else one unknown; nothing at all is no."""
    seen = set(verdicts)
    return next((v for v in (Verdict.YES, Verdict.UNKNOWN) if v in seen), Verdict.NO)


# The tree ---------------------------------------------------------------------------------------------------------


class Rule(ABC):
    """A condition. As the type of a pydantic field it is parsed from JSON, with errors at the very node."""

    __slots__ = ()

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The tree as it stands in a flow file; `parse` reads it again."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(dump),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"$ref": "#/$defs/Rule"}


@dataclass(frozen=True, slots=True)
class All(Rule):
    """Yes when every part is."""

    parts: tuple[Rule, ...]

    def to_json(self) -> dict[str, Any]:
        return {"all": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class AnyOf(Rule):
    """Yes when one part is."""

    parts: tuple[Rule, ...]

    def to_json(self) -> dict[str, Any]:
        return {"any": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Not(Rule):
    """Yes when its part is no."""

    part: Rule

    def to_json(self) -> dict[str, Any]:
        return {"not": self.part.to_json()}


Expected = Scalar | tuple[Scalar, ...] | None


@dataclass(frozen=True, slots=True)
class Leaf(Rule):
    """One question about one attribute. `value` is None for `exists` and `not_exists`, a tuple for lists."""

    attribute: str
    op: Op
    value: Expected = None

    def to_json(self) -> dict[str, Any]:
        leaf: dict[str, Any] = {"attribute": self.attribute, "op": self.op.value}
        if self.value is not None:
            leaf["value"] = list(self.value) if isinstance(self.value, tuple) else self.value
        return leaf

    def __post_init__(self) -> None:
        if problem := _problem_with_value(self.op, self.value):
            raise ValueError(f"{self.op} {self.attribute}: {problem}")


# Evaluation -------------------------------------------------------------------------------------------------------


def evaluate(rule: Rule, facts: Mapping[str, object]) -> Verdict:
    """Whether the rule matches these facts. Never raises, whatever the facts hold."""
    match rule:
        case All(parts):
            return all_of(evaluate(part, facts) for part in parts)
        case AnyOf(parts):
            return any_of(evaluate(part, facts) for part in parts)
        case Not(part):
            return negate(evaluate(part, facts))
        case Leaf():
            return _check(rule, facts)[0]
    raise TypeError(f"{type(rule).__name__} is no rule")


# How a finding is worded: when the condition holds, and when it does not.
_WORDS: Mapping[Op, tuple[str, str]] = {
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
    Op.GT: lambda seen, wanted: seen > wanted,
    Op.GTE: lambda seen, wanted: seen >= wanted,
    Op.LT: lambda seen, wanted: seen < wanted,
    Op.LTE: lambda seen, wanted: seen <= wanted,
}


def _check(leaf: Leaf, facts: Mapping[str, object]) -> tuple[Verdict, str]:
    seen = facts.get(leaf.attribute)
    if leaf.op in (Op.EXISTS, Op.NOT_EXISTS):
        holds = (seen is not None) is (leaf.op is Op.EXISTS)
        return (
            Verdict.YES if holds else Verdict.NO,
            "it is not known" if seen is None else f"it is {show(seen)}",
        )
    if seen is None:
        return Verdict.UNKNOWN, "it is not known"
    held = _holds(leaf.op, seen, leaf.value)
    if held is None:
        return Verdict.UNKNOWN, f"it is {_NAMES[kind_of(seen)]}, and {leaf.op} {_needs(leaf)}"
    words = _WORDS[leaf.op][0 if held else 1]
    return Verdict.YES if held else Verdict.NO, f"{show(seen)} {words} {_show_expected(leaf)}"


def _holds(op: Op, seen: object, value: Expected) -> bool | None:
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
            return _NUMBER_TESTS[op](seen, value) if _is_number(seen) else None
        case (Op.BETWEEN, (low, high)) if _is_number(low) and _is_number(high):
            return low <= seen <= high if _is_number(seen) else None
        case (Op.BETWEEN, (str() as low, str() as high)):
            moment = _moment_of(seen)
            return _span(low)[0] <= moment <= _span(high)[1] if moment else None
        case (Op.BEFORE | Op.AFTER, str()):
            moment, (first, last) = _moment_of(seen), _span(value)
            if moment is None:
                return None
            return moment < first if op is Op.BEFORE else moment > last
    return None


def kind_of(value: object) -> str | None:
    """`text`, `number`, `boolean` or `date`; None for what rules cannot compare. A boolean is not a number."""
    match value:
        case bool():
            return "boolean"
        case str():
            return "text"
        case datetime():
            return "date"
        case _:
            return "number" if _is_number(value) else None


def _is_number(value: object) -> TypeGuard[float]:
    """Within bounds that keep comparisons exact; infinities and NaN are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _moment_of(seen: object) -> datetime | None:
    try:
        if isinstance(seen, str):
            return parse_moment(seen)
        return to_utc(seen) if isinstance(seen, datetime) else None
    except ValueError:
        return None


def _span(text: str) -> tuple[datetime, datetime]:
    """The first and the last instant that the text means: a date is the whole day in UTC."""
    first = parse_moment(text)
    return first, add_days(first, 1) - timedelta(microseconds=1) if is_date_only(text) else first


# Explanation ------------------------------------------------------------------------------------------------------

_MARKS = {Verdict.YES: "✓", Verdict.NO: "✗", Verdict.UNKNOWN: "?"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a rule came out as it did: the tree again, with what every condition saw.

    `op` is `all`, `any`, `not` or the condition's; `attribute`, `expected` and `seen` are None for the first three.
    """

    verdict: Verdict
    op: str
    why: str
    attribute: str | None = None
    expected: Expected = None
    seen: object = None
    parts: tuple["Explanation", ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for records and the dashboard."""
        told: dict[str, Any] = {"verdict": self.verdict.value, "op": self.op, "why": self.why}
        if self.attribute is not None:
            told["attribute"] = self.attribute
        if self.expected is not None:
            told["expected"] = list(self.expected) if isinstance(self.expected, tuple) else self.expected
        if self.seen is not None:
            told["seen"] = _plain(self.seen)
        if self.parts:
            told["parts"] = [part.to_json() for part in self.parts]
        return told

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree as text, one node a line: ✓ matches, ✗ does not, ? is not known."""
        name = f"{self.attribute}: " if self.attribute else f"{self.op}: "
        yield f"{indent}{_MARKS[self.verdict]} {name}{self.why}"
        for part in self.parts:
            yield from part.lines(indent + "  ")


def explain(rule: Rule, facts: Mapping[str, object]) -> Explanation:
    """As `evaluate`, with the reasons. Never raises, whatever the facts hold."""
    match rule:
        case All(parts):
            told = tuple(explain(part, facts) for part in parts)
            verdict = all_of(part.verdict for part in told)
            why = "every part matches" if verdict is Verdict.YES else _deciding(told, verdict)
            return Explanation(verdict, "all", why, parts=told)
        case AnyOf(parts):
            told = tuple(explain(part, facts) for part in parts)
            verdict = any_of(part.verdict for part in told)
            why = "no part matches" if verdict is Verdict.NO else _deciding(told, verdict)
            return Explanation(verdict, "any", why, parts=told)
        case Not(part):
            inner = explain(part, facts)
            return Explanation(
                negate(inner.verdict), "not", f"its part {_OUTCOMES[inner.verdict]}", parts=(inner,)
            )
        case Leaf(attribute, op, value):
            verdict, why = _check(rule, facts)
            return Explanation(verdict, op.value, why, attribute, value, facts.get(attribute))
    raise TypeError(f"{type(rule).__name__} is no rule")


_OUTCOMES = {Verdict.YES: "matches", Verdict.NO: "does not match", Verdict.UNKNOWN: "is not known"}


def _deciding(parts: Sequence[Explanation], verdict: Verdict) -> str:
    number = next(number for number, part in enumerate(parts, start=1) if part.verdict is verdict)
    return f"part {number} {_OUTCOMES[verdict]}"


def show(value: object) -> str:
    """A value as it stands in an explanation: text in quotes, and never longer than a line."""
    match value:
        case str():
            return f"“{_plain(value)}”"
        case bool():
            return "true" if value else "false"
        case float() if _is_number(value):
            return f"{value:.15g}"
        case tuple():
            rest = [f"{len(value) - MAX_LISTED} more"] if len(value) > MAX_LISTED else []
            return ", ".join([*map(show, value[:MAX_LISTED]), *rest])
        case _:
            return str(_plain(value))


def _plain(value: object) -> Scalar:
    """What a record may hold of a value that was seen."""
    match value:
        case str():
            return value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"
        case bool():
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case int() | float() if _is_number(value):
            return value
        case _:
            return "a value that rules cannot use"


def _show_expected(leaf: Leaf) -> str:
    match leaf.op, leaf.value:
        case (Op.BETWEEN, (low, high)):
            return f"{_bare(low)} and {_bare(high)}"
        case (Op.BEFORE | Op.AFTER, value):
            return _bare(value)
        case (_, value):
            return show(value)


def _bare(value: object) -> str:
    return value if isinstance(value, str) else show(value)


def _needs(leaf: Leaf) -> str:
    """What the condition would have needed, as in "it is text, and gt compares numbers"."""
    match leaf.op:
        case Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            return "looks into text"
        case Op.BEFORE | Op.AFTER:
            return "compares dates"
    sample = leaf.value[0] if isinstance(leaf.value, tuple) else leaf.value
    if leaf.op is Op.BETWEEN and isinstance(sample, str):
        return "was given dates"
    return f"was given {_NAMES[kind_of(sample)]}"


_NAMES = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    None: "no such value",
}


# Parsing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """One mistake in a rule: the way to it from the rule's root, and what to do."""

    location: Location
    message: str


class InvalidRule(InvalidInput):
    """What was given is no rule; `problems` has every mistake, `fields` the same with the path before it."""

    code = "invalid_rule"
    user_message = "The rule is not valid."

    def __init__(self, problems: Sequence[RuleProblem], path: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__(fields=[FieldError(dotted(p.location, path), p.message) for p in problems])


def parse(obj: object, path: str = "") -> Rule:
    """Read a rule from JSON or YAML as it came. Raises InvalidRule, its fields starting with `path`, and nothing else.

    At most 10 levels and 200 nodes. `all` and `any` need a part: an empty one is a slip, and would match everybody
    or nobody. (Built in Python they may be empty: nothing to fail is yes, nothing to match is no.)
    """
    if isinstance(obj, Rule):
        return obj
    reading = _Reading()
    rule = reading.node(obj, (), 1)
    if rule is None or reading.problems:
        raise InvalidRule(reading.problems, path)
    return rule


def dump(rule: Rule) -> dict[str, Any]:
    """The JSON of a rule; `parse` reads it again."""
    return rule.to_json()


class _Reading:
    """One run of the parser: what was wrong so far, and how many nodes there were."""

    def __init__(self) -> None:
        self.problems: list[RuleProblem] = []
        self.nodes = 0

    def refuse(self, at: Location, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(RuleProblem(at, message))

    def node(self, obj: object, at: Location, depth: int) -> Rule | None:
        self.nodes += 1
        if self.nodes == MAX_NODES + 1:
            self.refuse((), f"A rule has at most {MAX_NODES} conditions and groups.")
        if self.nodes > MAX_NODES:
            return None
        if depth > MAX_DEPTH:
            return self.refuse(at, f"Rules are nested at most {MAX_DEPTH} deep.")
        if not isinstance(obj, Mapping):
            return self.refuse(at, f"Must be {_SHAPES}.")
        groups = [key for key in ("all", "any", "not") if key in obj]
        if "attribute" in obj or "op" in obj:
            return self.leaf(obj, at)
        if len(groups) != 1:
            return self.refuse(at, f"Must be {_SHAPES}." if not groups else "Give one of all, any and not.")
        self.no_other_keys(obj, groups, at)
        inner, at = obj[groups[0]], (*at, groups[0])
        if groups[0] == "not":
            part = self.node(inner, at, depth + 1)
            return Not(part) if part else None
        return self.group(All if groups[0] == "all" else AnyOf, inner, at, depth)

    def group(self, kind: type[All] | type[AnyOf], inner: object, at: Location, depth: int) -> Rule | None:
        if not isinstance(inner, list | tuple) or not inner:
            return self.refuse(at, "Must be a list of at least one rule.")
        parts = [
            self.node(part, (*at, number), depth + 1) for number, part in enumerate(inner[: MAX_NODES + 1])
        ]
        return kind(tuple(part for part in parts if part is not None))

    def leaf(self, obj: Mapping[object, object], at: Location) -> Rule | None:
        self.no_other_keys(obj, ("attribute", "op", "value"), at)
        attribute, op = self.attribute(obj.get("attribute"), at), self.op(obj.get("op"), at)
        if attribute is None or op is None:
            return None
        value = _normal(obj.get("value"))
        if problem := _problem_with_value(op, value) or _problem_with_type(attribute, op, value):
            return self.refuse((*at, "value"), problem)
        return Leaf(attribute, op, value)

    def attribute(self, name: object, at: Location) -> str | None:
        at = (*at, "attribute")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not is_clean(name):
            return self.refuse(at, f"Must be the name of an attribute, 1 to {MAX_NAME} characters.")
        if "." in name and name not in BUILT_INS:
            return self.refuse(at, "There is no such built-in attribute" + _or_near(name, BUILT_INS))
        return name

    def op(self, name: object, at: Location) -> Op | None:
        known = [op.value for op in Op]
        if name in known:
            return Op(str(name))
        sign = _SIGNS.get(name) if isinstance(name, str) else None
        hint = f"; write {sign}." if sign else _or_near(name, known)
        return self.refuse((*at, "op"), f"There is no such operator{hint}")

    def no_other_keys(self, obj: Mapping[object, object], allowed: Sequence[str], at: Location) -> None:
        for key in obj:
            if key not in allowed:
                is_speakable = isinstance(key, str) and len(key) <= MAX_NAME and is_clean(key)
                self.refuse((*at, str(key)) if is_speakable else at, "There is no such field in a rule.")


_SHAPES = '{"all": […]}, {"any": […]}, {"not": …} or {"attribute": …, "op": …, "value": …}'
_SIGNS = {"=": "eq", "==": "eq", "!=": "neq", "<>": "neq", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def _or_near(name: object, known: Iterable[str]) -> str:
    near = (
        difflib.get_close_matches(name, known, n=1) if isinstance(name, str) and len(name) <= MAX_NAME else []
    )
    return f"; did you mean {near[0]}?" if near else "."


def _normal(value: object) -> Any:
    """JSON's lists as tuples, YAML's dates as text."""
    match value:
        case list():
            return tuple(_normal(item) for item in value[: MAX_LIST + 1])
        case datetime():
            return value.isoformat()
        case date():
            return value.isoformat()
        case _:
            return value


def _problem_with_value(op: Op, value: object) -> str | None:
    """Why the operator cannot work with the value, or None."""
    match op:
        case Op.EXISTS | Op.NOT_EXISTS:
            return (
                None if value is None else "Leave value out: this only asks whether the attribute is there."
            )
        case Op.EQ | Op.NEQ:
            return None if _is_scalar(value) else "Must be a string, a number or a boolean."
        case Op.IN | Op.NOT_IN:
            return _problem_with_list(value)
        case Op.GT | Op.GTE | Op.LT | Op.LTE:
            return None if _is_number(value) else "Must be a number; for dates use before, after or between."
        case Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            return (
                None
                if _is_scalar(value) and isinstance(value, str) and value
                else "Must be a string, not empty."
            )
        case Op.BEFORE | Op.AFTER:
            return None if _is_date_text(value) else f"Must be a date: {_DATES}."
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
    if not all(map(_is_scalar, value)):
        return "Each entry must be a string, a number or a boolean."
    return None if len(set(map(kind_of, value))) == 1 else "All entries must be of one type."


def _problem_with_range(value: object) -> str | None:
    if isinstance(value, tuple) and len(value) == 2:
        low, high = value
        if _is_number(low) and _is_number(high):
            return None if low <= high else "The lower bound comes first."
        if _is_date_text(low) and _is_date_text(high):
            return None if _span(low)[0] <= _span(high)[1] else "The earlier date comes first."
    return f"Must be a list of two numbers, or of two dates ({_DATES})."


def _problem_with_type(attribute: str, op: Op, value: object) -> str | None:
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
    return f"This attribute is {_NAMES[has]}, so this could never match."


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_VALUE and is_clean(value, allowed="\n\t")
    return isinstance(value, bool) or _is_number(value)


def _is_date_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _moment_of(value) is not None


# For pydantic and JSON Schema -------------------------------------------------------------------------------------


def _validate(obj: object) -> Rule:
    try:
        return parse(obj)
    except InvalidRule as error:
        raise ValidationError.from_exception_data(
            "Rule",
            [InitErrorDetails(type=refusal(p.message), loc=p.location, input=None) for p in error.problems],
        ) from None


def rule_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a rule. It refers to itself as `#/$defs/Rule`: put it there."""
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
    parts = {"type": "array", "items": {"$ref": "#/$defs/Rule"}, "minItems": 1, "maxItems": MAX_NODES}
    return {
        "title": "Rule",
        "description": "A condition on attributes. Only true matches: a missing attribute makes it unknown.",
        "oneOf": [
            _object({"all": {**parts, "description": "Every part must match."}}),
            _object({"any": {**parts, "description": "One part must match."}}),
            _object({"not": {"$ref": "#/$defs/Rule", "description": "The part must not match."}}),
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
