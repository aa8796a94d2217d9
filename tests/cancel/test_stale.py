"""Tabs, double clicks, reloads: the session is one, however many pages of it are open."""

import asyncio

import httpx
import pytest

from tests.support.desk import Desk, root_of
from tests.support.pages import FROM_A_PAGE, FROM_US, Page, Visitor


async def test_a_stale_tab_answers_its_question_anew_and_is_led_on(desk: Desk) -> None:
    survey = await desk.enter()
    await desk.visitor.submit(survey, "Continue", {"reason": "other"})
    page = await desk.visitor.submit(survey, "Continue", {"reason": "unused"})
    assert page.path.endswith("/why.offer")
    assert desk.session().state["answers"]["why"]["reason"] == "unused"


async def test_a_stale_tab_of_a_finished_session_shows_the_result(desk: Desk) -> None:
    survey = await desk.enter()
    confirm = await desk.visitor.submit(survey, "Cancel now")
    await desk.visitor.submit(confirm, "Cancel my subscription")
    before = desk.everything()
    for page, button in ((survey, "Continue"), (survey, "Cancel now"), (confirm, "Cancel my subscription")):
        assert (await desk.visitor.submit(page, button)).h1 == "Your subscription is canceled"
    assert (await desk.visitor.submit(confirm, "Keep my subscription")).h1 == "Your subscription is canceled"
    assert _without_time(desk.everything()) == _without_time(before)
    assert desk.billed() == ["cancel"]


@pytest.mark.parametrize("clicks", [2, 5])
async def test_confirming_twice_at_once_cancels_once(desk: Desk, clicks: int) -> None:
    page = await desk.at_confirm()
    answers = await asyncio.gather(*(_press(desk.visitor, page, "confirm") for _ in range(clicks)))
    assert {a.status_code for a in answers} == {303}
    assert desk.billed() == ["cancel"]
    assert len(desk.effects()) == 1
    assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == "Your subscription is canceled"


async def test_an_offer_taken_in_two_tabs_is_applied_once(desk: Desk) -> None:
    page = await desk.at_offer("price")
    await asyncio.gather(
        *(_press(desk.visitor, page, "accept", decision=str(page.value("decision"))) for _ in range(3))
    )
    assert desk.billed() == ["discount"]
    assert desk.told().count("session.offer_accepted") == 1


async def test_taking_an_offer_and_cancelling_at_once_ends_in_one_of_both(desk: Desk) -> None:
    page = await desk.at_offer("price")
    answers = await asyncio.gather(
        _press(desk.visitor, page, "accept", decision=str(page.value("decision"))),
        _press(desk.visitor, page, "cancel_now"),
    )
    assert {a.status_code for a in answers} == {303}
    page = await desk.visitor.open(root_of(page), headers=FROM_US)
    assert page.h1 in ("Your discount is in place", "Cancel your subscription?", "Cancel Pro?")


async def test_declining_twice_declines_once(desk: Desk) -> None:
    page = await desk.at_offer("price")
    for _ in range(2):
        assert (await desk.visitor.submit(page, "No, continue to cancel")).h1 == "What ends"
    assert desk.told().count("session.offer_declined") == 1


async def test_an_offer_that_is_behind_a_taken_one_cannot_be_taken_too(desk: Desk) -> None:
    survey = await desk.enter()
    discount = await desk.visitor.submit(survey, "Continue", {"reason": "price"})
    pause = await desk.visitor.submit(survey, "Continue", {"reason": "unused"})
    option = next(e["value"] for e in pause.root.all("input") if e["name"] == "option")
    await desk.visitor.submit(pause, "Pause my subscription", {"option": option})
    page = await desk.visitor.submit(discount, "Take 50% off")
    assert page.h1 == "Your subscription is paused"
    assert desk.billed() == ["pause"]


