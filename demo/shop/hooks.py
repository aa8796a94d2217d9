"""What Leavewell asks of the shop, machine to machine: customer data and, on `direct`, actions and look-ups.

Nothing is believed before its signature has been checked, and the mode comes from the secret that fits, not
from the body's say-so. No page and no cookie here.
"""

import json
from typing import Any

from litestar import Response, post
from litestar.status_codes import HTTP_200_OK

from demo.customers import find_billed
from demo.shop.billing import BillingDown, BillingRefused
from demo.shop.changes import UnknownChange, to_billing
from demo.shop.config import Mode
from demo.shop.desk import Desk, ShopRequest, desk_of
from demo.shop.proofs import is_customer_signature, is_webhook_signature

Answer = Response[Any]


@post("/demo/leavewell/customer-data", status_code=HTTP_200_OK)
async def customer_data(request: ShopRequest) -> Answer:
    """Attributes for the rules of the cancel flow: flat, and nothing that the customer may not read."""
    desk = desk_of(request)
    body = await request.body()
    match _object(body):
        case {"customerId": str() as customer_id, "signature": str() as signature}:
            is_true = is_customer_signature(signature, customer_id, desk.api_keys())
        case _:
            return _answer(
                desk, request, body, "Customer data", 400, {"message": "Send customerId and signature."}
            )
    if not is_true:
        return _answer(
            desk, request, body, "Customer data", 401, {"message": "The signature does not match."}
        )
    customer = find_billed(desk.config.demo_name(customer_id))
    # Nothing to say is an answer too: errors in a row would have Leavewell leave us alone, and others go without.
    data = {"customerId": customer_id, "customerAttributes": dict(customer.attributes) if customer else {}}
    return _answer(desk, request, body, "Customer data", 200, data, remark="Signature is true.")


@post("/demo/leavewell/actions", status_code=HTTP_200_OK)
async def actions(request: ShopRequest) -> Answer:
    """Carry out one change, once however often asked: `effectId` is billing's idempotency key."""
    desk = desk_of(request)
    body = await request.body()
    mode = _signed_mode(desk, request, body)
    if mode is None:
        return _answer(desk, request, body, "Action", 401, {"message": "The signature does not match."})
    match _object(body):
        case {
            "effectId": str() as effect_id,
            "customerId": str() as customer_id,
            "subscriptionId": str() as subscription_id,
            "mode": said_mode,
            "change": dict() as change,
        } if said_mode == mode and effect_id == request.headers.get("webhook-id"):
            status, data = await _carry_out(desk, mode, effect_id, customer_id, subscription_id, change)
        case _:
            status, data = 400, {"message": "This is not an action that the shop understands."}
    return _answer(desk, request, body, "Action", status, data)


async def _carry_out(
    desk: Desk, mode: Mode, effect_id: str, customer_id: str, subscription_id: str, change: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    try:
        action, body = to_billing(change)
        owned = await desk.billing.list_subscriptions(mode, customer_id)
        if subscription_id not in [subscription["id"] for subscription in owned]:
            raise BillingRefused("There is no such subscription.")
        subscription = await desk.billing.act(mode, subscription_id, action, body, idempotency_key=effect_id)
    except BillingDown:
        return 503, {
            "effectId": effect_id,
            "status": "unavailable",
            "message": "Billing does not answer just now.",
        }
    except BillingRefused as refusal:
        return 409, {"effectId": effect_id, "status": "rejected", "message": refusal.message}
    except UnknownChange:
        return 409, {"effectId": effect_id, "status": "rejected", "message": "The shop cannot do this."}
    return 200, {"effectId": effect_id, "status": "applied", "subscription": subscription}


@post("/demo/leavewell/lookup", status_code=HTTP_200_OK)
async def lookup(request: ShopRequest) -> Answer:
    """Who has this email address: `{customer, subscriptions}`, or 404."""
    desk = desk_of(request)
    body = await request.body()
    mode = _signed_mode(desk, request, body)
    if mode is None:
        return _answer(desk, request, body, "Look-up", 401, {"message": "The signature does not match."})
    match _object(body):
        case {"email": str() as email}:
            status, data = await _look_up(desk, mode, email)
        case _:
            status, data = 400, {"message": "Send an email address."}
    return _answer(desk, request, body, "Look-up", status, data)


async def _look_up(desk: Desk, mode: Mode, email: str) -> tuple[int, dict[str, Any]]:
    try:
        customer = await desk.billing.find_customer_by_email(mode, email)
        if customer is None:
            return 404, {"message": "There is no customer with this address."}
        subscriptions = await desk.billing.list_subscriptions(mode, customer["id"])
    except BillingDown:
        return 503, {"message": "Billing does not answer just now."}
    return 200, {"customer": customer, "subscriptions": subscriptions}


def _signed_mode(desk: Desk, request: ShopRequest, body: bytes) -> Mode | None:
    """The mode whose secret signed this request; None where none did."""
    for mode, secret in desk.config.action_secrets.items():
        if is_webhook_signature(request.headers, body, secret=secret, now=desk.now()):
            return mode
    return None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _answer(
    desk: Desk,
    request: ShopRequest,
    body: bytes,
    what: str,
    status: int,
    data: dict[str, Any],
    *,
    remark: str = "",
) -> Answer:
    desk.journal.note(
        at=desk.now(),
        direction="from Leavewell",
        what=what,
        request_line=f"POST {request.url.path}",
        headers=request.headers,
        request_body=body,
        status=status,
        answer_body=data,
        remark=remark,
    )
    headers = {"retry-after": "5"} if status == 503 else None
    return Response(data, status_code=status, media_type="application/json", headers=headers)
