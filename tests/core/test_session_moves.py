"""Every command in every phase: what it does where it fits, and that it does nothing where it does not."""

from collections.abc import Callable

import pytest

from app.core.commands import (
    TRANSITIONS,
    AcceptOffer,
    AnswerStep,
    CancelNow,
    ChooseSubscription,
    Command,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Keep,
    LookAgain,
    ResumeNow,
    Retry,
    Settle,
    UndoCancel,
)
from app.core.direct import DirectSubscription, Obstacle
from app.core.facts import History
from app.core.session import advance
from app.core.state import Outcome, Phase, SessionState
from app.core.world import Walk
from tests.core.walks import PRICE, Journey, world
from tests.support.subscriptions import NOW, active, in_state

PAUSED_BY_US = History(paused_by_us=True)


def ending_soon() -> Journey:
    return Journey(seen=world(active(end="2026-12-01")))


def paused() -> Journey:
    status = {"name": "paused", "pause": {"start": "2026-11-01", "end": "2026-12-24"}}
    return Journey(seen=world(in_state(status), history=PAUSED_BY_US))


def choosing() -> Journey:
    return Journey(seen=world(active(), active(id="sub_2")))


def walking() -> Journey:
    return Journey()


def at_offer() -> Journey:
    journey = Journey()
    journey.do(PRICE)
    return journey


def working() -> Journey:
    journey = at_offer()
    journey.accept()
    return journey


def in_trouble() -> Journey:
    journey = working()
    journey.settle(applied=False, reason="coupon_gone", can_retry=True)
    return journey


def at_confirm() -> Journey:
    journey = Journey()
    journey.exit()
    return journey


def canceled() -> Journey:
    journey = at_confirm()
    journey.confirm()
    journey.settle(becomes=active(end="2026-12-01"))
    return journey


STANDINGS: dict[Phase, Callable[[], Journey]] = {
    Phase.CHOOSING: choosing,
    Phase.WALKING: at_offer,
    Phase.WORKING: working,
    Phase.TROUBLE: in_trouble,
    Phase.SCHEDULED: ending_soon,
    Phase.PAUSED: paused,
    Phase.FINISHED: canceled,
}


def commands(journey: Journey) -> list[Command]:
    """One of each, as fitting as it can be made."""
    state = journey.state
    decision_id = state.offers[-1].decision_id if state.offers else "dec_none"
    effect_id = state.pending.effect_id if state.pending else "eff_none"
    return [
        ChooseSubscription("sub_2"),
        AnswerStep("why", reason="unused"),
        AcceptOffer(decision_id),
        DeclineOffer(decision_id),
        CancelNow(),
        ConfirmCancel(),
        Keep(),
        UndoCancel(),
        ResumeNow(),
        Retry(),
        GoOn(),
        Settle(effect_id, True),
    ]


# What each command leads to where it does something: the phase, and the outcome where that ends the walk.
EFFECTS: dict[tuple[Phase, type[Command]], tuple[Phase, Outcome | None]] = {
    (Phase.CHOOSING, ChooseSubscription): (Phase.WALKING, None),
    (Phase.CHOOSING, Keep): (Phase.FINISHED, Outcome.KEPT),
    (Phase.WALKING, AnswerStep): (Phase.WALKING, None),
    (Phase.WALKING, AcceptOffer): (Phase.WORKING, None),
    (Phase.WALKING, DeclineOffer): (Phase.WALKING, None),
    (Phase.WALKING, CancelNow): (Phase.WALKING, None),
    (Phase.WALKING, Keep): (Phase.FINISHED, Outcome.KEPT),
    (Phase.WORKING, Settle): (Phase.FINISHED, Outcome.DISCOUNT_ACCEPTED),
    (Phase.WORKING, CancelNow): (Phase.WALKING, None),
    (Phase.TROUBLE, Retry): (Phase.WORKING, None),
    (Phase.TROUBLE, GoOn): (Phase.WALKING, None),
    (Phase.TROUBLE, DeclineOffer): (Phase.WALKING, None),
    (Phase.TROUBLE, CancelNow): (Phase.WALKING, None),
    (Phase.TROUBLE, Keep): (Phase.FINISHED, Outcome.KEPT),
    (Phase.SCHEDULED, UndoCancel): (Phase.WORKING, None),
    (Phase.SCHEDULED, Keep): (Phase.FINISHED, Outcome.CANCEL_ALREADY_SCHEDULED),
    (Phase.PAUSED, ResumeNow): (Phase.WORKING, None),
    (Phase.PAUSED, GoOn): (Phase.WALKING, None),
    (Phase.PAUSED, CancelNow): (Phase.WALKING, None),
    (Phase.PAUSED, Keep): (Phase.FINISHED, Outcome.KEPT),
    (Phase.FINISHED, UndoCancel): (Phase.WORKING, None),
}
EVERY = [(phase, type(c)) for phase, made in STANDINGS.items() for c in commands(made())]


