"""The state of one walk: what was seen, said, shown and asked for. Pure data, stored as JSON, never edited in place;
session.py says how it changes."""

from collections.abc import Iterable
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
    """What became of an offer. `accepted` until the provider has made the change (`applied`) or not (`failed`)."""

    PRESENTED = "presented"
    DECLINED = "declined"
    ACCEPTED = "accepted"
    APPLIED = "applied"
    FAILED = "failed"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Answer(_Kept):
    """What was said at one step. With `is_skipped` nothing was said: what had been typed is kept for the form alone."""

    reason: str | None = None
    follow_up: str | None = None
    text: str | None = None
    is_skipped: bool = False
    at: datetime


class OfferRecord(_Kept):
    """One offer as it was shown at one place, and what the customer did with it."""

    decision_id: str
    placement: str
    shown: ShownOffer
    status: OfferStatus
    option_id: str | None = None
    presented_at: datetime
    answered_at: datetime | None = None
    effect_id: str | None = None


class Pending(_Kept):
    """A change that was asked for and is being carried out. `came_from` is the phase that it was asked for in."""

    effect_id: str
    change: Change
    outcome: Outcome
    requested_at: datetime
    decision_id: str | None = None
    came_from: Phase = Phase.WALKING


class Trouble(_Kept):
    """Why the last change was not made. `can_retry` is False when asking again cannot help."""

    change: Change
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
    """Everything that happened in one session; stored as JSON and never edited in place.

    `outcome` and `finished_at` are set in the phase `finished` and in no other. `withdrawn` are changes that the
    customer left behind by the exit, until it is known whether they were made all the same. Rules and eligibility are
    decided as at `opened_at`: a walk that is taken up hours later leads past the same screens.
    """

    phase: Phase = Phase.OPENING
    opened_at: datetime | None = None
    subscription_id: str | None = None
    answers: dict[str, Answer] = {}
    offers: tuple[OfferRecord, ...] = ()
    pending: Pending | None = None
    withdrawn: tuple[Pending, ...] = ()
    trouble: Trouble | None = None
    outcome: Outcome | None = None
    finished_at: datetime | None = None
    canceled_at: datetime | None = None
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

    def unsettled(self, effect_id: str) -> Pending | None:
        """The change of that id, while it is not known what became of it."""
        waiting = (*self.withdrawn, self.pending)
        return next((p for p in waiting if p is not None and p.effect_id == effect_id), None)

    def has_seen(self, step: str) -> bool:
        return any(view.step == step for view in self.views)

    @property
    def has_taken_offer(self) -> bool:
        """Whether an offer was accepted and has not failed. There is never more than one such."""
        return any(o.status in (OfferStatus.ACCEPTED, OfferStatus.APPLIED) for o in self.offers)

    @property
    def standing(self) -> Phase:
        """The phase, and of a change in hand or in trouble the one that it was asked for in."""
        asked = self.pending or self.trouble
        return asked.came_from if asked else self.phase

    @property
    def reason_answer(self) -> Answer | None:
        """The reason given last; a flow may ask more than once."""
        return _last(a for a in self.answers.values() if a.reason)

    @property
    def feedback(self) -> str | None:
        """The free text given last."""
        said = _last(a for a in self.answers.values() if a.text)
        return said.text if said else None


def _last(answers: Iterable[Answer]) -> Answer | None:
    return max((a for a in answers if not a.is_skipped), key=lambda a: a.at, default=None)
