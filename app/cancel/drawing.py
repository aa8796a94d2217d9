"""Draws where a session stands as a screen. Decides nothing: the walk has decided, the templates will word it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast
from urllib.parse import urlsplit

from markupsafe import Markup

from app.cancel import screens as sc
from app.cancel.words import ConfirmKind, ResultKind, Wording
from app.core.billing import Cancel, Capability, PlanChange
from app.core.direct import DirectSubscription, Paused, Trial
from app.core.facts import Fact
from app.core.flow import ConfirmStep, FeedbackStep, MessageStep, OptionsFollowUp, SurveyStep
from app.core.merge import customer_names, fill
from app.core.money import Money
from app.core.offers import Charge, OfferKind, Option, ShownOffer, escaped
from app.core.path import Stop, facts_of, visible_reasons
from app.core.renewals import next_renewal, price_at
from app.core.session import can_cancel_now, can_undo_cancel
from app.core.state import OfferStatus, Outcome, Phase, SessionState
from app.core.world import Walk
from app.sessions.service import Standing
from app.web.copy import copy_for
from app.web.formats import formats_for
from app.web.forms import Form
from app.web.richtext import rich_text

# How long a change may take before the page says that it takes longer.
PATIENCE: Final = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class Drawing:
    """One session to be drawn: its standing, the words of its visitor, and what was typed if it has to be put right."""

    standing: Standing
    wording: Wording
    typed: Form | None = None
    return_link: sc.Link | None = None

    @property
    def walk(self) -> Walk:
        return self.standing.walk

    @property
    def state(self) -> SessionState:
        return self.standing.state

    @property
    def subscription(self) -> DirectSubscription | None:
        return self.walk.world.find_subscription(self.state.subscription_id)

    def t(self, key: str, **args: object) -> str:
        return self.wording.copy.t(key, **args)

    def given(self, name: str, otherwise: str | None) -> str:
        """What was just typed, else what is kept."""
        if self.typed is not None and name in self.typed:
            return self.typed.get(name)
        return otherwise or ""

    def said(self, text: str | None, otherwise: str) -> str:
        """The merchant's line with its merge fields filled in, else ours."""
        if text is None:
            return otherwise
        return fill(text, self._known()) or otherwise

    def rich(self, text: str | None) -> Markup | None:
        """The merchant's rich text, values escaped, sanitised."""
        return rich_text(fill(text, escaped(self._known()))) if text else None

    def _known(self) -> dict[str, Fact]:
        return {**facts_of(self.walk, self.state), **customer_names(self.walk.world.customer)}


def drawing_of(
    standing: Standing, *, typed: Form | None = None, return_link: sc.Link | None = None
) -> Drawing:
    locale = standing.row.locale
    wording = Wording(copy_for(locale), formats_for(locale), standing.brand_name)
    return Drawing(standing, wording, typed, return_link)


def draw(drawing: Drawing, stop: Stop | None) -> sc.Screen:
    """The screen of a session; `stop` is the one to show of those on the walk's path."""
    match drawing.state.phase:
        case Phase.OPENING:
            return sc.Working(drawing.t("working.title"), "open")
        case Phase.CHOOSING:
            return _chooser(drawing)
        case Phase.WALKING:
            if stop is None:
                raise ValueError("a walk always has a stop")
            return _step(drawing, stop)
        case Phase.WORKING:
            return _working(drawing)
        case Phase.TROUBLE:
            return _trouble(drawing)
        case Phase.SCHEDULED:
            return _scheduled(drawing)
        case Phase.PAUSED:
            return _paused(drawing)
        case Phase.FINISHED:
            return _result(drawing)


def has_exit(state: SessionState, stop: Stop | None) -> bool:
    """Whether leaving still takes more than the buttons of the screen itself."""
    if state.phase is Phase.WALKING:
        return stop is not None and stop.kind != "confirm"
    return can_cancel_now(state)


# --- Steps ----------------------------------------------------------------------------------------------------------


