"""What Braintree's objects say, in the canonical model. Reads; asks nobody.

Braintree keeps dates where we keep instants: a date is read as its midnight, UTC. A period ends with its last day, so
what is paid for runs out at the next midnight.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from app.adapters.billing.braintree import people
from app.core.direct import (
    Active,
    Amount,
    Canceled,
    DirectCoupon,
    DirectDiscount,
    DirectPrice,
    DirectSubscription,
    DirectSubscriptionItem,
    DurationConfig,
    Future,
    Obstacle,
    OpenPeriod,
    Paused,
    Period,
    SubscriptionStatus,
    Trial,
    Unpaid,
)
from app.core.money import exponent, is_currency_code
from app.core.renewals import renewal

MONTHS_IN_A_YEAR: Final = 12
_A_DAY: Final = timedelta(days=1)
_MOST_DISCOUNTS: Final = 20
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription as Braintree has it, its plan (None: there is no such plan any more), and what both say to us."""

    raw: Any
    plan: Any | None
    subscription: DirectSubscription


def hold(raw: Any, plan: Any | None, *, customer_id: str, pause_id: str, now: datetime) -> Held:
    return Held(raw, plan, _Reader(raw, plan, customer_id, pause_id, now).read())


class _Reader:
    """Reads one subscription."""

    def __init__(self, raw: Any, plan: Any | None, customer_id: str, pause_id: str, now: datetime) -> None:
        self.raw, self.plan, self.pause_id, self.now = raw, plan, pause_id, now
        self.customer_id = customer_id
        self.currency = _currency(raw, plan)
        self.obstacles: list[Obstacle] = []

    def read(self) -> DirectSubscription:
        base = DirectSubscription(
            id=self.raw.id,
            customer_id=self.customer_id,
            start=self._start(),
            status=self._status(),
            items=list(self._items()),
            duration=duration(self.plan),
        )
        discounts = [self._discount(each, base) for each in self._at_work() if each.id != self.pause_id]
        found = base.model_copy(update={"discounts": discounts[:_MOST_DISCOUNTS]})
        found = self._with_end(self._with_pause(found))
        if found.status.name == "active" and _decimal(self.raw, "balance") > 0:
            self.obstacles.append(Obstacle.UNPAID)
        obstacles = tuple(dict.fromkeys(self.obstacles)) or None
        return found.model_copy(update={"obstacles": obstacles})

    # --- Where it stands ---

    def _start(self) -> datetime:
        days = [moment(self.raw, name) for name in ("created_at", "first_billing_date")]
        return next((day for day in days if day is not None), EPOCH)

    def _period(self) -> Period | None:
        begins, last_day = (
            moment(self.raw, "billing_period_start_date"),
            moment(self.raw, "billing_period_end_date"),
        )
        if begins is None or last_day is None:
            return None
        return Period(start=min(begins, last_day + _A_DAY), end=last_day + _A_DAY)

    def _status(self) -> SubscriptionStatus:
        period = self._period()
        match self.raw.status:
            case "Active" if (ends := self._trial_end()) is not None:
                return Trial(trial=Period(start=min(self._start(), ends), end=ends))
            case "Active" if period is not None:
                return Active(current_period=period)
            case "Past Due":
                return Unpaid(current_period=period)
            case "Pending":
                return Future()
            case "Canceled":
                return Canceled(canceled_at=self._canceled_at())
            case "Expired":
                return Canceled(canceled_at=period.end if period else self._canceled_at())
        self.obstacles.append(Obstacle.UNKNOWN_STATE)
        return Active(current_period=period) if period else Future()

    def _trial_end(self) -> datetime | None:
        """The day of the first charge, until it has been tried."""
        first = moment(self.raw, "first_billing_date")
        if getattr(self.raw, "trial_period", None) is not True or first is None:
            return None
        is_before = first > self.now or moment(self.raw, "billing_period_start_date") is None
        return first if is_before else None

    def _canceled_at(self) -> datetime:
        events = [
            each for each in _list(self.raw, "status_history") if getattr(each, "status", "") == "Canceled"
        ]
        days = [moment(each, "timestamp") for each in events] + [
            moment(self.raw, "updated_at"),
            self._start(),
        ]
        return next(day for day in days if day is not None)

    # --- Money ---

    def _items(self) -> Iterator[DirectSubscriptionItem]:
        every = duration(self.plan)
        yield DirectSubscriptionItem(
            price=DirectPrice(
                id=self.raw.plan_id,
                type="standalone",
                name=people.text(getattr(self.plan, "name", None)),
                duration=every,
                amount=Amount(value=minor(self.raw.price, self.currency), currency=self.currency),
            )
        )
        for add_on in _list(self.raw, "add_ons"):
            if not _is_used_up(add_on):
                amount = Amount(value=minor(add_on.amount, self.currency), currency=self.currency)
                price = DirectPrice(
                    id=add_on.id, name=people.text(_get(add_on, "name")), duration=every, amount=amount
                )
                yield DirectSubscriptionItem(price=price, quantity=_quantity(add_on))

    def _at_work(self) -> list[Any]:
        """Discounts with charges ahead, and those that the charge of this period was reduced by."""
        return [
            each
            for each in _list(self.raw, "discounts")
            if not _is_used_up(each) or self._reduced_this_period(each.id)
        ]

    def _reduced_this_period(self, discount_id: str) -> bool:
        """Where nothing was charged for the period, a discount took all of it."""
        if self._trial_end() is not None or self._period() is None:
            return False
        charge = _charge_of_this_period(self.raw)
        return charge is None or any(each.id == discount_id for each in _list(charge, "discounts"))

    def _discount(self, raw: Any, base: DirectSubscription) -> DirectDiscount:
        coupon = DirectCoupon(
            id=raw.id,
            name=people.text(_get(raw, "name")),
            amount_off=minor(raw.amount, self.currency) * _quantity(raw),
            currency=self.currency,
            **self._cycles(raw),
        )
        left = charges_left(raw)
        return DirectDiscount(
            id=raw.id, coupon=coupon, end=None if left is None else _charge_date(base, left)
        )

    def _cycles(self, raw: Any) -> dict[str, Any]:
        """One charge may have been meant once, or as the months of one charge: Braintree does not say which."""
        number = cycles(raw)
        if number is None:
            return {"duration": "forever"}
        if number < 2 or self.plan is None:
            return {}
        months = number * _frequency(self.plan)
        return {"duration": "repeating", "duration_in_months": months if months <= 1200 else None}

    # --- Pauses and ends ---

    def _with_pause(self, base: DirectSubscription) -> DirectSubscription:
        """A pause is our pause discount at work, covering the whole price."""
        raw = next((each for each in self._at_work() if each.id == self.pause_id), None)
        if raw is None or self._ends_with_trial():
            return base
        if base.status.name != "active" or not self._covers_all(raw):
            self.obstacles.append(Obstacle.FOREIGN_PAUSE)
            return base
        left, had = charges_left(raw), _whole(raw, "current_billing_cycle")
        end = None if left is None else _charge_date(base, left)
        start = _charge_date(base, 0 if had == 0 else -had)
        if start is None:
            return base
        return base.model_copy(
            update={"status": Paused(pause=OpenPeriod(start=start, end=end), current_period=self._period())}
        )

    def _covers_all(self, raw: Any) -> bool:
        others = [each for each in self._at_work() if each.id != raw.id]
        off = sum((Decimal(str(each.amount)) * _quantity(each) for each in [raw, *others]), Decimal(0))
        return off >= self._gross()

    def _gross(self) -> Decimal:
        add_ons = [each for each in _list(self.raw, "add_ons") if not _is_used_up(each)]
        extra = sum((Decimal(str(each.amount)) * _quantity(each) for each in add_ons), Decimal(0))
        return Decimal(str(self.raw.price)) + extra

    def _with_end(self, base: DirectSubscription) -> DirectSubscription:
        """Braintree ends a subscription with the last of a number of cycles."""
        if isinstance(base.status, Canceled):
            return base.model_copy(update={"end": base.status.canceled_at})
        number, had = _number(self.raw), _whole(self.raw, "current_billing_cycle")
        if number is None:
            return base
        if self._ends_with_trial():
            end = (
                base.period_end if isinstance(base.status, Trial) else moment(self.raw, "first_billing_date")
            )
            is_over = end is not None and not isinstance(base.status, Trial)
            over = {"status": Canceled(canceled_at=end)} if is_over and end is not None else {}
            return base.model_copy(update={"end": end, **over})
        if number > max(had, 0):
            self.obstacles.append(Obstacle.CONTRACT)
            return base
        return base.model_copy(update={"end": base.period_end})

    def _ends_with_trial(self) -> bool:
        """One cycle only, after a trial, and not a cent for it: what a trial ends with, see `writing`."""
        if self.raw.status != "Active" or getattr(self.raw, "trial_period", None) is not True:
            return False
        if _number(self.raw) != 1:
            return False
        if self._trial_end() is None:
            return _charge_of_this_period(self.raw) is None and _decimal(self.raw, "balance") <= 0
        off = sum((Decimal(str(e.amount)) * _quantity(e) for e in self._at_work()), Decimal(0))
        return off >= self._gross()


