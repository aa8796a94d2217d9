"""Rules: conditions on facts, as trees, in three-valued logic. They answer yes, no or unknown, and decide nothing.

A missing attribute or a value of another type makes a condition *unknown*; only *yes* matches. `not` leaves
unknown alone, so a condition on something that is not known never matches, negated or not.
"""

from app.core.rules.evaluation import Explanation, evaluate, explain
from app.core.rules.logic import Verdict
from app.core.rules.operators import Op
from app.core.rules.parsing import InvalidRule, RuleProblem, parse
from app.core.rules.field import Rule
from app.core.rules.schema import rule_json_schema
from app.core.rules.tree import All, AnyOf, Leaf, Node, Not, dump

__all__ = [
    "All",
    "AnyOf",
    "Explanation",
    "InvalidRule",
    "Leaf",
    "Node",
    "Not",
    "Op",
    "Rule",
    "RuleProblem",
    "Verdict",
    "dump",
    "evaluate",
    "explain",
    "parse",
    "rule_json_schema",
]
