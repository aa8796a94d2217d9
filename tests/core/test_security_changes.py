"""Who holds a session can press its buttons for ever: what that costs the merchant's billing system has an end."""

from collections.abc import Callable

import pytest

from app.core.commands import AcceptOffer, CancelNow, GoOn, ResumeNow, Retry, Settle, UndoCancel
from app.core.moves import MAX_CHANGES
from app.core.state import Outcome, Phase
from tests.core.test_session_moves import canceled, ending_soon, in_trouble, paused, working
from tests.core.walks import Journey

TRIES = 3 * MAX_CHANGES


def refuse(journey: Journey) -> None:
    """What billing says to whatever is asked."""
    if journey.state.phase is Phase.WORKING:
        journey.settle(applied=False, reason="no", can_retry=True)


def accept_and_run_away(journey: Journey) -> None:
    """Take the offer, press the exit before it is done, and once it was withdrawn take it again."""
    (record,) = journey.state.offers
    journey.do(AcceptOffer(record.decision_id))
    if journey.state.pending is not None:
        pending = journey.state.pending.effect_id
        journey.do(CancelNow())
        journey.do(Settle(pending, False, reason="withdrawn"))


@pytest.mark.parametrize(
    ("start", "press"),
    [
        (in_trouble, lambda journey: journey.do(Retry())),
        (ending_soon, lambda journey: journey.do(GoOn(), UndoCancel())),
        (canceled, lambda journey: journey.do(GoOn(), UndoCancel())),
        (paused, lambda journey: journey.do(ResumeNow(), GoOn())),
    ],
)
def test_changes_that_are_refused_are_not_asked_for_without_end(
    start: Callable[[], Journey], press: Callable[[Journey], object]
) -> None:
    journey = start()
    for _ in range(TRIES):
        press(journey)
        refuse(journey)
    assert len(journey.effects) <= MAX_CHANGES


def test_an_offer_that_was_taken_and_left_is_not_taken_without_end() -> None:
    journey = working()
    refuse(journey)
    journey.do(CancelNow())
    for _ in range(TRIES):
        accept_and_run_away(journey)
    assert len(journey.effects) <= MAX_CHANGES


def test_after_all_of_them_one_can_still_cancel() -> None:
    journey = in_trouble()
    for _ in range(TRIES):
        journey.do(Retry())
        refuse(journey)
    journey.exit()
    journey.confirm()
    journey.settle()
    assert journey.state.outcome is Outcome.CANCELED
