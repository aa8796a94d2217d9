import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.vault import SealBroken, Vault

OLD, NEW = "old-secret-" + "o" * 32, "new-secret-" + "n" * 32
VAULT = Vault([NEW])
KEY = "live_0123456789abcdef"


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_what_was_sealed_opens(text: str) -> None:
    sealed = VAULT.seal(text)
    assert VAULT.open(sealed) == text
    assert sealed.isascii()


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    sealed = VAULT.seal(KEY)
    place = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters().filter(lambda character: character != sealed[place]))
    with pytest.raises(SealBroken):
        VAULT.open(sealed[:place] + other + sealed[place + 1 :])


@given(st.data())
def test_nothing_may_be_inserted_or_cut_off(data: st.DataObject) -> None:
    sealed = VAULT.seal(KEY)
    place = data.draw(st.integers(0, len(sealed)))
    with pytest.raises(SealBroken):
        VAULT.open(sealed[:place] + data.draw(st.characters()) + sealed[place:])
    with pytest.raises(SealBroken):
        VAULT.open(sealed[: min(place, len(sealed) - 1)])


@given(st.text(st.characters(), max_size=300))
def test_what_nobody_sealed_is_refused(text: str) -> None:
    with pytest.raises(SealBroken):
        VAULT.open(text)


def test_the_same_text_is_never_sealed_alike_and_does_not_shine_through() -> None:
    first, second = VAULT.seal(KEY), VAULT.seal(KEY)
    assert first != second
    assert KEY not in first


def test_a_second_secret_still_opens_and_the_first_one_seals() -> None:
    sealed_before = Vault([OLD]).seal(KEY)
    both = Vault([NEW, OLD])
    assert both.open(sealed_before) == KEY
    assert Vault([NEW]).open(both.seal(KEY)) == KEY
    with pytest.raises(SealBroken):
        Vault([NEW]).open(sealed_before)


def test_a_vault_without_secrets_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Vault([])
