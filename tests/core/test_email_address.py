import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.email_address import address_problem, is_address, is_look_alike, normal_address


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        "ADA.Lovelace+cancel@mail.example.co.uk",
        "o'hara@example.ie",
        "!#$%&'*/=?^_`{|}~-@example.com",
        "ada@bücher.example",
        "ada@xn--bcher-kva.example",
        "дарья@пример.рф",
        "x" * 64 + "@example.com",
        "1@2.example",
    ],
)
def test_an_address_is_one(address: str) -> None:
    assert is_address(address)
    assert address_problem(f"  {address}\t") is None


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@localhost",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ada@@example.com",
        "a@b@example.com",
        "ada@example..com",
        "ada@.example.com",
        "ada@example.com.",
        "ada@-example.com",
        "ada@exam_ple.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "ada lovelace@example.com",
        "Ada <ada@example.com>",
        "ada@example.com,bob@example.com",
        "ada@example.com;bob@example.com",
        '"ada"@example.com',
        "ada(me)@example.com",
        "ada@example.com\nBcc: bob@example.com",
        "ada@example.com\r\n",
        "=?utf-8?q?=0D=0ABcc=3A=20bob=40example=2Ecom?=@example.com",
        "ada.=?UTF-8?B?DQpCY2M6IGJvYkBleGFtcGxlLmNvbQ==?=.b@example.com",
        "ada\x00@example.com",
        "ada\u202e@example.com",
        "ada\u200b@example.com",
        "ada\ud800@example.com",
        "ada@exa\ud800mple.com",
        "x" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        "x@" + "y" * 64 + ".com",
        "x@" + "y." * 126 + "com",
        "x" * 300,
    ],
)
def test_what_no_mail_can_be_sent_to_is_none(address: str) -> None:
    assert not is_address(address)


def test_the_problem_is_said_as_what_to_do() -> None:
    assert address_problem(" \t") == "errors.email.missing"
    assert address_problem("ada@example") == "errors.email.invalid"
    assert address_problem("ada\x00@example.com") == "errors.email.invalid"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada+a@example.com", "ada+b@example.com"),
        ("ada+a@example.com", "ada@example.com"),
        ("a.d.a@gmail.com", "ada+x@googlemail.com"),
        ("ada@bücher.example", "ada@XN--BCHER-KVA.example"),
        ("STRASSE@example.com", "straße@example.com"),
        ("ａｄａ@example.com", "ada@example.com"),
        (" ada@example.com ", "ada@example.com"),
    ],
)
def test_spellings_of_one_mailbox_count_as_one(one: str, other: str) -> None:
    assert normal_address(one) == normal_address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "bob@example.com"),
        ("ada@example.com", "ada@example.org"),
        ("a.da@example.com", "ada@example.com"),
        ("+a@example.com", "+b@example.com"),
    ],
)
def test_different_mailboxes_count_apart(one: str, other: str) -> None:
    assert normal_address(one) != normal_address(other)


@given(st.text(max_size=300))
def test_any_text_can_be_judged_and_counted(text: str) -> None:
    is_address(text)
    address_problem(text)
    normal_address(text)


@given(st.text(max_size=300))
def test_what_passes_is_one_line_of_254_bytes_at_most(text: str) -> None:
    if address_problem(text) is None:
        address = text.strip()
        assert len(address.encode()) <= 254
        assert address.isprintable()
        assert address.count("@") == 1


@pytest.mark.parametrize(
    ("proven", "known"),
    [
        ("m\u0131ke@example.org", "mike@example.org"),
        ("jose@example.org", "josé@example.org"),
        ("ada@exämple.org", "ada@example.org"),
        ("ada@xn--exmple-cua.org", "ada@exampl\u00e9.org"),
        ("stra\u00dfe@example.org", "strasse@example.org"),
        ("\uff41da@example.org", "ada@example.org"),
        ("\u212aim@example.org", "kim@example.org"),
    ],
)
def test_an_address_that_only_looks_like_it_is_not_it(proven: str, known: str) -> None:
    assert is_look_alike(proven, known)
    assert is_look_alike(known, proven)


@pytest.mark.parametrize(
    ("proven", "known"),
    [
        ("Jos\u00c9@b\u00dccher.example", "jose\u0301@xn--bcher-kva.example"),
        ("ada@bücher.example", "ADA@xn--bcher-kva.example"),
        ("ada@example.org", "ada.lovelace@example.com"),
        ("josé@example.org", ""),
    ],
)
def test_another_spelling_or_another_address_of_his_is_no_look_alike(proven: str, known: str) -> None:
    assert not is_look_alike(proven, known)
