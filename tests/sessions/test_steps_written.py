"""A step is written past the ORM, column by column: nothing that it changes may be forgotten."""

from app.core.commands import AnswerStep, CancelNow, Command, GoOn, Keep
from app.sessions import service
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
