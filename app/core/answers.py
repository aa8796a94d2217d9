"""What a customer says at a step: what has to be put right about it, and how it is kept. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from app.core.commands import AnswerStep
from app.core.flow import FeedbackStep, OptionsFollowUp, Reason, SurveyStep
from app.core.path import Path, Stop, find_path, visible_reasons
from app.core.state import Answer, SessionState
from app.core.world import Walk

MAX_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something the customer has to put right: the form field, and the catalogue key of what to say."""

    name: str
    key: str
    args: dict[str, Any] = field(default_factory=dict)


def with_answer(walk: Walk, state: SessionState, command: AnswerStep) -> SessionState:
    answer = Answer(
        reason=command.reason,
        follow_up=command.follow_up,
        text=command.text,
        is_skipped=command.is_skip or not (command.reason or command.text),
        at=walk.now,
    )
    return state.model_copy(update={"answers": {**state.answers, command.step: answer}})


def with_draft(walk: Walk, state: SessionState, draft: AnswerStep) -> SessionState:
    """Keep what was typed when the exit was pressed, as far as it can be kept; never a reason to stop anyone."""
    path = find_path(walk, state)
    stop = path.find(draft.step)
    if (
        stop is None
        or stop.kind not in ("survey", "feedback")
        or not (draft.reason or draft.follow_up or draft.text)
    ):
        return state
    cut = AnswerStep(
        step=draft.step,
        reason=draft.reason,
        follow_up=draft.follow_up[:MAX_TEXT] if draft.follow_up else None,
        text=draft.text[:MAX_TEXT] if draft.text else None,
    )
    if isinstance(stop.step, SurveyStep) and _reason(walk, stop.step, path, cut.reason) is None:
        return state
    return with_answer(walk, state, cut)


def _reason(walk: Walk, step: SurveyStep, path: Path, reason_id: str | None) -> Reason | None:
    offered = visible_reasons(step, path.facts, walk.session_id)
    return next((r for r in offered if r.id == reason_id), None)


def mistakes_in(walk: Walk, stop: Stop, path: Path, command: AnswerStep) -> tuple[Mistake, ...]:
    if isinstance(stop.step, SurveyStep):
        return _survey_mistakes(walk, stop.step, path, command)
    if isinstance(stop.step, FeedbackStep):
        return _text_mistakes(
            "feedback",
            "feedback",
            command.text or "",
            is_required=stop.step.required,
            min_length=0 if command.is_skip else stop.step.min_length,
        )
    return ()


def _survey_mistakes(walk: Walk, step: SurveyStep, path: Path, command: AnswerStep) -> tuple[Mistake, ...]:
    if command.is_skip or command.reason is None:
        is_missing = step.required or (command.reason is None and bool(command.follow_up))
        return (Mistake("reason", "errors.reason.missing"),) if is_missing else ()
    reason = _reason(walk, step, path, command.reason)
    if reason is None:
        return (Mistake("reason", "errors.reason.unknown"),)
    asked = reason.follow_up
    if asked is None:
        return ()
    name = f"follow_up--{reason.id}"
    if isinstance(asked, OptionsFollowUp):
        is_known = command.follow_up in {o.id for o in asked.options}
        if (command.follow_up or asked.required) and not is_known:
            return (
                Mistake(
                    name, "errors.follow_up.unknown" if command.follow_up else "errors.follow_up.missing"
                ),
            )
        return ()
    return _text_mistakes(
        "follow_up", name, command.follow_up or "", is_required=asked.required, min_length=asked.min_length
    )


def _text_mistakes(
    question: str, name: str, text: str, *, is_required: bool, min_length: int
) -> tuple[Mistake, ...]:
    if len(text) > MAX_TEXT:
        return (Mistake(name, f"errors.{question}.long", {"count": MAX_TEXT}),)
    if not text:
        return (Mistake(name, f"errors.{question}.missing"),) if is_required else ()
    if len(text) < min_length:
        return (Mistake(name, f"errors.{question}.short", {"count": min_length}),)
    return ()
