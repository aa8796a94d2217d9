"""The page on receipts: its programs check real files, its tables name every member there is."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.adapters import ed25519
from app.core.receipt import Frame, Merchant, of_unverified_request
from app.core.receipt_file import canonical, to_base64url, to_file, to_jwks
from tests.docs import pages
from tests.docs.test_programs import RUNNERS

PAGE = pages.ROOT / "docs" / "receipts.md"
KEY, OTHER = bytes(range(32)), bytes(32)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PROGRAMS = {"check_receipt.py": RUNNERS["merchant.py"], "check_receipt.mjs": RUNNERS["merchant.mjs"]}


def content() -> dict[str, Any]:
    merchant = Merchant(
        "Café “Zum Wolf” 🐺", "app_1", "live", "wolf@example.com", "https://wolf.example/\u2028"
    )
    frame = Frame("rcp_1", merchant, None, "de", "Europe/Berlin", None)
    return of_unverified_request(frame, request_id="req_7f3c92ad18e0", requested_at=NOW, issued_at=NOW)


def jwks(*keys: tuple[str, bytes]) -> str:
    return json.dumps(to_jwks((name, to_base64url(ed25519.public_key(key))) for name, key in keys))


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_programs_tell_a_genuine_file_from_a_changed_one(name: str, tmp_path: Path) -> None:
    signature = to_base64url(ed25519.sign(KEY, canonical(content())))
    (tmp_path / name).write_text(pages.program(PAGE, name), "utf-8")
    (tmp_path / "keys.json").write_text(jwks(("rk_0", OTHER), ("rk_1", KEY)), "utf-8")

    def check(said: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "receipt.json").write_text(to_file(said, "rk_1", signature), "utf-8")
        command = [PROGRAMS[name], name, "receipt.json", "keys.json"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    genuine = check(content())
    assert (genuine.returncode, genuine.stdout) == (0, "LW-7F3C-92AD cancellation_request requested\n"), (
        genuine.stderr
    )
    assert check({**content(), "reasons": []}).returncode != 0


@pytest.mark.parametrize("subject", ["Content", "Facts"])
def test_every_member_is_in_its_table_and_no_other(subject: str) -> None:
    said = content() if subject == "Content" else content()["facts"]
    table = pages.table(PAGE, subject)
    assert sorted(table.names()) == sorted(said)
