"""A billing system in memory that does what it is told, once for each idempotency key, and fails as planned."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.billing import (
    Applied,
    BillingProvider,
    Cancel,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    Discount,
    Pause,
    ProviderError,
    Resume,
    Uncancel,
)
from app.core.direct import DirectCustomer, DirectSubscription
from tests.support.subscriptions import NOW, day


@dataclass
class FakeBilling(BillingProvider):
    """`before` and `after` are raised by the next `apply`, before or after the change is made. `forgets` makes it say
    that a change was made which then does not show. `stale` is how many reads see what `was` there before."""

    subscriptions: list[DirectSubscription]
    reads_back: bool = True
    has_previews: bool = False
    before: ProviderError | None = None
    after: ProviderError | None = None
    forgets: bool = False
    stale: int = 0
    was: list[DirectSubscription] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    asked: list[ChangeRequest] = field(default_factory=list)
    capabilities: frozenset[Capability] = frozenset(Capability)

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        return None

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        return []

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        return self.subscriptions

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        is_stale, self.stale = bool(self.was) and self.stale > 0, max(self.stale - bool(self.was), 0)
        seen = self.was if is_stale else self.subscriptions
        return next((each for each in seen if each.id == subscription_id), None)

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        return Catalog()

    async def apply(self, request: ChangeRequest) -> Applied:
        self.asked.append(request)
        _raise(self, "before")
        if request.effect_id not in self.made:
            self.made.append(request.effect_id)
            if not self.forgets:
                self.was = self.subscriptions
                self.subscriptions = [
                    changed(each, request.change) if each.id == request.subscription_id else each
                    for each in self.subscriptions
                ]
        _raise(self, "after")
        reference = f"ref_{request.effect_id}"
        return Applied(reference, confirmation="read_back" if self.reads_back else "merchant")


def changed(subscription: DirectSubscription, change: Change) -> DirectSubscription:
    """What a subscription is after a change, as far as these tests look."""
    raw = subscription.to_wire()
    match change:
        case Cancel():
            raw["end"] = "2026-12-01T00:00:00Z"
        case Uncancel():
            raw.pop("end", None)
        case Pause(resumes_at=resumes_at):
            pause = {"start": NOW.isoformat(), "end": resumes_at.isoformat()}
            raw["status"] = {"name": "paused", "pause": pause}
        case Resume():
            raw["status"] = {
                "name": "active",
                "currentPeriod": {"start": "2026-11-01", "end": "2026-12-01"},
            }
        case Discount():
            coupon = {"percentOff": float(change.percent_off or 0), "duration": change.duration}
            if change.months:
                coupon["durationInMonths"] = change.months
            raw["discounts"] = [{"id": "di_1", "coupon": coupon, "start": "2026-11-21"}]
        case _:
            raise NotImplementedError(change.type)
    return DirectSubscription.model_validate(raw, by_alias=True, by_name=False)


def _raise(billing: FakeBilling, name: str) -> None:
    error: ProviderError | None = getattr(billing, name)
    setattr(billing, name, None)
    if error is not None:
        raise error


REQUESTED = day("2026-11-21")


def a_request(change: Change, *, subscription_id: str = "sub_1", effect_id: str = "eff_1") -> ChangeRequest:
    return ChangeRequest(effect_id, "cs_1", "cus_1", subscription_id, "test", change, None, REQUESTED)


def named(subscription: DirectSubscription, subscription_id: str) -> DirectSubscription:
    return subscription.model_copy(update={"id": subscription_id})
