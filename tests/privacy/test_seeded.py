"""Seeded sessions are such as the application leaves behind: it opens them, tells them, and forgets them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select

from app.accounts.service import Scope
from app.core.billing import parse_change
from app.core.offers import ShownOffer
from app.core.receipt import TYPE_OF_CHANGE
from app.core.state import Outcome, SessionState
from app.core.world import Walk, read_world
from app.db.base import metadata
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import service as flows
from app.privacy import retention, service
from app.sessions import recording
from app.sessions.recording import world_of
from tests.cli.conftest import runner
from tests.privacy.conftest import Bureau, dump
from tests.privacy.test_api import ask, headers
from tests.support import seed_rows, seed_sessions
from tests.support.apps import SECRET
from tests.support.seed_rows import Stocked

pytestmark = pytest.mark.anyio

COUNT, BUSY = 200, 7_654_321
SWEPT = frozenset(
    {"erased_at", "revoked_at", "updated_at", "erasedAt", "updatedAt"}
)  # when the sweep came by


def seed(bureau: Bureau, *, is_bare: bool = True) -> Stocked:
    """Two years of sessions, every fortieth of them the same person's."""
    now = bureau.desk.clock.now()
    stocked = bureau.database.write_sync(seed_rows.stock, bureau.desk.merchant.app_id, now=now)
    if not is_bare:
        stocked = replace(stocked, retention=None)
    url = bureau.database.url.render_as_string(hide_password=False)
    assert seed_sessions.insert_whole(url, sessions(stocked)) == COUNT
    return stocked


def sessions(stocked: Stocked) -> Iterator[seed_rows.Rows]:
    return seed_rows.whole(
        stocked,
        start=stocked.now - timedelta(days=730),
        end=stocked.now,
        count=COUNT,
        who=lambda chance, number: (number % 40 and chance.randrange(1_000_000, 1_000_120)) or BUSY,
    )


async def test_what_is_stored_reads_as_what_the_application_stores(bureau: Bureau) -> None:
    seed(bureau)
    kinds: set[str] = set()
    for row in bureau.desk.all(CancelSession):
        state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
        assert {**state.to_json(), "views": 0} == {**row.state, "views": 0}
        assert (row.erased_at is None) == bool(row.snapshot)
        if row.snapshot:
            again = read_world(row.snapshot).to_json()
            assert {**again, "capabilities": sorted(again["capabilities"])} == row.snapshot
    for offer in bureau.desk.all(SessionOffer):
        if offer.shown:
            assert ShownOffer.model_validate(offer.shown).to_wire() == offer.shown
            kinds.add(offer.kind)
    for effect in bureau.desk.all(Effect):
        if effect.customer_id:
            assert parse_change(effect.change).to_wire() == effect.change
    assert {"discount", "pause", "plan_change"} <= kinds
    for receipt in bureau.desk.all(Receipt):
        assert receipt.content["type"] in {*TYPE_OF_CHANGE.values(), "cancellation_request"}
    for made, kept in bureau.database.read_sync(_made_anew):
        assert made.keys() == kept.keys()
        assert made["customer"].keys() == kept["customer"].keys()
        for name in ("_id", "outcome", "surveyChoiceId", "feedback", "createdAt", "closedAt", "effects"):
            assert made[name] == kept[name], name