# --- Prices and coupons ---------------------------------------------------------------------------


def price(plan: Any) -> DirectPrice:
    currency = code(_get(plan, "currency_iso_code"))
    return DirectPrice(
        id=plan.id,
        type="standalone",
        active=True,
        name=people.text(_get(plan, "name")),
        description=people.text(_get(plan, "description")),
        duration=duration(plan),
        amount=Amount(value=minor(plan.price, currency), currency=currency),
    )


def coupon(discount: Any, currencies: Sequence[str]) -> DirectCoupon | None:
    """A discount of the merchant's. Its amount has no currency: the plans' does, where they all count alike."""
    if len({exponent(each) for each in currencies}) > 1:
        return None
    number = cycles(discount)
    kind = "forever" if number is None else "once" if number == 1 else "repeating"
    currency = currencies[0] if len(set(currencies)) == 1 else None
    off = minor(discount.amount, currency or (currencies[0] if currencies else None)) * _quantity(discount)
    return DirectCoupon(
        id=discount.id,
        name=people.text(_get(discount, "name")),
        amount_off=off,
        currency=currency,
        duration=kind,  # type: ignore[arg-type]  # one of the three
        duration_in_months=number if kind == "repeating" else None,
    )


def duration(plan: Any | None) -> DurationConfig | None:
    """How often a plan is billed. Braintree counts in months."""
    if plan is None or (months := _frequency(plan)) < 1:
        return None
    if months % MONTHS_IN_A_YEAR == 0:
        return DurationConfig(interval="year", interval_count=months // MONTHS_IN_A_YEAR)
    return DurationConfig(interval="month", interval_count=months)


def minor(amount: Any, currency: str | None) -> int:
    """A decimal amount in the currency's smallest unit."""
    places = exponent(currency) if currency else 2
    return int(Decimal(str(amount)).scaleb(places).to_integral_value(ROUND_HALF_UP))


def cycles(modification: Any) -> int | None:
    """For how many charges it is meant; None: for all."""
    return _number(modification)


def charges_left(modification: Any) -> int | None:
    """How many charges it is still going to change; None: all."""
    number = _number(modification)
    return None if number is None else max(number - _whole(modification, "current_billing_cycle"), 0)


def code(value: Any) -> str | None:
    return value if isinstance(value, str) and is_currency_code(value) else None


def moment(raw: Any, name: str) -> datetime | None:
    """A date or a time of Braintree's, in UTC."""
    value = _get(raw, name)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def _currency(raw: Any, plan: Any | None) -> str | None:
    """That of the merchant account, which Braintree names in the subscription's history and charges only."""
    history = sorted(
        (each for each in _list(raw, "status_history") if moment(each, "timestamp")),
        key=lambda each: moment(each, "timestamp") or EPOCH,
        reverse=True,
    )
    places = [*history, *_list(raw, "transactions"), plan]
    return next((found for each in places if (found := code(_get(each, "currency_iso_code")))), None)


def _charge_date(base: DirectSubscription, number: int) -> datetime | None:
    """The charge date `number` charges after the next one (before it, if negative)."""
    first = base.period_end
    return None if first is None else renewal(base, first, number)


def _charge_of_this_period(raw: Any) -> Any | None:
    begins = moment(raw, "billing_period_start_date")
    for charge in _list(raw, "transactions"):
        details = _get(charge, "subscription_details")
        if begins is not None and moment(details, "billing_period_start_date") == begins:
            return charge
    return None


def _is_used_up(modification: Any) -> bool:
    return charges_left(modification) == 0


def _number(raw: Any) -> int | None:
    number = _get(raw, "number_of_billing_cycles")
    if _get(raw, "never_expires") is True or isinstance(number, bool) or not isinstance(number, int):
        return None
    return number


def _whole(raw: Any, name: str) -> int:
    value = _get(raw, name)
    return value if isinstance(value, int) else 0


def _frequency(plan: Any) -> int:
    return _whole(plan, "billing_frequency")


def _quantity(modification: Any) -> int:
    return max(_whole(modification, "quantity"), 1)


def _decimal(raw: Any, name: str) -> Decimal:
    value = _get(raw, name)
    return Decimal(str(value)) if value not in (None, "") else Decimal(0)


def _list(raw: Any, name: str) -> list[Any]:
    value = _get(raw, name)
    return value if isinstance(value, list) else []


def _get(raw: Any, name: str) -> Any:
    return getattr(raw, name, None)
