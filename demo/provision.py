"""Sets Leavewell up for Northwind as its operator would: organization, keys, connections, flow. Safe to repeat.

The one module of the demo that changes Leavewell's database; what is there already is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml
from sqlmodel import Session

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.flow_check import parse_flow
from app.db.tables.accounts import Environment, Organization
from app.flows import files
from app.flows import service as flows
from app.settings import Network
from app.setup import service as setup
from demo.run import Billing, MerchantSecrets, Provider
from demo.shop.config import MODES, SUPPORT_EMAIL, Keys, Mode
from demo.simulated import Simulated, fitted, renamed

SLUG: Final = "northwind-notes"
FLOW_FILE: Final = Path(__file__).parent / "flow.yaml"
THEME: Final = {"brand": "#1f6655", "font": "system", "radius": 14, "logo": "/demo/static/mark.svg"}


@dataclass(frozen=True)
class Merchant:
    """What Northwind has and where it is reached, as it would tell the operator."""

    origins: tuple[str, ...]
    provider: Provider
    billing: Billing
    secrets: MerchantSecrets
    simulated: Simulated | None = None

    def action_secret(self, mode: Mode) -> str:
        """Signs what Leavewell sends to the action URL, in one mode."""
        return self.secrets.webhook(f"actions {mode}")


def provision(
    db: Session,
    merchant: Merchant,
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
    allowed: Sequence[Network],
) -> Mapping[Mode, Keys]:
    """Bring the organization to what the demo needs and return its App IDs and keys. One unit of work."""
    now = clock.now()
    organization = accounts_queries.find_organization(db, SLUG)
    if organization is None:
        organization = accounts.create_organization(db, name="Northwind Notes", slug=SLUG, now=now)
    environments = accounts_queries.list_environments(db, organization.id)
    for environment in environments:
        _connect(db, environment, merchant, vault=vault, allowed=allowed, now=now)
    _publish(db, organization, environments, merchant.simulated, vault=vault, http=http, clock=clock)
    return {
        mode: Keys(environment.app_id, setup.ensure_key(db, vault, app_id=environment.app_id, now=now))
        for mode in MODES
        for environment in environments
        if environment.mode == mode
    }


def _connect(
    db: Session,
    environment: Environment,
    merchant: Merchant,
    *,
    vault: Vault,
    allowed: Sequence[Network],
    now: datetime,
) -> None:
    """Where the merchant is reached; its port and its billing service's may be other ones than last time."""
    app_id, home = environment.app_id, merchant.origins[0]
    setup.set_customer_data(
        db, vault, app_id=app_id, url=f"{home}/demo/leavewell/customer-data", allowed=allowed
    )
    setup.set_return_url(
        db, app_id=app_id, url=f"{home}/demo/billing", origins=merchant.origins, allowed=allowed
    )
    setup.set_contact(db, app_id=app_id, email=SUPPORT_EMAIL, url=environment.contact_url, allowed=allowed)
    setup.set_theme(db, app_id=app_id, theme=THEME)
    setup.set_provider(
        db,
        vault,
        app_id=app_id,
        provider=merchant.provider,
        config=_config("live" if environment.mode == "live" else "test", merchant),
        allowed=allowed,
        now=now,
    )


def _config(mode: Mode, merchant: Merchant) -> Mapping[str, str]:
    if merchant.simulated is not None:
        return merchant.simulated.credentials[mode]
    if merchant.provider == "demo":
        return {"base_url": merchant.billing.url, "api_key": merchant.billing.key}
    home = merchant.origins[0]
    return {
        "action_url": f"{home}/demo/leavewell/actions",
        "action_secret": merchant.action_secret(mode),
        "lookup_url": f"{home}/demo/leavewell/lookup",
    }


def _publish(
    db: Session,
    organization: Organization,
    environments: list[Environment],
    simulated: Simulated | None,
    *,
    vault: Vault,
    http: OutboundHttp,
    clock: Clock,
) -> None:
    """Publish the flow file; publishing what is published already changes nothing."""
    each = [connections.capabilities(one, vault=vault, http=http, clock=clock) for one in environments]
    able = frozenset.intersection(*each)
    text = FLOW_FILE.read_text(encoding="utf-8")
    if simulated is None:
        definition = files.load_yaml(text, FLOW_FILE.name)
    else:
        definition = parse_flow(fitted(yaml.safe_load(renamed(text, simulated.names)), able))
    flows.publish(
        db,
        organization_id=organization.id,
        definition=definition,
        capabilities=able,
        now=clock.now(),
        note="demo/flow.yaml",
    )
