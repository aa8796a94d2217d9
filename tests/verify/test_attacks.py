"""What somebody gets who guesses codes, or has us mail others, with all the patience and networks he likes."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from sqlmodel import Session

from app.core import limits
from app.core.codes import CODES, success_bound
from app.core.errors import AppError
from app.db.tables.limits import RateLimit
from app.db.tables.verifications import Verification
from app.verify import service
from app.verify.service import TooManyCodes, Verdict
from tests.verify.world import World

pytestmark = pytest.mark.anyio

GUESSES = 10_000
HOUR = timedelta(hours=1)


class Attacker:
    """Asks for codes for every victim as often as he may, and guesses at whatever he has, from every network.

    Fortune is on his side: each code is made the moment it is asked for, and none of them ever expires.
    """

    def __init__(self, world: World, *, victims: int, networks: int, browsers: int) -> None:
        self._world = world
        self._victims = [f"victim{n}@example.com" for n in range(victims)]
        self._ips = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(networks)]
        self._browsers = [f"browser{n}" for n in range(browsers)]
        self._random = random.Random(20261121)
        self._open: list[tuple[str, str, str]] = []  # verification, browser, victim
        self.verdicts: Counter[Verdict] = Counter()
        self.looked_at: list[tuple[datetime, str, str]] = []  # when, victim, network
        self.mailed: list[tuple[datetime, str, str]] = []

    def ask(self, db: Session) -> None:
        """One code for each victim, as far as anybody lets him."""
        for victim in self._victims:
            browser, ip = self._random.choice(self._browsers), self._random.choice(self._ips)
            try:
                with db.begin_nested():
                    asked = service.ask(
                        db,
                        self._world.signer,
                        app_id=self._world.app_id,
                        address=self._random.choice((victim, victim.upper(), victim.replace("@", "+x@"))),
                        browser_sha256=browser,
                        ip=ip,
                        link_id=None,
                        locale="en",
                        now=self._world.clock.now(),
                    )
            except TooManyCodes:
                continue
            if asked.is_new:
                self.mailed.append((self._world.clock.now(), victim, ip))
                self._open.append((asked.verification_id, browser, victim))
                value = service.code_value(asked.verification_id, self._code())
                db.get_one(Verification, asked.verification_id).code_mac = self._world.signer.mac(
                    "code", value
                )

    def _code(self) -> str:
        return f"{self._random.randrange(CODES):06}"

    def guess(self, db: Session, count: int) -> None:
        for _ in range(count):
            id, browser, victim = self._random.choice(self._open[-200:])
            ip = self._random.choice(self._ips)
            tried = service.try_code(
                db,
                self._world.signer,
                verification_id=id,
                browser_sha256=browser,
                typed=self._code(),
                ip=ip,
                now=self._world.clock.now(),
            )
            self.verdicts[tried.verdict] += 1
            if tried.left is not None and tried.verdict is not Verdict.LIMITED:
                self.looked_at.append((self._world.clock.now(), victim, ip))


def most_in_an_hour(
    events: list[tuple[datetime, str, str]], party: Callable[[tuple[datetime, str, str]], str]
) -> int:
    """The most that any party had in any hour."""
    worst = 0
    for start, *_ in events:
        in_hour = Counter(party(event) for event in events if start <= event[0] < start + HOUR)
        worst = max(worst, *in_hour.values())
    return worst


@pytest.mark.parametrize(
    ("victims", "networks", "minutes_between"),
    [(1, 400, 1), (40, 400, 1), (40, 3, 1), (5, 50, 30)],
    ids=["one victim, a botnet", "many victims, a botnet", "many victims, three networks", "with patience"],
)
async def test_ten_thousand_guesses_come_to_no_more_than_the_limits_leave(
    world: World, victims: int, networks: int, minutes_between: int
) -> None:
    attacker = Attacker(world, victims=victims, networks=networks, browsers=60)
    start, rounds = world.clock.now(), 100
    for _ in range(rounds):
        world.database.write_sync(attacker.ask)
        world.database.write_sync(attacker.guess, GUESSES // rounds)
        world.clock.advance(minutes=minutes_between)
    took = world.clock.now() - start
    bound = success_bound(within=took, addresses=victims, networks=networks)
    assert sum(attacker.verdicts.values()) == GUESSES
    # Each guess that is looked at is right once in a million; all others learn nothing.
    chance = Fraction(len(attacker.looked_at), CODES)
    assert 0 < chance <= bound
    assert bound < Fraction(1, 100), "and that is little"
    assert attacker.verdicts[Verdict.LIMITED] + attacker.verdicts[Verdict.SPENT] > GUESSES / 2
    assert most_in_an_hour(attacker.looked_at, lambda event: event[1]) <= limits.WRONG_PER_ADDRESS.most
    assert most_in_an_hour(attacker.looked_at, lambda event: event[2]) <= limits.WRONG_PER_IP.most
    assert most_in_an_hour(attacker.mailed, lambda event: event[1]) <= limits.SENDS_PER_HOUR.most
    assert most_in_an_hour(attacker.mailed, lambda event: event[2]) <= limits.SENDS_PER_IP.most


async def test_a_new_code_buys_no_new_tries(world: World) -> None:
    first = await world.asked()
    for n in range(5):
        world.try_code(first, world.wrong_code(first, n + 1) if n < 4 else "000000")
    world.clock.advance(minutes=1)
    second = await world.asked(browser="bob", ip="198.51.100.1")
    for n in range(5):
        world.try_code(second, world.wrong_code(second, n + 1) if n < 4 else "000000", browser="bob")
    world.clock.advance(minutes=1)
    third = await world.asked("BEN+x@Example.com", browser="eve", ip="198.51.100.2")
    tried = world.try_code(third, world.code(third), browser="eve", ip="198.51.100.3")
    assert tried.verdict is Verdict.LIMITED, "right or not: nobody looks"
    assert tried.left == 5
    assert tried.wait_s == 58 * 60
    assert world.row(third).used_at is None
    world.clock.advance(seconds=tried.wait_s)
    fresh = world.resend(third, browser="eve").verification_id
    await world.work()
    assert world.try_code(fresh, world.code(fresh), browser="eve").verdict is Verdict.RIGHT


async def test_wrong_tries_at_one_address_do_not_hold_up_another(world: World) -> None:
    mine = await world.asked("victim@example.com")
    theirs = await world.asked(browser="bob", ip="198.51.100.1")
    for n in range(5):
        world.try_code(mine, f"{n:06}")
    assert (
        world.try_code(theirs, world.code(theirs), browser="bob", ip="198.51.100.1").verdict is Verdict.RIGHT
    )


async def test_a_network_of_many_guesses_is_stopped_and_its_neighbours_are_not(world: World) -> None:
    def guess_at_all(db: Session, ids: list[str], ip: str) -> list[Verdict]:
        return [
            service.try_code(
                db,
                world.signer,
                verification_id=id,
                browser_sha256="ann",
                typed=f"{n:06}",
                ip=ip,
                now=world.clock.now(),
            ).verdict
            for id in ids
            for n in range(5)
        ]

    ids = [world.ask(f"v{n}@example.com", ip=f"198.51.100.{n}").verification_id for n in range(12)]
    verdicts = world.database.write_sync(guess_at_all, ids, "2001:db8:1:2::3")
    assert len([verdict for verdict in verdicts if verdict is Verdict.LIMITED]) == 10
    assert world.try_code(ids[10], "000000", ip="2001:db8:1:2:ffff::9").verdict is Verdict.LIMITED, "its /64"
    assert world.try_code(ids[10], "000000", ip="2001:db8:1:3::3").verdict is Verdict.WRONG


# --- Floods -------------------------------------------------------------------------------------------------


def mails_of(ask: Callable[[int], object], tries: int) -> tuple[int, Counter[str]]:
    """How many of so many mails were asked for, and what stood in the way of the others."""
    count, refused = 0, Counter[str]()
    for n in range(tries):
        try:
            ask(n)
            count += 1
        except TooManyCodes as error:
            refused[error.limit] += 1
    return count, refused


async def test_an_address_gets_one_mail_a_minute_five_an_hour_and_twenty_a_day(world: World) -> None:
    browsers = (f"browser{n}" for n in range(10_000))

    def ask(n: int) -> None:
        world.clock.advance(minutes=1)
        assert world.ask(browser=next(browsers), ip=f"198.51.100.{n % 200}").is_new

    assert mails_of(ask, 60) == (5, Counter({"sends_per_hour": 55}))
    world.clock.advance(minutes=10)
    assert mails_of(ask, 60)[0] == 5
    world.clock.advance(minutes=10)
    assert mails_of(ask, 400)[0] == 10
    assert mails_of(ask, 400) == (0, Counter({"sends_per_day": 400}))


async def test_who_asks_in_spellings_asks_for_one_address(world: World) -> None:
    spellings = ["a.b@gmail.com", "AB@gmail.com", "ab+1@googlemail.com", "a.b+x+y@GMAIL.com"]
    count, refused = mails_of(lambda n: world.ask(spellings[n], browser=f"b{n}"), 4)
    assert (count, refused) == (1, Counter({"send_gap": 3}))


async def test_a_network_has_twenty_mails_an_hour(world: World) -> None:
    count, refused = mails_of(lambda n: world.ask(f"v{n}@example.com", ip=f"2001:db8::{n}"), 30)
    assert (count, refused) == (20, Counter({"sends_per_ip": 10}))
    assert world.ask("other@example.com", ip="::ffff:192.0.2.1").is_new
    world.clock.advance(hours=1)
    assert world.ask("late@example.com", ip="2001:db8::1").is_new


async def test_an_environment_sends_a_thousand_an_hour(world: World) -> None:
    def ask_all(db: Session) -> Counter[str]:
        refused: Counter[str] = Counter()
        for n in range(1_050):
            try:
                with db.begin_nested():
                    service.ask(
                        db,
                        world.signer,
                        app_id=world.app_id,
                        address=f"v{n}@example.com",
                        browser_sha256=f"b{n}",
                        ip=f"198.51.{n // 250}.{n % 250}",
                        link_id=None,
                        locale="en",
                        now=world.clock.now(),
                    )
            except TooManyCodes as error:
                refused[error.limit] += 1
        return refused

    assert world.database.write_sync(ask_all) == Counter({"sends_per_environment": 50})


async def test_sending_again_counts_like_asking(world: World) -> None:
    id = await world.asked()
    world.change(code_life_s=900)

    def again(n: int) -> None:
        world.clock.advance(minutes=1)
        assert world.resend(id).is_new

    assert mails_of(again, 20)[0] == 4
    await world.work()
    assert len(world.mails()) == 5


async def test_what_was_refused_leaves_no_trace(world: World) -> None:
    world.ask()
    before = {row.bucket: row.counts for row in world.all(RateLimit)}
    with pytest.raises(AppError):
        world.ask(browser="bob", ip="198.51.100.9")
    assert {row.bucket: row.counts for row in world.all(RateLimit)} == before


async def test_nobody_reads_in_the_limits_who_was_counted(world: World) -> None:
    id = await world.asked(ip="203.0.113.77")
    world.try_code(id, world.wrong_code(id), ip="203.0.113.77")
    kept = repr([row.model_dump() for row in world.all(RateLimit)])
    assert len(world.all(RateLimit)) == 7
    for plain in ("ben", "example", "203.0", world.app_id):
        assert plain not in kept
