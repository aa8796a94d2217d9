from datetime import timedelta
from typing import Any

import pytest

from app.core.commands import AnswerStep, GoOn
from app.core.facts import History
from app.core.path import visible_reasons
from app.core.state import OfferStatus
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
    SKIP,
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
from tests.support.subscriptions import active, in_state, on_trial


def reason_is(reason: str) -> dict[str, Any]:
    return {"attribute": "session.reason", "op": "eq", "value": reason}


# --- Order ----------------------------------------------------------------------------------------------------------


def test_the_first_incomplete_step_is_next() -> None:
    journey = Journey()
    seen = [journey.at]
    for command in (BUG, READ, SAID):
        journey.do(command)
        seen.append(journey.at)
    assert seen == ["why", "ends", "text", "confirm"]


def test_a_step_ahead_cannot_be_answered_first() -> None:
    journey = Journey()
    journey.do(SAID, READ, AnswerStep("confirm"), AnswerStep("nowhere"), AnswerStep(""))
    assert journey.at == "why"
    assert journey.state.answers == {}


def test_a_step_behind_can_be_answered_again_and_the_walk_stays_where_it_was() -> None:
    journey = Journey()
    journey.do(BUG, READ, AnswerStep("why", reason="bug", follow_up="It is slow"))
    assert journey.at == "text"
    assert journey.state.answers["why"].follow_up == "It is slow"


def test_back_leads_through_the_steps_gone_by() -> None:
    journey = Journey()
    journey.do(PRICE)
    journey.decline()
    journey.do(READ, SAID)
    trail = []
    stop = journey.path.current
    while (before := journey.path.before(stop.id)) is not None:
        trail.append(before.id)
        stop = before
    assert trail == ["text", "ends", "why.offer", "why"]
    assert journey.path.before("nowhere") is None


# --- Steps that appear and disappear --------------------------------------------------------------------------------


def test_a_step_with_a_rule_is_there_only_while_the_rule_is_true() -> None:
    journey = Journey(flow(WHY, {**ENDS, "when": reason_is("bug")}, TEXT, CONFIRM))
    journey.do(SKIP)
    assert journey.at == "text"
    journey.do(BUG)
    assert journey.at == "ends"
    journey.do(READ, AnswerStep("why", reason="unused"))
    assert ids(journey.path.stops) == ["why", "why.offer"]


def test_an_answer_to_a_step_that_disappears_is_kept() -> None:
    journey = Journey(flow(WHY, {**TEXT, "when": reason_is("bug")}, CONFIRM))
    journey.do(BUG, SAID, SKIP)
    assert ids(journey.path.stops) == ["why", "confirm"]
    journey.do(BUG)
    assert ids(journey.path.stops) == ["why", "text", "confirm"]
    assert journey.state.answers["text"].text == "Too many emails."


def test_a_rule_on_something_unknown_hides_the_step() -> None:
    rule = {"not": {"attribute": "plan", "op": "eq", "value": "Pro"}}
    assert Journey(flow({**ENDS, "when": rule}, CONFIRM)).at == "confirm"
    known = world(attributes={"plan": "Lite"})
    assert Journey(flow({**ENDS, "when": rule}, CONFIRM), known).at == "ends"


def test_a_branch_goes_on_at_a_later_step() -> None:
    why = {**WHY, "branches": [{"when": reason_is("bug"), "goto": "text"}, {"goto": "confirm"}]}
    journey = Journey(flow(why, ENDS, TEXT, CONFIRM))
    journey.do(BUG)
    assert journey.at == "text"
    journey.do(SKIP)
    assert journey.at == "confirm"


def test_a_branch_is_taken_only_after_the_reasons_offer() -> None:
    journey = Journey(flow({**WHY, "branches": [{"goto": "confirm"}]}, ENDS, TEXT, CONFIRM))
    journey.do(PRICE)
    assert journey.at == "why.offer"
    journey.decline()
    assert journey.at == "confirm"


