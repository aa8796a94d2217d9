"""Reads what a browser posted as a command of the walk. Judges nothing: what does not fit is the walk's to say."""

from collections.abc import Callable
from typing import Final

from app.core.commands import (
    AcceptOffer,
    AnswerStep,
    CancelNow,
    ChooseSubscription,
    Command,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Keep,
    ResumeNow,
    Retry,
    UndoCancel,
)
from app.core.path import Stop
from app.core.state import Phase
from app.web.forms import Form


def read_command(form: Form, *, phase: Phase, stop: Stop | None) -> Command:
    """What the pressed button means on the screen it was pressed on; a form sent without one means *continue*."""
    action = form.get("action")
    if action == "continue" and phase in (Phase.PAUSED, Phase.TROUBLE):
        return GoOn()
    if action == "cancel_now":
        return CancelNow(draft=_answer(form, stop) if stop else None)
    read = _ACTIONS.get(action)
    return read(form) if read is not None else _answer(form, stop, is_skip=action == "skip")


def _answer(form: Form, stop: Stop | None, *, is_skip: bool = False) -> AnswerStep:
    step = stop.id if stop else ""
    if stop is not None and stop.kind == "survey":
        reason = form.text("reason") or None
        follow_up = form.text(f"follow_up--{reason}") or None
        return AnswerStep(step=step, reason=reason, follow_up=follow_up, is_skip=is_skip)
    return AnswerStep(step=step, text=form.text("feedback") or None, is_skip=is_skip)


_ACTIONS: Final[dict[str, Callable[[Form], Command]]] = {
    "accept": lambda form: AcceptOffer(form.get("decision"), form.text("option") or None),
    "decline": lambda form: DeclineOffer(form.get("decision")),
    "confirm": lambda form: ConfirmCancel(has_acknowledged="acknowledge" in form),
    "keep": lambda _: Keep(),
    "uncancel": lambda _: UndoCancel(),
    "resume": lambda _: ResumeNow(),
    "retry": lambda _: Retry(),
    "choose": lambda form: ChooseSubscription(form.get("subscription")),
}
