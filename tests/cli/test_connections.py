"""Connections to billing systems, from a terminal."""

from collections.abc import Iterator

import pytest

from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import Vault
from app.connections import health
from app.core.billing import Account, ProviderUnavailable
from app.db.database import Database
from tests.cli.conftest import Run
from tests.support import office as offices
from tests.support.apps import SECRET
from tests.support.clock import START
from tests.support.office import HOOK_SECRET, KEY, OTHER_KEY, Office

FIELDS = ("office=main", f"api_key={KEY}")


@pytest.fixture
def office() -> Iterator[Office]:
    with offices.opened() as opened:
        yield opened


def refuse(database: Database, app_id: str) -> None:
    failure = health.Failure("The office does not know the key.", refuses_credentials=True)
    database.write_sync(
        health.note_failure, Vault([SECRET]), app_id=app_id, failure=failure, claim=None, now=START
    )


def test_connecting_says_who_answers_and_where_webhooks_go(run: Run, app_id: str, office: Office) -> None:
    done = run("setup", "provider", app_id, "office", *FIELDS)
    assert done.code == 0
    assert done.out == "Acme (acct_1), test\n"
    assert f"http://127.0.0.1:8000/hooks/office/{app_id}" in done.err
    assert "its webhooks cannot be checked" in done.err
    done = run("setup", "provider", app_id, "office", f"hook_secret={HOOK_SECRET}")
    assert "cannot be checked" not in done.err
    assert KEY not in done.out + done.err


def test_what_is_wrong_is_said_and_not_saved(run: Run, app_id: str, office: Office) -> None:
    office.accounts[KEY] = Account("acct_1", mode="live")
    refused = run("setup", "provider", app_id, "office", *FIELDS)
    assert refused.code == 1
    assert refused.errors[0].startswith("api_key: These are live credentials")
    assert "Billing is not connected" in run("setup", "show", app_id).out
    assert run("setup", "provider", app_id, "office", *FIELDS, "--no-check").code == 0
    assert "Billing is not connected" not in run("setup", "show", app_id).out


def test_another_account_is_taken_only_if_that_is_said(run: Run, app_id: str, office: Office) -> None:
    assert run("setup", "provider", app_id, "office", *FIELDS).code == 0
    changed = ("setup", "provider", app_id, "office", f"api_key={OTHER_KEY}")
    assert "--other-account" in run(*changed).errors[0]
    assert run(*changed, "--other-account").out == "Other (acct_2)\n"


def test_trouble_is_shown_until_a_check_goes_well(
    run: Run, app_id: str, office: Office, database: Database
) -> None:
    run("setup", "provider", app_id, "office", *FIELDS)
    assert "good" in run("connections", "show", app_id).out
    refuse(database, app_id)
    for shown in (run("setup", "show", app_id).out, run("connections", "show", app_id).out):
        assert "it does not accept the credentials" in shown
        assert "The office does not know the key." in shown
    assert "it does not accept the credentials" in run("connections", "list").out
    office.fail(ProviderUnavailable("The office answered 503."))
    failed = run("connections", "check", app_id)
    assert (failed.code, failed.errors) == (1, ["The office answered 503. Try again later."])
    assert run("connections", "check", app_id).out == "Acme (acct_1), test\n"
    assert "it does not accept" not in run("setup", "show", app_id).out


def test_everything_about_one_is_shown_but_its_secrets(run: Run, app_id: str, office: Office) -> None:
    run("setup", "provider", app_id, "office", *FIELDS, f"hook_secret={HOOK_SECRET}")
    shown = run("connections", "show", app_id).out
    for words in (
        "Acme (acct_1), test",
        f"/hooks/office/{app_id}",
        "cancel_at_period_end",
        f"{app_id} (test)",
    ):
        assert words in shown
    assert KEY not in shown
    assert HOOK_SECRET not in shown


def test_one_that_is_not_made_yet_says_so(run: Run, app_id: str) -> None:
    assert "not connected yet" in run("connections", "show", app_id).out
    assert run("connections", "check", app_id).errors[0].startswith("Billing is not connected")
    assert run("connections", "list").err.strip() == "No billing is connected."
    assert run("connections", "show", "app_none").code == 1


def test_your_own_billing_is_not_asked(run: Run, app_id: str) -> None:
    own = ("action_url=https://acme.example/a", f"action_secret={new_secret()}")
    done = run("setup", "provider", app_id, "direct", *own)
    assert (done.code, done.out) == (0, "")
    assert "hooks" not in done.err
    checked = run("connections", "check", app_id)
    assert (checked.code, "asked nothing" in checked.err) == (0, True)


def test_the_list_goes_on_where_it_ended(run: Run, office: Office) -> None:
    made = []
    for name in ("One", "Two", "Three"):
        run("orgs", "create", name)
        shown = run("orgs", "show", name.lower()).out.split()
        made.append(next(word for word in shown if word.startswith("app_test_")))
        run("setup", "provider", made[-1], "office", *FIELDS)
    first = run("connections", "list", "--limit", "2")
    assert [line.split()[0] for line in first.out.splitlines()[1:]] == sorted(made)[:2]
    after = first.err.split("--after ")[1].strip()
    second = run("connections", "list", "--limit", "2", "--after", after)
    assert [line.split()[0] for line in second.out.splitlines()[1:]] == sorted(made)[2:]
    assert "More" not in second.err


def test_a_secret_whose_name_was_forgotten_is_not_quoted(run: Run, app_id: str, office: Office) -> None:
    ran = run("setup", "provider", app_id, "office", "office=main", KEY)
    assert (ran.code, KEY in ran.err) == (2, False)
    assert "Number 2 of the fields is not of the form name=value." in ran.err
