"""Connecting billing the way a person does: what is wrong is said before anything is saved."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from sqlmodel import select

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import SealBroken, Vault
from app.connections import health
from app.connections import service as connections
from app.core.billing import Account, CredentialsRefused, ProviderUnavailable, RateLimited
from app.core.errors import InvalidInput
from app.db.database import Database
from app.db.tables.connections import Connection
from app.db.tables.mail import Mail
from app.setup import connecting
from app.setup import service as setup
from app.setup.connecting import ConnectionChanged, Ports
from tests.support import office as offices
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.clock import FakeClock
from tests.support.merchant import served_billing
from tests.support.office import HOOK_SECRET, KEY, OTHER_KEY, Office, config

VAULT = Vault([SECRET])
STRIPE_TEST = "_".join(("sk", "test", ""))  # in parts, so that nobody takes it for a key


@pytest.fixture
def office() -> Iterator[Office]:
    with offices.opened() as opened:
        yield opened


@pytest.fixture
def app_id(database: Database, clock: FakeClock) -> str:
    made = database.write_sync(setup.create_organization, name="Acme", now=clock.now())
    return database.read_sync(accounts_queries.list_environments, made.id)[1].app_id


@pytest.fixture
async def ports(database: Database, clock: FakeClock) -> AsyncIterator[Ports]:
    loopback = (ip_network("127.0.0.0/8"),)
    http = OutboundHttp(loopback)
    yield Ports(database, VAULT, http, clock, loopback)
    await http.aclose()


async def connect(ports: Ports, app_id: str, provider: str = "office", **given: Any) -> Account | None:
    flags = {name: given.pop(name) for name in ("is_asked", "accepts_other_account") if name in given}
    fields = given or config()
    return await connecting.connect_provider(ports, app_id=app_id, provider=provider, given=fields, **flags)


async def problem(ports: Ports, app_id: str, **given: Any) -> tuple[str, str]:
    """The field that is named, and what is said about it."""
    with pytest.raises(InvalidInput) as refused:
        await connect(ports, app_id, **given)
    [found] = refused.value.fields
    return found.field, found.message


def saved(ports: Ports, app_id: str) -> dict[str, str]:
    return connections.config_of(ports.database.read_sync(accounts.get_environment, app_id), VAULT)


def row(ports: Ports, app_id: str) -> Connection:
    return ports.database.read_sync(lambda db: db.get_one(Connection, app_id))


# --- Asked before it is saved -----------------------------------------------------------------------------------


async def test_who_answers_is_told_and_kept(
    ports: Ports, app_id: str, office: Office, clock: FakeClock
) -> None:
    assert await connect(ports, app_id) == Account("acct_1", "Acme", "test")
    assert saved(ports, app_id) == config()
    found = row(ports, app_id)
    assert (found.account_id, found.account_name, found.account_mode) == ("acct_1", "Acme", "test")
    assert found.checked_at == found.saved_at == found.last_ok_at == clock.now()


@pytest.mark.parametrize(
    ("error", "field", "said"),
    [
        (CredentialsRefused(f"It may not read: {KEY}."), "api_key", "It may not read: ***. Check it there."),
        (ProviderUnavailable("The host name was not found."), "", "was not found. Try again later."),
    ],
)
async def test_what_does_not_answer_as_it_should_is_not_saved(
    ports: Ports, app_id: str, office: Office, error: ProviderUnavailable, field: str, said: str
) -> None:
    office.fail(error)
    named, message = await problem(ports, app_id)
    assert named == field
    assert said in message
    assert message.endswith("--no-check saves it unasked.")
    assert saved(ports, app_id) == {}


async def test_a_system_that_never_answers_is_not_waited_for(
    ports: Ports, app_id: str, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CHECK_S", 0.05)
    office.is_held = True
    field, message = await problem(ports, app_id)
    assert field == ""
    assert "did not answer within" in message


async def test_an_address_of_ones_own_is_named_when_nobody_answers_there(
    ports: Ports, app_id: str, office: Office
) -> None:
    office.fail(ProviderUnavailable("The server refused the connection."))
    field, message = await problem(ports, app_id, **config(api_base="http://127.0.0.1:9"))
    assert field == "api_base"
    assert "Check the address, or try again later." in message
    office.fail(RateLimited("The office asked to slow down."))
    field, message = await problem(ports, app_id, **config(api_base="http://127.0.0.1:9"))
    assert (field, "slow down. Try again later." in message) == ("", True)


@pytest.mark.parametrize(("mode", "index"), [("live", 1), ("test", 0)])
async def test_credentials_of_the_other_mode_are_not_saved(
    ports: Ports, database: Database, clock: FakeClock, office: Office, mode: Any, index: int
) -> None:
    made = database.write_sync(setup.create_organization, name="Acme", now=clock.now())
    environment = database.read_sync(accounts_queries.list_environments, made.id)[index]
    office.accounts[KEY] = Account("acct_1", mode=mode)
    field, message = await problem(ports, environment.app_id)
    assert field == "api_key"
    assert f"These are {mode} credentials" in message
    assert f"{environment.app_id} is a {environment.mode} environment" in message
    assert saved(ports, environment.app_id) == {}


@pytest.mark.parametrize(
    ("provider", "field", "given"),
    [
        ("stripe", "api_key", {"api_key": "sk_{}_Example0123456789"}),
        ("stripe", "api_key", {"api_key": " rk_{}_Example0123456789"}),
        ("paddle", "api_key", {"api_key": "pdl_{}_apikey_example"}),
        ("chargebee", "api_key", {"site": "acme", "api_key": "{}_Example0123456789"}),
        (
            "braintree",
            "environment",
            {
                "environment": "production",
                "merchant_id": "m",
                "public_key": "p",
                "private_key": "example-key",
            },
        ),
    ],
)
async def test_live_credentials_are_not_saved_for_tests_unasked_either(
    ports: Ports, app_id: str, provider: str, field: str, given: dict[str, str]
) -> None:
    live = {name: value.format("live") for name, value in given.items()}
    named, message = await problem(ports, app_id, provider=provider, is_asked=False, **live)
    assert named == field
    assert f"These are live credentials, and {app_id} is a test environment." in message
    assert saved(ports, app_id) == {}


async def test_what_cannot_be_a_webhook_secret_is_refused(ports: Ports, app_id: str) -> None:
    given = {"api_key": f"{STRIPE_TEST}Example0123456789", "webhook_secret": "whsec_old we_1Example"}
    field, message = await problem(ports, app_id, provider="stripe", is_asked=False, **given)
    assert (field, "Must begin with whsec_" in message) == ("webhook_secret", True)
    assert "we_1Example" not in message


async def test_a_webhook_user_that_is_missing_is_asked_for(
    ports: Ports, app_id: str, clock: FakeClock
) -> None:
    given = {"site": "acme-test", "api_key": "test_Example0123456789", "webhook_password": "example-password"}
    await connect(ports, app_id, "chargebee", is_asked=False, **given)
    found = ports.database.read_sync(
        setup.describe, VAULT, app_id=app_id, http=ports.http, clock=clock, has_mailer=True
    )
    assert any("chargebee webhook_user=…" in hint for hint in found.todo)


async def test_a_vendor_that_tells_no_mode_is_believed(ports: Ports, app_id: str, office: Office) -> None:
    office.accounts[KEY] = Account("acct_1")
    assert await connect(ports, app_id) == Account("acct_1")


async def test_what_is_wrong_at_first_sight_is_not_asked_about(
    ports: Ports, app_id: str, office: Office
) -> None:
    field, _ = await problem(ports, app_id, **config(api_base="http://10.0.0.1/"))
    assert field == "api_base"
    field, message = await problem(ports, app_id, **config(colour="red"))
    assert (field, "An office has office, api_key, hook_secret, api_base." in message) == ("colour", True)
    assert office.calls == []


async def test_it_can_be_saved_unasked(ports: Ports, app_id: str, office: Office) -> None:
    office.fail(ProviderUnavailable())
    assert await connect(ports, app_id, **config(), is_asked=False) is None
    assert saved(ports, app_id) == config()
    assert row(ports, app_id).account_id is None
    assert office.calls == []


async def test_your_own_billing_is_asked_nothing(ports: Ports, app_id: str) -> None:
    own = {"action_url": "http://127.0.0.1:9/actions", "action_secret": new_secret()}
    assert await connect(ports, app_id, "direct", **own) is None
    assert saved(ports, app_id) == own


async def test_the_demos_billing_is_asked_over_the_network(
    ports: Ports, app_id: str, clock: FakeClock, tmp_path: Any
) -> None:
    with served_billing(tmp_path, clock) as url:
        wrong = {"base_url": url, "api_key": "not-the-key"}
        field, message = await problem(ports, app_id, provider="demo", **wrong)
        assert (field, "not-the-key" in message) == ("api_key", False)
        account = await connect(ports, app_id, "demo", **{**wrong, "api_key": "billing-key-of-tests"})
        assert account is not None
        assert account.mode == "test"
    assert (await problem(ports, app_id, provider="demo", base_url="http://127.0.0.1:9"))[0] == "base_url"


# --- Changed later ----------------------------------------------------------------------------------------------


async def test_what_is_not_given_stays(ports: Ports, app_id: str, office: Office) -> None:
    await connect(ports, app_id)
    office.accounts["office-key-of-tomorrow"] = office.accounts[KEY]
    await connect(ports, app_id, api_key="office-key-of-tomorrow")
    assert saved(ports, app_id) == config(api_key="office-key-of-tomorrow")
    await connect(ports, app_id, hook_secret=f"another-one {HOOK_SECRET}")
    assert saved(ports, app_id)["hook_secret"] == f"another-one {HOOK_SECRET}"
    await connect(ports, app_id, hook_secret="")
    assert saved(ports, app_id) == {"office": "main", "api_key": "office-key-of-tomorrow"}
    assert (await problem(ports, app_id, api_key=""))[0] == "api_key"


async def test_nothing_of_another_system_is_kept(ports: Ports, app_id: str, office: Office) -> None:
    await connect(ports, app_id)
    own = {"action_url": "http://127.0.0.1:9/actions", "action_secret": new_secret()}
    await connect(ports, app_id, "direct", **own)
    assert saved(ports, app_id) == own
    assert row(ports, app_id).account_id is None


async def test_another_account_has_to_be_meant(ports: Ports, app_id: str, office: Office) -> None:
    await connect(ports, app_id)
    field, message = await problem(ports, app_id, api_key=OTHER_KEY)
    assert field == "api_key"
    assert "another account, acct_2 (Other); so far it was acct_1" in message
    assert "--other-account" in message
    assert saved(ports, app_id)["api_key"] == KEY
    assert await connect(ports, app_id, api_key=OTHER_KEY, accepts_other_account=True)
    assert row(ports, app_id).account_id == "acct_2"
    assert await connect(ports, app_id, api_key=OTHER_KEY)


async def test_the_account_is_remembered_when_something_is_saved_unasked(
    ports: Ports, app_id: str, office: Office
) -> None:
    await connect(ports, app_id)
    await connect(ports, app_id, hook_secret="another-one", is_asked=False)
    assert (await problem(ports, app_id, api_key=OTHER_KEY))[0] == "api_key"


async def test_the_old_credentials_hold_while_the_new_ones_are_tried(
    ports: Ports, app_id: str, office: Office
) -> None:
    await connect(ports, app_id)
    office.is_held = True
    changing = asyncio.create_task(connect(ports, app_id, api_key=OTHER_KEY, accepts_other_account=True))
    await office.until(inside=1)
    assert saved(ports, app_id)["api_key"] == KEY
    await office.release()
    await changing
    assert saved(ports, app_id)["api_key"] == OTHER_KEY


async def test_of_two_who_change_it_at_once_the_second_is_told(
    ports: Ports, app_id: str, office: Office
) -> None:
    await connect(ports, app_id)
    office.is_held = True
    changing = asyncio.create_task(connect(ports, app_id, api_key=KEY))
    await office.until(inside=1)
    await connect(ports, app_id, hook_secret="of-somebody-else", is_asked=False)
    await office.release()
    with pytest.raises(ConnectionChanged):
        await changing
    assert saved(ports, app_id)["hook_secret"] == "of-somebody-else"


async def test_what_an_old_secret_sealed_can_be_given_anew(ports: Ports, app_id: str, office: Office) -> None:
    sealed = Vault([OLD_SECRET]).seal(json.dumps(config()))

    def lose(db: Any) -> None:
        environment = accounts.get_environment(db, app_id)
        environment.provider, environment.provider_config = "office", sealed

    ports.database.write_sync(lose)
    with pytest.raises(SealBroken):
        await connecting.check_connection(ports, app_id=app_id)
    assert (await problem(ports, app_id, api_key=KEY))[0] == "office"
    assert await connect(ports, app_id)


# --- Asked by hand ----------------------------------------------------------------------------------------------


async def test_a_check_ends_the_rest_of_one_that_answers(
    ports: Ports, app_id: str, office: Office, clock: FakeClock
) -> None:
    await connect(ports, app_id)
    failure = health.Failure("It does not know the key.", refuses_credentials=True)
    ports.database.write_sync(
        health.note_failure, VAULT, app_id=app_id, failure=failure, claim=None, now=clock.now()
    )
    assert row(ports, app_id).rest_until is not None
    clock.advance(seconds=1)
    assert await connecting.check_connection(ports, app_id=app_id) == Account("acct_1", "Acme", "test")
    found = row(ports, app_id)
    assert (found.rest_until, found.failures, found.needs_attention) == (None, 0, False)
    assert found.checked_at == clock.now()


async def test_a_check_that_fails_is_kept_like_any_failure(
    ports: Ports, app_id: str, office: Office, database: Database
) -> None:
    await connect(ports, app_id)
    database.write_sync(setup.set_contact, app_id=app_id, email="help@acme.example", url=None)
    office.accounts.clear()
    with pytest.raises(InvalidInput) as refused:
        await connecting.check_connection(ports, app_id=app_id)
    assert str(refused.value).endswith("api_key: The office does not know the key ***. Check it there.")
    found = row(ports, app_id)
    assert (found.needs_attention, found.last_error) == (True, "The office does not know the key ***.")
    assert len(database.read_sync(lambda db: list(db.exec(select(Mail))))) == 1


async def test_what_is_not_connected_cannot_be_checked(ports: Ports, app_id: str) -> None:
    with pytest.raises(InvalidInput, match="not connected"):
        await connecting.check_connection(ports, app_id=app_id)


# --- Described --------------------------------------------------------------------------------------------------


async def test_a_description_says_what_is_wrong_and_what_is_missing(
    ports: Ports, app_id: str, office: Office, clock: FakeClock
) -> None:
    def todo() -> str:
        found = ports.database.read_sync(
            setup.describe, VAULT, app_id=app_id, http=ports.http, clock=clock, has_mailer=True
        )
        return "\n".join(found.todo)

    await connect(ports, app_id)
    assert "webhooks" not in todo()
    assert "credentials" not in todo()
    await connect(ports, app_id, hook_secret="")
    assert f"leavewell setup provider {app_id} office hook_secret=…" in todo()
    failure = health.Failure("No.", refuses_credentials=True)
    ports.database.write_sync(
        health.note_failure, VAULT, app_id=app_id, failure=failure, claim=None, now=clock.now()
    )
    assert "Billing does not accept the credentials" in todo()
