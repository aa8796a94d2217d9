"""A model reads what happened, over stdio and over HTTP, within its key's scopes, and changes nothing."""

import json

import httpx2
import pytest

from app.accounts.service import Scope
from app.db.tables.records import ApiUsage
from app.insights import turns
from app.insights.mcp import tools
from tests.mcp.conftest import PII, PLAIN, Asking, another_merchants, call, key, revoke_data_keys, strict
from tests.privacy.conftest import BEN, Bureau
from tests.support.merchant import LOOPBACK
from tests.support.pages import Visitor

pytestmark = pytest.mark.anyio

WORDS = "zanzibar-quagga"
TOOLS = {"list_sessions", "aggregate_sessions", "explain_session", "list_flows", "read_flow"}


async def leave(bureau: Bureau, customer: str = "cus_ben", words: str = WORDS) -> None:
    async with bureau.desk.browser() as client:
        await bureau.walk_and_cancel(Visitor(client), customer, words)


async def test_every_tool_is_read_only_and_says_what_it_takes(asking: Asking) -> None:
    async with asking(*PLAIN) as client:
        listed = (await client.list_tools()).tools
    assert {tool.name for tool in listed} == TOOLS
    for tool in listed:
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        assert "context" not in tool.input_schema["properties"]
        assert tool.input_schema["additionalProperties"] is False


async def test_a_session_is_listed_counted_and_explained(bureau: Bureau, asking: Asking) -> None:
    await leave(bureau)
    session_id = bureau.desk.session().id
    async with asking(*PII) as client:
        (found,) = (await call(client, "list_sessions")).data["sessions"]
        assert (found["_id"], found["outcome"]) == (session_id, "canceled")
        assert found["customer"]["email"] == BEN
        assert found["feedback"] == f"{WORDS} as feedback"
        rows = (await call(client, "aggregate_sessions", breakdown="outcome-response")).data["rows"]
        assert rows == [{"outcome": "canceled", "response": "Something is missing", "count": 1}]
        told = (await call(client, "explain_session", session_id=session_id)).data
    assert any("Something is missing" in line for line in told["story"])
    assert any(WORDS in line for line in told["story"])
    assert told["story"][-1].endswith("ended as canceled.")
    assert told["record"]["_id"] == session_id
    assert told["rules"]


async def test_without_the_scope_there_is_no_address_and_no_free_text(bureau: Bureau, asking: Asking) -> None:
    await leave(bureau)
    async with asking(*PLAIN) as client:
        answers = [
            await call(client, "list_sessions"),
            await call(client, "explain_session", session_id=bureau.desk.session().id),
            await call(client, "aggregate_sessions", breakdown="response"),
        ]
        asked = await call(client, "list_sessions", filters={"customerEmail": BEN})
    for answer in answers:
        assert not answer.is_error
        everything = answer.text + json.dumps(answer.data)
        assert BEN not in everything
        assert WORDS not in everything
    assert asked.is_error
    assert "sessions.read_pii" in asked.text


async def test_flows_are_read_version_by_version(bureau: Bureau, asking: Asking) -> None:
    async with asking(*PLAIN) as client:
        (only,) = (await call(client, "list_flows")).data["versions"]
        assert (only["version"], only["name"], only["isPublished"]) == (1, "Every kind", True)
        told = (await call(client, "read_flow", version=1)).data
        assert told["definition"]["steps"][0]["id"] == "why"
        assert (await call(client, "read_flow")).data == told
        missing = await call(client, "read_flow", version=99)
    assert missing.is_error
    assert "no such version" in missing.text


async def test_a_key_reads_what_its_scopes_say(asking: Asking) -> None:
    async with asking(Scope.FLOWS) as client:
        for tool, arguments in (
            ("list_sessions", {}),
            ("aggregate_sessions", {}),
            ("explain_session", {"session_id": "cs_1"}),
        ):
            refused = await call(client, tool, **arguments)
            assert refused.is_error
            assert "sessions.read" in refused.text
        assert not (await call(client, "list_flows")).is_error
    async with asking(Scope.SESSIONS) as client:
        refused = await call(client, "read_flow")
        assert refused.is_error
        assert "flows.read" in refused.text


