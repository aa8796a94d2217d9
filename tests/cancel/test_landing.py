"""Where a link lands: neither burnt by a scanner, nor costing the customer a click."""

import asyncio
import itertools
import re
from datetime import timedelta

import httpx
import pytest
from sqlmodel import Session

from app.adapters.signing import Signer
from app.db.tables.links import CancelLink
from tests.support.apps import OLD_SECRET
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE, FROM_NOWHERE, FROM_US, Visitor, new_client

SITES = ("cross-site", "same-site", "same-origin")
NAVIGATION = FROM_A_PAGE
# Whoever is not a person's browser led here by a page.
WITHOUT_A_PERSON = {
    "address bar, mail program": FROM_NOWHERE,
    "curl, a chat's preview": {},
    "in a frame": {**NAVIGATION, "Sec-Fetch-Dest": "iframe"},
    "as an image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "fetched by a script": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
    },
    "prefetched": {**NAVIGATION, "Sec-Purpose": "prefetch"},
    "prerendered": {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"},
    "prefetched the old way": {**NAVIGATION, "Purpose": "prefetch"},
    "an unknown site": {**NAVIGATION, "Sec-Fetch-Site": "elsewhere"},
    "without a mode": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},
    "without a destination": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
}
BODIES: dict[str, tuple[str, bytes]] = {
    "none": ("", b""),
    "form": ("application/x-www-form-urlencoded", b"customerId=cus_ada&token=other"),
    "multipart": ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
    "json": ("application/json", b'{"a": [1, 2'),
    "garbage": ("nonsense", b"\x00\xff\xfe" * 100),
    "form that is no form": ("application/x-www-form-urlencoded", b"%ff%fe=%00&&&=="),
    "large": ("application/octet-stream", b"x" * 900_000),
}
PERSONAL = ("cus_ben", "Ben", "Halvorsen", "ben@example.com", "Northwind", "sub_ben", "northwind")


