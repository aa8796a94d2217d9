"""The command line forgets people, proves it, and sets how long data is kept and where Slack is told."""

import json

from sqlmodel import Session, select

from app.adapters.vault import Vault
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.privacy import erasing
from app.privacy.erasing import Measure
from tests.cli.conftest import Run
from tests.support.apps import OLD_SECRET, SECRET


def test_access_prints_json_of_what_is_known(run: Run, app_id: str) -> None:
    done = run("privacy", "access", "acme", "Nobody@Example.com")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["email"] == "nobody@example.com"
    assert {"sessions", "links", "requests", "verifications", "mails", "records"} <= told.keys()


def test_an_erasure_asks_first_and_is_proven(run: Run, app_id: str) -> None:
    asked = run("privacy", "delete", "acme", "ada@example.com", input="n\n")
    assert asked.code != 0
    assert run("privacy", "proof", "acme", "ada@example.com").errors == [
        "Nothing was ever erased for this address."
    ]
    done = run("privacy", "delete", "acme", "ada@example.com", "--yes")
    assert done.code == 0, done.err
    assert "ada@example.com" not in done.out
    proof = run("privacy", "proof", "acme", "ADA@example.com")
    assert proof.out == done.out
    assert "status        done" in proof.out


def test_what_is_no_address_and_no_organization_is_said(run: Run, app_id: str) -> None:
    assert run("privacy", "delete", "acme", "ada", "--yes").errors == ["email: Must be an email address."]
    assert "There is no organization nobody" in run("privacy", "access", "nobody", "a@example.com").err


def test_how_long_data_is_kept_is_set_and_shown(run: Run, app_id: str) -> None:
    assert "kept for 400 days" in run("setup", "show", app_id).out
    assert run("setup", "retention", app_id, "90").code == 0
    assert "kept for 90 days" in run("setup", "show", app_id).out
    assert run("setup", "retention", app_id, "0").code == 0
    assert "kept for ever" in run("setup", "show", app_id).out
    for wrong in ("-1", "6", "3651"):
        assert run("setup", "retention", app_id, "--", wrong).errors == [
            "days: Must be from 7 to 3650 days, or 0, which forgets nothing."
        ]


def test_what_is_erased_is_listed_as_such(run: Run, app_id: str, database: Database) -> None:
    assert run("keys", "create", app_id).code == 0
    for customer in ("cus_1", "cus_2"):
        assert run("links", "create", app_id, customer).code == 0
    assert {"cus_1", "cus_2"} <= {*run("links", "list", app_id).out.split()}
    database.write_sync(forget_links_of, "cus_1")
    listed = run("links", "list", app_id).out.split()
    assert "cus_1" not in listed
    assert {"(erased)", "cus_2"} <= {*listed}


def forget_links_of(db: Session, customer_id: str) -> None:
    for link in db.exec(select(CancelLink).where(CancelLink.customer_id == customer_id)).all():
        erasing.erase_link(db, link, Measure(link.created_at))


def test_slacks_url_is_kept_sealed_and_shown_nowhere(run: Run, app_id: str, database: Database) -> None:
    url = "https://hooks.slack.com/services/T000/B000/not-a-real-one"
    set_ = run("setup", "slack", app_id, "-", input=f"{url}\n")
    assert set_.code == 0, set_.err
    shown = run("setup", "show", app_id)
    assert "is told of each session" in shown.out
    assert "not-a-real-one" not in set_.out + set_.err + shown.out
    assert run("secret", "reseal", LEAVEWELL_SECRET=f"{OLD_SECRET} {SECRET}").code == 0
    sealed = database.read_sync(lambda db: db.get_one(Environment, app_id).slack_url_encrypted)
    assert sealed is not None
    assert Vault([OLD_SECRET]).open(sealed) == url
    assert run("setup", "slack", app_id, "off").code == 0
    assert "is told of each session" not in run("setup", "show", app_id).out
    assert run("slack", "test", app_id).errors == [f"No URL is set: leavewell setup slack {app_id} URL"]


def test_another_url_than_slacks_is_refused(run: Run, app_id: str) -> None:
    (error,) = run("setup", "slack", app_id, "https://example.com/hook").errors
    assert error.startswith("url: Must be an incoming webhook of Slack")
