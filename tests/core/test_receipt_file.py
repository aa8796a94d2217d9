"""The one spelling that is signed, and the reader of files that came from anywhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.receipt_file import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER,
    NotAReceipt,
    NotCanonical,
    canonical,
    from_base64url,
    read_file,
    read_jwks,
    to_base64url,
    to_file,
    to_jwks,
)

SIGNATURE = to_base64url(bytes(64))
CONTENT = {"version": 1, "reference": "LW-7F3K-92QD", "plan": "Pro für Zwei 🙂", "facts": {"endsNow": False}}

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def file(**changes: Any) -> str:
    """A file with something else in its outermost object."""
    whole = {**json.loads(to_file(CONTENT, "rk_1", SIGNATURE)), **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def signed_with(**changes: Any) -> str:
    return file(signature={"algorithm": "Ed25519", "keyId": "rk_1", "value": SIGNATURE, **changes})


# --- RFC 8785 --------------------------------------------------------------------------------------------------------


def test_text_and_literals_are_spelled_as_in_rfc_8785_3_2_2() -> None:
    given_ = (
        r"""{"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""
    )
    expected = r"""{"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}"""
    assert canonical(json.loads(given_)) == expected.encode()


def test_members_are_ordered_as_in_rfc_8785_3_2_3() -> None:
    given_ = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical(given_)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_whole_numbers_are_spelled_as_in_rfc_8785_appendix_b() -> None:
    assert canonical([0, MAX_INTEGER, -MAX_INTEGER]) == b"[0,9007199254740991,-9007199254740991]"


def test_every_control_character_has_its_one_escape() -> None:
    short = {8: r"\b", 9: r"\t", 10: r"\n", 12: r"\f", 13: r"\r"}
    for code in range(32):
        escape = short.get(code, rf"\u{code:04x}")
        assert canonical(chr(code)) == f'"{escape}"'.encode()
    assert canonical("\x7f\u2028\u2029</script>") == '"\x7f\u2028\u2029</script>"'.encode()


@given(VALUES)
def test_spelling_what_was_read_changes_nothing(value: Any) -> None:
    spelled = canonical(value)
    assert json.loads(spelled) == value
    assert canonical(json.loads(spelled)) == spelled


@given(st.dictionaries(TEXTS, st.integers(-9, 9), max_size=6))
def test_the_order_in_which_members_came_does_not_matter(members: dict[str, int]) -> None:
    assert canonical(dict(reversed(members.items()))) == canonical(members)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1.0, "fraction"),
        (float("nan"), "fraction"),
        (MAX_INTEGER + 1, "exactly"),
        (-MAX_INTEGER - 1, "exactly"),
        ("half \ud83d", "surrogate"),
        ({"half \ude00": 1}, "surrogate"),
        ({1: "one"}, "names"),
        ({"a": b"bytes"}, "bytes"),
        ({1, 2}, "set"),
    ],
    ids=repr,
)
def test_what_has_no_exact_spelling_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(NotCanonical, match=problem):
        canonical([{"within": value}])


def test_it_is_not_nested_without_end() -> None:
    value: Any = []
    for _ in range(MAX_DEPTH):
        value = [value]
    assert canonical(value)
    with pytest.raises(NotCanonical, match="16 levels"):
        canonical([value])


# --- The file --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again() -> None:
    read = read_file(to_file(CONTENT, "rk_1", SIGNATURE))
    assert (read.content, read.key_id, read.signature) == (CONTENT, "rk_1", bytes(64))
    assert read.signed_bytes() == canonical(CONTENT)


