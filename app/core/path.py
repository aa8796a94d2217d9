"""Which screens a walk has passed and which one it stands on. Pure; decides nothing about billing."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core import rules
from app.core.eligibility import eligibility
from app.core.facts import Facts
from app.core.flow import Offer, Reason, Step, SurveyStep
from app.core.state import OfferRecord, OfferStatus, SessionState
from app.core.world import Walk


@dataclass(frozen=True, slots=True)
class Stop:
    """One screen of the walk. An offer stop has either the record of what was shown, or the offer to show now."""

    id: str
    kind: str
    step: Step
    placement: str
    record: OfferRecord | None = None
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """The stops gone by, in order, the one that is next, and why each rule on the way did or did not match.

    After the exit was pressed the last one behind may be the one it was pressed on: unanswered, open to go back to.
    """

    behind: tuple[Stop, ...]
    current: Stop
    facts: Facts
    considered: dict[str, Any] = field(default_factory=dict)

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


def facts_of(walk: Walk, state: SessionState) -> Facts:
    said = state.reason_answer
    return walk.facts(
        subscription_id=state.subscription_id,
        reason=said.reason if said else None,
        follow_up=said.follow_up if said else None,
    )


def find_path(walk: Walk, state: SessionState) -> Path:
    """Walk the flow from its start to the first stop that is not done.

    After the exit was pressed the confirmation is next, whatever is unanswered. A flow always ends on its confirm step
    (validate_flow), so there always is a current stop.
    """
    facts = facts_of(walk, state)
    behind: list[Stop] = []
    is_open = True
    considered: dict[str, Any] = {}
    jump_to: str | None = None
    for step in walk.flow.steps:
        if jump_to not in (None, step.id):
            continue
        jump_to = None
        if step.kind == "confirm":
            return Path(tuple(behind), Stop(step.id, step.kind, step, step.id), facts, considered)
        if not _applies(step, facts, considered):
            continue
        for stop in _stops_of(walk, state, step, facts, considered):
            if is_done(stop, state):
                behind.append(stop)
            elif not state.used_exit:
                return Path(tuple(behind), stop, facts, considered)
            elif is_open and stop.offer is None:
                behind.append(stop)
                is_open = False
        jump_to = _branch(step, state, facts, considered)
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


def _stops_of(
    walk: Walk, state: SessionState, step: Step, facts: Facts, considered: dict[str, Any]
) -> Iterable[Stop]:
    if step.kind == "offer":
        yield from _offer_stop(walk, state, step, step.id, step.id, step.offers, facts, considered)
        return
    yield Stop(step.id, step.kind, step, step.id)
    if not isinstance(step, SurveyStep) or step.id not in state.answers:
        return
    reason_id = state.answers[step.id].reason
    reason = next((r for r in step.reasons if r.id == reason_id), None)
    if reason and reason.offers:
        stop_id = f"{step.id}.offer"
        placement = f"{stop_id}:{reason.id}"
        yield from _offer_stop(walk, state, step, stop_id, placement, reason.offers, facts, considered)


def _offer_stop(
    walk: Walk,
    state: SessionState,
    step: Step,
    stop_id: str,
    placement: str,
    offers: Sequence[Offer],
    facts: Facts,
    considered: dict[str, Any],
) -> Iterable[Stop]:
    """What was shown here stays; otherwise the first offer that its rule and the subscription allow."""
    if record := state.offer_at(placement):
        yield Stop(stop_id, "offer", step, placement, record=record)
        return
    world = walk.world
    subscription = world.find_subscription(state.subscription_id)
    if subscription is None or not world.is_verified or state.manual_reasons:
        return
    seen = considered.setdefault(placement, [])
    for offer in offers:
        explanation = rules.explain(offer.when, facts) if offer.when else None
        blockers = eligibility(
            offer,
            subscription=subscription,
            customer=world.customer,
            history=world.history_of(subscription.id),
            capabilities=world.capabilities,
            flow_cooldowns=walk.flow.cooldowns,
            catalog=world.catalog,
            now=walk.now,
            accepted_in_session=any(
                o.status in (OfferStatus.ACCEPTED, OfferStatus.APPLIED) for o in state.offers
            ),
        )
        is_chosen = not blockers and (explanation is None or explanation.verdict is rules.Verdict.YES)
        seen.append(
            {
                "offer": offer.id,
                "shown": is_chosen,
                "when": explanation.to_json() if explanation else None,
                "blockers": [str(b) for b in blockers],
            }
        )
        if is_chosen:
            yield Stop(stop_id, "offer", step, placement, offer=offer)
            return


def _applies(step: Step, facts: Facts, considered: dict[str, Any]) -> bool:
    if step.when is None:
        return True
    explanation = rules.explain(step.when, facts)
    considered[f"{step.id}?"] = explanation.to_json()
    return explanation.verdict is rules.Verdict.YES


def _branch(step: Step, state: SessionState, facts: Facts, considered: dict[str, Any]) -> str | None:
    if state.used_exit:
        return None
    for number, branch in enumerate(step.branches):
        if branch.when is None:
            return branch.goto
        explanation = rules.explain(branch.when, facts)
        considered[f"{step.id}>{number}"] = explanation.to_json()
        if explanation.verdict is rules.Verdict.YES:
            return branch.goto
    return None


def _matches(rule: rules.Rule | None, facts: Facts) -> bool:
    return rule is None or rules.evaluate(rule, facts) is rules.Verdict.YES