async def test_what_is_wrong_is_named(over_http: Asking) -> None:
    async with over_http(*PII) as client:
        for arguments, named in (
            ({"filters": {"colour": "red"}}, "colour"),
            ({"filters": {"canceled": "perhaps"}}, "canceled"),
            ({"filters": {"limit": "9"}}, "limit"),
            ({"start_date": "yesterday"}, "start_date: "),
            ({"start_date": "2026-11-02", "end_date": "2026-11-01"}, "end_date: "),
            ({"time_zone": "Mars/Olympus"}, "time_zone: "),
            ({"cursor": "cs_nobody"}, "cursor"),
            ({"limit": 51}, "limit"),
            ({"limit": 0}, "limit"),
            ({"filters": {"response": "x" * 400}}, "filters"),
        ):
            refused = await call(client, "list_sessions", **arguments)
            assert refused.is_error, arguments
            assert named in refused.text
        wrong = await call(client, "aggregate_sessions", breakdown="shoe-size")
        assert wrong.is_error
        assert "breakdown" in wrong.text
        for unknown in ("cs_nobody", "cs_\u0000", "x" * 300):
            missing = await call(client, "explain_session", session_id=unknown)
            assert missing.is_error
            assert "no record of such a session" in missing.text


async def test_an_argument_that_there_is_not_is_refused(over_http: Asking) -> None:
    """Passed over, it would let a model take the answer to another question for its own."""
    async with over_http(*PII) as client:
        refused = await call(client, "list_sessions", startDate="2026-11-01")
        assert refused.is_error
        assert refused.text.startswith(
            "startDate: list_sessions has no such argument. There are: filters, start_date"
        )
        refused = await call(client, "list_flows", version=1)
        assert refused.text == "version: list_flows has no such argument. It takes none."


async def test_what_is_wrong_is_told_in_plain_words(over_http: Asking) -> None:
    async with over_http(*PII) as client:
        for tool, arguments, told in (
            ("list_sessions", {"limit": 51}, "limit: Must be at most 50."),
            ("aggregate_sessions", {"breakdown": ["day"]}, "breakdown: Must be a string."),
            ("explain_session", {}, "session_id: This field is required."),
        ):
            refused = await call(client, tool, **arguments)
            assert refused.is_error
            assert refused.text == told


async def test_a_list_goes_on_from_its_cursor_and_negation_works(bureau: Bureau, over_http: Asking) -> None:
    for customer in ("cus_ben", "cus_chen", "cus_farah"):
        await leave(bureau, customer)
        bureau.desk.clock.advance(minutes=1)
    async with over_http(*PII) as client:
        first = (await call(client, "list_sessions", limit=2)).data
        assert [one["customer"]["id"] for one in first["sessions"]] == ["cus_farah", "cus_chen"]
        rest = (await call(client, "list_sessions", limit=2, cursor=first["nextCursor"])).data
        assert [one["customer"]["id"] for one in rest["sessions"]] == ["cus_ben"]
        assert rest["nextCursor"] is None
        others = (await call(client, "list_sessions", filters={"-customerId": ["cus_ben", "cus_chen"]})).data
        assert [one["customer"]["id"] for one in others["sessions"]] == ["cus_farah"]


