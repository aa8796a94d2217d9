"""A code: asked for, typed, once right; wrong, spent, expired, another browser's."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from app.adapters.signing import Signer
from app.core.errors import InvalidInput
from app.db.database import Database, Session
from app.db.tables.verifications import Verification
from app.verify import service
from app.verify.service import Asked, TooManyCodes, Tried, Verdict, VerificationNotYours
from tests.support.apps import OLD_SECRET, SECRET
from tests.verify.world import BEN, EMIL, NOBODY, World

pytestmark = pytest.mark.anyio


async def test_the_code_of_the_mail_is_right_once(world: World) -> None:
    id = await world.asked()
    code = world.code(id)
    assert world.try_code(id, f" {code[:3]} {code[3:]} ") == Tried(Verdict.RIGHT)
    assert world.try_code(id, code) == Tried(Verdict.USED)
    assert world.try_code(id, "000000") == Tried(Verdict.USED)
    row = world.row(id)
    assert row.used_at == world.clock.now()
    assert (row.code_mac, row.code_encrypted) == (None, None), "a used code is kept nowhere"


async def test_the_database_alone_does_not_tell_a_code(world: World) -> None:
    id = await world.asked()
    row = world.row(id)
    code = world.code(id)
    assert code not in repr(row.model_dump())
    assert row.code_mac != Signer(["another-secret-" + "x" * 40]).mac("code", f"{id}.{code}")


async def test_a_wrong_code_says_how_many_tries_are_left_and_the_fifth_ends_it(world: World) -> None:
    id = await world.asked()
    for n in (1, 2, 3, 4):
        assert world.try_code(id, world.wrong_code(id, n)) == Tried(Verdict.WRONG, left=5 - n)
    code = world.code(id)
    assert world.try_code(id, world.wrong_code(id, 5)) == Tried(Verdict.SPENT, left=0)
    assert world.try_code(id, code) == Tried(Verdict.SPENT), "right comes too late"
    assert world.row(id).used_at is None
    assert world.row(id).code_encrypted is None


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "1234567", "12345\x00", "१२३", "x" * 10_000])
async def test_what_is_no_code_costs_no_try(world: World, typed: str) -> None:
    id = await world.asked()
    for _ in range(20):
        assert world.try_code(id, typed) == Tried(Verdict.UNREADABLE, left=5)
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT


async def test_a_code_works_for_ten_minutes_after_its_mail(world: World) -> None:
    id = await world.asked()
    world.clock.advance(minutes=10, seconds=-1)
    assert world.try_code(id, world.wrong_code(id)) == Tried(Verdict.WRONG, left=4)
    world.clock.advance(seconds=1)
    assert world.try_code(id, world.code(id)) == Tried(Verdict.EXPIRED)
    assert service.is_expired(world.row(id), world.clock.now())


async def test_the_merchant_says_how_long_codes_work(world: World) -> None:
    world.change(code_life_s=300)
    id = await world.asked()
    world.clock.advance(minutes=5)
    assert world.try_code(id, world.code(id)) == Tried(Verdict.EXPIRED)


async def test_a_code_is_worth_nothing_in_another_browser(world: World) -> None:
    id = await world.asked()
    with pytest.raises(VerificationNotYours):
        world.try_code(id, world.code(id), browser="mallory")
    with pytest.raises(VerificationNotYours):
        world.find(id, browser="mallory")
    with pytest.raises(VerificationNotYours):
        world.resend(id, browser="mallory")
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT, "and that cost no try"


async def test_a_code_is_worth_nothing_for_another_verification(world: World) -> None:
    of_ann = await world.asked(BEN)
    of_mallory = await world.asked(EMIL, browser="mallory", ip="192.0.2.66")
    assert world.try_code(of_mallory, world.code(of_ann), browser="mallory").verdict is Verdict.WRONG


@pytest.mark.parametrize("id", ["", "ver_0", "ver_\x00", "\ud800", "x" * 5000, "ver_' OR 1=1"])
async def test_an_id_that_is_none_is_nobodys(world: World, id: str) -> None:
    with pytest.raises(VerificationNotYours):
        world.find(id)
    with pytest.raises(VerificationNotYours):
        world.try_code(id, "123456")
    with pytest.raises(VerificationNotYours):
        world.resend(id)


async def test_a_code_that_was_not_made_yet_cannot_be_guessed(world: World) -> None:
    id = world.ask().verification_id
    for n in range(4):
        assert world.try_code(id, f"{n:06}") == Tried(Verdict.WRONG, left=4 - n)
    await world.work()
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT


async def test_guesses_at_an_unknown_address_are_answered_like_any(world: World) -> None:
    for early in (True, False):
        known, unknown = world.ask(BEN, browser=f"a{early}"), world.ask(NOBODY, browser=f"b{early}")
        if not early:
            await world.work()
        answers = [
            [
                world.try_code(asked.verification_id, typed, browser=browser)
                for typed in ("000001", "x", "000002", "000003", "000004", "000005", "000006")
            ]
            for asked, browser in ((known, f"a{early}"), (unknown, f"b{early}"))
        ]
        assert answers[0] == answers[1]
        world.clock.advance(hours=2)


async def test_a_right_guess_at_an_unknown_address_finds_nobody(world: World) -> None:
    id = await world.asked(NOBODY)
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT
    assert service.found_customers(world.vault, world.row(id)) == ()


async def test_of_parallel_right_codes_one_wins(world: World) -> None:
    id = await world.asked()
    code = world.code(id)
    with Database(world.database.url.render_as_string(hide_password=False)) as other:
        tries = await asyncio.gather(
            *(
                (world.database, other)[n % 2].write(
                    service.try_code,
                    world.signer,
                    verification_id=id,
                    browser_sha256="ann",
                    typed=code,
                    ip="192.0.2.1",
                    now=world.clock.now(),
                )
                for n in range(24)
            )
        )
    assert sorted(tried.verdict for tried in tries) == [Verdict.RIGHT] + [Verdict.USED] * 23


async def test_of_parallel_wrong_codes_no_more_than_five_are_looked_at(world: World) -> None:
    id = await world.asked()
    with Database(world.database.url.render_as_string(hide_password=False)) as other:
        tries = await asyncio.gather(
            *(
                (world.database, other)[n % 2].write(
                    service.try_code,
                    world.signer,
                    verification_id=id,
                    browser_sha256="ann",
                    typed=world.wrong_code(id, n + 1),
                    ip="192.0.2.1",
                    now=world.clock.now(),
                )
                for n in range(24)
            )
        )
    looked_at = [tried for tried in tries if tried.left is not None]
    assert sorted(tried.left or 0 for tried in looked_at) == [0, 1, 2, 3, 4]
    assert {tried.verdict for tried in tries} == {Verdict.WRONG, Verdict.SPENT}


async def test_a_code_outlives_a_change_of_secrets_as_long_as_the_old_one_is_kept(world: World) -> None:
    id = await world.asked()
    rotated, dropped = Signer([OLD_SECRET, SECRET]), Signer([OLD_SECRET])
    assert world.try_code(id, world.code(id), signer=dropped).verdict is Verdict.WRONG
    assert world.try_code(id, world.code(id), signer=rotated).verdict is Verdict.RIGHT


# --- Asking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "key"),
    [("", "errors.email.missing"), ("  ", "errors.email.missing"), ("ben", "errors.email.invalid")],
)
async def test_what_is_no_address_is_said_at_its_field(world: World, address: str, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.ask(address)
    assert [(error.field, error.message) for error in refused.value.fields] == [("email", key)]
    assert world.all(Verification) == []


async def test_asking_twice_is_asking_once(world: World) -> None:
    first = world.ask(" Ben@Example.com ")
    assert world.ask("ben@example.com") == Asked(first.verification_id, is_new=False)
    await world.work()
    assert world.ask("ben@example.com") == Asked(first.verification_id, is_new=False)
    assert len(world.mails()) == 1
    assert world.row(first.verification_id).address == "Ben@Example.com"


async def test_two_forms_sent_at_once_lead_to_one_code(world: World) -> None:
    with Database(world.database.url.render_as_string(hide_password=False)) as other:
        asked = await asyncio.gather(
            *(
                asyncio.to_thread(world.ask, BEN, database=database)
                for database in (world.database, other) * 4
            )
        )
    assert len({each.verification_id for each in asked}) == 1
    assert [each.is_new for each in asked].count(True) == 1
    await world.work()
    assert len(world.mails()) == 1


async def test_another_browser_gets_a_code_of_its_own(world: World) -> None:
    of_ann = await world.asked()
    with pytest.raises(TooManyCodes) as refused:
        world.ask(browser="bob")
    assert (refused.value.limit, refused.value.retry_after) == ("send_gap", 60)
    world.clock.advance(minutes=1)
    of_bob = await world.asked(browser="bob")
    assert of_ann != of_bob
    assert world.row(of_ann).code_mac != world.row(of_bob).code_mac


async def test_the_link_that_was_over_is_kept_if_it_is_the_merchants(world: World) -> None:
    from_elsewhere = world.ask(EMIL, link_id="lnk_of_somebody_else")
    assert world.row(from_elsewhere.verification_id).link_id is None
    assert world.row(world.ask(NOBODY, link_id="lnk_\x00").verification_id).link_id is None
    world.merchant.mint("cus_ben", id="lnk_1")
    world.merchant.mint("cus_ben", id="lnk_2")
    id = world.ask(link_id="lnk_1").verification_id
    assert world.row(id).link_id == "lnk_1"
    assert world.ask(link_id="lnk_2").verification_id == id
    assert world.row(id).link_id == "lnk_2", "the last one that was tried"


# --- One more mail ------------------------------------------------------------------------------------------


async def test_one_more_mail_has_the_same_code(world: World) -> None:
    id = await world.asked()
    code = world.code(id)
    with pytest.raises(TooManyCodes) as refused:
        world.resend(id)
    assert refused.value.retry_after == 60
    world.clock.advance(minutes=1)
    assert world.resend(id) == Asked(id, is_new=True)
    await world.work()
    assert len(world.mails()) == 2
    assert world.code(id) == code
    world.clock.advance(minutes=9, seconds=30)
    assert world.try_code(id, code).verdict is Verdict.RIGHT, "ten minutes from the second mail on"


async def test_asking_again_later_is_asking_for_one_more_mail(world: World) -> None:
    id = await world.asked()
    world.clock.advance(minutes=2)
    assert world.ask() == Asked(id, is_new=True)
    await world.work()
    assert len(world.mails()) == 2


async def test_a_code_with_little_life_left_is_replaced(world: World) -> None:
    id = await world.asked()
    world.clock.advance(minutes=5, seconds=1)
    again = world.resend(id)
    assert again.is_new
    assert again.verification_id != id
    await world.work()
    assert world.row(again.verification_id).address == BEN
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT, "the first mail may come first"


async def test_a_spent_or_expired_code_is_replaced(world: World) -> None:
    spent = await world.asked()
    for n in range(5):
        world.try_code(spent, world.wrong_code(spent, n + 1) if n < 4 else "000000")
    world.clock.advance(minutes=1)
    fresh = world.resend(spent)
    assert fresh.is_new
    assert fresh.verification_id != spent
    await world.work()
    world.clock.advance(minutes=11)
    assert world.resend(fresh.verification_id).verification_id not in (spent, fresh.verification_id)


async def test_the_link_goes_along_to_the_next_code(world: World) -> None:
    world.merchant.mint("cus_ben", id="lnk_1")
    id = await world.asked(link_id="lnk_1")
    world.clock.advance(minutes=11)
    assert world.row(world.resend(id).verification_id).link_id == "lnk_1"


async def test_no_more_mails_for_a_code_that_was_used(world: World) -> None:
    id = await world.asked()
    world.try_code(id, world.code(id))
    world.clock.advance(minutes=2)
    assert world.resend(id) == Asked(id, is_new=False)
    await world.work()
    assert len(world.mails()) == 1


async def test_a_used_code_does_not_stand_in_for_a_new_one(world: World) -> None:
    id = await world.asked()
    world.try_code(id, world.code(id))
    world.clock.advance(minutes=2)
    assert world.ask().verification_id != id


async def test_while_the_first_mail_is_still_to_be_made_nothing_is_added(world: World) -> None:
    id = world.ask().verification_id
    world.clock.advance(minutes=5)
    assert world.resend(id) == Asked(id, is_new=False)
    world.clock.advance(minutes=5)
    assert world.ask() == Asked(id, is_new=False)
    assert len(world.jobs()) == 1


async def test_asking_again_does_not_tell_whether_billing_has_answered_yet(world: World) -> None:
    """It has more to say of those whom it knows."""

    def answers() -> list[tuple[object, ...]]:
        seen: list[tuple[object, ...]] = []
        for number in range(12):
            for again in (partial(world.resend, id), world.ask):
                try:
                    seen.append((again().verification_id == id,))
                except TooManyCodes as refused:
                    seen.append((refused.limit, refused.retry_after))
            world.clock.advance(seconds=20 if number < 6 else 61)
        return seen

    id = world.ask().verification_id
    waiting = answers()
    world.clock.advance(hours=25)
    id = await world.asked()
    world.change(code_life_s=1_800)  # so that it has life enough to be mailed again all along
    await world.database.write(_prolong, id)
    answered = answers()
    assert waiting == answered


def _prolong(db: Session, id: str) -> None:
    row = db.get_one(Verification, id)
    assert row.code_expires_at is not None
    row.code_expires_at += timedelta(minutes=30)


# --- The end ------------------------------------------------------------------------------------------------


async def test_after_a_day_everything_is_forgotten(world: World) -> None:
    ids = [await world.asked(address) for address in (BEN, EMIL, NOBODY)]
    world.clock.advance(hours=24, seconds=-1)
    assert world.database.write_sync(service.forget, now=world.clock.now(), limit=10) == 0
    world.clock.advance(seconds=1)
    assert world.try_code(ids[0], world.code(ids[0])) == Tried(Verdict.EXPIRED)
    assert world.database.write_sync(service.forget, now=world.clock.now(), limit=2) == 2
    assert world.database.write_sync(service.forget, now=world.clock.now(), limit=2) == 1
    assert world.all(Verification) == []
    with pytest.raises(VerificationNotYours):
        world.find(ids[0])


async def test_an_overdue_row_leads_to_a_new_code(world: World) -> None:
    id = world.ask().verification_id
    world.clock.advance(hours=25)
    again = world.resend(id)
    assert again.is_new
    assert again.verification_id != id
    assert world.row(again.verification_id).expires_at == world.clock.now() + timedelta(hours=24)
