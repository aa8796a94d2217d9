"""The laws of Kleene's logic, on real trees over real facts, against a reference table written out by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.rules import All, AnyOf, Leaf, Node, Not, Op, Verdict, evaluate, explain

Y, N, U = Verdict.YES, Verdict.NO, Verdict.UNKNOWN

# (a, b): (a and b, a or b)
REFERENCE = {
    (Y, Y): (Y, Y),
    (Y, N): (N, Y),
    (Y, U): (U, Y),
    (N, Y): (N, Y),
    (N, N): (N, N),
    (N, U): (N, U),
    (U, Y): (U, Y),
    (U, N): (N, U),
    (U, U): (U, U),
}
NEGATION = {Y: N, N: Y, U: U}

# One condition of each verdict on FACTS.
LEAVES = {Y: Leaf("a", Op.EQ, 1), N: Leaf("a", Op.EQ, 2), U: Leaf("missing", Op.EQ, 1)}
FACTS = {"a": 1}


def reference(rule: Node, facts: dict[str, object]) -> Verdict:
    """The verdict by folding the table, one pair after the other."""
    match rule:
        case Not(part):
            return NEGATION[reference(part, facts)]
        case All(parts) | AnyOf(parts):
            column, folded = (0, Y) if isinstance(rule, All) else (1, N)
            for part in parts:
                folded = REFERENCE[folded, reference(part, facts)][column]
            return folded
        case _:
            return evaluate(rule, facts)


TEXTS = ["", "a", "ab", "2025-04-01", "2025-04-01T12:00:00Z", "1"]
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5])
ATTRIBUTES = st.sampled_from(["a", "b", "subscription.price"])
LEAF = st.one_of(
    st.builds(Leaf, ATTRIBUTES, st.sampled_from([Op.EXISTS, Op.NOT_EXISTS])),
    st.builds(
        Leaf, ATTRIBUTES, st.sampled_from([Op.EQ, Op.NEQ]), NUMBERS | st.booleans() | st.sampled_from(TEXTS)
    ),
    st.builds(Leaf, ATTRIBUTES, st.sampled_from([Op.GT, Op.GTE, Op.LT, Op.LTE]), NUMBERS),
    st.builds(Leaf, ATTRIBUTES, st.sampled_from([Op.IN, Op.NOT_IN]), st.tuples(NUMBERS, NUMBERS)),
    st.builds(Leaf, ATTRIBUTES, st.just(Op.BETWEEN), st.tuples(st.integers(-3, 0), st.integers(0, 3))),
    st.builds(Leaf, ATTRIBUTES, st.just(Op.BETWEEN), st.just(("2025-01-01", "2025-12-31"))),
    st.builds(Leaf, ATTRIBUTES, st.sampled_from([Op.BEFORE, Op.AFTER]), st.sampled_from(TEXTS[3:5])),
    st.builds(
        Leaf,
        ATTRIBUTES,
        st.sampled_from([Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH]),
        st.sampled_from(TEXTS[1:]),
    ),
)
RULE: st.SearchStrategy[Node] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, max_size=4).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)
# Whatever an endpoint may send, and worse.
VALUE = st.one_of(
    NUMBERS,
    st.booleans(),
    st.sampled_from(TEXTS),
    st.text(max_size=5),
    st.integers(),
    st.just(10**5000),  # more digits than Python writes out
    st.floats(),
    st.none(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from([datetime.min, datetime.max, datetime.min.replace(tzinfo=UTC), object()]),  # noqa: DTZ901 - the extremes are meant
)
SOME_FACTS = st.dictionaries(st.sampled_from(["a", "b", "subscription.price"]), VALUE)


@pytest.mark.parametrize("a", Verdict)
@pytest.mark.parametrize("b", Verdict)
def test_two_parts_follow_the_table(a: Verdict, b: Verdict) -> None:
    assert evaluate(All((LEAVES[a], LEAVES[b])), FACTS) is REFERENCE[a, b][0]
    assert evaluate(AnyOf((LEAVES[a], LEAVES[b])), FACTS) is REFERENCE[a, b][1]


@pytest.mark.parametrize("a", Verdict)
def test_negation_follows_the_table(a: Verdict) -> None:
    assert evaluate(Not(LEAVES[a]), FACTS) is NEGATION[a]


@given(RULE, SOME_FACTS)
def test_every_tree_agrees_with_the_table(rule: Node, facts: dict[str, object]) -> None:
    assert evaluate(rule, facts) is reference(rule, facts)


@given(RULE, SOME_FACTS)
def test_explanations_agree_with_the_verdict(rule: Node, facts: dict[str, object]) -> None:
    told = explain(rule, facts)
    assert told.verdict is evaluate(rule, facts)
    assert told.to_json()["verdict"] == told.verdict
    assert len(list(told.lines())) == len(list(_nodes(rule)))


def same(left: Node, right: Node, facts: dict[str, object]) -> bool:
    return evaluate(left, facts) is evaluate(right, facts)


@given(RULE, RULE, SOME_FACTS)
def test_de_morgan(a: Node, b: Node, facts: dict[str, object]) -> None:
    assert same(Not(All((a, b))), AnyOf((Not(a), Not(b))), facts)
    assert same(Not(AnyOf((a, b))), All((Not(a), Not(b))), facts)


@given(RULE, SOME_FACTS)
def test_double_negation_and_idempotence(a: Node, facts: dict[str, object]) -> None:
    assert same(Not(Not(a)), a, facts)
    assert same(All((a, a)), a, facts)
    assert same(AnyOf((a, a)), a, facts)


@given(st.lists(RULE, max_size=4), st.randoms(use_true_random=False), SOME_FACTS)
def test_order_does_not_matter(parts: list[Node], random: object, facts: dict[str, object]) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert same(All(tuple(parts)), All(tuple(shuffled)), facts)
    assert same(AnyOf(tuple(parts)), AnyOf(tuple(shuffled)), facts)


@given(RULE, RULE, RULE, SOME_FACTS)
def test_grouping_does_not_matter(a: Node, b: Node, c: Node, facts: dict[str, object]) -> None:
    for group in (All, AnyOf):
        assert same(group((a, group((b, c)))), group((a, b, c)), facts)
        assert same(group((group((a, b)), c)), group((a, b, c)), facts)


@given(RULE, RULE, RULE, SOME_FACTS)
def test_absorption_and_distribution(a: Node, b: Node, c: Node, facts: dict[str, object]) -> None:
    assert same(All((a, AnyOf((a, b)))), a, facts)
    assert same(AnyOf((a, All((a, b)))), a, facts)
    assert same(All((a, AnyOf((b, c)))), AnyOf((All((a, b)), All((a, c)))), facts)
    assert same(AnyOf((a, All((b, c)))), All((AnyOf((a, b)), AnyOf((a, c)))), facts)


@given(RULE, SOME_FACTS)
def test_empty_groups_are_neutral(a: Node, facts: dict[str, object]) -> None:
    assert evaluate(All(()), facts) is Y
    assert evaluate(AnyOf(()), facts) is N
    assert same(All((a, All(()))), a, facts)
    assert same(AnyOf((a, AnyOf(()))), a, facts)


@given(LEAF, SOME_FACTS)
def test_a_condition_and_its_opposite_never_both_match(leaf: Leaf, facts: dict[str, object]) -> None:
    assert evaluate(All((leaf, Not(leaf))), facts) is not Y


@given(RULE, st.sampled_from(["a", "b", "subscription.price"]), VALUE, SOME_FACTS)
def test_learning_a_fact_never_turns_a_known_verdict_around(
    rule: Node, name: str, value: object, facts: dict[str, object]
) -> None:
    """Kleene's logic is monotone: but for `exists`, more knowledge only settles what was unknown."""
    assume(not any(isinstance(n, Leaf) and n.op in (Op.EXISTS, Op.NOT_EXISTS) for n in _nodes(rule)))
    before = evaluate(rule, {key: seen for key, seen in facts.items() if key != name})
    assert before is U or evaluate(rule, {**facts, name: value}) is before


def _nodes(rule: Node) -> Iterator[Node]:
    yield rule
    match rule:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _nodes(part)
        case Not(part):
            yield from _nodes(part)
