"""A request that is left without proof: kept once, said to be no cancellation, bounded, and never lost while typing."""

from urllib.parse import parse_qsl, urlsplit

from app.core.summary import reference_of
from app.db.tables.manual import CancellationRequest
from tests.support.desk import Desk
from tests.support.pages import FROM_US, Page, Visitor

TYPED = {"email": "ben@example.com", "note": "Please end my plan.\nThank you."}


def form(desk: Desk) -> str:
    return f"/cancel/r/{desk.merchant.app_id}"


def requests(desk: Desk) -> list[CancellationRequest]:
    return desk.all(CancellationRequest)


async def test_a_request_is_kept_and_answered_with_its_reference(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    assert page.h1 == "Leave a cancellation request"
    assert "Sending it does not cancel yet" in page.text
    done = await mail_desk.visitor.submit(page, "Send my request", TYPED)
    (row,) = requests(mail_desk)
    assert (row.app_id, row.address) == (mail_desk.merchant.app_id, "ben@example.com")
    assert row.note == "Please end my plan.\nThank you."
    assert (row.customer_id, row.session_id) == (None, None)
    assert done.h1 == "Northwind Notes has your request"
    assert "is not canceled yet" in done.text
    assert reference_of(row.id) in done.text
    assert "21 November 2026, 09:00 UTC" in done.text
    assert "ben@example.com" not in done.url


async def test_viewing_it_again_leaves_nothing_more(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    done = await mail_desk.visitor.submit(page, "Send my request", TYPED)
    before = mail_desk.everything()
    assert (await mail_desk.visitor.open(done.url)).text == done.text
    assert (await mail_desk.visitor.open(form(mail_desk))).h1 == page.h1
    assert mail_desk.everything() == before


async def test_pressed_twice_it_is_one_request(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    pages = [await mail_desk.visitor.submit(page, "Send my request", TYPED) for _ in range(3)]
    assert len({reference for page in pages for reference in page.text.split() if "LW-" in reference}) == 1
    assert len(requests(mail_desk)) == 1


async def test_an_address_is_enough(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(f"{form(mail_desk)}?email=ben%40example.com")
    assert page.value("email") == "ben@example.com"
    await mail_desk.visitor.submit(page, "Send my request")
    assert requests(mail_desk)[0].note is None


async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    long = "\N{GRINNING FACE}" * 2_001
    wrong = await mail_desk.visitor.submit(
        page, "Send my request", {"email": "ben@", "note": long}, status=422
    )
    assert wrong.by_id("email-error").text == "Enter the whole email address, such as name@example.com"
    assert wrong.by_id("note-error").text == "Write at most 2000 characters"
    assert (wrong.value("email"), wrong.value("note")) == ("ben@", long)
    fixed = {"email": "ben@example.com", "note": long[:-1]}
    assert (await mail_desk.visitor.submit(wrong, "Send my request", fixed)).status == 200
    assert requests(mail_desk)[0].note == long[:-1]


async def test_at_a_limit_it_says_when_and_keeps_what_was_typed(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    for number in range(3):
        await mail_desk.visitor.submit(page, "Send my request", {**TYPED, "note": f"Note {number}"})
    held = await mail_desk.visitor.submit(page, "Send my request", TYPED, status=429)
    assert held.by_id("email-error").text == "Too many requests were left. You can leave one in 24 hours"
    assert held.response.headers["retry-after"] == "86400"
    assert str(held.value("note")).splitlines() == TYPED["note"].splitlines()
    assert held.links["help@northwind.example"]
    assert len(requests(mail_desk)) == 3


async def test_only_our_own_form_leaves_one(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    good = str(page.value("csrf_token"))
    for token, site in (("", "same-origin"), (good + "x", "same-origin"), (good, "cross-site")):
        answer = await mail_desk.visitor.client.post(
            form(mail_desk),
            data={**TYPED, "csrf_token": token},
            headers={**FROM_US, "Sec-Fetch-Site": site},
        )
        assert answer.status_code == 403
        assert str(Page(answer).value("note")).splitlines() == TYPED["note"].splitlines()
    async with mail_desk.browser() as client:  # the token is worth nothing in another browser
        answer = await client.post(form(mail_desk), data={**TYPED, "csrf_token": good}, headers=FROM_US)
        assert answer.status_code == 403
        await Visitor(client).submit(Page(answer), "Send my request")
    assert len(requests(mail_desk)) == 1


async def test_the_address_of_a_request_cannot_be_made_up(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(form(mail_desk))
    done = await mail_desk.visitor.submit(page, "Send my request", TYPED)
    left = dict(parse_qsl(urlsplit(done.url).query))["left"]
    signer = mail_desk.ports.signer
    for value in (
        "",
        "x",
        left[:-1],
        left.split(".")[0],
        signer.sign("request", "req_0"),
        "%00",
        "x" * 9_000,
    ):
        again = await mail_desk.visitor.client.get(form(mail_desk), params={"left": value})
        assert Page(again).h1 == "Leave a cancellation request"


async def test_it_is_taken_without_mail_too(desk: Desk) -> None:
    page = await desk.visitor.open(form(desk))
    assert "Use a code by email instead" not in page.links
    await desk.visitor.submit(page, "Send my request", TYPED)
    assert len(requests(desk)) == 1
