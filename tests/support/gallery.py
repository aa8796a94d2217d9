"""Every screen of the hosted page in every state, with believable data: for tests, and for looking at.

`python -m tests.support.gallery FOLDER [NAME...]` writes each (or those whose names begin so) as an HTML file
and as pictures: light and dark, on a phone and on a desk.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import FileSystemLoader
from markupsafe import Markup

from app.cancel import screens as sc
from app.cancel.receipts import draw_receipt
from app.cancel.words import ConfirmKind, NoticeKind, OverKind, ResultKind, Wording
from app.core.errors import FieldError
from app.core.money import Money
from app.core.receipt import ReceiptStatus, ReceiptType
from app.web.assets import Assets
from app.web.copy import copy_for
from app.web.formats import formats_for
from app.web.frame import Frame
from app.web.render import Renderer, words
from app.web.theme import Theme, parse_theme
from tests.support.browser import launched

ROOT = Path(__file__).parents[2]
NONCE = "gallery"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (320, 1280)


def day(month: int, of_month: int, year: int = 2026) -> datetime:
    return datetime(year, month, of_month, 14, 3, tzinfo=UTC)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


PRO = sc.Price(usd(2900), "month")
HALF = sc.Price(usd(1450), "month")
LITE = sc.Price(usd(900), "month")
HOME = sc.Link("Back to Northwind Notes", "https://northwind.example/account")
MAIL = sc.Link("help@northwind.example", "mailto:help@northwind.example")
HELP = sc.Link("northwind.example/help", "https://northwind.example/help")
REFERENCE = "LW-7F3K-92QD"
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"

COPY, FORMATS = copy_for("en"), formats_for("en")
WORDING = Wording(COPY, FORMATS, "Northwind Notes")
t = COPY.t


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of the gallery: a screen in a frame."""

    name: str
    screen: sc.Screen
    frame: Frame


def frame(title: str, **changes: object) -> Frame:
    """The frame of a step in the middle of a walk."""
    steps = Frame(
        title=title,
        brand_name="Northwind Notes",
        theme=Theme().css(),
        is_test=True,
        contact_label=MAIL.label,
        contact_href=MAIL.href,
        exit=True,
        back_href="/cancel/s/cs_1/reason",
        csrf_token="token",
        action="/cancel/s/cs_1/step",
    )
    return replace(steps, **changes)


def step(name: str, screen: sc.Screen, **changes: object) -> Shown:
    return Shown(name, screen, frame(screen.title, **changes))


def page(name: str, screen: sc.Screen, **changes: object) -> Shown:
    """A screen outside of the walk: nothing to go back to and nothing to leave."""
    return step(name, screen, **{"exit": False, "back_href": None, **changes})


def wrong(*errors: tuple[str, str]) -> tuple[FieldError, ...]:
    return tuple(FieldError(field, message) for field, message in errors)


# --- Surveys and words --------------------------------------------------------------------------

REASONS = (
    sc.Reason(
        "price",
        "It costs more than it gives me",
        sc.FollowUp(
            "What would be a fair price?",
            (sc.FollowUpOption("half", "About half"), sc.FollowUpOption("third", "A third less")),
        ),
    ),
    sc.Reason("unused", "I do not use it enough", sc.FollowUp("What would have made it part of your week?")),
    sc.Reason("missing", "Something I need is missing", sc.FollowUp("What is missing?", is_required=True)),
    sc.Reason("bugs", "It did not work as it should"),
    sc.Reason("done", "I only needed it for a while"),
)
LEAD = Markup("<p>One answer helps us most.</p>")


def surveys() -> Iterator[Shown]:
    title = t("survey.title")
    survey = sc.Survey(title, REASONS, LEAD)
    yield step("survey", survey, back_href=None)
    yield step("survey-options-open", replace(survey, chosen="price"), back_href=None)
    typed = replace(REASONS[1], follow_up=sc.FollowUp("What would have helped?", answer="A <b>widget</b> 🙂"))
    yield step("survey-text-open", replace(survey, chosen="unused", reasons=(typed, *REASONS[2:])))
    yield step("survey-required", replace(survey, can_skip=False, body=None))
    missing = wrong(("reason", t("errors.reason.missing")))
    yield step("survey-error", replace(survey, can_skip=False), errors=missing)
    short = wrong(("follow_up--missing", t("errors.follow_up.missing")))
    yield step("survey-follow-up-error", replace(survey, chosen="missing"), errors=short)
    unanswered = wrong(("follow_up--price", t("errors.follow_up.unknown")))
    yield step("survey-options-error", replace(survey, chosen="price"), errors=unanswered)
    yield step("survey-notice", survey, notice=t("notice.kept_typing.text"))


