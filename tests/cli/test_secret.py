"""Changing LEAVEWELL_SECRET: everything stored is encrypted anew, so that the old one can go."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from app.accounts import queries as accounts
from app.accounts import service
from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import SealBroken, Vault
from app.db.base import new_id
from app.db.database import Database, Session
from app.db.tables.links import IdempotencyRecord
from app.db.tables.verifications import Verification
from app.links.idempotency import Answer, IdempotencyKey, keep_answer
from app.mail import queries as mails
from app.mail.kinds import MailKind
from app.mail.service import enqueue
from app.receipts import queries as receipts
from app.setup import sealing
from app.verify import queries as verify
from tests.cli.conftest import Run
from tests.support.apps import OLD_SECRET, SECRET

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def sealed(database: Database, app_id: str) -> list[str]:
    """Everything of the database that a vault has sealed."""
    environment = database.read_sync(service.get_environment, app_id)
    keys = database.read_sync(accounts.list_keys, app_id)
    kept = database.read_sync(lambda db: list(db.exec(select(IdempotencyRecord))))
    found = [environment.provider_config, environment.customer_data_secret]
    found += [key.key_encrypted for key in keys] + [record.response_encrypted for record in kept]
    found += [one.data_encrypted or "" for one in database.write_sync(mails.list_owed, after=None, limit=99)]
    found += [key.private_key_encrypted for key in database.read_sync(receipts.list_keys)]
    for one in database.write_sync(verify.list_sealed, after=None, limit=99):
        found += [one.code_encrypted, one.found_encrypted]
    return [text for text in found if text]


def keep(database: Database, secret: str, app_id: str, name: str) -> None:
    key = IdempotencyKey(key_sha256=name, body_sha256="b")
    answer = Answer(201, "{}")
    database.write_sync(keep_answer, Vault([secret]), app_id=app_id, key=key, answer=answer, now=NOW)


def owe(database: Database, secret: str, app_id: str) -> None:
    database.write_sync(
        enqueue,
        Vault([secret]),
        app_id=app_id,
        kind=MailKind.TEST,
        recipient="ben@example.com",
        locale="en",
        data={},
        now=NOW,
    )


def verify_with(database: Database, secret: str, app_id: str) -> None:
    """Somebody waits for a code."""
    vault = Vault([secret])

    def keep_one(db: Session) -> None:
        db.add(
            Verification(
                id=new_id("ver"),
                app_id=app_id,
                browser_sha256="b",
                address="ben@example.com",
                locale="en",
                created_at=NOW,
                asked_at=NOW,
                code_encrypted=vault.seal("123456"),
                found_encrypted=vault.seal("[]"),
                expires_at=NOW + timedelta(days=1),
            )
        )

    database.write_sync(keep_one)


@pytest.fixture
def stocked(run: Run, app_id: str, database: Database) -> str:
    """An environment with something of each kind under the old secret."""
    url = "action_url=https://acme.example/a"
    data = ["customer-data", app_id, "https://acme.example/d", "--secret", new_secret()]
    for command in (
        ["keys", "create", app_id],
        ["keys", "create", app_id],
        ["setup", "provider", app_id, "direct", url, f"action_secret={new_secret()}"],
        ["setup", *data],
        ["receipts", "rotate"],
    ):
        assert run(*command, LEAVEWELL_SECRET=OLD_SECRET).code == 0, command
    for number in range(5):
        keep(database, OLD_SECRET, app_id, f"key-{number}")
        owe(database, OLD_SECRET, app_id)
        verify_with(database, OLD_SECRET, app_id)
    return app_id


def test_everything_stored_opens_with_the_new_secret_alone(
    run: Run, stocked: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "MOST_AT_ONCE", 2)
    old = [Vault([OLD_SECRET]).open(text) for text in sealed(database, stocked)]
    done = run("secret", "reseal", LEAVEWELL_SECRET=f"{SECRET} {OLD_SECRET}")
    assert done.out.splitlines() == [
        "API keys            2",
        "connection secrets  2",
        "webhook secrets     0",
        "receipt keys        1",
        "kept answers        5",
        "owed mails          5",
        "codes               5",
    ]
    assert (done.code, done.err) == (0, "")
    assert [Vault([SECRET]).open(text) for text in sealed(database, stocked)] == old
    assert run("setup", "show", stocked, LEAVEWELL_SECRET=SECRET).code == 0


def test_without_the_old_secret_nothing_is_touched(run: Run, stocked: str, database: Database) -> None:
    before = sealed(database, stocked)
    refused = run("secret", "reseal", LEAVEWELL_SECRET=SECRET)
    assert refused.code == 1
    assert refused.errors[0].startswith("LEAVEWELL_SECRET does not open what is stored")
    assert sealed(database, stocked) == before


def test_a_kept_answer_that_no_secret_opens_stays_and_is_told(
    run: Run, stocked: str, database: Database
) -> None:
    keep(database, "a-secret-nobody-has-any-more-0123456789-abcdef", stocked, "key-lost")
    done = run("secret", "reseal", LEAVEWELL_SECRET=f"{SECRET} {OLD_SECRET}")
    assert "kept answers        5" in done.out
    assert done.err.startswith("1 kept answers open with none of the secrets.")
    with pytest.raises(SealBroken):
        [Vault([SECRET]).open(text) for text in sealed(database, stocked)]


def test_an_owed_mail_that_no_secret_opens_is_told(run: Run, stocked: str, database: Database) -> None:
    owe(database, "a-secret-nobody-has-any-more-0123456789-abcdef", stocked)
    done = run("secret", "reseal", LEAVEWELL_SECRET=f"{SECRET} {OLD_SECRET}")
    assert "owed mails          5" in done.out
    assert done.err.startswith("1 owed mails open with none of the secrets.")


def test_a_code_that_no_secret_opens_is_told(run: Run, stocked: str, database: Database) -> None:
    verify_with(database, "a-secret-nobody-has-any-more-0123456789-abcdef", stocked)
    done = run("secret", "reseal", LEAVEWELL_SECRET=f"{SECRET} {OLD_SECRET}")
    assert "codes               5" in done.out
    assert done.err.startswith("1 codes open with none of the secrets.")


def test_a_lost_receipt_key_is_told_and_keeps_nothing_else_from_being_sealed(
    run: Run, stocked: str, database: Database
) -> None:
    assert (
        run("receipts", "rotate", LEAVEWELL_SECRET="a-secret-nobody-has-any-more-0123456789-abcdef").code == 0
    )
    done = run("secret", "reseal", LEAVEWELL_SECRET=f"{SECRET} {OLD_SECRET}")
    assert "receipt keys        1" in done.out
    assert done.err.startswith("1 receipt keys open with none of the secrets.")
    assert [line.split()[1] for line in run("receipts", "keys").out.splitlines()[1:]] == ["signs", "lost"]
