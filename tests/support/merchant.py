"""A merchant as tests need one: an organization with the demo's billing service and flow, links on demand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from litestar import Litestar
from sqlmodel import Session

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.billing import Capability
from app.core.flow import FlowDefinition
from app.db.base import new_id
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.flows import files
from app.flows import service as flows
from app.main import create_app
from app.settings import Settings, WorkerPlace
from demo.billing.faults import Faults
from demo.billing.seed import seed
from demo.billing.service import create_app as create_billing
from demo.billing.store import Store
from tests.support import server
from tests.support.apps import make_settings
from tests.support.clock import FakeClock

FLOW = Path(__file__).parents[2] / "demo" / "flow.yaml"
LOOPBACK = ip_network("127.0.0.0/8")
BILLING_KEY = "billing-key-of-tests"
PATIENCE_MS = 5_000  # the most there is: a busy machine is no billing system that does not answer


def demo_flow() -> FlowDefinition:
    return files.load_yaml(FLOW.read_text("utf-8"), FLOW.name)


@dataclass(frozen=True)
class Merchant:
    """One organization's test environment, and what is needed to act as its backend."""

    database: Database
    settings: Settings
    clock: FakeClock
    app_id: str
    api_key: str
    key_id: str

    def app(self, **changes: Any) -> Litestar:
        """The server over this merchant's database, without a worker unless asked for."""
        return create_app(self.settings, database=self.database, clock=self.clock, **changes)

    def mint(self, customer_id: str, **changes: Any) -> str:
        """A link's path, as the API would mint it: `/cancel/cl_…`."""
        token, token_sha256 = Signer(self.settings.secrets).link_token()
        now = self.clock.now()
        values = {
            "id": new_id("lnk"),
            "app_id": self.app_id,
            "token_sha256": token_sha256,
            "customer_id": customer_id,
            "api_key_id": self.key_id,
            "expires_at": now + timedelta(hours=1),
            "created_at": now,
            **changes,
        }
        self.database.write_sync(_add, CancelLink(**values))
        return f"/cancel/{token}"

    def change(self, **values: Any) -> None:
        """Change the environment's settings."""
        self.database.write_sync(_change, self.app_id, values)


def open_merchant(
    database: Database,
    clock: FakeClock,
    *,
    billing_url: str | None = None,
    provider: str = "demo",
    config: Mapping[str, str] | None = None,
    flow: FlowDefinition | None = None,
    **settings: Any,
) -> Merchant:
    """A merchant on `database`, connected to a billing service at `billing_url`."""
    chosen = replace(
        make_settings(database.url.render_as_string(hide_password=False)),
        allowed_networks=(LOOPBACK,),
        worker=WorkerPlace.NONE,
        **settings,
    )
    vault = Vault(chosen.secrets)
    connection = config or {"base_url": billing_url or "http://127.0.0.1:9", "api_key": BILLING_KEY}
    app_id, key = database.write_sync(_set_up, vault, clock, provider, connection, flow or demo_flow())
    return Merchant(database, chosen, clock, app_id, key.secret, key.id)


@contextmanager
def served_billing(folder: Path, clock: FakeClock, *, faults: Faults | None = None) -> Iterator[str]:
    """The demo's billing service with its six customers, on the tests' clock; yields its address."""
    store = Store(folder / "billing.sqlite3")
    seed(store, clock.now())
    with server.served(create_billing(store, key=BILLING_KEY, faults=faults, now=clock.now)) as url:
        yield url


def _set_up(
    db: Session,
    vault: Vault,
    clock: FakeClock,
    provider: str,
    config: Mapping[str, str],
    flow: FlowDefinition,
) -> tuple[str, accounts.NewKey]:
    now = clock.now()
    organization = accounts.create_organization(db, name="Northwind Notes", slug="northwind", now=now)
    environment = next(e for e in accounts_queries.list_environments(db, organization.id) if e.mode == "test")
    environment.contact_email = "help@northwind.example"
    environment.return_url = "https://northwind.example/account"
    environment.return_origins = ["https://northwind.example"]
    environment.customer_data_timeout_ms = PATIENCE_MS
    connections.save(db, vault, app_id=environment.app_id, provider=provider, config=config, now=now)
    flows.publish(
        db, organization_id=organization.id, definition=flow, capabilities=frozenset(Capability), now=now
    )
    return environment.app_id, accounts.create_key(db, vault, app_id=environment.app_id, now=now)


def _add(db: Session, row: object) -> None:
    db.add(row)


def _change(db: Session, app_id: str, values: Mapping[str, Any]) -> None:
    environment = db.get_one(Environment, app_id)
    for name, value in values.items():
        setattr(environment, name, value)
