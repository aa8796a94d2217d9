import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from app.core.returning import signature_of, signed_return_url

AT = datetime(2026, 11, 21, 10, 0, 0, 999_999, tzinfo=UTC)
KEY = "test_key"


def returned(url: str) -> str:
    return signed_return_url(url, session_id="cs_1", result="canceled", at=AT, key=KEY)


def test_the_result_comes_signed() -> None:
    asked = parse_qs(urlsplit(returned("https://shop.example/account")).query)
    seconds = str(int(AT.timestamp()))
    expected = hmac.new(KEY.encode(), f"cs_1.canceled.{seconds}".encode(), hashlib.sha256).hexdigest()
    assert asked == {"result": ["canceled"], "session": ["cs_1"], "t": [seconds], "sig": [expected]}
    assert signature_of(session_id="cs_1", result="canceled", timestamp=int(seconds), key=KEY) == expected
    assert signature_of(session_id="cs_1", result="kept", timestamp=int(seconds), key=KEY) != expected


def test_what_the_address_had_stays_and_comes_first() -> None:
    url = returned("https://shop.example/a/b?tab=plan&empty=&tab=two&name=%C3%A9+%26#top")
    parts = urlsplit(url)
    assert (parts.netloc, parts.path, parts.fragment) == ("shop.example", "/a/b", "top")
    asked = parse_qsl(parts.query, keep_blank_values=True)
    assert asked[:4] == [("tab", "plan"), ("empty", ""), ("tab", "two"), ("name", "é &")]


def test_nothing_in_the_address_can_pass_for_our_word() -> None:
    url = returned("https://shop.example/?result=kept&sig=forged&session=cs_other&t=0")
    asked = parse_qs(urlsplit(url).query)
    assert asked["result"] == ["canceled"]
    assert asked["session"] == ["cs_1"]
    assert all(len(values) == 1 for values in asked.values())


@given(url=st.sampled_from(["https://shop.example", "https://shop.example/x?y=1", "http://[::1]:8000/?a"]))
def test_returning_twice_signs_once(url: str) -> None:
    assert returned(returned(url)) == returned(url)
