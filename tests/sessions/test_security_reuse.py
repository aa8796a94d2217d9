"""A reusable link in the wrong hands, or in a script's: how many sessions it can open has an end."""

from app.links.queries import MAX_EXCHANGES
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE


async def test_a_reusable_link_is_used_up_in_the_end(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", single_use=False, exchange_count=MAX_EXCHANGES - 2)
    statuses = []
    for _ in range(4):  # each time a new browser
        async with desk.browser() as browser:
            statuses.append((await browser.get(path, headers=FROM_A_PAGE)).status_code)
    assert statuses == [200, 200, 410, 410]
    assert len(desk.sessions()) == 2
    (link,) = desk.links()
    assert link.exchange_count == MAX_EXCHANGES
    assert [e.type for e in desk.events()].count("cancel_link.consumed") == 1


async def test_who_opened_it_before_goes_on_with_it(desk: Desk) -> None:
    path = desk.merchant.mint("cus_ben", single_use=False, exchange_count=MAX_EXCHANGES - 1)
    page = await desk.visitor.open(path, headers=FROM_A_PAGE)
    again = await desk.visitor.open(path, headers=FROM_A_PAGE)
    assert again.path == page.path
