"""`/v1/data/dsr`: told and erased at the wish of whoever holds a key with that scope, and of nobody else."""

import json
from typing import Any

import httpx
import pytest

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.accounts.service import Scope
from app.core.direct import parse_customer
from app.core.email_address import address_key
from app.db.tables.privacy import Erasure
from app.privacy import service
from tests.privacy.conftest import BEN, Bureau, dump
from tests.support.pages import Visitor

pytestmark = pytest.mark.anyio

WORDS = "zanzibar-quagga"


def headers(bureau: Bureau, *scopes: Scope, app_id: str | None = None, mode: str = "test") -> dict[str, str]:
    environments = bureau.database.read_sync(accounts_queries.list_environments, bureau.organization_id)
    own = next(one.app_id for one in environments if one.mode == mode)
    key = bureau.database.write_sync(
        accounts.create_data_key,
        bureau.desk.ports.vault,
        app_id=own,
        scopes=scopes or (Scope.DSR,),
        now=bureau.desk.clock.now(),
    )
    return {"x-ck-app": app_id or own, "x-ck-api-key": key.secret}


async def ask(
    bureau: Bureau, path: str, body: Any, status: int = 200, given: dict[str, str] | None = None
) -> httpx.Response:
    answer = await bureau.desk.visitor.client.post(
        f"/v1/data/dsr/{path}", json=body, headers=given if given is not None else headers(bureau)
    )
    assert answer.status_code == status, answer.text
    return answer


async def leave(bureau: Bureau, customer: str = "cus_ben", words: str = WORDS) -> None:
    async with bureau.desk.browser() as client:
        await bureau.walk_and_cancel(Visitor(client), customer, words)
    await bureau.work()


async def test_access_tells_all_that_is_kept_and_no_secret(bureau: Bureau) -> None:
    bureau.listen()
    await leave(bureau)
    await bureau.request(bureau.desk.visitor, BEN, WORDS)
    await leave(bureau, "cus_chen", "ptarmigan-oboe")
    told = (await ask(bureau, "access", {"email": "BEN@example.com"})).json()["data"]
    (session,) = told["sessions"]
    assert session["customerId"] == "cus_ben"
    assert session["snapshot"]["customer"]["email"] == BEN
    assert {
        "state",
        "record",
        "events",
        "deliveries",
        "receipts",
        "mails",
        "changes",
        "offers",
    } <= session.keys()
    assert session["record"]["feedback"] == f"{WORDS} as feedback"
    assert session["receipts"][0]["content"]["customerId"] == "cus_ben"
    assert session["deliveries"][0]["attempts"][0]["responseBody"]
    (request,) = told["requests"]
    assert (request["address"], request["note"]) == (BEN, WORDS)
    assert [link["customerId"] for link in told["links"]] == ["cus_ben"]
    assert [mail["kind"] for mail in told["mails"]]
    everything = json.dumps(told)
    assert "ptarmigan-oboe" not in everything
    for secret in ("sha256", "Sha256", "Encrypted", "codeMac"):
        assert secret not in everything


async def test_what_access_told_of_is_what_delete_erases(bureau: Bureau) -> None:
    await leave(bureau)
    done = await ask(bureau, "delete", {"email": BEN})
    proof = done.json()["data"]
    assert (proof["status"], proof["counts"]["sessions"]) == ("done", 1)
    assert BEN not in done.text
    assert WORDS not in dump(bureau.database)
    told = (await ask(bureau, "access", {"email": BEN})).json()["data"]
    assert told == {
        "email": BEN,
        **{name: [] for name in ("sessions", "links", "requests", "verifications", "mails", "records")},
    }