def _step(drawing: Drawing, stop: Stop) -> sc.Screen:
    if stop.record is not None:
        return _offer(drawing, stop.record.shown)
    match stop.step:
        case SurveyStep():
            return _survey(drawing, stop, stop.step)
        case FeedbackStep() as step:
            kept = drawing.state.answers.get(stop.id)
            return sc.Feedback(
                title=drawing.said(step.title, drawing.t("feedback.title")),
                body=drawing.rich(step.body),
                hint=drawing.said(step.placeholder, "") or None,
                text=drawing.given("feedback", kept.text if kept else None),
                can_skip=not step.required,
                min_length=step.min_length,
            )
        case MessageStep() as step:
            return sc.Message(
                title=drawing.said(step.title, drawing.t("message.title")),
                body=drawing.rich(step.body),
                points=tuple(drawing.said(point, "") for point in step.points),
            )
        case ConfirmStep() as step:
            return _confirm(drawing, step)
        case _:
            raise ValueError(f"an offer that was not recorded: {stop.id}")


def _survey(drawing: Drawing, stop: Stop, step: SurveyStep) -> sc.Survey:
    kept = drawing.state.answers.get(stop.id)
    reasons = []
    for reason in visible_reasons(step, stop.facts, drawing.walk.session_id):
        asked = reason.follow_up
        follow_up = None
        if asked is not None:
            is_chosen = kept is not None and kept.reason == reason.id
            follow_up = sc.FollowUp(
                question=drawing.said(asked.question, ""),
                options=tuple(sc.FollowUpOption(o.id, o.label) for o in asked.options)
                if isinstance(asked, OptionsFollowUp)
                else (),
                is_required=asked.required,
                answer=drawing.given(
                    f"follow_up--{reason.id}", kept.follow_up if kept and is_chosen else None
                ),
            )
        reasons.append(sc.Reason(reason.id, drawing.said(reason.label, reason.id), follow_up))
    return sc.Survey(
        title=drawing.said(step.title, drawing.t("survey.title")),
        reasons=tuple(reasons),
        body=drawing.rich(step.body),
        chosen=drawing.given("reason", kept.reason if kept else None) or None,
        can_skip=not step.required,
    )


def _confirm(drawing: Drawing, step: ConfirmStep) -> sc.Confirm:
    subscription, is_request = drawing.subscription, bool(drawing.state.manual_reasons)
    ends_at = subscription.period_end if subscription else None
    is_now = step.timing == "now"
    can_undo = not is_now and Capability.UNCANCEL in drawing.walk.world.capabilities
    facts = sc.Facts(
        plan=_plan(subscription),
        price=_price(drawing, subscription),
        ends_at=None if is_now or is_request else ends_at,
        ends_now=is_now and not is_request,
        undo_until=ends_at if can_undo and not is_request else None,
    )
    kind: ConfirmKind = "period_end"
    if is_request:
        kind = "request"
    elif is_now:
        kind = "now"
    elif ends_at is None:
        kind = "unknown"
    elif subscription is not None and isinstance(subscription.status, Trial):
        kind = "trial"
    words = drawing.wording.confirm(kind, facts)
    return sc.Confirm(
        title=drawing.said(step.title, words.title),
        lead=words.lead,
        facts=facts,
        body=drawing.rich(step.body),
        losses=tuple(drawing.said(loss, "") for loss in step.losses),
        acknowledge=drawing.said(step.acknowledge, "") or None,
        has_acknowledged=drawing.typed is not None and "acknowledge" in drawing.typed,
        is_request=is_request,
    )


# --- Offers ---------------------------------------------------------------------------------------------------------


def _offer(drawing: Drawing, shown: ShownOffer) -> sc.Offer:
    card = _card(drawing, shown)
    saving = card.saving if isinstance(card, sc.DiscountCard) else ""
    said = shown.wording
    return sc.Offer(
        title=said.headline or drawing.t(f"offer.{shown.kind}.title"),
        decision=shown.decision_id,
        card=card,
        accept_label=said.cta or drawing.t(f"offer.{shown.kind}.accept", saving=saving),
        decline_label=said.decline_cta or drawing.t(f"offer.{shown.kind}.decline"),
        body=rich_text(said.body) if said.body else None,
    )


