"""The walk over HTTP: without JavaScript, and as htmx fetches it."""

import re
from pathlib import Path

import pytest

from app.core.state import OfferStatus
from app.db.database import Database
from tests.support.clock import FakeClock
from tests.support.desk import FLOW, BillingServer, Desk, desk_of, root_of
from tests.support.pages import FROM_A_PAGE, FROM_US, Page, Visitor

both_ways = pytest.mark.parametrize("partial", [False, True], ids=["whole pages", "htmx"])


@both_ways
async def test_a_customer_walks_to_the_end(desk: Desk, partial: bool) -> None:
    visit = desk.visitor
    page = await desk.enter()
    page = await visit.submit(page, "Continue", {"reason": "other"}, partial=partial)
    assert page.h1 == "What ends"
    page = await visit.submit(page, "Continue", partial=partial)
    assert page.h1 == "Anything else?"
    page = await visit.submit(page, "Continue", {"feedback": "Thank you"}, partial=partial)
    assert page.buttons == ["Cancel my subscription", "Keep my subscription"]
    page = await visit.submit(page, "Cancel my subscription", partial=partial)
    assert page.h1 == "Your subscription is canceled"
    assert desk.billed() == ["cancel"]
    assert desk.session().outcome == "canceled"


async def test_htmx_gets_the_screen_alone_and_back_gets_the_page(desk: Desk) -> None:
    page = await desk.enter()
    part = await desk.visitor.open(page.url, headers=FROM_US, partial=True)
    assert part.root.all("html", "style", "script") == []
    assert (part.h1, part.title, part.buttons) == (page.h1, page.title, page.buttons)
    for header in ("HX-Request", "HX-Boosted"):  # only the type tells a fragment from a page
        whole = await desk.visitor.client.get(page.url, headers={header: "true"})
        assert whole.text.startswith("<!doctype html>")
    assert "HX-Request-Type" in part.response.headers["vary"]


@both_ways
async def test_the_back_link_leads_back_and_the_answer_is_still_there(desk: Desk, partial: bool) -> None:
    visit = desk.visitor
    page = await visit.submit(
        await desk.enter(), "Continue", {"reason": "broken", "follow_up--broken": "It is <slow>\n& bad"}
    )
    page = await visit.follow(page, "Back", partial=partial)
    assert page.value("reason") == "broken"
    assert page.value("follow_up--broken") == "It is <slow>\r\n& bad"
    assert "Back" not in page.links  # the first step
    page = await visit.submit(page, "Continue", {"reason": "other"}, partial=partial)
    assert page.h1 == "What ends"
    (answer,) = desk.session().state["answers"].values()
    assert answer["reason"] == "other"


async def test_an_offer_that_was_declined_can_be_taken_after_going_back(desk: Desk) -> None:
    visit = desk.visitor
    page = await desk.at_offer("price")
    page = await visit.submit(page, "No, continue to cancel")
    assert page.h1 == "What ends"
    page = await visit.submit(await visit.follow(page, "Back"), "Take 50% off")
    assert page.h1 == "Your discount is in place"
    assert desk.billed() == ["discount"]


async def test_a_later_step_by_its_address_leads_to_the_one_that_is_due(desk: Desk) -> None:
    page = await desk.enter()
    for step in ("what-ends", "anything-else", "confirm", "done", "why.offer", "working", "nothing"):
        later = await desk.visitor.open(f"{root_of(page)}/{step}", headers=FROM_US)
        assert later.h1 == page.h1, step
        assert later.path == page.path
    assert desk.session().state["answers"] == {}


