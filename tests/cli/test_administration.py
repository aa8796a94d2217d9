"""Organizations, keys, settings and links from a terminal."""

from pathlib import Path

import pytest

from app.accounts import service as accounts
from app.adapters.signing import Signer
from app.adapters.standard_webhooks import new_secret
from app.db.database import Database
from app.db.tables.accounts import Environment
from tests.cli.conftest import Run, runner
from tests.support import server
from tests.support.apps import SECRET


def environment(database: Database, app_id: str) -> Environment:
    return database.read_sync(accounts.get_environment, app_id)


def test_an_organization_is_made_shown_and_listed(run: Run) -> None:
    made = run("orgs", "create", "Northwind Notes, Inc.")
    assert (made.code, made.err) == (0, "")
    assert "slug          northwind-notes-inc" in made.out
    assert "live App ID   app_" in made.out
    assert "test App ID   app_test_" in made.out
    assert "northwind-notes-inc  Northwind Notes, Inc." in run("orgs", "list").out
    assert run("orgs", "show", "northwind-notes-inc").out in made.out


def test_an_organization_is_made_once(run: Run, app_id: str) -> None:
    again = run("orgs", "create", "Acme")
    assert (again.code, again.errors) == (1, ["There is an organization of this name already."])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["  "], "name"),
        (["a\nb"], "name"),
        (["x" * 101], "name"),
        (["A", "--slug", "No Slug"], "slug"),
        (["🎉"], "slug"),
    ],
)
def test_a_name_that_is_none_is_refused(run: Run, arguments: list[str], field: str) -> None:
    refused = run("orgs", "create", *arguments)
    assert refused.code == 1
    assert refused.errors[-1].startswith(f"{field}: ")


def test_a_key_is_shown_once_and_can_be_revoked(run: Run, app_id: str) -> None:
    made = run("keys", "create", app_id)
    key = made.out.strip()
    assert key.startswith("test_")
    listed = run("keys", "list", app_id)
    assert key not in listed.out
    assert f"…{key[-4:]}" in listed.out
    key_id = listed.out.splitlines()[1].split()[0]
    assert run("keys", "revoke", app_id, key_id).code == 0
    assert "revoked" in run("keys", "list", app_id).out
    assert run("keys", "revoke", app_id, "key_none").errors == ["There is no such key in this environment."]


def test_a_data_key_has_its_scopes_and_mints_nothing(run: Run, app_id: str) -> None:
    made = run("keys", "create", app_id, "--data", "--scope", "sessions.read", "--scope", "dsr")
    assert made.out.startswith("test_data_")
    assert run("keys", "create", app_id, "--data").out.startswith("test_data_")
    one, other = run("keys", "list", app_id).out.splitlines()[1:]
    assert one.endswith("data: sessions.read, dsr")
    assert other.endswith("data: sessions.read, usage.read, flows.read")
    assert "no active API key" in run("links", "create", app_id, "cus_1").errors[0]
    revoked = run("keys", "revoke", app_id, one.split()[0])
    assert "1 active" in revoked.err


def test_scopes_are_a_data_keys_alone_and_are_known(run: Run, app_id: str) -> None:
    assert run("keys", "create", app_id, "--scope", "dsr").code == 2
    assert run("keys", "create", app_id, "--data", "--scope", "everything").code == 2
    assert "There is no key yet" in run("keys", "list", app_id).err


