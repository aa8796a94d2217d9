"""keys: make, list and revoke API keys."""

import click

from app.accounts import queries, service
from app.cli.console import Workshop, remark, say, table, workshop
from app.db.tables.accounts import ApiKey


@click.group()
def keys() -> None:
    """API keys of an environment. Several may be active, so that one can be changed without a gap."""


@keys.command()
@click.argument("app_id")
@click.option("--data", "is_data", is_flag=True, help="A key for the Data API, which mints no links.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in service.Scope]),
    help="What a data key may do; may be given several times.  [default: "
    + ", ".join(service.DEFAULT_SCOPES)
    + "]",
)
def create(app_id: str, is_data: bool, scopes: tuple[str, ...]) -> None:
    """Make a key and print it, this once."""
    if scopes and not is_data:
        raise click.UsageError("Scopes belong to data keys: add --data.")
    with workshop() as at:
        if is_data:
            made = at.database.write_sync(
                service.create_data_key,
                at.vault,
                app_id=app_id,
                scopes=scopes or service.DEFAULT_SCOPES,
                now=at.now,
            )
        else:
            made = at.database.write_sync(service.create_key, at.vault, app_id=app_id, now=at.now)
    say(made.secret)
    remark(f"This is key {made.id}. It is not shown again: keep it on your server, where no browser sees it.")


@keys.command("list")
@click.argument("app_id")
def list_(app_id: str) -> None:
    """The environment's keys, oldest first, those for data last."""
    with workshop() as at:
        at.database.read_sync(service.get_environment, app_id)
        found = _keys_of(at, app_id)
    rows = [
        (
            key.id,
            f"…{key.hint}",
            "revoked" if key.revoked_at else "active",
            key.created_at,
            key.last_used_at,
            f"data: {', '.join(key.scopes)}" if key.scopes else "links",
        )
        for key in found
    ]
    table(
        ("KEY", "ENDS IN", "STATUS", "MADE", "LAST USED", "FOR"),
        rows,
        f"There is no key yet: leavewell keys create {app_id}",
    )


@keys.command()
@click.argument("app_id")
@click.argument("key_id")
def revoke(app_id: str, key_id: str) -> None:
    """End a key, at once. Links that it minted keep working."""
    with workshop() as at:
        at.database.read_sync(service.get_environment, app_id)
        at.database.write_sync(service.revoke_key, app_id=app_id, key_id=key_id, now=at.now)
        there = _keys_of(at, app_id)
    kind = next(key.kind for key in there if key.id == key_id)
    left = [key for key in there if key.kind == kind and key.revoked_at is None]
    remark(f"{key_id} is revoked; {len(left)} active." if left else f"{key_id} is revoked; no key is left.")


def _keys_of(at: Workshop, app_id: str) -> list[ApiKey]:
    """Those that mint links, then those for data."""
    return [
        key
        for kind in ("flow", "data")
        for key in at.database.read_sync(queries.list_keys, app_id, kind=kind)
    ]