def test_the_layout_of_a_file_is_not_what_is_signed() -> None:
    written = to_file(CONTENT, "rk_1", SIGNATURE)
    again = json.dumps(json.loads(written), sort_keys=True, separators=(",", ":"))
    assert again != written
    assert read_file(again).signed_bytes() == read_file(written).signed_bytes()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"not JSON \(line 1, column 1\)"),
        ("{", "not JSON"),
        ("\x00", "not JSON"),
        ("[]", "“receipt”, “signature”"),
        ("null", "“receipt”, “signature”"),
        (file(receipt=...), "“receipt”, “signature”"),
        (file(note="You owe us nothing."), "“receipt”, “signature”"),
        (file(receipt=[CONTENT]), "“receipt” is not an object"),
        (file(signature=None), "“signature” is not"),
        (signed_with(algorithm="none"), "another kind than Ed25519"),
        (signed_with(keyId=""), "names no key"),
        (signed_with(keyId=7), "names no key"),
        (signed_with(value=None), "64 bytes"),
        (signed_with(value=SIGNATURE + "=="), "64 bytes"),
        (signed_with(value=SIGNATURE[:-1] + "B"), "64 bytes"),
        (signed_with(value="A" * 85), "64 bytes"),
        (signed_with(value="é" * 86), "64 bytes"),
        (signed_with(more=1), "“signature” is not"),
        (file(receipt={"amount": 29.0}), "fraction"),
        (file(receipt={"amount": 1}).replace("1}", "1e3}"), "fraction"),
        (file(receipt={"amount": 1}).replace("1}", "NaN}"), "NaN is not JSON"),
        (file(receipt={"amount": 1}).replace("1}", "-Infinity}"), "-Infinity is not JSON"),
        (file(receipt={"amount": MAX_INTEGER + 1}), "exactly"),
        (file(receipt={"amount": 1}).replace("1}", "1" * 5000 + "}"), "exactly"),
        (file(receipt={"plan": "\ud83d"}), "surrogate"),
        (file(receipt={"\ude00": 1}), "surrogate"),
        ('{"receipt": {"plan": "Pro", "plan": "Lite"}, "signature": {}}', "“plan” is there twice"),
        ('{"receipt": {}, "receipt": {}, "signature": {}}', "“receipt” is there twice"),
        ("[" * 60_000, "levels deep|not JSON"),
        (file(receipt={"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}), "16 levels"),
        (" " * MAX_BYTES + "{}", "larger than 64 KB"),
        ("\ud83d", "not UTF-8"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_a_broken_file_says_what_is_wrong_with_it(text: str, problem: str) -> None:
    with pytest.raises(NotAReceipt, match=problem):
        read_file(text)


def test_the_limit_counts_bytes_and_its_last_one_is_still_read() -> None:
    text = file()
    room = MAX_BYTES - len(text.encode())
    assert read_file(text + " " * room).content == CONTENT
    with pytest.raises(NotAReceipt, match="larger"):
        read_file(text + " " * (room + 1))


@given(st.text(st.characters(), max_size=200))
def test_whatever_comes_there_is_a_sentence_for_it(text: str) -> None:
    with pytest.raises(NotAReceipt):
        read_file(text)


@given(st.recursive(VALUES | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_stands_in_it_either_has_one_spelling_or_is_refused(value: Any) -> None:
    try:
        read = read_file(file(receipt={"more": value}))
    except NotAReceipt:
        return
    assert json.loads(read.signed_bytes()) == {"more": value}


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_keys_go_out_as_a_jwk_set_and_come_back() -> None:
    keys = {"rk_1": bytes(32), "rk_2": bytes(range(32))}
    published = to_jwks((key_id, to_base64url(raw)) for key_id, raw in keys.items())
    assert published["keys"][0] == {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": "rk_1",
        "x": "A" * 43,
    }
    assert read_jwks(json.dumps(published)) == keys


def test_keys_of_other_kinds_are_passed_over() -> None:
    others = [{"kty": "RSA", "kid": "r"}, {"kty": "OKP", "crv": "X25519", "kid": "x"}, "nonsense", None]
    assert read_jwks(json.dumps({"keys": others, "more": 1})) == {}


@pytest.mark.parametrize(
    "key",
    [
        {"kid": "rk_1"},
        {"kid": "rk_1", "x": "A" * 42},
        {"kid": "rk_1", "x": "A" * 42 + "B"},
        {"kid": "", "x": "A" * 43},
        {"kid": None, "x": "A" * 43},
    ],
)
def test_a_broken_key_is_not_passed_over(key: dict[str, Any]) -> None:
    with pytest.raises(NotAReceipt, match="broken"):
        read_jwks(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", **key}]}))


def test_one_name_for_two_keys_is_refused() -> None:
    both = to_jwks([("rk_1", "A" * 43), ("rk_1", to_base64url(bytes(range(32))))])
    with pytest.raises(NotAReceipt, match="same “kid”"):
        read_jwks(json.dumps(both))


@pytest.mark.parametrize("text", ["[]", "{}", '{"keys": {}}', "1"])
def test_what_is_no_jwk_set_is_refused(text: str) -> None:
    with pytest.raises(NotAReceipt, match="no list “keys”"):
        read_jwks(text)


@given(st.binary(max_size=70))
def test_bytes_have_one_spelling(raw: bytes) -> None:
    assert from_base64url(to_base64url(raw)) == raw


@given(st.text(st.characters(), max_size=90))
def test_any_other_spelling_is_none(text: str) -> None:
    raw = from_base64url(text)
    assert raw is None or to_base64url(raw) == text