async def test_a_finished_session_shows_its_result_on_every_address(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Keep my subscription")
    root = root_of(page)
    for step in ("", "/why", "/confirm", "/done", "/nothing", "/resume-session"):
        assert (await desk.visitor.open(root + step, headers=FROM_US)).h1 == "Your subscription goes on"


@both_ways
async def test_cancel_now_is_on_every_step_and_keeps_what_was_typed(desk: Desk, partial: bool) -> None:
    visit = desk.visitor
    page = await desk.enter()
    seen = []
    for button, fields in (
        ("Continue", {"reason": "price"}),
        ("No, continue to cancel", {}),
        ("Continue", {}),
    ):
        assert "Cancel now" in page.buttons
        seen.append(page.h1)
        page = await visit.submit(page, button, fields, partial=partial)
    assert page.h1 == "Anything else?"
    page = await visit.submit(page, "Cancel now", {"feedback": "half a sen"}, partial=partial)
    assert page.buttons == ["Cancel my subscription", "Keep my subscription"]  # no third way out of two
    assert desk.session().state["answers"]["anything-else"]["text"] == "half a sen"
    assert len(seen) == 3


async def test_cancel_now_on_the_survey_keeps_the_reason_and_skips_the_offer(desk: Desk) -> None:
    page = await desk.visitor.submit(
        await desk.enter(), "Cancel now", {"reason": "missing", "follow_up--missing": "x"}
    )
    assert page.path.endswith("/confirm")
    answer = desk.session().state["answers"]["why"]
    assert (answer["reason"], answer["follow_up"]) == ("missing", "x")  # too short for *Continue*, kept here
    back = await desk.visitor.follow(page, "Back")
    assert back.value("follow_up--missing") == "x"
    assert desk.offers() == []


@pytest.mark.parametrize("reason", ["price", "unused", "missing", "broken", "too-big"])
async def test_cancel_now_leads_past_every_offer(desk: Desk, reason: str) -> None:
    page = await desk.visitor.submit(
        await desk.enter(),
        "Continue",
        {"reason": reason} | ({"follow_up--missing": "a map"} if reason == "missing" else {}),
    )
    assert desk.offers()[0].status == OfferStatus.PRESENTED
    page = await desk.visitor.submit(page, "Cancel now")
    page = await desk.visitor.submit(page, "Cancel my subscription")
    assert page.h1 == "Your subscription is canceled"
    assert desk.billed() == ["cancel"]


@pytest.mark.parametrize(
    ("policy", "customer", "is_shown"),
    [
        ("always", "cus_farah", True),
        ("regulated", "cus_ben", True),
        ("regulated", "cus_dana", True),
        ("regulated", "cus_elsewhere", False),
    ],
)
async def test_where_the_exit_stands_is_the_merchants_choice_within_the_law(
    desk: Desk, policy: str, customer: str, is_shown: bool
) -> None:
    desk.merchant.change(exit_policy=policy)
    if customer == "cus_elsewhere":
        _move(desk, "cus_ben", "JP")
        customer = "cus_ben"
    page = await desk.enter(customer)
    assert ("Cancel now" in page.buttons) == is_shown


async def test_the_exit_works_even_where_it_is_not_shown(desk: Desk) -> None:
    desk.merchant.change(exit_policy="regulated")
    _move(desk, "cus_ben", "JP")
    page = await desk.enter()
    answer = await _press(desk.visitor, page, "cancel_now")
    assert answer.headers["location"].endswith("/confirm")


async def test_an_unknown_country_counts_as_regulated(desk: Desk) -> None:
    desk.merchant.change(exit_policy="regulated")
    desk.break_billing()
    assert "Cancel now" in (await desk.enter()).buttons


# --- More than one subscription; states of one ----------------------------------------------------------------------


@both_ways
async def test_several_subscriptions_are_chosen_from(desk: Desk, partial: bool) -> None:
    page = await desk.enter("cus_emil")
    assert page.h1 == "Which subscription do you want to cancel?"
    assert "Northwind Publish" in page.text
    page = await desk.visitor.submit(page, "Continue", status=422, partial=partial)
    assert "Choose the subscription you want to cancel" in page.text
    page = await desk.visitor.submit(page, "Continue", {"subscription": "sub_emil_publish"}, partial=partial)
    assert page.h1 == "Why do you want to leave?"
    page = await desk.visitor.submit(page, "Cancel now", partial=partial)
    page = await desk.visitor.submit(page, "Cancel my subscription", partial=partial)
    assert (desk.billed("sub_emil_publish"), desk.billed("sub_emil_pro")) == (["cancel"], [])
    assert "Northwind Publish stays on until" in page.text


async def test_a_link_for_one_subscription_asks_nothing(desk: Desk) -> None:
    page = await desk.enter("cus_emil", subscription_id="sub_emil_publish")
    assert page.h1 == "Why do you want to leave?"
    assert desk.session().subscription_id == "sub_emil_publish"


async def test_a_subscription_of_somebody_else_is_not_taken(desk: Desk) -> None:
    page = await desk.enter("cus_emil", subscription_id="sub_ben_pro")
    assert page.h1 == "Which subscription do you want to cancel?"
    answer = await _press(desk.visitor, page, "choose", subscription="sub_ben_pro")
    assert answer.status_code == 422
    assert desk.session().subscription_id != "sub_ben_pro"


async def test_an_end_that_is_scheduled_already_can_be_kept_or_undone(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    page = await desk.enter()
    assert page.h1.startswith("Your subscription already ends on ")
    assert _written(desk.subscription()["end"]) in page.h1
    page = await desk.visitor.submit(page, "Keep my subscription")
    assert page.h1 == "Your subscription goes on"
    assert "The cancellation is undone" in page.text
    assert "end" not in desk.subscription()
    assert desk.billed() == ["cancel", "uncancel"]


async def test_a_cancellation_can_be_undone_from_its_result(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    page = await desk.visitor.submit(page, "Keep my subscription after all")
    assert page.h1 == "Your subscription goes on"
    assert desk.billed() == ["cancel", "uncancel"]
    assert desk.session().outcome == "uncanceled"


async def test_a_pause_of_ours_can_be_ended_at_once(desk: Desk) -> None:
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    page = await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    assert page.h1 == "Your subscription is paused"
    resumes = desk.subscription()["status"]["pause"]["end"]
    assert _written(resumes) in page.text
    page = await desk.enter()
    assert page.h1 == "Your subscription is paused"
    assert _written(resumes) in page.text
    paid_until = desk.subscription()["status"]["currentPeriod"]["end"]
    assert re.search(rf"your next charge is on \w+, {_written(paid_until)}\.", page.text)
    page = await desk.visitor.submit(page, "Resume now")
    assert page.h1 == "Your subscription is running again"
    assert desk.subscription()["status"]["name"] == "active"


async def test_who_has_nothing_paid_for_any_more_is_told_that_resuming_costs(desk: Desk) -> None:
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    desk.clock.advance(days=25)
    page = await desk.enter()
    assert page.h1 == "Your subscription is paused"
    assert "you may be charged for it at once" in page.text


async def test_a_pause_of_ours_does_not_stand_in_the_way_of_cancelling(desk: Desk) -> None:
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    page = await desk.visitor.submit(await desk.enter(), "Continue to cancel")
    assert page.h1 == "Why do you want to leave?"
    page = await desk.visitor.submit(page, "Cancel now")
    page = await desk.visitor.submit(page, "Cancel my subscription")
    assert page.h1 == "Your subscription is canceled"


async def test_a_customer_without_a_subscription_is_told_so(desk: Desk) -> None:
    page = await desk.enter("cus_nobody")
    assert page.h1 == "There is nothing to cancel"
    assert "Back to Northwind Notes" in page.links


async def test_a_change_that_was_refused_leaves_two_ways_on(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.store.act("test", "sub_ben_pro", "cancel", {"timing": "now"}, "elsewhere", desk.clock.now())
    page = await desk.visitor.submit(page, "Take 50% off")
    assert page.h1 == "That did not work"
    assert desk.billed() == ["cancel"]
    assert desk.offers()[0].status == OfferStatus.FAILED
    page = await desk.visitor.submit(page, "Continue to cancel")
    assert page.h1 == "What ends"


async def test_a_cancellation_the_merchant_must_carry_out_is_never_called_done(desk: Desk) -> None:
    (subscription,) = desk.store.list_subscriptions("test", "cus_ben", desk.clock.now())
    item = subscription["items"][0]
    subscription["items"] = [item, {**item, "id": "another"}]
    customer = desk.store.find_customer("test", "cus_ben")
    assert customer is not None
    desk.store.put_customer("test", customer, [subscription])
    page = await desk.at_offer("price")
    assert page.h1 == "What ends"  # nothing is offered that could not be carried out
    page = await desk.visitor.submit(page, "Cancel now")
    assert "Sending it does not cancel yet" in page.text
    page = await desk.visitor.submit(page, "Request cancellation")
    assert page.h1 == "We have your cancellation request"
    assert "is canceled" not in page.text
    assert (desk.session().outcome, desk.effects()) == ("manual_cancellation_requested", [])
    assert desk.told()[-2:] == ["cancellation.manual_required", "session.completed"]


async def test_a_subscription_that_ended_elsewhere_meanwhile_is_not_cancelled_again(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.store.act("test", "sub_ben_pro", "cancel", {"timing": "now"}, "elsewhere", desk.clock.now())
    page = await desk.visitor.submit(page, "Cancel my subscription")
    assert page.h1 == "Your subscription is canceled"
    assert desk.billed() == ["cancel"]
    assert desk.subscription()["status"]["name"] == "canceled"


# --- The look of it -------------------------------------------------------------------------------------------------


async def test_a_test_environment_says_so(desk: Desk) -> None:
    assert "TEST" in (await desk.enter()).text
    assert desk.session().mode == "test"


async def test_the_merchants_colours_are_in_the_page(desk: Desk) -> None:
    desk.merchant.change(theme={"brand": "#7a1fa2", "scheme": "dark"})
    page = await desk.enter()
    assert page.root.all("html")[0]["data-scheme"] == "dark"
    assert "--brand:#7a1fa2" in page.root.all("style")[0].raw_text


async def test_a_theme_that_is_not_valid_any_more_stops_nobody(desk: Desk) -> None:
    desk.merchant.change(theme={"brand": "red;}</style><script>", "gone": 1})
    page = await desk.enter()
    assert page.h1 == "Why do you want to leave?"
    assert "<script>" not in page.root.all("style")[0].raw_text


async def test_figures_follow_the_links_locale_and_words_stay_english(desk: Desk) -> None:
    page = await desk.at_offer("price", locale="de")
    assert page.root.all("html")[0]["lang"] == "en"
    assert "29,00\N{NO-BREAK SPACE}$" in page.root.all("main")[0].raw_text.replace(
        "&nbsp;", "\N{NO-BREAK SPACE}"
    )
    assert re.search(r"\d+ (November|December) 2026", page.text)
    assert desk.session().locale == "de"


async def test_the_browsers_language_decides_where_the_link_says_nothing(desk: Desk) -> None:
    page = await desk.visitor.open(
        desk.merchant.mint("cus_ben"), headers={**FROM_A_PAGE, "Accept-Language": "sw, en-US;q=0.8"}
    )
    assert page.root.all("html")[0]["lang"] == "en-US"


async def test_merge_fields_are_filled_in_and_escaped(desk: Desk) -> None:
    page = await desk.enter(attributes={"plan": "<b>Pro</b> & more"})
    page = await desk.visitor.submit(page, "Continue", {"reason": "other"})
    assert "Your <b>Pro</b> & more stays yours" in page.text
    assert "<b>Pro</b>" not in page.response.text


async def test_rules_see_the_mints_attributes_and_never_the_browser(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> None:
    rule = "when: { attribute: secretTier, op: eq, value: gold-7731 }, "
    text = FLOW.replace("kind: discount, id: half-price,", f"kind: discount, id: half-price, {rule}")
    assert rule in text
    async with desk_of(database, clock, tmp_path, billing_server, flow_text=text) as desk:
        page = await desk.at_offer("price", attributes={"secretTier": "gold-7731"})
        assert "Take 50% off" in page.buttons
        assert "gold-7731" not in page.response.text
        page = await desk.at_offer("price", attributes={"secretTier": "silver"})
        assert page.h1 == "What ends"


def _move(desk: Desk, customer: str, country: str) -> None:
    document = desk.store.find_customer("test", customer)
    assert document is not None
    document["addresses"] = [{"country": country}]
    desk.store.put_customer(
        "test", document, desk.store.list_subscriptions("test", customer, desk.clock.now())
    )


async def _press(visitor: Visitor, page: Page, action: str, **fields: str):
    form = page.by_id("step")
    token = str(page.value("csrf_token"))
    return await visitor.client.post(
        form["action"],
        data={"csrf_token": token, "action": action, **fields},
        headers=FROM_US,
        follow_redirects=False,
    )


def _written(moment: str) -> str:
    """`1 December 2026` of an ISO date."""
    year, month, day = moment[:10].split("-")
    names = {"11": "November", "12": "December", "01": "January", "02": "February"}
    return f"{int(day)} {names[month]} {year}"
