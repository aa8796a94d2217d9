import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.core.fields import field_errors
from app.core.rules import (
    MAX_DEPTH,
    MAX_LIST,
    MAX_NODES,
    InvalidRule,
    Leaf,
    Op,
    Rule,
    Verdict,
    dump,
    evaluate,
    explain,
    parse,
    rule_json_schema,
)

YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
NOON = datetime(2025, 4, 1, 12, tzinfo=UTC)
MISSING = object()


def ask(op: str, value: object, seen: object) -> Verdict:
    leaf = {"attribute": "a", "op": op} if value is MISSING else {"attribute": "a", "op": op, "value": value}
    facts = {} if seen is MISSING else {"a": seen}
    return evaluate(parse(leaf), facts)


TABLE: list[tuple[str, object, object, Verdict]] = [
    # eq and neq, of each type and across types
    ("eq", "pro", "pro", YES),
    ("eq", "pro", "Pro", NO),
    ("eq", "", "", YES),
    ("eq", "1", 1, UNKNOWN),
    ("eq", 1, 1, YES),
    ("eq", 1, 1.0, YES),
    ("eq", 0.1, 0.1, YES),
    ("eq", 1, 2, NO),
    ("eq", 1, True, UNKNOWN),
    ("eq", 1, "1", UNKNOWN),
    ("eq", True, True, YES),
    ("eq", True, False, NO),
    ("eq", True, 1, UNKNOWN),
    ("eq", "true", True, UNKNOWN),
    ("eq", "2025-04-01", NOON, UNKNOWN),
    ("eq", 1, float("nan"), UNKNOWN),
    ("eq", "a", None, UNKNOWN),
    ("eq", "a", ["a"], UNKNOWN),
    ("eq", "a", MISSING, UNKNOWN),
    ("neq", "pro", "team", YES),
    ("neq", "pro", "pro", NO),
    ("neq", 1, 2, YES),
    ("neq", True, False, YES),
    ("neq", "1", 1, UNKNOWN),
    ("neq", "pro", MISSING, UNKNOWN),
    # in and not_in
    ("in", ["a", "b"], "b", YES),
    ("in", ["a", "b"], "c", NO),
    ("in", ["a", "b"], 1, UNKNOWN),
    ("in", [1, 2.5], 2.5, YES),
    ("in", [1, 2], True, UNKNOWN),
    ("in", [True], True, YES),
    ("in", [True, False], 1, UNKNOWN),
    ("in", ["a"], MISSING, UNKNOWN),
    ("in", ["2025-04-01"], NOON, UNKNOWN),
    ("not_in", ["a", "b"], "c", YES),
    ("not_in", ["a", "b"], "a", NO),
    ("not_in", [1, 2], 3, YES),
    ("not_in", [True], False, YES),
    ("not_in", ["a"], 1, UNKNOWN),
    ("not_in", ["a"], MISSING, UNKNOWN),
    # numbers
    ("gt", 5, 6, YES),
    ("gt", 5, 5, NO),
    ("gt", 5.5, 6, YES),
    ("gt", 5, "6", UNKNOWN),
    ("gt", 0, True, UNKNOWN),
    ("gt", 5, NOON, UNKNOWN),
    ("gt", 5, float("inf"), UNKNOWN),
    ("gt", 5, 10**400, UNKNOWN),
    ("gt", 5, MISSING, UNKNOWN),
    ("gte", 5, 5, YES),
    ("gte", 5, 4.99, NO),
    ("gte", 5, False, UNKNOWN),
    ("lt", 5, 4, YES),
    ("lt", 5, 5, NO),
    ("lt", 5, "4", UNKNOWN),
    ("lt", 5, float("-inf"), UNKNOWN),
    ("lte", 5, 5, YES),
    ("lte", 5, 5.01, NO),
    ("lte", 5, MISSING, UNKNOWN),
    # between includes both ends, of numbers and of days
    ("between", [1, 3], 1, YES),
    ("between", [1, 3], 3, YES),
    ("between", [1, 3], 3.01, NO),
    ("between", [2, 2], 2, YES),
    ("between", [1, 3], "2", UNKNOWN),
    ("between", [0, 1], True, UNKNOWN),
    ("between", [1, 3], NOON, UNKNOWN),
    ("between", [1, 3], MISSING, UNKNOWN),
    ("between", ["2025-03-01", "2025-04-01"], NOON, YES),
    ("between", ["2025-04-01", "2025-04-01"], NOON, YES),
    ("between", ["2025-04-01", "2025-04-01T11:59:59Z"], NOON, NO),
    ("between", ["2025-03-01", "2025-03-31"], NOON, NO),
    ("between", ["2025-03-01", "2025-04-01"], "2025-04-01", YES),
    ("between", ["2025-03-01", "2025-04-01"], "soon", UNKNOWN),
    ("between", ["2025-03-01", "2025-04-01"], 2025, UNKNOWN),
    # text
    ("contains", "ro", "pro", YES),
    ("contains", "RO", "pro", NO),
    ("contains", "1", 1, UNKNOWN),
    ("contains", "tru", True, UNKNOWN),
    ("contains", "a", ["a"], UNKNOWN),
    ("contains", "a", MISSING, UNKNOWN),
    ("starts_with", "pr", "pro", YES),
    ("starts_with", "ro", "pro", NO),
    ("starts_with", "2", 25, UNKNOWN),
    ("ends_with", "@acme.com", "jane@acme.com", YES),
    ("ends_with", "@acme.com", "jane@acme.com.evil", NO),
    ("ends_with", "e", True, UNKNOWN),
    # presence is two-valued
    ("exists", MISSING, "x", YES),
    ("exists", MISSING, "", YES),
    ("exists", MISSING, 0, YES),
    ("exists", MISSING, False, YES),
    ("exists", MISSING, NOON, YES),
    ("exists", MISSING, [], YES),
    ("exists", MISSING, None, NO),
    ("exists", MISSING, MISSING, NO),
    ("not_exists", MISSING, MISSING, YES),
    ("not_exists", MISSING, None, YES),
    ("not_exists", MISSING, False, NO),
    # dates: a day is the whole day in UTC
    ("before", "2025-04-01", NOON, NO),
    ("before", "2025-04-02", NOON, YES),
    ("before", "2025-04-01T12:00:01Z", NOON, YES),
    ("before", "2025-04-01T12:00:00Z", NOON, NO),
    ("before", "2025-04-02", "2025-04-01", YES),
    ("before", "2025-04-02", "2025-04-01T23:59:59+00:00", YES),
    ("before", "2025-04-02", "2025-04-01T23:30:00-02:00", NO),
    ("before", "2025-04-02", "2025-04-01T10:00", UNKNOWN),
    ("before", "2025-04-02", "soon", UNKNOWN),
    ("before", "2025-04-02", 20250401, UNKNOWN),
    ("before", "2025-04-02", True, UNKNOWN),
    ("before", "2025-04-02", datetime(2025, 4, 1), UNKNOWN),  # noqa: DTZ001 - a naive time is what is tried
    ("before", "2025-04-02", MISSING, UNKNOWN),
    ("after", "2025-04-01", NOON, NO),
    ("after", "2025-03-31", NOON, YES),
    ("after", "2025-04-01T11:59:59Z", NOON, YES),
    ("after", "2025-04-01T12:00:00Z", NOON, NO),
    ("after", "2025-04-01", datetime(2025, 4, 2, 1, tzinfo=timezone(timedelta(hours=2))), NO),
    ("after", "2025-03-31", "2025-04-01", YES),
    ("after", "9999-12-31", NOON, NO),
    ("after", "2025-04-01", MISSING, UNKNOWN),
]


