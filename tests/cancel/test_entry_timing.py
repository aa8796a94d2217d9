"""How long the entry takes tells nobody whether an address is known: 200 interleaved pairs, and a rank test."""

import math
import time
from collections.abc import Mapping, Sequence
from itertools import chain, repeat

from app.db.tables.verifications import Verification
from app.web.security import BROWSER_COOKIE
from tests.support.codes import STRANGER, code_for, not_the
from tests.support.desk import Desk
from tests.support.pages import FROM_US, Page

KNOWN = "ben@example.com"
PAIRS, WARM_UP = 200, 12
UNLIKELY = 0.001


def p_value(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Mann-Whitney, two-sided, by the normal approximation: how often two samples of one kind differ as much.

    H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18 (1947); without ties to speak of.
    """
    both = sorted(chain(zip(ours, repeat(True)), zip(theirs, repeat(False))))
    ranks = sum(rank for rank, (_, is_ours) in enumerate(both, start=1) if is_ours)
    n, m = len(ours), len(theirs)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def test_the_rank_test_sees_a_difference_and_no_other() -> None:
    even, odd = [float(n) for n in range(0, 400, 2)], [float(n) for n in range(1, 400, 2)]
    assert p_value(even, odd) > 0.9
    assert p_value(even, [n + 80 for n in odd]) < UNLIKELY
    assert p_value([n + 80 for n in odd], even) < UNLIKELY


async def test_asking_for_a_code_takes_the_same_time_for_a_known_and_an_unknown_address(
    mail_desk: Desk,
) -> None:
    # One run in a thousand is unlikely by chance, two in a row one in a million; a real difference always is.
    assert await asking(mail_desk) > UNLIKELY or await asking(mail_desk) > UNLIKELY
    assert len(mail_desk.all(Verification)) % (2 * (PAIRS + WARM_UP)) == 0  # each of them was a first time


async def test_a_wrong_code_takes_the_same_time_for_a_known_and_an_unknown_address(mail_desk: Desk) -> None:
    assert await guessing(mail_desk) > UNLIKELY or await guessing(mail_desk) > UNLIKELY


async def asking(desk: Desk) -> float:
    """How unlikely the difference is that one run shows. The two of a pair change places."""
    times: dict[str, list[float]] = {KNOWN: [], STRANGER: []}
    for pair in range(PAIRS + WARM_UP):
        desk.clock.advance(hours=2)  # within every limit
        for email in in_turn(pair):
            page = await entry_of_a_new_browser(desk)
            seconds = await took(desk, page, {"email": email, "action": "send"}, 303)
            if pair >= WARM_UP:
                times[email].append(seconds)
    return p_value(times[KNOWN], times[STRANGER])


async def guessing(desk: Desk) -> float:
    """The same of wrong codes, four in each round."""
    times: dict[str, list[float]] = {KNOWN: [], STRANGER: []}
    for number in range((PAIRS + WARM_UP) // 4):
        desk.clock.advance(hours=2)
        pages, codes, cookies = {}, {}, {}
        for email in in_turn(number):
            page = await entry_of_a_new_browser(desk)
            pages[email] = await desk.visitor.submit(page, "Send me a code", {"email": email})
            codes[email] = not_the(await code_for(desk, email))
            cookies[email] = desk.visitor.client.cookies[BROWSER_COOKIE]
        for guess in range(4):
            for email in in_turn(number + guess):
                desk.visitor.client.cookies.clear()
                desk.visitor.client.cookies.set(BROWSER_COOKIE, cookies[email])
                fields = {"code": codes[email], "action": "check"}
                seconds = await took(desk, pages[email], fields, 422)
                if number >= WARM_UP // 4:
                    times[email].append(seconds)
    return p_value(times[KNOWN], times[STRANGER])


def in_turn(number: int) -> tuple[str, str]:
    return (KNOWN, STRANGER) if number % 2 else (STRANGER, KNOWN)


async def entry_of_a_new_browser(desk: Desk) -> Page:
    desk.visitor.client.cookies.clear()
    return Page(await desk.visitor.client.get(f"/cancel/{desk.merchant.app_id}"))


async def took(desk: Desk, page: Page, fields: Mapping[str, str], status: int) -> float:
    """Seconds of one answer."""
    action, data = page.by_id("step")["action"], {"csrf_token": str(page.value("csrf_token")), **fields}
    started = time.perf_counter()
    answer = await desk.visitor.client.post(action, data=data, headers=FROM_US, follow_redirects=False)
    ended = time.perf_counter()
    assert answer.status_code == status
    return ended - started