def feedbacks() -> Iterator[Shown]:
    feedback = sc.Feedback(t("feedback.title"), Markup("<p>We read every message.</p>"))
    yield step("feedback", feedback)
    yield step(
        "feedback-required",
        replace(feedback, can_skip=False, min_length=20, hint="Two or three sentences are plenty."),
    )
    yield step(
        "feedback-error",
        replace(feedback, text="Too long. " * 60),
        errors=wrong(("feedback", t("errors.feedback.long", count=2000))),
    )


def messages() -> Iterator[Shown]:
    points = ("Shared notebooks become read-only", "Version history older than 30 days", "Offline editing")
    yield step(
        "message",
        sc.Message(
            t("message.title"), Markup("<p>Your notes stay yours. These parts of Pro end:</p>"), points
        ),
    )


# --- Offers -------------------------------------------------------------------------------------


def offer(card: sc.OfferCard, kind: str, **words_: str) -> sc.Offer:
    return sc.Offer(
        title=words_.get("title", t(f"offer.{kind}.title")),
        decision="dec_1",
        card=card,
        accept_label=words_.get("accept", t(f"offer.{kind}.accept", saving="50%")),
        decline_label=t(f"offer.{kind}.decline"),
        body=Markup("<p>{}</p>").format(words_["body"]) if "body" in words_ else None,
    )


def discounts() -> Iterator[Shown]:
    card = sc.DiscountCard(
        "50%",
        "repeating",
        PRO,
        HALF,
        3,
        sc.Charge(day(12, 1), usd(1450)),
        sc.Charge(day(3, 1, 2027), usd(2900)),
    )
    lead = "Everything in Pro stays as it is. You can still cancel at any time."
    yield step(
        "offer-discount", offer(card, "discount", title="Half price while you find your rhythm?", body=lead)
    )
    once = replace(
        card, saving="$5.00", duration="once", months=None, price_after=sc.Price(usd(2400), "month")
    )
    yield step("offer-discount-once", offer(once, "discount", accept="Take $5.00 off"))
    forever = replace(card, duration="forever", months=None, back_to=None)
    yield step("offer-discount-forever", offer(forever, "discount"))
    yield step("offer-discount-plus-tax", offer(replace(card, tax="added"), "discount"))
    yield step("offer-discount-with-tax", offer(replace(card, tax="included"), "discount"))


def pauses() -> Iterator[Shown]:
    options = tuple(sc.PauseOption(str(count), "month", count, day(count, 1, 2027)) for count in (1, 2, 3))
    lead = "Your notes stay where they are."
    card = sc.PauseCard(PRO, options)
    yield step("offer-pause", offer(card, "pause", title="Take a break instead?", body=lead))
    yield step("offer-pause-chosen", offer(replace(card, chosen="2"), "pause", title="Take a break instead?"))
    missing = wrong(("option", t("errors.option.pause")))
    yield step("offer-pause-error", offer(card, "pause"), errors=missing)
    yield step("offer-pause-one", offer(replace(card, options=options[:1]), "pause"))
    pick = sc.PauseCard(PRO, earliest=day(12, 2), latest=day(3, 1, 2027))
    yield step("offer-pause-date", offer(pick, "pause"))
    outside = t("errors.option.date", earliest="2 December 2026", latest="1 March 2027")
    yield step(
        "offer-pause-date-error",
        offer(replace(pick, chosen="2027-08-01"), "pause"),
        errors=wrong(("option", outside)),
    )


