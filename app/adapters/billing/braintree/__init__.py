"""Speaks to Braintree, with its own library. Translates; decides nothing.

`reading` and `people` tell what Braintree's objects say, `writing` what a change is there, `wire` carries both.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

from app.adapters.billing.braintree import inbound, people, reading
from app.adapters.billing.braintree.reading import Held, hold
from app.adapters.billing.braintree.wire import (
    NOT_UNDERSTOOD,
    READ_S,
    WRITE_S,
    Gateway,
    as_subscription,
    email_is,
    found,
    run,
)
from app.adapters.billing.braintree.writing import NOT_POSSIBLE, CancelNow, Tools, refusal_of, write_for
from app.adapters.billing.connection import Connection
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    InboundMessage,
    InboundNotice,
    Pause,
    Preview,
    PriceList,
    ProviderRefused,
    ProviderUnavailable,
    TrialExtension,
    is_in_place,
)
from app.core.direct import Canceled, DirectCustomer, DirectSubscription

DISCOUNT_ID: Final = "leavewell-discount"
PAUSE_ID: Final = "leavewell-pause"
MOST_CUSTOMERS: Final = 20
MOST_SUBSCRIPTIONS: Final = 20
MOST_LISTED: Final = 100
_LIST_S: Final = 8.0
_LONGEST_SEARCH: Final = 255
_OVER: Final = ("Canceled", "Expired")

T = TypeVar("T")


class BraintreeBilling:
    """One merchant in one of Braintree's environments.

    There are no idempotency keys: every change sets a state, and is sent only where reading shows that it is not there.
    """

    capabilities = frozenset(Capability) - {
        Capability.TRIAL_EXTENSION,
        Capability.MOVE_RENEWAL,
        Capability.PAUSE_TO_ANY_DAY,
    }
    reads_back = True
    has_previews = True

    def __init__(self, connection: Connection) -> None:
        self._config = connection.config
        self._http = connection.http
        self._clock = connection.clock
        self._tools = Tools(
            discount_id=self._config.get("discount_id", "").strip() or DISCOUNT_ID,
            pause_id=self._config.get("pause_discount_id", "").strip() or PAUSE_ID,
        )

    # --- Customers and subscriptions ---

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        def work(gateway: Gateway) -> DirectCustomer | None:
            raw = found(lambda: gateway.customer.find(customer_id))
            return None if raw is None else people.customer(raw)

        return await self._read(work)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        if len(email) > _LONGEST_SEARCH:
            return []

        def work(gateway: Gateway) -> list[DirectCustomer]:
            raws: dict[str, Any] = {}
            # Whether its search minds the case is not documented: ask for both, and compare.
            for spelling in dict.fromkeys((email, email.lower())):
                for raw in gateway.customer.search(email_is(spelling)):
                    if people.has_email(raw, email):
                        raws.setdefault(raw.id, raw)
                    if len(raws) == MOST_CUSTOMERS:
                        break
            return [people.customer(raw) for raw in raws.values()]

        return await self._read(work)

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        def work(gateway: Gateway) -> list[DirectSubscription]:
            customer = found(lambda: gateway.customer.find(customer_id))
            if customer is None:
                return []
            raws = [self._whole(gateway, each) for each in people.subscriptions(customer)]
            running = [raw for raw in raws if raw.status not in _OVER]
            newest = sorted(
                running, key=lambda raw: reading.moment(raw, "created_at") or reading.EPOCH, reverse=True
            )
            plans: dict[str, Any] = {}
            listed: list[DirectSubscription] = []
            for raw in newest:
                if len(listed) == MOST_SUBSCRIPTIONS:
                    break
                if raw.plan_id not in plans:
                    plans[raw.plan_id] = _find_plan(gateway, raw.plan_id)
                subscription = self._hold(raw, plans[raw.plan_id], customer_id).subscription
                if not isinstance(subscription.status, Canceled):
                    listed.append(subscription)
            return listed

        return await self._read(work)

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        def work(gateway: Gateway) -> DirectSubscription | None:
            held = self._find(gateway, customer_id, subscription_id)
            return held.subscription if held else None

        return await self._read(work)

    # --- Prices ---

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        if not price_ids and not coupon_ids:
            return Catalog()

        def work(gateway: Gateway) -> Catalog:
            plans = gateway.plan.all()
            prices = {plan.id: reading.price(plan) for plan in plans if plan.id in price_ids}
            discounts = gateway.discount.all() if coupon_ids else []
            coupons = {each.id: self._coupon(each, plans) for each in discounts if each.id in coupon_ids}
            return Catalog(prices, {name: coupon for name, coupon in coupons.items() if coupon is not None})

        return await self._read(work)

    async def list_catalog(self) -> PriceList:
        def work(gateway: Gateway) -> PriceList:
            plans = _newest_first(gateway.plan.all())
            coupons = [self._coupon(each, plans) for each in _newest_first(gateway.discount.all())]
            return PriceList(
                tuple(reading.price(plan) for plan in plans[:MOST_LISTED]),
                tuple(coupon for coupon in coupons if coupon is not None)[:MOST_LISTED],
            )

        return await self._read(work, deadline_s=_LIST_S)

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        """Braintree reckons nothing beforehand; but what would be refused is refused here already."""

        def work(gateway: Gateway) -> None:
            self._refuse_the_impossible(change)
            held = self._find(gateway, customer_id, subscription_id)
            if held is None or is_in_place(change, held.subscription, self._clock.now()):
                return
            write = write_for(change, held, gateway, self._tools)
            if not isinstance(write, CancelNow):
                _check_tools(write, gateway)

        return await self._read(work)

    # --- The connection ---

    async def check(self) -> Account:
        """Reads the plans: without them no subscription can be told."""

        def work(gateway: Gateway) -> Account:
            gateway.plan.all()
            mode: Literal["live", "test"] = "live" if self._config["environment"] == "production" else "test"
            return Account(id=self._config["merchant_id"], mode=mode)

        return await self._read(work)

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return inbound.verify(self._config, message)

    def answer_challenge(self, challenge: str) -> str:
        return inbound.answer(self._config, challenge)

    # --- Changes ---

    async def apply(self, request: ChangeRequest) -> Applied:
        def work(gateway: Gateway) -> Applied:
            change = request.change
            self._refuse_the_impossible(change)
            held = self._find(gateway, request.customer_id, request.subscription_id)
            if held is None:
                raise ProviderRefused(NOT_POSSIBLE, "Braintree knows no such subscription of this customer.")
            if is_in_place(change, held.subscription, self._clock.now()):
                return Applied(subscription=held.subscription)
            write = write_for(change, held, gateway, self._tools)
            subscriptions = gateway.subscription
            if isinstance(write, CancelNow):
                result = subscriptions.cancel(held.subscription.id)
            else:
                result = subscriptions.update(held.subscription.id, write)
            if result is None:
                raise ProviderUnavailable(NOT_UNDERSTOOD)
            if not result.is_success:
                raise refusal_of(result) from None
            raw = result.subscription
            plan = held.plan if raw.plan_id == held.raw.plan_id else _find_plan(gateway, raw.plan_id)
            after = self._hold(raw, plan, request.customer_id)
            return Applied(subscription=after.subscription)

        return await run(self._config, self._http, work, deadline_s=WRITE_S)

    # --- What these share ---

    async def _read(self, work: Callable[[Gateway], T], *, deadline_s: float = READ_S) -> T:
        return await run(self._config, self._http, work, deadline_s=deadline_s)

    def _refuse_the_impossible(self, change: Change) -> None:
        """Before anything is asked: what Braintree has no means for."""
        if isinstance(change, TrialExtension) or (isinstance(change, Pause) and change.renews_at is not None):
            raise ProviderRefused(NOT_POSSIBLE, "Braintree cannot move the date of the next charge.")

    def _find(self, gateway: Gateway, customer_id: str, subscription_id: str) -> Held | None:
        """The subscription, if it is this customer's: Braintree knows whose the payment method is."""
        raw = found(lambda: gateway.subscription.find(subscription_id))
        customer = found(lambda: gateway.customer.find(customer_id)) if raw is not None else None
        if raw is None or customer is None or not _is_whose(raw, customer):
            return None
        return self._hold(raw, _find_plan(gateway, raw.plan_id), customer_id)

    def _hold(self, raw: Any, plan: Any | None, customer_id: str) -> Held:
        return hold(raw, plan, customer_id=customer_id, pause_id=self._tools.pause_id, now=self._clock.now())

    def _whole(self, gateway: Gateway, raw: Any) -> Any:
        """A subscription with all its parts: as it came with a payment method, else read by itself."""
        listed = as_subscription(gateway, raw) if isinstance(raw, dict) else raw
        is_whole = all(
            hasattr(listed, name) for name in ("discounts", "add_ons", "transactions", "status_history")
        )
        return listed if is_whole or listed.status in _OVER else gateway.subscription.find(listed.id)

    def _coupon(self, discount: Any, plans: Sequence[Any]) -> Any:
        if discount.id in (self._tools.discount_id, self._tools.pause_id):
            return None
        currencies = [
            code for plan in plans if (code := reading.code(getattr(plan, "currency_iso_code", None)))
        ]
        return reading.coupon(discount, currencies)


def connect(connection: Connection) -> BraintreeBilling:
    return BraintreeBilling(connection)


def _find_plan(gateway: Gateway, plan_id: str) -> Any | None:
    return found(lambda: gateway.plan.find(plan_id))


def _is_whose(raw: Any, customer: Any) -> bool:
    """By the payment method that is charged; where that has been deleted, by who was charged."""
    if raw.payment_method_token in people.tokens(customer):
        return True
    charged = [getattr(each, "customer_details", None) for each in getattr(raw, "transactions", None) or ()]
    return any(getattr(each, "id", None) == customer.id for each in charged)


def _check_tools(write: dict[str, Any], gateway: Gateway) -> None:
    """Whether the merchant has made the Discounts that the write adds."""
    wanted = [entry["inherited_from_id"] for entry in write.get("discounts", {}).get("add", ())]
    known = {each.id for each in gateway.discount.all()} if wanted else set()
    for name in wanted:
        if name not in known:
            raise ProviderRefused(NOT_POSSIBLE, f"The Discount {name} does not exist at Braintree.")


def _newest_first(raws: Sequence[Any]) -> list[Any]:
    return sorted(raws, key=lambda raw: reading.moment(raw, "created_at") or reading.EPOCH, reverse=True)
