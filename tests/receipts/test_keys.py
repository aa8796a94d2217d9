"""Which key signs what, and what stays valid when keys come and go."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.adapters import ed25519
from app.adapters.vault import Vault
from app.core.receipt_file import canonical, from_base64url
from app.db.database import Database
from app.db.tables.receipts import Receipt
from app.receipts import keys
from app.receipts.keys import NoKeyOpens, Notary, Signed
from tests.receipts.written import all_keys, open_environment, write
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.clock import FakeClock

VAULT = Vault([SECRET])


@pytest.fixture
def app_id(database: Database, clock: FakeClock) -> str:
    return database.write_sync(open_environment, clock.now())


def sign(database: Database, receipt: Receipt, vault: Vault = VAULT) -> Signed:
    return database.read_sync(lambda db: Notary(vault).sign(db, receipt))


def rotate(database: Database, clock: FakeClock, vault: Vault = VAULT) -> str:
    return database.write_sync(keys.rotate, vault, clock.now()).id


def is_genuine(database: Database, receipt: Receipt, signed: Signed) -> bool:
    public = database.read_sync(keys.public_keys)[signed.key_id]
    return ed25519.is_signed(public, canonical(receipt.content), from_base64url(signed.signature) or b"")


def test_what_is_signed_can_be_checked_with_the_public_key(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    rotate(database, clock)
    receipt = write(database, app_id, clock.now())
    signed = sign(database, receipt)
    assert is_genuine(database, receipt, signed)
    receipt.content = {**receipt.content, "plan": "Lite"}
    assert not is_genuine(database, receipt, signed)


def test_the_same_receipt_gets_the_same_signature_whoever_signs_and_when(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    rotate(database, clock)
    receipt = write(database, app_id, clock.advance(seconds=1))
    first = sign(database, receipt)
    clock.advance(days=1)
    rotate(database, clock)
    assert sign(database, receipt) == first


def test_a_new_key_signs_from_then_on_and_the_old_one_stays_published(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    old = rotate(database, clock)
    before = write(database, app_id, clock.advance(days=1))
    signed_before = sign(database, before)
    new = rotate(database, clock, VAULT)
    after = write(database, app_id, clock.advance(seconds=1))
    assert (signed_before.key_id, sign(database, after).key_id) == (old, new)
    assert list(database.read_sync(keys.public_keys)) == [old, new]
    assert is_genuine(database, before, signed_before)


def test_a_process_that_runs_takes_a_new_key_up(database: Database, clock: FakeClock, app_id: str) -> None:
    notary = Notary(VAULT)
    rotate(database, clock)
    first = write(database, app_id, clock.now())
    database.read_sync(lambda db: notary.sign(db, first))
    clock.advance(minutes=1)
    new = rotate(database, clock)
    second = write(database, app_id, clock.now())
    assert database.read_sync(lambda db: notary.sign(db, second)).key_id == new


def test_a_receipt_from_before_the_first_key_is_signed_with_that(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    receipt = write(database, app_id, clock.now())
    clock.advance(hours=1)
    first = rotate(database, clock)
    clock.advance(hours=1)
    rotate(database, clock)
    assert sign(database, receipt).key_id == first


def test_the_first_key_is_made_once(database: Database, clock: FakeClock) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = {
            task.result().id
            for task in [
                threads.submit(database.write_sync, keys.ensure_key, VAULT, clock.now()) for _ in range(8)
            ]
        }
    assert made == {key.id for key in all_keys(database)}
    assert len(made) == 1


def test_keys_open_after_the_secret_has_changed_while_the_old_one_is_in_the_ring(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    rotate(database, clock, Vault([OLD_SECRET]))
    receipt = write(database, app_id, clock.now())
    assert sign(database, receipt, Vault([SECRET, OLD_SECRET])) == sign(
        database, receipt, Vault([OLD_SECRET])
    )


def test_where_a_key_is_lost_the_next_newer_one_signs(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    rotate(database, clock, Vault([OLD_SECRET]))
    receipt = write(database, app_id, clock.now())
    with pytest.raises(NoKeyOpens):
        sign(database, receipt)
    clock.advance(days=1)
    new = rotate(database, clock)
    signed = sign(database, receipt)
    assert signed.key_id == new
    assert is_genuine(database, receipt, signed)


def test_an_older_key_never_signs_for_a_lost_one(database: Database, clock: FakeClock, app_id: str) -> None:
    rotate(database, clock)  # replaced, perhaps because somebody else has it
    clock.advance(days=1)
    rotate(database, clock, Vault([OLD_SECRET]))
    receipt = write(database, app_id, clock.now())
    with pytest.raises(NoKeyOpens):
        sign(database, receipt)


def test_without_a_key_nothing_is_signed(database: Database, clock: FakeClock, app_id: str) -> None:
    with pytest.raises(NoKeyOpens):
        sign(database, write(database, app_id, clock.now()))


def test_a_private_key_is_nowhere_in_plain(database: Database, clock: FakeClock) -> None:
    rotate(database, clock)
    (key,) = all_keys(database)
    private = VAULT.open(key.private_key_encrypted)
    assert private not in repr(key)
    assert len(from_base64url(private) or b"") == 32
    assert ed25519.public_key(from_base64url(private) or b"") == from_base64url(key.public_key)


def test_keys_come_in_the_order_they_were_made(database: Database, clock: FakeClock) -> None:
    made = []
    for _ in range(3):
        made.append(rotate(database, clock))
        clock.advance(seconds=timedelta(days=400).total_seconds())
    assert list(database.read_sync(keys.public_keys)) == made


def test_a_new_key_is_the_newest_even_on_a_machine_whose_clock_is_behind(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    rotate(database, clock)
    clock.advance(hours=-2)
    new = rotate(database, clock)
    assert list(database.read_sync(keys.public_keys))[-1] == new
    assert sign(database, write(database, app_id, clock.advance(hours=3))).key_id == new
