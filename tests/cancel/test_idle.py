"""A session that is left alone: closed after an hour, taken up again for a day, then over."""

from app.db.tables.sessions import CancelSession
from tests.support.desk import Desk
from tests.support.pages import FROM_US

AWAY = "You were away for a while"


async def test_after_an_hour_one_is_asked_whether_to_go_on(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.enter(), "Continue", {"reason": "other"})
    desk.clock.advance(minutes=59, seconds=59)
    assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == "What ends"
    desk.clock.advance(seconds=1)
    before = desk.everything()
    away = await desk.visitor.open(page.url, headers=FROM_US)
    assert (away.h1, away.buttons) == (AWAY, ["Go on"])
    assert desk.everything() == before
    page = await desk.visitor.submit(away, "Go on")
    assert page.h1 == "What ends"
    assert (await desk.visitor.follow(page, "Back")).value("reason") == "other"


async def test_a_step_that_was_open_in_the_meantime_goes_straight_on(desk: Desk) -> None:
    page = await desk.enter()
    desk.clock.advance(hours=5)
    page = await desk.visitor.submit(page, "Continue", {"reason": "other"})
    assert page.h1 == "What ends"


async def test_a_mistake_after_a_long_while_still_shows_what_was_typed(desk: Desk) -> None:
    page = await desk.enter()
    desk.clock.advance(hours=5)
    typed = {"reason": "missing", "follow_up--missing": "x"}
    page = await desk.visitor.submit(page, "Continue", typed, status=422)
    assert page.value("follow_up--missing") == "x"


async def test_going_on_pressed_twice_is_going_on_once(desk: Desk) -> None:
    """On the paused screen *continue* means something else."""
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    page = await desk.enter()
    desk.clock.advance(hours=2)
    away = await desk.visitor.open(page.url, headers=FROM_US)
    assert away.h1 == AWAY
    for _ in range(2):
        page = await desk.visitor.submit(away, "Go on")
        assert page.h1 == "Your subscription is paused"


async def test_the_sweep_closes_it_as_dismissed_and_says_so_once(desk: Desk) -> None:
    await desk.visitor.submit(await desk.enter(), "Continue", {"reason": "other"})
    worker = desk.worker()
    desk.clock.advance(minutes=59)
    await worker.drain()
    assert desk.session().closed_at is None
    desk.clock.advance(minutes=2)
    await worker.drain()
    await worker.drain()
    row = desk.session()
    assert (row.outcome, row.closed_at) == ("dismissed", desk.clock.now())
    assert desk.told() == ["session.started", "session.completed"]
    completed = next(e for e in desk.events() if e.type == "session.completed")
    assert completed.data["outcome"] == "dismissed"
    assert completed.data["reason"] == "other"


async def test_a_dismissed_session_is_open_again_once_it_is_taken_up(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.enter(), "Continue", {"reason": "other"})
    desk.clock.advance(hours=2)
    await desk.worker().drain()
    away = await desk.visitor.open(page.url, headers=FROM_US)
    assert away.h1 == AWAY
    await desk.visitor.submit(away, "Go on")
    row = desk.session()
    assert (row.outcome, row.closed_at, row.last_seen_at) == (None, None, desk.clock.now())
    page = await desk.visitor.submit(await desk.visitor.open(page.url, headers=FROM_US), "Cancel now")
    await desk.visitor.submit(page, "Cancel my subscription")
    row = desk.session()
    assert (row.outcome, row.closed_at) == ("canceled", desk.clock.now())
    assert desk.told().count("session.completed") == 2
    assert [e.sequence for e in desk.events() if e.session_id] == list(range(1, row.event_count + 1))


async def test_a_change_that_settles_late_leaves_a_dismissed_session_dismissed(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("before_commit", times=1)
    page = await desk.visitor.submit(page, "Take 50% off")
    await desk.visitor.submit(page, "Cancel now")  # withdraws the offer
    desk.clock.advance(hours=2)
    worker = desk.worker()
    await worker.drain()
    desk.clock.advance(minutes=5)
    await worker.drain()
    row = desk.session()
    assert row.closed_at is not None
    assert row.outcome is not None
    assert desk.told().count("session.completed") == 1


async def test_a_finished_session_never_goes_idle(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Keep my subscription")
    desk.clock.advance(hours=23)
    await desk.worker().drain()
    assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == "Your subscription goes on"
    assert desk.session().outcome == "kept"


async def test_undoing_that_fails_shows_the_trouble_and_not_the_idle_page(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    desk.store.act("test", "sub_ben_pro", "cancel", {"timing": "now"}, "elsewhere", desk.clock.now())
    page = await desk.visitor.submit(page, "Keep my subscription after all")
    assert page.h1 == "That did not work"
    assert desk.session().outcome == "canceled"


async def test_after_a_day_the_page_has_expired(desk: Desk) -> None:
    page = await desk.enter()
    desk.clock.advance(hours=12)
    await desk.enter("cus_ada")  # keeps the browser known
    desk.clock.advance(hours=11, minutes=59)
    assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == AWAY
    desk.clock.advance(minutes=1)
    before = desk.everything()
    over = await desk.visitor.open(page.url, headers=FROM_US, status=410)
    assert over.h1 == "This page has expired"
    assert "help@northwind.example" in over.links
    over = await desk.visitor.submit(page, "Continue", {"reason": "other"}, status=410)
    assert over.h1 == "This page has expired"
    assert desk.everything() == before


async def test_a_browser_that_was_away_for_a_day_is_not_known_any_more(desk: Desk) -> None:
    page = await desk.enter()
    desk.clock.advance(hours=24)
    gone = await desk.visitor.open(page.url, headers=FROM_US, status=403)
    assert gone.h1 == "This page belongs to another browser"


async def test_the_sweep_closes_hundreds_in_one_go(desk: Desk) -> None:
    await desk.enter()
    row = desk.session()

    def copy(db, count):
        for number in range(count):
            db.add(CancelSession(**{**row.model_dump(), "id": f"cs_copy{number}"}))

    desk.database.write_sync(copy, 250)
    desk.clock.advance(hours=2)
    await desk.worker().drain()
    assert {s.outcome for s in desk.sessions()} == {"dismissed"}
