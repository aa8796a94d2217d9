"""What a customer says at a step: what has to be put right about it, and what of it is kept. Pure."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.core.commands import AnswerStep
from app.core.flow import FeedbackStep, OptionsFollowUp, Reason, SurveyStep
from app.core.path import Stop, find_path, visible_reasons
from app.core.state import Answer, SessionState
from app.core.world import Walk

MAX_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something the customer has to put right: the form field, and the catalogue key of what to say."""

    name: str
    key: str
    args: dict[str, Any] = field(default_factory=dict)


def tidy(stop: Stop, command: AnswerStep) -> AnswerStep:
    """The same answer without space around the text; a step that has to be answered cannot be skipped."""
    is_required = isinstance(stop.step, SurveyStep | FeedbackStep) and stop.step.required
    return replace(
        command,
        follow_up=_stripped(command.follow_up),
        text=_stripped(command.text),
        is_skip=command.is_skip and not is_required,
    )


def with_answer(walk: Walk, state: SessionState, stop: Stop, command: AnswerStep) -> SessionState:
    """Keep what answers the step; whatever else was sent along is left out."""
    return _with(state, stop, _answer_to(walk, stop, command))


def with_draft(walk: Walk, state: SessionState, draft: AnswerStep) -> SessionState:
    """Keep what was typed when the exit was pressed, as far as it can be kept; never a reason to stop anyone."""
    stop = find_path(walk, state).find(draft.step)
    if stop is None or stop.kind not in ("survey", "feedback"):
        return state
    answer = _answer_to(walk, stop, tidy(stop, draft))
    return _with(state, stop, answer) if answer.reason or answer.text else state


def mistakes_in(walk: Walk, stop: Stop, command: AnswerStep) -> tuple[Mistake, ...]:
    """What keeps a tidied answer from being taken; () if nothing does."""
    match stop.step:
        case SurveyStep() as step:
            return _survey_mistakes(walk, stop, step, command)
        case FeedbackStep() as step:
            least = 0 if command.is_skip else step.min_length
            return _text_mistakes("feedback", "feedback", command.text, step.required, least)
        case _:
            return ()


def _answer_to(walk: Walk, stop: Stop, command: AnswerStep) -> Answer:
    match stop.step:
        case SurveyStep() as step:
            reason = _reason(walk, stop, step, command.reason)
            return Answer(
                reason=reason.id if reason else None,
                follow_up=_follow_up(reason, command.follow_up) if reason else None,
                is_skipped=command.is_skip or reason is None,
                at=walk.now,
            )
        case FeedbackStep():
            text = command.text[:MAX_TEXT] if command.text else None
            return Answer(text=text, is_skipped=command.is_skip or text is None, at=walk.now)
        case _:
            return Answer(is_skipped=command.is_skip, at=walk.now)


def _with(state: SessionState, stop: Stop, answer: Answer) -> SessionState:
    return state.model_copy(update={"answers": {**state.answers, stop.id: answer}})


def _reason(walk: Walk, stop: Stop, step: SurveyStep, reason_id: str | None) -> Reason | None:
    offered = visible_reasons(step, stop.facts, walk.session_id)
    return next((r for r in offered if r.id == reason_id), None)


def _follow_up(reason: Reason, given: str | None) -> str | None:
    """What answers the reason's question, if it has one."""
    match reason.follow_up:
        case None:
            return None
        case OptionsFollowUp(options=options):
            return next((o.id for o in options if o.id == given), None)
        case _:
            return given[:MAX_TEXT] if given else None


def _stripped(text: str | None) -> str | None:
    return text.strip() or None if text else None


# --- Mistakes -------------------------------------------------------------------------------------------------------


def _survey_mistakes(walk: Walk, stop: Stop, step: SurveyStep, command: AnswerStep) -> tuple[Mistake, ...]:
    reason = _reason(walk, stop, step, command.reason)
    if command.is_skip:
        return _follow_up_mistakes(reason, command.follow_up, is_skip=True) if reason else ()
    if command.reason is None:
        is_missing = step.required or command.follow_up is not None
        return (Mistake("reason", "errors.reason.missing"),) if is_missing else ()
    if reason is None:
        return (Mistake("reason", "errors.reason.unknown"),)
    return _follow_up_mistakes(reason, command.follow_up, is_skip=False)


def _follow_up_mistakes(reason: Reason, given: str | None, *, is_skip: bool) -> tuple[Mistake, ...]:
    asked, name = reason.follow_up, f"follow_up--{reason.id}"
    if asked is None:
        return ()
    is_required = asked.required and not is_skip
    if not isinstance(asked, OptionsFollowUp):
        return _text_mistakes("follow_up", name, given, is_required, 0 if is_skip else asked.min_length)
    if given is None:
        return (Mistake(name, "errors.follow_up.missing"),) if is_required else ()
    is_known = is_skip or given in {o.id for o in asked.options}
    return () if is_known else (Mistake(name, "errors.follow_up.unknown"),)


def _text_mistakes(
    question: str, name: str, text: str | None, is_required: bool, least: int
) -> tuple[Mistake, ...]:
    if text is None:
        return (Mistake(name, f"errors.{question}.missing"),) if is_required else ()
    if len(text) > MAX_TEXT:
        return (Mistake(name, f"errors.{question}.long", {"count": MAX_TEXT}),)
    if len(text) < least:
        return (Mistake(name, f"errors.{question}.short", {"count": least}),)
    return ()