def test_everything_that_can_be_set_is_shown(run: Run, app_id: str, database: Database) -> None:
    secret = new_secret()
    for command in (
        ["provider", app_id, "direct", "action_url=https://acme.example/actions", f"action_secret={secret}"],
        ["customer-data", app_id, "https://acme.example/data", "--timeout-ms", "800"],
        [
            "return-url",
            app_id,
            "https://App.Acme.example:443/billing",
            "--origin",
            "https://www.acme.example/",
        ],
        ["contact", app_id, "--email", "help@acme.example"],
        ["theme", app_id, "brand=#1f6655", "radius=8"],
        ["exit-policy", app_id, "regulated"],
        ["locale", app_id, "de_AT"],
    ):
        assert run("setup", *command).code == 0, command
    shown = run("setup", "show", app_id).out
    for words in (
        "https://acme.example/actions",
        "800 ms",
        "https://app.acme.example, https://www.acme.example",
        "help@acme.example",
        "brand=#1f6655, radius=8",
        "regulated",
        "de-AT",
    ):
        assert words in shown
    assert secret not in shown
    assert "leavewell keys create" in shown.partition("Still to do:")[2]
    assert environment(database, app_id).theme == {"brand": "#1f6655", "radius": 8}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["provider", "{app}", "nobody"], "provider: There is no such provider."),
        (["provider", "{app}", "direct"], "action_url: This field is required."),
        (["provider", "{app}", "direct", "colour=red"], "colour: There is no such field."),
        (
            ["provider", "{app}", "direct", "action_url=http://10.0.0.1/"],
            "action_url: 10.0.0.1 is a private address",
        ),
        (
            ["provider", "{app}", "direct", "action_url=http://acme.example/"],
            "action_url: Must begin with https://",
        ),
        (["customer-data", "{app}", "ftp://acme.example"], "url: The URL must begin with https://"),
        (["customer-data", "{app}", "https://127.0.0.1/"], "url: 127.0.0.1 is a private address"),
        (
            ["customer-data", "{app}", "https://a.example", "--secret", "s"],
            "secret: A signing secret is whsec_",
        ),
        (
            ["customer-data", "{app}", "https://a.example", "--timeout-ms", "5001"],
            "timeout_ms: Must be from 200 to 5000",
        ),
        (["return-url", "{app}", "http://acme.example/"], "url: Must begin with https://"),
        (
            ["return-url", "{app}", "https://a.example", "--origin", "https://a.example/x"],
            "origins[0]: Must be only",
        ),
        (["contact", "{app}", "--email", "help"], "email: Must be an email address"),
        (["contact", "{app}", "--url", "javascript:alert(1)"], "url: The URL must begin with https://"),
        (["theme", "{app}", "brand=red"], "brand: must be a colour"),
        (["theme", "{app}", "sparkle=1"], "sparkle: is not part of a theme"),
        (["exit-policy", "{app}", "never"], "policy: Must be one of always, regulated."),
        (["locale", "{app}", "Klingon, please"], "locale: Must be a language tag"),
        (["show", "app_none"], "There is no environment with this App ID."),
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
        ["customer-data", "{app}"],
        ["return-url", "{app}", "https://a.example", "--off"],
        ["contact", "{app}"],
        ["theme", "{app}", "brand"],
        ["theme", "{app}", "brand=#fff", "brand=#000"],
        ["nothing-like-this"],
    ],
)
def test_a_command_that_is_wrong_ends_with_2_and_says_how_it_is_used(
    run: Run, app_id: str, arguments: list[str]
) -> None:
    refused = run("setup", *(argument.replace("{app}", app_id) for argument in arguments))
    assert refused.code == 2
    assert "Usage: leavewell setup" in refused.err or "leavewell setup" in refused.err


