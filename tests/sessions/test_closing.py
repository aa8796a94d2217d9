"""The sweep of sessions that were left alone, as a unit of work."""

from app.sessions import service
from tests.support.desk import Desk


async def test_only_what_rests_is_closed(desk: Desk) -> None:
    await desk.enter("cus_ada")
    finished = await desk.visitor.submit(await desk.at_confirm("cus_ben"), "Keep my subscription")
    assert finished.h1 == "Your subscription goes on"
    pending = await desk.at_confirm("cus_dana")
    desk.break_billing("read")
    await desk.visitor.submit(pending, "Cancel my subscription")
    desk.clock.advance(hours=1)
    assert await desk.database.write(service.close_idle, now=desk.clock.now()) == 1
    assert await desk.database.write(service.close_idle, now=desk.clock.now()) == 0
    by_customer = {s.customer_id: (s.phase, s.outcome) for s in desk.sessions()}
    assert by_customer["cus_ada"] == ("walking", "dismissed")
    assert by_customer["cus_ben"] == ("finished", "kept")
    assert by_customer["cus_dana"][0] == "working"


async def test_a_scheduled_end_that_was_looked_at_is_no_dismissal(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    await desk.enter()
    desk.clock.advance(hours=2)
    await desk.database.write(service.close_idle, now=desk.clock.now())
    assert {s.outcome for s in desk.sessions()} == {"canceled", "cancel_already_scheduled"}


async def test_an_hour_counts_from_the_last_time_something_was_done(desk: Desk) -> None:
    page = await desk.enter()
    desk.clock.advance(minutes=50)
    await desk.visitor.submit(page, "Continue", {"reason": "other"})
    desk.clock.advance(minutes=50)
    assert await desk.database.write(service.close_idle, now=desk.clock.now()) == 0
    desk.clock.advance(minutes=10)
    assert await desk.database.write(service.close_idle, now=desk.clock.now()) == 1


async def test_a_session_that_nobody_opened_is_closed_too(desk: Desk) -> None:
    await desk.enter()
    row = desk.session()

    def unopened(db):
        db.add(type(row)(**{**row.model_dump(), "id": "cs_unopened", "phase": "opening", "opened_at": None}))

    desk.database.write_sync(unopened)
    desk.clock.advance(hours=2)
    assert await desk.database.write(service.close_idle, now=desk.clock.now()) == 2