def _made_anew(db: Session) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Records as they are told of what is stored, and as they were seeded."""
    found = []
    for row in db.exec(select(CancelSession).where(col(CancelSession.erased_at).is_(None))).all():
        assert row.closed_at
        assert row.outcome
        state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
        walk = Walk(row.id, flows.load(db, row.flow_version_id), world_of(row), row.closed_at)
        made = recording._build(db, row, walk, state, Outcome(row.outcome), row.closed_at)
        found.append((made.told, db.get_one(SessionRecord, row.id).record))
    return found


async def test_they_open_and_are_told_and_forgotten(bureau: Bureau) -> None:
    seed(bureau)
    theirs = [row for row in bureau.desk.all(CancelSession) if row.customer_id == f"cus_{BUSY}"]
    email = theirs[0].email_key
    assert email
    rows = dump(bureau.database)
    assert str(BUSY) in rows
    run = runner(
        {
            "DATABASE_URL": bureau.database.url.render_as_string(hide_password=False),
            "LEAVEWELL_SECRET": SECRET,
            "LEAVEWELL_DEMO": "1",
        }
    )
    for row in theirs:
        shown = run("sessions", "show", row.id)
        assert shown.code == 0
        assert f"cus_{BUSY}" in shown.out
    given = headers(bureau, *Scope)
    listed = await bureau.desk.visitor.client.get(
        "/v1/data/sessions", params={"customerEmail": email, "bounced": ["true", "false"]}, headers=given
    )
    assert {one["_id"] for one in listed.json()["data"]} == {row.id for row in theirs}
    told = (await ask(bureau, "access", {"email": email}, given=given)).json()["data"]
    assert {one["id"] for one in told["sessions"]} == {row.id for row in theirs}
    await ask(bureau, "delete", {"email": email}, given=given)
    assert str(BUSY) not in dump(bureau.database)


async def test_an_erasure_holds_nobody_up_for_more_than_a_few_sessions(bureau: Bureau) -> None:
    stocked = seed(bureau, is_bare=False)
    theirs = [row for row in bureau.desk.all(CancelSession) if row.customer_id == f"cus_{BUSY}"]
    assert len(theirs) == service.BITE
    now, ports = bureau.desk.clock.now(), bureau.ports()
    url = bureau.database.url.render_as_string(hide_password=False)
    more = seed_rows.whole(
        stocked,
        start=now - timedelta(days=9),
        end=now,
        count=12,
        prefix="more",
        who=lambda chance, number: BUSY,
    )
    seed_sessions.insert_whole(url, more)
    erasure, _ = bureau.database.write_sync(
        service._begin,
        ports,
        organization_id=bureau.organization_id,
        email=theirs[0].email_key or "",
        requested_by="cli",
        now=now,
    )
    erased = []
    while (has_more := bureau.database.write_sync(service._bite, ports.vault, erasure.id, now)) is not None:
        assert has_more
        proof = bureau.database.read_sync(
            service.get, organization_id=bureau.organization_id, erasure_id=erasure.id
        )
        erased.append(proof.counts["sessions"] - sum(erased))
    assert [number for number in erased if number] == [5, 5, 5, 2]


async def test_the_old_ones_are_as_bare_as_retention_leaves_them(bureau: Bureau) -> None:
    stocked = seed(bureau, is_bare=False)
    while await retention.sweep(bureau.database, bureau.desk.clock):
        pass
    swept = everything(bureau.database)
    expected = {table: dict[str, Any]() for table in seed_rows.TABLES}
    for rows in sessions(replace(stocked, retention=seed_rows.RETENTION)):
        for table, some in rows.items():
            for row in some:
                expected[table][row.get("id") or row["session_id"]] = _told(row)
    assert any(not row["customer_id"] for row in expected["cancel_sessions"].values())
    assert any(row["customer_id"] for row in expected["cancel_sessions"].values())
    for table, rows in expected.items():
        assert swept[table].keys() == rows.keys(), table
        for id, row in rows.items():
            assert {name: swept[table][id][name] for name in row} == row, (table, id)


def everything(database: Database) -> dict[str, dict[str, dict[str, Any]]]:
    """Every row of the tables that are seeded, by id."""
    return database.read_sync(_everything)


def _everything(db: Session) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table in seed_rows.TABLES:
        rows = [dict(row._mapping) for row in db.connection().execute(metadata.tables[table].select())]
        found[table] = {row.get("id") or row["session_id"]: _told(row) for row in rows}
    return found


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """As it is compared: JSON and moments as text, and not when it was swept."""
    return {
        name: json.dumps(_without(value), sort_keys=True) if isinstance(value, dict | list) else value
        for name, value in row.items()
        if name not in SWEPT
    }


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name not in SWEPT}
    return value
