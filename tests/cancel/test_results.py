"""How each way through ends: the page against what the billing service really holds, and the signed way back."""

import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.codes import Mailbox
from tests.support.desk import Desk, root_of
from tests.support.html import Element
from tests.support.pages import FROM_US, Page
from tests.support.press import press

BILLING_DOWN = "We have your cancellation"


def facts(page: Page) -> dict[str, str]:
    """The summary, as it is read."""
    keys, values = page.root.all("dt"), page.root.all("dd")
    return {key.text: value.text for key, value in zip(keys, values, strict=True)}


def written(moment: str) -> str:
    """`Monday, 30 November 2026` of an ISO date."""
    day = datetime.fromisoformat(moment)
    return f"{day:%A}, {day.day} {day:%B} {day.year}"


def short(moment: str) -> str:
    return written(moment).partition(", ")[2]


def options(page: Page) -> list[Element]:
    return [element for element in page.root.all("input") if element["name"] == "option"]


def row_of(desk: Desk) -> tuple[str, str | None]:
    row = desk.session()
    return row.phase, row.outcome


async def test_canceled_says_until_when_it_stays(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    billed = desk.subscription()
    assert page.h1 == "Your subscription is canceled"
    assert f"Pro stays on until {written(billed['end'])}." in page.text
    assert facts(page)["Ends on"] == written(billed["end"])
    assert facts(page)["Done"] == "21 November 2026, 09:00 UTC"
    assert facts(page)["Reference"].startswith("LW-")
    assert row_of(desk) == ("finished", "canceled")
    assert [e.status for e in desk.effects()] == ["applied"]


async def test_a_trial_that_is_canceled_ends_with_the_trial(desk: Desk) -> None:
    confirm = await desk.at_confirm("cus_dana")
    assert "free trial stays on until" in confirm.text
    page = await desk.visitor.submit(confirm, "Cancel my subscription")
    trial_ends = desk.subscription("sub_dana_pro")["status"]["trial"]["end"]
    assert facts(page)["Ends on"] == written(trial_ends)


async def test_kept_changes_nothing(desk: Desk) -> None:
    before = desk.subscription()
    page = await desk.visitor.submit(await desk.at_confirm(), "Keep my subscription")
    assert (page.h1, row_of(desk)) == ("Your subscription goes on", ("finished", "kept"))
    assert (desk.subscription(), desk.billed(), desk.effects()) == (before, [], [])


async def test_a_discount_is_what_was_promised(desk: Desk) -> None:
    offer = await desk.at_offer("price")
    promised = facts(offer)
    page = await desk.visitor.submit(offer, "Take 50% off")
    assert (page.h1, row_of(desk)) == ("Your discount is in place", ("finished", "discount_accepted"))
    (discount,) = desk.subscription()["discounts"]
    assert discount["coupon"]["percentOff"] == 50
    assert (discount["coupon"]["duration"], discount["coupon"]["durationInMonths"]) == ("repeating", 3)
    assert "$14.50" in facts(page)["Price"]
    assert facts(page)["Price until now"].startswith("$29.00")
    assert facts(page)["Next charge"] == promised["Next charge"]
    assert short(desk.subscription()["status"]["currentPeriod"]["end"]) in facts(page)["Next charge"]


@pytest.mark.parametrize("number", [0, 2])
async def test_a_pause_lasts_as_long_as_was_chosen(desk: Desk, number: int) -> None:
    offer = await desk.at_offer("unused")
    chosen = options(offer)[number]
    page = await desk.visitor.submit(offer, "Pause my subscription", {"option": chosen["value"]})
    assert (page.h1, row_of(desk)) == ("Your subscription is paused", ("finished", "pause_accepted"))
    status = desk.subscription()["status"]
    assert status["name"] == "paused"
    assert facts(page)["Starts again on"] == written(status["pause"]["end"])
    assert written(status["pause"]["end"]) in page.text


async def test_a_plan_is_switched_to_the_one_that_was_chosen(desk: Desk) -> None:
    offer = await desk.at_offer("too-big")
    choice = options(offer)
    assert len(choice) >= 1
    page = await desk.visitor.submit(offer, "Switch plan", {"option": choice[0]["value"]})
    assert row_of(desk) == ("finished", "plan_switched")
    price = desk.subscription()["items"][0]["price"]
    assert page.h1 == f"You are on {price['name']} now"
    assert facts(page)["New plan"] == price["name"]


async def test_a_trial_is_extended_to_the_day_that_was_shown(desk: Desk) -> None:
    offer = await desk.at_offer("more-time", "cus_dana")
    page = await desk.visitor.submit(offer, "Extend my trial")
    ends = desk.subscription("sub_dana_pro")["status"]["trial"]["end"]
    assert (page.h1, row_of(desk)) == ("Your trial is extended", ("finished", "trial_extended"))
    assert facts(page)["Free until"] == written(ends)
    assert datetime.fromisoformat(ends) - desk.clock.now() == timedelta(days=9 + 14)


async def test_support_leads_to_the_merchant_and_changes_nothing(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_offer("broken"), "Get in touch")
    assert (page.h1, row_of(desk)) == ("Let us talk", ("finished", "support_requested"))
    assert page.links["Write to support"] == "mailto:help@northwind.example"
    assert desk.billed() == []


async def test_a_redirect_is_a_link_on_the_result_page(desk: Desk) -> None:
    """A form never redirects off-site: `form-action 'self'` would block it in silence."""
    survey = await desk.enter()
    offer = await desk.visitor.submit(
        survey, "Continue", {"reason": "missing", "follow_up--missing": "a calendar"}
    )
    page = await desk.visitor.submit(offer, "Show me")
    assert (page.h1, row_of(desk)) == ("Here is the way", ("finished", "redirected"))
    assert page.links["What is new"] == "https://northwind.example/new"


async def test_every_result_offers_the_way_back_signed(desk: Desk) -> None:
    desk.clock.advance(hours=1)
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    parts = urlsplit(page.links["Back to Northwind Notes"])
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "northwind.example", "/account")
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    row = desk.session()
    signed = f"{row.id}.canceled.{int(desk.clock.now().timestamp())}".encode()
    assert given == {
        "result": "canceled",
        "session": row.id,
        "t": str(int(desk.clock.now().timestamp())),
        "sig": hmac.new(desk.merchant.api_key.encode(), signed, hashlib.sha256).hexdigest(),
    }