def breaks() -> Iterator[Shown]:
    """Pauses of time that is paid for."""
    yearly = sc.Price(usd(29000), "year")
    options = tuple(
        sc.PauseOption(
            f"{count}-months", "month", count, day(count - 1 or 12, 21, year), day(6 + count, 17, 2027)
        )
        for count, year in ((1, 2026), (2, 2027), (3, 2027))
    )
    card = sc.PauseCard(yearly, options, renews_before=day(6, 17, 2027))
    lead = "Your notes stay where they are."
    yield step("offer-break", offer(card, "pause", title="Take a break, and keep your year?", body=lead))
    missing = wrong(("option", t("errors.option.pause")))
    yield step("offer-break-error", offer(card, "pause"), errors=missing)
    yield step("offer-break-one", offer(replace(card, options=options[1:2]), "pause"))
    yield step("offer-break-plain", offer(replace(card, price=None, options=options[:1]), "pause"))


def plan_changes() -> Iterator[Shown]:
    lite = sc.PlanTile(
        "lite", "Lite", LITE, "For a few notes a week", ("500 notes", "Two devices", "Search"), usd(1200)
    )
    basic = sc.PlanTile(
        "basic", "Basic", sc.Price(usd(400), "month"), "To keep what you have", ("100 notes",)
    )
    card = sc.PlanChangeCard("Pro", (lite, basic), PRO, day(12, 1))
    yield step("offer-plan", offer(card, "plan_change", body="You can change back whenever you like."))
    yield step("offer-plan-chosen", offer(replace(card, chosen="lite"), "plan_change"))
    missing = wrong(("option", t("errors.option.plan")))
    yield step("offer-plan-error", offer(card, "plan_change"), errors=missing)
    yield step("offer-plan-one", offer(replace(card, tiles=(lite,)), "plan_change"))
    yield step("offer-plan-plus-tax", offer(replace(card, tax="added"), "plan_change"))


def other_offers() -> Iterator[Shown]:
    trial = sc.TrialExtensionCard(14, day(11, 28), day(12, 12), sc.Charge(day(12, 12), usd(2900)))
    yield step("offer-trial", offer(trial, "trial_extension"))
    contact = sc.ContactCard("A person from our support team", "help@northwind.example", is_email=True)
    lead = "You have two open questions with us. We would like to answer them first."
    yield step("offer-contact", offer(contact, "contact", title="Shall we sort this out?", body=lead))
    web = replace(contact, place="northwind.example/help", is_email=False)
    yield step("offer-contact-web", offer(web, "contact"))
    guide = sc.RedirectCard("Notebooks in ten minutes", "northwind.example/guides")
    yield step("offer-redirect", offer(guide, "redirect"))


def troubles() -> Iterator[Shown]:
    yield step("trouble-retry", sc.Trouble(t("trouble.title"), decision="dec_1"))
    yield step(
        "trouble-final",
        sc.Trouble(t("trouble.title"), "This coupon has run out.", "dec_1", can_retry=False),
    )
    yield page("trouble-back", sc.Trouble(t("trouble.title"), way_on="back"))


# --- The subscription ---------------------------------------------------------------------------


def confirms() -> Iterator[Shown]:
    facts = sc.Facts(plan="Pro", price=PRO, ends_at=day(12, 1), undo_until=day(12, 1))
    losses = ("Shared notebooks become read-only", "Version history older than 30 days")
    kinds: dict[ConfirmKind, sc.Facts] = {
        "period_end": facts,
        "now": sc.Facts(plan="Pro", price=PRO, ends_now=True),
        "trial": replace(facts, price=None),
        "unknown": sc.Facts(plan="Pro", price=PRO),
        "request": sc.Facts(plan="Pro", price=PRO),
    }
    for kind, rows in kinds.items():
        said = WORDING.confirm(kind, rows)
        screen = sc.Confirm(said.title, said.lead, rows, is_request=kind == "request")
        yield step(f"confirm-{kind}", screen, exit=False)
    said = WORDING.confirm("period_end", facts)
    full = sc.Confirm(
        said.title,
        said.lead,
        facts,
        losses=losses,
        acknowledge="I understand that shared notebooks become read-only",
    )
    yield step("confirm-full", full, exit=False)
    missing = wrong(("acknowledge", t("errors.acknowledge.missing")))
    yield step("confirm-error", full, exit=False, errors=missing)