def test_a_step_that_is_not_shown_leads_nowhere() -> None:
    hidden = offer(MORE_TIME, branches=[{"goto": "confirm"}])
    assert Journey(flow(hidden, TEXT, CONFIRM)).at == "text"
    away = {**ENDS, "when": {"attribute": "vip", "op": "exists"}, "branches": [{"goto": "confirm"}]}
    assert Journey(flow(away, TEXT, CONFIRM)).at == "text"


def test_rules_between_two_surveys_see_the_reason_given_before_them() -> None:
    again = {"kind": "survey", "id": "again", "reasons": [{"id": "other", "label": "Something else"}]}
    between = {**ENDS, "when": reason_is("bug")}
    journey = Journey(flow(WHY, between, again, {**TEXT, "when": reason_is("other")}, CONFIRM))
    journey.do(BUG, READ, AnswerStep("again", reason="other"))
    assert ids(journey.path.stops) == ["why", "ends", "again", "text"]


def test_a_second_survey_that_is_skipped_takes_back_nothing() -> None:
    again = {"kind": "survey", "id": "again", "reasons": [{"id": "other", "label": "Something else"}]}
    journey = Journey(flow(WHY, again, {**TEXT, "when": reason_is("bug")}, CONFIRM))
    journey.do(BUG, AnswerStep("again", is_skip=True))
    assert journey.at == "text"


def test_a_walk_taken_up_hours_later_leads_past_the_same_screens() -> None:
    """A cooldown that ends while the page lies open brings no offer back, and takes no step away."""
    long_ago = Journey().walk.now - timedelta(days=30) + timedelta(hours=2)
    history = History(last_by_kind={"discount": long_ago}, last_discount_at=long_ago)
    journey = Journey(flow(*flow_with_half(), cooldowns={"discount": 30}), world(history=history))
    assert journey.at == "text"
    journey.wait(timedelta(hours=5))
    assert journey.at == "text"
    journey.do(SAID)
    assert ids(journey.path.stops) == ["text", "confirm"]


def flow_with_half() -> tuple[dict[str, Any], ...]:
    return (offer(HALF), TEXT, CONFIRM)


# --- Reasons --------------------------------------------------------------------------------------------------------


def test_a_random_order_is_the_sessions_own_and_stays() -> None:
    many = [{"id": f"r{n}", "label": str(n)} for n in range(8)]
    step: Any = flow({**WHY, "reasons": many, "randomize": True}, CONFIRM).steps[0]
    orders = {tuple(ids(visible_reasons(step, {}, f"cs_{n}"))) for n in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == [f"r{n}" for n in range(8)] for order in orders)
    assert visible_reasons(step, {}, "cs_1") == visible_reasons(step, {}, "cs_1")


# --- Offers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offers", "subscription", "chosen"),
    [
        ([HALF, BREAK], active(), "half"),
        ([MORE_TIME, BREAK], active(), "break"),
        ([MORE_TIME, HALF], on_trial(started="2026-11-01"), "more-time"),
        ([{**HALF, "when": {"attribute": "vip", "op": "exists"}}, LITE], active(), "lite"),
        ([BREAK, TALK], active(every="week"), "talk"),
        ([MORE_TIME, GUIDE, TALK], active(), "guide"),
        ([BREAK, MORE_TIME], active(every="week"), None),
    ],
)
def test_the_first_eligible_offer_is_shown(
    offers: list[dict[str, Any]], subscription: Any, chosen: str | None
) -> None:
    journey = Journey(flow(offer(*offers), CONFIRM), world(subscription))
    assert journey.at == ("stay" if chosen else "confirm")
    assert [record.shown.offer_id for record in journey.state.offers] == ([chosen] if chosen else [])


def test_what_was_shown_stays_though_a_better_offer_would_fit_by_now() -> None:
    rule = {"attribute": "history.sessions", "op": "gte", "value": 1}
    journey = Journey(flow(offer({**HALF, "when": rule}, BREAK), TEXT, CONFIRM))
    assert journey.shown.shown.offer_id == "break"
    first = journey.shown
    journey.walk = Journey(journey.walk.flow, world(history=History(sessions=3))).walk
    journey.decline()
    assert ids(journey.path.stops) == ["stay", "text"]
    assert len(journey.state.offers) == 1
    assert journey.state.offers[0].shown == first.shown


