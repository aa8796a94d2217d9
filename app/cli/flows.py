"""flow: check, publish, export and simulate flow files. Checking and simulating need no database."""

import json
from datetime import datetime
from pathlib import Path

import click

from app.accounts import queries as accounts_queries
from app.adapters.billing import registry
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import new_secret
from app.cli.console import Failed, Workshop, read_text, remark, say, table, workshop
from app.cli.customers import read_world
from app.cli.orgs import get_organization
from app.cli.simulation import Choose, Simulation
from app.connections import service as connections
from app.core.billing import Capability
from app.core.calendar import parse_moment
from app.core.errors import InvalidInput
from app.core.flow_check import Problem, parse_flow, validate_flow
from app.core.flow_schema import json_schema
from app.core.world import Walk
from app.db.database import Session
from app.flows import queries, service
from app.flows.files import FlowFile, FlowFileError, dump_yaml, read_yaml
from app.flows.service import FlowNotPublishable
from app.web.formats import formats_for

EVERYTHING = frozenset(Capability)


@click.group()
def flow() -> None:
    """Cancel flows as YAML files."""


def _capabilities(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> frozenset[Capability] | None:
    if value is None:
        return None
    names = {name.strip() for name in value.split(",") if name.strip()}
    if unknown := sorted(names - set(Capability)):
        known = ", ".join(Capability)
        raise click.BadParameter(f"{', '.join(unknown)} is no capability. There are: {known}.")
    return frozenset(map(Capability, names))


def _provider(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> frozenset[Capability] | None:
    """What that billing system can do, found by connecting one that is never asked."""
    if value is None:
        return None
    kind = registry.PROVIDERS[value]
    samples = {"url": "https://billing.example.com", "signing_secrets": new_secret(), "text": "sample"}
    config = {one.name: samples[one.kind] for one in kind.credential_fields}
    return registry.connect(
        value, config, http=OutboundHttp(()), clock=SystemClock(), mode="test"
    ).capabilities


with_capabilities = click.option(
    "--capabilities",
    callback=_capabilities,
    help="What the billing system can do, comma-separated. At first: everything.",
)
with_provider = click.option(
    "--provider",
    "provided",
    type=click.Choice(list(registry.PROVIDERS)),
    callback=_provider,
    help="Instead: what this billing system can do.",
)


@flow.command()
@click.argument("files", nargs=-1, required=True)
@with_capabilities
@with_provider
def lint(
    files: tuple[str, ...],
    capabilities: frozenset[Capability] | None,
    provided: frozenset[Capability] | None,
) -> None:
    """Check flow files: every mistake, with line and column."""
    mistakes: list[str] = []
    for name in files:
        try:
            _read(name, provided or capabilities or EVERYTHING)
            remark(f"{name}: fine.")
        except FlowFileError as error:
            mistakes += str(error).splitlines()
    if mistakes:
        raise Failed(*mistakes)


@flow.command("import")
@click.argument("org")
@click.argument("file")
@click.option("--note", default="", help="A word on what has changed, kept with the version.")
def import_(org: str, file: str, note: str) -> None:
    """Publish FILE for ORG. New sessions walk it; those under way keep theirs."""
    read = _read(file, EVERYTHING)
    with workshop() as at:
        try:
            number, is_new = at.database.write_sync(_publish, at, org, read, note or Path(file).name)
        except FlowNotPublishable as error:
            problems = [Problem(found.field, found.message) for found in error.fields]
            raise FlowFileError(file, read.locate(problems)) from None
    if is_new:
        remark(f"Published as version {number} of {org}.")
    else:
        remark(f"This is what version {number} of {org} says already; nothing has changed.")


@flow.command()
@click.argument("org")
@click.option("--version", "number", type=click.IntRange(min=1), help="An earlier one, by its number.")
def export(org: str, number: int | None) -> None:
    """Print the flow that ORG has published, as YAML."""
    with workshop() as at:
        found = at.database.read_sync(get_organization, org)
        versions = at.database.read_sync(queries.list_versions, found.id, limit=1000)
    version = next((one for one in versions if number in (None, one.number)), None)
    if version is None:
        raise Failed(f"{org} has no version {number}." if number else f"{org} has published no flow yet.")
    click.echo(dump_yaml(parse_flow(version.definition)), nl=False)


@flow.command()
@click.argument("org")
def versions(org: str) -> None:
    """What ORG has published, newest first."""
    with workshop() as at:
        found = at.database.read_sync(get_organization, org)
        published = at.database.read_sync(queries.list_versions, found.id, limit=100)
    rows = [(one.number, one.published_at, one.definition.get("name"), one.note) for one in published]
    table(("VERSION", "PUBLISHED", "NAME", "NOTE"), rows, f"{org} has published no flow yet.")


@flow.command()
def schema() -> None:
    """Print the JSON Schema of flow files, for editors."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@flow.command()
@click.argument("file")
@click.argument("customer", required=False)
@click.option("--customer", "customer_option", help="The same, as an option.")
@click.option("--reason", help="The survey's answer, by its id.")
@click.option("--subscription", "subscription_id", help="Which one, if the customer has several.")
@click.option(
    "--choose",
    type=click.Choice(["accept", "decline"]),
    default="decline",
    show_default=True,
    help="What the customer does with offers.",
)
@click.option("--at", "moment", help="The time of the visit, ISO 8601. At first: now.")
@with_capabilities
@with_provider
def simulate(
    file: str,
    customer: str | None,
    customer_option: str | None,
    reason: str | None,
    subscription_id: str | None,
    choose: Choose,
    moment: str | None,
    capabilities: frozenset[Capability] | None,
    provided: frozenset[Capability] | None,
) -> None:
    """Print each screen that one customer would see, and why each rule did or did not match.

    CUSTOMER is a JSON file: {"customer": …, "subscriptions": […], "customerAttributes": {…}, "history": {…}}.
    """
    path = customer or customer_option
    if path is None or (customer and customer_option):
        raise click.UsageError("Give one file with the customer.")
    able = provided or capabilities or EVERYTHING
    definition = _read(file, able).definition
    now = _moment(moment)
    world = read_world(read_text(path), path, capabilities=able, now=now)
    if reason is not None:
        known = [one.id for step in definition.steps if step.kind == "survey" for one in step.reasons]
        if reason not in known:
            raise Failed(
                f"--reason: no survey has the reason {reason}; there are {', '.join(known) or 'none'}."
            )
    if subscription_id is not None and world.find_subscription(subscription_id) is None:
        raise Failed(f"--subscription: the customer has no subscription {subscription_id}.")
    walk = Walk("cs_simulated", definition, world, now)
    for line in Simulation(walk, formats_for(world.locale), choose, reason, subscription_id).lines():
        say(line)


def _read(name: str, capabilities: frozenset[Capability]) -> FlowFile:
    """A flow file that could be published. Raises FlowFileError."""
    read = read_yaml(read_text(name), name)
    problems = validate_flow(read.definition, capabilities)
    if problems:
        raise FlowFileError(name, read.locate(problems))
    return read


def _publish(db: Session, at: Workshop, org: str, read: FlowFile, note: str) -> tuple[int, bool]:
    organization = get_organization(db, org)
    before = queries.find_published(db, organization.id)
    version = service.publish(
        db,
        organization_id=organization.id,
        definition=read.definition,
        capabilities=_connected(db, at, organization.id),
        now=at.now,
        note=note,
    )
    return version.number, before is None or before.id != version.id


def _connected(db: Session, at: Workshop, organization_id: str) -> frozenset[Capability]:
    """What every connected billing system of the organization can do; one that is not connected yet forbids nothing."""
    able = EVERYTHING
    for environment in accounts_queries.list_environments(db, organization_id):
        try:
            able &= connections.capabilities(
                environment, vault=at.vault, http=OutboundHttp(()), clock=SystemClock()
            )
        except InvalidInput:
            continue
    return able


def _moment(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        return parse_moment(text)
    except ValueError as error:
        raise Failed(f"--at: {error}") from None
