"""The state of one walk: what was seen, said, shown and asked for. Pure data, stored as JSON, never edited in place;
session.py says how it changes."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from app.core.billing import Change
from app.core.flow import OfferKind
from app.core.offers import ShownOffer


class Phase(StrEnum):
    """Where a session stands. `trouble`: a change could not be made and the customer has to say how to go on."""

    OPENING = "opening"
    CHOOSING = "choosing"
    WALKING = "walking"
    WORKING = "working"
    TROUBLE = "trouble"
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a session can end (DESIGN §1). `dismissed` and `expired` are set by time, never by a command."""

    CANCELED = "canceled"
    KEPT = "kept"
    DISCOUNT_ACCEPTED = "discount_accepted"
    PAUSE_ACCEPTED = "pause_accepted"
    PLAN_SWITCHED = "plan_switched"
    TRIAL_EXTENDED = "trial_extended"
    SUPPORT_REQUESTED = "support_requested"
    REDIRECTED = "redirected"
    UNCANCELED = "uncanceled"
    RESUMED = "resumed"
    MANUAL_CANCELLATION_REQUESTED = "manual_cancellation_requested"
    CANCEL_ALREADY_SCHEDULED = "cancel_already_scheduled"
    DISMISSED = "dismissed"
    EXPIRED = "expired"


OUTCOME_OF_OFFER: Final[dict[OfferKind, Outcome]] = {
    OfferKind.DISCOUNT: Outcome.DISCOUNT_ACCEPTED,
    OfferKind.PAUSE: Outcome.PAUSE_ACCEPTED,
    OfferKind.PLAN_CHANGE: Outcome.PLAN_SWITCHED,
    OfferKind.TRIAL_EXTENSION: Outcome.TRIAL_EXTENDED,
    OfferKind.CONTACT: Outcome.SUPPORT_REQUESTED,
    OfferKind.REDIRECT: Outcome.REDIRECTED,
}


class OfferStatus(StrEnum):
    PRESENTED = "presented"
    DECLINED = "declined"
    ACCEPTED = "accepted"
    APPLIED = "applied"
    FAILED = "failed"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Kept):
    """What was said at one step. `is_skipped` keeps whatever had been typed before."""

    reason: str | None = None
    follow_up: str | None = None
    text: str | None = None
    is_skipped: bool = False
    at: datetime


class OfferRecord(_Kept):
    decision_id: str
    placement: str
    shown: ShownOffer
    status: OfferStatus
    option_id: str | None = None
    presented_at: datetime
    answered_at: datetime | None = None
    effect_id: str | None = None


class Pending(_Kept):
    """A change that was asked for and is being carried out."""

    effect_id: str
    change: Change
    outcome: Outcome
    requested_at: datetime
    decision_id: str | None = None
    came_from: Phase = Phase.WALKING


class Trouble(_Kept):
    """Why the last change was not made. `can_retry` is False when asking again cannot help."""

    outcome: Outcome
    reason: str
    message: str | None = None
    decision_id: str | None = None
    can_retry: bool = True
    came_from: Phase = Phase.WALKING


class View(_Kept):
    step: str
    kind: str
    started_at: datetime
    ended_at: datetime | None = None


class SessionState(_Kept):
    """Everything that happened in one session; stored as JSON and never edited in place."""

    phase: Phase = Phase.OPENING
    subscription_id: str | None = None
    answers: dict[str, Answer] = {}
    offers: tuple[OfferRecord, ...] = ()
    pending: Pending | None = None
    trouble: Trouble | None = None
    outcome: Outcome | None = None
    finished_at: datetime | None = None
    effects_made: int = 0
    used_exit: bool = False
    manual_reasons: tuple[str, ...] = ()
    views: tuple[View, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The state as it is stored; `SessionState.model_validate` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def offer(self, decision_id: str | None) -> OfferRecord | None:
        return next((o for o in self.offers if o.decision_id == decision_id), None)

    def offer_at(self, placement: str) -> OfferRecord | None:
        return next((o for o in self.offers if o.placement == placement), None)

    @property
    def reason_answer(self) -> Answer | None:
        """The survey answer given last; a flow may ask more than once."""
        given = [a for a in self.answers.values() if a.reason is not None]
        return max(given, key=lambda a: a.at, default=None)