@pytest.mark.parametrize(("op", "value", "seen", "verdict"), TABLE)
def test_operators(op: str, value: object, seen: object, verdict: Verdict) -> None:
    assert ask(op, value, seen) is verdict


def test_the_table_has_every_operator() -> None:
    assert {op for op, *_ in TABLE} == {op.value for op in Op}


def test_a_condition_on_something_missing_does_not_match_negated_or_not() -> None:
    leaf = {"attribute": "open_tickets", "op": "gt", "value": 0}
    assert evaluate(parse(leaf), {}) is UNKNOWN
    assert evaluate(parse({"not": leaf}), {}) is UNKNOWN
    assert (
        evaluate(parse({"any": [leaf, {"attribute": "plan", "op": "eq", "value": "pro"}]}), {"plan": "pro"})
        is YES
    )


# What is no rule ---------------------------------------------------------------------------------

SHAPES = "Must be {"
LEAF: dict[str, Any] = {"attribute": "a", "op": "eq", "value": 1}


def nested(depth: int) -> dict[str, Any]:
    rule = LEAF
    for _ in range(depth - 1):
        rule = {"not": rule}
    return rule


@pytest.mark.parametrize(
    ("obj", "field", "said"),
    [
        (None, "when", SHAPES),
        ("x", "when", SHAPES),
        ([], "when", SHAPES),
        ({}, "when", SHAPES),
        ({"value": 1}, "when", SHAPES),
        ({"all": []}, "when.all", "at least one"),
        ({"any": {}}, "when.any", "at least one"),
        ({"any": "ab"}, "when.any", "at least one"),
        ({"all": [7]}, "when.all[0]", SHAPES),
        ({"not": []}, "when.not", SHAPES),
        ({"all": [LEAF], "any": [LEAF]}, "when", "one of"),
        ({"all": [LEAF], "note": "x"}, "when.note", "no such field"),
        ({"all": [LEAF], 1: "x"}, "when", "no such field"),
        ({**LEAF, "all": []}, "when.all", "no such field"),
        ({"op": "eq", "value": 1}, "when.attribute", "name of an attribute"),
        ({"attribute": "", "op": "eq", "value": 1}, "when.attribute", "name of an attribute"),
        ({"attribute": "x" * 101, "op": "eq", "value": 1}, "when.attribute", "name of an attribute"),
        ({"attribute": "a\n", "op": "eq", "value": 1}, "when.attribute", "name of an attribute"),
        (
            {"attribute": "customer.contry", "op": "exists"},
            "when.attribute",
            "did you mean customer.country?",
        ),
        ({"attribute": "x.y", "op": "exists"}, "when.attribute", "no such built-in"),
        ({"attribute": "a"}, "when.op", "no such operator"),
        ({"attribute": "a", "op": ["eq"], "value": 1}, "when.op", "no such operator"),
        ({"attribute": "a", "op": ">=", "value": 1}, "when.op", "did you mean `gte`?"),
        (
            {"attribute": "a", "op": "At least", "value": 1},
            "when.op",
            "no operator `At least`; did you mean `gte`?",
        ),
        ({"attribute": "a", "op": "a\x1b", "value": 1}, "when.op", "no such operator. Give one of eq, "),
        ({"attribute": "a", "op": "sounds", "value": 1}, "when.op", "no operator `sounds`. Give one of eq, "),
        ({"attribute": "a", "op": "notin", "value": [1]}, "when.op", "did you mean `not_in`?"),
        ({"attribute": "a", "op": "eq"}, "when.value", "string, a number or a boolean"),
        ({"attribute": "a", "op": "eq", "value": [1]}, "when.value", "string, a number or a boolean"),
        (
            {"attribute": "a", "op": "eq", "value": float("nan")},
            "when.value",
            "string, a number or a boolean",
        ),
        ({"attribute": "a", "op": "eq", "value": 10**16}, "when.value", "string, a number or a boolean"),
        ({"attribute": "a", "op": "eq", "value": "x" * 1001}, "when.value", "string, a number or a boolean"),
        ({"attribute": "a", "op": "eq", "value": "\x00"}, "when.value", "string, a number or a boolean"),
        ({"attribute": "a", "op": "in", "value": "pro"}, "when.value", "list"),
        ({"attribute": "a", "op": "in", "value": []}, "when.value", "list"),
        ({"attribute": "a", "op": "in", "value": [[1]]}, "when.value", "Each entry"),
        ({"attribute": "a", "op": "in", "value": [1, "1"]}, "when.value", "one type"),
        ({"attribute": "a", "op": "in", "value": [1, True]}, "when.value", "one type"),
        ({"attribute": "a", "op": "not_in", "value": [1] * (MAX_LIST + 1)}, "when.value", "at most 200"),
        ({"attribute": "a", "op": "gt", "value": "5"}, "when.value", "number"),
        ({"attribute": "a", "op": "lte", "value": True}, "when.value", "number"),
        ({"attribute": "a", "op": "contains", "value": ""}, "when.value", "not empty"),
        ({"attribute": "a", "op": "starts_with", "value": 5}, "when.value", "string"),
        ({"attribute": "a", "op": "exists", "value": True}, "when.value", "Leave value out"),
        ({"attribute": "a", "op": "before", "value": "soon"}, "when.value", "date"),
        ({"attribute": "a", "op": "after", "value": 5}, "when.value", "date"),
        ({"attribute": "a", "op": "between", "value": [3, 1]}, "when.value", "lower bound"),
        (
            {"attribute": "a", "op": "between", "value": ["2025-04-02", "2025-04-01"]},
            "when.value",
            "earlier date",
        ),
        ({"attribute": "a", "op": "between", "value": [1, 2, 3]}, "when.value", "two numbers"),
        ({"attribute": "a", "op": "between", "value": [1, "2025-04-01"]}, "when.value", "two numbers"),
        ({"attribute": "a", "op": "between", "value": ["a", "b"]}, "when.value", "two dates"),
        ({"attribute": "subscription.price", "op": "eq", "value": "29"}, "when.value", "is a number"),
        ({"attribute": "customer.country", "op": "gt", "value": 3}, "when.value", "is text"),
        (
            {"attribute": "subscription.start", "op": "gt", "value": 3},
            "when.value",
            "before, after or between",
        ),
        (
            {"attribute": "subscription.has_discount", "op": "in", "value": ["yes"]},
            "when.value",
            "true or false",
        ),
        (nested(MAX_DEPTH + 1), "when" + ".not" * MAX_DEPTH, "at most 10 deep"),
        ({"all": [LEAF] * MAX_NODES}, "when", "at most 200"),
    ],
)
def test_what_is_no_rule_is_refused_where_it_is_wrong(obj: object, field: str, said: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse(obj, "when")
    assert [error.field for error in caught.value.fields] == [field]
    assert said in caught.value.fields[0].message


def test_all_mistakes_of_a_rule_are_told_at_once() -> None:
    with pytest.raises(InvalidRule) as caught:
        parse({"all": [{"attribute": "", "op": "=="}, {"not": {"attribute": "a", "op": "gt"}}]})
    assert [error.field for error in caught.value.fields] == [
        "all[0].attribute",
        "all[0].op",
        "all[1].not.value",
    ]


def test_rules_at_the_bounds_are_read() -> None:
    assert dump(parse(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    assert parse({"all": [LEAF] * (MAX_NODES - 1)})
    assert parse({"attribute": "a", "op": "in", "value": list(range(MAX_LIST))})


def test_dates_of_yaml_are_read() -> None:
    leaf = {"attribute": "subscription.start", "op": "between", "value": [date(2025, 1, 1), NOON]}
    assert dump(parse(leaf))["value"] == ["2025-01-01", "2025-04-01T12:00:00+00:00"]


def test_a_leaf_that_makes_no_sense_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="Must be a number"):
        Leaf("a", Op.GT, "5")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([op.value for op in Op]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "attribute", "op", "value", "x"]), inner, max_size=4
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_parsing_raises_nothing_but_its_own_error(obj: object) -> None:
    with suppress(InvalidRule):
        rule = parse(obj)
        assert parse(json.loads(json.dumps(dump(rule)))) == rule


def test_a_list_inside_itself_is_refused() -> None:
    rule: list[object] = []
    rule.append({"all": rule})
    with pytest.raises(InvalidRule):
        parse({"all": rule})


# Explanations ------------------------------------------------------------------------------------

HALF_PRICE = parse(
    {
        "all": [
            {"attribute": "subscription.plan_id", "op": "in", "value": ["pro", "team"]},
            {"attribute": "subscription.tenure_months", "op": "gt", "value": 6},
            {"not": {"attribute": "open_tickets", "op": "gt", "value": 0}},
        ]
    }
)


def test_an_explanation_says_what_each_condition_saw_and_why() -> None:
    told = explain(
        HALF_PRICE, {"subscription.plan_id": "pro", "subscription.tenure_months": 6, "open_tickets": "2"}
    )
    assert list(told.lines()) == [
        "✗ all: part 2 does not match",
        "  ✓ subscription.plan_id: “pro” is one of “pro”, “team”",
        "  ✗ subscription.tenure_months: 6 is not more than 6",
        "  ? not: its part is not known",
        "    ? open_tickets: it is text, and gt was given a number",
    ]


def test_an_explanation_is_plain_json() -> None:
    rule = parse({"any": [{"attribute": "subscription.start", "op": "after", "value": "2024-01-01"}, LEAF]})
    told = explain(rule, {"subscription.start": NOON})
    assert json.loads(json.dumps(told.to_json())) == {
        "verdict": "yes",
        "op": "any",
        "why": "part 1 matches",
        "parts": [
            {
                "verdict": "yes",
                "op": "after",
                "attribute": "subscription.start",
                "expected": "2024-01-01",
                "seen": "2025-04-01T12:00:00Z",
                "why": "2025-04-01T12:00:00Z is after 2024-01-01",
            },
            {"verdict": "unknown", "op": "eq", "attribute": "a", "expected": 1, "why": "it is not known"},
        ],
    }


def test_long_values_are_cut_in_explanations() -> None:
    told = explain(parse({"attribute": "a", "op": "in", "value": list(range(200))}), {"a": 7})
    assert told.why == "7 is one of 0, 1, 2, 3, 4, 195 more"
    told = explain(parse({"attribute": "a", "op": "contains", "value": "x"}), {"a": "x" * 1000})
    assert len(told.to_json()["seen"]) == 80


# As the field of a model -------------------------------------------------------------------------


class Step(BaseModel):
    when: Rule | None = None


class Flow(BaseModel):
    steps: list[Step]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("equals", "eq"), ("==", "eq"), ("=", "eq"), ("is", "eq"), ("!=", "neq"), ("not_equals", "neq")),
        *(
            (">", "gt"),
            (">=", "gte"),
            ("<", "lt"),
            ("<=", "lte"),
            ("greater than", "gt"),
            ("less_than", "lt"),
        ),
        *(("includes", "contains"), ("startsWith", "starts_with"), ("one of", "in"), ("EQ", "eq")),
        *(("is-set", "exists"), ("missing", "not_exists")),
    ],
)
def test_a_wrong_operator_names_the_right_one(written: str, meant: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse({"attribute": "a", "op": written, "value": 1})
    assert caught.value.problems[0].message == f"There is no operator `{written}`; did you mean `{meant}`?"


def test_a_rule_in_a_model_names_its_mistakes_by_path() -> None:
    body = {"steps": [{}, {"when": {"any": [LEAF, {"attribute": "a", "op": "==", "value": 1}]}}]}
    with pytest.raises(ValidationError) as caught:
        Flow.model_validate(body)
    (error,) = field_errors(caught.value, body)
    assert (error.field, error.message) == (
        "steps[1].when.any[1].op",
        "There is no operator `==`; did you mean `eq`?",
    )


def test_a_rule_in_a_model_is_written_as_it_was_read() -> None:
    body = {"steps": [{"when": {"not": LEAF}}, {"when": None}]}
    assert json.loads(Flow.model_validate(body).model_dump_json()) == body


def test_json_schema_describes_rules_once_and_refers_to_them() -> None:
    schema = Flow.model_json_schema()
    assert schema["$defs"]["Rule"] == rule_json_schema()
    assert schema["$defs"]["Step"]["properties"]["when"]["anyOf"][0] == {"$ref": "#/$defs/Rule"}
    named = {
        op
        for shape in rule_json_schema()["oneOf"]
        for op in shape["properties"].get("op", {}).get("enum", ())
    }
    assert named == {op.value for op in Op}
