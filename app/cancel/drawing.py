"""Draws where a session stands as a screen. Decides nothing: the walk has decided, the templates will word it."""

from datetime import datetime

from app.cancel import screens as sc
from app.cancel.canvas import Drawing
from app.cancel.cards import draw_offer
from app.cancel.results import draw_result, draw_trouble, draw_working
from app.cancel.words import ConfirmKind
from app.core.billing import Capability
from app.core.direct import DirectSubscription, Paused, Trial
from app.core.flow import ConfirmStep, FeedbackStep, MessageStep, OptionsFollowUp, SurveyStep
from app.core.path import Stop, visible_reasons
from app.core.session import can_cancel_now
from app.core.state import Phase, SessionState
from app.core.summary import plan_of, price_of


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
            return draw_working(drawing)
        case Phase.TROUBLE:
            return draw_trouble(drawing)
        case Phase.SCHEDULED:
            return _scheduled(drawing)
        case Phase.PAUSED:
            return _paused(drawing)
        case Phase.FINISHED:
            return draw_result(drawing)


def has_exit(state: SessionState, stop: Stop | None) -> bool:
    """Whether leaving still takes more than the buttons of the screen itself."""
    if state.phase is Phase.WALKING:
        return stop is not None and stop.kind != "confirm"
    return can_cancel_now(state)


# --- Steps ----------------------------------------------------------------------------------------------------------


def _step(drawing: Drawing, stop: Stop) -> sc.Screen:
    if stop.record is not None:
        return draw_offer(drawing, stop.record.shown)
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
        plan=plan_of(subscription),
        price=price_of(subscription, drawing.walk.now),
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


# --- States of a subscription ---------------------------------------------------------------------------------------


def _chooser(drawing: Drawing) -> sc.Screen:
    live = drawing.walk.world.live_subscriptions()
    if not live:
        words = drawing.wording.notice("nothing_to_cancel")
        return sc.Notice(words.title, words.lead, return_link=drawing.return_link)
    return sc.Chooser(
        title=drawing.t("choose.title"),
        subscriptions=tuple(choice_of(s, drawing.walk.now) for s in live),
        chosen=drawing.given("subscription", None) or None,
    )


def choice_of(subscription: DirectSubscription, now: datetime) -> sc.SubscriptionChoice:
    """One row of a chooser."""
    status = subscription.status
    price = price_of(subscription, now)
    name = plan_of(subscription) or subscription.id
    if subscription.is_scheduled_to_end(now):
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
        facts=sc.Facts(plan=plan_of(subscription), ends_at=subscription.end),
        ends_at=subscription.end,
        can_uncancel=Capability.UNCANCEL in drawing.walk.world.capabilities,
        return_link=drawing.return_link,
    )


def _paused(drawing: Drawing) -> sc.Screen:
    subscription = drawing.subscription
    status = subscription.status if subscription else None
    paid_until = subscription.period_end if subscription else None
    return sc.Paused(
        title=drawing.t("paused.title"),
        facts=sc.Facts(plan=plan_of(subscription), price=price_of(subscription, drawing.walk.now)),
        resumes_at=status.pause.end if isinstance(status, Paused) else None,
        can_resume=Capability.RESUME in drawing.walk.world.capabilities,
        paid_until=paid_until if paid_until is not None and paid_until > drawing.walk.now else None,
    )
