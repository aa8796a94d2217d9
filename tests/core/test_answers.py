from typing import Any

import pytest

from app.core.answers import MAX_TEXT
from app.core.commands import AnswerStep, Keep
from app.core.flow_check import parse_flow
from tests.core.walks import BUG, CONFIRM, ENDS, SAID, TEXT, WHY, Journey, flow

ASKED: dict[str, Any] = {
    "kind": "survey",
    "id": "why",
    "reasons": [
        {"id": "plain", "label": "Plain"},
        {"id": "words", "label": "Words", "follow_up": {"kind": "text", "question": "?", "min_length": 5}},
        {"id": "must", "label": "Must", "follow_up": {"kind": "text", "question": "?", "required": True}},
        {
            "id": "pick",
            "label": "Pick",
            "follow_up": {
                "kind": "options",
                "question": "?",
                "required": True,
                "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}],
            },
        },
        {"id": "hidden", "label": "Hidden", "when": {"attribute": "vip", "op": "exists"}},
    ],
}
LONG = "🙂" * (MAX_TEXT + 1)
HUGE = "x" * 10_000


def at(step: dict[str, Any], **more: Any) -> Journey:
    return Journey(flow({**step, **more}, ENDS, CONFIRM))


def wrong(journey: Journey, command: AnswerStep) -> list[tuple[str, str]]:
    before = journey.state
    decision = journey.do(command)
    assert bool(decision.mistakes) is (decision.state is before)
    return [(m.name, m.key) for m in decision.mistakes]


@pytest.mark.parametrize(
    ("reason", "follow_up", "mistakes"),
    [
        (None, None, []),
        ("plain", None, []),
        ("plain", "whatever", []),
        (None, "whatever", [("reason", "errors.reason.missing")]),
        ("unknown", None, [("reason", "errors.reason.unknown")]),
        ("hidden", None, [("reason", "errors.reason.unknown")]),
        (HUGE, None, [("reason", "errors.reason.unknown")]),
        ("words", None, []),
        ("words", "    ", []),
        ("words", "four", [("follow_up--words", "errors.follow_up.short")]),
        ("words", "  four  ", [("follow_up--words", "errors.follow_up.short")]),
        ("words", "fives", []),
        ("words", "🙂" * MAX_TEXT, []),
        ("words", LONG, [("follow_up--words", "errors.follow_up.long")]),
        ("must", None, [("follow_up--must", "errors.follow_up.missing")]),
        ("must", " ", [("follow_up--must", "errors.follow_up.missing")]),
        ("pick", None, [("follow_up--pick", "errors.follow_up.missing")]),
        ("pick", "c", [("follow_up--pick", "errors.follow_up.unknown")]),
        ("pick", "a", []),
    ],
)
def test_an_answer_to_a_survey_is_checked(
    reason: str | None, follow_up: str | None, mistakes: list[tuple[str, str]]
) -> None:
    assert wrong(at(ASKED), AnswerStep("why", reason=reason, follow_up=follow_up)) == mistakes


@pytest.mark.parametrize(
    ("rules", "text", "mistakes"),
    [
        ({}, None, []),
        ({}, LONG, [("feedback", "errors.feedback.long")]),
        ({"required": True}, None, [("feedback", "errors.feedback.missing")]),
        ({"required": True}, " \n ", [("feedback", "errors.feedback.missing")]),
        ({"min_length": 5}, None, []),
        ({"min_length": 5}, "four", [("feedback", "errors.feedback.short")]),
        ({"required": True, "min_length": 5}, "fives", []),
    ],
)
def test_a_text_is_checked(rules: dict[str, Any], text: str | None, mistakes: list[tuple[str, str]]) -> None:
    assert wrong(at(TEXT, **rules), AnswerStep("text", text=text)) == mistakes


def test_a_mistake_about_length_says_how_long_it_may_be() -> None:
    journey = at(TEXT, min_length=5)
    assert journey.do(AnswerStep("text", text="four")).mistakes[0].args == {"count": 5}
    assert journey.do(AnswerStep("text", text=LONG)).mistakes[0].args == {"count": MAX_TEXT}


# --- Skipping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [None, "four", "fives and more"])
def test_a_skip_asks_nothing_and_keeps_what_was_typed(typed: str | None) -> None:
    journey = at(TEXT, min_length=5)
    assert wrong(journey, AnswerStep("text", text=typed, is_skip=True)) == []
    assert journey.at == "ends"
    assert (journey.state.answers["text"].text, journey.state.answers["text"].is_skipped) == (typed, True)


def test_what_was_typed_and_skipped_is_told_to_nobody() -> None:
    journey = Journey()
    journey.do(
        AnswerStep("why", reason="bug", follow_up="secret", is_skip=True),
        AnswerStep("ends"),
        AnswerStep("text", text="secret", is_skip=True),
        Keep(),
    )
    assert journey.events
    assert "secret" not in repr(journey.events)
    assert journey.state.answers["why"].follow_up == "secret"