def subscriptions() -> Iterator[Shown]:
    chooser = sc.Chooser(
        t("choose.title"),
        (
            sc.SubscriptionChoice("sub_1", "Pro", PRO, "renews", day(12, 1)),
            sc.SubscriptionChoice(
                "sub_2", "Team, 5 seats", sc.Price(usd(58000), "year"), "trial", day(12, 12)
            ),
            sc.SubscriptionChoice(
                "sub_3", "Archive", sc.Price(usd(300), "month", 3), "ends", day(1, 1, 2027)
            ),
            sc.SubscriptionChoice("sub_4", "Lite", LITE, "paused"),
        ),
    )
    yield step("choose", chooser, back_href=None)
    missing = wrong(("subscription", t("errors.subscription.missing")))
    yield step("choose-error", chooser, back_href=None, errors=missing)
    facts = sc.Facts(plan="Pro", price=PRO, ends_at=day(12, 1))
    title = t("scheduled.title", day=FORMATS.short_day(day(12, 1)))
    yield page("scheduled", sc.Scheduled(title, facts, day(12, 1), return_link=HOME))
    yield page("scheduled-fixed", sc.Scheduled(title, facts, day(12, 1), can_uncancel=False))
    rows = sc.Facts(plan="Pro", price=PRO, resumes_at=day(2, 1, 2027))
    yield page("paused", sc.Paused(t("paused.title"), rows, day(2, 1, 2027)))
    yield page("paused-open", sc.Paused(t("paused.title"), sc.Facts(plan="Pro"), can_resume=False))


# --- While and after ----------------------------------------------------------------------------


def workings() -> Iterator[Shown]:
    for what in get_args(sc.Working.__annotations__["what"]):
        yield page(f"working-{what}", sc.Working(t("working.title"), what), refresh_seconds=5)


def results() -> Iterator[Shown]:
    ends = sc.Facts(plan="Pro", ends_at=day(12, 1), done_at=day(11, 21), reference=REFERENCE)
    asked = sc.Facts(plan="Pro", requested_at=day(11, 21), reference=REFERENCE)
    charge = sc.Charge(day(12, 1), usd(1450))
    rows: dict[ResultKind, sc.Facts] = {
        "canceled": ends,
        "canceled_now": replace(ends, ends_at=None),
        "canceled_requested": asked,
        "discount_accepted": sc.Facts(
            "Pro", price=HALF, next_charge=charge, back_to=sc.Charge(day(3, 1, 2027), usd(2900))
        ),
        "pause_accepted": sc.Facts("Pro", resumes_at=day(2, 1, 2027)),
        "pause_of_paid_time": sc.Facts(
            "Pro yearly",
            next_charge=sc.Charge(day(8, 17, 2027), usd(29000)),
            renews_before=day(6, 17, 2027),
            renews_at=day(8, 17, 2027),
            resumes_at=day(1, 21, 2027),
            done_at=day(11, 21),
            reference=REFERENCE,
        ),
        "plan_switched": sc.Facts(new_plan="Lite", price=LITE, next_charge=sc.Charge(day(12, 1), usd(900))),
        "trial_extended": sc.Facts(
            "Pro", trial_ends_at=day(12, 12), next_charge=sc.Charge(day(12, 12), usd(2900))
        ),
        "uncanceled": sc.Facts("Pro", price=PRO, next_charge=sc.Charge(day(12, 1), usd(2900))),
        "resumed": sc.Facts("Pro", price=PRO, next_charge=sc.Charge(day(11, 21), usd(2900))),
        "manual_cancellation_requested": asked,
        "cancel_already_scheduled": ends,
    }
    tones: dict[ResultKind, Literal["done", "waiting", "plain"]] = {
        "canceled_requested": "waiting",
        "manual_cancellation_requested": "waiting",
        "support_requested": "plain",
        "redirected": "plain",
        "dismissed": "plain",
        "expired": "plain",
        "kept": "plain",
    }
    onward = {"support_requested": sc.Link("Write to help@northwind.example", MAIL.href), "redirected": HELP}
    for kind in get_args(ResultKind):
        facts = rows.get(kind, sc.Facts())
        said = WORDING.result(kind, facts)
        screen = sc.Result(
            said.title,
            said.lead,
            tones.get(kind, "done"),
            facts,
            onward.get(kind),
            HOME,
            can_uncancel=kind == "canceled",
            proof=sc.Proof("/cancel/receipts/x", "d•••@example.com") if facts.reference else None,
        )
        yield page(f"result-{kind}", screen)


