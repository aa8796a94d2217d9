"""How a walk can end, what merchants are told of it, and what a change that fails or comes late does to it."""

from datetime import timedelta
from typing import Any

import pytest

from app.core.billing import Cancel, Capability, Discount, Pause, PlanChange, Resume, TrialExtension, Uncancel
from app.core.commands import (
    AcceptOffer,
    CancelNow,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Keep,
    ResumeNow,
    Retry,
    Settle,
    UndoCancel,
)
from app.core.session import can_cancel_now, can_undo_cancel, resting_outcome
from app.core.state import OfferStatus, Outcome, Phase
from tests.core.test_session_moves import canceled, ending_soon, in_trouble, paused, walking, working
from tests.core.walks import (
    BREAK,
    BUG,
    CONFIRM,
    ENDS,
    GUIDE,
    HALF,
    LITE,
    MORE_TIME,
    PRICE,
    READ,
    SAID,
    TALK,
    TEXT,
    UNUSED,
    WHY,
    Journey,
    flow,
    ids,
    offer,
    world,
)
from tests.support.subscriptions import active, day, in_state, on_trial, price

# --- Offers that are taken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "option", "change", "outcome"),
    [
        (HALF, None, Discount, Outcome.DISCOUNT_ACCEPTED),
        (BREAK, "2-months", Pause, Outcome.PAUSE_ACCEPTED),
        ({**BREAK, "resume_date": True}, "2027-01-10", Pause, Outcome.PAUSE_ACCEPTED),
        (LITE, "price_lite", PlanChange, Outcome.PLAN_SWITCHED),
        (MORE_TIME, None, TrialExtension, Outcome.TRIAL_EXTENDED),
    ],
)
def test_an_offer_that_changes_something_is_carried_out_as_shown(
    made: dict[str, Any], option: str | None, change: type, outcome: Outcome
) -> None:
    subscription = on_trial(started="2026-11-01") if made is MORE_TIME else active()
    journey = Journey(flow(offer(made), CONFIRM), world(subscription))
    shown = journey.shown.shown
    journey.accept(option)
    (effect,) = journey.effects
    chosen = shown.find_option(option)
    assert chosen is not None
    assert isinstance(effect.change, change)
    assert (effect.change, effect.subscription_id) == (chosen.change, "sub_1")
    assert effect.decision_id == shown.decision_id
    journey.settle()
    assert (journey.state.outcome, journey.state.finished_at) == (outcome, journey.walk.now)
    assert journey.state.offers[0].status is OfferStatus.APPLIED
    assert journey.told() == [
        "session.offer_presented",
        "session.offer_accepted",
        "effect.applied",
        "session.completed",
    ]


@pytest.mark.parametrize(("made", "outcome"), [(TALK, "support_requested"), (GUIDE, "redirected")])
def test_an_offer_that_leads_elsewhere_ends_the_walk_without_a_change(
    made: dict[str, Any], outcome: str
) -> None:
    journey = Journey(flow(offer(made), CONFIRM))
    journey.accept()
    assert (journey.at, journey.state.outcome) == ("finished", outcome)
    assert not journey.effects
    assert journey.told()[-2:] == ["session.offer_accepted", "session.completed"]


@pytest.mark.parametrize("option", [None, "", "9-months", "2027-01-10", "🙂", "x" * 10_000])
def test_an_option_that_was_not_shown_cannot_be_taken(option: str | None) -> None:
    journey = Journey(flow(offer(BREAK), CONFIRM))
    decision = journey.accept(option)
    assert [m.name for m in decision.mistakes] == ["option"]
    assert journey.at == "stay"
    assert not journey.effects


def test_a_declined_offer_can_be_gone_back_to_and_taken() -> None:
    journey = Journey()
    journey.do(PRICE)
    journey.decline()
    journey.do(READ)
    journey.do(AcceptOffer(journey.state.offers[0].decision_id))
    assert journey.at == "working"


