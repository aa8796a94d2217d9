"""privacy: what is kept about a person, its erasure, and the proof of it."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Final

import click

from app.cli.console import Failed, Workshop, pairs, remark, say, workshop
from app.cli.orgs import get_organization
from app.db.tables.privacy import Erasure
from app.main import make_ports, privacy_ports_of
from app.privacy import access as accessing
from app.privacy import service
from app.worker import new_worker_name

MOST: Final = 1_000_000  # sessions; the API tells fewer
BY: Final = "cli"


@click.group()
def privacy() -> None:
    """Data subject requests, in both modes of an organization. ORG is its slug."""


@privacy.command()
@click.argument("org")
@click.argument("email")
def access(org: str, email: str) -> None:
    """Print all that is kept about an address, as JSON."""
    service.check_address(email)
    with workshop() as at:
        organization = at.database.read_sync(get_organization, org)
        for piece in _told(at, organization.id, email):
            sys.stdout.write(piece)
    say()


@privacy.command()
@click.argument("org")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(org: str, email: str, yes: bool) -> None:
    """Erase all that is kept about an address, for good. Counts and outcomes stay, and a proof that names nobody."""
    service.check_address(email)
    with workshop() as at:
        organization = at.database.read_sync(get_organization, org)
        if not yes:
            click.confirm(
                f"Erase everything about this address at {organization.name}?", abort=True, err=True
            )
        erasure = asyncio.run(_delete(at, organization.id, email))
    _show(erasure)
    if erasure.finished_at is None:
        remark("The worker goes on with it; `leavewell privacy proof` tells how it stands.")


@privacy.command()
@click.argument("org")
@click.argument("email")
def proof(org: str, email: str) -> None:
    """The erasures of an address, newest first. Needs the secret that they were made with."""
    service.check_address(email)
    with workshop() as at:
        organization = at.database.read_sync(get_organization, org)
        signer = make_ports(at.settings, database=at.database).signer
        found = at.database.read_sync(service.prove, signer, organization_id=organization.id, email=email)
    if not found:
        raise Failed("Nothing was ever erased for this address.")
    for number, erasure in enumerate(found):
        if number:
            say()
        _show(erasure)


async def _delete(at: Workshop, organization_id: str, email: str) -> Erasure:
    ports = make_ports(at.settings, database=at.database)
    try:
        return await service.delete(
            privacy_ports_of(ports, new_worker_name()),
            organization_id=organization_id,
            email=email,
            requested_by=BY,
        )
    finally:
        await ports.http.aclose()


def _told(at: Workshop, organization_id: str, email: str) -> Iterator[str]:
    known = at.database.read_sync(accessing.look_up, organization_id=organization_id, email=email, most=MOST)
    yield f'{{"email":{json.dumps(known.whose.key)}'
    for section in accessing.SECTIONS:
        yield f',"{section}":['
        comma = ""
        for ids in known.bites(section):
            for row in at.database.read_sync(accessing.tell, section, ids):
                yield comma + json.dumps(row)
                comma = ","
        yield "]"
    yield "}"


def _show(erasure: Erasure) -> None:
    pairs(
        [
            ("erasure", erasure.id),
            ("status", "done" if erasure.finished_at else "going on"),
            ("asked for", erasure.requested_at),
            ("by", erasure.requested_by),
            ("done", erasure.finished_at),
            *([("waiting", f"{erasure.waiting} whose change is being made")] if erasure.waiting else []),
            ("address hash", erasure.address_mac),
            *((f"  {name}", count) for name, count in erasure.counts.items()),
        ]
    )
