"""Re-encrypts what is stored with the first secret of the ring, so that the others can be dropped."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlmodel import Session

from app.accounts import queries as accounts
from app.adapters.vault import SealBroken, Vault
from app.links import queries as links
from app.mail import queries as mail
from app.privacy import service as privacy
from app.receipts import queries as receipts
from app.verify import queries as verify
from app.webhooks import endpoints as webhooks

MOST_AT_ONCE: Final = 500

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many of each were encrypted anew."""

    api_keys: int
    connections: int
    webhook_secrets: int
    receipt_keys: int
    lost_receipt_keys: int


@dataclass(frozen=True, slots=True)
class ResealedBatch(Generic[Place]):
    """A batch of what a busy day has many of; `last` is where the next one begins, None behind the end."""

    resealed: int
    unreadable: int
    last: Place | None


def reseal(db: Session, vault: Vault) -> Resealed:
    """Encrypt every API key, connection and webhook secret anew, all or none. Raises SealBroken where no secret of the
    ring opens one. A receipt's key that was lost stays as it is: what it signed needs only its public half."""
    keys = accounts.list_every_key(db)
    for key in keys:
        key.key_encrypted = vault.seal(vault.open(key.key_encrypted))
    connections = 0
    for environment in accounts.list_every_environment(db):
        if environment.provider_config is not None:
            environment.provider_config = vault.seal(vault.open(environment.provider_config))
            connections += 1
        if environment.customer_data_secret is not None:
            environment.customer_data_secret = vault.seal(vault.open(environment.customer_data_secret))
            connections += 1
        if environment.slack_url_encrypted is not None:
            environment.slack_url_encrypted = vault.seal(vault.open(environment.slack_url_encrypted))
            connections += 1
    privacy.reseal(db, vault)
    resealed, lost = _reseal_receipt_keys(db, vault)
    return Resealed(len(keys), connections, webhooks.reseal(db, vault), resealed, lost)


def _reseal_receipt_keys(db: Session, vault: Vault) -> tuple[int, int]:
    """How many were encrypted anew, and how many no secret opens."""
    keys, lost = receipts.list_keys(db, locked=True), 0
    for key in keys:
        try:
            key.private_key_encrypted = vault.seal(vault.open(key.private_key_encrypted))
        except SealBroken:
            lost += 1
    return len(keys) - lost, lost


def reseal_answers(
    db: Session, vault: Vault, *, after: tuple[str, str] | None = None
) -> ResealedBatch[tuple[str, str]]:
    """The same for a batch of the answers kept for `Idempotency-Key`: a busy day has many, and minting goes on
    meanwhile. One that no secret opens stays, for to forget it would be to mint a second link."""
    records = links.list_idempotency(db, after=after, limit=MOST_AT_ONCE)
    unreadable = 0
    for record in records:
        try:
            record.response_encrypted = vault.seal(vault.open(record.response_encrypted))
        except SealBroken:
            unreadable += 1
    is_end = len(records) < MOST_AT_ONCE
    last = None if is_end else (records[-1].app_id, records[-1].key_sha256)
    return ResealedBatch(len(records) - unreadable, unreadable, last)


def reseal_mails(db: Session, vault: Vault, *, after: str | None = None) -> ResealedBatch[str]:
    """The same for a batch of the mails that are owed. One that no secret opens is given up when it is due."""
    mails = mail.list_owed(db, after=after, limit=MOST_AT_ONCE)
    unreadable = 0
    for one in mails:
        try:
            one.data_encrypted = vault.seal(vault.open(one.data_encrypted or ""))
        except SealBroken:
            unreadable += 1
    last = mails[-1].id if len(mails) == MOST_AT_ONCE else None
    return ResealedBatch(len(mails) - unreadable, unreadable, last)


def reseal_verifications(db: Session, vault: Vault, *, after: str | None = None) -> ResealedBatch[str]:
    """The same for a batch of codes, and of the customers found for them. What no secret opens stays; whoever asked
    has to ask for another code."""
    rows = verify.list_sealed(db, after=after, limit=MOST_AT_ONCE)
    unreadable = 0
    for row in rows:
        try:
            row.code_encrypted = _again(vault, row.code_encrypted)
            row.found_encrypted = _again(vault, row.found_encrypted)
        except SealBroken:
            unreadable += 1
    last = rows[-1].id if len(rows) == MOST_AT_ONCE else None
    return ResealedBatch(len(rows) - unreadable, unreadable, last)


def _again(vault: Vault, sealed: str | None) -> str | None:
    return None if sealed is None else vault.seal(vault.open(sealed))