@pytest.mark.parametrize(
    "email", ["taro..yamada@docomo.example", "ops@localhost", f"{'a' * 250}@b_c.example"]
)
async def test_whoever_billing_can_know_somebody_by_can_be_told_and_erased(
    bureau: Bureau, email: str
) -> None:
    """Some addresses are no mailbox's, and stored all the same."""
    customer = parse_customer({"id": "cus_odd", "email": email})
    bureau.desk.merchant.mint("cus_odd", direct_customer=customer.to_wire(), email_key=address_key(email))
    told = (await ask(bureau, "access", {"email": email})).json()["data"]
    assert [link["customerId"] for link in told["links"]] == ["cus_odd"]
    proof = (await ask(bureau, "delete", {"email": email})).json()["data"]
    assert (proof["status"], proof["counts"]) == ("done", {"links": 1})
    assert "cus_odd" not in dump(bureau.database)


async def test_the_proof_can_be_read_again_by_its_organization(bureau: Bureau) -> None:
    given = headers(bureau)
    proof = (await ask(bureau, "delete", {"email": BEN}, given=given)).json()["data"]
    read = bureau.desk.visitor.client.get
    again = await read(f"/v1/data/dsr/delete/{proof['id']}", headers=given)
    assert (again.status_code, again.json()["data"]) == (200, proof)
    for unknown in ("ers_000", "%00"):
        assert (await read(f"/v1/data/dsr/delete/{unknown}", headers=given)).status_code == 404


async def test_what_takes_longer_is_left_to_the_worker(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(bureau)
    monkeypatch.setattr(service, "PATIENCE_S", 0.0)
    begun = await ask(bureau, "delete", {"email": BEN}, status=202)
    assert begun.headers["retry-after"] == "5"
    assert begun.json()["data"]["status"] == "running"
    await bureau.work()
    (erasure,) = bureau.desk.all(Erasure)
    assert erasure.finished_at is not None
    assert WORDS not in dump(bureau.database)


async def test_both_modes_are_meant_whichever_key_asks(bureau: Bureau) -> None:
    await leave(bureau)  # in the test environment
    given = headers(bureau, mode="live")
    assert len((await ask(bureau, "access", {"email": BEN}, given=given)).json()["data"]["sessions"]) == 1
    await ask(bureau, "delete", {"email": BEN}, given=given)
    assert WORDS not in dump(bureau.database)


async def test_a_key_without_the_scope_may_neither_look_nor_erase(bureau: Bureau) -> None:
    await leave(bureau)
    given = headers(bureau, Scope.SESSIONS, Scope.SESSIONS_PII)
    for path in ("access", "delete"):
        refused = await ask(bureau, path, {"email": BEN}, status=403, given=given)
        assert "dsr" in refused.json()["message"]
    assert WORDS in dump(bureau.database)


async def test_a_flow_key_and_a_stranger_are_refused(bureau: Bureau) -> None:
    merchant = bureau.desk.merchant
    for given in (
        {"x-ck-app": merchant.app_id, "x-ck-api-key": merchant.api_key},
        {"x-ck-app": merchant.app_id, "x-ck-api-key": "test_data_no"},
        {},
    ):
        for path in ("access", "delete"):
            await ask(bureau, path, {"email": BEN}, status=401, given=given)
            await ask(
                bureau, path, {"nonsense": 1}, status=401, given=given
            )  # and learns nothing of the body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "ben"}, "email"),
        ({"email": None}, "email"),
        ({"email": "a@b.example" * 40}, "email"),
        ({"email": "b\u0000en@example.com"}, "email"),
        ({"email": BEN, "mode": "live"}, "mode"),
    ],
)
async def test_a_wrong_body_is_refused_by_name(bureau: Bureau, body: Any, field: str) -> None:
    for path in ("access", "delete"):
        refused = await ask(bureau, path, body, status=422)
        assert [error["field"] for error in refused.json()["errors"]] == [field]
        assert refused.json()["message"].startswith(f"{field}: ")
        assert BEN not in refused.text
    assert bureau.desk.all(Erasure) == []


async def test_usage_counts_it(bureau: Bureau) -> None:
    given = headers(bureau, Scope.DSR, Scope.USAGE)
    await ask(bureau, "access", {"email": BEN}, given=given)
    told = (await bureau.desk.visitor.client.get("/v1/data/api-usage", headers=given)).json()["data"]
    assert "dsr/access" in [row["endpoint"] for row in told]
