"""Our changes as Braintree's: for each one update of the subscription, so that it is made whole or not at all.

Refuses what Braintree would take and carry out as something else. docs/providers/braintree.md has the list.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, assert_never

from app.adapters.billing.braintree.reading import Held, charges_left, code, cycles, duration, minor
from app.adapters.billing.braintree.wire import Gateway, found
from app.core.billing import (
    DATE_TOLERANCE,
    Cancel,
    Change,
    Discount,
    NotYet,
    Pause,
    PlanChange,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    TrialExtension,
    Uncancel,
)
from app.core.direct import Active, Canceled, DirectSubscription, Paused, Trial
from app.core.money import Money, exponent
from app.core.renewals import charges_within, is_monthly, price_at, renewal

NOT_POSSIBLE: Final = "This change is not possible here."
_NOT_NOW: Final = "This change cannot be made to your subscription at the moment."
_OFFER_GONE: Final = "This offer is no longer available."
# With every write that changes what is due: else the account's settings decide whether the rest of the period is
# charged or credited.
_NO_PRORATION: Final = {"prorate_charges": False}
_MOST_CYCLES: Final = 120

# Braintree's codes (braintree.ErrorCodes.Subscription) for what a later try finds changed: somebody was
# faster, or a renewal was (91909: fewer cycles than have begun).
_OVERTAKEN: Final = {"91911", "92016", "81905", "91909"}
_NO_SUCH_DISCOUNT: Final = {"92013", "92014"}

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CancelNow:
    """The one write that is no update."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The two Discounts that the merchant has made for us: Braintree lets nobody make one through the API."""

    discount_id: str
    pause_id: str


def write_for(change: Change, held: Held, gateway: Gateway, tools: Tools) -> Params | CancelNow:
    """What is to be sent for the change; reads prices and discounts. Raises ProviderRefused."""
    if held.subscription.obstacles:
        named = ", ".join(held.subscription.obstacles)
        raise ProviderRefused(_NOT_NOW, f"Only a person may change this subscription ({named}).")
    match change:
        case Cancel(timing="now"):
            return CancelNow()
        case Cancel():
            return _cancel(held, tools)
        case Uncancel():
            return _uncancel(held, tools)
        case Discount():
            return _discount(change, held, gateway, tools)
        case Pause():
            return _pause(change, held, tools)
        case Resume():
            return _resume(held, tools)
        case PlanChange():
            return _plan_change(change, held, gateway)
        case TrialExtension():
            raise ProviderRefused(NOT_POSSIBLE, "Braintree cannot move the date of the next charge.")
        case _:
            assert_never(change)


def refusal_of(result: Any) -> ProviderRefused | ProviderUnavailable:
    """Braintree's own no, by its codes; its sentences stay here."""
    codes = sorted({str(error.code) for error in result.errors.deep_errors})
    named = ", ".join(codes) or "no code"
    if set(codes) & _OVERTAKEN:
        return NotYet(f"The subscription was changed at the same moment (Braintree: {named}).")
    if set(codes) & _NO_SUCH_DISCOUNT:
        return ProviderRefused(_OFFER_GONE, f"The Discount does not exist at Braintree ({named}).")
    return ProviderRefused(_NOT_NOW, f"Braintree refused the change ({named}).")


# --- Ends -----------------------------------------------------------------------------------------


def _cancel(held: Held, tools: Tools) -> Params:
    """No more cycles than begun. On trial none has begun and there must be one: it is made free, and is the last."""
    subscription = held.subscription
    match subscription.status:
        case Active() | Paused():
            begun = max(_count(held.raw, "current_billing_cycle"), 1)
            return {"number_of_billing_cycles": begun, **_without(held, tools.pause_id)}
        case Trial(trial=trial):
            first = price_at(subscription, trial.end)
            if first is None:
                raise ProviderRefused(_NOT_NOW, "The first charge is not known, so it cannot be waived.")
            waived = _put(held, tools.pause_id, first, 1) if first.minor else {}
            return {"number_of_billing_cycles": 1, **waived}
    raise ProviderRefused(
        _NOT_NOW, f"A subscription that is {subscription.status.name} cannot be set to end."
    )


