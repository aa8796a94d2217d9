"""A receipt at its address: what it says, to whom, how it is kept, and the way back from it."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest

from app.adapters import ed25519
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.receipt_file import read_file, read_jwks
from app.db.tables.receipts import Receipt
from app.receipts import keys
from app.receipts.address import path_of
from tests.cancel.test_results import facts, written
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE, FROM_NOWHERE, FROM_US, Page
from tests.support.press import press

SIGNER = Signer([SECRET])
KEYS = "/.well-known/leavewell-receipts.json"
DOWNLOAD, UNDO = "Download the signed file", "Keep my subscription after all"


async def canceled(desk: Desk) -> Receipt:
    """Ben has canceled, and the worker has done its part."""
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    await desk.worker().drain()
    return newest(desk)


def newest(desk: Desk) -> Receipt:
    return max(desk.all(Receipt), key=lambda receipt: (receipt.created_at, receipt.status == "confirmed"))


async def opened(desk: Desk, receipt: Receipt, *, status: int = 200) -> Page:
    """Its page, in a browser that was never here: from a mail program."""
    return await desk.visitor.open(path_of(SIGNER, receipt.id), status=status)


# --- What it says ----------------------------------------------------------------------------------------------------


async def test_a_cancellation_says_what_ends_when_and_how_to_ask(desk: Desk) -> None:
    receipt = await canceled(desk)
    desk.visitor.client.cookies.clear()
    page = await opened(desk, receipt)
    ends = desk.subscription()["end"]
    assert page.h1 == "Your subscription is canceled"
    assert page.title == "Receipt: Your subscription is canceled – Northwind Notes"
    assert f"Pro stays on until {written(ends)}." in page.text
    rows = facts(page)
    assert rows["Asked for"] == rows["Done"] == "21 November 2026, 09:00 UTC"
    assert rows["Reference"] == receipt.content["reference"]
    assert (rows["From"], rows["Contact"]) == ("Northwind Notes", "help@northwind.example")
    assert (rows["Customer"], rows["Receipt"]) == ("cus_ben", receipt.id)
    assert "Receipt written" not in rows


async def test_times_stand_by_the_customers_clock_and_in_utc(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.visitor.client.cookies.set("lw_zone", "Asia/Tokyo", path="/cancel")
    await press(desk.visitor, page, "confirm")
    rows = facts(await opened(desk, newest(desk)))
    assert rows["Asked for"] == "21 November 2026, 18:00 (Tokyo) 21 November 2026, 09:00 UTC"


async def test_days_are_the_customers_own(desk: Desk) -> None:
    receipt = await canceled(desk)
    ends = "2026-12-01T23:30:00Z"
    change(desk, receipt, timeZone="Europe/Berlin", facts={**receipt.content["facts"], "endsAt": ends})
    page = await opened(desk, receipt)
    assert "Pro stays on until Wednesday, 2 December 2026." in page.text
    assert facts(page)["Ends on"] == "2 December 2026, 00:30 (Berlin) 1 December 2026, 23:30 UTC"


async def test_an_offer_stands_as_it_was_shown_with_its_prices(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_offer("price"), "accept")
    receipt = newest(desk)
    headline = "Three months at half the price, <b>Ben</b>"
    change(
        desk,
        receipt,
        offer={**receipt.content["offer"], "headline": headline, "body": "<p>Stay a <b>bit</b></p>"},
    )
    page = await opened(desk, receipt)
    assert page.h1 == "Your discount is in place"
    assert headline in page.text
    assert "Stay a bit" in page.text
    rows = facts(page)
    assert rows["Price until now"] == "$29.00 a month"
    assert rows["Price"] == "$14.50 a month"
    assert "Back to $29.00" in rows


async def test_while_billing_is_down_it_says_requested_and_a_second_one_confirms(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    await press(desk.visitor, page, "confirm")
    asked = newest(desk)
    page = await opened(desk, asked)
    assert page.h1 == "We have your cancellation"
    assert "is canceled" not in page.text
    assert "Done" not in facts(page)
    desk.faults.clear()
    desk.clock.advance(hours=1)
    await desk.worker().drain()
    page = await opened(desk, newest(desk))
    assert page.h1 == "Your subscription is canceled"
    assert facts(page)["Asked for"] == "21 November 2026, 09:00 UTC"
    assert facts(page)["Done"] == "21 November 2026, 10:00 UTC"
    assert (await opened(desk, asked)).h1 == "We have your cancellation"


async def test_it_speaks_the_receipts_own_language_whatever_the_reader_has(desk: Desk) -> None:
    receipt = await canceled(desk)
    change(desk, receipt, locale="en-US")
    answer = await desk.visitor.client.get(path_of(SIGNER, receipt.id), headers={"Accept-Language": "en-GB"})
    assert "November 21, 2026" in answer.text


# --- The signed file -------------------------------------------------------------------------------------------------


async def test_the_file_is_checked_with_nothing_but_the_published_keys(desk: Desk) -> None:
    receipt = await canceled(desk)
    page = await opened(desk, receipt)
    answer = await desk.visitor.client.get(page.links[DOWNLOAD])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="receipt-{receipt.content["reference"]}.json"'
    )
    assert answer.headers["cache-control"] == "no-store"
    assert "noindex" in answer.headers["x-robots-tag"]
    published = await desk.visitor.client.get(KEYS)
    signed = read_file(answer.text)
    key = read_jwks(published.text)[signed.key_id]
    assert ed25519.is_signed(key, signed.signed_bytes(), signed.signature)
    assert signed.content == receipt.content
    assert signed.key_id in page.text


async def test_the_file_before_the_worker_is_the_file_after_it(desk: Desk) -> None:
    desk.database.write_sync(keys.ensure_key, desk.ports.vault, desk.clock.now())
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    place = f"{path_of(SIGNER, newest(desk).id)}/receipt.json"
    before = await desk.visitor.client.get(place)
    assert newest(desk).signature is None
    desk.clock.advance(hours=1)
    desk.database.write_sync(keys.rotate, desk.ports.vault, desk.clock.now())
    await desk.worker().drain()
    assert newest(desk).signature is not None
    assert (await desk.visitor.client.get(place)).text == before.text


async def test_until_there_is_a_key_the_page_says_that_the_file_follows(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    receipt = newest(desk)
    page = await opened(desk, receipt)
    assert page.h1 == "Your subscription is canceled"
    assert "The signed file follows in a moment." in page.text
    assert DOWNLOAD not in page.links
    answer = await desk.visitor.client.get(f"{path_of(SIGNER, receipt.id)}/receipt.json")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_lost_key_costs_no_receipt(desk: Desk) -> None:
    lost = desk.database.write_sync(keys.rotate, Vault([OLD_SECRET]), desk.clock.now())
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    assert DOWNLOAD not in (await opened(desk, newest(desk))).links
    await desk.worker().drain()
    assert DOWNLOAD in (await opened(desk, newest(desk))).links
    assert newest(desk).key_id != lost.id


async def test_every_key_is_published_for_anybody_and_may_be_kept_an_hour(desk: Desk) -> None:
    empty = await desk.visitor.client.get(KEYS)
    assert empty.json() == {"keys": []}
    made = [desk.database.write_sync(keys.rotate, desk.ports.vault, desk.clock.now()) for _ in range(2)]
    answer = await desk.visitor.client.get(KEYS)
    assert [key["kid"] for key in answer.json()["keys"]] == [key.id for key in made]
    assert answer.json()["keys"][0].keys() == {"kty", "crv", "alg", "use", "kid", "x"}
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert (await desk.visitor.client.head(KEYS)).status_code == 200
    assert (await desk.visitor.client.post(KEYS)).status_code == 405


# --- Who may read it -------------------------------------------------------------------------------------------------


async def test_reading_changes_nothing(desk: Desk) -> None:
    receipt = await canceled(desk)
    place, before = path_of(SIGNER, receipt.id), desk.everything()
    for method in ("GET", "HEAD"):
        for headers in (FROM_A_PAGE, FROM_NOWHERE, FROM_US, {}):
            for path in (place, f"{place}/receipt.json"):
                answer = await desk.visitor.client.request(method, path, headers=headers)
                assert answer.status_code == 200
                assert "set-cookie" not in answer.headers
                assert bool(answer.content) == (method == "GET")
    assert desk.everything() == before


async def test_nobody_keeps_it_or_finds_it(desk: Desk) -> None:
    answer = await desk.visitor.client.get(path_of(SIGNER, (await canceled(desk)).id))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_an_address_that_is_not_ours_tells_nothing(desk: Desk) -> None:
    receipt = await canceled(desk)
    token = SIGNER.sign("receipt", receipt.id)
    wrong = [
        receipt.id,
        token[:-1],
        f"{token}A",
        token.upper(),
        SIGNER.sign("link", receipt.id),
        Signer([OLD_SECRET]).sign("receipt", receipt.id),
        "x" * 5000,
        "%00",
        "%F0%9F%98%80.x",
    ]
    before = desk.everything()
    for bad in wrong:
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/receipt.json")):
            answer = await desk.visitor.client.request(
                method, f"/cancel/receipts/{bad}{path}", headers=FROM_US
            )
            assert answer.status_code == 404, bad
            assert "Northwind" not in answer.text
            assert "There is no receipt here" in answer.text
    assert desk.everything() == before


async def test_an_address_of_ours_that_leads_to_nothing_was_a_receipts_that_is_erased(desk: Desk) -> None:
    gone = SIGNER.sign("receipt", "rcp_gone")
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/receipt.json")):
        answer = await desk.visitor.client.request(method, f"/cancel/receipts/{gone}{path}", headers=FROM_US)
        assert answer.status_code == 410
        assert "This receipt has been erased" in answer.text
        assert "Northwind" not in answer.text


async def test_an_address_from_before_a_change_of_secret_is_read_while_the_old_one_is_kept(
    desk: Desk,
) -> None:
    receipt = await canceled(desk)
    ring = Signer([OLD_SECRET, SECRET])
    assert ring.read("receipt", SIGNER.sign("receipt", receipt.id)) == receipt.id


async def test_the_log_does_not_hold_the_address(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = await canceled(desk)
    capsys.readouterr()
    place = path_of(SIGNER, receipt.id)
    await desk.visitor.client.get(f"{place}/receipt.json")
    logged = "".join(capsys.readouterr())
    assert "rcp_***" in logged
    assert place.rpartition(".")[2] not in logged


# --- The way back ----------------------------------------------------------------------------------------------------


async def test_a_cancellation_is_taken_back_from_any_browser(desk: Desk) -> None:
    receipt = await canceled(desk)
    desk.clock.advance(days=3)
    desk.visitor.client.cookies.clear()
    page = await opened(desk, receipt)
    assert "Changed your mind?" in page.text
    result = await desk.visitor.submit(page, UNDO)
    assert result.h1 == "Your subscription goes on"
    assert desk.billed() == ["cancel", "uncancel"]
    page = await opened(desk, receipt)
    assert UNDO not in page.buttons
    assert "This cancellation was taken back later." in page.text
    assert "What held before" in page.text
    assert "What holds now" not in page.text
    assert "Can be undone until" not in page.text


async def test_what_is_taken_back_is_told_by_the_same_clocks(desk: Desk) -> None:
    receipt = await canceled(desk)
    change(desk, receipt, timeZone="Europe/Berlin")
    await desk.visitor.submit(await opened(desk, receipt), UNDO)
    (undone,) = (one for one in desk.all(Receipt) if one.content["type"] == "uncancel")
    assert undone.content["timeZone"] == "Europe/Berlin"


async def test_pressed_twice_it_is_taken_back_once(desk: Desk) -> None:
    page = await opened(desk, await canceled(desk))
    first = await desk.visitor.submit(page, UNDO)
    second = await desk.visitor.submit(page, UNDO)
    assert first.path == second.path
    assert desk.billed() == ["cancel", "uncancel"]


async def test_another_browser_that_comes_later_is_told_that_it_is_done(desk: Desk) -> None:
    page = await opened(desk, await canceled(desk))
    await desk.visitor.submit(page, UNDO)
    desk.visitor.client.cookies.clear()
    late = await desk.visitor.submit(page, UNDO, status=410)
    assert "This cancellation was taken back later." in late.text
    assert UNDO not in late.buttons
    assert desk.billed() == ["cancel", "uncancel"]


async def test_after_the_end_there_is_no_way_back(desk: Desk) -> None:
    receipt = await canceled(desk)
    page = await opened(desk, receipt)
    desk.clock.advance(days=40)
    assert UNDO not in (await opened(desk, receipt)).buttons
    late = await desk.visitor.submit(page, UNDO, status=410)
    assert "This can no longer be undone" in late.text
    assert desk.billed() == ["cancel"]


async def test_while_it_is_being_undone_other_browsers_begin_nothing_and_nobody_is_mailed_again(
    desk: Desk,
) -> None:
    receipt = await canceled(desk)
    desk.break_billing()
    answers = [
        await desk.browser().post(path_of(SIGNER, receipt.id), headers=FROM_US, follow_redirects=False)
        for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [303, 409, 409, 409]
    assert "This is being undone already" in answers[1].text
    assert [effect.type for effect in desk.effects()] == ["cancel", "uncancel"]
    assert len(desk.all(Receipt)) == 2


async def test_of_many_browsers_at_once_one_undoes_it(desk: Desk) -> None:
    receipt = await canceled(desk)
    answers = await asyncio.gather(
        *(
            desk.browser().post(path_of(SIGNER, receipt.id), headers=FROM_US, follow_redirects=False)
            for _ in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers).count(303) == 1
    await desk.worker().drain()
    assert desk.billed() == ["cancel", "uncancel"]
    assert [newest.content["type"] for newest in desk.all(Receipt)].count("uncancel") == 1


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"action=undo&csrf_token=x", b"%ff%fe=%00&&&==" * 1000])
async def test_the_body_of_the_form_does_not_matter(desk: Desk, body: bytes) -> None:
    receipt = await canceled(desk)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await desk.visitor.client.post(
        path_of(SIGNER, receipt.id), content=body, headers=kind, follow_redirects=False
    )
    assert answer.status_code == 303
    assert urlsplit(answer.headers["location"]).path.startswith("/cancel/s/cs_")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("reason", ["price", "unused"])
async def test_what_is_no_cancellation_has_no_way_back(desk: Desk, reason: str) -> None:
    await press(desk.visitor, await desk.at_offer(reason), "accept")
    receipt = newest(desk)
    assert UNDO not in (await opened(desk, receipt)).buttons
    answer = await desk.visitor.client.post(path_of(SIGNER, receipt.id))
    assert answer.status_code == 410
    assert len(desk.billed()) == 1


async def test_htmx_gets_the_part_and_the_whole_alike(desk: Desk) -> None:
    receipt = await canceled(desk)
    part = await desk.visitor.open(path_of(SIGNER, receipt.id), headers=FROM_US, partial=True)
    assert part.buttons == [UNDO]
    result = await desk.visitor.submit(await opened(desk, receipt), UNDO, partial=True)
    assert result.h1 == "Your subscription goes on"


async def test_a_receipt_does_not_change_when_the_merchant_does(desk: Desk) -> None:
    receipt = await canceled(desk)
    desk.merchant.change(contact_email="new@northwind.example")
    page = await opened(desk, receipt)
    assert facts(page)["Contact"] == "help@northwind.example"
    assert page.links["new@northwind.example"] == "mailto:new@northwind.example", "whom to ask today"


async def test_no_value_becomes_markup(desk: Desk) -> None:
    receipt = await canceled(desk)
    evil = '"><script>alert(1)</script>'
    merchant = {
        **receipt.content["merchant"],
        "name": evil,
        "email": evil,
        "url": f"https://x.example/{evil}",
    }
    offer = {"headline": evil, "body": f"<p>{evil}<a href='javascript:alert(1)'>x</a></p>"}
    change(desk, receipt, plan=evil, customerId=evil, merchant=merchant, offer=offer)
    page = await opened(desk, receipt)
    assert not re.search(r"<script>|javascript:", page.response.text)


def change(desk: Desk, receipt: Receipt, **content: object) -> None:
    """Have it say something else."""

    def write(db: object) -> None:
        row = db.get_one(Receipt, receipt.id)  # type: ignore[attr-defined]  # a session
        row.content = {**row.content, **content}

    desk.database.write_sync(write)