def notices() -> Iterator[Shown]:
    for kind in get_args(NoticeKind):
        said = WORDING.notice(kind)
        yield page(f"notice-{kind}", sc.Notice(said.title, said.lead, (MAIL, HELP), HOME), contact_href=None)
    said = WORDING.notice("nothing_found")
    ways = (sc.Link(t("entry.again"), "/cancel/app_1"), sc.Link(t("entry.request"), "/cancel/r/app_1"))
    yield page("notice-ways", sc.Notice(said.title, said.lead, (MAIL, HELP), ways=ways), contact_href=None)
    said = Wording(COPY, FORMATS, "").notice("link_unknown")
    yield Shown("notice-nobody", sc.Notice(said.title, said.lead), Frame(said.title))
    yield page("idle", sc.Idle(t("idle.title")))
    landing = {"action": "/cancel/cl_token", "csrf_token": None, "contact_href": None}
    yield page("landing", sc.Landing(t("landing.title")), **landing)


# --- Without a usable link ----------------------------------------------------------------------

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
ADDRESS = "ada.lovelace@example.com"


def entries() -> Iterator[Shown]:
    at = {"action": "/cancel/app_1"}
    entry = sc.Entry(t("entry.title"), t("entry.way"), "/cancel/r/app_1")
    yield page("entry", entry, **at)
    yield page("entry-filled", replace(entry, email=ADDRESS), **at)
    invalid = wrong(("email", t("errors.email.invalid")))
    yield page("entry-error", replace(entry, email="ada.lovelace"), errors=invalid, **at)
    held = wrong(("email", t("errors.email.wait", wait=WORDING.wait(40))))
    yield page("entry-held", replace(entry, email=ADDRESS, is_held=True), errors=held, **at)
    yield page("entry-blocked", replace(entry, email=ADDRESS), notice=t("entry.blocked"), **at)
    for kind in get_args(OverKind):
        said = WORDING.over(kind, "entry")
        after = sc.Entry(said.title, said.lead, "/cancel/r/app_1", link="lnk.signed", return_link=HOME)
        yield page(f"entry-{kind}", after, **at)
        said = WORDING.over(kind, "request")
        off = sc.Request(said.title, said.lead, contacts=(MAIL, HELP), return_link=HOME)
        yield page(f"request-{kind}", off, contact_href=None, action="/cancel/r/app_1")


def codes() -> Iterator[Shown]:
    at = {"action": "/cancel/v/ver_1"}
    for state in get_args(sc.CodeEntry.__annotations__["state"]):
        wait = WORDING.wait(2_200 if state == "limited" else 40)
        screen = sc.CodeEntry(
            t(f"code.{state}.title"), state, ADDRESS, 10, "/cancel/app_1", "/cancel/r/app_1", wait=wait
        )
        yield page(f"code-{state}", screen, **at)
    code = sc.CodeEntry(
        t("code.sent.title"), "sent", ADDRESS, 10, "/cancel/app_1", "/cancel/r/app_1", typed="123 456"
    )
    yield page("code-error", code, errors=wrong(("code", t("errors.code.wrong", count=4))), **at)
    yield page("code-stale", code, notice=t("notice.kept_typing.text"), **at)
    yield page("code-long", replace(code, address=f"{'ada.lovelace.' * 4}x@{LONG.lower()}.example"), **at)
    yield page("proven", sc.Proven(t("proven.title")), **at)
    accounts = sc.Chooser(
        t("choose.title"),
        (
            sc.SubscriptionChoice("0.0", "Pro", PRO, "renews", day(12, 1), "Ada Lovelace’s account"),
            sc.SubscriptionChoice("0.1", "Archive", LITE, "paused", account="Ada Lovelace’s account"),
            sc.SubscriptionChoice("1.0", "Team, 5 seats", PRO, "trial", day(12, 12), "Account 2"),
        ),
    )
    yield page("choose-account", accounts, **at)


