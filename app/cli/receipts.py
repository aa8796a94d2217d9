"""receipts: check one that somebody shows, look one up, and look after the keys that sign them."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

import click

from app.adapters import ed25519
from app.adapters.signing import Signer
from app.adapters.vault import SealBroken
from app.cli.console import Failed, Workshop, pairs, remark, say, shown, table, workshop
from app.core import receipt_file
from app.core.receipt_file import MAX_BYTES, NotAReceipt
from app.db.tables.receipts import Receipt, ReceiptKey
from app.receipts import keys as receipt_keys
from app.receipts import queries
from app.receipts.address import path_of
from app.receipts.api import PATH
from app.receipts.keys import NoKeyOpens, Notary

REFERENCE: Final = re.compile(r"LW-([0-9A-F]{4})-([0-9A-F]{4})", re.IGNORECASE)
MOST_SHOWN: Final = 20


@click.group()
def receipts() -> None:
    """Receipts: what customers have in writing, signed."""


# --- One receipt -----------------------------------------------------------------------------------------------------


@receipts.command()
@click.argument("file", type=click.Path())
@click.option("--keys", "keys_file", type=click.Path(), help="The public keys, if the receipt is not ours.")
def verify(file: str, keys_file: str | None) -> None:
    """Check the signature of a receipt's file (`-` reads it from the pipe). Asks nobody.

    The keys are those of this installation, or a file of them as it is published at
    /.well-known/leavewell-receipts.json.
    """
    try:
        given = receipt_file.read_file(_read(file))
    except NotAReceipt as problem:
        raise Failed(f"{file}: this is not a receipt's file. {problem}") from None
    known = _keys_in(keys_file) if keys_file else _own_keys()
    public = known.get(given.key_id)
    if public is None:
        raise Failed(
            f"{file}: nobody can say whether it is genuine: it names the key {given.key_id}, "
            "which is not among the given ones." + _where_keys_are(keys_file)
        )
    if not ed25519.is_signed(public, given.signed_bytes(), given.signature):
        raise Failed(f"{file}: not genuine. What it says is not what {given.key_id} has signed.")
    say(f"Genuine: signed with {given.key_id}, and not changed since. It says:")
    say()
    pairs(list(_leaves(given.content)), indent="  ")


@receipts.command()
@click.argument("name", metavar="RECEIPT")
@click.option("--file", "as_file", is_flag=True, help="Print the signed file instead.")
def show(name: str, as_file: bool) -> None:
    """One receipt, by its id (rcp_…) or by the reference that a customer quotes (LW-…)."""
    with workshop() as at:
        found = _find(at, name)
        if len(found) > 1:
            rows = [(one.id, one.content["type"], one.status, one.created_at) for one in found]
            table(("RECEIPT", "ABOUT", "STATUS", "WRITTEN"), rows, "")
            return
        (receipt,) = found
        if as_file:
            click.echo(_file_of(at, receipt), nl=False)
            return
        _about(at, receipt)


def _find(at: Workshop, name: str) -> list[Receipt]:
    reference = REFERENCE.fullmatch(name)
    if reference:
        begin = "".join(reference.groups()).lower()
        found = at.database.read_sync(queries.list_of_reference, begin, limit=MOST_SHOWN)
    else:
        one = at.database.read_sync(queries.find_receipt, name) if name.isprintable() else None
        found = [one] if one else []
    if not found:
        raise Failed(f"There is no receipt {name}.")
    return found


def _file_of(at: Workshop, receipt: Receipt) -> str:
    key_id, signature = receipt.key_id, receipt.signature
    if key_id is None or signature is None:
        try:
            signed = at.database.read_sync(lambda db: Notary(at.vault).sign(db, receipt))
        except NoKeyOpens:
            raise Failed("It is not signed yet: the worker makes the first key.") from None
        key_id, signature = signed.key_id, signed.signature
    return receipt_file.to_file(receipt.content, key_id, signature)


def _about(at: Workshop, receipt: Receipt) -> None:
    address = at.settings.base_url + path_of(Signer(at.settings.secrets), receipt.id)
    pairs(list(_leaves(receipt.content)))
    say()
    pairs(
        [
            ("mailed to", receipt.recipient or "nobody: no address is known"),
            ("signed with", receipt.key_id or "nothing yet"),
            ("address", address),
        ]
    )
    remark("Whoever has the address can read the receipt, and undo a cancellation with it.")


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """Everything that is said, each with its place: `facts.endsAt`. What is null says nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        if value:
            yield name, ", ".join(shown(item) for item in value)
    elif value is not None:
        yield name, value


# --- Keys ------------------------------------------------------------------------------------------------------------


@receipts.command("keys")
@click.option("--json", "as_json", is_flag=True, help="Print them as they are published.")
def keys_(as_json: bool) -> None:
    """The keys, oldest first. All are published, for what an old one signed stays valid."""
    with workshop() as at:
        found = at.database.read_sync(queries.list_keys)
        opening = [key.id for key in found if _opens(at, key)]
    if as_json:
        published = receipt_file.to_jwks((key.id, key.public_key) for key in found)
        click.echo(json.dumps(published, indent=2))
        return
    rows = [(key.id, _status(key, opening), key.created_at, key.public_key) for key in found]
    table(("KEY", "STATUS", "MADE", "PUBLIC KEY"), rows, "There is no key yet: the first receipt makes one.")


def _status(key: ReceiptKey, opening: list[str]) -> str:
    if key.id not in opening:
        return "lost"  # sealed with a secret that is no longer in LEAVEWELL_SECRET
    return "signs" if key.id == opening[-1] else "published"


def _opens(at: Workshop, key: ReceiptKey) -> bool:
    try:
        at.vault.open(key.private_key_encrypted)
    except SealBroken:
        return False
    return True


@receipts.command()
def rotate() -> None:
    """Make a new key, which signs from now on. Nothing has to be restarted."""
    with workshop() as at:
        key = at.database.write_sync(receipt_keys.rotate, at.vault, at.now)
    say(key.id)
    remark(
        "It signs every receipt from now on. The keys before it stay published: what they signed stays valid."
    )


# --- Files -----------------------------------------------------------------------------------------------------------


def _own_keys() -> dict[str, bytes]:
    with workshop() as at:
        return at.database.read_sync(receipt_keys.public_keys)


def _keys_in(path: str) -> dict[str, bytes]:
    try:
        return receipt_file.read_jwks(_read(path))
    except NotAReceipt as problem:
        raise Failed(f"{path}: these are not keys of receipts. {problem}") from None


def _where_keys_are(keys_file: str | None) -> str:
    if keys_file:
        return f" Fetch them anew from {PATH} of the installation that wrote it."
    return f" If another installation wrote it, fetch {PATH} from there and name that file with --keys."


def _read(path: str) -> str:
    """The text of a small file, or, for `-`, of what is piped in. Raises NotAReceipt."""
    if path == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 4)
    else:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 4)  # with a byte order mark, which does not count
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        problem = (
            f"It is larger than {MAX_BYTES // 1024} KB."
            if len(raw) > MAX_BYTES
            else "This is not UTF-8 text."
        )
        raise NotAReceipt(problem) from None
