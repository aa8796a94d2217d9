"""The shop's own signature checks, against the published example and against each other."""

from datetime import UTC, datetime

from demo.shop.journal import mask
from demo.shop.proofs import is_webhook_signature, sign_webhook

# The example of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)


def headers(signature: str = SIGNATURE, timestamp: str = str(TIMESTAMP)) -> dict[str, str]:
    return {"webhook-id": MESSAGE_ID, "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_published_example_comes_out() -> None:
    assert sign_webhook(SECRET, message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY) == SIGNATURE
    assert is_webhook_signature(headers(), BODY, secret=SECRET, now=NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    assert is_webhook_signature(headers(f"v1,b2xk {SIGNATURE} v2,eA=="), BODY, secret=SECRET, now=NOW)


def test_anything_else_is_refused() -> None:
    for given in (
        headers("v1,b2xk"),
        headers("é"),
        headers(""),
        headers(timestamp="now"),
        headers(timestamp="²"),
        {},
    ):
        assert not is_webhook_signature(given, BODY, secret=SECRET, now=NOW)
    assert not is_webhook_signature(headers(), BODY + b" ", secret=SECRET, now=NOW)
    assert not is_webhook_signature(headers(), BODY, secret="whsec_not base64", now=NOW)


def test_masking_leaves_nothing_to_use() -> None:
    key, link, hexed = "test_" + "k" * 43, "cl_" + "a" * 22 + ".sig_nature-1", "0123456789abcdef" * 4
    for secret in (key, link, hexed, SIGNATURE):
        assert secret not in mask(f'{{"x": "{secret}"}} {secret}')
    assert mask("app_test_0123456789abcdef0123") == "app_test_0123456789abcdef0123"
