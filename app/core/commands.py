"""What can be done to a walk, and in which phase. A command is data; session.py carries it out."""

from dataclasses import dataclass
from typing import Final

from app.core.state import Phase


@dataclass(frozen=True, slots=True)
class ChooseSubscription:
    subscription_id: str


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """An answer to a survey, feedback or message step. `is_skip` keeps what was typed, and nothing was said."""

    step: str
    reason: str | None = None
    follow_up: str | None = None
    text: str | None = None
    is_skip: bool = False


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    decision_id: str
    option_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    decision_id: str


@dataclass(frozen=True, slots=True)
class CancelNow:
    """The exit that is on every screen. `draft` is what stood in the form when it was pressed."""

    draft: AnswerStep | None = None


@dataclass(frozen=True, slots=True)
class ConfirmCancel:
    has_acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    pass


@dataclass(frozen=True, slots=True)
class UndoCancel:
    pass


@dataclass(frozen=True, slots=True)
class ResumeNow:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    pass


@dataclass(frozen=True, slots=True)
class GoOn:
    """Leave the trouble behind, or go past the paused screen, towards cancelling."""


@dataclass(frozen=True, slots=True)
class Settle:
    """What became of an effect. Sent by whoever carried it out, never by a browser."""

    effect_id: str
    is_applied: bool
    reason: str = ""
    message: str | None = None
    can_retry: bool = False
    subscription_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The subscription was changed elsewhere, and the walk's world has it as it now is. Sent by the worker."""


Command = (
    ChooseSubscription
    | AnswerStep
    | AcceptOffer
    | DeclineOffer
    | CancelNow
    | ConfirmCancel
    | Keep
    | UndoCancel
    | ResumeNow
    | Retry
    | GoOn
    | Settle
    | LookAgain
)

TRANSITIONS: Final[dict[Phase, frozenset[type[Command]]]] = {
    Phase.OPENING: frozenset(),
    Phase.CHOOSING: frozenset({ChooseSubscription, Keep}),
    Phase.WALKING: frozenset(
        {AnswerStep, AcceptOffer, DeclineOffer, CancelNow, ConfirmCancel, Keep, Settle, LookAgain}
    ),
    Phase.WORKING: frozenset({Settle, CancelNow}),
    Phase.TROUBLE: frozenset({Retry, GoOn, CancelNow, Keep, DeclineOffer, Settle}),
    Phase.SCHEDULED: frozenset({UndoCancel, Keep, LookAgain}),
    Phase.PAUSED: frozenset({ResumeNow, GoOn, CancelNow, Keep, LookAgain}),
    Phase.FINISHED: frozenset({UndoCancel, Settle}),
}
