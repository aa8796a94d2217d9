"""Speaks to the demo's billing service. Translates; decides nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, assert_never
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from app.adapters.billing.connection import Connection
from app.adapters.http import OutboundError, Reply, dump_json
from app.core.billing import (
    Account,
    Applied,
    Cancel,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundNotice,
    InboundRefused,
    Pause,
    PlanChange,
    Preview,
    PriceList,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    Resume,
    TrialExtension,
    Uncancel,
)
from app.core.calendar import iso
from app.core.direct import (
    Canceled,
    DirectCoupon,
    DirectCustomer,
    DirectPrice,
    DirectSubscription,
)

READ_S = 4.0
WRITE_S = 15.0
MAX_BYTES = 262_144
MOST_SUBSCRIPTIONS = 20
MOST_LISTED = 100

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")

Model = TypeVar("Model", bound=BaseModel)


class DemoBilling:
    """The demo's billing service in one mode. It has idempotency keys; what was done can be read at once."""

    capabilities = frozenset(Capability)
    reads_back = True
    has_previews = False

    def __init__(self, connection: Connection) -> None:
        self._http = connection.http
        self._root = f"{connection.config['base_url'].rstrip('/')}/{connection.mode}"
        self._headers = {"authorization": f"Bearer {connection.config['api_key']}"}

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        found = await self._get(f"/customers/{_segment(customer_id)}")
        return None if found is None else _shape(DirectCustomer, found)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        found = await self._get(f"/customers?{urlencode({'email': email})}")
        return [_shape(DirectCustomer, each) for each in _list(found, "customers")]

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        found = await self._get(f"/customers/{_segment(customer_id)}/subscriptions")
        subscriptions = [_shape(DirectSubscription, each) for each in _list(found, "subscriptions")]
        going_on = [each for each in subscriptions if not isinstance(each.status, Canceled)]
        return sorted(going_on, key=lambda each: each.start, reverse=True)[:MOST_SUBSCRIPTIONS]

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        found = await self._get(f"/subscriptions/{_segment(subscription_id)}")
        if found is None:
            return None
        subscription = _shape(DirectSubscription, found)
        return subscription if subscription.customer_id == customer_id else None

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        if not price_ids and not coupon_ids:
            return Catalog()
        wanted = [("price", each) for each in price_ids] + [("coupon", each) for each in coupon_ids]
        listed = await self._price_list(f"/catalog?{urlencode(wanted)}")
        return Catalog(
            {price.id: price for price in listed.prices},
            {coupon.id: coupon for coupon in listed.coupons if coupon.id},
        )

    async def list_catalog(self) -> PriceList:
        return await self._price_list("/catalog")

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        return None  # the service reckons as we do, and has nothing to add

    async def check(self) -> Account:
        found = await self._get("/account")
        match found:
            case {"id": str() as account_id, "name": str() as name, "mode": "live" | "test" as mode}:
                return Account(account_id, name, mode)
        raise ProviderUnavailable("This is not the demo's billing service.")

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        raise InboundRefused("The demo's billing service sends no webhooks.")

    async def apply(self, request: ChangeRequest) -> Applied:
        action, body = _in_their_words(request.change)
        reply = await self._call(
            "POST",
            f"/subscriptions/{_segment(request.subscription_id)}/{action}",
            {"idempotency-key": request.effect_id},
            dump_json(body),
        )
        if reply.status in (400, 404, 409, 422):
            message = _error_message(reply)
            raise ProviderRefused(message, message)
        answer = _json(reply)
        subscription = _shape(DirectSubscription, answer)
        return Applied(reference=request.effect_id, subscription=subscription)

    async def _price_list(self, path: str) -> PriceList:
        found = await self._get(path)
        prices = [_shape(DirectPrice, each) for each in _list(found, "prices")]
        coupons = [_shape(DirectCoupon, each) for each in _list(found, "coupons")]
        usable = [price for price in prices if price.active is not False]
        return PriceList(tuple(usable[:MOST_LISTED]), tuple(coupons[:MOST_LISTED]))

    async def _get(self, path: str) -> dict[str, Any] | None:
        reply = await self._call("GET", path)
        return None if reply.status == 404 else _json(reply)

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        try:
            reply = await self._http.request(
                method,
                self._root + path,
                {**self._headers, **(headers or {})},
                body=body,
                deadline_s=WRITE_S if body else READ_S,
                max_bytes=MAX_BYTES,
            )
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None
        if reply.status in (401, 403):
            raise CredentialsRefused(
                f"The billing service answered {reply.status}: it does not know the key."
            )
        if reply.status == 429:
            raise RateLimited(retry_after=reply.retry_after)
        if reply.status >= 500:
            raise ProviderUnavailable(
                f"The billing service answered {reply.status}.", retry_after=reply.retry_after
            )
        return reply


def connect(connection: Connection) -> DemoBilling:
    return DemoBilling(connection)


def _in_their_words(change: Change) -> tuple[str, dict[str, Any]]:
    match change:
        case Cancel(timing=timing):
            return "cancel", {"timing": timing}
        case Uncancel():
            return "uncancel", {}
        case Discount(coupon_id=str() as coupon_id):
            return "discount", {"couponId": coupon_id}
        case Discount():
            return "discount", _described(change)
        case Pause(resumes_at=resumes_at, renews_at=renews_at):
            moved = {"renewsAt": iso(renews_at)} if renews_at else {}
            return "pause", {"resumesAt": iso(resumes_at), **moved}
        case Resume():
            return "resume", {}
        case PlanChange(price=price):
            return "change-plan", {"priceId": price.id}
        case TrialExtension(ends_at=ends_at):
            return "extend-trial", {"endsAt": iso(ends_at)}
        case _:
            assert_never(change)


def _described(discount: Discount) -> dict[str, Any]:
    wire = discount.to_wire()
    amount = {"amountOff": "amountOffMinor", "currency": "currency"} if "amountOffMinor" in wire else {}
    names = {"percentOff": "percentOff", "duration": "duration", "durationInMonths": "months", **amount}
    return {theirs: wire[ours] for theirs, ours in names.items() if ours in wire}


def _json(reply: Reply) -> dict[str, Any]:
    try:
        value = reply.json()
    except OutboundError as error:
        raise ProviderUnavailable(error.sentence) from None
    if not reply.is_success or not isinstance(value, dict):
        raise ProviderUnavailable(f"The billing service answered {reply.status}, not as expected.")
    return value


def _list(found: dict[str, Any] | None, name: str) -> list[Any]:
    value = (found or {}).get(name, [])
    return value if isinstance(value, list) else []


def _shape(shape: type[Model], value: object) -> Model:
    """Read what we know of an answer. A later version of the service may say more."""
    try:
        return shape.model_validate(value, extra="ignore", by_alias=True, by_name=False)
    except ValidationError:
        raise ProviderUnavailable("The billing service's answer was not understood.") from None


def _error_message(reply: Reply) -> str:
    match _quiet_json(reply):
        case {"error": {"message": str() as message}}:
            return message
    return "The billing system does not allow this change."


def _quiet_json(reply: Reply) -> object:
    try:
        return reply.json()
    except OutboundError:
        return None


def _segment(given: str) -> str:
    """An id as part of a path; what this service cannot have given becomes an id that nobody has."""
    return given if _ID.fullmatch(given) else "-"