def _card(drawing: Drawing, shown: ShownOffer) -> sc.OfferCard:
    terms = shown.terms
    record = drawing.state.offer(shown.decision_id)
    chosen = drawing.given("option", record.option_id if record else None) or None
    match shown.kind:
        case OfferKind.DISCOUNT:
            return _discount(drawing, shown)
        case OfferKind.PAUSE:
            window = terms.pause_window
            return sc.PauseCard(
                price=_shown_price(shown, terms.price_now),
                options=tuple(
                    sc.PauseOption(o.id, o.unit, o.count, o.resumes_at)
                    for o in terms.options
                    if o.unit and o.count and o.resumes_at
                ),
                earliest=window.earliest if window else None,
                latest=window.latest if window else None,
                chosen=chosen,
            )
        case OfferKind.PLAN_CHANGE:
            return sc.PlanChangeCard(
                plan=_plan(drawing.subscription) or "",
                price=_shown_price(shown, terms.price_now),
                tiles=tuple(_tile(shown, option) for option in terms.options),
                starts_at=terms.starts_at,
                chosen=chosen,
            )
        case OfferKind.TRIAL_EXTENSION:
            before, after = terms.trial_ends_before, terms.trial_ends_after
            if before is None or after is None:
                raise ValueError("a trial extension is shown with both its dates")
            return sc.TrialExtensionCard(
                days=round((after - before) / timedelta(days=1)),
                ends_before=before,
                ends_after=after,
                first_charge=_charge(terms.next_charge),
            )
        case OfferKind.CONTACT:
            link = _onward(drawing, shown)
            is_email = link is not None and link.href.startswith("mailto:")
            return sc.ContactCard(label=link.label if link else "", place=_place(link), is_email=is_email)
        case OfferKind.REDIRECT:
            link = _onward(drawing, shown)
            return sc.RedirectCard(label=link.label if link else "", place=_place(link))


def _discount(drawing: Drawing, shown: ShownOffer) -> sc.DiscountCard:
    terms = shown.terms
    before, after = _shown_price(shown, terms.price_now), _shown_price(shown, terms.price_after)
    if terms.saving is None or before is None or after is None:
        raise ValueError("a discount is shown with its saving and both prices")
    return sc.DiscountCard(
        saving=saving_in_words(drawing, shown),
        duration=terms.saving.duration,
        months=terms.saving.months,
        price_before=before,
        price_after=after,
        next_charge=_charge(terms.next_charge),
        back_to=_charge(terms.back_to),
    )


def saving_in_words(drawing: Drawing, shown: ShownOffer) -> str:
    saving = shown.terms.saving
    if saving is None:
        return ""
    if saving.amount is not None:
        return drawing.wording.formats.money(saving.amount)
    return drawing.wording.formats.percent(saving.percent) if saving.percent is not None else ""


def _tile(shown: ShownOffer, option: Option) -> sc.PlanTile:
    price = _shown_price(shown, option.price)
    if price is None:
        raise ValueError("a plan is shown with its price")
    return sc.PlanTile(
        id=option.id,
        name=option.name or option.id,
        price=price,
        tagline=option.tagline,
        features=option.features,
        list_price=option.list_price,
    )


def _onward(drawing: Drawing, shown: ShownOffer) -> sc.Link | None:
    """Where an accepted contact or redirect offer leads."""
    link = shown.link
    if link is not None and link.url:
        return sc.Link(link.label or _host(link.url), link.url)
    email = link.email if link is not None else None
    environment = drawing.standing.environment
    if email is None and environment.contact_url and not environment.contact_email:
        return sc.Link(
            (link.label if link else None) or _host(environment.contact_url), environment.contact_url
        )
    email = email or environment.contact_email
    return sc.Link((link.label if link else None) or email, f"mailto:{email}") if email else None


def _place(link: sc.Link | None) -> str:
    if link is None:
        return ""
    return link.href.removeprefix("mailto:") if link.href.startswith("mailto:") else _host(link.href)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


# --- States of a subscription ---------------------------------------------------------------------------------------


def _chooser(drawing: Drawing) -> sc.Screen:
    live = drawing.walk.world.live_subscriptions()
    if not live:
        words = drawing.wording.notice("nothing_to_cancel")
        return sc.Notice(words.title, words.lead, return_link=drawing.return_link)
    return sc.Chooser(
        title=drawing.t("choose.title"),
        subscriptions=tuple(_choice(drawing, s) for s in live),
        chosen=drawing.given("subscription", None) or None,
    )


