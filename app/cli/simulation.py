"""Walks a flow for one customer and tells each screen, with the reasons. Decides nothing: the core does."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from app.core import rules
from app.core.billing import Change, dump_change
from app.core.commands import (
    AcceptOffer,
    AnswerStep,
    ChooseSubscription,
    Command,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Settle,
)
from app.core.explaining import SENTENCES, explained
from app.core.flow import ConfirmStep, FeedbackStep, MessageStep, Reason, Step, SurveyStep, TextFollowUp
from app.core.merge import customer_names, fill
from app.core.offers import ShownOffer
from app.core.path import Path, Stop, find_path, visible_reasons
from app.core.session import Decision, advance, open_walk
from app.core.state import Phase, SessionState
from app.core.terms import Charge, Option
from app.core.world import Walk
from app.web.formats import Formats

Choose = Literal["accept", "decline"]
MOST_SCREENS: Final = 60
SAMPLE: Final = "What a customer would write here, at some length, if an answer has to be given. " * 8


@dataclass
class Simulation:
    """One walk. `reason` is chosen wherever a survey offers it."""

    walk: Walk
    formats: Formats
    choose: Choose
    reason: str | None = None
    subscription_id: str | None = None
    _told: set[str] = field(default_factory=set)
    _number: int = 0

    def lines(self) -> Iterator[str]:
        """Everything, line by line."""
        decision = open_walk(self.walk, subscription_id=self.subscription_id)
        for _ in range(MOST_SCREENS):
            yield from self._considered(decision)
            state = decision.state
            yield from self._screen(state)
            command = self._command(state)
            if command is None:
                return
            decision = advance(self.walk, state, command)
            if decision.mistakes:
                yield f"  (The simulation cannot go on: {decision.mistakes[0].key}.)"
                return

    # --- What is seen ---------------------------------------------------------------------------------------------

    def _considered(self, decision: Decision) -> Iterator[str]:
        """The rules that were looked at on the way to this screen, each place once."""
        for place, why in decision.considered.items():
            if place in self._told:
                continue
            self._told.add(place)
            yield ""
            yield f"  {_where(place)}"
            yield from (f"    {line}" for line in explained(why))

    def _screen(self, state: SessionState) -> Iterator[str]:
        yield ""
        self._number += 1
        if state.phase is Phase.WALKING:
            path = find_path(self.walk, state)
            stop = path.current
            yield f"{self._number}. {stop.id} ({stop.kind})"
            yield from (f"   {line}" for line in self._stop(state, path, stop))
        elif state.phase is Phase.WORKING and state.pending is not None:
            yield f"{self._number}. working"
            yield f"   At the billing provider: {_change(state.pending.change)}"
        elif state.phase is Phase.FINISHED:
            yield f"{self._number}. done"
            yield f"   Outcome: {state.outcome}"
            for reason in state.manual_reasons:
                yield f"   A person has to do it: {SENTENCES.get(reason, reason)}"
        else:
            yield f"{self._number}. {state.phase}"
            yield from (f"   {line}" for line in self._other(state))

    def _other(self, state: SessionState) -> Iterator[str]:
        if state.phase is Phase.CHOOSING:
            live = self.walk.world.live_subscriptions()
            if not live:
                yield "There is no subscription to cancel."
            for one in live:
                yield f"( ) {one.id}: {one.items[0].price.name or one.items[0].price.id}, {one.status.name}"
        subscription = self.walk.world.find_subscription(state.subscription_id)
        if state.phase is Phase.SCHEDULED and subscription is not None and subscription.end is not None:
            yield f"It ends on {self.formats.short_day(subscription.end)} already; it can be kept."
        if state.phase is Phase.PAUSED:
            yield "It is paused; it can be resumed now, or cancelled."

    def _stop(self, state: SessionState, path: Path, stop: Stop) -> Iterator[str]:
        step = stop.step
        if stop.record is not None:
            yield from self._offer(stop.record.shown)
            return
        yield from self._texts(path, step)
        match step:
            case SurveyStep():
                yield from self._survey(state, path, step)
            case MessageStep():
                yield from (f"- {self._filled(point, path)}" for point in step.points)
            case FeedbackStep():
                yield f"[ free text{', required' if step.required else ''} ]"
            case ConfirmStep():
                yield from (f"- {self._filled(loss, path)}" for loss in step.losses)
                yield from self._ending(state, step)
            case _:
                pass

    def _texts(self, path: Path, step: Step) -> Iterator[str]:
        for text in (step.title, step.body):
            if text:
                yield _plain(self._filled(text, path))

    def _survey(self, state: SessionState, path: Path, step: SurveyStep) -> Iterator[str]:
        shown = visible_reasons(step, path.facts, self.walk.session_id)
        for reason in shown:
            mark = "(•)" if reason.id == self.reason else "( )"
            yield f"{mark} {self._filled(reason.label, path)}  [{reason.id}]{self._leads_to(state, step, reason)}"
        for reason in step.reasons:
            if reason.when is None:
                continue
            told = rules.explain(reason.when, path.facts)
            yield f"{reason.id}: {'shown' if reason in shown else 'not shown'}"
            yield from told.lines("  ")

    def _leads_to(self, state: SessionState, step: SurveyStep, reason: Reason) -> str:
        """Which of its offers a reason would lead to."""
        if not reason.offers:
            return ""
        after = advance(self.walk, state, self._answer(step, reason)).state
        record = after.offer_at(f"{step.id}.offer:{reason.id}")
        return f"  → {record.shown.offer_id}" if record else "  → none of its offers"

    def _ending(self, state: SessionState, step: ConfirmStep) -> Iterator[str]:
        subscription = self.walk.world.find_subscription(state.subscription_id)
        if step.timing == "now":
            yield "It would end at once."
        elif subscription is not None and subscription.period_end is not None:
            yield f"It would end on {self.formats.short_day(subscription.period_end)}."

    def _offer(self, shown: ShownOffer) -> Iterator[str]:
        terms = shown.terms
        yield f"{shown.offer_id}: {shown.kind}"
        for text in (shown.wording.headline, shown.wording.body):
            if text:
                yield _plain(text)
        if terms.price_now:
            every = self.formats.interval(terms.interval, terms.interval_count) if terms.interval else ""
            yield f"Price now: {self.formats.money(terms.price_now)} {every}".rstrip()
        if terms.price_after:
            yield f"Price after: {self.formats.money(terms.price_after)}"
        if terms.next_charge:
            yield f"Next charge: {self._charge(terms.next_charge)}"
        if terms.back_to:
            yield f"Then again: {self._charge(terms.back_to)}"
        if terms.trial_ends_before and terms.trial_ends_after:
            before, after = map(self.formats.short_day, (terms.trial_ends_before, terms.trial_ends_after))
            yield f"Trial ends: {before} → {after}"
        if terms.tax:
            yield f"Tax: {terms.tax}"
        if terms.renews_before:
            yield f"Renews on {self.formats.short_day(terms.renews_before)}, and later by as long as the break"
        if terms.pause_window:
            first, last = map(
                self.formats.short_day, (terms.pause_window.earliest, terms.pause_window.latest)
            )
            yield f"Back on a day from {first} to {last}"
        if len(terms.options) > 1 or any(option.name or option.resumes_at for option in terms.options):
            yield from (f"( ) {line}" for option in terms.options for line in [self._option(option)])
        if shown.link is not None:
            yield f"Leads to: {shown.link.url or shown.link.email or 'your contact'}"

    def _option(self, option: Option) -> str:
        parts = [option.name or option.id]
        if option.price:
            parts.append(self.formats.money(option.price))
        if option.resumes_at:
            parts.append(f"back on {self.formats.short_day(option.resumes_at)}")
        if option.renews_at:
            parts.append(f"renews on {self.formats.short_day(option.renews_at)}")
        if option.next_charge:
            parts.append(f"next charge {self._charge(option.next_charge)}")
        return ", ".join(parts)

    def _charge(self, charge: Charge) -> str:
        return f"{self.formats.money(charge.money)} on {self.formats.short_day(charge.at)}"

    def _filled(self, text: str, path: Path) -> str:
        return fill(text, {**path.facts, **customer_names(self.walk.world.customer)})

    # --- What the customer does -----------------------------------------------------------------------------------

    def _command(self, state: SessionState) -> Command | None:
        match state.phase:
            case Phase.CHOOSING:
                live = self.walk.world.live_subscriptions()
                return ChooseSubscription(live[0].id) if live else None
            case Phase.PAUSED:
                return GoOn()
            case Phase.WORKING if state.pending is not None:
                return Settle(effect_id=state.pending.effect_id, is_applied=True)
            case Phase.WALKING:
                return self._at(find_path(self.walk, state).current, find_path(self.walk, state))
            case _:
                return None

    def _at(self, stop: Stop, path: Path) -> Command:
        if stop.record is not None:
            return self._answer_offer(stop.record.shown)
        if isinstance(stop.step, ConfirmStep):
            return ConfirmCancel(has_acknowledged=True)
        if isinstance(stop.step, SurveyStep):
            shown = visible_reasons(stop.step, path.facts, self.walk.session_id)
            chosen = next((r for r in shown if r.id == self.reason), None)
            if chosen is None and stop.step.required:
                chosen = shown[0]
            return self._answer(stop.step, chosen)
        is_needed = isinstance(stop.step, FeedbackStep) and stop.step.required
        return AnswerStep(stop.id, text=SAMPLE if is_needed else None, is_skip=not is_needed)

    def _answer(self, step: SurveyStep, reason: Reason | None) -> AnswerStep:
        if reason is None:
            return AnswerStep(step.id, is_skip=True)
        asked = reason.follow_up
        if asked is None or not asked.required:
            return AnswerStep(step.id, reason=reason.id)
        given = SAMPLE if isinstance(asked, TextFollowUp) else asked.options[0].id
        return AnswerStep(step.id, reason=reason.id, follow_up=given)

    def _answer_offer(self, shown: ShownOffer) -> Command:
        if self.choose == "decline":
            return DeclineOffer(shown.decision_id)
        window = shown.terms.pause_window
        first: date | None = window.earliest.date() if window else None
        option = first.isoformat() if first else next((one.id for one in shown.options), None)
        return AcceptOffer(shown.decision_id, option)


def _change(change: Change) -> str:
    told = dump_change(change)
    kind = told.pop("type")
    return f"{kind} {', '.join(f'{name}={value}' for name, value in told.items())}".rstrip()


def _where(place: str) -> str:
    """What was decided, by the name of its place in `considered`."""
    if place.endswith("?"):
        return f"Is {place[:-1]} shown?"
    step, arrow, number = place.partition(">")
    return f"Branch {int(number) + 1} of {step}:" if arrow else f"Offers at {place}:"


def _plain(rich: str) -> str:
    """Rich text as a terminal shows it."""
    return html.unescape(re.sub(r"<[^>]{0,1000}>", "", rich)).strip()
