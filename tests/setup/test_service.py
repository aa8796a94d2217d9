"""Setting up by calls: what the demo and the command line stand on."""

from datetime import timedelta
from ipaddress import ip_network

import pytest

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import Vault
from app.core.billing import Capability
from app.core.errors import InvalidInput
from app.core.flow_check import validate_flow
from app.db.database import Database, Session
from app.flows import service as flows
from app.flows.files import dump_yaml, load_yaml
from app.flows.starter import starter_flow
from app.setup import service as setup
from app.setup.addresses import browser_problem, email_problem, normal_origins, outbound_problem
from tests.support.apps import SECRET
from tests.support.clock import FakeClock

VAULT = Vault([SECRET])
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def app_id(database: Database, clock: FakeClock) -> str:
    made = database.write_sync(setup.create_organization, name="Acme", now=clock.now())
    return database.read_sync(accounts_queries.list_environments, made.id)[1].app_id


def test_a_new_organization_can_serve_customers_at_once(database: Database, app_id: str) -> None:
    environment = database.read_sync(accounts.get_environment, app_id)
    published = database.read_sync(flows.get_published, environment.organization_id)
    assert (published.number, published.definition["name"]) == (1, "Starter")


def test_the_starter_flow_needs_nothing_but_that_one_can_cancel() -> None:
    assert validate_flow(starter_flow(), {Capability.CANCEL_AT_PERIOD_END}) == []
    assert load_yaml(dump_yaml(starter_flow()), "again.yaml") == starter_flow()


def test_setting_what_is_set_changes_nothing(database: Database, clock: FakeClock, app_id: str) -> None:
    config = {"action_url": "http://127.0.0.1:9/actions", "action_secret": new_secret()}

    def set_all() -> dict[str, object]:
        now = clock.now()
        database.write_sync(
            setup.set_provider,
            VAULT,
            app_id=app_id,
            provider="direct",
            config=config,
            allowed=LOOPBACK,
            now=now,
        )
        database.write_sync(
            setup.set_customer_data, VAULT, app_id=app_id, url="http://127.0.0.1:9/data", allowed=LOOPBACK
        )
        database.write_sync(
            setup.set_return_url,
            app_id=app_id,
            url="http://127.0.0.1:9/billing",
            origins=["http://localhost:9"],
            allowed=LOOPBACK,
        )
        database.write_sync(setup.set_contact, app_id=app_id, email="help@acme.example", url=None)
        database.write_sync(setup.set_theme, app_id=app_id, theme={"brand": "#1f6655"})
        database.write_sync(
            setup.set_hosted,
            app_id=app_id,
            is_on=True,
            link_life=timedelta(days=7),
            code_life=timedelta(minutes=5),
        )
        database.write_sync(setup.set_sender, app_id=app_id, name="Acme", address="leave@acme.example")
        database.write_sync(setup.set_subject, app_id=app_id, kind="code", text="A code for {brand}")
        database.write_sync(setup.set_pause_reminder, app_id=app_id, days=14)
        database.write_sync(setup.set_time_zone, app_id=app_id, zone="Asia/Kolkata")
        return database.read_sync(accounts.get_environment, app_id).model_dump()

    first = set_all()
    assert first["return_origins"] == ["http://127.0.0.1:9", "http://localhost:9"]
    assert set_all() == first


def test_a_key_is_made_once(database: Database, clock: FakeClock, app_id: str) -> None:
    first = database.write_sync(setup.ensure_key, VAULT, app_id=app_id, now=clock.now())
    assert database.write_sync(setup.ensure_key, VAULT, app_id=app_id, now=clock.now()) == first
    [key] = database.read_sync(accounts_queries.list_keys, app_id)
    database.write_sync(accounts.revoke_key, app_id=app_id, key_id=key.id, now=clock.now())
    assert database.write_sync(setup.ensure_key, VAULT, app_id=app_id, now=clock.now()) != first


