import string
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.signing import LINK_PREFIX, Signer

OLD, NEW = "old-secret-" + "o" * 32, "new-secret-" + "n" * 32
SIGNER = Signer([NEW])
values = st.text(st.characters(codec="utf-8"), max_size=200)
URL_SAFE = string.ascii_letters + string.digits + "-_"


@given(values)
def test_what_was_signed_reads_back(value: str) -> None:
    assert SIGNER.read("cookie", SIGNER.sign("cookie", value)) == value


@given(st.data())
def test_any_changed_character_of_a_link_token_is_refused(data: st.DataObject) -> None:
    token, _ = SIGNER.link_token()
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[place]))
    assert SIGNER.read_link(token[:place] + other + token[place + 1 :]) is None


@given(st.data())
def test_any_flipped_bit_of_a_signed_value_is_refused(data: st.DataObject) -> None:
    signed = bytearray(SIGNER.sign("cookie", "cs_1 cs_2").encode())
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    signed[bit // 8] ^= 1 << (bit % 8)
    assert SIGNER.read("cookie", signed.decode("latin-1")) is None


@given(st.data())
def test_nothing_may_be_inserted_appended_or_cut_off(data: st.DataObject) -> None:
    token, _ = SIGNER.link_token()
    place = data.draw(st.integers(0, len(token)))
    assert SIGNER.read_link(token[:place] + data.draw(st.characters()) + token[place:]) is None
    assert SIGNER.read_link(token[: min(place, len(token) - 1)]) is None


def test_another_spelling_of_the_same_signature_is_refused() -> None:
    token, _ = SIGNER.link_token()
    for last in URL_SAFE:  # the last character has two spare bits, so four spellings decode to the same bytes
        if last != token[-1]:
            assert SIGNER.read_link(token[:-1] + last) is None
    for padding in ("=", "==", "\n", " "):
        assert SIGNER.read_link(token + padding) is None


@given(st.text(st.characters(), max_size=300))
def test_what_nobody_signed_is_refused(text: str) -> None:
    assert SIGNER.read("cookie", text) is None
    assert SIGNER.read_link(text) is None
    assert SIGNER.read_link(LINK_PREFIX + text) is None


def test_an_overlong_text_is_refused_unseen() -> None:
    assert SIGNER.read("cookie", SIGNER.sign("cookie", "x" * 5000)) is None


def test_a_second_secret_still_reads_and_the_first_one_signs() -> None:
    signed_before = Signer([OLD]).sign("cookie", "value")
    both = Signer([NEW, OLD])
    assert both.read("cookie", signed_before) == "value"
    assert Signer([NEW]).read("cookie", both.sign("cookie", "value")) == "value"
    assert Signer([NEW]).read("cookie", signed_before) is None


def test_purposes_do_not_mix() -> None:
    signed = SIGNER.sign("cookie", "value")
    assert SIGNER.read("form", signed) is None
    token, _ = SIGNER.link_token()
    assert SIGNER.read("cookie", token.removeprefix(LINK_PREFIX)) is None


def test_a_link_token_names_the_row_by_a_hash_and_never_twice_the_same() -> None:
    minted = [SIGNER.link_token() for _ in range(50)]
    assert len({token for token, _ in minted}) == len({token_sha256 for _, token_sha256 in minted}) == 50
    for token, token_sha256 in minted:
        assert SIGNER.read_link(token) == token_sha256
        assert len(token_sha256) == len(sha256().hexdigest())
        assert set(token) <= set(URL_SAFE + ".")
        assert token.startswith("cl_")


def test_a_signer_without_secrets_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Signer([])


@given(values)
def test_a_keyed_hash_is_of_its_value_and_purpose_alone(value: str) -> None:
    mac = SIGNER.mac("code", value)
    assert mac == SIGNER.mac("code", value)
    assert SIGNER.is_mac("code", value, mac)
    assert not SIGNER.is_mac("limit", value, mac)
    assert not SIGNER.is_mac("code", value + "x", mac)
    assert (len(mac), set(mac) <= set(string.hexdigits.lower())) == (64, True)


def test_a_keyed_hash_cannot_be_made_without_the_secret() -> None:
    assert SIGNER.mac("code", "123456") != Signer([OLD]).mac("code", "123456")
    assert SIGNER.mac("code", "123456") != sha256(b"123456").hexdigest()


def test_a_signature_is_no_keyed_hash() -> None:
    signature = SIGNER.sign("code", "123456").rpartition(".")[2]
    assert urlsafe_b64decode(signature + "=").hex() != SIGNER.mac("code", "123456")


@pytest.mark.parametrize("mac", ["", "x", "é", "\ud800", "0" * 64])
def test_what_is_no_keyed_hash_is_refused(mac: str) -> None:
    assert not SIGNER.is_mac("code", "123456", mac)


def test_a_keyed_hash_of_an_old_secret_holds_until_that_is_dropped() -> None:
    mac = Signer([OLD]).mac("code", "123456")
    assert Signer([NEW, OLD]).is_mac("code", "123456", mac)
    assert not Signer([NEW]).is_mac("code", "123456", mac)
    assert Signer([NEW, OLD]).mac("code", "123456") == Signer([NEW]).mac("code", "123456")
