"""The shop's mailbox and help pages, as they are answered."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo.customers import SECOND_ACCOUNT
from tests.demo.shops import KEYS, ORIGIN, Shop, letter, open_shop, put
from tests.support.html import parse


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


def words(page: str) -> str:
    return parse(page).all("main")[0].text


def links(page: str) -> list[str]:
    return [link["href"] for link in parse(page).all("a")]


# --- The list


async def test_an_empty_mailbox_says_how_to_get_mail(shop: Shop) -> None:
    page = await shop.page("/demo/mailbox")
    assert "Nothing yet" in words(page)
    assert "/demo/help/cancel-without-signing-in" in links(page)


async def test_the_list_tells_subject_recipient_and_time_and_leads_to_the_mail(shop: Shop) -> None:
    put(shop.mailbox, letter("An older one", id="mail_1"))
    id = put(shop.mailbox, letter("The newest", id="mail_2"), recipient="emil@example.com")
    page = await shop.page("/demo/mailbox")
    first, second = parse(page).all("ol")[0].all("li")
    assert first.text == "The newest to emil@example.com 21 Nov 2026, 09:00 UTC"
    assert "An older one to ben@example.com" in second.text
    assert first.all("a")[0]["href"] == f"/demo/mailbox/{id}"


@pytest.mark.parametrize("customer", [None, "cus_ada"])
async def test_every_page_leads_to_the_mailbox_and_out(shop: Shop, customer: str | None) -> None:
    if customer:
        await shop.sign_in(customer)
    found = links(await shop.page("/demo"))
    assert "/demo/mailbox" in found
    assert "/demo/help/cancel-without-signing-in" in found


async def test_with_a_mail_server_the_page_says_where_mail_goes(tmp_path: Path) -> None:
    async with open_shop(tmp_path, mail_server="smtp.acme.example") as shop:
        id = put(shop.mailbox, letter("From an earlier run"))
        said = words(await shop.page("/demo/mailbox"))
        assert "Mail goes to smtp.acme.example" in said
        assert "From an earlier run" not in said
        await shop.page(f"/demo/mailbox/{id}", status=404)


# --- A mail


async def test_a_mail_is_shown_as_it_looks_as_text_and_as_source(shop: Shop) -> None:
    id = put(shop.mailbox, letter("Your code", text="Type <b>123 456</b>"))
    page = parse(await shop.page(f"/demo/mailbox/{id}"))
    frame = page.all("iframe")[0]
    assert frame["src"] == f"/demo/mailbox/{id}/html"
    assert frame["sandbox"] == "allow-top-navigation-by-user-activation"
    text, source = page.all("pre")
    assert text.text == "Type <b>123 456</b>"
    assert "Message-ID: <mail_1@northwind.example>" in source.raw_text
    assert "Delivered-To: ben@example.com" in source.raw_text


async def test_a_mail_without_html_shows_its_text(shop: Shop) -> None:
    id = put(shop.mailbox, letter(html=None))
    page = await shop.page(f"/demo/mailbox/{id}")
    assert not parse(page).all("iframe")
    assert "It is plain text alone." in page
    await shop.page(f"/demo/mailbox/{id}/html", status=404)


async def test_html_comes_under_a_policy_that_allows_nothing(shop: Shop) -> None:
    id = put(shop.mailbox, letter(html="<p>Hello"))
    answer = await shop.browser.get(f"/demo/mailbox/{id}/html")
    assert answer.text.strip() == '<!doctype html><base target="_top"><p>Hello'
    policy = dict(
        directive.strip().partition(" ")[::2]
        for directive in answer.headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
        "sandbox": "allow-top-navigation-by-user-activation",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_attachments_are_for_keeping(shop: Shop) -> None:
    id = put(shop.mailbox, letter(file=('a"b; é.html', b"<script>alert(1)</script>")))
    page = await shop.page(f"/demo/mailbox/{id}")
    assert f"/demo/mailbox/{id}/files/1" in links(page)
    answer = await shop.browser.get(f"/demo/mailbox/{id}/files/1")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22b%3B%20%C3%A9.html"
    for number in ("0", "2", "-1", "x", "99999999999999999999"):
        await shop.page(f"/demo/mailbox/{id}/files/{number}", status=404)


async def test_the_source_is_a_file_that_mail_programs_open(shop: Shop) -> None:
    id = put(shop.mailbox, letter())
    answer = await shop.browser.get(f"/demo/mailbox/{id}/source")
    assert answer.headers["content-type"].startswith("message/rfc822")
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{id}.eml"
    kept = shop.mailbox.find(id)
    assert kept is not None
    assert answer.content == kept.source


async def test_what_a_mail_says_stays_text_on_the_shops_pages(shop: Shop) -> None:
    bad = "<script>alert(1)</script>"
    id = put(shop.mailbox, letter(bad, text=bad, html=bad, file=(f"{bad}.json", b"")), recipient=bad)
    for path in ("/demo/mailbox", f"/demo/mailbox/{id}"):
        assert not parse(await shop.page(path)).all("script")


@pytest.mark.parametrize("path", ["0" * 20, "..%2f..%2fsecret", "%2e%2e", "x" * 3000, "%00", "%F0%9F%92%A9"])
async def test_a_mail_that_is_not_there_is_not_found(shop: Shop, path: str) -> None:
    for part in ("", "/html", "/source", "/files/1"):
        answer = await shop.browser.get(f"/demo/mailbox/{path}{part}")
        assert answer.status_code == 404


async def test_the_mailbox_changes_nothing_and_takes_no_forms(shop: Shop) -> None:
    id = put(shop.mailbox, letter())
    for path in ("/demo/mailbox", f"/demo/mailbox/{id}", f"/demo/mailbox/{id}/html"):
        assert (await shop.browser.head(path)).status_code == 200
        assert (await shop.browser.post(path)).status_code == 405


# --- Help


@pytest.mark.parametrize("mode", ["test", "live"])
async def test_help_leads_to_the_public_address_of_the_mode(shop: Shop, mode: str) -> None:
    await shop.browser.post("/demo/mode", data={"mode": mode})
    page = await shop.page("/demo/help/cancel-without-signing-in")
    assert f"{ORIGIN}/cancel/{KEYS[mode].app_id}" in links(page)


async def test_help_names_an_address_with_two_accounts(shop: Shop) -> None:
    assert SECOND_ACCOUNT.email in words(await shop.page("/demo/help/cancel-without-signing-in"))
    found = shop.billing.find_customers_by_email("test", SECOND_ACCOUNT.email)
    assert [customer["id"] for customer in found] == ["cus_emil", "cus_emil_work"]


async def test_nobody_signs_in_to_the_shop_as_the_second_account(shop: Shop) -> None:
    answer = await shop.browser.post("/demo/sign-in", data={"customer": SECOND_ACCOUNT.id})
    assert answer.status_code == 404
