"""One try of one change: what is read, what is sent, and what is then known."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    Cancel,
    Change,
    Discount,
    Pause,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    Uncancel,
)
from app.core.direct import DirectSubscription
from app.effects import service as effects
from app.effects.service import NOT_VERIFIED, Settlement
from tests.effects.providers import FakeBilling, a_request, changed, named
from tests.support.subscriptions import NOW, active, day, in_state

pytestmark = pytest.mark.anyio

CANCEL = Cancel(timing="period_end", at=day("2026-12-01"))
HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
PAUSE = Pause(resumes_at=day("2027-01-01"))
CHANGES: list[Change] = [CANCEL, HALF, PAUSE]
DOWN = ProviderUnavailable("HTTP 503", retry_after=7)
NO = ProviderRefused("This card has expired.", "card_expired")


@dataclass
class Ledger:
    """What the caller would have written down: which subscription was claimed, and whether it may be sent."""

    refusal: str | None = None
    claimed: list[str] = field(default_factory=list)

    async def claim(self, subscription_id: str) -> str | None:
        self.claimed.append(subscription_id)
        return self.refusal


async def attempt(
    billing: FakeBilling,
    change: Change,
    *,
    subscription_id: str = "sub_1",
    was_sent: bool = False,
    was_taken: bool = False,
    refusal: str | None = None,
    blockers: tuple[str, ...] = (),
    ledger: Ledger | None = None,
    looks_again: int = 0,
) -> Settlement:
    return await effects.attempt(
        billing,
        a_request(change, subscription_id=subscription_id),
        was_sent=was_sent,
        was_taken=was_taken,
        blockers=lambda _: blockers,
        claim=(ledger or Ledger(refusal)).claim,
        now=NOW,
        looks_again_after_s=(0.0,) * looks_again,
    )


def with_change(change: Change) -> DirectSubscription:
    return changed(active(), change)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_change_is_sent_once_and_proved_by_reading_back(change: Change) -> None:
    billing = FakeBilling([active()])
    settled = await attempt(billing, change)
    assert (settled.is_applied, settled.confirmation, settled.reference) == (True, "read_back", "ref_eff_1")
    assert billing.made == ["eff_1"]
    assert settled.subscription == with_change(change)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_what_an_earlier_try_brought_about_is_not_sent_again(change: Change) -> None:
    billing = FakeBilling([with_change(change)])
    settled = await attempt(billing, change, was_sent=True)
    assert (settled.is_applied, billing.asked) == (True, [])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_an_earlier_try_that_did_not_get_through_is_made_again_under_the_same_key(
    change: Change,
) -> None:
    billing = FakeBilling([active()])
    settled = await attempt(billing, change, was_sent=True)
    assert (settled.is_applied, [request.effect_id for request in billing.asked]) == (True, ["eff_1"])


async def test_an_equal_discount_that_somebody_else_gave_is_not_taken_for_ours() -> None:
    billing = FakeBilling([with_change(HALF)])
    settled = await attempt(billing, HALF, blockers=("discount_active",))
    assert (settled.is_applied, settled.reason, billing.asked) == (False, "discount_active", [])


@pytest.mark.parametrize(
    ("change", "subscription"),
    [
        (CANCEL, changed(active(), CANCEL)),
        (Uncancel(), active()),
        (Resume(), active()),
    ],
    ids=["cancel", "uncancel", "resume"],
)
async def test_a_state_that_is_there_already_needs_no_change(
    change: Change, subscription: DirectSubscription
) -> None:
    billing = FakeBilling([subscription])
    settled = await attempt(billing, change, refusal="anything", blockers=("anything",))
    assert (settled.is_applied, settled.confirmation, billing.asked) == (True, "read_back", [])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_refusal_ends_the_change_and_may_be_tried_anew(change: Change) -> None:
    settled = await attempt(FakeBilling([active()], before=NO), change)
    assert settled == Settlement(
        False, reason="card_expired", message="This card has expired.", can_retry=True
    )


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_provider_that_is_down_leaves_the_question_open(change: Change, fault: str) -> None:
    faults: dict[str, Any] = {fault: DOWN}
    billing = FakeBilling([active()], **faults)
    with pytest.raises(ProviderUnavailable) as caught:
        await attempt(billing, change)
    assert caught.value.retry_after == 7
    settled = await attempt(billing, change, was_sent=True)
    assert (settled.is_applied, billing.made) == (True, ["eff_1"])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_change_that_does_not_show_is_never_said_to_be_made(change: Change) -> None:
    billing = FakeBilling([active()], forgets=True)
    with pytest.raises(ProviderUnavailable) as caught:
        await attempt(billing, change)
    assert caught.value.reason == NOT_VERIFIED


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_change_that_shows_a_moment_later_is_recognised_at_once(change: Change) -> None:
    billing = FakeBilling([active()], stale=2)
    settled = await attempt(billing, change, looks_again=2)
    assert (settled.is_applied, settled.subscription) == (True, with_change(change))
    assert len(billing.asked) == 1


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_what_is_refused_because_an_earlier_try_has_made_it_unseen_is_made(change: Change) -> None:
    billing = FakeBilling([with_change(change)], before=NO, stale=1, was=[active()])
    settled = await attempt(billing, change, was_sent=True)
    assert (settled.is_applied, settled.confirmation) == (True, "read_back")


async def test_an_equal_discount_of_somebody_else_makes_no_success_of_a_refusal() -> None:
    billing = FakeBilling([with_change(HALF)], before=NO, stale=1, was=[active()])
    assert (await attempt(billing, HALF)).reason == "card_expired"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_refusal_does_not_prove_that_what_was_taken_before_is_not_made(change: Change) -> None:
    """It may just not show yet; "nothing was changed" would be a guess."""
    with pytest.raises(ProviderUnavailable) as caught:
        await attempt(FakeBilling([active()], before=NO), change, was_sent=True, was_taken=True)
    assert caught.value.reason == NOT_VERIFIED


@pytest.mark.parametrize("reads_back", [True, False])
async def test_what_must_not_be_sent_is_not_sent(reads_back: bool) -> None:
    billing = FakeBilling([active()], reads_back=reads_back)
    settled = await attempt(billing, HALF, refusal="withdrawn")
    assert (settled.is_applied, settled.reason, billing.asked) == (False, "withdrawn", [])


async def test_a_withdrawn_change_that_had_got_through_is_on_record_as_made() -> None:
    billing = FakeBilling([with_change(HALF)])
    settled = await attempt(billing, HALF, was_sent=True, refusal="withdrawn")
    assert (settled.is_applied, billing.asked) == (True, [])


@pytest.mark.parametrize("reads_back", [True, False])
async def test_what_has_come_to_stand_against_it_since_the_offer_stops_it(reads_back: bool) -> None:
    billing = FakeBilling([active()], reads_back=reads_back)
    settled = await attempt(billing, PAUSE, blockers=("ends_already", "cooldown"))
    assert (settled.is_applied, settled.reason, billing.asked) == (False, "ends_already", [])


async def test_it_is_claimed_before_it_is_judged_and_sent() -> None:
    """The judgement rests on what the claim has made sure of: nothing else is under way."""
    ledger = Ledger()
    billing = FakeBilling([active()], before=DOWN)
    with pytest.raises(ProviderUnavailable):
        await attempt(billing, HALF, ledger=ledger)
    assert ledger.claimed == ["sub_1"]


async def test_an_unknown_subscription_is_not_canceled() -> None:
    settled = await attempt(FakeBilling([active()]), CANCEL, subscription_id="sub_other")
    assert (settled.is_applied, settled.reason) == (False, "subscription_not_found")


async def test_without_a_subscription_the_only_running_one_is_meant() -> None:
    over = in_state({"name": "canceled", "canceledAt": "2026-01-01"}, id="sub_over")
    billing = FakeBilling([over, named(active(), "sub_live")])
    ledger = Ledger()
    settled = await attempt(billing, CANCEL, subscription_id="", ledger=ledger)
    assert settled.is_applied
    assert settled.subscription is not None
    assert (settled.subscription.id, ledger.claimed) == ("sub_live", ["sub_live"])


@pytest.mark.parametrize("ids", [[], ["sub_1", "sub_2"]], ids=["none", "several"])
async def test_without_a_subscription_and_with_a_choice_nobody_guesses(ids: list[str]) -> None:
    billing = FakeBilling([named(active(), each) for each in ids])
    settled = await attempt(billing, CANCEL, subscription_id="")
    assert (settled.is_applied, settled.reason, billing.asked) == (False, "subscription_unclear", [])


# --- Where nothing can be read back, the merchant's word is the proof ---------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_a_merchants_word_is_the_proof(change: Change) -> None:
    billing = FakeBilling([active()], reads_back=False, forgets=True)
    settled = await attempt(billing, change)
    assert (settled.is_applied, settled.confirmation) == (True, "merchant")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_what_a_merchant_may_have_done_is_asked_again_whatever_stands_against_it(
    change: Change,
) -> None:
    billing = FakeBilling([active()], reads_back=False, after=DOWN)
    with pytest.raises(ProviderUnavailable):
        await attempt(billing, change)
    settled = await attempt(billing, change, was_sent=True, blockers=("discount_active",))
    assert (settled.is_applied, billing.made, len(billing.asked)) == (True, ["eff_1"], 2)


async def test_a_merchant_can_cancel_what_he_told_us_nothing_about() -> None:
    billing = FakeBilling([], reads_back=False)
    settled = await attempt(billing, CANCEL)
    assert (settled.is_applied, [request.subscription_id for request in billing.asked]) == (True, ["sub_1"])


@pytest.mark.parametrize("error", [DOWN, NO], ids=["down", "refused"])
async def test_a_merchants_errors_count_as_any_providers(error: ProviderError) -> None:
    billing = FakeBilling([active()], reads_back=False, before=error)
    if error is DOWN:
        with pytest.raises(ProviderUnavailable):
            await attempt(billing, CANCEL)
    else:
        assert not (await attempt(billing, CANCEL)).is_applied


# --- Waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tries", "retry_after", "wait"),
    [
        (0, None, 1),
        (1, None, 1),
        (2, None, 2),
        (3, None, 5),
        (10, None, 1800),
        (10**6, None, 1800),
        (1, 30, 30),  # as long as the provider asks for
        (1, 0, 1),  # but never at once
        (1, -5, 1),
        (9, 30, 900),  # nor less than our own wait
        (1, 10**9, 3600),  # nor so long that nobody looks again
    ],
)
def test_the_wait_after_a_try(tries: int, retry_after: float | None, wait: float) -> None:
    assert effects.wait_s(tries, retry_after=retry_after) == wait


def test_hours_of_trouble_cost_few_tries() -> None:
    waited, tries = 0.0, 0
    while timedelta(seconds=waited) < effects.GIVE_UP_AFTER:
        tries += 1
        waited += effects.wait_s(tries)
    assert tries < 200
