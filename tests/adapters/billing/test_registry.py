from typing import Any

import pytest

from app.adapters.billing.registry import PROVIDERS, check_config, connect
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import new_secret
from app.core.billing import AnswersChallenges, BillingProvider
from app.core.errors import InvalidInput
from tests.support.clock import FakeClock

DIRECT = {"action_url": "https://example.com/hook", "action_secret": new_secret()}
DEMO = {"base_url": "http://127.0.0.1:8001", "api_key": "key"}
STRIPE = {"api_key": "sk_" + "test_" + "Example0123456789"}
PADDLE = {"api_key": "pdl_" + "sdbx_apikey_" + "0" * 26 + "_" + "1" * 22 + "_abc"}
CHARGEBEE = {"site": "acme-test", "api_key": "test_" + "1" * 24}
BRAINTREE = {
    "environment": "sandbox",
    "merchant_id": "examplemerchant1",
    "public_key": "examplepublic001",
    "private_key": "0123456789abcdef" * 2,
}
MAXIO = {"subdomain": "acme-test", "api_key": "examplekey" * 4}
GOOD = {
    "direct": DIRECT,
    "demo": DEMO,
    "stripe": STRIPE,
    "paddle": PADDLE,
    "chargebee": CHARGEBEE,
    "braintree": BRAINTREE,
    "maxio": MAXIO,
}


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_every_provider_can_be_connected_and_keeps_the_protocol(name: str) -> None:
    provider = connect(name, GOOD[name], http=OutboundHttp(), clock=FakeClock(), mode="test")
    assert isinstance(provider, BillingProvider)
    assert provider.capabilities


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_who_is_challenged_can_answer(name: str) -> None:
    provider = connect(name, GOOD[name], http=OutboundHttp(), clock=FakeClock(), mode="test")
    assert isinstance(provider, AnswersChallenges) == bool(PROVIDERS[name].challenged_by)


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_every_field_that_is_asked_for_is_explained(name: str) -> None:
    for field in PROVIDERS[name].credential_fields:
        assert field.label
        assert field.hint.endswith(".")


@pytest.mark.parametrize(
    ("provider", "change", "field"),
    [
        ("nobody", {}, "provider"),
        ("direct", {"action_url": ""}, "action_url"),
        ("direct", {"action_url": "  "}, "action_url"),
        ("direct", {"action_url": "example.com"}, "action_url"),
        ("direct", {"action_url": "https://u:p@example.com/"}, "action_url"),
        ("direct", {"action_url": 5}, "action_url"),
        ("direct", {"action_url": "https://example.com/" + "a" * 3000}, "action_url"),
        ("direct", {"action_secret": "secret"}, "action_secret"),
        ("direct", {"action_secret": new_secret() + " secret"}, "action_secret"),
        ("direct", {"lookup_url": "ftp://example.com"}, "lookup_url"),
        ("direct", {"surprise": "x"}, "surprise"),
        ("demo", {"api_key": "a\r\nb"}, "api_key"),
        ("demo", {"api_key": "kéy"}, "api_key"),
    ],
)
def test_a_wrong_connection_names_its_field_and_not_its_secret(
    provider: str, change: dict[str, Any], field: str
) -> None:
    config: dict[str, Any] = {**GOOD.get(provider, {}), **change}
    with pytest.raises(InvalidInput) as caught:
        check_config(provider, config)
    assert [error.field for error in caught.value.fields] == [field]
    assert DIRECT["action_secret"] not in str(caught.value)


def test_two_secrets_and_no_look_up_are_a_good_connection() -> None:
    check_config("direct", {**DIRECT, "action_secret": f"{new_secret()} {new_secret()}", "lookup_url": ""})
