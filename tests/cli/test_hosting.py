"""The public entry and its mail, set up from a terminal."""

import re
from datetime import datetime

import pytest

from app.accounts import service as accounts
from app.adapters.standard_webhooks import new_secret
from app.db.database import Database
from app.db.tables.accounts import Environment
from tests.cli.conftest import Run

SMTP = {"SMTP_URL": "smtp://user:p4ssword@mail.example.com?from=post@example.com"}
LOOKUP = "lookup_url=https://acme.example/lookup"


def environment(database: Database, app_id: str) -> Environment:
    return database.read_sync(accounts.get_environment, app_id)


def connect(run: Run, app_id: str, *more: str) -> None:
    fields = ("action_url=https://acme.example/actions", f"action_secret={new_secret()}", *more)
    assert run("setup", "provider", app_id, "direct", *fields).code == 0


def facts(run: Run, app_id: str, **env: str) -> dict[str, str]:
    """What `setup show` says, by name."""
    lines = run("setup", "show", app_id, **env).out.partition("\n\n")[0].splitlines()
    return dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines)


def test_what_is_set_is_shown_with_the_address_of_the_entry(run: Run, app_id: str) -> None:
    connect(run, app_id, LOOKUP)
    for command in (
        ["hosted", app_id, "--link-life", "3d", "--code-life", "15"],
        ["sender", app_id, "--name", "Acme Accounts", "--address", "leave@acme.example"],
        ["subject", app_id, "receipt", "{brand}: {reference}"],
        ["pause-reminder", app_id, "7"],
        ["time-zone", app_id, "Europe/Berlin"],
    ):
        assert run("setup", *command).code == 0, command
    shown = facts(run, app_id, **SMTP, LEAVEWELL_BASE_URL="https://leave.acme.example")
    assert "p4ssword" not in str(shown)
    expected = {
        "public entry": f"https://leave.acme.example/cancel/{app_id}",
        "by email": "on",
        "codes live": "15 min",
        "links live": "72 h, those made by hand",
        "mail server": "mail.example.com:587",
        "sender": "Acme Accounts <leave@acme.example>",
        "subject receipt": "{brand}: {reference}",
        "pause reminder": "7 days before a pause ends",
        "time zone": "Europe/Berlin",
    }
    assert {name: shown[name] for name in expected} == expected


