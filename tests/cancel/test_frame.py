"""What surrounds every screen: headers, brand, contact, nothing of a third party."""

import gzip
import re

from app.db.tables.accounts import Environment
from tests.support.desk import Desk
from tests.support.pages import FROM_US, Page


async def every_screen(desk: Desk) -> list[Page]:
    """One of each kind, as a customer comes by them."""
    pages = [await desk.visitor.open(desk.merchant.mint("cus_ada"))]
    for reason, customer in (
        ("price", "cus_ben"),
        ("unused", "cus_ben"),
        ("broken", "cus_ben"),
        ("too-big", "cus_ben"),
        ("more-time", "cus_dana"),
    ):
        pages.append(await desk.at_offer(reason, customer))
    pages.append(await desk.enter("cus_emil"))
    pages.append(await desk.at_confirm("cus_ben"))
    pages.append(await desk.visitor.submit(pages[-1], "Cancel my subscription"))
    pages.append(await desk.enter("cus_ben"))  # already scheduled
    pages.append(await desk.visitor.open(f"/cancel/{desk.merchant.app_id}"))
    pages.append(await desk.visitor.open("/cancel/cl_forged.token", status=410))
    return pages


async def test_every_screen_is_private_and_of_one_piece(desk: Desk) -> None:
    for page in await every_screen(desk):
        headers = page.response.headers
        assert headers["cache-control"] == "no-store", page.h1
        assert headers["referrer-policy"] == "no-referrer"
        assert "noindex" in headers["x-robots-tag"]
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert page.h1 in page.title


async def test_each_answer_has_a_nonce_of_its_own(desk: Desk) -> None:
    page = await desk.enter()
    nonces = set()
    for _ in range(3):
        answer = await desk.visitor.client.get(page.url, headers=FROM_US)
        nonces.update(re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]))
    assert len(nonces) == 3


async def test_the_first_screen_is_small(desk: Desk) -> None:
    page = await desk.enter()
    assert len(gzip.compress(page.response.content)) < 10_000


async def test_the_merchants_name_and_contact_stand_on_every_screen_of_a_session(desk: Desk) -> None:
    desk.merchant.change(contact_url="https://northwind.example/help/")
    page = await desk.enter()
    assert "Northwind Notes" in page.text
    assert page.links["help@northwind.example"] == "mailto:help@northwind.example"
    desk.merchant.change(contact_email=None)
    page = await desk.visitor.open(page.url, headers=FROM_US)
    assert page.links["northwind.example/help"] == "https://northwind.example/help/"


async def test_a_merchant_without_any_contact_breaks_nothing(desk: Desk) -> None:
    desk.merchant.change(contact_email=None, contact_url=None, return_url=None, return_origins=[])
    page = await desk.visitor.submit(await desk.at_offer("broken"), "Cancel now")
    await desk.visitor.submit(page, "Cancel my subscription")
    used = desk.merchant.mint("cus_ben", consumed_at=desk.clock.now())
    assert (await desk.visitor.open(used, status=410)).h1 == "This link has already been used"


async def test_a_live_environment_shows_no_test_mark(desk: Desk) -> None:
    (live,) = [e.app_id for e in desk.all(Environment) if e.mode == "live"]
    page = await desk.enter(app_id=live)  # connected to no billing yet, and still one can leave
    assert page.h1 == "Why do you want to leave?"
    assert "TEST" not in page.text
    assert desk.session().mode == "live"
    page = await desk.visitor.submit(page, "Cancel now")
    page = await desk.visitor.submit(page, "Cancel my subscription")
    assert page.h1 == "One moment, please"
    desk.clock.advance(seconds=10)
    assert (await desk.visitor.open(page.url, headers=FROM_US)).h1 == "We have your cancellation"