async def test_an_offer_that_was_never_shown_cannot_be_taken(desk: Desk) -> None:
    page = await desk.enter()
    for decision in ("dec_" + "0" * 24, "half-price", "", "\N{GRINNING FACE}"):
        answer = await _press(desk.visitor, page, "accept", decision=decision)
        assert answer.status_code == 303
    assert (desk.offers(), desk.effects(), desk.billed()) == ([], [], [])


async def test_the_offer_of_another_session_cannot_be_taken(desk: Desk) -> None:
    theirs = await desk.at_offer("price")
    mine = await desk.enter("cus_ada")
    answer = await _press(desk.visitor, mine, "accept", decision=str(theirs.value("decision")))
    assert answer.status_code == 303
    assert desk.effects() == []


async def test_reloading_a_result_does_nothing_again(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    before = desk.everything()
    for _ in range(3):
        assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == page.h1
    assert desk.everything() == before


async def test_viewing_changes_nothing_on_any_screen(desk: Desk) -> None:
    page = await desk.enter()
    for button, fields in (
        ("Continue", {"reason": "price"}),
        ("No, continue to cancel", {}),
        ("Continue", {}),
    ):
        before = desk.everything()
        await desk.visitor.open(page.url, headers=FROM_US)
        await desk.visitor.open(f"/cancel/s/{desk.session().id}", headers=FROM_US)
        assert desk.everything() == before
        page = await desk.visitor.submit(page, button, fields)


async def test_two_sessions_in_two_tabs_do_not_disturb_each_other(desk: Desk) -> None:
    ben, ada = await desk.enter("cus_ben"), await desk.enter("cus_ada")
    ben = await desk.visitor.submit(ben, "Cancel now")
    ada = await desk.visitor.submit(ada, "Continue", {"reason": "other"})
    ben = await desk.visitor.submit(ben, "Cancel my subscription")
    assert ben.h1 == "Your subscription is canceled"
    ada = await desk.visitor.submit(ada, "Continue")
    assert ada.h1 == "Anything else?"
    assert (desk.billed("sub_ben_pro"), desk.billed("sub_ada_lite")) == (["cancel"], [])


async def test_a_form_of_one_session_does_not_work_in_another(desk: Desk) -> None:
    ben, ada = await desk.enter("cus_ben"), await desk.enter("cus_ada")
    answer = await desk.visitor.client.post(
        f"{root_of(ada)}/why",
        data={"csrf_token": str(ben.value("csrf_token")), "action": "cancel_now"},
        headers=FROM_US,
    )
    assert answer.status_code == 403
    assert all(s.state["answers"] == {} for s in desk.sessions())


async def test_another_browser_sees_nothing_of_a_session(desk: Desk) -> None:
    page = await desk.at_offer("price")
    before = desk.everything()
    async with desk.browser() as client:
        stranger = Visitor(client)
        await stranger.open(desk.merchant.mint("cus_ada"), headers=FROM_A_PAGE)  # known, but not for this
        for address in (page.path, root_of(page)):
            refused = await stranger.open(address, status=403)
            assert refused.h1 == "This page belongs to another browser"
            assert "Northwind" not in refused.text
        answer = await client.post(
            page.path, data={"csrf_token": str(page.value("csrf_token")), "action": "accept"}, headers=FROM_US
        )
        assert answer.status_code == 403
    unknown = await desk.visitor.open("/cancel/s/cs_000000000000000000000000", status=403)
    assert unknown.h1 == refused.h1  # one cannot tell what there is
    mine = {t: [r for r in rows if "cus_ben" in r] for t, rows in before.items()}
    assert {t: [r for r in rows if "cus_ben" in r] for t, rows in desk.everything().items()} == mine


async def _press(visitor: Visitor, page: Page, action: str, **fields: str) -> httpx.Response:
    return await visitor.client.post(
        page.by_id("step")["action"],
        data={"csrf_token": str(page.value("csrf_token")), "action": action, **fields},
        headers=FROM_US,
        follow_redirects=False,
    )


def _without_time(everything):
    """All but the sessions, whose last sight has moved on."""
    return {name: rows for name, rows in everything.items() if name != "cancel_sessions"}
