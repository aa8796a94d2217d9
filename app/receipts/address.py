"""Where a receipt is read: an address that nobody can guess, and that gives it away to whoever holds it."""

from typing import Final
from urllib.parse import quote

from app.adapters.signing import Signer

PURPOSE: Final = "receipt"
FOLDER: Final = "/cancel/receipts"


def path_of(signer: Signer, receipt_id: str) -> str:
    """The path of the receipt's page: `/cancel/receipts/rcp_….signature`."""
    return f"{FOLDER}/{quote(signer.sign(PURPOSE, receipt_id))}"


def read(signer: Signer, token: str) -> str | None:
    """The id of the receipt, if one of our secrets made this token."""
    return signer.read(PURPOSE, token)