async def test_too_many_rows_are_refused(
    bureau: Bureau, over_http: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(bureau)
    monkeypatch.setattr(tools, "MOST_ROWS", 3)
    async with over_http(*PII) as client:
        span = {"start_date": "2026-11-01", "end_date": "2026-11-30"}
        refused = await call(client, "aggregate_sessions", breakdown="day", **span)
    assert refused.is_error
    assert "30 rows" in refused.text


async def test_a_question_that_takes_too_long_is_told_to_ask_for_less(
    bureau: Bureau, over_http: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(bureau)
    async with over_http(*PII) as client:
        monkeypatch.setattr(turns, "DEADLINE_S", 0.0)
        refused = await call(client, "aggregate_sessions", breakdown="outcome")
        assert refused.is_error
        assert "shorter span" in refused.text
        monkeypatch.undo()
        assert not (await call(client, "aggregate_sessions", breakdown="outcome")).is_error


async def test_another_organizations_sessions_are_not_found(bureau: Bureau, over_http: Asking) -> None:
    await leave(bureau)
    session_id = bureau.desk.session().id
    app_id, data_key = another_merchants(bureau)
    async with over_http(data_key=data_key, app_id=app_id) as client:
        assert (await call(client, "list_sessions")).data["sessions"] == []
        assert (await call(client, "explain_session", session_id=session_id)).is_error
        assert (await call(client, "list_flows")).data["versions"] == []


async def test_it_counts_as_usage_and_changes_nothing_else(bureau: Bureau, over_http: Asking) -> None:
    await leave(bureau)
    data_key = key(bureau, *PII)
    before = {n: r for n, r in bureau.desk.everything().items() if n not in ("api_usage", "api_keys")}
    async with over_http(data_key=data_key) as client:
        await call(client, "list_sessions")
        await call(client, "list_flows")
    after = {n: r for n, r in bureau.desk.everything().items() if n not in ("api_usage", "api_keys")}
    assert after == before
    assert "mcp/list_sessions" in {row.endpoint for row in bureau.desk.all(ApiUsage)}


async def test_http_refuses_who_has_no_data_key(bureau: Bureau, mcp_url: str) -> None:
    merchant = bureau.desk.merchant
    ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    async with httpx2.AsyncClient() as http:
        for headers in (
            {},
            {"x-ck-app": merchant.app_id, "x-ck-api-key": merchant.api_key},
            {"x-ck-app": merchant.app_id, "x-ck-api-key": "test_data_nonsense"},
            {"x-ck-app": "app_other", "x-ck-api-key": key(bureau, *PII)},
        ):
            refused = await http.post(mcp_url, json=ping, headers=headers)
            assert refused.status_code == 401
            assert refused.json()["code"] == "unauthorized"
            assert "www-authenticate" in refused.headers


async def test_http_takes_the_key_as_a_bearer_token_too(bureau: Bureau, mcp_url: str) -> None:
    headers = {
        "x-ck-app": bureau.desk.merchant.app_id,
        "authorization": f"Bearer {key(bureau, *PLAIN)}",
        "accept": "application/json, text/event-stream",
    }
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    async with httpx2.AsyncClient() as http:
        answer = await http.post(mcp_url, json=hello, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["serverInfo"]["name"] == "leavewell"
        huge = await http.post(mcp_url, content=b"x" * 70_000, headers=headers)
        assert huge.status_code == 413


async def test_a_revoked_key_is_refused_at_once(bureau: Bureau, over_http: Asking, mcp_url: str) -> None:
    data_key = key(bureau, *PLAIN)
    async with over_http(data_key=data_key) as client:
        assert not (await call(client, "list_flows")).is_error
        revoke_data_keys(bureau)
    headers = {"x-ck-app": bureau.desk.merchant.app_id, "x-ck-api-key": data_key}
    async with httpx2.AsyncClient() as http:
        refused = await http.post(
            mcp_url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers
        )
    assert refused.status_code == 401


async def ping(http: httpx2.AsyncClient, url: str, bureau: Bureau, data_key: str, address: str) -> int:
    """The status of a request that a proxy passes on from that address, after what it claims of itself."""
    headers = {
        "x-ck-app": bureau.desk.merchant.app_id,
        "x-ck-api-key": data_key,
        "x-forwarded-for": f"203.0.113.9, {address}",
        "accept": "application/json, text/event-stream",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return (await http.post(url, json=body, headers=headers)).status_code


async def test_behind_a_trusted_proxy_each_stranger_is_counted_by_his_own_address(bureau: Bureau) -> None:
    with strict(bureau, LOOPBACK) as url:
        async with httpx2.AsyncClient() as http:
            guesses = [await ping(http, url, bureau, f"guess{n}", "198.51.100.7") for n in range(4)]
            assert guesses == [401, 401, 401, 429]
            assert await ping(http, url, bureau, key(bureau, *PLAIN), "198.51.100.8") == 200
            assert await ping(http, url, bureau, key(bureau, *PLAIN), "198.51.100.7") == 429


async def test_nobody_makes_up_an_address_where_no_proxy_is_trusted(bureau: Bureau) -> None:
    with strict(bureau) as url:
        async with httpx2.AsyncClient() as http:
            guesses = [await ping(http, url, bureau, f"guess{n}", f"198.51.100.{n}") for n in range(4)]
    assert guesses == [401, 401, 401, 429]
