"""receipts: genuine or not, and why; which keys there are; what a customer has, by what he quotes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.receipt_file import MAX_BYTES, read_file
from app.db.database import Database
from app.db.tables.manual import CancellationRequest
from app.db.tables.receipts import Receipt
from app.receipts import keys
from app.receipts.address import path_of
from app.receipts.keys import Notary
from tests.cli.conftest import Run
from tests.receipts.written import CONTENT, write
from tests.support.apps import OLD_SECRET, SECRET

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
VAULT = Vault([SECRET])


@pytest.fixture
def receipt(database: Database, app_id: str) -> Receipt:
    """One that is signed."""
    database.write_sync(keys.ensure_key, VAULT, NOW)
    written = write(database, app_id, NOW, sessionId=None)

    def sign(db: Any) -> Receipt:
        row: Receipt = db.get_one(Receipt, written.id)
        signed = Notary(VAULT).sign(db, row)
        row.key_id, row.signature = signed.key_id, signed.signature
        return row

    return database.write_sync(sign)


@pytest.fixture
def file(run: Run, receipt: Receipt, tmp_path: Path) -> Path:
    """Its file, as the command prints it."""
    path = tmp_path / "receipt.json"
    path.write_text(run("receipts", "show", receipt.id, "--file").out, "utf-8")
    return path


def changed(file: Path, **parts: Any) -> Path:
    """The file with something else in it."""
    whole = {**json.loads(file.read_text("utf-8")), **parts}
    file.write_text(json.dumps(whole), "utf-8")
    return file


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_genuine_receipt_is_called_so_and_printed(run: Run, receipt: Receipt, file: Path) -> None:
    checked = run("receipts", "verify", str(file))
    assert checked.code == 0
    first, *said = checked.out.splitlines()
    assert first == f"Genuine: signed with {receipt.key_id}, and not changed since. It says:"
    rows = dict(line.split(maxsplit=1) for line in said if line)
    assert rows["reference"] == "LW-7F3C-92AD"
    assert rows["plan"] == "Pro für Zwei 🙂"
    assert rows["facts.price.amount"] == "2900"
    assert rows["facts.endsNow"] == "no"


def test_another_layout_is_the_same_receipt(run: Run, file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")), sort_keys=True), "utf-8-sig")
    assert run("receipts", "verify", str(file)).code == 0


def test_it_can_be_piped_in(run: Run, file: Path) -> None:
    assert run("receipts", "verify", "-", input=file.read_text("utf-8")).out.startswith("Genuine")


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "Lite"},
        {"plan": "Pro fu\u0308r Zwei 🙂"},
        {"facts": {**CONTENT["facts"], "endsNow": True}},
        {"facts": {**CONTENT["facts"], "price": {"amount": 2901, "currency": "USD"}}},
        {"note": "You owe us nothing."},
    ],
)
def test_any_other_word_or_figure_is_not_genuine(run: Run, receipt: Receipt, file: Path, change: Any) -> None:
    changed(file, receipt={**receipt.content, **change})
    checked = run("receipts", "verify", str(file))
    assert (checked.code, checked.out) == (1, "")
    (error,) = checked.errors
    assert error == f"{file}: not genuine. What it says is not what {receipt.key_id} has signed."


def test_a_signature_from_another_receipt_is_not_genuine(
    run: Run, receipt: Receipt, file: Path, database: Database
) -> None:
    another = write(database, receipt.app_id, NOW, reference="LW-0000-0000", sessionId=None)
    other = json.loads(run("receipts", "show", another.id, "--file").out)
    changed(file, signature=other["signature"])
    assert "not genuine" in run("receipts", "verify", str(file)).errors[0]


def test_a_key_that_nobody_knows_says_nothing(run: Run, receipt: Receipt, file: Path) -> None:
    signature = json.loads(file.read_text("utf-8"))["signature"]
    changed(file, signature={**signature, "keyId": "rk_mallory"})
    checked = run("receipts", "verify", str(file))
    assert checked.code == 1
    assert "it names the key rk_mallory, which is not among the given ones." in checked.errors[0]
    assert "/.well-known/leavewell-receipts.json" in checked.errors[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON (line 1, column 1)"),
        ("%PDF-1.7", "not JSON"),
        ('{"receipt": {}}', "“receipt”, “signature”"),
        ('{"receipt": {"a": 1, "a": 2}, "signature": {}}', "“a” is there twice"),
        ('{"receipt": {"a": 1.5}, "signature": {}}', "fraction"),
        ("[" * 50_000, ""),
        ("x" * MAX_BYTES + "é" * 10, "larger than 64 KB"),
        (b"\xff\xfe{\x00", "not UTF-8"),
        (b"\x80" * (MAX_BYTES + 100), "larger than 64 KB"),
    ],
)
def test_what_is_no_receipt_says_why(run: Run, tmp_path: Path, text: str | bytes, why: str) -> None:
    file = tmp_path / "other.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    checked = run("receipts", "verify", str(file), "--keys", str(file))
    assert checked.code == 1
    (error,) = checked.errors
    assert error.startswith(f"{file}: this is not a receipt's file. ")
    assert why in error


def test_a_file_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    assert run("receipts", "verify", str(tmp_path / "none.json")).errors == [
        f"{tmp_path / 'none.json'}: No such file or directory."
    ]


def test_another_installations_receipt_is_checked_with_its_keys_and_no_database(
    run: Run, file: Path, tmp_path: Path
) -> None:
    published = tmp_path / "keys.json"
    published.write_text(run("receipts", "keys", "--json").out, "utf-8")
    nowhere = {
        "DATABASE_URL": "sqlite:////nowhere/at/all.sqlite3",
        "LEAVEWELL_SECRET": "",
        "LEAVEWELL_DEMO": "",
    }
    checked = run("receipts", "verify", str(file), "--keys", str(published), **nowhere)
    assert (checked.code, checked.err) == (0, "")
    published.write_text('{"keys": []}', "utf-8")
    unknown = run("receipts", "verify", str(file), "--keys", str(published), **nowhere)
    assert "which is not among the given ones. Fetch them anew" in unknown.errors[0]
    published.write_text("[]", "utf-8")
    broken = run("receipts", "verify", str(file), "--keys", str(published), **nowhere)
    assert broken.errors == [f"{published}: these are not keys of receipts. There is no list “keys” in it."]


def test_a_key_of_the_same_name_is_not_the_same_key(
    run: Run, receipt: Receipt, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "keys.json"
    key = {"kty": "OKP", "crv": "Ed25519", "kid": receipt.key_id, "x": "A" * 43}
    other.write_text(json.dumps({"keys": [key]}), "utf-8")
    assert "not genuine" in run("receipts", "verify", str(file), "--keys", str(other)).errors[0]


def test_nothing_in_a_receipt_steers_the_terminal(run: Run, database: Database, receipt: Receipt) -> None:
    evil = "\x1b[2J\x9b2J\u202egnp.exe"
    written = write(database, receipt.app_id, NOW, plan=evil, sessionId=None)
    shown = run("receipts", "show", written.id)
    printed = run("receipts", "show", written.id, "--file")
    for text in (shown.out, printed.out):
        assert "\x1b" not in text
        assert "\x9b" not in text
    assert "\u202e" not in printed.out
    assert read_file(printed.out).content["plan"] == evil


# --- show ------------------------------------------------------------------------------------------------------------


def test_a_receipt_is_shown_with_its_address(run: Run, receipt: Receipt) -> None:
    shown = run("receipts", "show", receipt.id, LEAVEWELL_BASE_URL="https://leave.example.com")
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if line)
    assert rows["reference"] == "LW-7F3C-92AD"
    assert rows["address"] == f"https://leave.example.com{path_of(Signer([SECRET]), receipt.id)}"
    assert "ben@example.com" in shown.out
    assert receipt.key_id is not None
    assert receipt.key_id in shown.out


def test_what_a_customer_quotes_finds_what_he_has(run: Run, database: Database, app_id: str) -> None:
    def ask(db: Any, request_id: str) -> None:
        db.add(CancellationRequest(id=request_id, app_id=app_id, created_at=NOW))

    database.write_sync(ask, "req_7f3c92ad18e04b56c3d2f1a9")
    database.write_sync(ask, "req_7f3c92ae18e04b56c3d2f1a9")
    first = write(database, app_id, NOW, request_id="req_7f3c92ad18e04b56c3d2f1a9", status="requested")
    write(database, app_id, NOW, request_id="req_7f3c92ae18e04b56c3d2f1a9")
    assert first.id in run("receipts", "show", "lw-7f3c-92ad").out
    later = NOW + timedelta(hours=1)
    second = write(database, app_id, later, request_id="req_7f3c92ad18e04b56c3d2f1a9")
    rows = [line.split()[:3] for line in run("receipts", "show", "LW-7F3C-92AD").out.splitlines()[1:]]
    assert rows == [[first.id, "cancellation", "requested"], [second.id, "cancellation", "confirmed"]]


@pytest.mark.parametrize("name", ["rcp_none", "LW-0000-0000", "LW-1", "\0", ""])
def test_a_receipt_that_does_not_exist_is_no_traceback(run: Run, receipt: Receipt, name: str) -> None:
    shown = run("receipts", "show", name)
    assert shown.code == 1
    assert shown.errors[0].startswith("There is no receipt")


def test_before_the_first_key_there_is_no_file(run: Run, database: Database, app_id: str) -> None:
    written = write(database, app_id, NOW, sessionId=None)
    assert run("receipts", "show", written.id, "--file").errors == [
        "It is not signed yet: the worker makes the first key."
    ]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_listed_with_the_one_that_signs(run: Run) -> None:
    assert "There is no key yet" in run("receipts", "keys").err
    made = [run("receipts", "rotate").out.strip() for _ in range(2)]
    rows = [line.split() for line in run("receipts", "keys").out.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [(made[0], "published"), (made[1], "signs")]
    assert [key["kid"] for key in json.loads(run("receipts", "keys", "--json").out)["keys"]] == made


def test_a_lost_key_is_told(run: Run) -> None:
    run("receipts", "rotate")
    run("receipts", "rotate", LEAVEWELL_SECRET=OLD_SECRET)
    assert [line.split()[1] for line in run("receipts", "keys").out.splitlines()[1:]] == ["signs", "lost"]


def test_what_an_old_key_signed_stays_genuine(run: Run, file: Path) -> None:
    assert run("receipts", "rotate").code == 0
    assert run("receipts", "verify", str(file)).code == 0