def _choice(drawing: Drawing, subscription: DirectSubscription) -> sc.SubscriptionChoice:
    status = subscription.status
    price = _price(drawing, subscription)
    name = _plan(subscription) or subscription.id
    if subscription.is_scheduled_to_end(drawing.walk.now):
        return sc.SubscriptionChoice(subscription.id, name, price, "ends", subscription.end)
    if isinstance(status, Trial):
        return sc.SubscriptionChoice(subscription.id, name, price, "trial", status.trial.end)
    if isinstance(status, Paused):
        return sc.SubscriptionChoice(subscription.id, name, price, "paused", status.pause.end)
    return sc.SubscriptionChoice(subscription.id, name, price, "renews", subscription.period_end)


def _scheduled(drawing: Drawing) -> sc.Screen:
    subscription = drawing.subscription
    if subscription is None or subscription.end is None:
        raise ValueError("a scheduled end has a date")
    ends = drawing.wording.formats.day(subscription.end)
    return sc.Scheduled(
        title=drawing.t("scheduled.title", day=ends),
        facts=sc.Facts(plan=_plan(subscription), ends_at=subscription.end),
        ends_at=subscription.end,
        can_uncancel=Capability.UNCANCEL in drawing.walk.world.capabilities,
        return_link=drawing.return_link,
    )


def _paused(drawing: Drawing) -> sc.Screen:
    subscription = drawing.subscription
    status = subscription.status if subscription else None
    return sc.Paused(
        title=drawing.t("paused.title"),
        facts=sc.Facts(plan=_plan(subscription), price=_price(drawing, subscription)),
        resumes_at=status.pause.end if isinstance(status, Paused) else None,
        can_resume=Capability.RESUME in drawing.walk.world.capabilities,
    )


# --- While and after ------------------------------------------------------------------------------------------------


def _working(drawing: Drawing) -> sc.Screen:
    """A cancellation that takes long is told as what it is: received, and ours to finish."""
    pending = drawing.state.pending
    if pending is None:
        raise ValueError("what is worked on is known")
    is_late = drawing.walk.now - pending.requested_at >= PATIENCE
    if isinstance(pending.change, Cancel) and is_late:
        facts = sc.Facts(
            plan=_plan(drawing.subscription),
            requested_at=pending.requested_at,
            reference=reference_of(drawing.walk.session_id),
        )
        words = drawing.wording.result("canceled_requested", facts)
        return sc.Result(words.title, words.lead, "waiting", facts, return_link=drawing.return_link)
    return sc.Working(drawing.t("working.title"), pending.change.type)


def _trouble(drawing: Drawing) -> sc.Screen:
    trouble = drawing.state.trouble
    if trouble is None:
        raise ValueError("trouble has a reason")
    return sc.Trouble(
        title=drawing.t("trouble.title"),
        reason=trouble.message,
        decision=trouble.decision_id,
        can_retry=trouble.can_retry,
        way_on="cancel" if trouble.decision_id else "back",
    )


def _result(drawing: Drawing) -> sc.Screen:
    state, subscription = drawing.state, drawing.subscription
    outcome = state.outcome
    if outcome is None:
        raise ValueError("a finished session has an outcome")
    taken = next((o for o in state.offers if o.status is OfferStatus.APPLIED), None)
    shown = taken.shown if taken and outcome not in _WITHOUT_OFFER else None
    facts = _result_facts(drawing, outcome, shown, taken.option_id if taken else None)
    kind: ResultKind = cast("ResultKind", str(outcome))
    if outcome is Outcome.CANCELED and not (
        subscription and subscription.is_scheduled_to_end(drawing.walk.now)
    ):
        kind = "canceled_now"
    words = drawing.wording.result(kind, facts)
    waiting = outcome is Outcome.MANUAL_CANCELLATION_REQUESTED
    plain = outcome in (Outcome.KEPT, Outcome.SUPPORT_REQUESTED, Outcome.REDIRECTED)
    return sc.Result(
        title=words.title,
        lead=words.lead,
        tone="waiting" if waiting else "plain" if plain else "done",
        facts=facts,
        onward=_onward(drawing, shown) if shown is not None and not shown.has_change else None,
        return_link=drawing.return_link,
        can_uncancel=can_undo_cancel(drawing.walk, state)
        and Capability.UNCANCEL in drawing.walk.world.capabilities,
    )


