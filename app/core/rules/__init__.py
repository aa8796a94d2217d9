"""Rules: conditions on facts, as trees, in three-valued logic. They say yes, no or unknown, no more.

A missing attribute or a value of another type makes a condition *unknown*; only *yes* matches. `not` leaves
unknown alone, so a condition on something that is not known never matches, negated or not.
"""

from app.core.rules.evaluation import Explanation, evaluate, explain
from app.core.rules.field import Rule
from app.core.rules.logic import Verdict
from app.core.rules.operators import MAX_LIST, Op
from app.core.rules.parsing import MAX_DEPTH, MAX_NODES, InvalidRule, RuleProblem, parse
from app.core.rules.schema import rule_json_schema
from app.core.rules.tree import All, AnyOf, Leaf, Node, Not, dump

__all__ = [
    "MAX_DEPTH",
    "MAX_LIST",
    "MAX_NODES",
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