@pytest.mark.parametrize("site", SITES)
async def test_a_navigation_from_a_page_opens_the_session_at_once(desk: Desk, site: str) -> None:
    path = desk.merchant.mint("cus_ben")
    answer = await desk.visitor.client.get(
        path, headers={**NAVIGATION, "Sec-Fetch-Site": site}, follow_redirects=False
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/cancel/s/{desk.session().id}/why"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    (link,) = desk.links()
    assert (link.consumed_at, link.exchanged_at, link.exchange_count) == (
        desk.clock.now(),
        desk.clock.now(),
        1,
    )
    page = await desk.visitor.open(answer.headers["location"], headers=FROM_A_PAGE)
    assert page.h1 == "Why do you want to leave?"


async def test_anything_else_changes_nothing(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", locale="en-GB")
    before = desk.everything()
    for (who, headers), method in itertools.product(WITHOUT_A_PERSON.items(), ("GET", "HEAD", "GET")):
        answer = await desk.visitor.client.request(method, path, headers=headers)
        assert answer.status_code == 200
        assert "noindex" in answer.headers["x-robots-tag"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "form-action 'self'" in answer.headers["content-security-policy"]
        assert "lw_browser=" in answer.headers["set-cookie"]
        assert not [word for word in PERSONAL if word in answer.text]
        assert (answer.text == "") == (method == "HEAD")
        assert desk.everything() == before, who


async def test_a_head_request_never_exchanges(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    before = desk.everything()
    for site in SITES:
        answer = await desk.visitor.client.head(path, headers={**NAVIGATION, "Sec-Fetch-Site": site})
        assert (answer.status_code, desk.everything()) == (200, before)


async def test_after_ten_scanners_the_customer_still_gets_in_with_one_press(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    for headers in list(WITHOUT_A_PERSON.values())[:10]:
        async with desk.browser() as scanner:
            await scanner.get(path, headers=headers)
            await scanner.head(path, headers=headers)
    page = await desk.visitor.open(path)
    assert page.buttons == ["Open the cancel page"]
    page = await desk.visitor.submit(page, "Open the cancel page")
    assert page.h1 == "Why do you want to leave?"
    assert desk.session().customer_id == "cus_ben"


async def test_a_post_exchanges_whatever_its_body_says(desk: Desk) -> None:
    for number, (kind, body) in enumerate(BODIES.values(), start=1):
        path = desk.merchant.mint("cus_ben")
        headers = {"Content-Type": kind} if kind else {}
        answer = await desk.visitor.client.post(path, content=body, headers=headers, follow_redirects=False)
        assert answer.status_code == 303, kind
        assert [s.customer_id for s in desk.sessions()] == ["cus_ben"] * number


async def test_a_merchants_307_leaves_the_sessions_in_other_tabs_alone(desk: Desk) -> None:
    """A cross-site POST comes without our Lax cookie; taken for a new browser it would overwrite the old one."""
    first = await desk.enter("cus_ben")
    path = desk.merchant.mint("cus_ada")
    cookies = dict(desk.visitor.client.cookies)
    async with new_client(desk.app) as without_cookie:
        sent_on = await without_cookie.post(path, headers=FROM_A_PAGE, follow_redirects=False)
    assert sent_on.status_code == 303
    assert sent_on.headers["location"] == path
    assert sent_on.headers["cache-control"] == "no-store"
    assert "set-cookie" not in sent_on.headers
    second = await desk.visitor.open(sent_on.headers["location"], headers=FROM_A_PAGE)  # now with the cookie
    assert second.path != first.path
    assert (await desk.visitor.open(first.url, headers=FROM_US)).h1 == first.h1
    assert dict(desk.visitor.client.cookies).keys() == cookies.keys()


async def test_a_browser_without_fetch_metadata_gets_in_by_the_button(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    await desk.visitor.client.get(path)
    page = await desk.visitor.client.post(path)
    assert page.status_code == 200
    assert "Why do you want to leave?" in page.text


@pytest.mark.parametrize("single_use", [True, False], ids=["single-use", "reusable"])
async def test_a_double_click_on_the_button_leads_to_one_session(desk: Desk, single_use: bool) -> None:
    path = desk.merchant.mint("cus_ben", single_use=single_use)
    await desk.visitor.open(path)
    client = desk.visitor.client
    answers = await asyncio.gather(
        *(client.post(path, headers=FROM_US, follow_redirects=False) for _ in range(4))
    )
    assert {a.headers["location"].removesuffix("/why") for a in answers} == {f"/cancel/s/{desk.session().id}"}


async def test_the_same_browser_comes_back_to_its_session(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    first = await desk.visitor.open(path, headers=FROM_A_PAGE)
    assert (await desk.visitor.open(path, headers=FROM_A_PAGE)).path == first.path
    assert (await desk.visitor.open(path, headers=FROM_NOWHERE)).path == first.path  # typed again
    desk.clock.advance(hours=2)  # the link has expired by now
    assert (await desk.visitor.open(path, headers=FROM_NOWHERE)).h1 == "You were away for a while"
    assert len(desk.sessions()) == 1


async def test_the_same_browser_sees_its_result_again(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    page = await desk.visitor.open(path, headers=FROM_A_PAGE)
    page = await desk.visitor.submit(page, "Cancel now")
    await desk.visitor.submit(page, "Keep my subscription")
    for headers in (FROM_A_PAGE, FROM_NOWHERE):
        assert (await desk.visitor.open(path, headers=headers)).h1 == "Your subscription goes on"


async def test_another_browser_is_told_how_to_go_on(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    await desk.visitor.open(path, headers=FROM_A_PAGE)
    before = desk.everything()
    async with desk.browser() as client:
        for headers in (FROM_A_PAGE, FROM_NOWHERE):
            page = await Visitor(client).open(path, headers=headers, status=410)
            assert page.h1 == "This link has already been used"
            assert page.links["help@northwind.example"] == "mailto:help@northwind.example"
            assert page.links["Back to Northwind Notes"] == "https://northwind.example/account"
            assert not [word for word in ("cus_ben", "Ben", "Halvorsen", "sub_ben") if word in page.text]
        answer = await client.post(path, headers=FROM_US)
        assert answer.status_code == 410
    assert desk.everything() == before


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"expires_at": timedelta(seconds=0)}, "This link has expired"),
        ({"revoked_at": timedelta(seconds=0)}, "This link is no longer valid"),
        ({"consumed_at": timedelta(seconds=0)}, "This link has already been used"),
    ],
    ids=["expired", "revoked", "used"],
)
async def test_a_link_that_is_over_says_why(desk: Desk, change: dict[str, timedelta], title: str) -> None:
    path = desk.merchant.mint("cus_ben", **{k: desk.clock.now() + v for k, v in change.items()})
    before = desk.everything()
    for method, headers in (("GET", FROM_A_PAGE), ("GET", FROM_NOWHERE), ("POST", FROM_US)):
        answer = await desk.visitor.client.request(method, path, headers=headers)
        assert answer.status_code == 410
        assert f">{title}</h1>" in answer.text
        assert "help@northwind.example" in answer.text
        assert "noindex" in answer.headers["x-robots-tag"]
    assert desk.everything() == before


async def test_a_link_revoked_while_the_button_was_read_is_not_exchanged(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    page = await desk.visitor.open(path)
    desk.database.write_sync(_revoke, desk)
    page = await desk.visitor.submit(page, "Open the cancel page", status=410)
    assert page.h1 == "This link is no longer valid"
    assert desk.sessions() == []


async def test_a_forged_link_is_answered_plainly_and_names_nobody(desk: Desk) -> None:
    good = desk.merchant.mint("cus_ben").removeprefix("/cancel/")
    unknown, _ = Signer(desk.merchant.settings.secrets).link_token()
    foreign, _ = Signer((OLD_SECRET,)).link_token()
    forged = [
        unknown,
        foreign,
        good[:-1] + ("A" if good[-1] != "A" else "E"),
        good + "=",
        good[:-2],
        good.upper(),
        "cl_",
        "cl_.",
        "cl_a.b",
        "cl_" + "A" * 4000,
        "cl_%00",
        "cl_%ff%fe",
        "cl_%F0%9F%98%80",
        "cl_..%2f..%2fetc",
        "cl_%3Cscript%3Ealert(1)%3C/script%3E",
        "nothing",
        "%20",
    ]
    before = desk.everything()
    for token in forged:
        for method in ("GET", "POST", "HEAD"):
            answer = await desk.visitor.client.request(method, f"/cancel/{token}", headers=FROM_A_PAGE)
            is_path = "/" in httpx.URL(f"/cancel/{token}").path.removeprefix("/cancel/")
            assert answer.status_code == (404 if is_path else 410), (method, token)
            assert "Northwind" not in answer.text
            assert "help@" not in answer.text
            if method == "GET" and not is_path:
                assert ">This link does not work</h1>" in answer.text
                assert "<script>alert" not in answer.text
    assert desk.everything() == before


async def test_a_reusable_link_opens_a_session_for_each_browser(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", single_use=False)
    mine = await desk.visitor.open(path, headers=FROM_A_PAGE)
    async with desk.browser() as client:
        theirs = await Visitor(client).open(path, headers=FROM_A_PAGE)
        assert theirs.path != mine.path
        assert (
            await Visitor(client).open(mine.path, status=403)
        ).h1 == "This page belongs to another browser"
    for headers in (FROM_A_PAGE, FROM_NOWHERE):
        assert (await desk.visitor.open(path, headers=headers)).path == mine.path
    assert len(desk.sessions()) == 2
    (link,) = desk.links()
    assert (link.consumed_at, link.exchange_count) == (None, 2)


async def test_a_reusable_link_begins_anew_once_its_session_is_over(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", single_use=False, expires_at=desk.clock.now() + timedelta(days=3))
    first = await desk.visitor.open(path, headers=FROM_A_PAGE)
    desk.clock.advance(hours=20)
    await desk.enter("cus_ada")  # the browser stays known
    desk.clock.advance(hours=5)
    second = await desk.visitor.open(path, headers=FROM_A_PAGE)
    assert second.path != first.path
    assert second.h1 == "Why do you want to leave?"


async def test_an_environments_own_address_tells_how_to_reach_the_merchant(desk: Desk) -> None:
    page = await desk.visitor.open(f"/cancel/{desk.merchant.app_id}")
    assert page.h1 == "How to cancel with Northwind Notes"
    assert "help@northwind.example" in page.links
    for unknown in (
        "app_nobody",
        "app_test_nobody",
        "app_",
        "app_%00",
        "app_%F0%9F%98%80",
        "app_" + "x" * 5000,
    ):
        page = await desk.visitor.open(f"/cancel/{unknown}", status=404)
        assert page.h1 == "There is no page here"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_browsers_cookie_is_ours_alone(desk: Desk, scheme: str) -> None:
    path = desk.merchant.mint("cus_ben")
    async with new_client(desk.app, origin=f"{scheme}://leavewell.test") as client:
        neutral = await client.get(path)
        exchanged = await client.post(path, headers=FROM_US, follow_redirects=False)
    for answer in (neutral, exchanged):
        name, *attributes = re.split(r";\s*", answer.headers["set-cookie"])
        assert name.startswith("lw_browser=")
        expected = {"path=/cancel", "httponly", "samesite=lax", "max-age=86400"}
        assert {a.lower() for a in attributes} == expected | ({"secure"} if scheme == "https" else set())


async def test_the_access_log_masks_the_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    path = desk.merchant.mint("cus_ben")
    token = path.removeprefix("/cancel/cl_")
    with caplog.at_level("INFO"):
        await desk.visitor.client.get(f"{path}?also={token}", headers=FROM_NOWHERE)
        await desk.visitor.client.get(path, headers=FROM_A_PAGE)
    assert "/cancel/cl_***" in caplog.text
    assert token not in caplog.text
    assert token.split(".")[0] not in caplog.text


async def test_the_database_holds_neither_token_nor_cookie(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    await desk.visitor.open(path, headers=FROM_A_PAGE)
    cookie = desk.visitor.client.cookies["lw_browser"]
    stored = str(desk.everything())
    for secret in (path.removeprefix("/cancel/cl_").split(".")[0], cookie, cookie.split(".")[0].strip('"')):
        assert secret not in stored


async def test_what_speaks_the_customers_language_is_the_links_locale(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", locale="en-GB")
    page = await desk.visitor.open(path, headers={**FROM_NOWHERE, "Accept-Language": "en-US"})
    assert page.root.all("html")[0]["lang"] == "en-GB"


async def test_other_methods_are_not_taken(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben")
    before = desk.everything()
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await desk.visitor.client.request(method, path)).status_code == 405
    assert desk.everything() == before


def _revoke(db: Session, desk: Desk) -> None:
    for link in desk.links():
        db.get_one(CancelLink, link.id).revoked_at = desk.clock.now()