def _uncancel(held: Held, tools: Tools) -> Params:
    if isinstance(held.subscription.status, Canceled):
        raise ProviderRefused(
            "The subscription has ended already.", "Braintree cannot bring back what is over."
        )
    number = _count(held.raw, "number_of_billing_cycles")
    if held.plan is not None and number == cycles(held.plan):
        raise ProviderRefused(_NOT_NOW, "It ends because its plan has that many billing cycles.")
    free_end = _without(held, tools.pause_id) if isinstance(held.subscription.status, Trial) else {}
    return {"never_expires": True, **free_end}


# --- Discounts and pauses -------------------------------------------------------------------------


def _discount(change: Discount, held: Held, gateway: Gateway, tools: Tools) -> Params:
    subscription, next_charge = _running(held), _next_charge(held)
    price = subscription.price_total()
    if price is None:
        raise ProviderRefused(_NOT_NOW, "The price is not known.")
    if any(given.end is None or given.end > next_charge for given in subscription.discounts or ()):
        raise ProviderRefused(_NOT_NOW, "Another discount is at work.")
    number = _cycles(change, subscription, next_charge)
    if change.coupon_id is not None:
        return _coupon(change.coupon_id, number, price, held, gateway)
    off = _amount_off(change, price)
    if not 0 < off.minor <= price.minor:
        raise ProviderRefused(
            _NOT_NOW, "The discount is nothing, or more than the price: Braintree would owe the rest."
        )
    return _put(held, tools.discount_id, off, number)


def _amount_off(change: Discount, price: Money) -> Money:
    if change.percent_off is not None:
        return Money(price.minor - price.times_percent(change.percent_off).minor, price.currency)
    if change.currency != price.currency:
        raise ProviderRefused(_NOT_NOW, "The discount is in another currency than the subscription.")
    return Money(change.amount_off_minor or 0, price.currency)


def _coupon(coupon_id: str, number: int | None, price: Money, held: Held, gateway: Gateway) -> Params:
    """A discount of the merchant's as it is; where the plan is not monthly, for as many charges as were shown."""
    template = next((each for each in gateway.discount.all() if each.id == coupon_id), None)
    if template is None:
        raise ProviderRefused(_OFFER_GONE, "There is no Discount of that ID at Braintree.")
    off = minor(template.amount, price.currency) * max(_count(template, "quantity"), 1)
    if off > price.minor:
        raise ProviderRefused(_NOT_NOW, "The Discount is more than the price: Braintree would owe the rest.")
    if any(each.id == coupon_id for each in held.raw.discounts):
        return _put(held, coupon_id, Money(off, price.currency), cycles(template))
    shown = {} if is_monthly(held.subscription) or number is None else {"number_of_billing_cycles": number}
    return {"discounts": {"add": [{"inherited_from_id": coupon_id, **shown}]}, "options": _NO_PRORATION}


def _cycles(change: Discount, subscription: DirectSubscription, next_charge: datetime) -> int | None:
    """How many charges it reduces; None: all."""
    match change.duration:
        case "forever":
            return None
        case "once":
            return 1
        case "repeating":
            return charges_within(subscription, next_charge, change.months or 1)


def _pause(change: Pause, held: Held, tools: Tools) -> Params:
    """Nothing to pay at each charge before `resumes_at`, which has to be the day of one."""
    if change.renews_at is not None:
        raise ProviderRefused(NOT_POSSIBLE, "Braintree cannot move the date of the next charge.")
    subscription, first = _running(held), _next_charge(held)
    if not isinstance(subscription.status, Active):
        raise ProviderRefused(
            _NOT_NOW, f"A subscription that is {subscription.status.name} cannot be paused."
        )
    if subscription.interval is None:
        raise ProviderRefused(_NOT_NOW, "Braintree no longer knows the plan, so its rhythm is not known.")
    number = 1
    while (
        renewal(subscription, first, number) + DATE_TOLERANCE <= change.resumes_at and number < _MOST_CYCLES
    ):
        number += 1
    if abs(renewal(subscription, first, number) - change.resumes_at) >= DATE_TOLERANCE:
        raise ProviderRefused(
            "A break can only end on a day of payment here.",
            "At Braintree a pause is a number of whole billing cycles, from the next charge on.",
        )
    charges = {price_at(subscription, renewal(subscription, first, each)) for each in range(number)}
    charge = charges.pop()
    if charges or charge is None or charge.minor == 0:
        raise ProviderRefused(_NOT_NOW, "The charges within the pause are not all the same, or nothing.")
    return _put(held, tools.pause_id, charge, number)