_WITHOUT_OFFER: Final = frozenset(
    {
        Outcome.CANCELED,
        Outcome.KEPT,
        Outcome.UNCANCELED,
        Outcome.RESUMED,
        Outcome.MANUAL_CANCELLATION_REQUESTED,
        Outcome.CANCEL_ALREADY_SCHEDULED,
    }
)


def _result_facts(
    drawing: Drawing, outcome: Outcome, shown: ShownOffer | None, option_id: str | None
) -> sc.Facts:
    """What now holds: of an offer exactly what was promised, of a cancellation what the provider has."""
    state, subscription = drawing.state, drawing.subscription
    reference = reference_of(drawing.walk.session_id)
    plan, done_at = _plan(subscription), state.finished_at
    if outcome in (Outcome.SUPPORT_REQUESTED, Outcome.REDIRECTED):
        return sc.Facts()
    if outcome is Outcome.MANUAL_CANCELLATION_REQUESTED:
        return sc.Facts(plan=plan, requested_at=done_at, reference=reference)
    if outcome in (Outcome.CANCELED, Outcome.CANCEL_ALREADY_SCHEDULED):
        ends_at = subscription.end if subscription else None
        return sc.Facts(plan=plan, ends_at=ends_at, done_at=done_at, reference=reference)
    if shown is not None:
        option = shown.find_option(option_id)
        return _promised(shown, option, plan, sc.Facts(done_at=done_at, reference=reference))
    next_at = next_renewal(subscription, drawing.walk.now) if subscription else None
    money = price_at(subscription, next_at) if subscription and next_at else None
    return sc.Facts(
        plan=plan,
        price=_price(drawing, subscription),
        next_charge=sc.Charge(next_at, money) if next_at and money else None,
        done_at=done_at if outcome is not Outcome.KEPT else None,
        reference=reference if outcome is not Outcome.KEPT else None,
    )


def _promised(shown: ShownOffer, option: Option | None, plan: str | None, base: sc.Facts) -> sc.Facts:
    terms = shown.terms
    is_plan = option is not None and isinstance(option.change, PlanChange)
    new_price = (option.price if option and is_plan else None) or terms.price_after
    return sc.Facts(
        plan=None if is_plan else plan,
        new_plan=(option.name or option.id) if option and is_plan else None,
        price_before=_shown_price(shown, terms.price_now) if new_price and terms.price_now else None,
        price=_shown_price(shown, new_price) if new_price else None,
        next_charge=_charge((option.next_charge if option else None) or terms.next_charge),
        back_to=_charge(terms.back_to),
        resumes_at=option.resumes_at if option else None,
        trial_ends_at=terms.trial_ends_after,
        done_at=base.done_at,
        reference=base.reference,
    )


def reference_of(session_id: str) -> str:
    """What a customer can quote: short, made of the session's id, worth nothing by itself."""
    code = session_id.rpartition("_")[2].upper()[:8]
    return f"LW-{code[:4]}-{code[4:]}"


# --- Figures --------------------------------------------------------------------------------------------------------


def _plan(subscription: DirectSubscription | None) -> str | None:
    if subscription is None:
        return None
    names = [item.price.name for item in subscription.items if item.price.name]
    return " + ".join(names) or None


def _price(drawing: Drawing, subscription: DirectSubscription | None) -> sc.Price | None:
    """What the next charge comes to, discounts included; None where it is not known."""
    if subscription is None:
        return None
    now = drawing.walk.now
    money = price_at(subscription, next_renewal(subscription, now) or now)
    every = subscription.interval
    if money is None:
        return None
    return sc.Price(money, every.interval if every else None, every.interval_count if every else 1)


def _shown_price(shown: ShownOffer, money: Money | None) -> sc.Price | None:
    return sc.Price(money, shown.terms.interval, shown.terms.interval_count) if money is not None else None


def _charge(charge: Charge | None) -> sc.Charge | None:
    return sc.Charge(charge.at, charge.money) if charge is not None else None
