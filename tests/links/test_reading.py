"""Listing, reading and revoking links."""

from typing import Any

import pytest
from sqlmodel import Session, select

from app.adapters.signing import Signer
from app.db.tables.events import EventRow
from app.links import service
from app.links.service import LinkNotUsable
from tests.support.backend import Backend


def exchange(backend: Backend, token: str) -> None:
    digest = Signer(backend.settings.secrets).read_link(token)
    assert digest

    def use(db: Session) -> None:
        link, _ = service.hold(db, token_sha256=digest)
        service.exchange(db, link, session_id="cs_1", browser_sha256="b" * 64, now=backend.clock.now())

    backend.database.write_sync(use)


async def ids(backend: Backend, **params: Any) -> tuple[list[str], str | None]:
    answer = (await backend.get(**params)).json()
    return [link["id"] for link in answer["data"]], answer["nextCursor"]


async def test_links_come_newest_first_a_page_at_a_time(backend: Backend) -> None:
    minted = []
    for number in range(5):
        if number != 3:  # two of one instant
            backend.clock.advance(seconds=1)
        minted.append((await backend.minted(customerId=f"cus_{number}"))["id"])
    everything, end = await ids(backend)
    assert end is None
    assert sorted(everything) == sorted(minted)
    assert everything[0] == minted[4]
    assert everything[4] == minted[0]
    paged: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await ids(backend, limit=2, **({"cursor": cursor} if cursor else {}))
        paged += page
        if cursor is None:
            break
    assert paged == everything


async def test_a_page_has_twenty_links_unless_told_otherwise(backend: Backend) -> None:
    for _ in range(21):
        await backend.minted()
    page, cursor = await ids(backend)
    assert len(page) == 20
    assert cursor
    assert len((await ids(backend, limit=100))[0]) == 21


async def test_one_customers_links_alone(backend: Backend) -> None:
    mine = (await backend.minted(customerId="cus_1"))["id"]
    await backend.minted(customerId="cus_2")
    assert (await ids(backend, customerId="cus_1")) == ([mine], None)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "MjAyNi0xMS0yMVQwOTowMDowMFogAA"}, "cursor"),
        ({"customerId": "a\x00"}, "customerId"),
        ({"customerID": "cus_1"}, "customerID"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(
    backend: Backend, params: dict[str, Any], field: str
) -> None:
    answer = await backend.get(**params)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_link_tells_what_became_of_it(backend: Backend) -> None:
    told = await backend.minted(singleUse=False, locale="de")
    read = (await backend.get(f"/{told['id']}")).json()
    assert read == {
        **{name: value for name, value in told.items() if name not in ("url", "token")},
        "exchangedAt": None,
        "consumedAt": None,
        "revokedAt": None,
        "returnUrl": None,
        "locale": "de",
    }
    exchange(backend, told["token"])
    assert (await backend.get(f"/{told['id']}")).json()["status"] == "exchanged"
    backend.clock.advance(hours=1)
    assert (await backend.get(f"/{told['id']}")).json()["status"] == "expired"


async def test_a_single_use_link_is_used_up(backend: Backend) -> None:
    told = await backend.minted()
    exchange(backend, told["token"])
    read = (await backend.get(f"/{told['id']}")).json()
    assert (read["status"], read["consumedAt"]) == ("consumed", "2026-11-21T09:00:00Z")


async def test_a_revoked_link_opens_nothing(backend: Backend) -> None:
    told = await backend.minted()
    first = (await backend.revoke(told["id"])).json()
    assert (first["status"], first["revokedAt"]) == ("revoked", "2026-11-21T09:00:00Z")
    backend.clock.advance(minutes=1)
    assert (await backend.revoke(told["id"])).json() == first
    with pytest.raises(LinkNotUsable):
        exchange(backend, told["token"])
    told_events = backend.database.read_sync(lambda db: [row.type for row in db.exec(select(EventRow))])
    assert sorted(told_events) == ["cancel_link.created", "cancel_link.revoked"]


@pytest.mark.parametrize("link_id", ["lnk_unknown", "%00", "%20", "a" * 3000, "🎉"])
async def test_an_unknown_link_is_a_404(backend: Backend, link_id: str) -> None:
    for answer in (await backend.get(f"/{link_id}"), await backend.revoke(link_id)):
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("PUT", "/lnk_1", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/lnk_1/revoke", {"POST", "OPTIONS"}),
    ],
)
async def test_other_methods_are_refused_with_those_that_there_are(
    backend: Backend, method: str, path: str, allowed: set[str]
) -> None:
    answer = await backend.client.request(method, f"/v1/cancel-sessions{path}", headers=backend.headers)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == allowed


async def test_head_and_options_answer_too(backend: Backend) -> None:
    head = await backend.client.head("/v1/cancel-sessions", headers=backend.headers)
    assert (head.status_code, head.content) == (200, b"")
    options = await backend.client.options("/v1/cancel-sessions")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS, POST"