def requests() -> Iterator[Shown]:
    at = {"action": "/cancel/r/app_1"}
    brand = "Northwind Notes"
    request = sc.Request(
        t("request.title"), t("request.lead", brand=brand), ADDRESS, entry_href="/cancel/app_1"
    )
    yield page("request", replace(request, email=""), **at)
    both = wrong(("email", t("errors.email.missing")), ("note", t("errors.note.long", count=2000)))
    yield page("request-error", replace(request, email="", note="Too long. " * 40), errors=both, **at)
    held = wrong(("email", t("errors.request.wait", wait=WORDING.wait(7_000))))
    yield page("request-held", replace(request, note="Please end my plan."), errors=held, **at)
    off = sc.Request(
        t("request.off.title", brand=brand),
        t("request.off.lead", brand=brand),
        contacts=(MAIL, HELP),
        return_link=HOME,
    )
    yield page("request-off", off, contact_href=None, **at)
    rows = sc.Facts(requested_at=day(11, 21), reference=REFERENCE)
    done = sc.Result(
        t("request.done.title", brand=brand),
        t("request.done.lead"),
        "waiting",
        rows,
        return_link=HOME,
        proof=sc.Proof("/cancel/receipts/x"),
    )
    yield page("request-done", done)


# --- In writing -------------------------------------------------------------------------------


def receipt(kind: str, status: str, **changes: Any) -> dict[str, Any]:
    """A receipt's content: of a Pro subscription, to a customer in Berlin."""
    is_done = status == "confirmed"
    content: dict[str, Any] = {
        "version": 1,
        "id": "rcp_4be1c07ad3f2956e8b1d40c7",
        "reference": REFERENCE,
        "type": kind,
        "status": status,
        "merchant": {
            "name": "Northwind Notes",
            "appId": "app_test_1",
            "mode": "test",
            "email": MAIL.label,
            "url": HELP.href,
        },
        "sessionId": "cs_7f3c92ad18e04b56c3d2f1a9",
        "customerId": "cus_ben",
        "email": None,
        "subscriptionId": "sub_ben_pro",
        "locale": "en",
        "timeZone": "Europe/Berlin",
        "requestedAt": "2026-11-21T14:03:07Z",
        "confirmedAt": "2026-11-21T14:03:09Z" if is_done else None,
        "issuedAt": "2026-11-21T14:03:09Z",
        "plan": "Pro",
        "facts": {
            "newPlan": None,
            "priceBefore": None,
            "price": None,
            "nextCharge": None,
            "backTo": None,
            "renewsBefore": None,
            "renewsAt": None,
            "tax": None,
            "resumesAt": None,
            "trialEndsAt": None,
            "endsAt": None,
            "endsNow": False,
        },
        "offer": None,
        "undoUntil": None,
        "providerReference": "re_58813" if is_done else None,
        "flowVersion": "flv_1",
        "reasons": [],
    }
    facts = {**content["facts"], **changes.pop("facts", {})}
    return {**content, "facts": facts, **changes}


def price_wire(minor: int) -> dict[str, Any]:
    return {"amount": minor, "currency": "USD", "interval": "month", "intervalCount": 1}


def charge_wire(at: str, minor: int) -> dict[str, Any]:
    return {"at": at, "amount": minor, "currency": "USD"}


def shown_offer(kind: str, headline: str, body: str | None = None) -> dict[str, Any]:
    return {
        "id": kind,
        "decisionId": "dec_1",
        "kind": kind,
        "headline": headline,
        "body": body,
        "option": None,
    }


