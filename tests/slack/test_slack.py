"""Slack is told of each session that is over, once, in words that cannot be misread; and is not waited for."""

import json
import re
from dataclasses import replace

import pytest

from app.core.slack_message import TITLES, Word, compose, escape
from app.core.state import Outcome
from app.db.tables.outbox import OutboxJob
from app.insights import slack
from app.insights.slack import SlackRefused
from app.main import slack_ports_of
from app.sessions import service as sessions
from app.setup import afterwards
from tests.privacy.conftest import BEN, Bureau, dump
from tests.support.merchant import LOOPBACK
from tests.support.press import press
from tests.support.receiver import Answer

pytestmark = pytest.mark.anyio

WORD = Word(
    outcome=Outcome.CANCELED,
    brand_name="Northwind Notes",
    mode="live",
    session_id="cs_1",
    customer_id="cus_1",
    at="21 November 2026",
)


def hook(bureau: Bureau, url: str | None = None) -> None:
    bureau.database.write_sync(
        afterwards.set_slack,
        bureau.desk.ports.vault,
        app_id=bureau.desk.merchant.app_id,
        url=url or f"{bureau.receiver.url}/services/T0/B0/xyz",
        allowed=(LOOPBACK,),
    )
    bureau.receiver.usual = Answer(200, {}, b"ok")


def texts(body: object) -> str:
    """All that would be read, escapes and all."""
    return json.dumps(body, ensure_ascii=False)


async def test_a_cancellation_is_told_with_plan_reason_words_and_what_was_lost(bureau: Bureau) -> None:
    hook(bureau)
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", "The <!channel> *map* is gone")
    await bureau.work()
    (got,) = bureau.receiver.inbox
    told = got.json()
    header, facts, follow_up, feedback, context = told["blocks"]
    assert header["text"]["text"] == ":wave: Canceled"
    assert [field["text"] for field in facts["fields"]] == [
        "*Plan*\nPro",
        "*Lost*\n$29.00 a month",
        "*Reason*\nSomething is missing",
    ]
    for block, place in ((follow_up, "in the survey"), (feedback, "as feedback")):
        assert block["text"]["type"] == "plain_text"  # where nothing is markup or a mention
        assert block["text"]["text"] == f"“The <!channel> *map* is gone {place}”"
    assert "customer cus_ben" in context["elements"][0]["text"]
    assert told["text"] == "Canceled · Pro · Something is missing"
    assert BEN not in texts(told)
    assert (told["unfurl_links"], told["unfurl_media"]) == (False, False)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 1


async def test_a_save_says_what_was_taken_and_what_it_is_worth(bureau: Bureau) -> None:
    hook(bureau)
    page = await bureau.desk.at_offer("price")
    await press(bureau.desk.visitor, page, "accept")
    await bureau.work()
    (got,) = bureau.receiver.inbox
    words = texts(got.json())
    assert "Stays, with a discount" in words
    assert "*Saved*\\n$29.00 a month" in words
    assert "*Took*\\n50% off for 3 months" in words


async def test_a_customer_who_walks_away_is_told_when_the_hour_is_over(bureau: Bureau) -> None:
    hook(bureau)
    await bureau.begin(bureau.desk.visitor, "cus_ben", "hm")
    await bureau.work()
    assert bureau.receiver.inbox == []
    bureau.desk.clock.advance(minutes=61)
    await bureau.work()
    (got,) = bureau.receiver.inbox
    assert "Left without deciding" in texts(got.json())
    assert "*At stake*" in texts(got.json())