def test_a_secret_can_come_from_a_file_or_be_made(run: Run, app_id: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{new_secret()}\n")
    url = "action_url=https://acme.example/actions"
    assert run("setup", "provider", app_id, "direct", url, f"action_secret=@{file}").code == 0
    made = run("setup", "customer-data", app_id, "https://acme.example/data", "--new-secret")
    assert made.out.startswith("whsec_")
    assert "signed by a secret of its own" in run("setup", "show", app_id).out


def test_what_was_set_can_be_taken_back(run: Run, app_id: str, database: Database) -> None:
    run("setup", "contact", app_id, "--email", "help@acme.example", "--url", "https://acme.example/help")
    run("setup", "theme", app_id, "brand=#1f6655", "radius=8")
    run("setup", "customer-data", app_id, "https://acme.example/data")
    run("setup", "contact", app_id, "--email", "")
    run("setup", "theme", app_id, "radius=")
    run("setup", "customer-data", app_id, "--off")
    found = environment(database, app_id)
    assert (found.contact_email, found.contact_url) == (None, "https://acme.example/help")
    assert found.theme == {"brand": "#1f6655"}
    assert found.customer_data_url is None


def test_a_link_is_made_listed_and_revoked(run: Run, app_id: str) -> None:
    assert "leavewell keys create" in run("links", "create", app_id, "cus_1").errors[0]
    run("keys", "create", app_id)
    made = run("links", "create", app_id, "cus_1", "--attribute", "plan=Pro", "--expires-in", "2h")
    token = made.out.strip().rpartition("/cancel/")[2]
    assert Signer([SECRET]).read_link(token)
    listed = run("links", "list", app_id, "--customer", "cus_1")
    assert token not in listed.out
    link_id = listed.out.splitlines()[1].split()[0]
    assert run("links", "revoke", app_id, link_id).code == 0
    assert "revoked" in run("links", "list", app_id).out
    assert run("links", "revoke", app_id, "lnk_none").code == 1
    for options in (
        ["--expires-in", "soon"],
        ["--expires-in", "31d"],
        ["--return-url", "https://evil.example"],
    ):
        assert run("links", "create", app_id, "cus_1", *options).code == 1


def test_a_long_list_goes_on_where_it_ended(run: Run, app_id: str) -> None:
    run("keys", "create", app_id)
    for number in range(3):
        run("links", "create", app_id, f"cus_{number}")
    first = run("links", "list", app_id, "--limit", "2")
    cursor = first.err.split()[-1]
    assert "cus_0" in run("links", "list", app_id, "--cursor", cursor).out


def test_names_cannot_steer_the_terminal(run: Run, app_id: str) -> None:
    run("keys", "create", app_id)
    assert run("links", "list", app_id, "--customer", "\x1b[2J").code == 1
    assert "\x1b" not in run("orgs", "show", "\x1b[2J").err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_an_installation_lacks_is_said_before_anything_else(run: Run, tmp_path: Path) -> None:
    missing = runner({"LEAVEWELL_SECRET": "", "DATABASE_URL": ""})("orgs", "list", LEAVEWELL_DEMO="")
    assert missing.code == 1
    assert missing.errors[0].startswith("LEAVEWELL_SECRET is missing.")
    assert (
        runner({})("serve", LEAVEWELL_SECRET="short", LEAVEWELL_DEMO="")
        .errors[0]
        .startswith("LEAVEWELL_SECRET is too short")
    )
    fresh = f"sqlite:///{tmp_path / 'fresh.sqlite3'}"
    assert "Run `leavewell migrate`" in run("orgs", "list", DATABASE_URL=fresh).errors[0]
    assert "Run `leavewell migrate`" in run("serve", DATABASE_URL=fresh).errors[0]
    assert "Run `leavewell migrate`" in run("worker", DATABASE_URL=fresh).errors[0]
    assert run("migrate", DATABASE_URL=fresh).code == 0
    assert "already" in run("migrate", DATABASE_URL=fresh).err
    assert run("orgs", "list", DATABASE_URL=fresh).code == 0
    refused = run("orgs", "list", DATABASE_URL="postgresql://u:p4ssword@127.0.0.1:1/none")
    assert refused.errors == ["The database cannot be used. Check DATABASE_URL, and that the database runs."]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_port_in_use_is_said_before_anything_listens(run: Run) -> None:
    with server.listen() as taken:
        port = str(taken.getsockname()[1])
        refused = run("serve", PORT=port)
    assert refused.code == 1
    assert refused.errors == [
        f"Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another PORT."
    ]
    assert "listening" not in refused.err
    assert run("serve", HOST="192.0.2.1", LEAVEWELL_BASE_URL="https://a.example").errors == [
        "Cannot listen on 192.0.2.1:8000: Cannot assign requested address. Check HOST and PORT."
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_server_without_mail_says_at_the_start_what_customers_miss(run: Run) -> None:
    with server.listen() as taken:
        port = str(taken.getsockname()[1])
        assert "SMTP_URL is not set, so no mail leaves" in run("serve", PORT=port).err
        mail = "smtp://127.0.0.1?tls=none&from=leave@example.com"
        assert "SMTP_URL" not in run("serve", PORT=port, SMTP_URL=mail).err


def test_another_secret_does_not_open_what_is_stored(run: Run, app_id: str) -> None:
    secret = f"action_secret={new_secret()}"
    run("setup", "provider", app_id, "direct", "action_url=https://acme.example/a", secret)
    refused = run("setup", "show", app_id, LEAVEWELL_SECRET="quite-another-key-of-sufficient-length-9x7")
    assert refused.errors[0].startswith("LEAVEWELL_SECRET does not open what is stored")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_secret_is_good_enough_for_ourselves(run: Run, database: Database) -> None:
    made = run("secret").out.strip()
    assert len(made) >= 48
    assert run("orgs", "list", LEAVEWELL_SECRET=made, LEAVEWELL_DEMO="").code == 0
