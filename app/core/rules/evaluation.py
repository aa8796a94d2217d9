"""Whether a rule matches, and why. Never raises, whatever the facts hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.rules.logic import Verdict, all_of, any_of, negate
from app.core.rules.operators import WORDS, Expected, Op, holds
from app.core.rules.tree import All, AnyOf, Leaf, Node, Not
from app.core.rules.values import NAMES, bare, kind_of, plain, show


def evaluate(rule: Node, facts: Mapping[str, object]) -> Verdict:
    """Whether the rule matches these facts. Never raises, whatever the facts hold."""
    match rule:
        case All(parts):
            return all_of(evaluate(part, facts) for part in parts)
        case AnyOf(parts):
            return any_of(evaluate(part, facts) for part in parts)
        case Not(part):
            return negate(evaluate(part, facts))
        case Leaf():
            return _verdict(rule, facts.get(rule.attribute))
    raise TypeError(f"{type(rule).__name__} is no node of a rule")


def _verdict(leaf: Leaf, seen: object) -> Verdict:
    if leaf.op in (Op.EXISTS, Op.NOT_EXISTS):
        held: bool | None = (seen is not None) is (leaf.op is Op.EXISTS)
    else:
        held = holds(leaf.op, seen, leaf.value) if seen is not None else None
    if held is None:
        return Verdict.UNKNOWN
    return Verdict.YES if held else Verdict.NO


def _why(leaf: Leaf, seen: object, verdict: Verdict) -> str:
    if seen is None:
        return "it is not known"
    if leaf.op in (Op.EXISTS, Op.NOT_EXISTS):
        return f"it is {show(seen)}"
    if verdict is Verdict.UNKNOWN:
        return f"it is {NAMES[kind_of(seen)]}, and {leaf.op} {_needs(leaf)}"
    return f"{show(seen)} {WORDS[leaf.op][0 if verdict is Verdict.YES else 1]} {_show_expected(leaf)}"


_MARKS = {Verdict.YES: "✓", Verdict.NO: "✗", Verdict.UNKNOWN: "?"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a rule came out as it did: the tree again, with what every condition saw.

    `op` is `all`, `any`, `not` or the condition's own. A group has `parts`; a condition has the other fields.
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
            told["seen"] = plain(self.seen)
        if self.parts:
            told["parts"] = [part.to_json() for part in self.parts]
        return told

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree as text, one node a line: ✓ matches, ✗ does not, ? is not known."""
        name = f"{self.attribute}: " if self.attribute else f"{self.op}: "
        yield f"{indent}{_MARKS[self.verdict]} {name}{self.why}"
        for part in self.parts:
            yield from part.lines(indent + "  ")


def explain(rule: Node, facts: Mapping[str, object]) -> Explanation:
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
            seen = facts.get(attribute)
            verdict = _verdict(rule, seen)
            return Explanation(verdict, op.value, _why(rule, seen, verdict), attribute, value, seen)
    raise TypeError(f"{type(rule).__name__} is no node of a rule")


_OUTCOMES = {Verdict.YES: "matches", Verdict.NO: "does not match", Verdict.UNKNOWN: "is not known"}


def _deciding(parts: Sequence[Explanation], verdict: Verdict) -> str:
    number = next(number for number, part in enumerate(parts, start=1) if part.verdict is verdict)
    return f"part {number} {_OUTCOMES[verdict]}"


def _show_expected(leaf: Leaf) -> str:
    match leaf.op, leaf.value:
        case (Op.BETWEEN, (low, high)):
            return f"{bare(low)} and {bare(high)}"
        case (Op.BEFORE | Op.AFTER, value):
            return bare(value)
        case (_, value):
            return show(value)


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
    return f"was given {NAMES[kind_of(sample)]}"