@pytest.mark.parametrize(("phase", "kind"), EVERY, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_command_does_what_it_says_in_its_phase_and_nothing_in_another(
    phase: Phase, kind: type[Command]
) -> None:
    journey = STANDINGS[phase]()
    assert journey.state.phase is phase
    before = journey.state
    command = next(c for c in commands(journey) if type(c) is kind)
    decision = journey.do(command)
    if (phase, kind) in EFFECTS:
        assert (journey.state.phase, journey.state.outcome) == EFFECTS[phase, kind]
        assert journey.state != before
    else:
        assert decision.state is before
        assert (decision.effects, decision.events, decision.withdrawn) == ((), (), None)


def test_the_table_of_transitions_allows_what_does_something() -> None:
    assert all(kind in TRANSITIONS[phase] for phase, kind in EFFECTS)
    assert set(TRANSITIONS) == set(Phase)


def test_a_session_that_is_still_opening_takes_no_command() -> None:
    journey = Journey()
    for command in commands(journey):
        opening = SessionState()
        assert advance(journey.walk, opening, command).state is opening


@pytest.mark.parametrize("made", STANDINGS.values(), ids=STANDINGS)
def test_an_outcome_stands_in_a_finished_session_and_in_no_other(made: Callable[[], Journey]) -> None:
    found = made().state
    is_finished = found.phase is Phase.FINISHED
    assert (found.outcome is not None) is is_finished
    assert (found.finished_at is not None) is is_finished


@pytest.mark.parametrize("made", STANDINGS.values(), ids=STANDINGS)
def test_a_state_reads_back_from_its_json(made: Callable[[], Journey]) -> None:
    state = made().state
    assert SessionState.model_validate(state.to_json()) == state
    assert SessionState.model_validate(state.model_dump(mode="json")) == state


# --- Which subscription ---------------------------------------------------------------------------------------------


def test_the_only_subscription_needs_no_choice() -> None:
    assert walking().at == "why"
    assert walking().state.subscription_id == "sub_1"


def test_several_subscriptions_are_chosen_from() -> None:
    journey = choosing()
    journey.do(ChooseSubscription("sub_2"))
    assert (journey.at, journey.state.subscription_id) == ("why", "sub_2")


def test_a_named_subscription_is_not_asked_for() -> None:
    journey = Journey(seen=world(active(), active(id="sub_2")), subscription_id="sub_2")
    assert (journey.at, journey.state.subscription_id) == ("why", "sub_2")


@pytest.mark.parametrize("named", ["sub_over", "sub_unknown", ""])
def test_another_subscription_than_the_named_one_is_never_taken_without_asking(named: str) -> None:
    over = in_state({"name": "canceled", "canceledAt": "2026-10-01"}, id="sub_over")
    journey = Journey(seen=world(active(), over), subscription_id=named)
    assert (journey.at, journey.state.subscription_id) == ("choosing", None)


@pytest.mark.parametrize("chosen", ["", "sub_unknown", "sub_over", "🙂", "x" * 10_000])
def test_choosing_what_is_not_there_is_a_mistake(chosen: str) -> None:
    over = in_state({"name": "canceled", "canceledAt": "2026-10-01"}, id="sub_over")
    journey = Journey(seen=world(active(), active(id="sub_2"), over))
    decision = journey.do(ChooseSubscription(chosen))
    assert [m.name for m in decision.mistakes] == ["subscription"]
    assert journey.at == "choosing"


def test_without_a_running_subscription_there_is_nothing_to_cancel_or_keep() -> None:
    journey = Journey(seen=world(in_state({"name": "canceled", "canceledAt": "2026-10-01"})))
    assert journey.at == "choosing"
    journey.do(Keep(), CancelNow(), ConfirmCancel(), ChooseSubscription("sub_1"))
    assert journey.at == "choosing"
    assert not journey.effects


def test_a_chosen_subscription_that_ends_already_is_shown_as_such() -> None:
    journey = Journey(seen=world(active(), active(id="sub_2", end="2026-12-01")))
    journey.do(ChooseSubscription("sub_2"))
    assert journey.at == "scheduled"


def test_an_end_that_has_passed_is_not_taken_back() -> None:
    journey = ending_soon()
    journey.wait(active(end="2026-12-02").end - NOW)
    journey.do(UndoCancel())
    assert journey.at == "scheduled"
    assert not journey.effects


# --- Changed elsewhere meanwhile ------------------------------------------------------------------------------------


def changed(journey: Journey, subscription: DirectSubscription) -> None:
    """The subscription as it now is at the provider."""
    journey.walk = Walk(
        "cs_1", journey.walk.flow, journey.walk.world.with_subscription(subscription), journey.walk.now
    )


def test_who_walks_while_the_end_is_scheduled_elsewhere_is_shown_its_date() -> None:
    journey = at_offer()
    changed(journey, active(end="2026-12-01"))
    journey.do(LookAgain())
    assert journey.state.phase is Phase.SCHEDULED
    assert journey.state.answers


def test_who_looks_at_an_end_that_was_taken_back_elsewhere_walks_on() -> None:
    journey = ending_soon()
    changed(journey, active())
    journey.do(LookAgain())
    assert journey.state.phase is Phase.WALKING


def test_what_has_become_unsafe_elsewhere_becomes_a_request() -> None:
    journey = walking()
    changed(journey, active().model_copy(update={"obstacles": (Obstacle.SCHEDULE,)}))
    journey.do(LookAgain())
    assert journey.state.manual_reasons == ("schedule",)
    journey.do(CancelNow())
    journey.do(ConfirmCancel())
    assert journey.state.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED


def test_who_has_gone_past_a_pause_is_not_sent_back_to_it() -> None:
    journey = paused()
    journey.do(GoOn())
    longer = {"name": "paused", "pause": {"start": "2026-11-01", "end": "2027-01-24"}}
    changed(journey, in_state(longer))
    journey.do(LookAgain())
    assert journey.state.phase is Phase.WALKING


def test_a_change_that_makes_no_difference_to_the_walk_changes_nothing() -> None:
    journey = at_offer()
    before = journey.state
    changed(journey, active(metadata={"seats": 3}))
    journey.do(LookAgain())
    assert journey.state is before
