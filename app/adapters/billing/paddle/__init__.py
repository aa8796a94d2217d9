"""Paddle Billing (not Classic), by its HTTP API, version 1.

A customer is known by the id of a subscription (`sub_…`: that one subscription) or by Paddle's own (`ctm_…`: all).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.adapters.billing.connection import Connection, Mode
from app.adapters.billing.paddle.discounts import is_attached
from app.adapters.billing.paddle.inbound import read_message
from app.adapters.billing.paddle.previewing import read_preview
from app.adapters.billing.paddle.reading import (
    country_of,
    is_usable_coupon,
    made_for,
    needs_country,
    read_coupon,
    read_customer,
    read_price,
    read_subscription,
)
from app.adapters.billing.paddle.values import text
from app.adapters.billing.paddle.wire import (
    Object,
    PaddleApi,
    PaddleRefused,
    inner,
    is_id,
    path,
    together,
)
from app.adapters.billing.paddle.writing import make_change, preview_body
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundNotice,
    Pause,
    PlanChange,
    Preview,
    PriceList,
    ProviderRefused,
    TrialExtension,
    is_in_place,
)
from app.core.direct import MAX_SUBSCRIPTIONS, Canceled, DirectCustomer, DirectSubscription

HOSTS: Final[Mapping[Mode, str]] = {
    "live": "https://api.paddle.com",
    "test": "https://sandbox-api.paddle.com",
}
PERMISSIONS: Final = (
    "subscription.read",
    "subscription.write",
    "customer.read",
    "address.read",
    "price.read",
    "discount.read",
    "discount.write",
)
MOST_LISTED: Final = 100
_MOST_READ: Final = 400  # to find the newest hundred among those that can be used
_MOST_NAMED: Final = 200

_KEY = re.compile(r"pdl_(?P<mode>live|sdbx)_(?P<id>apikey_[a-z\d]{26})_.+", re.ASCII)
_MODES: Final[Mapping[str, Mode]] = {
    "live": "live",
    "sdbx": "test",
    "production": "live",
    "sandbox": "test",
}


class PaddleBilling:
    """One Paddle account. It has no idempotency keys: what was done is read first, and found by what it left."""

    capabilities = frozenset(Capability) - {Capability.PAUSE_TO_ANY_DAY}
    reads_back = True
    has_previews = True

    def __init__(self, connection: Connection) -> None:
        root = connection.config.get("api_base", "").strip() or HOSTS[connection.mode]
        self._mode = connection.mode
        self._key = connection.config["api_key"].strip()
        self._secrets = connection.config.get("webhook_secret", "")
        self._clock = connection.clock
        self._api = PaddleApi(connection.http, root, self._key)

    # --- Reading ---

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        if is_id(customer_id, "ctm"):
            customer, addresses = await together(
                self._api.find(path("customers", customer_id)),
                self._addresses(customer_id),
            )
            address = addresses[0] if addresses else None
            return read_customer(customer, customer_id, address) if customer else None
        raw = await self._subscription(customer_id)
        if raw is None:
            return None
        customer, address = await together(self._owner(raw), self._address(raw))
        return read_customer(customer or {}, customer_id, address, raw.get("currency_code"))

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        if "," in email:  # Paddle reads a list there
            return []
        wanted = ",".join(dict.fromkeys((email, email.lower())))
        found = await self._api.list_all(
            "/customers",
            most=MAX_SUBSCRIPTIONS,
            may_be_invalid=True,
            email=wanted,
            status="active,archived",
        )
        customers = [read_customer(raw, str(raw["id"])) for raw in found if is_id(str(raw.get("id")), "ctm")]
        return [each for each in customers if each.email and each.email.lower() == email.lower()]

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        if is_id(customer_id, "ctm"):
            found = await self._api.list_all("/subscriptions", most=_MOST_READ, customer_id=customer_id)
        else:
            only = await self._subscription(customer_id)
            found = [only] if only else []
        going_on = [raw for raw in found if raw.get("status") != "canceled"]
        going_on.sort(key=lambda raw: str(raw.get("started_at") or raw.get("created_at")), reverse=True)
        listed = await together(*(self._read(raw, customer_id) for raw in going_on[:MAX_SUBSCRIPTIONS]))
        return [each for each in listed if not isinstance(each.status, Canceled)]

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        raw = await self._owned(customer_id, subscription_id)
        return await self._read(raw, customer_id) if raw else None

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        prices, coupons = await together(
            self._named("/prices", [each for each in price_ids if is_id(each, "pri")]),
            self._named("/discounts", [each for each in coupon_ids if is_id(each, "dsc")]),
        )
        return Catalog(
            {str(raw["id"]): read_price(raw) for raw in prices if raw.get("billing_cycle")},
            {str(raw["id"]): read_coupon(raw) for raw in coupons if is_usable_coupon(raw)},
        )

    async def list_catalog(self) -> PriceList:
        prices, coupons = await together(
            self._api.list_all("/prices", most=MOST_LISTED, status="active", recurring="true"),
            self._api.list_all("/discounts", most=_MOST_READ, status="active"),
        )
        own = [raw for raw in coupons if is_usable_coupon(raw) and made_for(raw) is None]
        return PriceList(
            tuple(read_price(raw) for raw in prices if raw.get("billing_cycle")),
            tuple(read_coupon(raw) for raw in own[:MOST_LISTED]),
        )

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        if not isinstance(change, PlanChange | Discount | TrialExtension | Pause):
            return None
        raw = await self._owned(customer_id, subscription_id)
        if raw is None:
            return None
        now = self._clock.now()
        subscription = await self._read(raw, customer_id)
        body = await preview_body(self._api, change, raw, subscription, now)
        if body is None:
            return None
        answer = await self._api.preview(path("subscriptions", subscription_id, "preview"), body)
        return read_preview(answer, subscription, now)

    async def check(self) -> Account:
        key = _KEY.fullmatch(self._key)
        if key is not None and _MODES[key["mode"]] != self._mode:
            return Account(key["id"], mode=_MODES[key["mode"]])  # it would not be known at this address
        root = await self._api.find("/")
        caller = inner(root, "caller")
        account = inner(caller, "account")
        if not account:
            raise CredentialsRefused("Paddle does not know this API key.")
        _check_permissions(caller.get("permissions"))
        environment = str(inner(root, "api").get("environment"))
        return Account(
            str(account.get("id") or "paddle"),
            name=text(account.get("name")),
            mode=_MODES.get(environment) or (_MODES[key["mode"]] if key else None),
        )

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return read_message(message, self._secrets)

    # --- Changing ---

    async def apply(self, request: ChangeRequest) -> Applied:
        raw = await self._owned(request.customer_id, request.subscription_id)
        if raw is None:
            raise ProviderRefused(
                "This subscription was not found.", "Paddle knows no such subscription of this customer."
            )
        subscription, is_done = await self._look(request, raw)
        if is_done:
            return Applied(request.effect_id, subscription)
        try:
            reference = await make_change(self._api, request, raw, subscription, self._clock.now())
        except PaddleRefused:
            # Another process may have made it in between, and that is why it was refused.
            again = await self._owned(request.customer_id, request.subscription_id)
            if again is not None and (found := await self._look(request, again))[1]:
                return Applied(request.effect_id, found[0])
            raise
        return Applied(reference or request.effect_id)

    async def _look(self, request: ChangeRequest, raw: Object) -> tuple[DirectSubscription, bool]:
        """The subscription, and whether what is asked for is there already."""
        entity = await self._discount_of(raw)
        subscription = await self._read(raw, request.customer_id, entity)
        if isinstance(request.change, Discount):
            return subscription, is_attached(request.change, request.effect_id, raw, entity)
        return subscription, is_in_place(request.change, subscription, self._clock.now())

    # --- Entities ---

    async def _subscription(self, subscription_id: str) -> Object | None:
        if not is_id(subscription_id, "sub"):
            return None
        return await self._api.find(path("subscriptions", subscription_id))

    async def _owned(self, customer_id: str, subscription_id: str) -> Object | None:
        if not is_id(customer_id, "ctm") and customer_id != subscription_id:
            return None
        raw = await self._subscription(subscription_id)
        is_theirs = raw is not None and customer_id in (subscription_id, raw.get("customer_id"))
        return raw if is_theirs else None

    async def _read(
        self, raw: Object, customer_id: str, discount: Object | None = None
    ) -> DirectSubscription:
        discount, address = await together(
            _known(discount) if discount else self._discount_of(raw),
            self._address(raw) if needs_country(raw) else _known(None),
        )
        return read_subscription(
            raw,
            customer_id=customer_id,
            discount=discount,
            country=country_of(address),
            now=self._clock.now(),
        )

    async def _discount_of(self, raw: Object) -> Object | None:
        discount_id = str(inner(raw, "discount").get("id"))
        if not is_id(discount_id, "dsc"):
            return None
        return await self._api.find(path("discounts", discount_id))

    async def _owner(self, raw: Object) -> Object | None:
        owner = str(raw.get("customer_id"))
        return await self._api.find(path("customers", owner)) if is_id(owner, "ctm") else None

    async def _address(self, raw: Object) -> Object | None:
        owner, address = str(raw.get("customer_id")), str(raw.get("address_id"))
        if not is_id(owner, "ctm") or not is_id(address, "add"):
            return None
        return await self._api.find(path("customers", owner, "addresses", address))

    async def _addresses(self, customer_id: str) -> list[Object]:
        at = path("customers", customer_id, "addresses")
        return await self._api.list_all(at, most=1, status="active")

    async def _named(self, at: str, ids: Sequence[str]) -> list[Any]:
        if not ids:
            return []
        wanted = list(dict.fromkeys(ids))[:_MOST_NAMED]
        return await self._api.list_all(at, most=len(wanted), id=",".join(wanted), status="active")


def connect(connection: Connection) -> PaddleBilling:
    return PaddleBilling(connection)


async def _known(entity: Object | None) -> Object | None:
    return entity


def _check_permissions(granted: object) -> None:
    """Raises CredentialsRefused that names what is missing; a key of the kind without permissions may do all."""
    if not isinstance(granted, list) or not granted:
        return
    missing = [
        each for each in PERMISSIONS if each not in granted and each.replace(".read", ".write") not in granted
    ]
    if missing:
        raise CredentialsRefused(f"The API key lacks these permissions: {', '.join(missing)}.")
