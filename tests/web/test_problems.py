"""JSON bodies: read strictly, and every refusal a problem document that says where."""

import json
from typing import Any

import httpx
import pytest

from tests.web.conftest import SHARED, Probe

JSON = "application/json"


async def send(probe: Probe, body: bytes, kind: str = JSON) -> httpx.Response:
    return await probe.visitor.client.post(
        "/v1/probe/orders", content=body, headers={"Content-Type": kind} if kind else {}
    )


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    assert document.keys() == {"type", "title", "status", "detail", "code", "errors", "message"}
    assert document["status"] == answer.status_code
    assert document["message"] == document["detail"]
    return document


async def test_a_good_body_becomes_a_model(probe: Probe) -> None:
    answer = await send(probe, '{"customer": "Zoë 🎉\\n"}'.encode())
    assert answer.status_code == 201
    assert answer.json()["customer"] == "Zoë 🎉\n"


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=UTF-8", "application/vnd.x+json"])
async def test_every_spelling_of_json_is_json(probe: Probe, kind: str) -> None:
    assert (await send(probe, b'{"customer": "a"}', kind)).status_code == 201


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "line 1, column 2"),
        (b"{'customer': 1}", "not valid JSON"),
        (b'\xef\xbb\xbf{"customer": "a"}', "not valid JSON"),
        (b'{"customer": "\xff"}', "not valid UTF-8"),
        (b'{"customer": "a", "customer": "b"}', "same field twice"),
        (b'{"customer": "a", "items": [{"name": "a", "name": "a"}]}', "same field twice"),
        (b'{"customer": "a", "amount": NaN}', "NaN"),
        (b'{"customer": "a", "amount": -Infinity}', "-Infinity"),
        (b'{"customer": "a", "amount": 1e999}', "too large"),
        (b'{"customer": "a", "amount": ' + b"9" * 5000 + b"}", "too long"),
        (b"[" * 900 + b"]" * 900, "nested"),
        (b"[" * 1999, "nested"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested"),
    ],
)
async def test_malformed_json_is_a_400_that_says_why(probe: Probe, body: bytes, words: str) -> None:
    big = len(body) > 2000
    document = problem(await send(probe, body))
    if big:
        assert document["code"] == "payload_too_large"
    else:
        assert (document["status"], document["code"]) == (400, "malformed_json")
        assert words in document["detail"]


async def test_a_body_too_large_is_a_413(probe: Probe) -> None:
    assert problem(await send(probe, b" " * 2001))["code"] == "payload_too_large"


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
)
async def test_another_type_is_a_415(probe: Probe, kind: str) -> None:
    assert problem(await send(probe, b"{}", kind))["status"] == 415


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "customer"),
        ({"customer": 1}, "customer"),
        ({"customer": "a", "surprise": 1}, "surprise"),
        ({"customer": "a", "items": [{"name": "ok"}, {"name": "too long"}]}, "items[1].name"),
        ({"customer": "a\x00b"}, "customer"),
        ({"customer": "a", "items": [{"name": "\x1b"}]}, "items[0].name"),
        ({"customer": "\ud83d"}, "customer"),
        ([], ""),
        ("text", ""),
        (None, ""),
    ],
)
async def test_invalid_input_is_a_422_that_names_the_path(probe: Probe, body: Any, field: str) -> None:
    document = problem(await send(probe, json.dumps(body).encode()))
    assert (document["status"], document["code"]) == (422, "invalid_input")
    assert [error["field"] for error in document["errors"]] == [field]
    assert all(error["message"] for error in document["errors"])


async def test_what_was_sent_is_not_repeated(probe: Probe) -> None:
    assert "secret" not in (await send(probe, b'{"customer": {"secret": 1}, "secretive": 1}')).text.replace(
        "secretive", ""
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("DELETE", "/v1/probe/orders", 405, "method_not_allowed"),
        ("GET", "/v1/probe/raise/conflict", 409, "conflict"),
        ("GET", "/v1/probe/raise/slow-down", 429, "too_many_requests"),
        ("GET", "/v1/probe/raise/bug", 500, "internal_error"),
        ("GET", "/v1/probe/raise/framework", 403, "forbidden"),
        ("GET", "/v1/probe/number?count=three", 400, "bad_request"),
        ("GET", "/v1/probe/number", 400, "bad_request"),
        ("POST", "/v1/probe/%ff", 404, "not_found"),
    ],
)
async def test_every_error_under_v1_is_a_problem(
    probe: Probe, method: str, path: str, status: int, code: str
) -> None:
    answer = await probe.visitor.client.request(method, path)
    document = problem(answer)
    assert (document["status"], document["code"]) == (status, code)
    assert SHARED not in answer.text
    assert "internal words" not in answer.text


async def test_a_parameter_that_is_wrong_is_named(probe: Probe) -> None:
    document = problem(await probe.visitor.client.get("/v1/probe/number?count=three"))
    assert [error["field"] for error in document["errors"]] == ["count"]


async def test_errors_of_ours_keep_their_fields_and_say_when_to_come_back(probe: Probe) -> None:
    client = probe.visitor.client
    fields = problem(await client.get("/v1/probe/raise/fields"))["errors"]
    assert fields == [{"field": "items[0].name", "message": "Too long."}]
    assert (await client.get("/v1/probe/raise/slow-down")).headers["retry-after"] == "7"
    assert "POST" in (await client.delete("/v1/probe/orders")).headers["allow"]
