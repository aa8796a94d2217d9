"""flow: check, publish, export and simulate flow files. Checking and simulating need no database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.billing import registry
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import new_secret
from app.cli.catalogs import Connected, NoAnswer, connected, find_connected
from app.cli.console import Failed, Workshop, read_text, remark, say, table, workshop
from app.cli.customers import read_world
from app.cli.orgs import get_organization
from app.cli.simulation import Choose, Simulation
from app.core.billing import Capability
from app.core.calendar import parse_moment
from app.core.direct import DirectCoupon, DirectPrice
from app.core.flow_check import SOME_PROVIDER, parse_flow, remarks, validate_flow
from app.core.flow_schema import json_schema
from app.core.money import Money
from app.core.world import Walk
from app.db.database import Session
from app.flows import queries, service
from app.flows.files import FlowFile, FlowFileError, dump_yaml, read_yaml
from app.web.formats import Formats, formats_for

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


@dataclass(frozen=True)
class Able:
    """What a billing system can do, and what people call it."""

    capabilities: frozenset[Capability]
    label: str = SOME_PROVIDER


def _provider(context: click.Context, parameter: click.Parameter, value: str | None) -> Able | None:
    """What that billing system can do, found by connecting one that is never asked."""
    if value is None:
        return None
    kind = registry.PROVIDERS[value]
    samples = {"url": "https://billing.example.com", "signing_secrets": new_secret(), "text": "sample"}
    config = {
        one.name: one.choices[0] if one.choices else samples[one.kind] for one in kind.credential_fields
    }
    connected = registry.connect(value, config, http=OutboundHttp(()), clock=SystemClock(), mode="test")
    return Able(connected.capabilities, kind.label)


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
@click.option(
    "--app",
    "app_id",
    help="Instead: the billing system of this environment. It is asked for the prices and coupons that are named.",
)
def lint(
    files: tuple[str, ...],
    capabilities: frozenset[Capability] | None,
    provided: Able | None,
    app_id: str | None,
) -> None:
    """Check flow files: every mistake, with line and column; and what is worth knowing."""
    able = provided or Able(capabilities or EVERYTHING)
    if app_id is None:
        _lint(files, able)
        return
    with workshop() as at:
        billing = connected(at, at.database.read_sync(accounts.get_environment, app_id))
        read = _lint(files, Able(billing.capabilities, billing.label))
        for name, one in read.items():
            _remark_on_ids(at, name, one, billing)


def _lint(files: Sequence[str], able: Able) -> dict[str, FlowFile]:
    """The files, each fit for that billing system. Raises Failed with the mistakes of all."""
    mistakes: list[str] = []
    read: dict[str, FlowFile] = {}
    for name in files:
        try:
            read[name] = _read(name, able)
        except FlowFileError as error:
            mistakes += str(error).splitlines()
    for name, one in read.items():
        found = one.locate(remarks(one.definition, able.capabilities, provider=able.label))
        for problem in found:
            remark(f"{name}, {problem}")
        remark(f"{name}: fine.")
    if mistakes:
        raise Failed(*mistakes)
    return read


def _remark_on_ids(at: Workshop, name: str, read: FlowFile, billing: Connected) -> None:
    """Name what the billing system does not have. That it does not answer keeps nobody from anything."""
    try:
        unknown = billing.check_ids(at, read.definition)
    except NoAnswer as why:
        remark(f"{name}: prices and coupons are not checked. {why}")
        return
    for problem in read.locate(unknown):
        remark(f"{name}, {problem}")


@flow.command("import")
@click.argument("org")
@click.argument("file")
@click.option("--note", default="", help="A word on what has changed, kept with the version.")
def import_(org: str, file: str, note: str) -> None:
    """Publish FILE for ORG. New sessions walk it; those under way keep theirs."""
    read = _read(file, Able(EVERYTHING))
    with workshop() as at:
        organization = at.database.read_sync(get_organization, org)
        environments = at.database.read_sync(accounts_queries.list_environments, organization.id)
        billing = [found for one in environments if (found := find_connected(at, one)) is not None]
        problems = [
            problem
            for one in billing
            for problem in validate_flow(read.definition, one.capabilities, provider=one.label)
        ]
        if problems:
            raise FlowFileError(file, read.locate(list(dict.fromkeys(problems))))
        able = frozenset.intersection(EVERYTHING, *(one.capabilities for one in billing))
        number, is_new = at.database.write_sync(_publish, at, org, read, able, note or Path(file).name)
        for one in billing:
            for problem in read.locate(remarks(read.definition, one.capabilities, provider=one.label)):
                remark(f"{file}, {problem}")
            _remark_on_ids(at, f"{file} ({one.environment.app_id})", read, one)
    if is_new:
        remark(f"Published as version {number} of {org}.")
    else:
        remark(f"This is what version {number} of {org} says already; nothing has changed.")


@flow.command()
@click.argument("app_id")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Of each, at most.")
def catalog(app_id: str, limit: int) -> None:
    """What offers can name at the billing system of APP_ID: its prices and coupons, the newest first."""
    with workshop() as at:
        billing = connected(at, at.database.read_sync(accounts.get_environment, app_id))
        try:
            found = billing.price_list(at)
        except NoAnswer as why:
            raise Failed(str(why)) from None
    formats = formats_for("en")
    prices = [_price_row(one, formats) for one in found.prices[:limit]]
    coupons = [_coupon_row(one, formats) for one in found.coupons[:limit]]
    table(("PRICE", "NAME", "AMOUNT", "EVERY"), prices, f"{billing.label} lists no prices.")
    say()
    table(("COUPON", "NAME", "OFF", "FOR"), coupons, f"{billing.label} lists no coupons.")
    if len(found.prices) > limit or len(found.coupons) > limit:
        remark("There are more; --limit shows up to 100 of each.")


def _price_row(price: DirectPrice, formats: Formats) -> Sequence[object]:
    every, money = price.duration, price.money
    return (
        price.id,
        price.name,
        formats.money(money) if money else "tiered",
        formats.interval(every.interval, every.interval_count) if every else None,
    )


def _coupon_row(coupon: DirectCoupon, formats: Formats) -> Sequence[object]:
    off = formats.percent(coupon.percent_off) if coupon.percent_off is not None else None
    if coupon.amount_off is not None and coupon.currency is not None:
        off = formats.money(Money(coupon.amount_off, coupon.currency))
    months = coupon.duration_in_months
    lasts = f"{months} months" if coupon.duration == "repeating" and months else coupon.duration
    return (coupon.id, coupon.name, off, lasts)


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
    provided: Able | None,
) -> None:
    """Print each screen that one customer would see, and why each rule did or did not match.

    CUSTOMER is a JSON file: {"customer": …, "subscriptions": […], "customerAttributes": {…}, "history": {…}}.
    """
    path = customer or customer_option
    if path is None or (customer and customer_option):
        raise click.UsageError("Give one file with the customer.")
    able = provided or Able(capabilities or EVERYTHING)
    definition = _read(file, able).definition
    now = _moment(moment)
    world = read_world(read_text(path), path, capabilities=able.capabilities, now=now)
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


def _read(name: str, able: Able) -> FlowFile:
    """A flow file that could be published. Raises FlowFileError."""
    read = read_yaml(read_text(name), name)
    problems = validate_flow(read.definition, able.capabilities, provider=able.label)
    if problems:
        raise FlowFileError(name, read.locate(problems))
    return read


def _publish(
    db: Session, at: Workshop, org: str, read: FlowFile, able: frozenset[Capability], note: str
) -> tuple[int, bool]:
    organization = get_organization(db, org)
    before = queries.find_published(db, organization.id)
    version = service.publish(
        db,
        organization_id=organization.id,
        definition=read.definition,
        capabilities=able,
        now=at.now,
        note=note,
    )
    return version.number, before is None or before.id != version.id


def _moment(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        return parse_moment(text)
    except ValueError as error:
        raise Failed(f"--at: {error}") from None
