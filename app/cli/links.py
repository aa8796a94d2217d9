"""links: make, list and revoke cancel links by hand, for support and for trying things out."""

import re
from datetime import timedelta

import click

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.signing import Signer
from app.cli.console import Failed, Workshop, assignments, customer, remark, say, span, table, workshop
from app.core.calendar import iso
from app.core.facts import Scalar
from app.db.database import Session
from app.links import forms, queries, service
from app.links.service import Minted, state_of


@click.group()
def links() -> None:
    """Cancel links of an environment."""


@links.command()
@click.argument("app_id")
@click.argument("customer_id")
@click.option("--subscription", "subscription_id", help="The subscription; else the customer chooses.")
@click.option("--expires-in", help="30m, 12h, 7d; at most 30d. Else as `setup hosted --link-life` says.")
@click.option("--reusable", is_flag=True, help="Not used up by the first browser.")
@click.option("--return-url", help="Where the last page leads back to.")
@click.option("--locale", help="The customer's language: en, de-AT.")
@click.option("--attribute", "attributes", multiple=True, help="name=value, for rules and copy. Repeatable.")
def create(
    app_id: str,
    customer_id: str,
    subscription_id: str | None,
    expires_in: str | None,
    reusable: bool,
    return_url: str | None,
    locale: str | None,
    attributes: tuple[str, ...],
) -> None:
    """Make a link and print its address, this once."""
    with workshop() as at:
        environment = at.database.read_sync(accounts.get_environment, app_id)
        life = span("--expires-in", expires_in) if expires_in else timedelta(seconds=environment.link_life_s)
        body: dict[str, object] = {
            "customerId": customer_id,
            "expiresAt": iso(at.now + life),
            "subscriptionId": subscription_id,
            "singleUse": not reusable,
            "returnUrl": return_url,
            "locale": locale,
            "customerAttributes": {name: _scalar(value) for name, value in assignments(attributes).items()},
        }
        minted = at.database.write_sync(_mint, at, app_id, body)
    say(f"{at.settings.base_url}/cancel/{minted.token}")
    remark(f"This is {minted.id}. It is not shown again; whoever has it is that customer.")


@links.command("list")
@click.argument("app_id")
@click.option("--customer", "customer_id", help="Only this customer's.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--cursor", help="Where to go on, as an earlier list said.")
def list_(app_id: str, customer_id: str | None, limit: int, cursor: str | None) -> None:
    """The newest links."""
    pairs = [("limit", str(limit)), ("cursor", cursor), ("customerId", customer_id)]
    query = forms.read_query([(name, value) for name, value in pairs if value is not None])
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        found = at.database.read_sync(
            queries.list_links,
            app_id=app_id,
            limit=query.limit + 1,
            before=query.before,
            customer_id=query.customer_id,
        )
    page = found[: query.limit]
    rows = [
        (link.id, state_of(link, at.now), customer(link.customer_id), link.created_at, link.expires_at)
        for link in page
    ]
    table(("LINK", "STATUS", "CUSTOMER", "MADE", "EXPIRES"), rows, "There are no links.")
    if len(found) > len(page):
        remark(f"More: --cursor {forms.write_cursor(page[-1])}")


@links.command()
@click.argument("app_id")
@click.argument("link_id")
def revoke(app_id: str, link_id: str) -> None:
    """Make a link useless. A session that it has opened goes on."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        at.database.write_sync(service.revoke, app_id=app_id, link_id=link_id, now=at.now)
    remark(f"{link_id} is revoked.")


def _mint(db: Session, at: Workshop, app_id: str, body: dict[str, object]) -> Minted:
    environment = accounts.get_environment(db, app_id)
    active = [key for key in accounts_queries.list_keys(db, app_id) if key.revoked_at is None]
    if not active:
        raise Failed(f"The environment has no active API key: leavewell keys create {app_id}")
    minted = service.draft(
        Signer(at.settings.secrets),
        app_id=app_id,
        api_key_id=active[0].id,
        return_origins=environment.return_origins,
        order=forms.read_order(body),
        now=at.now,
    )
    service.store(db, minted, now=at.now)
    return minted


def _scalar(text: str) -> Scalar:
    """As a backend would send it: true, false and numbers are not text."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text, re.ASCII) else text
