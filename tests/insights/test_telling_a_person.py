"""`/v1/data/dsr/access` of somebody about whom there is much: told piece by piece, whole and in order."""

import tracemalloc
from typing import Any

import pytest
from sqlmodel import Session, select

from app.accounts import service as accounts
from app.accounts.service import Scope
from app.core.email_address import address_key
from app.db.tables.sessions import CancelSession
from app.privacy import access, finding
from app.privacy.access import Known, TooMuchToTell, look_up, tell
from app.privacy.finding import Whose
from tests.privacy.conftest import BEN, Bureau, billing_server, bureau
from tests.support.pages import FROM_A_PAGE, Visitor

__all__ = ["billing_server", "bureau"]

WORDS = "zanzibar-quagga"


def known_of(bureau: Bureau, most: int = 1000) -> Known:
    return bureau.database.read_sync(look_up, organization_id=bureau.organization_id, email=BEN, most=most)


async def ask(bureau: Bureau, status: int = 200) -> Any:
    key = bureau.database.write_sync(
        accounts.create_data_key,
        bureau.desk.ports.vault,
        app_id=bureau.desk.merchant.app_id,
        scopes=[Scope.DSR],
        now=bureau.desk.clock.now(),
    )
    headers = {"x-ck-app": bureau.desk.merchant.app_id, "x-ck-api-key": key.secret}
    answer = await bureau.desk.visitor.client.post(
        "/v1/data/dsr/access", json={"email": BEN}, headers=headers
    )
    assert answer.status_code == status, answer.text
    return answer.json()


async def leave_much(bureau: Bureau) -> None:
    """Sessions, requests without one, links that nobody followed, codes and mails."""
    bureau.listen()
    async with bureau.desk.browser() as client:
        await bureau.walk_and_cancel(Visitor(client), "cus_ben", WORDS)
    for number in range(3):
        async with bureau.desk.browser() as client:
            await Visitor(client).open(bureau.desk.merchant.mint("cus_ben"), headers=FROM_A_PAGE)
        async with bureau.desk.browser() as client:
            await bureau.request(Visitor(client), BEN, f"{WORDS} asked {number}")
        await bureau.mint_direct("cus_ben", BEN)
        await bureau.work()
        bureau.desk.clock.advance(minutes=10)
    async with bureau.desk.browser() as client:
        await bureau.prove(Visitor(client), BEN, WORDS)
    await bureau.work()


def copy_session(bureau: Bureau, times: int, padding: str = "") -> None:
    """The newest session of Ben's again and again."""

    def copy(db: Session) -> None:
        row = db.exec(select(CancelSession).where(CancelSession.email_key == address_key(BEN))).first()
        assert row is not None
        stored = row.model_dump()
        for number in range(times):
            changed = {"id": f"cs_copy_{number:06}", "link_id": None, "verification_id": None}
            snapshot = (
                {**stored["snapshot"], "padding": f"{padding}{number}"} if padding else stored["snapshot"]
            )
            db.add(CancelSession(**{**stored, **changed, "snapshot": snapshot}))

    bureau.database.write_sync(copy)


async def test_each_section_is_told_whole_however_small_the_pieces(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_much(bureau)
    at_once = await ask(bureau)
    monkeypatch.setattr(access, "BITE", 1)
    assert await ask(bureau) == at_once
    told = at_once["data"]
    assert list(told) == ["email", *access.SECTIONS]
    assert [one["createdAt"] for one in told["sessions"]] == sorted(
        one["createdAt"] for one in told["sessions"]
    )
    assert len(told["sessions"]) == 5
    assert len(told["links"]) == 7
    assert [one["note"] for one in sorted(told["requests"], key=lambda one: str(one["createdAt"]))] == [
        f"{WORDS} asked {number}" for number in range(3)
    ]
    assert len(told["verifications"]) == 1
    assert {"code", "receipt_confirmed"} & {one["kind"] for one in told["mails"]}
    assert told["records"] == [], "those of sessions are told with them"


async def test_the_ids_are_those_of_what_an_erasure_finds(bureau: Bureau) -> None:
    await leave_much(bureau)
    known = known_of(bureau)

    def found(db: Session) -> dict[str, set[str]]:
        whose = Whose(finding.app_ids_of(db, bureau.organization_id), address_key(BEN))
        return {
            "sessions": {row.id for row in finding.list_sessions(db, whose, limit=100)},
            "verifications": {row.id for row in finding.list_verifications(db, whose, limit=100)},
            "mails": {row.id for row in finding.list_mails(db, whose, limit=100)},
        }

    for section, ids in bureau.database.read_sync(found).items():
        assert ids
        assert set(known.ids[section]) == ids, section


async def test_what_was_erased_meanwhile_is_left_out(bureau: Bureau) -> None:
    await leave_much(bureau)
    known = known_of(bureau)
    assert bureau.database.read_sync(tell, "sessions", known.ids["sessions"])
    await bureau.erase(BEN)
    for section in ("sessions", "mails", "verifications"):
        assert bureau.database.read_sync(tell, section, known.ids[section]) == [], section


async def test_too_much_is_refused_before_anything_is_told(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_much(bureau)
    copy_session(bureau, 25)
    monkeypatch.setattr(access, "MOST", 30)
    assert len((await ask(bureau))["data"]["sessions"]) == 30
    monkeypatch.setattr(access, "MOST", 29)
    refused = await ask(bureau, status=409)
    assert refused["code"] == "too_much_to_tell"
    assert "leavewell privacy access" in refused["message"]
    with pytest.raises(TooMuchToTell):
        known_of(bureau, most=3)


async def test_looking_up_reads_no_row_as_a_whole(bureau: Bureau) -> None:
    """However much a session holds: five thousand of them would be hundreds of megabytes."""
    await leave_much(bureau)
    copy_session(bureau, 100, padding="x" * 100_000)
    tracemalloc.start()
    try:
        known = known_of(bureau)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(known.ids["sessions"]) == 105
    assert most < 5_000_000, "and all of it is 10 MB"