def test_what_was_set_can_be_taken_back(run: Run, app_id: str, database: Database) -> None:
    before = environment(database, app_id)
    for command in (
        ["hosted", app_id, "--off"],
        ["sender", app_id, "--name", "A", "--address", "a@acme.example"],
        ["subject", app_id, "code", "Hello"],
        ["time-zone", app_id, "UTC"],
        ["pause-reminder", app_id, "0"],
    ):
        run("setup", *command)
    assert environment(database, app_id).sender_name == "A"
    run("setup", "sender", app_id, "--name", "")
    assert (environment(database, app_id).sender_name, environment(database, app_id).sender_address) == (
        None,
        "a@acme.example",
    )
    for command in (
        ["hosted", app_id, "--on"],
        ["sender", app_id, "--off"],
        ["subject", app_id, "code", "--default"],
        ["time-zone", app_id, "--off"],
        ["pause-reminder", app_id, "3"],
    ):
        assert run("setup", *command).code == 0, command
    assert environment(database, app_id) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["hosted", "{app}", "--link-life", "soon"], "link_life: Must be a number with m, h or d"),
        (["hosted", "{app}", "--link-life", "59m"], "link_life: Must be from 1h to 7d"),
        (["hosted", "{app}", "--link-life", "8d"], "link_life: Must be from 1h to 7d"),
        (["hosted", "{app}", "--on", "--code-life", "4"], "code_life: Must be from 5 to 15 minutes"),
        (["hosted", "{app}", "--code-life", "-99999999999999999999"], "code_life: Must be from 5 to 15"),
        (["hosted", "{app}", "--code-life", "99999999999999999999"], "code_life: Must be from 5 to 15"),
        (["sender", "{app}", "--address", "help"], "address: Must be an email address"),
        (["sender", "{app}", "--address", "a@b.example\r\nBcc: c@d.example"], "address: Must be an email"),
        (["sender", "{app}", "--name", "Acme\nBcc: c@d.example"], "name: Must be 1 to 100 printable"),
        (["sender", "{app}", "--name", "A\u202eB"], "name: Must be 1 to 100 printable"),
        (["sender", "{app}", "--name", " "], "name: Must be 1 to 100 printable"),
        (["sender", "{app}", "--name", "x" * 101], "name: Must be 1 to 100 printable"),
        (["subject", "{app}", "newsletter", "Hi"], "kind: Must be one of code, not_found, receipt"),
        (["subject", "{app}", "newsletter", "--default"], "kind: Must be one of code, not_found, receipt"),
        (["subject", "{app}", "code", "Your {plan}"], "text: Braces are for {brand}."),
        (["subject", "{app}", "code", "Your {brand.__class__}"], "text: Braces are for {brand}."),
        (["subject", "{app}", "code", "x" * 151], "text: Must be at most 150 characters."),
        (["subject", "{app}", "code", "a\nBcc: b"], "text: Must be one line"),
        (["subject", "{app}", "code", ""], "text: Must not be empty."),
        (["pause-reminder", "{app}", "15"], "days: Must be from 0 to 14 days"),
        (["time-zone", "{app}", "Mars/Olympus"], "time_zone: Must be an IANA time zone"),
        (["time-zone", "{app}", "../../etc/passwd"], "time_zone: Must be an IANA time zone"),
        (["time-zone", "{app}", ""], "time_zone: Must be an IANA time zone"),
        (["hosted", "app_none", "--on"], "There is no environment with this App ID."),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_changed(
    run: Run, app_id: str, database: Database, arguments: list[str], error: str
) -> None:
    before = environment(database, app_id)
    refused = run("setup", *(argument.replace("{app}", app_id) for argument in arguments))
    assert refused.code == 1
    assert any(line.startswith(error) for line in refused.errors), refused.err
    assert environment(database, app_id) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["hosted", "{app}"],
        ["hosted", "{app}", "--code-life", "ten"],
        ["sender", "{app}"],
        ["sender", "{app}", "--name", "A", "--off"],
        ["subject", "{app}", "code"],
        ["subject", "{app}", "code", "Hi", "--default"],
        ["pause-reminder", "{app}", "never"],
        ["time-zone", "{app}"],
        ["time-zone", "{app}", "UTC", "--off"],
    ],
)
def test_a_command_that_is_wrong_ends_with_2(run: Run, app_id: str, arguments: list[str]) -> None:
    assert run("setup", *(argument.replace("{app}", app_id) for argument in arguments)).code == 2


def test_what_keeps_customers_from_proving_an_address_is_said_with_its_remedy(run: Run, app_id: str) -> None:
    def todo(**env: str) -> str:
        return run("setup", "show", app_id, **env).out.partition("Still to do:")[2]

    connect(run, app_id)
    assert "Set SMTP_URL." in todo()
    assert "lookup_url=" in todo()
    assert facts(run, app_id)["by email"] == "not possible yet: it takes requests"
    assert "Set SMTP_URL." not in todo(**SMTP)
    assert f"leavewell setup contact {app_id} --email" in todo(**SMTP)
    assert facts(run, app_id, **SMTP)["by email"] == "not possible yet: it takes requests"
    connect(run, app_id, LOOKUP)
    assert "lookup_url=" not in todo(**SMTP)
    assert facts(run, app_id, **SMTP)["by email"] == "on"
    run("setup", "hosted", app_id, "--off")
    assert facts(run, app_id, **SMTP)["by email"].startswith("off")


def test_without_a_sender_of_its_own_the_installation_and_the_organization_stand_there(
    run: Run, app_id: str
) -> None:
    assert facts(run, app_id, **SMTP)["sender"] == "Acme <post@example.com>"
    assert facts(run, app_id)["sender"] == "Acme <no address yet>"


def test_links_made_by_hand_live_as_long_as_was_set(run: Run, app_id: str) -> None:
    run("keys", "create", app_id)

    def life() -> float:
        run("links", "create", app_id, "cus_1")
        newest = run("links", "list", app_id, "--limit", "1").out.splitlines()[1].split()
        made, expires = (f"{newest[at]}T{newest[at + 1]}" for at in (3, 6))
        return (datetime.fromisoformat(expires) - datetime.fromisoformat(made)).total_seconds()

    assert life() == pytest.approx(24 * 3600, abs=1)
    run("setup", "hosted", app_id, "--link-life", "90m")
    assert life() == pytest.approx(90 * 60, abs=1)
    assert "90 min" in run("setup", "show", app_id).out


def test_the_help_on_subjects_says_which_words_each_kind_knows(run: Run) -> None:
    said = " ".join(run("setup", "subject", "--help").out.split())
    assert "receipt {brand} {day} {plan} {reference}" in said