async def test_the_links_own_return_address_wins_and_keeps_its_query(desk: Desk) -> None:
    own = "https://northwind.example/billing?tab=plan&result=forged#top"
    page = await desk.visitor.submit(await desk.at_confirm(return_url=own), "Keep my subscription")
    parts = urlsplit(page.links["Back to Northwind Notes"])
    assert (parts.path, parts.fragment) == ("/billing", "top")
    given = parse_qs(parts.query)
    assert (given["tab"], given["result"]) == (["plan"], ["kept"])


async def test_an_address_that_is_no_longer_allowed_is_not_offered(desk: Desk) -> None:
    page = await desk.visitor.submit(
        await desk.at_confirm(return_url="https://gone.example/x"), "Keep my subscription"
    )
    assert "Back to Northwind Notes" not in page.links
    assert "gone.example" not in page.response.text


# --- Billing does not answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("partial", [False, True], ids=["whole pages", "htmx"])
async def test_a_cancellation_is_received_although_billing_is_down(desk: Desk, partial: bool) -> None:
    desk.break_billing("read")
    visit = desk.visitor
    page = await desk.enter()
    page = await visit.submit(page, "Continue", {"reason": "price"}, partial=partial)
    assert page.h1 == "What ends"  # no offer that could not be kept
    page = await visit.submit(page, "Cancel now", partial=partial)
    page = await visit.submit(page, "Cancel my subscription", partial=partial)
    assert "canceled" not in page.h1.lower()
    desk.clock.advance(seconds=9)
    page = await visit.open(page.url, headers=FROM_US, partial=partial)
    assert page.h1 == BILLING_DOWN
    assert facts(page)["Request received"] == "21 November 2026, 09:00 UTC"
    assert (desk.billed(), [e.status for e in desk.effects()]) == ([], ["pending"])

    desk.faults.clear()
    desk.clock.advance(minutes=2)
    worker = desk.worker()
    await worker.drain()
    await worker.drain()
    assert desk.billed() == ["cancel"]
    assert [e.status for e in desk.effects()] == ["applied"]
    page = await visit.open(page.url, headers=FROM_US, partial=partial)
    assert page.h1 == "Your subscription is canceled"
    assert facts(page)["Ends on"] == written(desk.subscription()["end"])
    assert desk.told()[-3:] == ["effect.applied", "cancellation.confirmed", "session.completed"]


