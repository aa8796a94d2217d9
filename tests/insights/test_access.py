"""Who may ask: data keys alone, within their scopes, in the environment that the key belongs to."""

from dataclasses import replace
from itertools import product

import pytest

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.accounts.service import Scope
from app.adapters.vault import Vault
from app.db.database import Database
from tests.insights.conftest import EVERYTHING, Reports, new_key
from tests.support.backend import Backends, provisioned, serving
from tests.support.clock import FakeClock

PATHS = ("sessions", "session-aggregation", "api-usage")


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_that_mints_links_reads_nothing(reports: Reports, path: str) -> None:
    mints = {"x-ck-api-key": reports.backend.api_key}
    answer = await reports.ask(path, status=401, headers=mints)
    assert "give a data key (data_…, test_data_…)" in answer.json()["message"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_data_key_mints_no_links(reports: Reports) -> None:
    minting = replace(reports.backend, api_key=reports.key.secret)
    refused = await minting.mint()
    assert refused.status_code == 401
    assert "give a key that mints links" in refused.json()["message"]
    assert (await minting.get()).status_code == 401


async def test_the_key_decides_between_live_and_test(reports: Reports, backends: Backends) -> None:
    """Existing clients have one App ID, and put another key in."""
    testing = Reports(backends.test, new_key(backends.test, *EVERYTHING))
    assert reports.key.secret.startswith("data_")
    assert testing.key.secret.startswith("test_data_")
    reports.add(3)
    testing.add(2)
    live_app = {"x-ck-app": backends.live.app_id}
    for headers in ({}, live_app):
        found = await testing.ask("sessions", [("bounced", "true"), ("bounced", "false")], headers=headers)
        assert {one["mode"] for one in found.json()["data"]} == {"TEST"}
        assert len(found.json()["data"]) == 2


async def test_who_takes_the_key_to_be_of_the_other_mode_is_told_so(reports: Reports) -> None:
    for said in ("live", "LIVE"):
        await reports.ask("sessions", headers={"x-ck-mode": said})
    for path, said in product(("sessions", "session-aggregation", "api-usage"), ("test", "SANDBOX")):
        answer = await reports.ask(path, status=422, headers={"x-ck-mode": said})
        assert answer.json()["message"].startswith("x-ck-mode: This key reads live data.")


async def test_another_organization_is_not_let_in(reports: Reports, clock: FakeClock) -> None:
    other = provisioned(reports.backend.database, reports.backend.settings, clock, name="Elsewhere")
    app_id, _ = other["live"]
    await reports.ask("sessions", status=401, headers={"x-ck-app": app_id})
    theirs = reports.backend.database.write_sync(
        accounts.create_data_key,
        Vault(reports.backend.settings.secrets),
        app_id=app_id,
        scopes=EVERYTHING,
        now=clock.now(),
    )
    reports.add(5)
    stranger = Reports(replace(reports.backend, app_id=app_id), theirs)
    assert await stranger.sessions() == []
    assert (await stranger.counts())[0]["count"] == 0
    own = await reports.ids(("limit", "1"))
    await stranger.ask("sessions", [("cursor", own[0])], status=422)


async def test_a_revoked_key_is_let_in_no_more(reports: Reports) -> None:
    await reports.ask("sessions")
    reports.backend.database.write_sync(
        accounts.revoke_key,
        app_id=reports.backend.app_id,
        key_id=reports.key.id,
        now=reports.backend.clock.now(),
    )
    await reports.ask("sessions", status=401)


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("sessions", Scope.SESSIONS),
        ("session-aggregation", Scope.SESSIONS),
        ("api-usage", Scope.USAGE),
    ],
)
async def test_each_address_needs_its_scope(reports: Reports, path: str, needed: Scope) -> None:
    rest = [scope for scope in Scope if scope != needed]
    answer = await reports.with_key(*rest).ask(path, status=403)
    assert answer.json()["code"] == "scope_missing"
    assert needed in answer.json()["message"]
    await reports.with_key(needed).ask(path)


async def test_without_the_scope_for_personal_data_nobody_is_found_by_address(stocked: Reports) -> None:
    blind = stocked.with_key(Scope.SESSIONS)
    asked = [("customerEmail", stocked.rows[0]["customer_email"])]
    for path in ("sessions", "session-aggregation"):
        answer = await blind.ask(path, asked, status=403)
        assert Scope.SESSIONS_PII in answer.json()["message"]


async def test_a_data_key_signs_nothing(reports: Reports) -> None:
    """The oldest active key signs towards the merchant; a data key is no such key, however old."""
    at = reports.backend
    mints = at.database.read_sync(accounts_queries.list_keys, at.app_id)
    at.database.write_sync(accounts.revoke_key, app_id=at.app_id, key_id=mints[0].id, now=at.clock.now())
    with pytest.raises(accounts.NoActiveKey):
        at.database.read_sync(
            accounts.signing_key, Vault(at.settings.secrets), app_id=at.app_id, minted_with=None
        )


async def test_who_asks_too_often_has_to_wait(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock, api_rate=3) as found:
        reports = Reports(found.live, new_key(found.live, *EVERYTHING))
        for _ in range(3):
            await reports.ask("session-aggregation")
        answer = await reports.ask("sessions", status=429)
        assert int(answer.headers["retry-after"]) > 0
        assert (await found.live.mint()).status_code == 201  # links are counted apart
        clock.advance(minutes=1)
        await reports.ask("sessions")


async def test_a_stranger_does_not_learn_which_parameters_there_are(reports: Reports) -> None:
    answer = await reports.ask(
        "sessions", [("nonsense", "1")], status=401, headers={"x-ck-api-key": "data_x"}
    )
    assert answer.json()["errors"] == []
