import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters import ed25519

# RFC 8032, 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
KEY = ed25519.new_private_key()
PUBLIC = ed25519.public_key(KEY)


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_it_is_the_ed25519_of_rfc_8032(secret: str, public: str, message: str, signature: str) -> None:
    private, text = bytes.fromhex(secret), bytes.fromhex(message)
    assert ed25519.public_key(private).hex() == public
    assert ed25519.sign(private, text).hex() == signature
    assert ed25519.is_signed(bytes.fromhex(public), text, bytes.fromhex(signature))


@given(st.binary(max_size=100), st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_does_not_fit(message: bytes, place: int, change: int) -> None:
    signature = bytearray(ed25519.sign(KEY, message))
    signature[place] ^= change
    assert not ed25519.is_signed(PUBLIC, message, bytes(signature))


def test_another_message_or_key_does_not_fit() -> None:
    signature = ed25519.sign(KEY, b"canceled")
    assert ed25519.is_signed(PUBLIC, b"canceled", signature)
    assert not ed25519.is_signed(PUBLIC, b"not canceled", signature)
    assert not ed25519.is_signed(ed25519.public_key(ed25519.new_private_key()), b"canceled", signature)


@pytest.mark.parametrize(
    ("public", "signature"),
    [(b"", bytes(64)), (bytes(31), bytes(64)), (PUBLIC, b"")],
    ids=["no key", "short key", "no signature"],
)
def test_what_is_no_key_or_signature_does_not_fit(public: bytes, signature: bytes) -> None:
    assert not ed25519.is_signed(public, b"canceled", signature)