def test_an_offer_that_no_longer_stands_on_the_path_cannot_be_taken() -> None:
    journey = Journey()
    journey.do(PRICE)
    half = journey.shown.decision_id
    journey.do(BUG, AcceptOffer(half), DeclineOffer(half))
    assert journey.at == "ends"
    assert journey.state.offers[0].status is OfferStatus.PRESENTED
    assert not journey.effects


def test_declining_twice_is_told_once() -> None:
    journey = Journey()
    journey.do(PRICE)
    half = journey.shown.decision_id
    journey.do(DeclineOffer(half), DeclineOffer(half))
    assert journey.told() == ["session.offer_presented", "session.offer_declined"]


def test_accepting_twice_asks_for_one_change() -> None:
    journey = working()
    journey.do(AcceptOffer(journey.state.offers[0].decision_id))
    assert len(journey.effects) == 1


# --- Cancelling -----------------------------------------------------------------------------------------------------


def test_a_cancellation_is_requested_then_confirmed() -> None:
    journey = canceled()
    assert [e.change for e in journey.effects] == [Cancel(timing="period_end", at=day("2026-12-01"))]
    assert journey.told() == [
        "cancellation.requested",
        "effect.applied",
        "cancellation.confirmed",
        "session.completed",
    ]
    asked, _, confirmed, completed = (event.data for event in journey.events)
    assert (asked["endsAt"], confirmed["endsAt"]) == ("2026-12-01T00:00:00Z",) * 2
    assert completed["outcome"] == "canceled"
    assert completed["usedExit"]


def test_cancelling_now_ends_now() -> None:
    journey = Journey(flow({**CONFIRM, "timing": "now"}))
    journey.confirm()
    assert journey.effects[0].change == Cancel(timing="now", at=journey.walk.now)
    over = in_state({"name": "canceled", "canceledAt": "2026-11-21T10:02:00Z"})
    journey.settle(becomes=over)
    assert journey.events[-2].data["endsAt"] == "2026-11-21T10:02:00Z"
    assert not can_undo_cancel(journey.walk, journey.state)


def test_confirming_from_a_stale_tab_skips_no_step() -> None:
    journey = walking()
    journey.do(ConfirmCancel())
    assert journey.at == "why"
    assert not journey.effects


def test_what_has_to_be_acknowledged_is_asked_for() -> None:
    journey = Journey(flow({**CONFIRM, "acknowledge": "I know"}))
    assert [m.name for m in journey.confirm().mistakes] == ["acknowledge"]
    journey.do(ConfirmCancel(has_acknowledged=True))
    assert journey.at == "working"


@pytest.mark.parametrize(
    ("subscription", "reason"),
    [
        (in_state({"name": "unpaid"}), "unpaid"),
        (in_state({"name": "future"}), "not_started"),
        (in_state({"name": "paused", "pause": {"start": "2026-11-01"}}), "foreign_pause"),
        (active(items=[{"price": price().to_wire()}] * 2), "several_items"),
        (active(end="2026-11-01"), "canceled"),
    ],
)
def test_what_a_person_has_to_look_at_is_requested_and_never_sent(subscription: Any, reason: str) -> None:
    journey = Journey(seen=world(subscription))
    assert journey.state.manual_reasons == (reason,)
    journey.exit()
    journey.confirm()
    assert journey.state.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED
    assert not journey.effects
    assert journey.told() == ["cancellation.manual_required", "session.completed"]
    assert journey.events[0].data["blockers"] == [reason]


@pytest.mark.parametrize("subscription_id", [None, "sub_minted"])
def test_without_billing_data_one_can_cancel_all_the_same(subscription_id: str | None) -> None:
    seen = world(is_verified=False, subscriptions=(), customer=None, capabilities=frozenset())
    journey = Journey(seen=seen, subscription_id=subscription_id)
    journey.do(PRICE, READ, SAID)
    journey.confirm()
    assert journey.state.offers == ()
    assert journey.effects[0].subscription_id == subscription_id
    assert journey.effects[0].change == Cancel(timing="period_end", at=None)
    journey.settle(becomes=active(end="2026-12-01"), subscription_id="sub_1")
    assert journey.state.outcome is Outcome.CANCELED
    assert journey.state.subscription_id == (subscription_id or "sub_1")


