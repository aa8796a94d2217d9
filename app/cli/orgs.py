"""orgs: make organizations and look at them."""

import click

from app.accounts import queries
from app.cli.console import Failed, pairs, say, table, workshop
from app.db.database import Session
from app.db.tables.accounts import Environment, Organization
from app.setup import service as setup


@click.group()
def orgs() -> None:
    """Organizations: each has a live and a test environment."""


@orgs.command()
@click.argument("name")
@click.option("--slug", help="Its short name in commands; made of the name if left out.")
def create(name: str, slug: str | None) -> None:
    """Make an organization, with a first flow published."""
    with workshop() as at:
        made = at.database.write_sync(setup.create_organization, name=name, slug=slug, now=at.now)
        environments = at.database.read_sync(queries.list_environments, made.id)
    _print(made, environments)
    say()
    say(f"Next: leavewell keys create {environments[-1].app_id}")


@orgs.command("list")
@click.option("--after", default="", help="Only those behind this slug.")
def list_(after: str) -> None:
    """All organizations, a hundred at a time."""
    with workshop() as at:
        found = at.database.read_sync(queries.list_organizations, after=after)
    rows = [(one.slug, one.name, one.created_at) for one in found]
    table(("SLUG", "NAME", "SINCE"), rows, "There is no organization yet: leavewell orgs create NAME")


@orgs.command()
@click.argument("org")
def show(org: str) -> None:
    """One organization's App IDs. ORG is its slug."""
    with workshop() as at:
        found = at.database.read_sync(get_organization, org)
        environments = at.database.read_sync(queries.list_environments, found.id)
    _print(found, environments)


def get_organization(db: Session, slug: str) -> Organization:
    """By its slug; says so where there is none."""
    found = queries.find_organization(db, slug)
    if found is None:
        raise Failed(f"There is no organization {slug}; `leavewell orgs list` shows all.")
    return found


def _print(organization: Organization, environments: list[Environment]) -> None:
    rows: list[tuple[str, object]] = [("organization", organization.name), ("slug", organization.slug)]
    pairs([*rows, *((f"{one.mode} App ID", one.app_id) for one in environments)])
