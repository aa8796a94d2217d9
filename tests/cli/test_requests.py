"""Requests that a person has to carry out, from a terminal."""

import pytest

from app.adapters.signing import Signer
from app.core.summary import reference_of
from app.db.database import Database
from app.db.tables.manual import CancellationRequest
from app.manual import service
from tests.cli.conftest import Run
from tests.cli.test_sessions import keep
from tests.support.apps import SECRET
from tests.support.clock import START, FakeClock

ADA, BEN = "ada@example.com", "ben@example.com"


@pytest.fixture
def left(run: Run, app_id: str, database: Database, clock: FakeClock) -> list[CancellationRequest]:
    """Two requests, Ada's before Ben's."""

    def leave(address: str, note: str) -> CancellationRequest:
        clock.advance(minutes=1)
        return database.write_sync(
            service.request,
            Signer([SECRET]),
            app_id=app_id,
            address=address,
            note=note,
            ip="192.0.2.1",
            now=clock.now(),
            locale="en",
        )

    return [leave(ADA, "Please.\nThank you."), leave(BEN, "")]


def test_what_is_open_is_listed_until_it_is_closed(
    run: Run, app_id: str, left: list[CancellationRequest]
) -> None:
    ada, ben = left
    first, second = run("requests", "list", app_id).out.splitlines()[1:]
    assert first.split()[:3] == [ben.id, reference_of(ben.id), BEN]
    assert second.split()[:3] == [ada.id, reference_of(ada.id), ADA]
    assert run("requests", "close", app_id, ada.id).code == 0
    assert run("requests", "close", app_id, reference_of(ben.id).lower()).code == 0
    assert run("requests", "list", app_id).err == "There are no open requests.\n"
    both = run("requests", "list", app_id, "--all").out.splitlines()[1:]
    assert all("closed" in line for line in both)
    assert run("requests", "close", app_id, ada.id).code == 0


def test_one_is_shown_with_its_note(run: Run, app_id: str, left: list[CancellationRequest]) -> None:
    shown = run("requests", "show", app_id, left[0].id).out
    assert f"{ADA} (nobody has proven it)" in shown
    assert "Nobody has proven the address." in shown
    assert "  Please.\n  Thank you." in shown


def test_a_long_list_of_requests_goes_on_where_it_ended(
    run: Run, app_id: str, left: list[CancellationRequest]
) -> None:
    first = run("requests", "list", app_id, "--limit", "1")
    assert first.err.split()[-1] == left[1].id
    rest = run("requests", "list", app_id, "--before", left[1].id)
    assert [line.split()[0] for line in rest.out.splitlines()[1:]] == [left[0].id]


def test_one_out_of_a_session_is_found_by_what_its_customer_quotes(
    run: Run, app_id: str, database: Database
) -> None:
    session_id = database.write_sync(keep, app_id, START)
    database.write_sync(
        service.record,
        app_id=app_id,
        session_id=session_id,
        customer_id="cus_1",
        subscription_id="sub_1",
        reasons=["unpaid"],
        now=START,
    )
    shown = run("requests", "show", app_id, reference_of(session_id)).out
    assert "cus_1" in shown
    assert "The subscription is unpaid" in shown
    assert "For a person to carry out" in run("sessions", "show", session_id).out


def test_requests_that_there_are_not_are_said_to_be_none(
    run: Run, app_id: str, left: list[CancellationRequest]
) -> None:
    other = next(word for word in run("orgs", "create", "Bob").out.split() if word.startswith("app_test_"))
    assert run("requests", "list", other).err == "There are no open requests.\n"
    for name in (left[0].id, reference_of(left[0].id), "req_", "req_%", "LW-0000", "\x00", ""):
        for command in ("show", "close"):
            refused = run("requests", command, other, name)
            assert (refused.code, len(refused.errors)) == (1, 1)
            assert refused.errors[0].startswith("There is no request")
    assert run("requests", "list", "app_none").errors[0].startswith("There is no environment")
