"""What Leavewell asks of the demo shop, and what the shop believes."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.customers import CUSTOMERS
from demo.shop.proofs import sign_webhook
from tests.demo.shops import ACTION_SECRETS, KEYS, Shop, open_shop

DATA = "/demo/leavewell/customer-data"
ACTIONS = "/demo/leavewell/actions"
LOOKUP = "/demo/leavewell/lookup"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, sends_billing_data=True) as opened:
        yield opened


def signature(customer_id: str, key: str) -> str:
    return hmac.new(key.encode(), customer_id.encode(), hashlib.sha256).hexdigest()


async def signed(
    shop: Shop,
    path: str,
    body: object,
    *,
    secret: str = ACTION_SECRETS["test"],
    message_id: str = "eff_1",
    late_s: int = 0,
) -> httpx.Response:
    """A request as Leavewell sends it: Standard Webhooks."""
    content = json.dumps(body).encode()
    timestamp = int((shop.clock.now() - timedelta(seconds=late_s)).timestamp())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_webhook(secret, message_id=message_id, timestamp=timestamp, body=content),
    }
    return await shop.browser.post(path, content=content, headers=headers)


def action(change: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {
        "effectId": "eff_1",
        "sessionId": "cs_1",
        "type": change["type"],
        "customerId": "cus_ben",
        "subscriptionId": "sub_ben_pro",
        "mode": "test",
        "change": change,
        "offer": None,
        "requestedAt": "2026-11-21T09:00:00Z",
        **other,
    }


# --- Customer data ---


@pytest.mark.parametrize("mode", ["test", "live"])
async def test_customer_data_answers_whoever_has_one_of_our_keys(shop: Shop, mode: str) -> None:
    for customer in CUSTOMERS:
        body = {"customerId": customer.id, "signature": signature(customer.id, KEYS[mode].api_key)}
        answer = await shop.browser.post(DATA, json=body)
        assert answer.status_code == 200
        assert answer.json() == {"customerId": customer.id, "customerAttributes": dict(customer.attributes)}


@pytest.mark.parametrize(
    "wrong",
    ["", "0" * 64, signature("cus_ada", KEYS["test"].api_key), signature("cus_ben", "another key"), "\ud800"],
)
async def test_customer_data_tells_nobody_else(shop: Shop, wrong: str) -> None:
    answer = await shop.browser.post(DATA, content=json.dumps({"customerId": "cus_ben", "signature": wrong}))
    assert answer.status_code == 401
    assert "customerAttributes" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"customerId":1,"signature":"x"}', b'{"customerId":"x"}', b"\xff", b"[" * 100_000],
)
async def test_customer_data_refuses_what_is_no_question(shop: Shop, body: bytes) -> None:
    assert (await shop.browser.post(DATA, content=body)).status_code == 400


async def test_backstage_survives_whatever_was_sent(shop: Shop) -> None:
    for body in (
        b"[" * 100_000,
        b'{"x":' * 500 + b"1" + b"}" * 500,
        b"\xff\xfe",
        b'{"customerId": "\\ud800"}',
        b"<b>",
    ):
        await shop.browser.post(DATA, content=body)
    await shop.sign_in("cus_ben")
    page = await shop.page("/demo/backstage")
    assert "<b>" not in page.partition("</summary>")[2].partition("</details>")[0]


async def test_customer_data_refuses_a_flood(shop: Shop) -> None:
    assert (await shop.browser.post(DATA, content=b"x" * 300_000)).status_code == 413


async def test_customer_data_is_shown_backstage_without_the_signature(shop: Shop) -> None:
    proof = signature("cus_ben", KEYS["test"].api_key)
    await shop.browser.post(DATA, json={"customerId": "cus_ben", "signature": proof})
    await shop.sign_in("cus_ben")
    page = await shop.page("/demo/backstage")
    assert "tenureMonths" in page
    assert proof not in page


# --- Actions ---


async def test_an_action_is_carried_out_and_answered_with_the_subscription(shop: Shop) -> None:
    answer = await signed(shop, ACTIONS, action({"type": "cancel", "timing": "period_end"}))
    assert answer.status_code == 200
    data = answer.json()
    assert (data["effectId"], data["status"]) == ("eff_1", "applied")
    assert data["subscription"] == shop.subscription("sub_ben_pro")
    assert data["subscription"]["end"]


async def test_an_action_sent_again_happens_once(shop: Shop) -> None:
    change = {"type": "discount", "percentOff": 50, "duration": "repeating", "months": 3}
    first = await signed(shop, ACTIONS, action(change))
    again = await signed(shop, ACTIONS, action(change))
    assert first.json() == again.json()
    assert len(shop.billing.list_events("test", "sub_ben_pro")) == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"type": "pause", "resumesAt": "2027-01-21T09:00:00Z"}, "pause"),
        ({"type": "plan_change", "price": {"id": "price_lite_monthly"}}, "change-plan"),
        (
            {
                "type": "discount",
                "couponId": "coupon_half_price",
                "percentOff": 50,
                "duration": "repeating",
                "months": 3,
            },
            "discount",
        ),
        ({"type": "discount", "percentOff": "12.5", "duration": "once"}, "discount"),
        ({"type": "discount", "amountOffMinor": 500, "currency": "USD", "duration": "forever"}, "discount"),
        ({"type": "cancel", "timing": "now", "at": "2026-11-21T09:00:00Z"}, "cancel"),
    ],
)
async def test_every_kind_of_change_is_understood(shop: Shop, change: dict[str, Any], kind: str) -> None:
    assert (await signed(shop, ACTIONS, action(change))).status_code == 200
    assert [event["type"] for event in shop.billing.list_events("test", "sub_ben_pro")] == [kind]


async def test_a_trial_is_extended(shop: Shop) -> None:
    change = {"type": "trial_extension", "days": 7, "endsAt": "2026-12-07T09:00:00Z"}
    body = action(change, customerId="cus_dana", subscriptionId="sub_dana_pro")
    assert (await signed(shop, ACTIONS, body)).status_code == 200
    assert shop.subscription("sub_dana_pro")["status"]["trial"]["end"] == "2026-12-07T09:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        action({"type": "uncancel"}),
        action({"type": "resume"}),
        action({"type": "teleport"}),
        action({"type": "cancel", "timing": "now"}, customerId="cus_ada"),
        action({"type": "cancel", "timing": "now"}, subscriptionId="sub_nobody"),
    ],
)
async def test_what_billing_refuses_is_rejected_for_good(shop: Shop, body: dict[str, Any]) -> None:
    answer = await signed(shop, ACTIONS, body)
    assert answer.status_code == 409
    assert answer.json()["status"] == "rejected"
    assert answer.json()["message"]
    assert not shop.billing.list_events("test", "sub_ben_pro")


async def test_while_billing_is_down_the_action_is_to_be_sent_again(shop: Shop) -> None:
    shop.line.is_cut = True
    answer = await signed(shop, ACTIONS, action({"type": "cancel", "timing": "now"}))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    shop.line.is_cut = False
    assert (await signed(shop, ACTIONS, action({"type": "cancel", "timing": "now"}))).status_code == 200


@pytest.mark.parametrize("late_s", [-301, 301, 86_400])
async def test_an_old_action_is_refused(shop: Shop, late_s: int) -> None:
    answer = await signed(shop, ACTIONS, action({"type": "cancel", "timing": "now"}), late_s=late_s)
    assert answer.status_code == 401


async def test_an_action_with_another_secret_is_refused(shop: Shop) -> None:
    body = action({"type": "cancel", "timing": "now"})
    assert (await signed(shop, ACTIONS, body, secret="whsec_c29tZXRoaW5nIGVsc2U=")).status_code == 401
    assert (await shop.browser.post(ACTIONS, json=body)).status_code == 401
    assert shop.subscription("sub_ben_pro")["status"]["name"] == "active"


async def test_the_secret_decides_the_mode(shop: Shop) -> None:
    body = action({"type": "cancel", "timing": "now"})
    assert (await signed(shop, ACTIONS, body, secret=ACTION_SECRETS["live"])).status_code == 400
    live = await signed(shop, ACTIONS, {**body, "mode": "live"}, secret=ACTION_SECRETS["live"])
    assert live.status_code == 200
    assert shop.subscription("sub_ben_pro", "live")["status"]["name"] == "canceled"
    assert shop.subscription("sub_ben_pro", "test")["status"]["name"] == "active"


async def test_the_message_must_be_about_its_own_effect(shop: Shop) -> None:
    answer = await signed(shop, ACTIONS, action({"type": "cancel", "timing": "now"}), message_id="eff_2")
    assert answer.status_code == 400


# --- Look-up ---


async def test_lookup_finds_a_customer_by_address(shop: Shop) -> None:
    answer = await signed(shop, LOOKUP, {"email": "Emil@example.com"}, message_id="msg_1")
    assert answer.status_code == 200
    assert answer.json()["customer"]["id"] == "cus_emil"
    assert len(answer.json()["subscriptions"]) == 2


async def test_lookup_knows_when_there_is_nobody(shop: Shop) -> None:
    assert (await signed(shop, LOOKUP, {"email": "nobody@example.com"})).status_code == 404


async def test_lookup_tells_nobody_without_a_signature(shop: Shop) -> None:
    assert (await shop.browser.post(LOOKUP, json={"email": "emil@example.com"})).status_code == 401


async def test_lookup_is_to_be_repeated_while_billing_is_down(shop: Shop) -> None:
    shop.line.is_cut = True
    assert (await signed(shop, LOOKUP, {"email": "emil@example.com"})).status_code == 503
