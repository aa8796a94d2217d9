from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.standard_webhooks import BadSecret, check_secrets, headers, is_signed, new_secret, sign

# The vector that the reference implementations of Standard Webhooks share.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

OTHER = "whsec_" + b64encode(b"o" * 32).decode()


def test_the_published_vector_comes_out() -> None:
    assert sign(SECRET, MESSAGE_ID, SENT_AT, BODY) == SIGNATURE
    assert headers(SECRET, MESSAGE_ID, SENT_AT, BODY) == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_while_a_secret_changes_both_sign_and_either_is_enough() -> None:
    made = headers(f"{OTHER} {SECRET}", MESSAGE_ID, SENT_AT, BODY)
    assert len(made["webhook-signature"].split(" ")) == 2
    assert is_signed(SECRET, made, BODY, now=SENT_AT)
    assert is_signed(OTHER, made, BODY, now=SENT_AT)
    assert is_signed(f"{new_secret()} {SECRET}", made, BODY, now=SENT_AT)
    assert not is_signed(new_secret(), made, BODY, now=SENT_AT)


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_a_message_is_good_for_five_minutes(seconds: int, accepted: bool) -> None:
    made = headers(SECRET, MESSAGE_ID, SENT_AT, BODY)
    assert is_signed(SECRET, made, BODY, now=SENT_AT + timedelta(seconds=seconds)) is accepted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_other"),
        ("webhook-id", ""),
        ("webhook-timestamp", "1614265331"),
        ("webhook-timestamp", " 1614265330"),
        ("webhook-timestamp", "1614265330.0"),
        ("webhook-timestamp", "١"),
        ("webhook-timestamp", "9" * 400),
        ("webhook-timestamp", ""),
        ("webhook-signature", SIGNATURE.replace("v1,", "v2,")),
        ("webhook-signature", SIGNATURE[:-2] + "F="),
        ("webhook-signature", SIGNATURE.removesuffix("=")),
        ("webhook-signature", "v1,é"),
        ("webhook-signature", "v1," + " v1," * 20 + SIGNATURE),
        ("webhook-signature", ""),
    ],
)
def test_a_changed_header_is_refused(name: str, value: str) -> None:
    made = headers(SECRET, MESSAGE_ID, SENT_AT, BODY) | {name: value}
    assert not is_signed(SECRET, made, BODY, now=SENT_AT)


def test_without_headers_nothing_is_signed() -> None:
    assert not is_signed(SECRET, {}, BODY, now=SENT_AT)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_is_good_for_its_body_alone(body: bytes, other: bytes) -> None:
    made = headers(SECRET, MESSAGE_ID, SENT_AT, body)
    assert is_signed(SECRET, made, other, now=SENT_AT) is (body == other)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_" + b64encode(b"x" * 23).decode(),
        "whsec_äöü",
        "whsec_a b",
    ],
)
def test_a_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(BadSecret, match="whsec_"):
        check_secrets(secret)


def test_a_new_secret_is_well_formed() -> None:
    check_secrets(f"{new_secret()} {new_secret()}")
