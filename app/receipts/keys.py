"""The keys that sign receipts: made here, sealed at rest, published for good. Signs, and mails nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from app.adapters import ed25519
from app.adapters.vault import SealBroken, Vault
from app.core.receipt_file import canonical, from_base64url, to_base64url
from app.db.base import new_id
from app.db.tables.receipts import Receipt, ReceiptKey
from app.receipts import queries


class NoKeyOpens(Exception):
    """There is no key yet, or the secret that sealed it is no longer in the ring."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Which key has signed, and its signature (64 bytes in base64url)."""

    key_id: str
    signature: str


class Notary:
    """Signs receipts. One per process: it keeps the private keys that it has opened.

    Always the same signature for the same receipt, whoever asks and however often: the key is the newest one that
    was there when the receipt was written, or, of a receipt older than every key, the oldest. Where that one does
    not open any more, the next newer one that does.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._opened: dict[str, bytes] = {}

    def sign(self, db: Session, receipt: Receipt) -> Signed:
        """Sign what the receipt says; writes nothing. Raises NoKeyOpens."""
        keys = queries.list_keys(db)
        before = [key for key in keys if key.created_at <= receipt.created_at]
        for key in keys[max(len(before) - 1, 0) :]:
            private = self._open(key)
            if private is not None:
                return Signed(key.id, to_base64url(ed25519.sign(private, canonical(receipt.content))))
        raise NoKeyOpens

    def _open(self, key: ReceiptKey) -> bytes | None:
        if key.id not in self._opened:
            try:
                private = from_base64url(self._vault.open(key.private_key_encrypted))
            except SealBroken:
                return None
            if private is None:
                return None
            self._opened[key.id] = private
        return self._opened[key.id]


def ensure_key(db: Session, vault: Vault, now: datetime) -> ReceiptKey:
    """The newest key; the very first is made here. Two processes that find none make one."""
    known = queries.list_keys(db)
    if not known:
        queries.lock_keys(db)
        known = queries.list_keys(db)
    return known[-1] if known else rotate(db, vault, now)


def rotate(db: Session, vault: Vault, now: datetime) -> ReceiptKey:
    """One more key, which signs every receipt from now on. What the others signed stays valid: they stay published."""
    queries.lock_keys(db)
    known = queries.list_keys(db)
    private = ed25519.new_private_key()
    key = ReceiptKey(
        id=new_id("rk"),
        public_key=to_base64url(ed25519.public_key(private)),
        private_key_encrypted=vault.seal(to_base64url(private)),
        # The newest of all, even where another machine's clock was ahead of ours.
        created_at=max(now, known[-1].created_at + timedelta(microseconds=1)) if known else now,
    )
    db.add(key)
    db.flush()
    return key


def public_keys(db: Session) -> dict[str, bytes]:
    """The public half of every key, by its id, the oldest first."""
    return {key.id: from_base64url(key.public_key) or b"" for key in queries.list_keys(db)}
