"""Encryption at rest for what must be read again: API keys, provider credentials. Not for passwords."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SealBroken(Exception):
    """The text was changed, or sealed with a secret that is no longer in the ring."""


class Vault:
    """Seals with the first secret of the ring, opens what any of them sealed (Fernet: AES-128-CBC, HMAC)."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("a vault needs at least one secret")
        self._ring = MultiFernet([Fernet(_derive(secret)) for secret in secrets])

    def seal(self, text: str) -> str:
        """Return ASCII text that only this installation can open."""
        return self._ring.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text that was sealed; raises SealBroken."""
        try:
            token = sealed.encode("ascii")
            # Fernet's decoder skips foreign characters and spare bits; only the spelling we wrote is ours.
            if urlsafe_b64encode(urlsafe_b64decode(token)) != token:
                raise SealBroken
            return self._ring.decrypt(token).decode()
        except (InvalidToken, ValueError) as error:
            raise SealBroken from error


def _derive(secret: str) -> bytes:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"leavewell.vault").derive(secret.encode())
    return urlsafe_b64encode(key)
