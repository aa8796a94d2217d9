"""Which screens a walk has passed and which one it stands on. Pure; decides nothing about billing."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.core import rules
from app.core.eligibility import Blocker, eligibility
from app.core.facts import Facts
from app.core.flow import Offer, Reason, Step, SurveyStep
from app.core.state import OfferRecord, OfferStatus, SessionState
from app.core.world import Walk


@dataclass(frozen=True, slots=True)
class Stop:
    """One screen of the walk, and what its rules see: `session.reason` is the one given on the way here.

    An offer stop has either the record of what was shown, or the offer to show now.
    """

    id: str
    kind: str
    step: Step
    placement: str
    facts: Facts
    record: OfferRecord | None = None
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """The stops gone by, in order, the one that is next, and what was decided on the way.

    After the exit was pressed there may be unanswered ones behind: those that were seen, open to go back to.
    """

    behind: tuple[Stop, ...]
    current: Stop
    decided: tuple["_Decided", ...] = ()

    @property
    def considered(self) -> dict[str, Any]:
        """Why each rule on the way did or did not match, place by place, as JSON. Worked out when it is asked for:
        most paths are walked to show a screen."""
        told: dict[str, Any] = {}
        for one in self.decided:
            if isinstance(one, _Rule):
                told[one.place] = one.to_json()
            else:
                told.setdefault(one.place, []).append(one.to_json())
        return told

    @property
    def facts(self) -> Facts:
        return self.current.facts

    @property
    def stops(self) -> tuple[Stop, ...]:
        return (*self.behind, self.current)

    def find(self, stop_id: str) -> Stop | None:
        return next((s for s in self.stops if s.id == stop_id), None)

    def before(self, stop_id: str) -> Stop | None:
        """The stop that *back* leads to; None at the first."""
        ids = [s.id for s in self.stops]
        position = ids.index(stop_id) if stop_id in ids else 0
        return self.stops[position - 1] if position else None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a step's, a reason's or a branch's rule was decided on."""

    place: str
    rule: rules.Rule
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        return rules.explain(self.rule, self.facts).to_json()


@dataclass(frozen=True, slots=True)
class _Offered:
    """What was decided on an offer: it was shown, or by its rule or a blocker it was not."""

    place: str
    offer: Offer
    is_shown: bool
    blockers: Sequence[Blocker]
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        rule = self.offer.when
        return {
            "offer": self.offer.id,
            "shown": self.is_shown,
            "when": rules.explain(rule, self.facts).to_json() if rule else None,
            "blockers": [str(blocker) for blocker in self.blockers],
        }


_Decided = _Rule | _Offered


def facts_of(walk: Walk, state: SessionState) -> Facts:
    """What copy may say: the customer, and the reason given last."""
    said = state.reason_answer
    return walk.facts(
        subscription_id=state.subscription_id,
        reason=said.reason if said else None,
        follow_up=said.follow_up if said else None,
    )


def find_path(walk: Walk, state: SessionState) -> Path:
    """Walk the flow from its start to the first stop that is not done.

    After the exit was pressed the confirmation is next, whatever is unanswered. A flow always ends on its confirm step
    (validate_flow), so there always is a current stop. The walk remembers it for this very state.
    """
    found: Path | None = next((path for known, path in walk.paths if known is state), None)
    if found is None:
        found = _walked(walk, state)
        walk.paths.append((state, found))
    return found


def _walked(walk: Walk, state: SessionState) -> Path:
    trail = _Trail(replace(walk, now=state.opened_at or walk.now), state)
    behind: list[Stop] = []
    goto: str | None = None
    for step in walk.flow.steps:
        if goto not in (None, step.id):
            continue
        goto = None
        if step.kind == "confirm":
            return Path(tuple(behind), trail.stop_at(step), tuple(trail.decided))
        if not trail.holds(step.when, f"{step.id}?"):
            continue
        is_passed = False
        for stop in trail.stops_of(step):
            is_passed = is_done(stop, state)
            if not is_passed and not state.used_exit:
                return Path(tuple(behind), stop, tuple(trail.decided))
            if is_passed or stop.record or state.has_seen(stop.id):
                behind.append(stop)
        if is_passed:
            goto = trail.branch_of(step)
    raise ValueError("a flow ends on its confirm step")


