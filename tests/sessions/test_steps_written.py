"""A step, and an opening, is written past the ORM, column by column: nothing that it changes may be forgotten."""

from datetime import timedelta

from sqlmodel import Session

from app.core.commands import AnswerStep, CancelNow, Command, GoOn, Keep
from app.core.world import read_world
from app.db.tables.accounts import Environment
from app.db.tables.sessions import CancelSession
from app.sessions import queries, service
from tests.support.desk import Desk


async def test_a_step_writes_all_that_it_changes(desk: Desk) -> None:
    await desk.enter()
    before = desk.session()
    commands: list[Command] = [AnswerStep(step="why", reason="price"), CancelNow(), GoOn(), Keep()]
    for command in commands:
        desk.clock.advance(seconds=30)
        submitted = await desk.merchant.database.write(
            service.submit,
            session_id=before.id,
            browser_sha256=before.browser_sha256 or "",
            command=command,
            holder="a test",
            now=desk.clock.now(),
        )
        assert submitted.standing.row.model_dump() == desk.session().model_dump()
    assert desk.session().outcome == "kept"


async def test_a_session_that_was_closed_and_goes_on_is_written_as_open(desk: Desk) -> None:
    await desk.enter()
    desk.clock.advance(hours=2)
    await desk.merchant.database.write(service.close_idle, now=desk.clock.now())
    closed = desk.session()
    assert closed.closed_at is not None
    submitted = await desk.merchant.database.write(
        service.submit,
        session_id=closed.id,
        browser_sha256=closed.browser_sha256 or "",
        command=AnswerStep(step="why", reason="price"),
        holder="a test",
        now=desk.clock.now(),
    )
    assert submitted.standing.row.model_dump() == desk.session().model_dump()
    assert desk.session().closed_at is None


async def test_opening_writes_all_that_it_changes(desk: Desk) -> None:
    await desk.enter()
    known = desk.session()

    def open_another(db: Session) -> CancelSession:
        now = desk.clock.now()
        environment = db.get_one(Environment, known.app_id)
        begun = service.new_session(
            db,
            environment,
            customer_id="not known yet",
            subscription_id="sub_of_nobody",
            link=None,
            browser_sha256="b" * 64,
            locale="en",
            holder="a test",
            now=now,
        )
        row = queries.lock_session(db, begun.session_id)
        assert row is not None
        row.data_call_reason = "timeout"
        world, later = read_world(known.snapshot), now + timedelta(seconds=1)
        service.open_with(db, row, holder="a test", world=world, subscription_id=None, now=later)
        return row

    opened = await desk.merchant.database.write(open_another)
    [stored] = [row for row in desk.sessions() if row.id == opened.id]
    assert opened.model_dump() == stored.model_dump()
    assert (stored.customer_id, stored.email_key) == ("cus_ben", "ben@example.com")
    assert (stored.opening_by, stored.opening_until, stored.data_call_reason) == (None, None, "timeout")
    assert stored.subscription_id == known.subscription_id
