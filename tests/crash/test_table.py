"""The crash matrix as it is printed and kept: nothing that went wrong is left out, and the page is of all providers."""

import time
from pathlib import Path

from tests.crash.actions import ACTIONS, CANCEL, DISCOUNT
from tests.crash.faults import FAULTS, Fault, Kind, Moment
from tests.crash.matrix import PROVIDERS, Result, Run
from tests.crash.table import page, section

PAGE = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
KILLED = Fault(Kind.KILL, Moment.UNANSWERED)


def a_run(*results: Result) -> Run:
    outcome = Run(time.monotonic(), lambda _: None)
    for result in results:
        outcome.take(result)
    return outcome


def test_a_case_that_did_not_come_out_right_is_marked_and_named() -> None:
    told = section(
        "demo",
        a_run(
            Result("demo", CANCEL, KILLED),
            Result("demo", DISCOUNT, KILLED, write=1, writes=2),
            Result("demo", DISCOUNT, KILLED, write=2, writes=2, disagreement="there are 2 effects, not 1"),
        ),
    )
    assert "| The server is killed | after the commit | ✓ | · | ✗ 2 |" in told
    assert "2 of 3 cases hold." in told
    assert "✗ demo · discount · The server is killed, after the commit, call 2 of 2" in told
    assert "    there are 2 effects, not 1" in told


def test_what_a_provider_cannot_do_is_said_and_has_no_column() -> None:
    outcome = a_run(Result("demo", CANCEL, KILLED))
    outcome.rule_out("demo", DISCOUNT)
    told = section("demo", outcome)
    assert "It cannot do: discount." in told
    assert "| discount |" not in told


def test_a_run_for_one_provider_leaves_the_others_sections_as_they_were() -> None:
    known = page("", {"stripe": "## stripe\n\nold\n", "paddle": "## paddle\n\nold\n"}, order=PROVIDERS)
    renewed = page(known, {"paddle": "## paddle\n\nnew\n"}, order=PROVIDERS)
    assert "## stripe\n\nold\n" in renewed
    assert "## paddle\n\nnew\n" in renewed
    assert renewed.count("## paddle") == 1


def test_the_page_in_the_documentation_is_of_all_providers_and_all_hold() -> None:
    kept = PAGE.read_text()
    for provider in PROVIDERS:
        assert f"\n## {provider}\n" in kept
    assert all(str(fault.kind) in kept for fault in FAULTS)
    assert all(action.title in kept for action in ACTIONS)
    assert "✗ " not in kept.partition("## demo")[2], "a case did not hold when it was last carried out"
