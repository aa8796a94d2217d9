"""What must be so after everything is over: billing, session, effect, offer, events, receipts and page agree."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.billing import Change, Pause, is_in_place, parse_change
from app.core.direct import DirectSubscription, Paused, Trial, parse_subscriptions
from app.core.receipt import TYPE_OF_CHANGE
from app.db.tables.effects import Effect
from app.db.tables.receipts import Receipt
from tests.crash.actions import Action
from tests.crash.stage import WAITING, Customer, Found
from tests.support.pages import Page

A_DAY = timedelta(days=1)


async def assert_made_once(customer: Customer, provider: str, action: Action) -> None:
    """The change was made, once, and everybody says so. Raises AssertionError that names all that disagree."""
    page = await customer.wait_for_result()
    found = await customer.wait_until_owed_nothing()
    truth = subscription_of(customer)
    said = [
        *_billing(customer, action, found, truth),
        *_rows(provider, action, found),
        *_receipts(action, found, truth),
        *_page(customer, page),
    ]
    assert not said, "\n".join(said)


def subscription_of(customer: Customer) -> DirectSubscription:
    """The customer's subscription, as billing itself has it."""
    document = customer.billing.subscription(customer.subscription_id)
    document.pop("obstacles", None)
    return parse_subscriptions([document], None)[0]


def _billing(customer: Customer, action: Action, found: Found, truth: DirectSubscription) -> Iterator[str]:
    made = customer.billing.changes(customer.subscription_id)
    if [name for name, _ in made] != action.done:
        yield f"billing has done {made}, not {action.done}"
    for effect in found.effects[-1:]:
        if made and made[-1][1] and effect.id not in made[-1][1]:
            yield f"billing has done it under {made[-1][1]!r}, not under {effect.id!r}"
        if not is_in_place(parse_change(effect.change), truth, datetime.now(UTC)):
            yield f"billing does not have it: {truth!r}"
    active = [
        discount
        for discount in truth.discounts or ()
        if discount.end is None or discount.end > datetime.now(UTC)
    ]
    if len(active) > 1:
        yield f"billing has {len(active)} discounts"


def _rows(provider: str, action: Action, found: Found) -> Iterator[str]:
    here = (
        1 if action.anew else len(action.done)
    )  # what came before was asked for in this session, or in another
    confirmation = "merchant" if provider == "direct" else "read_back"
    if len(found.effects) != here:
        yield f"there are {len(found.effects)} effects, not {here}"
    for effect in found.effects:
        if (effect.status, effect.confirmation) != ("applied", confirmation):
            yield f"{effect.type} is {effect.status} ({effect.failed_reason}), confirmed by {effect.confirmation}"
    if (found.session.phase, found.session.outcome) != ("finished", action.outcome):
        yield f"the session is {found.session.phase} with the outcome {found.session.outcome}"
    expected = {"effect.applied": here, "session.completed": here, "effect.failed": 0}
    if action.reason is not None:
        expected["session.offer_accepted"] = 1
        states = [(offer.status, offer.effect_id, offer.settled_at is not None) for offer in found.offers]
        if states != [("applied", found.effects[-1].id if found.effects else None, True)]:
            yield f"the offers are {states}"
    for event, times in expected.items():
        if found.events.count(event) != times:
            yield f"{event} was told {found.events.count(event)} times, not {times}"


def _receipts(action: Action, found: Found, truth: DirectSubscription) -> Iterator[str]:
    for effect in found.effects:
        confirmed = [r for r in found.receipts if r.effect_id == effect.id and r.status == "confirmed"]
        if len(confirmed) != 1:
            yield f"there are {len(confirmed)} receipts that confirm the {effect.type}"
        if any(r.effect_id == effect.id and r.status == "failed" for r in found.receipts):
            yield f"a receipt says that the {effect.type} failed"
    for receipt in found.receipts:
        if receipt.signature is None:
            yield f"the receipt {receipt.status} is not signed"
    last = [r for r in found.receipts if r.status == "confirmed"][-1:]
    for effect, receipt in zip(found.effects[-1:], last, strict=False):
        yield from _content(action, effect, receipt, truth)


