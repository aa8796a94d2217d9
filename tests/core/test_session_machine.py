"""Whatever is pressed, in whatever order, on whatever flow: a walk stands on a screen that can be drawn, loses nothing
that was said, makes no offer twice and no change that nobody waits for, and lets everyone leave."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.answers import MAX_TEXT
from app.core.billing import Cancel, Capability, Change, Uncancel
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
    ResumeNow,
    Retry,
    Settle,
    UndoCancel,
)
from app.core.decision import Decision
from app.core.direct import DirectSubscription
from app.core.events import EventType
from app.core.facts import History
from app.core.flow import FlowDefinition
from app.core.flow_check import offers_of
from app.core.path import find_path
from app.core.session import MAX_VIEWS, advance, can_cancel_now, open_walk, resting_outcome
from app.core.state import OfferStatus, Outcome, Phase, SessionState
from app.core.world import Walk, World
from tests.core.walks import BREAK, CONFIRM, GUIDE, HALF, LITE, MORE_TIME, TALK, flow, world
from tests.flows.test_demo_flow import FLOW as DEMO_FLOW
from tests.flows.test_demo_flow import KNOWN as DEMO_CATALOG
from tests.support.subscriptions import NOW, active, in_state, on_trial

# --- Flows ----------------------------------------------------------------------------------------------------------

OFFERS: tuple[dict[str, Any], ...] = (
    HALF,
    {**BREAK, "resume_date": True},
    BREAK,
    LITE,
    MORE_TIME,
    TALK,
    GUIDE,
)
FOLLOW_UPS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"kind": "text", "question": "?", "min_length": 5},
    {"kind": "text", "question": "?", "required": True},
    {
        "kind": "options",
        "question": "?",
        "required": True,
        "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}],
    },
)


@st.composite
def flows(draw: st.DrawFn) -> FlowDefinition:
    """Any flow that could be published, of up to six steps before the confirmation."""
    count = draw(st.integers(1, 6))
    reasons: list[str] = []
    steps: list[dict[str, Any]] = []
    made = 0

    def rules() -> st.SearchStrategy[Any]:
        about_reason = {"attribute": "session.reason", "op": "in", "value": reasons[:2]}
        trial = {"attribute": "subscription.status", "op": "eq", "value": "trial"}
        tomorrow = {
            "attribute": "subscription.tenure_days",
            "op": "gte",
            "value": 539,
        }  # true from midnight on
        simple = [None] * 6 + [{"attribute": "vip", "op": "exists"}, trial, tomorrow, {"not": tomorrow}]
        return st.sampled_from([*simple, about_reason, {"not": about_reason}] if reasons else simple)

    def offers(at_most: int) -> list[dict[str, Any]]:
        nonlocal made
        chosen = draw(st.lists(st.sampled_from(OFFERS), min_size=1, max_size=at_most))
        made += len(chosen)
        return [{**offer, "id": f"offer-{made - n}", "when": draw(rules())} for n, offer in enumerate(chosen)]

    for number in range(count):
        kind = draw(st.sampled_from(["survey", "offer", "offer", "feedback", "message"]))
        step: dict[str, Any] = {"kind": kind, "id": f"s{number}", "when": draw(rules())}
        match kind:
            case "survey":
                given = [f"r{number}-{n}" for n in range(draw(st.integers(1, 3)))]
                step |= {"required": draw(st.booleans()), "randomize": draw(st.booleans())}
                step["reasons"] = [
                    {
                        "id": reason,
                        "label": "A reason",
                        "when": draw(rules()),
                        "follow_up": draw(st.sampled_from(FOLLOW_UPS)),
                        "offers": offers(3),
                    }
                    for reason in given
                ]
                reasons += given
            case "offer":
                step["offers"] = offers(3)
            case "feedback":
                step |= {"required": draw(st.booleans()), "min_length": draw(st.sampled_from([0, 3]))}
            case "message":
                step["title"] = "Know this"
        later = [f"s{n}" for n in range(number + 1, count)] + ["confirm"]
        if draw(st.booleans()):
            step["branches"] = [{"when": draw(rules()), "goto": draw(st.sampled_from(later))}]
        steps.append(step)
    asks = draw(st.sampled_from([None, "I know"]))
    timing = draw(st.sampled_from(["period_end", "now"]))
    return flow(*steps, {**CONFIRM, "acknowledge": asks, "timing": timing})


# --- Customers ------------------------------------------------------------------------------------------------------

PAUSE = {"name": "paused", "pause": {"start": "2026-11-01", "end": "2026-12-24"}}
ENDING, PAUSED, UNPAID = active(end="2026-12-01"), in_state(PAUSE), in_state({"name": "unpaid"})
YEARLY, TRIAL = active(every="year", renews="2027-06-01"), on_trial(started="2026-11-01")
OVER = in_state({"name": "canceled", "canceledAt": "2026-10-01"})
CUSTOMERS: tuple[tuple[DirectSubscription, ...], ...] = (
    *[(active(),)] * 6,
    *((TRIAL,), (TRIAL, OVER), (YEARLY,), (ENDING,), (PAUSED,), (UNPAID,)),
    *((active(), active()), (PAUSED, ENDING), (OVER,), ()),
)
EVERYTHING, LITTLE = frozenset(Capability), frozenset({Capability.CANCEL_AT_PERIOD_END})


@st.composite
def worlds(draw: st.DrawFn) -> World:
    found = draw(st.sampled_from(CUSTOMERS))
    mine = tuple(s.model_copy(update={"id": f"sub_{n}"}) for n, s in enumerate(found))
    seen = world(
        *(mine or (active(),)),
        history=History(paused_by_us=draw(st.booleans())),
        prices={**DEMO_CATALOG.prices, **world().prices},
        coupons=dict(DEMO_CATALOG.coupons),
        attributes=draw(st.sampled_from([{"vip": True}, {"plan": "Pro", "tenureMonths": 9}, {}])),
        capabilities=draw(st.sampled_from([EVERYTHING, EVERYTHING, EVERYTHING, LITTLE])),
        is_verified=bool(mine) or draw(st.booleans()),
    )
    return seen.model_copy(update={"subscriptions": mine})


def made_by(change: Change, subscription: DirectSubscription, now: Any) -> DirectSubscription:
    """The subscription as a provider answers with it after the change."""
    match change:
        case Cancel(timing="now"):
            over = in_state({"name": "canceled", "canceledAt": now.isoformat()})
            return over.model_copy(update={"id": subscription.id})
        case Cancel():
            return subscription.model_copy(update={"end": subscription.period_end})
        case Uncancel():
            return subscription.model_copy(update={"end": None})
        case _:
            return subscription


# --- Customers who press ----------------------------------------------------------------------------------------------


class Customer:
    """One customer, session after session, and what has to hold after every command."""

    def __init__(self, definition: FlowDefinition, seen: World, named: str | None) -> None:
        self.walk = Walk("cs_0", definition, seen, NOW)
        self.sessions = 0
        self.open(named)

    def open(self, named: str | None) -> None:
        self.sessions += 1
        self.walk = replace(self.walk, session_id=f"cs_{self.sessions}")
        self.state = SessionState()
        self.effect_ids: set[str] = set()
        self._check(open_walk(self.walk, subscription_id=named), None)

    def fitting(self) -> list[Command]:
        state = self.state
        match state.phase:
            case Phase.WALKING:
                return self._at_stop()
            case Phase.WORKING:
                asked = state.pending
                effect_id = asked.effect_id if asked else ""
                failed = Settle(effect_id, False, reason="refused", can_retry=True)
                return [failed, CancelNow(), Settle(effect_id, True)]
            case Phase.TROUBLE:
                return [Retry(), GoOn(), CancelNow(), Keep()]
            case Phase.SCHEDULED | Phase.FINISHED:
                return [UndoCancel()]
            case Phase.PAUSED:
                return [ResumeNow(), GoOn(), CancelNow()]
            case _:
                return [ChooseSubscription(s.id) for s in self.walk.world.live_subscriptions()]

    def _at_stop(self) -> list[Command]:
        path = find_path(self.walk, self.state)
        stop, settled = path.current, [Settle(p.effect_id, False) for p in self.state.withdrawn]
        again: list[Command] = [AcceptOffer(s.record.decision_id) for s in path.behind if s.record]
        if stop.kind == "confirm":
            return [ConfirmCancel(has_acknowledged=True), *again, *settled]
        if stop.record is not None:
            shown = stop.record.shown
            option = shown.options[-1].id if shown.options else "2027-01-05"
            return [AcceptOffer(shown.decision_id, option), DeclineOffer(shown.decision_id), *again]
        whole = AnswerStep(stop.id, text="A whole sentence.")
        reasons = [reason.id for reason in getattr(stop.step, "reasons", ())]
        said: list[Command] = [
            replace(whole, reason=reason, follow_up=follow_up)
            for reason in reasons
            for follow_up in ("A whole sentence.", "a")
        ]
        return [*said, CancelNow(whole)] if said else [whole]

    def wait(self, minutes: int) -> None:
        before = self._place()
        self.walk = replace(self.walk, now=self.walk.now + timedelta(minutes=minutes))
        assert self._place() == before, "a screen changed by being left open"

    def _place(self) -> tuple[str, ...]:
        is_walking = self.state.phase is Phase.WALKING
        return (
            tuple(s.id for s in find_path(self.walk, self.state).stops) if is_walking else (self.state.phase,)
        )

    def _make(self, effect_id: str) -> None:
        asked = self.state.unsettled(effect_id)
        subscription = self.walk.world.find_subscription(self.state.subscription_id)
        if asked and subscription:
            made = made_by(asked.change, subscription, self.walk.now)
            self.walk = replace(self.walk, world=self.walk.world.with_subscription(made))

    # --- What holds after every command -----------------------------------------------------------------------------

    def send(self, command: Command) -> None:
        if isinstance(command, Settle) and command.is_applied:
            self._make(command.effect_id)
        decision = advance(self.walk, self.state, command)
        assert decision == advance(self.walk, self.state, command), "the same command, another decision"
        if type(command) not in TRANSITIONS[self.state.phase] or decision.mistakes:
            assert decision.state is self.state
            assert (decision.effects, decision.events, decision.withdrawn) == ((), (), None)
        if isinstance(command, CancelNow) and can_cancel_now(self.state):
            assert not decision.mistakes
            assert find_path(self.walk, decision.state).current.kind == "confirm"
        self._check(decision, command)

    def _check(self, decision: Decision, command: Command | None) -> None:
        before, self.state = self.state, decision.state
        state = self.state
        assert SessionState.model_validate(state.model_dump(mode="json")) == state
        assert SessionState.model_validate(state.to_json()) == state
        assert len(state.views) <= MAX_VIEWS
        self._check_standing(state)
        self._check_answers(before, state, command)
        self._check_offers(before, state)
        self._check_changes(decision)
        self._check_telling(before, decision)
        self._check_way_out(state)

    def _check_standing(self, state: SessionState) -> None:
        assert (state.pending is not None) is (state.phase is Phase.WORKING)
        assert (state.trouble is not None) is (state.phase is Phase.TROUBLE)
        assert (state.outcome is not None) is (state.phase is Phase.FINISHED)
        assert (state.finished_at is not None) is (state.phase is Phase.FINISHED)
        assert resting_outcome(state) in Outcome
        if state.phase is Phase.WALKING:
            path = find_path(self.walk, state)
            ids = [stop.id for stop in path.stops]
            assert len(set(ids)) == len(ids)
            assert all(stop.record is not None for stop in path.stops if stop.kind == "offer")
            assert state.views[-1].step == path.current.id
            assert not state.used_exit or path.current.kind == "confirm"
        else:
            assert state.views[-1].step == state.phase

    def _check_answers(self, before: SessionState, state: SessionState, command: Command | None) -> None:
        said = command.draft if isinstance(command, CancelNow) else command
        here = said.step if isinstance(said, AnswerStep) else None
        for step, answer in before.answers.items():
            assert step == here or state.answers[step] == answer
        for answer in state.answers.values():
            assert all(len(part) <= MAX_TEXT for part in (answer.follow_up, answer.text) if part)
        known = {reason.id for step in self.walk.flow.steps for reason in getattr(step, "reasons", ())}
        assert {a.reason for a in state.answers.values() if a.reason} <= known

    def _check_offers(self, before: SessionState, state: SessionState) -> None:
        placements = [offer.placement for offer in state.offers]
        assert len(set(placements)) == len(placements) == len({o.decision_id for o in state.offers})
        assert len(placements) <= len(list(offers_of(self.walk.flow)))
        for old, new in zip(before.offers, state.offers, strict=False):
            assert (old.shown, old.placement, old.presented_at) == (
                new.shown,
                new.placement,
                new.presented_at,
            )
            assert new.status is not OfferStatus.PRESENTED or old.status is OfferStatus.PRESENTED
            assert old.status is not OfferStatus.APPLIED or new == old
        taken = [o for o in state.offers if o.status in (OfferStatus.ACCEPTED, OfferStatus.APPLIED)]
        assert len(taken) <= 1
        if not self.walk.world.is_verified:
            assert state.offers == ()

    def _check_changes(self, decision: Decision) -> None:
        pending = decision.state.pending
        assert len(decision.effects) <= 1
        for effect in decision.effects:
            assert pending is not None
            assert (pending.effect_id, pending.change) == (effect.effect_id, effect.change)
            assert effect.effect_id not in self.effect_ids
            assert not (isinstance(effect.change, Cancel) and decision.state.manual_reasons)
            self.effect_ids.add(effect.effect_id)

    def _check_telling(self, before: SessionState, decision: Decision) -> None:
        told = repr(decision.events)
        assert not any(name in told for name in ("Givenname", "Familyname", "555-0100"))
        completed = [e for e in decision.events if e.type is EventType.SESSION_COMPLETED]
        has_ended = decision.state.phase is Phase.FINISHED and before.phase is not Phase.FINISHED
        is_back = before.standing is Phase.FINISHED and decision.state.outcome is Outcome.CANCELED
        assert len(completed) == (1 if has_ended and not is_back else 0)
        for event in completed:
            assert event.data["outcome"] == decision.state.outcome

    def _check_way_out(self, state: SessionState) -> None:
        """From every screen on the way, two presses are a cancellation under way, or a request for one."""
        if state.phase not in (Phase.WALKING, Phase.PAUSED) and not can_cancel_now(state):
            return
        left = advance(self.walk, state, CancelNow()).state
        gone = advance(self.walk, left, ConfirmCancel(has_acknowledged=True)).state
        is_asked = gone.pending is not None and isinstance(gone.pending.change, Cancel)
        assert is_asked or gone.outcome is Outcome.MANUAL_CANCELLATION_REQUESTED


# --- What a browser may send ----------------------------------------------------------------------------------------

GARBAGE = ("", " ", "x" * 10_000, "👩‍👩‍👧" * 900, "<b>&amp;", "{{name|x}}", "../confirm", "None")


def anything(customer: Customer, pick: Random) -> Command:
    """A command of another tab, another day, or nobody's: ids that are stale, unknown or no ids at all."""
    state, steps = customer.state, customer.walk.flow.steps
    reasons = [reason.id for step in steps for reason in getattr(step, "reasons", ())]
    shown = [offer.decision_id for offer in state.offers]
    options = [option.id for offer in state.offers for option in offer.shown.options]
    said = AnswerStep(
        pick.choice([*(step.id for step in steps), *GARBAGE]),
        reason=pick.choice([*reasons, *reasons, None, *GARBAGE]),
        follow_up=pick.choice(["a", "A whole sentence.", None, *GARBAGE]),
        text=pick.choice(["A whole sentence.", None, *GARBAGE]),
        is_skip=pick.random() < 0.2,
    )
    decision_id = pick.choice([*shown, *shown, *GARBAGE])
    effect_id = pick.choice([*sorted(customer.effect_ids), "eff_unknown"])
    commands: list[Command] = [
        *(said, said, CancelNow(said), CancelNow(), Keep(), GoOn(), Retry(), ResumeNow(), UndoCancel()),
        *(AcceptOffer(decision_id, pick.choice([*options, None, *GARBAGE])), DeclineOffer(decision_id)),
        *(ConfirmCancel(), ConfirmCancel(has_acknowledged=True)),
        ChooseSubscription(pick.choice(["sub_0", "sub_1", *GARBAGE])),
        Settle(effect_id, pick.random() < 0.5, reason="late", can_retry=pick.random() < 0.5),
    ]
    return pick.choice(commands)


@settings(max_examples=80)
@given(
    definition=st.one_of(flows(), st.just(DEMO_FLOW)),
    seen=worlds(),
    named=st.sampled_from([None, None, "sub_0", "sub_x"]),
    pick=st.randoms(use_true_random=True),
)
def test_whatever_is_pressed_the_walk_holds(
    definition: FlowDefinition, seen: World, named: str | None, pick: Random
) -> None:
    customer = Customer(definition, seen, named)
    for _ in range(60):
        chance = pick.random()
        fitting = customer.fitting()
        if customer.state.phase is Phase.FINISHED and chance < 0.3:
            customer.open(None)
        elif chance < 0.1:
            customer.wait(pick.choice([0, 1, 90, 1_300]))
        elif chance < 0.7 and fitting:
            customer.send(pick.choice(fitting))
        else:
            customer.send(anything(customer, pick))