@pytest.mark.parametrize("reason", ["subscription_not_found", ""])
def test_a_cancellation_that_could_not_be_made_becomes_a_request(reason: str) -> None:
    journey = Journey()
    journey.exit()
    journey.confirm()
    journey.settle(applied=False, reason=reason)
    assert journey.state.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED
    assert journey.state.manual_reasons == (reason or "not_made",)
    assert journey.told()[1:] == ["effect.failed", "cancellation.manual_required", "session.completed"]


# --- The exit -------------------------------------------------------------------------------------------------------


def stops() -> list[tuple[str, list[Any]]]:
    return [
        ("why", []),
        ("why.offer", [PRICE]),
        ("ends", [BUG]),
        ("text", [BUG, READ]),
        ("confirm", [BUG, READ, SAID]),
    ]


@pytest.mark.parametrize(("stop", "commands"), stops(), ids=[stop for stop, _ in stops()])
def test_the_exit_leads_from_every_stop_to_the_confirmation_and_back(stop: str, commands: list[Any]) -> None:
    journey = Journey()
    journey.do(*commands)
    assert journey.at == stop
    assert can_cancel_now(journey.state)
    behind = ids(journey.path.stops)
    journey.exit()
    assert (journey.at, journey.state.used_exit) == ("confirm", True)
    assert ids(journey.path.behind) == [s for s in behind if s != "confirm"]


def test_an_offer_left_by_the_exit_can_be_gone_back_to() -> None:
    journey = Journey()
    journey.do(PRICE)
    half = journey.shown.decision_id
    journey.exit()
    assert journey.state.offers[0].status is OfferStatus.PRESENTED
    journey.do(AcceptOffer(half))
    assert journey.at == "working"


def test_after_the_exit_a_changed_answer_brings_no_further_offer() -> None:
    journey = Journey()
    journey.do(PRICE)
    journey.exit()
    journey.do(UNUSED)
    assert journey.at == "confirm"
    assert ids(journey.path.behind) == ["why"]
    assert len(journey.state.offers) == 1


def test_back_from_the_exit_leads_only_to_what_was_seen() -> None:
    why = {**WHY, "branches": [{"goto": "text"}]}
    journey = Journey(flow(why, offer(LITE), ENDS, TEXT, CONFIRM))
    journey.do(BUG)
    journey.exit()
    assert ids(journey.path.stops) == ["why", "text", "confirm"]


def test_the_exit_takes_back_an_offer_that_is_being_carried_out() -> None:
    journey = working()
    effect_id = journey.effects[0].effect_id
    assert can_cancel_now(journey.state)
    assert journey.exit().withdrawn == effect_id
    assert journey.at == "confirm"
    journey.do(Settle(effect_id, False, reason="withdrawn"))
    assert journey.at == "confirm"
    assert journey.state.offers[0].status is OfferStatus.FAILED
    assert journey.events[-1].data["change"]["type"] == "discount"
    journey.confirm()
    journey.settle(becomes=active(end="2026-12-01"))
    assert journey.state.outcome is Outcome.CANCELED
    assert len({e.effect_id for e in journey.effects}) == 2


def test_an_offer_made_before_the_exit_could_stop_it_is_told_as_what_it_is() -> None:
    journey = working()
    journey.exit()
    journey.do(Settle(journey.effects[0].effect_id, True))
    assert journey.at == "confirm"
    assert resting_outcome(journey.state) is Outcome.DISCOUNT_ACCEPTED
    journey.do(Keep())
    assert journey.state.outcome is Outcome.DISCOUNT_ACCEPTED


def test_until_a_withdrawn_offer_is_settled_no_other_is_taken() -> None:
    journey = working()
    journey.exit()
    half = journey.state.offers[0].decision_id
    journey.do(AcceptOffer(half), DeclineOffer(half))
    assert journey.at == "confirm"
    assert len(journey.effects) == 1
    journey.do(Settle(journey.effects[0].effect_id, False, reason="withdrawn"), AcceptOffer(half))
    assert journey.at == "working"
    assert len({e.effect_id for e in journey.effects}) == 2