async def test_without_a_hook_no_job_is_left(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", "words")
    assert [job for job in bureau.desk.all(OutboxJob) if job.kind == "slack"] == []


async def test_what_may_pass_is_tried_again_for_a_day_and_then_given_up(bureau: Bureau) -> None:
    hook(bureau)
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", "words")
    bureau.receiver.usual = Answer(503)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 1
    bureau.receiver.answer(429, retry_after="90")
    bureau.desk.clock.advance(minutes=10)
    await bureau.work()
    bureau.desk.clock.advance(seconds=60)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 2, "it was asked to wait for 90 seconds"
    bureau.desk.clock.advance(hours=25)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 3
    bureau.desk.clock.advance(hours=25)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 3
    assert [job for job in bureau.desk.all(OutboxJob) if job.kind == "slack"] == []


async def test_a_hook_that_was_removed_is_not_asked_again(bureau: Bureau) -> None:
    hook(bureau)
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", "words")
    bureau.receiver.usual = Answer(404, {}, b"no_service")
    await bureau.work()
    bureau.desk.clock.advance(hours=1)
    await bureau.work()
    assert len(bureau.receiver.inbox) == 1


async def test_who_was_forgotten_meanwhile_is_not_told_of(bureau: Bureau) -> None:
    hook(bureau)
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", "words")
    await bureau.erase(BEN)
    await bureau.work()
    assert bureau.receiver.inbox == []


async def test_one_who_comes_back_within_the_hour_is_told_of_once(bureau: Bureau) -> None:
    hook(bureau)
    page = await bureau.begin(bureau.desk.visitor, "cus_ben", "hm")
    bureau.desk.clock.advance(minutes=61)
    bureau.database.write_sync(sessions.close_idle, now=bureau.desk.clock.now())  # and not told yet
    await press(bureau.desk.visitor, page, "decline")
    await bureau.work()
    assert bureau.receiver.inbox == []


async def test_the_url_is_sealed_and_shown_nowhere(bureau: Bureau) -> None:
    hook(bureau)
    assert "/services/T0" not in dump(bureau.database)


async def test_a_test_message_says_whether_it_came_through(bureau: Bureau) -> None:
    ports, app_id = slack_ports_of(bureau.desk.ports), bureau.desk.merchant.app_id
    with pytest.raises(SlackRefused, match="No URL is set"):
        await slack.test(ports, app_id=app_id)
    hook(bureau)
    await slack.test(ports, app_id=app_id)
    assert "Northwind Notes" in bureau.receiver.inbox[0].json()["text"]
    bureau.receiver.usual = Answer(403, {}, b"invalid_token")
    with pytest.raises(SlackRefused, match="403: invalid_token"):
        await slack.test(ports, app_id=app_id)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/T0/B0/x",
        "https://hooks.slack.com.evil.example/services/T0/B0/x",
        "https://hooks.slack.com@10.0.0.1/services",
        "https://10.0.0.1/services",
        "https://[::ffff:10.0.0.1]/services",
        "https://0x7f000001/services",
        "https://example.com/services",
        "file:///etc/passwd",
        "hooks.slack.com/services/T0/B0/x",
    ],
)
def test_only_slacks_own_hooks_are_taken(url: str) -> None:
    problem = afterwards.slack_problem(url, ())
    assert problem


def test_slacks_hook_is_taken_and_so_is_one_in_an_allowed_network() -> None:
    assert afterwards.slack_problem("https://hooks.slack.com/services/T0/B0/x", ()) is None
    assert afterwards.slack_problem("http://127.0.0.1:8065/hooks/x", (LOOPBACK,)) is None


# --- The message itself ---


def test_every_outcome_has_its_words() -> None:
    assert TITLES.keys() == set(Outcome)
    for outcome in Outcome:
        assert compose(replace(WORD, outcome=outcome))["blocks"]


@pytest.mark.parametrize(
    "typed", ["<@U123>", "<!here>", "<https://evil.example|click>", "a & b", "*bold*", "_it_", "~no~", "`x`"]
)
def test_nothing_in_a_field_is_markup(typed: str) -> None:
    escaped = escape(typed)
    assert not re.search(r"[<>]", escaped)
    assert not re.search(r"&(?!amp;|lt;|gt;)", escaped)
    assert not re.search(r"(?:^|\s)[*_~`]\S", escaped)


def test_what_looks_like_an_address_or_a_channel_becomes_no_link() -> None:
    body = compose(replace(WORD, customer_id="www.evil.example", reason="#general"))
    marked = [
        part
        for block in body["blocks"]
        for part in (*block.get("fields", ()), *block.get("elements", ()))
        if part["type"] == "mrkdwn"
    ]
    assert any("www.evil.example" in part["text"] for part in marked)
    assert any("#general" in part["text"] for part in marked)
    assert all(part["verbatim"] is True for part in marked)


def test_an_id_can_still_be_copied() -> None:
    assert escape("price_pro_monthly") == "price_pro_monthly"


def test_it_keeps_to_slacks_bounds() -> None:
    long = "ü" * 10_000
    body = compose(
        replace(WORD, plan=long, reason=long, price=long, offer=long, brand_name=long, said=(long, long))
    )
    for block in body["blocks"]:
        for field in block.get("fields", [*block.get("elements", ())]):
            assert len(field["text"]) <= 2_000
        if "text" in block:
            assert len(block["text"]["text"]) <= 3_000
    assert len(body["text"]) <= 4_000