async def test_the_page_refreshes_by_itself_while_a_change_is_under_way(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    page = await desk.visitor.submit(page, "Cancel my subscription")
    (refresh,) = [m for m in page.root.all("meta") if m["http-equiv"] == "refresh"]
    assert refresh.inside("noscript")
    polling = next(e for e in page.root if e.has("hx-get"))
    assert polling["hx-get"] == page.path
    assert page.path == f"{root_of(page)}/working"


async def test_an_answer_that_was_lost_is_found_out_and_not_asked_for_twice(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("after_commit", times=1, kind="drop")
    page = await desk.visitor.submit(page, "Take 50% off")
    desk.clock.advance(minutes=5)
    await desk.worker().drain()
    assert desk.billed() == ["discount"]
    page = await desk.visitor.open(page.url, headers=FROM_US)
    assert page.h1 == "Your discount is in place"
    assert desk.told().count("effect.applied") == 1


async def test_one_may_leave_while_an_offer_does_not_come_through(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("read")
    page = await desk.visitor.submit(page, "Take 50% off")
    assert "Cancel now" in page.buttons
    page = await desk.visitor.submit(page, "Cancel now")
    desk.faults.clear()
    page = await desk.visitor.submit(page, "Cancel my subscription")
    for _ in range(6):
        desk.clock.advance(minutes=2)
        await desk.worker().drain()
    page = await desk.visitor.open(root_of(page), headers=FROM_US)
    assert page.h1 == "Your subscription is canceled"
    assert desk.billed() == ["cancel"]
    assert "discounts" not in desk.subscription() or desk.subscription()["discounts"] == []


# --- In writing -------------------------------------------------------------------------------------------------------


async def test_what_was_changed_leads_to_its_receipt(desk: Desk) -> None:
    page = await press(desk.visitor, await desk.at_confirm(), "confirm")
    receipt = await desk.visitor.open(page.links["See the receipt"])
    assert receipt.h1 == "Your subscription is canceled"
    assert "on its way" not in page.text, "without a mail server nothing is promised"


async def test_it_says_to_which_address_without_giving_it_away(desk: Desk) -> None:
    page = await press(desk.visitor, await desk.at_confirm(), "confirm")
    desk.ports.mailer = Mailbox()
    page = await desk.visitor.open(page.path)
    assert "A receipt is on its way to b•••@example.com." in page.text
    assert "ben@" not in page.text


async def test_while_billing_is_down_the_request_has_its_receipt_already(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing()
    page = await press(desk.visitor, page, "confirm")
    desk.clock.advance(seconds=10)
    page = await desk.visitor.open(page.path)
    receipt = await desk.visitor.open(page.links["See the receipt"])
    assert receipt.h1 == "We have your cancellation"
    desk.faults.clear()
    desk.clock.advance(seconds=3600)
    await desk.worker().drain()
    later = await desk.visitor.open(receipt.path)
    assert "This was carried out since, and a second receipt says so." in later.text


async def test_where_nothing_was_changed_there_is_none(desk: Desk) -> None:
    page = await press(desk.visitor, await desk.at_confirm(), "keep")
    assert "See the receipt" not in page.links