ENDS = {"facts": {"endsAt": "2026-12-01T23:30:00Z"}}
HALVED = {
    "facts": {
        "priceBefore": price_wire(2900),
        "price": price_wire(1450),
        "nextCharge": charge_wire("2026-12-01T23:30:00Z", 1450),
        "backTo": charge_wire("2027-03-01T23:30:00Z", 2900),
    },
    "offer": shown_offer(
        "discount",
        "Half price while you find your rhythm?",
        "<p>Everything in Pro stays as it is. <b>50% off</b> for three months, then the price you have now.</p>",
    ),
}
LIGHTER = {
    "facts": {
        "newPlan": "Lite",
        "priceBefore": price_wire(2900),
        "price": price_wire(900),
        "nextCharge": charge_wire("2026-12-01T23:30:00Z", 900),
    },
    "offer": shown_offer("plan_change", "Would a smaller plan do?"),
}
LONGER = {
    "facts": {
        "trialEndsAt": "2026-12-12T14:00:00Z",
        "nextCharge": charge_wire("2026-12-12T14:00:00Z", 2900),
    },
    "offer": shown_offer("trial_extension", "Would more time help?"),
}
BREAK = {
    "facts": {"resumesAt": "2027-02-01T00:00:00Z"},
    "offer": shown_offer("pause", "Take a break instead?", "Your notes stay where they are."),
}
MOVED = {
    "plan": "Pro yearly",
    "facts": {
        "nextCharge": charge_wire("2027-08-17T23:30:00Z", 29000),
        "renewsBefore": "2027-06-17T23:30:00Z",
        "renewsAt": "2027-08-17T23:30:00Z",
        "resumesAt": "2027-01-21T14:03:00Z",
    },
    "offer": shown_offer("pause", "Take a break, and keep your year?", "Your notes stay where they are."),
}
GOES_ON = {"facts": {"price": price_wire(2900), "nextCharge": charge_wire("2026-12-01T23:30:00Z", 2900)}}
# What a receipt of each type says beside its times: done, and not done.
RECEIPTS: dict[ReceiptType, tuple[dict[str, Any], dict[str, Any]]] = {
    ReceiptType.CANCELLATION: (ENDS, ENDS),
    ReceiptType.CANCELLATION_REQUEST: ({}, {"reasons": ["several_items"]}),
    ReceiptType.DISCOUNT: (HALVED, HALVED),
    ReceiptType.PAUSE: (BREAK, BREAK),
    ReceiptType.PLAN_CHANGE: (LIGHTER, LIGHTER),
    ReceiptType.TRIAL_EXTENSION: (LONGER, LONGER),
    ReceiptType.UNCANCEL: (GOES_ON, {}),
    ReceiptType.RESUME: (GOES_ON, {}),
}


def on_receipt(
    name: str, content: dict[str, Any], *, is_signed: bool = True, can_undo: bool = False, **frame_: Any
) -> Shown:
    screen = draw_receipt(
        content,
        file_href="/cancel/receipts/rcp_1.token/receipt.json" if is_signed else None,
        key_id="rk_0d7be25fa19c4478e3b6502c" if is_signed else None,
        can_undo=can_undo,
    )
    given = {"action": "/cancel/receipts/rcp_1.token", "csrf_token": None, **frame_}
    outside = frame(t("receipt.page_title", title=screen.title), exit=False, back_href=None, **given)
    return Shown(f"receipt-{name}", screen, outside)


def receipts() -> Iterator[Shown]:
    for kind, said in RECEIPTS.items():
        for status in ReceiptStatus:
            content = receipt(kind, status, **said[status is not ReceiptStatus.CONFIRMED])
            yield on_receipt(f"{kind}-{status}", content)
    for status in ReceiptStatus:
        yield on_receipt(f"break-{status}", receipt("pause", status, **MOVED))
    taxed = {**HALVED, "facts": {**HALVED["facts"], "tax": "added"}}
    yield on_receipt("plus-tax", receipt("discount", "confirmed", **taxed))
    ends = receipt("cancellation", "confirmed", **ENDS, undoUntil="2026-12-01T23:30:00Z")
    yield on_receipt("undo", ends, can_undo=True)
    yield on_receipt("undo-refused", ends, notice=t("receipt.nothing_to_undo"))
    yield on_receipt("undone", ends, notice=t("receipt.undone"))
    yield on_receipt("over", receipt("cancellation", "confirmed", facts={"endsNow": True}))
    yield on_receipt("at-once", receipt("cancellation", "requested", facts={"endsNow": True}))
    yield on_receipt("utc", {**ends, "timeZone": None})
    yield on_receipt("unsigned", ends, is_signed=False)
    unknown = dict.fromkeys(("customerId", "subscriptionId", "sessionId", "plan", "timeZone"))
    left = receipt("cancellation_request", "requested", **unknown, email="ada.lovelace@example.com")
    yield on_receipt("unverified", left)
    merchant = {**ends["merchant"], "name": f"{LONG} GmbH", "email": f"hilfe@{LONG.lower()}.example"}
    long = {"plan": LONG, "merchant": merchant, "customerId": LONG * 3}
    yield on_receipt("long", {**ends, **long}, brand_name=f"{LONG} GmbH")
    said = t("receipt.unknown.title"), t("receipt.unknown.lead")
    yield Shown("receipt-unknown", sc.Notice(*said), Frame(said[0]))