def test_a_skip_does_not_cut_off_what_is_too_long_to_keep() -> None:
    assert wrong(at(TEXT), AnswerStep("text", text=LONG, is_skip=True)) == [
        ("feedback", "errors.feedback.long")
    ]
    command = AnswerStep("why", reason="words", follow_up=LONG, is_skip=True)
    assert wrong(at(ASKED), command) == [("follow_up--words", "errors.follow_up.long")]


def test_a_skip_asks_no_follow_up() -> None:
    for reason in ("must", "pick", "hidden", "unknown", HUGE, None):
        journey = at(ASKED)
        assert wrong(journey, AnswerStep("why", reason=reason, follow_up="c", is_skip=True)) == []
        assert journey.at == "ends"


def test_what_has_to_be_answered_cannot_be_skipped() -> None:
    journey = at(ASKED, required=True)
    skip = AnswerStep("why", is_skip=True)
    assert wrong(journey, skip) == [("reason", "errors.reason.missing")]
    assert wrong(journey, AnswerStep("why", reason="plain", is_skip=True)) == []
    assert not journey.state.answers["why"].is_skipped


# --- What is kept ---------------------------------------------------------------------------------------------------


def test_only_what_the_step_asked_for_is_kept() -> None:
    journey = Journey()
    journey.do(AnswerStep("why", reason="bug", follow_up="  It crashes ", text=HUGE))
    journey.do(AnswerStep("ends", reason=HUGE, follow_up=HUGE, text=HUGE))
    journey.do(AnswerStep("text", reason="price", follow_up=HUGE, text=" Bye. "))
    said = {step: (a.reason, a.follow_up, a.text) for step, a in journey.state.answers.items()}
    assert said == {"why": ("bug", "It crashes", None), "ends": (None,) * 3, "text": (None, None, "Bye.")}
    assert journey.state.reason_answer == journey.state.answers["why"]


def test_a_follow_up_that_nobody_asked_for_is_left_out() -> None:
    journey = at(ASKED)
    journey.do(AnswerStep("why", reason="plain", follow_up=HUGE))
    assert journey.state.answers["why"].follow_up is None


def test_a_message_that_was_read_was_not_skipped() -> None:
    journey = Journey()
    journey.do(BUG, AnswerStep("ends"))
    assert not journey.state.answers["ends"].is_skipped


def test_the_reason_and_the_text_that_count_are_those_given_last() -> None:
    again = {**WHY, "id": "again", "reasons": WHY["reasons"][2:]}
    more = {**TEXT, "id": "more"}
    journey = Journey(flow(WHY, again, TEXT, more, CONFIRM))
    journey.do(BUG, AnswerStep("again", reason="bug", follow_up="Second"), SAID)
    journey.do(AnswerStep("more", text="Last."), Keep())
    completed = journey.events[-1].data
    assert (completed["reason"], completed["followUp"], completed["feedback"]) == ("bug", "Second", "Last.")


# --- Drafts ---------------------------------------------------------------------------------------------------------

REQUIRED = parse_flow(
    {
        "name": "Strict",
        "steps": [{**ASKED, "required": True}, {**TEXT, "required": True, "min_length": 99}, CONFIRM],
    }
)


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        (None, None),
        (AnswerStep("why"), None),
        (AnswerStep("why", reason="plain"), ("plain", None)),
        (AnswerStep("why", reason="must"), ("must", None)),
        (AnswerStep("why", reason="words", follow_up="four"), ("words", "four")),
        (AnswerStep("why", reason="words", follow_up="x" * 9_999), ("words", "x" * MAX_TEXT)),
        (AnswerStep("why", reason="pick", follow_up="c"), ("pick", None)),
        (AnswerStep("why", reason="pick", follow_up="b"), ("pick", "b")),
        (AnswerStep("why", reason="hidden"), None),
        (AnswerStep("why", reason=HUGE), None),
        (AnswerStep("why", follow_up="No reason"), None),
        (AnswerStep("text", text="Not there yet"), None),
        (AnswerStep("nowhere", reason="plain", text="x"), None),
        (AnswerStep("confirm", text="x"), None),
    ],
)
def test_the_exit_is_never_refused_and_keeps_what_can_be_kept(
    draft: AnswerStep | None, kept: tuple[str | None, str | None] | None
) -> None:
    journey = Journey(REQUIRED)
    decision = journey.exit(draft)
    assert decision.mistakes == ()
    assert journey.at == "confirm"
    said = journey.state.answers.get("why")
    assert (said and (said.reason, said.follow_up)) == kept
    assert set(journey.state.answers) <= {"why"}


def test_a_half_written_text_is_kept_by_the_exit() -> None:
    journey = Journey(REQUIRED)
    journey.do(AnswerStep("why", reason="plain"))
    journey.exit(AnswerStep("text", text="I wanted to s"))
    assert journey.at == "confirm"
    assert journey.state.answers["text"].text == "I wanted to s"


def test_an_empty_form_at_the_exit_takes_no_earlier_answer_away() -> None:
    journey = Journey()
    journey.do(BUG)
    journey.exit(AnswerStep("why"))
    assert journey.state.answers["why"].follow_up == "It crashes"
