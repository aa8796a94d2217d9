"""Reads rules from JSON or YAML, and says of every mistake where it is and what to do."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from app.core.errors import FieldError, InvalidInput
from app.core.facts import BUILT_INS, MAX_NAME
from app.core.fields import dotted, is_clean
from app.core.rules.operators import MAX_LIST, Op, problem_with_type, problem_with_value
from app.core.rules.tree import All, AnyOf, Leaf, Node, Not

MAX_DEPTH = 10
MAX_NODES = 200
MAX_PROBLEMS = 50

Location = tuple[str | int, ...]


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


def parse(obj: object, path: str = "") -> Node:
    """Read a rule from JSON or YAML as it came. Raises only InvalidRule, its fields under `path`.

    At most 10 levels and 200 nodes. `all` and `any` need a part: an empty one is a slip that would match
    everybody or nobody. (Built in Python they may be empty: nothing to fail is yes, nothing to match is no.)
    """
    if isinstance(obj, Node):
        return obj
    reading = _Reading()
    rule = reading.node(obj, (), 1)
    if rule is None or reading.problems:
        raise InvalidRule(reading.problems, path)
    return rule


class _Reading:
    """One run of the parser: what was wrong so far, and how many nodes there were."""

    def __init__(self) -> None:
        self.problems: list[RuleProblem] = []
        self.nodes = 0

    def refuse(self, at: Location, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(RuleProblem(at, message))

    def node(self, obj: object, at: Location, depth: int) -> Node | None:
        self.nodes += 1
        if self.nodes == MAX_NODES + 1:
            self.refuse((), f"A rule has at most {MAX_NODES} conditions and groups.")
        if self.nodes > MAX_NODES:
            return None
        if depth > MAX_DEPTH:
            self.refuse(at, f"Rules are nested at most {MAX_DEPTH} deep.")
            return None
        if not isinstance(obj, Mapping):
            self.refuse(at, f"Must be {_SHAPES}.")
            return None
        groups = [key for key in ("all", "any", "not") if key in obj]
        if "attribute" in obj or "op" in obj:
            return self.leaf(obj, at)
        if len(groups) != 1:
            self.refuse(at, f"Must be {_SHAPES}." if not groups else "Give one of all, any and not.")
            return None
        self.no_other_keys(obj, groups, at)
        inner, at = obj[groups[0]], (*at, groups[0])
        if groups[0] == "not":
            part = self.node(inner, at, depth + 1)
            return Not(part) if part else None
        return self.group(All if groups[0] == "all" else AnyOf, inner, at, depth)

    def group(self, kind: type[All] | type[AnyOf], inner: object, at: Location, depth: int) -> Node | None:
        if not isinstance(inner, list | tuple) or not inner:
            self.refuse(at, "Must be a list of at least one rule.")
            return None
        parts = [
            self.node(part, (*at, number), depth + 1) for number, part in enumerate(inner[: MAX_NODES + 1])
        ]
        return kind(tuple(part for part in parts if part is not None))

    def leaf(self, obj: Mapping[object, object], at: Location) -> Node | None:
        self.no_other_keys(obj, ("attribute", "op", "value"), at)
        attribute, op = self.attribute(obj.get("attribute"), at), self.op(obj.get("op"), at)
        if attribute is None or op is None:
            return None
        value = _normal(obj.get("value"))
        if problem := problem_with_value(op, value) or problem_with_type(attribute, op, value):
            self.refuse((*at, "value"), problem)
            return None
        return Leaf(attribute, op, value)

    def attribute(self, name: object, at: Location) -> str | None:
        at = (*at, "attribute")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not is_clean(name):
            self.refuse(at, f"Must be the name of an attribute, 1 to {MAX_NAME} characters.")
            return None
        if "." in name and name not in BUILT_INS:
            self.refuse(at, "There is no such built-in attribute" + _or_near(name, BUILT_INS))
            return None
        return name

    def op(self, name: object, at: Location) -> Op | None:
        known = [op.value for op in Op]
        if name in known:
            return Op(str(name))
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not is_clean(name):
            self.refuse((*at, "op"), f"There is no such operator. Give one of {', '.join(known)}.")
            return None
        plain = re.sub(r"[\s-]+", "_", name.strip().lower())
        near = [_SYNONYMS[plain]] if plain in _SYNONYMS else difflib.get_close_matches(plain, known, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f". Give one of {', '.join(known)}."
        self.refuse((*at, "op"), f"There is no operator `{name}`{hint}")
        return None

    def no_other_keys(self, obj: Mapping[object, object], allowed: Sequence[str], at: Location) -> None:
        for key in obj:
            if key not in allowed:
                is_speakable = isinstance(key, str) and len(key) <= MAX_NAME and is_clean(key)
                self.refuse((*at, str(key)) if is_speakable else at, "There is no such field in a rule.")


_SHAPES = '{"all": […]}, {"any": […]}, {"not": …} or {"attribute": …, "op": …, "value": …}'
_WORDS_FOR = {
    Op.EQ: "= == === is equal equals equal_to",
    Op.NEQ: "!= !== <> ne is_not not_eq not_equal not_equals",
    Op.IN: "one_of any_of is_in is_one_of",
    Op.NOT_IN: "none_of is_not_in nin not_one_of",
    Op.GT: "> more_than greater greater_than above over",
    Op.GTE: ">= => ge at_least min greater_than_or_equal greater_or_equal",
    Op.LT: "< less less_than below under",
    Op.LTE: "<= =< le at_most max less_than_or_equal less_or_equal",
    Op.BETWEEN: "range in_range",
    Op.CONTAINS: "include includes has like",
    Op.STARTS_WITH: "prefix begins_with",
    Op.ENDS_WITH: "suffix",
    Op.EXISTS: "is_set set present is_present known",
    Op.NOT_EXISTS: "missing is_missing unset not_set is_not_set null is_null absent",
    Op.BEFORE: "earlier_than earlier until",
    Op.AFTER: "later_than later since",
}
_SYNONYMS = {word: op.value for op, words in _WORDS_FOR.items() for word in words.split()}


def _or_near(name: object, known: Iterable[str]) -> str:
    near = (
        difflib.get_close_matches(name, known, n=1) if isinstance(name, str) and len(name) <= MAX_NAME else []
    )
    return f"; did you mean {near[0]}?" if near else "."


def _normal(value: object) -> Any:
    """JSON's lists as tuples, YAML's dates as text."""
    match value:
        case list():
            return tuple(
                item.isoformat() if isinstance(item, date) else item for item in value[: MAX_LIST + 1]
            )
        case date():
            return value.isoformat()
        case _:
            return value