def _content(action: Action, effect: Effect, receipt: Receipt, truth: DirectSubscription) -> Iterator[str]:
    """The receipt's figures are those that the customer was shown, and those that billing has."""
    content = receipt.content
    if content["type"] != TYPE_OF_CHANGE[effect.type]:
        yield f"the receipt is about a {content['type']}"
    if content["subscriptionId"] != truth.id:
        yield f"the receipt is about {content['subscriptionId']}, not {truth.id}"
    if action.reason is not None:
        shown = effect.shown or {}
        if (content["offer"] or {}).get("decisionId") != shown.get("decisionId"):
            yield "the receipt is about another offer than was shown"
    for name, said, expected in FIGURES.get(effect.type, _no_figures)(
        content["facts"], parse_change(effect.change), truth
    ):
        if not _is_same(said, expected):
            yield f"the receipt says {name} {said}, and it is {expected}"


Figures = Iterator[tuple[str, Any, Any]]


def _no_figures(facts: Mapping[str, Any], change: Change, truth: DirectSubscription) -> Figures:
    return iter(())


def _of_cancel(facts: Mapping[str, Any], change: Any, truth: DirectSubscription) -> Figures:
    if change.timing == "now":
        yield "endsNow", facts["endsNow"], True
    else:
        yield "endsAt", facts["endsAt"], truth.end


def _of_discount(facts: Mapping[str, Any], change: Any, truth: DirectSubscription) -> Figures:
    full = truth.price_total()
    assert full is not None
    yield "price before", (facts["priceBefore"] or {}).get("amount"), full.minor
    discount = truth.active_discount(datetime.now(UTC) + timedelta(minutes=5))
    if discount is not None and discount.coupon is not None:
        yield "price", (facts["price"] or {}).get("amount"), discount.coupon.reduce(full).minor
    yield "next charge", (facts["nextCharge"] or {}).get("at"), truth.period_end


def _of_pause(facts: Mapping[str, Any], change: Any, truth: DirectSubscription) -> Figures:
    assert isinstance(change, Pause)
    yield "resumesAt", facts["resumesAt"], change.resumes_at
    if change.renews_at is not None:
        yield "next charge", (facts["nextCharge"] or {}).get("at"), truth.period_end
    elif isinstance(truth.status, Paused):
        yield "resumesAt", facts["resumesAt"], truth.status.pause.end


def _of_plan_change(facts: Mapping[str, Any], change: Any, truth: DirectSubscription) -> Figures:
    price = truth.items[0].price
    if price.name is not None:
        yield "new plan", facts["newPlan"], price.name
    yield "price", (facts["price"] or {}).get("amount"), price.amount.value


def _of_trial_extension(facts: Mapping[str, Any], change: Any, truth: DirectSubscription) -> Figures:
    assert isinstance(truth.status, Trial)
    yield "trialEndsAt", facts["trialEndsAt"], truth.status.trial.end


FIGURES: Mapping[str, Callable[[Mapping[str, Any], Any, DirectSubscription], Figures]] = {
    "cancel": _of_cancel,
    "discount": _of_discount,
    "pause": _of_pause,
    "plan_change": _of_plan_change,
    "trial_extension": _of_trial_extension,
}


def _is_same(said: Any, expected: Any) -> bool:
    """Of two moments a day apart is the same promise: some vendors keep dates."""
    if isinstance(expected, datetime):
        return said is not None and abs(datetime.fromisoformat(said) - expected) < A_DAY
    return bool(said == expected)


def _page(customer: Customer, page: Page) -> Sequence[str]:
    said = []
    if not page.path.startswith(f"/cancel/s/{customer.session_id}"):
        said.append(f"the customer is at {page.path}")
    if page.h1 in WAITING or re.search("could not|went wrong", page.h1):
        said.append(f"the page says {page.h1!r}")
    return said