# --- Looks --------------------------------------------------------------------------------------


def looks() -> Iterator[Shown]:
    """The same screens under other themes, with long words, and from right to left."""
    brand = f"{LONG} GmbH & Co. KG"
    long_reasons = tuple(replace(r, label=f"{r.label}: {LONG}") for r in REASONS)
    survey = sc.Survey(f"Warum möchten Sie die {LONG} verlassen?", long_reasons, chosen="missing")
    yield step("look-long", survey, brand_name=brand, contact_label=f"hilfe@{LONG.lower()}.example")
    facts = sc.Facts(plan=LONG, price=sc.Price(Money(123456789, "EUR"), "month", 3), ends_at=day(12, 1))
    said = WORDING.confirm("period_end", facts)
    yield step(
        "look-long-confirm", sc.Confirm(said.title, said.lead, facts, acknowledge=LONG), brand_name=brand
    )
    card = sc.DiscountCard("50%", "repeating", PRO, HALF, 3, sc.Charge(day(12, 1), usd(1450)))
    for name, theme in {
        "pale": {"brand": "#ffe600", "radius": 4, "font": "geometric"},
        "ink": {"brand": "#111111", "radius": 0, "font": "serif"},
        "green": {"brand": "#0a7c4a", "radius": 24, "font": "rounded"},
    }.items():
        look = parse_theme(theme).css()
        yield step(f"look-{name}-offer", offer(card, "discount"), theme=look)
        yield step(f"look-{name}-survey", sc.Survey(t("survey.title"), REASONS, LEAD, "unused"), theme=look)
    yield step("look-rtl", sc.Survey(t("survey.title"), REASONS, LEAD, "unused"), direction="rtl", lang="ar")
    yield step("look-rtl-offer", offer(card, "discount"), direction="rtl", lang="ar", logo_url="/logo.svg")


ROOMS: tuple[Callable[[], Iterator[Shown]], ...] = (
    surveys,
    feedbacks,
    messages,
    discounts,
    pauses,
    breaks,
    plan_changes,
    other_offers,
    troubles,
    confirms,
    subscriptions,
    workings,
    results,
    notices,
    entries,
    codes,
    requests,
    receipts,
    looks,
)
GALLERY = {shown.name: shown for room in ROOMS for shown in room()}


@lru_cache(maxsize=1)
def renderer() -> Renderer:
    return Renderer(FileSystemLoader(ROOT / "templates"), Assets(ROOT / "static"))


def render(shown: Shown, template: str = "cancel/show.html", *, locale: str = "en") -> str:
    """Return the whole page, or with `cancel/_fragment.html` what htmx gets."""
    context = {**words(locale), "nonce": NONCE, "frame": shown.frame, "s": shown.screen}
    return renderer().template(template).render(context)


def write(folder: Path, shown: list[Shown]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        for scheme, width in product(SCHEMES, WIDTHS):
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 800}, java_script_enabled=False
            )
            tab = context.new_page()
            for picture in shown:
                (folder / f"{picture.name}.html").write_text(render(picture), "utf-8")
                tab.set_content(render(picture))
                tab.screenshot(path=folder / f"{picture.name}-{scheme}-{width}.png", full_page=True)
            context.close()


if __name__ == "__main__":
    beginnings = tuple(sys.argv[2:]) or ("",)
    write(Path(sys.argv[1]), [picture for name, picture in GALLERY.items() if name.startswith(beginnings)])