def _resume(held: Held, tools: Tools) -> Params:
    if not isinstance(held.subscription.status, Paused):
        raise ProviderRefused(_NOT_NOW, "The subscription is not paused.")
    return _without(held, tools.pause_id)


# --- Plans ----------------------------------------------------------------------------------------


def _plan_change(change: PlanChange, held: Held, gateway: Gateway) -> Params:
    """The plan does not bring its price along, so that is sent; without proration it holds from the next charge."""
    subscription, next_charge = _running(held), _next_charge(held)
    current, wanted = subscription.items[0].price.money, change.price.money
    plan = found(lambda: gateway.plan.find(change.price.id))
    if plan is None:
        raise ProviderRefused(_OFFER_GONE, "There is no plan of that ID at Braintree.")
    if wanted is None or current is None:
        raise ProviderRefused(_NOT_NOW, "The price is not known.")
    if not wanted.currency == current.currency == code(plan.currency_iso_code):
        raise ProviderRefused(_NOT_NOW, "The plan is in another currency than the subscription.")
    if duration(plan) != subscription.interval:
        raise ProviderRefused(_NOT_NOW, "The plan is billed in another rhythm than the subscription.")
    if _off_at(subscription, next_charge) > wanted.minor:
        raise ProviderRefused(
            _NOT_NOW, "The discounts at work are more than the new price: Braintree would owe the rest."
        )
    return {"plan_id": change.price.id, "price": _written(wanted), "options": _NO_PRORATION}


# --- What these share -----------------------------------------------------------------------------


def _running(held: Held) -> DirectSubscription:
    """The subscription, if an offer can be made to it at all."""
    subscription = held.subscription
    if not isinstance(subscription.status, Active | Trial):
        raise ProviderRefused(_NOT_NOW, f"The subscription is {subscription.status.name}.")
    if subscription.end is not None:
        raise ProviderRefused(_NOT_NOW, "The subscription is set to end.")
    if len(subscription.items) > 1:
        raise ProviderRefused(_NOT_NOW, "The subscription has add-ons.")
    return subscription


def _next_charge(held: Held) -> datetime:
    at = held.subscription.period_end
    if at is None:
        raise ProviderRefused(_NOT_NOW, "The date of the next charge is not known.")
    return at


def _off_at(subscription: DirectSubscription, moment: datetime) -> int:
    at_work = [each.coupon for each in subscription.discounts or () if each.is_active(moment)]
    return sum(each.amount_off or 0 for each in at_work if each is not None)


def _put(held: Held, discount_id: str, off: Money, number: int | None) -> Params:
    """Add a discount for so many charges. One of the same name that is used up is taken up again: names come once."""
    amount = {"amount": _written(off), "quantity": 1, "never_expires": number is None}
    there = next((each for each in held.raw.discounts if each.id == discount_id), None)
    if there is None:
        entry = {"inherited_from_id": discount_id, **amount}
        if number is not None:
            entry["number_of_billing_cycles"] = number
        return {"discounts": {"add": [entry]}, "options": _NO_PRORATION}
    if charges_left(there) != 0:
        raise ProviderRefused(_NOT_NOW, f"The Discount {discount_id} is at work already, for something else.")
    entry = {"existing_id": discount_id, **amount}
    if number is not None:
        entry["number_of_billing_cycles"] = _count(there, "current_billing_cycle") + number
    return {"discounts": {"update": [entry]}, "options": _NO_PRORATION}


def _without(held: Held, discount_id: str) -> Params:
    is_there = any(each.id == discount_id for each in held.raw.discounts)
    return {"discounts": {"remove": [discount_id]}, "options": _NO_PRORATION} if is_there else {}


def _written(money: Money) -> str:
    """As Braintree reads amounts: with the currency's decimals, of which it knows two or none."""
    if exponent(money.currency) > 2:
        raise ProviderRefused(NOT_POSSIBLE, f"Braintree does not bill in {money.currency}.")
    amount: Decimal = money.decimal()
    return format(amount, "f")


def _count(raw: Any, name: str) -> int:
    value = getattr(raw, name, None)
    return value if isinstance(value, int) else 0
