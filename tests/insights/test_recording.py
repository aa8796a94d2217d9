"""What is kept of a session, walked through the real pages: written as it closes, and anew when something changes."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, delete, event

from app.db.migrate import alembic_config
from app.db.outbox import Job
from app.db.tables.outbox import OutboxJob
from app.db.tables.records import SessionRecord
from app.insights.shapes import RecordShape
from app.sessions import recording
from app.sessions import service as sessions
from tests.support.desk import Desk


def record(desk: Desk) -> dict[str, Any]:
    (only,) = desk.all(SessionRecord)
    RecordShape.model_validate(only.record, by_alias=True, by_name=False)
    return only.record


async def close_idle(desk: Desk) -> None:
    desk.clock.advance(hours=1)
    await desk.database.write(sessions.close_idle, now=desk.clock.now())


async def test_a_session_under_way_has_no_record_yet(desk: Desk) -> None:
    await desk.at_offer("price")
    assert desk.all(SessionRecord) == []


async def test_a_cancellation_is_told_with_all_that_was_said_and_shown(desk: Desk) -> None:
    page = await desk.enter(attributes={"team": "blue"})
    desk.clock.advance(seconds=20)
    page = await desk.visitor.submit(page, "Continue", {"reason": "price", "follow_up--price": "lower"})
    desk.clock.advance(seconds=5)
    page = await desk.visitor.submit(page, "No, continue to cancel")
    page = await desk.visitor.submit(page, "Continue")
    page = await desk.visitor.submit(page, "Continue", {"feedback": "The export loses my tags."})
    await desk.visitor.submit(page, "Cancel my subscription")
    told = record(desk)
    (effect,) = desk.effects()
    assert (told["_id"], told["outcome"], told["canceled"], told["saveType"]) == (
        desk.session().id,
        "canceled",
        True,
        None,
    )
    assert (told["aborted"], told["bounced"], told["usedClickToCancel"]) == (False, False, False)
    assert (told["surveyId"], told["surveyChoiceId"], told["surveyChoiceValue"]) == (
        "why",
        "price",
        "It costs too much",
    )
    assert (told["followupQuestion"], told["followupResponse"]) == ("What would help?", "A lower price")
    assert told["feedback"] == "The export loses my tags."
    (shown,) = told["presentedOffers"]
    assert (shown["guid"], shown["offerType"], shown["accepted"]) == ("half-price", "DISCOUNT", False)
    assert shown["discountConfig"]["couponAmount"] == 50
    assert shown["declinedAt"] is not None
    assert told["acceptedOffer"] is None
    assert [step["guid"] for step in told["stepsViewed"]] == [
        "why",
        "why.offer",
        "what-ends",
        "anything-else",
        "confirm",
    ]
    assert [step["duration"] for step in told["stepsViewed"]][:2] == [20_000, 5_000]
    assert [(one["id"], one["type"], one["status"]) for one in told["effects"]] == [
        (effect.id, "cancel", "applied")
    ]
    assert told["customer"]["id"] == "cus_ben"
    assert told["customer"]["email"] == desk.session().snapshot["customer"]["email"]
    assert told["customer"]["customAttributes"]["team"] == "blue"
    assert told["mode"] == "TEST"
    assert (told["flowVersion"], told["blueprintId"]) == (1, desk.session().flow_version_id)


async def test_no_name_and_no_phone_number_is_kept(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    known = desk.session().snapshot["customer"]
    told = repr(record(desk))
    for field in ("name", "lastName", "phone"):
        assert not known.get(field) or known[field] not in told
    assert known["name"]


async def test_an_accepted_offer_is_told_as_it_was_taken(desk: Desk) -> None:
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    told = record(desk)
    assert (told["outcome"], told["saveType"], told["canceled"]) == ("pause_accepted", "PAUSE", False)
    taken = told["acceptedOffer"]
    assert (taken["pauseDuration"], taken["pauseInterval"], taken["status"]) == (1, "MONTH", "applied")
    (row,) = desk.all(SessionRecord)
    assert (row.offer_type, row.pause_duration, row.is_canceled) == ("PAUSE", 1, False)


async def test_the_plan_is_the_one_before_the_change(desk: Desk) -> None:
    page = await desk.at_offer("too-big")
    before = desk.session().snapshot["subscriptions"][0]["items"][0]["price"]["id"]
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    buttons = [e.text for e in page.root.all("button")]
    await desk.visitor.submit(page, next(b for b in buttons if b.startswith("Switch")), {"option": option})
    told = record(desk)
    assert told["acceptedOffer"]["newPlanId"] == option != before
    assert told["customer"]["planId"] == before


async def test_who_leaves_without_a_word_bounced(desk: Desk) -> None:
    await desk.enter()
    await close_idle(desk)
    told = record(desk)
    assert (told["outcome"], told["bounced"], told["aborted"]) == ("dismissed", True, True)
    assert [(step["stepType"], step["end"]) for step in told["stepsViewed"]] == [("SURVEY", None)]


async def test_who_goes_after_an_answer_is_dismissed_and_who_stays_has_kept(desk: Desk) -> None:
    await desk.at_offer("other")
    await close_idle(desk)
    told = record(desk)
    assert (told["outcome"], told["bounced"], told["saveType"]) == ("dismissed", False, "ABANDON")
    await desk.visitor.submit(await desk.at_confirm("cus_ada"), "Keep my subscription")
    kept = next(one.record for one in desk.all(SessionRecord) if one.customer_id == "cus_ada")
    assert (kept["outcome"], kept["saveType"], kept["usedClickToCancel"]) == ("kept", "ABANDON", True)


async def test_a_session_that_is_taken_up_again_is_told_anew_at_its_end(desk: Desk) -> None:
    page = await desk.at_offer("other")
    await close_idle(desk)
    assert record(desk)["outcome"] == "dismissed"
    page = await desk.visitor.submit(page, "Cancel now")
    await desk.visitor.submit(page, "Cancel my subscription")
    told = record(desk)
    assert (told["outcome"], told["canceled"]) == ("canceled", True)
    (row,) = desk.all(SessionRecord)
    assert (row.outcome, row.save_type, row.is_aborted) == ("canceled", None, False)
    assert row.updated_at == desk.clock.now()


async def test_a_cancellation_that_is_taken_back_is_none_any_more(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Cancel my subscription")
    assert record(desk)["canceled"] is True
    await desk.visitor.submit(page, "Keep my subscription after all")
    told = record(desk)
    assert (told["outcome"], told["canceled"]) == ("uncanceled", False)
    assert [one["type"] for one in told["effects"]] == ["cancel", "uncancel"]


async def test_while_billing_is_down_there_is_no_record_and_afterwards_the_right_one(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    await desk.visitor.submit(page, "Cancel my subscription")
    assert desk.all(SessionRecord) == []
    desk.faults.clear()
    desk.clock.advance(minutes=15)
    await desk.worker().drain()
    assert record(desk)["outcome"] == "canceled"


async def test_record_and_session_are_written_together_or_not_at_all(desk: Desk) -> None:
    await desk.at_offer("other")
    desk.clock.advance(hours=1)

    class Stopped(Exception):
        pass

    def close_and_stop(db: Any) -> None:
        assert sessions.close_idle(db, now=desk.clock.now()) == 1
        raise Stopped

    with pytest.raises(Stopped):
        await desk.database.write(close_and_stop)
    assert desk.all(SessionRecord) == []
    assert desk.session().outcome is None


async def test_sessions_from_before_there_were_records_get_theirs(desk: Desk) -> None:
    for customer in ("cus_ben", "cus_ada"):
        await desk.visitor.submit(await desk.at_confirm(customer), "Keep my subscription")
    await desk.enter("cus_dana")  # still open: none
    before = {one.session_id: (one.record, one.outcome) for one in desk.all(SessionRecord)}
    config = alembic_config(desk.database.url.render_as_string(hide_password=False))
    command.downgrade(config, "0005")
    command.upgrade(config, "head")
    assert desk.all(SessionRecord) == []
    await desk.worker().drain()
    after = {one.session_id: (one.record, one.outcome) for one in desk.all(SessionRecord)}
    assert after == before
    assert all(job.kind != recording.BACKFILL_JOB for job in desk.all(OutboxJob))


async def test_old_sessions_get_their_records_bite_by_bite_and_stint_by_stint(desk: Desk) -> None:
    for customer in ("cus_ben", "cus_ada", "cus_dana"):
        await desk.visitor.submit(await desk.at_confirm(customer), "Keep my subscription")
    await desk.database.write(lambda db: db.connection().execute(delete(SessionRecord)))
    job = Job("job_1", recording.BACKFILL_JOB, "", {}, 1)
    for number in range(3):
        await recording.backfill(desk.database, desk.clock, job, bite=1, stint_s=0)
        assert len(desk.all(SessionRecord)) == number + 1
        (owed,) = (one for one in desk.all(OutboxJob) if one.payload.get("after", "") > job.subject_id)
        job = Job(owed.id, owed.kind, owed.subject_id, owed.payload, 1)
    await recording.backfill(desk.database, desk.clock, job, bite=1, stint_s=0)
    assert {one.customer_id for one in desk.all(SessionRecord)} == {"cus_ben", "cus_ada", "cus_dana"}


async def test_a_customers_step_costs_no_look_at_effects_where_there_are_none(desk: Desk) -> None:
    """The last step of a customer who stays reads nothing more than before: the record rides on what is there."""
    page = await desk.at_confirm()
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await desk.visitor.submit(page, "Keep my subscription")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    (written,) = (statement for statement in asked if "session_records" in statement)
    assert written.startswith("INSERT")
    assert not any("FROM effects" in statement for statement in asked)