def test_another_reason_brings_its_own_offer_and_the_earlier_decline_stays() -> None:
    journey = Journey()
    journey.do(PRICE)
    half = journey.shown
    journey.decline()
    journey.do(UNUSED)
    assert (journey.at, journey.shown.shown.offer_id) == ("why.offer", "break")
    kept = journey.state.offer(half.decision_id)
    assert kept is not None
    assert kept.status is OfferStatus.DECLINED
    journey.do(PRICE)
    assert journey.at == "ends"
    assert [o.status for o in journey.state.offers] == [OfferStatus.DECLINED, OfferStatus.PRESENTED]


def test_a_skipped_survey_brings_no_offer_though_a_reason_was_ticked() -> None:
    journey = Journey()
    journey.do(AnswerStep("why", reason="price", is_skip=True))
    assert journey.at == "ends"
    assert journey.state.answers["why"].reason == "price"
    assert "session.reason" not in journey.path.facts


@pytest.mark.parametrize(
    "seen",
    [
        world(is_verified=False, subscriptions=()),
        world(is_verified=False),
        world(in_state({"name": "unpaid"})),
        world(in_state({"name": "paused", "pause": {"start": "2026-11-01"}})),
        world(in_state({"name": "future"})),
    ],
    ids=["unknown", "unverified", "unpaid", "foreign pause", "not begun"],
)
def test_where_billing_is_unclear_there_are_no_offers_not_even_to_talk(seen: Any) -> None:
    journey = Journey(flow(offer(TALK, HALF), CONFIRM), seen)
    assert journey.at == "confirm"
    assert journey.state.offers == ()


def test_our_own_pause_makes_no_offers_to_pause_again() -> None:
    status = {"name": "paused", "pause": {"start": "2026-11-01", "end": "2026-12-24"}}
    seen = world(in_state(status), history=History(paused_by_us=True))
    journey = Journey(flow(offer(BREAK, HALF), TEXT, CONFIRM), seen)
    journey.do(GoOn())
    assert (journey.at, journey.state.manual_reasons) == ("text", ())


# --- Explanations ---------------------------------------------------------------------------------------------------


def test_every_rule_on_the_way_is_explained() -> None:
    vip = {"attribute": "vip", "op": "exists"}
    why = {
        **WHY,
        "when": {"attribute": "subscription.status", "op": "eq", "value": "active"},
        "reasons": [
            {"id": "price", "label": "Price", "offers": [MORE_TIME, {**HALF, "when": vip}, BREAK]},
            {"id": "vip", "label": "VIP", "when": vip},
        ],
        "branches": [{"when": vip, "goto": "confirm"}, {"goto": "text"}],
    }
    journey = Journey(flow(why, {**ENDS, "when": vip}, TEXT, CONFIRM))
    assert set(journey.last.considered) == {"why?", "why:vip?"}
    assert journey.last.considered["why?"]["verdict"] == "yes"
    journey.do(PRICE)
    at_offer = journey.last.considered["why.offer:price"]
    assert [(o["offer"], o["shown"], o["blockers"]) for o in at_offer] == [
        ("more-time", False, ["not_on_trial"]),
        ("half", False, []),
        ("break", True, []),
    ]
    assert at_offer[1]["when"]["verdict"] == "no"
    journey.decline()
    assert set(journey.last.considered) == {"why?", "why:vip?", "why>0"}


def test_what_the_exit_leaves_out_is_not_said_to_have_been_considered() -> None:
    journey = Journey(flow(WHY, offer(LITE, when=reason_is("price")), TEXT, CONFIRM))
    journey.exit(PRICE)
    assert journey.last.considered == {}
    assert journey.state.offers == ()
