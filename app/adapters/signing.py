"""Signatures on what we hand to browsers, and keyed hashes of what we only compare. Reads no clock."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

import itsdangerous

LINK_PREFIX = "cl_"
LINK_ID_BYTES = 16
LONGEST_SIGNED = 4096  # characters; a browser keeps no longer cookie either


class Signer:
    """Signs with the first secret of the ring and reads what any of them signed.

    A purpose is part of the key: what was signed as a cookie cannot be read as a form token. Values are
    signed, not hidden.
    """

    def __init__(self, secrets_: Sequence[str]) -> None:
        if not secrets_:
            raise ValueError("a signer needs at least one secret")
        self._ring = list(reversed(secrets_))  # itsdangerous signs with the last key
        self._by_purpose: dict[str, itsdangerous.Signer] = {}
        self._secrets = [secret.encode() for secret in secrets_]
        self._mac_keys: dict[str, list[bytes]] = {}

    def sign(self, purpose: str, value: str) -> str:
        """Return `value.signature`, ASCII if the value is."""
        return self._for(purpose).sign(value).decode()

    def read(self, purpose: str, signed: str) -> str | None:
        """Return the value if one of our secrets signed exactly this string for this purpose, else None."""
        value, dot, signature = signed.rpartition(".")
        if not dot or len(signed) > LONGEST_SIGNED or not _is_canonical(signature):
            return None
        try:
            self._for(purpose).unsign(signed)
        except (itsdangerous.BadSignature, UnicodeError):
            return None
        return value

    def link_token(self) -> tuple[str, str]:
        """Mint a cancel link's token; returns it and, for the database, the SHA-256 of its id in hex."""
        link_id = secrets.token_bytes(LINK_ID_BYTES)
        return LINK_PREFIX + self.sign("link", _encode(link_id)), sha256(link_id).hexdigest()

    def read_link(self, token: str) -> str | None:
        """Return the SHA-256 by which the database finds the link, or None if we did not sign this token."""
        if not token.startswith(LINK_PREFIX):
            return None
        encoded = self.read("link", token.removeprefix(LINK_PREFIX))
        return None if encoded is None else sha256(itsdangerous.base64_decode(encoded)).hexdigest()

    def mac(self, purpose: str, value: str) -> str:
        """A hash (HMAC-SHA256 in hex) that nobody makes, or tries out, without our first secret.

        For what is to be found or compared, not read; a value of few possibilities is safe in it.
        """
        return _hmac(self._keys_for(purpose)[0], value)

    def is_mac(self, purpose: str, value: str, mac: str) -> bool:
        """Whether any of our secrets made `mac` of this value for this purpose."""
        given = mac.encode(errors="surrogatepass")
        return any(hmac.compare_digest(_hmac(key, value).encode(), given) for key in self._keys_for(purpose))

    def _keys_for(self, purpose: str) -> list[bytes]:
        keys = self._mac_keys.get(purpose)
        if keys is None:
            salt = f"leavewell.mac.{purpose}".encode()
            keys = [hmac.digest(secret, salt, "sha256") for secret in self._secrets]
            self._mac_keys[purpose] = keys
        return keys

    def _for(self, purpose: str) -> itsdangerous.Signer:
        signer = self._by_purpose.get(purpose)
        if signer is None:
            signer = self._by_purpose[purpose] = itsdangerous.Signer(
                self._ring, salt=f"leavewell.{purpose}", digest_method=sha256, key_derivation="hmac"
            )
        return signer


def _is_canonical(encoded: str) -> bool:
    """Base64 spells one value in several ways (`=`, spare bits at the end); only the one we write is ours."""
    try:
        return _encode(itsdangerous.base64_decode(encoded)) == encoded
    except (itsdangerous.BadData, UnicodeError):
        return False


def _hmac(key: bytes, value: str) -> str:
    return hmac.digest(key, value.encode(errors="surrogatepass"), "sha256").hex()


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
