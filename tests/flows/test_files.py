"""Flow files: each mistake has its line and column, nothing hostile gets through, and what is written reads back."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.billing import Capability
from app.core.flow_check import parse_flow, validate_flow
from app.flows.files import MAX_BYTES, FileProblem, FlowFileError, dump_yaml, load_yaml, read_yaml

DEMO = Path(__file__).parents[2] / "demo" / "flow.yaml"
GOOD = """\
name: Test
steps:
  - kind: survey
    id: why
    reasons:
      - id: price
        label: It costs too much
  - kind: confirm
    id: confirm
"""


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(FlowFileError) as caught:
        load_yaml(text, "flow.yaml")
    return [(found.line, found.column, found.field) for found in caught.value.problems]


def message(text: str) -> str:
    with pytest.raises(FlowFileError) as caught:
        load_yaml(text, "flow.yaml")
    return str(caught.value)


def test_a_good_file_is_read() -> None:
    definition = load_yaml(GOOD, "flow.yaml")
    assert [step.id for step in definition.steps] == ["why", "confirm"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: Test", "nmae: Test", [(1, 1, "name"), (1, 1, "nmae")]),
        ("id: why", "id: Why?", [(4, 5, "steps[0].id")]),
        ("        label: It costs too much\n", "", [(6, 9, "steps[0].reasons[0].label")]),
        ("label: It costs too much", "label: [a]", [(7, 9, "steps[0].reasons[0].label")]),
        (
            "label: It costs too much",
            "lable: x",
            [(6, 9, "steps[0].reasons[0].label"), (7, 9, "steps[0].reasons[0].lable")],
        ),
        ("id: confirm", "id: confirm\n    loses: []", [(10, 5, "steps[1].loses")]),
        ("id: confirm", "id: confirm\n    id: other", [(10, 5, "steps[1].id")]),
        ("kind: confirm", "kind: conform", [(8, 5, "steps[1].kind")]),
    ],
)
def test_a_mistake_has_its_place(old: str, new: str, expected: list[tuple[int, int, str]]) -> None:
    assert problems(GOOD.replace(old, new)) == expected


def test_a_mistake_in_a_rule_has_its_place() -> None:
    rule = 'when: {all: [{attribute: plan, op: "=="}]}'
    assert problems(GOOD.replace("id: confirm", f"id: confirm\n    {rule}")) == [
        (10, 36, "steps[1].when.all[0].op"),
    ]


def test_an_error_reads_like_one() -> None:
    said = message(GOOD.replace("id: why", "idd: why"))
    assert (
        said.splitlines()[1]
        == "flow.yaml, line 4, column 5: steps[0].idd: There is no such field; did you mean id?"
    )


def test_problems_found_later_have_their_place_too() -> None:
    file = read_yaml(GOOD.replace("id: why", "id: done"), "flow.yaml")
    found = file.locate(validate_flow(file.definition, frozenset(Capability)))
    assert [(problem.line, problem.column, problem.field) for problem in found] == [(4, 5, "steps[0].id")]


def test_words_that_older_yaml_takes_for_something_else_stay_words() -> None:
    for word in ("no", "Yes", "off", "2026-11-21", "12:30", "0x1f", "1_000", ".inf"):
        definition = load_yaml(GOOD.replace("It costs too much", word), "flow.yaml")
        assert definition.steps[0].reasons[0].label == word


@pytest.mark.parametrize("word", ["5", "1.5", "1e5", "true", "null", "~", ""])
def test_what_is_no_text_is_not_taken_for_it(word: str) -> None:
    assert problems(GOOD.replace("It costs too much", word)) == [(7, 9, "steps[0].reasons[0].label")]
    assert load_yaml(GOOD.replace("It costs too much", f'"{word or 5}"'), "flow.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("# only a comment", "empty"),
        ("just text", "object"),
        ("- a\n- b", "object"),
        ("name: [", "not valid YAML"),
        ("name: 'x", "not valid YAML"),
        ("\tname: x", "not valid YAML"),
        ("name: a: b", "not valid YAML"),
        ("name: x\n---\nname: y", "another document"),
        ("name: a\x00b", "does not allow"),
        ("name: x\nname: y", "twice"),
        ("? [a]\n: b", "name must be text"),
        ("name: !!python/object/apply:os.system [echo]", "no such tag"),
        ("name: !!binary aGk=", "no such tag"),
        ("name: !secret x", "no such tag"),
        ("steps: !!set {a, b}", "no such tag"),
        ("<<: {name: x}", "<<"),
        ("[" * 10_000, "deeper than 40"),
        ("{a: " * 10_000, "deeper than 40"),
        ("- " * 10_000, "deeper than 40"),
        ("name: " + "9" * 5_000, "string"),
        ("x" * (MAX_BYTES + 1), "larger than 256 KB"),
        ("é" * (MAX_BYTES // 2 + 1), "larger than 256 KB"),
        ("name: \udcff", "does not allow"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_reason(text: str, says: str) -> None:
    assert says in message(text)


def test_an_alias_bomb_does_not_go_off() -> None:
    bomb = dedent("""\
        a: &a [x, x, x, x, x, x, x, x, x]
        b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
        c: [*b, *b, *b, *b, *b, *b, *b, *b, *b]
        """)
    assert "aliases are not used" in message(bomb)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    found: list[FileProblem] = []
    try:
        load_yaml(text, "flow.yaml")
    except FlowFileError as error:
        found = error.problems
    assert all(1 <= problem.line <= len(text.splitlines()) + 1 and problem.column >= 1 for problem in found)


# --- Writing --------------------------------------------------------------------------------------


def test_the_demo_flow_survives_writing() -> None:
    definition = load_yaml(DEMO.read_text("utf-8"), "demo/flow.yaml")
    written = dump_yaml(definition)
    assert load_yaml(written, "written.yaml") == definition
    assert dump_yaml(load_yaml(written, "written.yaml")) == written


def test_a_written_file_is_pretty() -> None:
    definition = parse_flow(
        {
            "name": "Größer",
            "steps": [
                {
                    "kind": "offer",
                    "id": "stay",
                    "offers": [
                        {
                            "kind": "discount",
                            "id": "half",
                            "percent": 50.0,
                            "duration": "once",
                            "copy": {"cta": "Take it", "body": "First.\n\nSecond."},
                        }
                    ],
                },
                {"kind": "confirm", "id": "confirm", "losses": ["no", "5"]},
            ],
        }
    )
    assert dump_yaml(definition) == dedent("""\
        version: 1
        name: Größer
        steps:
          - kind: offer
            id: stay
            offers:
              - kind: discount
                id: half
                percent: 50
                duration: once
                copy:
                  body: |-
                    First.

                    Second.
                  cta: Take it
          - kind: confirm
            id: confirm
            losses:
              - 'no'
              - "5"
        """)


LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=60).filter(
    str.strip
)
TEXTS = st.lists(LINES, min_size=1, max_size=4).map("\n".join)
TRICKY = st.sampled_from(
    [
        "no",
        "5",
        "1e5",
        "~",
        "null",
        "true",
        ".5",
        "- a",
        "a: b",
        "#x",
        "{x",
        "*a",
        "&a",
        "!t",
        "'",
        '"',
        "|",
        ">",
    ]
)


@given(title=LINES | TRICKY, body=TEXTS | TRICKY, points=st.lists(LINES | TRICKY, max_size=4))
def test_any_words_survive_writing(title: str, body: str, points: list[str]) -> None:
    step: dict[str, Any] = {"kind": "message", "id": "m", "title": title, "body": body, "points": points}
    definition = parse_flow({"name": "x", "steps": [step, {"kind": "confirm", "id": "confirm"}]})
    assert load_yaml(dump_yaml(definition), "x.yaml") == definition