def test_what_is_not_said_about_the_entry_stays(database: Database, app_id: str) -> None:
    database.write_sync(setup.set_hosted, app_id=app_id, is_on=False, code_life=timedelta(minutes=15))
    kept = database.write_sync(setup.set_hosted, app_id=app_id, link_life=timedelta(hours=1))
    assert (kept.hosted_enabled, kept.code_life_s, kept.link_life_s) == (False, 900, 3_600)


def test_subjects_are_kept_by_kind(database: Database, app_id: str) -> None:
    for kind in ("code", "receipt"):
        database.write_sync(setup.set_subject, app_id=app_id, kind=kind, text=f"{kind} of {{brand}}")
    database.write_sync(setup.set_subject, app_id=app_id, kind="code", text=None)
    environment = database.read_sync(accounts.get_environment, app_id)
    assert environment.mail_subjects == {"receipt": "receipt of {brand}"}


def test_every_mistake_of_a_sender_is_named_at_once(database: Database, app_id: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        database.write_sync(setup.set_sender, app_id=app_id, name="A\nB", address="nobody")
    assert {problem.field for problem in refused.value.fields} == {"name", "address"}


def test_every_mistake_of_a_provider_is_named_at_once(
    database: Database, clock: FakeClock, app_id: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        database.write_sync(
            setup.set_provider,
            VAULT,
            app_id=app_id,
            provider="direct",
            config={"action_url": "https://10.0.0.1/", "action_secret": "short", "colour": "red"},
            allowed=(),
            now=clock.now(),
        )
    assert {problem.field for problem in refused.value.fields} == {"action_url", "action_secret", "colour"}


def test_a_new_address_of_customer_data_starts_with_a_clean_count(database: Database, app_id: str) -> None:
    def fail(db: Session) -> None:
        accounts.get_environment(db, app_id).customer_data_failures = 5

    database.write_sync(fail)
    environment = database.write_sync(
        setup.set_customer_data, VAULT, app_id=app_id, url="https://acme.example/data", allowed=()
    )
    assert environment.customer_data_failures == 0


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://acme.example/x", True),
        ("https://127.0.0.1/x", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://localhost:8000/x", True),
        ("http://shop.internal/x", True),  # which network that is in, is known at each call
        ("http://8.8.8.8/x", False),
        ("https://10.0.0.1/x", False),
        ("https://user@acme.example/", False),
        ("file:///etc/passwd", False),
        ("https://acme.example/\n", False),
    ],
)
def test_what_we_may_call_with_an_allowed_network(url: str, is_fine: bool) -> None:
    assert (outbound_problem(url, LOOPBACK) is None) is is_fine


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://acme.example/x", True),
        ("http://localhost:8000/", True),
        ("http://127.0.0.1:8000/", True),
        ("http://acme.example/", False),
        ("javascript:alert(1)", False),
        ("//acme.example", False),
    ],
)
def test_where_customers_may_be_sent(url: str, is_fine: bool) -> None:
    assert (browser_problem(url, ()) is None) is is_fine


def test_origins_are_kept_as_browsers_write_them() -> None:
    found, problems = normal_origins(
        [
            "https://App.Example:443",
            "https://app.example/",
            "http://LOCALHOST:8000",
            "https://bücher.example",
        ],
        (),
    )
    assert found == ("https://app.example", "http://localhost:8000", "https://xn--bcher-kva.example")
    assert problems == ()
    assert [problem.field for problem in normal_origins(["https://a.example", "nonsense"], ())[1]] == [
        "origins[1]"
    ]
    assert normal_origins([f"https://{n}.example" for n in range(51)], ())[1][0].field == "origins"


@pytest.mark.parametrize(
    ("address", "is_fine"),
    [
        ("help@acme.example", True),
        ("help", False),
        ("a@b", False),
        ("a@b.c\nBcc: d@e.f", False),
        ("x" * 250 + "@a.bc", False),
    ],
)
def test_an_email_address_is_one(address: str, is_fine: bool) -> None:
    assert (email_problem(address) is None) is is_fine