def test_a_late_word_on_a_withdrawn_offer_does_not_touch_the_cancellation() -> None:
    journey = working()
    first = journey.effects[0].effect_id
    journey.exit()
    journey.confirm()
    journey.do(Settle(first, False, reason="withdrawn"))
    assert journey.at == "working"
    journey.settle(becomes=active(end="2026-12-01"))
    assert journey.state.outcome is Outcome.CANCELED
    done = journey.state
    journey.do(Settle(first, True))
    assert journey.state is done


def test_the_exit_leads_out_of_a_resumption_that_takes_long() -> None:
    journey = paused()
    journey.do(ResumeNow())
    assert can_cancel_now(journey.state)
    decision = journey.exit()
    assert (journey.at, decision.withdrawn) == ("confirm", journey.effects[0].effect_id)
    journey.do(Settle(journey.effects[0].effect_id, False, reason="withdrawn"))
    assert journey.told() == ["effect.failed"]
    assert journey.at == "confirm"


def test_a_cancellation_on_its_way_needs_no_exit() -> None:
    journey = Journey()
    journey.exit()
    journey.confirm()
    before = journey.state
    assert not can_cancel_now(before)
    assert journey.exit().state is before


@pytest.mark.parametrize("has_tried_to_resume", [True, False])
def test_out_of_a_pause_the_exit_knows_what_a_person_has_to_look_at(
    has_tried_to_resume: bool,
) -> None:
    """Also after a resumption that failed."""
    two = [{"price": price().to_wire()}] * 2
    status = {"name": "paused", "pause": {"start": "2026-11-01", "end": "2026-12-24"}}
    journey = paused()
    journey = Journey(
        seen=journey.walk.world.model_copy(update={"subscriptions": (in_state(status, items=two),)})
    )
    if has_tried_to_resume:
        journey.do(ResumeNow())
        journey.settle(applied=False, reason="refused")
        assert journey.at == "trouble"
    journey.exit()
    journey.confirm()
    assert journey.state.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED


# --- Trouble --------------------------------------------------------------------------------------------------------


def test_a_retry_asks_for_the_same_change_under_a_new_id() -> None:
    journey = Journey(flow(offer(BREAK), CONFIRM))
    journey.accept("3-months")
    journey.settle(applied=False, reason="refused", can_retry=True)
    assert journey.state.offers[0].status is OfferStatus.FAILED
    journey.do(Retry())
    first, second = journey.effects
    assert (first.change, first.decision_id) == (second.change, second.decision_id)
    assert first.effect_id != second.effect_id
    journey.settle()
    assert journey.state.outcome is Outcome.PAUSE_ACCEPTED
    assert journey.told().count("session.offer_accepted") == 1


def test_what_cannot_be_retried_is_not() -> None:
    journey = working()
    journey.settle(applied=False, reason="refused", message="The coupon has run out.")
    assert journey.state.trouble is not None
    assert journey.state.trouble.message == "The coupon has run out."
    journey.do(Retry())
    assert journey.at == "trouble"
    assert len(journey.effects) == 1


def test_past_the_trouble_the_walk_goes_on_behind_the_offer() -> None:
    for command in (GoOn(), DeclineOffer(in_trouble().state.offers[0].decision_id)):
        journey = in_trouble()
        journey.do(command)
        assert journey.at == "ends"
        assert journey.state.trouble is None
        assert journey.state.offers[0].status is OfferStatus.FAILED


def test_an_offer_of_another_tab_does_not_leave_the_trouble() -> None:
    journey = in_trouble()
    journey.do(DeclineOffer("dec_other"), DeclineOffer(""))
    assert journey.at == "trouble"


def test_a_resumption_that_fails_leads_back_to_the_pause() -> None:
    journey = paused()
    journey.do(ResumeNow())
    assert [e.change for e in journey.effects] == [Resume()]
    journey.settle(applied=False, reason="refused", can_retry=True)
    journey.do(DeclineOffer(""))
    assert journey.at == "paused"
    journey.do(ResumeNow())
    journey.settle()
    assert journey.state.outcome is Outcome.RESUMED


