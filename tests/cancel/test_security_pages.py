"""Mallory holds a customer's data, or another browser: what she writes stays text, what is not hers stays shut."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.db.database import Database
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer, Desk, root_of
from tests.support.pages import FROM_A_PAGE, FROM_US, Page

EVIL = (
    '"\'><script>alert(1)</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">{{evil}}{0}</a>'
)
FLOW = """
version: 1
name: Every place for a value
steps:
  - kind: message
    id: hello
    title: "Hello {{evil|x}}"
    body: >-
      Of <b>{{evil|x}}</b>, <a href="{{evil|x}}">{{evil|x}}</a> <a href="https://x.example/{{evil|x}}">x</a>,
      {{tricky|x}}
    points: ["{{evil|x}}"]
  - kind: offer
    id: stay
    offers:
      - kind: discount
        id: half
        percent: 50
        duration: once
        copy:
          headline: "{{evil|x}}"
          body: '<p title="{{evil|x}}">{{evil|x}}</p>'
          cta: "{{evil|x}}"
          decline_cta: "{{evil|x}}"
  - { kind: confirm, id: confirm, acknowledge: "{{evil|x}}", losses: ["{{evil|x}}"] }
"""


class _Live(HTMLParser):
    """Collects what a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in ("img", "iframe", "object", "embed", "base") or (tag == "script" and "nonce" not in said):
            self.found.append(tag)
        self.found += [name for name in said if name.startswith("on") or name in ("style", "srcdoc")]
        self.found += [
            v for v in said.values() if v and v.strip().lower().startswith(("javascript:", "data:"))
        ]


@pytest.fixture
async def evil_desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    async with desks.desk_of(database, clock, tmp_path, billing_server, flow_text=FLOW) as opened:
        yield opened


async def test_a_value_of_a_customer_is_text_wherever_copy_puts_it(evil_desk: Desk) -> None:
    values = {"evil": EVIL, "tricky": "javascript:alert(1)\n\n<svg onload=alert(1)>"}
    seen = [await evil_desk.enter("cus_ben", attributes=values)]
    for action in ("continue", "decline"):
        form = {**_hidden(seen[-1].response.text), "action": action}
        answer = await evil_desk.visitor.client.post(seen[-1].path, data=form, headers=FROM_US)
        seen.append(Page(answer))
    assert len({page.path for page in seen}) == 3
    for page in seen:
        live = _Live()
        live.feed(page.response.text)
        assert live.found == []
        assert "alert(1)" in page.response.text  # it is there, as text


def _hidden(html: str) -> dict[str, str]:
    found: dict[str, str] = {}

    class Inputs(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            said = dict(attrs)
            if tag == "input" and said.get("type") == "hidden":
                found[said["name"] or ""] = said["value"] or ""

    Inputs().feed(html)
    return found


async def test_another_browser_gets_the_same_nothing_of_a_session_as_of_none(desk: Desk) -> None:
    page = await desk.enter("cus_ben")
    async with desk.browser() as mallory:
        await mallory.get(desk.merchant.mint("cus_ada"), headers=FROM_A_PAGE)
        before = desk.everything()
        for step in ("", "/why", "/confirm", "/done", "/resume-session", "/working"):
            for method in ("GET", "HEAD", "POST"):
                theirs, nobodys = [
                    await mallory.request(method, root + step, headers=FROM_US)
                    for root in (root_of(page), "/cancel/s/cs_000000000000000000000000")
                ]
                assert (theirs.status_code, nobodys.status_code) == (403, 403)
                assert len(theirs.content) == len(nobodys.content)
                assert "Northwind" not in theirs.text
    assert desk.everything() == before
