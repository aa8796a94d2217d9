"""A walk for tests: a small flow with every kind of step, a customer, and a journey through it, command by command."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.core.billing import Capability
from app.core.commands import AcceptOffer, AnswerStep, CancelNow, Command, ConfirmCancel, DeclineOffer, Settle
from app.core.decision import Decision, NewEffect
from app.core.direct import DirectSubscription, parse_customer
from app.core.events import Event
from app.core.facts import History
from app.core.flow import FlowDefinition
from app.core.flow_check import parse_flow, validate_flow
from app.core.path import Path, find_path
from app.core.session import advance, open_walk
from app.core.state import OfferRecord, SessionState
from app.core.world import Walk, World
from tests.support.subscriptions import NOW, active, price

HALF = {"kind": "discount", "id": "half", "percent": 50, "duration": "repeating", "months": 3}
BREAK = {"kind": "pause", "id": "break", "unit": "month", "max": 3}
TALK = {"kind": "contact", "id": "talk", "email": "help@example.com"}
GUIDE = {"kind": "redirect", "id": "guide", "url": "https://example.com/guide"}
LITE = {"kind": "plan_change", "id": "lite", "plans": [{"price_id": "price_lite"}]}
MORE_TIME = {"kind": "trial_extension", "id": "more-time", "days": 14}

WHY: dict[str, Any] = {
    "kind": "survey",
    "id": "why",
    "reasons": [
        {"id": "price", "label": "Price", "offers": [HALF]},
        {"id": "unused", "label": "Unused", "offers": [BREAK]},
        {"id": "bug", "label": "A bug", "follow_up": {"kind": "text", "question": "Which?"}},
    ],
}
TEXT: dict[str, Any] = {"kind": "feedback", "id": "text"}
ENDS: dict[str, Any] = {"kind": "message", "id": "ends", "points": ["Sync stops."]}
CONFIRM: dict[str, Any] = {"kind": "confirm", "id": "confirm"}
STEPS = (WHY, ENDS, TEXT, CONFIRM)

PRICE = AnswerStep("why", reason="price")
UNUSED = AnswerStep("why", reason="unused")
BUG = AnswerStep("why", reason="bug", follow_up="It crashes")
SKIP = AnswerStep("why", is_skip=True)
READ = AnswerStep("ends")
SAID = AnswerStep("text", text="Too many emails.")


def offer(*offers: Mapping[str, Any], id: str = "stay", **more: Any) -> dict[str, Any]:
    return {"kind": "offer", "id": id, "offers": list(offers), **more}


def flow(*steps: Mapping[str, Any], **more: Any) -> FlowDefinition:
    """A flow that could be published."""
    definition = parse_flow({"name": "A flow", "steps": list(steps or STEPS), **more})
    assert validate_flow(definition, frozenset(Capability)) == []
    return definition


def world(*subscriptions: DirectSubscription, history: History | None = None, **more: Any) -> World:
    found = subscriptions or (active(),)
    known: dict[str, Any] = {
        "mode": "test",
        "locale": "en",
        "customer": parse_customer(
            {"id": "cus_1", "name": "Givenname", "lastName": "Familyname", "phone": "555-0100"}
        ),
        "subscriptions": found,
        "prices": {"price_lite": price(900, price_id="price_lite")},
        "capabilities": frozenset(Capability),
        "history": {s.id: history for s in found} if history else {},
    }
    return World(**{**known, **more})


class Journey:
    """One session, from its opening on; every command comes a minute after the one before."""

    def __init__(
        self,
        definition: FlowDefinition | None = None,
        seen: World | None = None,
        *,
        subscription_id: str | None = None,
        at: datetime = NOW,
    ) -> None:
        self.walk = Walk("cs_1", definition or flow(), seen or world(), at)
        self.decisions: list[Decision] = []
        self.state = SessionState()
        self._take(open_walk(self.walk, subscription_id=subscription_id))

    def do(self, *commands: Command) -> Decision:
        for command in commands:
            self.wait(timedelta(minutes=1))
            self._take(advance(self.walk, self.state, command))
        return self.last

    def wait(self, passed: timedelta) -> None:
        self.walk = replace(self.walk, now=self.walk.now + passed)

    def _take(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.state = decision.state

    def accept(self, option_id: str | None = None) -> Decision:
        """Take the offer that the customer stands at."""
        return self.do(AcceptOffer(self.shown.decision_id, option_id))

    def decline(self) -> Decision:
        return self.do(DeclineOffer(self.shown.decision_id))

    def exit(self, draft: AnswerStep | None = None) -> Decision:
        return self.do(CancelNow(draft))

    def confirm(self) -> Decision:
        return self.do(ConfirmCancel())

    def settle(
        self, *, applied: bool = True, becomes: DirectSubscription | None = None, **more: Any
    ) -> Decision:
        """Tell what became of the change in hand; `becomes` is the subscription as the provider then has it."""
        assert self.state.pending is not None
        if becomes is not None:
            seen = self.walk.world.with_subscription(becomes)
            self.walk = replace(self.walk, world=seen)
        return self.do(Settle(self.state.pending.effect_id, applied, **more))

    @property
    def last(self) -> Decision:
        return self.decisions[-1]

    @property
    def path(self) -> Path:
        return find_path(self.walk, self.state)

    @property
    def at(self) -> str:
        """Where the customer stands: a stop on the walk, otherwise the phase."""
        return self.path.current.id if self.state.phase == "walking" else str(self.state.phase)

    @property
    def shown(self) -> OfferRecord:
        record = self.path.current.record
        assert record is not None, f"there is no offer at {self.at}"
        return record

    @property
    def effects(self) -> list[NewEffect]:
        return [effect for decision in self.decisions for effect in decision.effects]

    @property
    def events(self) -> list[Event]:
        return [event for decision in self.decisions for event in decision.events]

    def told(self) -> list[str]:
        return [str(event.type) for event in self.events]


def ids(stops: Sequence[Any]) -> list[str]:
    return [stop.id for stop in stops]