def is_done(stop: Stop, state: SessionState) -> bool:
    if stop.kind == "offer":
        return stop.record is not None and stop.record.status is not OfferStatus.PRESENTED
    return stop.id in state.answers


def visible_reasons(step: SurveyStep, facts: Facts, order_by: str) -> tuple[Reason, ...]:
    """The reasons whose rule matches, in the flow's order or, where it says so, in one that is this session's own."""
    shown = [r for r in step.reasons if _matches(r.when, facts)]
    if step.randomize:
        shown.sort(key=lambda r: hashlib.sha256(f"{order_by}/{r.id}".encode()).digest())
    return tuple(shown)


def _matches(rule: rules.Rule | None, facts: Facts) -> bool:
    return rule is None or rules.evaluate(rule, facts) is rules.Verdict.YES


class _Trail:
    """One pass over the flow: what is known so far, and what was decided.

    After the exit nothing new is shown and no rule is noted: what lies ahead was not considered, but left out.
    """

    def __init__(self, walk: Walk, state: SessionState) -> None:
        self.walk = walk
        self.state = state
        self.decided: list[_Decided] = []
        self._unsaid = walk.facts(subscription_id=state.subscription_id, reason=None, follow_up=None)
        self.facts = self._unsaid

    def holds(self, rule: rules.Rule | None, place: str) -> bool:
        if rule is None:
            return True
        if not self.state.used_exit:
            self.decided.append(_Rule(place, rule, self.facts))
        return _matches(rule, self.facts)

    def stop_at(self, step: Step) -> Stop:
        return Stop(step.id, step.kind, step, step.id, self.facts)

    def stops_of(self, step: Step) -> Iterable[Stop]:
        """The step's own screen, if it has one, and the offer that an answer to it leads to."""
        if step.kind == "offer":
            yield from self._offer_stop(step, step.id, step.id, step.offers)
            return
        stop = self.stop_at(step)
        if isinstance(step, SurveyStep):
            for reason in step.reasons:
                self.holds(reason.when, f"{step.id}:{reason.id}?")
        yield stop
        said = self.state.answers.get(step.id)
        if not isinstance(step, SurveyStep) or said is None or said.is_skipped or said.reason is None:
            return
        follow_up = {"session.follow_up": said.follow_up} if said.follow_up else {}
        self.facts = {**self._unsaid, "session.reason": said.reason, **follow_up}
        given = next((r for r in step.reasons if r.id == said.reason), None)
        if given is not None and given.offers:
            stop_id = f"{step.id}.offer"
            yield from self._offer_stop(step, stop_id, f"{stop_id}:{given.id}", given.offers)

    def branch_of(self, step: Step) -> str | None:
        """The later step that the first matching branch goes on at."""
        for number, branch in enumerate(step.branches):
            if self.holds(branch.when, f"{step.id}>{number}"):
                return branch.goto
        return None

    def _offer_stop(
        self, step: Step, stop_id: str, placement: str, offers: Sequence[Offer]
    ) -> Iterable[Stop]:
        """What was shown here stays; otherwise the first offer that its rule and the subscription allow."""
        if record := self.state.offer_at(placement):
            yield Stop(stop_id, "offer", step, placement, self.facts, record=record)
            return
        state, world = self.state, self.walk.world
        subscription = world.find_subscription(state.subscription_id)
        if subscription is None or not world.is_verified or state.manual_reasons or state.used_exit:
            return
        for offer in offers:
            blockers = eligibility(
                offer,
                subscription=subscription,
                customer=world.customer,
                history=world.history_of(subscription.id),
                capabilities=world.capabilities,
                flow_cooldowns=self.walk.flow.cooldowns,
                catalog=world.catalog,
                now=self.walk.now,
                accepted_in_session=state.has_taken_offer,
            )
            is_shown = not blockers and _matches(offer.when, self.facts)
            self.decided.append(_Offered(placement, offer, is_shown, blockers, self.facts))
            if is_shown:
                yield Stop(stop_id, "offer", step, placement, self.facts, offer=offer)
                return