# --- Taking a cancellation back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [canceled, ending_soon])
def test_a_scheduled_end_can_be_taken_back(made: Any) -> None:
    journey = made()
    journey.do(UndoCancel())
    assert journey.effects[-1].change == Uncancel()
    assert journey.state.outcome is None
    journey.settle(becomes=active())
    assert journey.state.outcome is Outcome.UNCANCELED
    assert not can_undo_cancel(journey.walk, journey.state)


def test_after_the_end_has_come_nothing_is_taken_back() -> None:
    journey = canceled()
    assert can_undo_cancel(journey.walk, journey.state)
    journey.wait(timedelta(days=30))
    assert not can_undo_cancel(journey.walk, journey.state)
    done = journey.state
    assert journey.do(UndoCancel()).state is done


@pytest.mark.parametrize(
    ("made", "lacks"), [(canceled, "uncancel"), (ending_soon, "uncancel"), (paused, "resume")]
)
def test_what_the_provider_cannot_do_is_not_asked_of_it(made: Any, lacks: str) -> None:
    journey = made()
    able = frozenset(Capability) - {Capability(lacks)}
    journey = Journey(seen=journey.walk.world.model_copy(update={"capabilities": able}))
    journey.do(UndoCancel(), ResumeNow())
    assert not journey.effects


@pytest.mark.parametrize("command", [Keep(), GoOn(), DeclineOffer(""), CancelNow()], ids=repr)
def test_where_it_cannot_be_taken_back_the_cancellation_stands(command: Any) -> None:
    journey = canceled()
    canceled_at = journey.state.finished_at
    journey.do(UndoCancel())
    journey.settle(applied=False, reason="refused")
    assert journey.at == "trouble"
    assert resting_outcome(journey.state) is Outcome.CANCELED
    told = len(journey.events)
    journey.do(command, GoOn())
    assert (journey.state.outcome, journey.state.finished_at) == (Outcome.CANCELED, canceled_at)
    assert len(journey.events) == told
    assert can_undo_cancel(journey.walk, journey.state)


def test_a_scheduled_end_that_could_not_be_taken_back_is_not_said_to_be_kept() -> None:
    journey = ending_soon()
    journey.do(UndoCancel())
    journey.settle(applied=False, reason="refused")
    assert journey.exit().state.phase is Phase.TROUBLE
    journey.do(Keep())
    assert journey.state.outcome is Outcome.CANCEL_ALREADY_SCHEDULED


# --- Settling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_applied", [True, False])
@pytest.mark.parametrize("made", [walking, working, in_trouble, canceled])
def test_a_word_on_an_unknown_change_changes_nothing(made: Any, is_applied: bool) -> None:
    journey = made()
    before = journey.state
    decision = journey.do(Settle("eff_unknown", is_applied))
    assert decision.state is before
    assert decision.events == ()


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_second_word_on_the_same_change_changes_nothing(is_applied: bool) -> None:
    journey = working()
    effect_id = journey.effects[0].effect_id
    journey.do(Settle(effect_id, is_applied))
    before, told = journey.state, journey.told()
    journey.do(Settle(effect_id, not is_applied), Settle(effect_id, is_applied))
    assert journey.state is before
    assert journey.told() == told


# --- Left alone -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (walking, Outcome.DISMISSED),
        (paused, Outcome.DISMISSED),
        (in_trouble, Outcome.DISMISSED),
        (ending_soon, Outcome.CANCEL_ALREADY_SCHEDULED),
        (canceled, Outcome.CANCELED),
    ],
)
def test_what_a_session_left_alone_counts_as(made: Any, outcome: Outcome) -> None:
    assert resting_outcome(made().state) is outcome


def test_no_event_names_the_customer() -> None:
    for journey in (canceled(), working(), in_trouble()):
        told = repr(journey.events)
        assert not any(name in told for name in ("Givenname", "Familyname", "555-0100"))
