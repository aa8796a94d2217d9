"""The terminal: every failure as a line that says what to do, never a traceback; tables and pairs as plain text.

Exit codes: 0 done, 1 refused or failed, 2 the command itself was wrong.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import click
from sqlalchemy.exc import DBAPIError

from app.accounts.service import EnvironmentNotFound
from app.adapters.clock import SystemClock
from app.adapters.vault import SealBroken, Vault
from app.core.erasure import NOBODY
from app.core.errors import AppError, Unavailable
from app.db import schema
from app.db.database import Database
from app.flows.files import FlowFileError
from app.main import SchemaNotCurrentError
from app.settings import Settings, SettingsError

_SPAN: Final = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Failed(click.ClickException):
    """Something could not be done. Shown as `Error: …`; several problems are several lines."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: Any = None) -> None:
        for line in self.lines:
            click.echo(f"Error: {line}", err=True)


class Console(click.Group):
    """The whole command line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises becomes lines."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if os.environ.get("LEAVEWELL_LOG_LEVEL") == "debug":
                traceback.print_exc()
            raise _failure(error) from error


def _failure(error: Exception) -> Failed:
    match error:
        case FlowFileError():
            return Failed(*str(error).splitlines())
        case Unavailable() | DBAPIError():
            return Failed("The database cannot be used. Check DATABASE_URL, and that the database runs.")
        case EnvironmentNotFound():
            return Failed(f"{error.user_message} `leavewell orgs show ORG` tells an organization's.")
        case AppError() if error.fields:
            return Failed(
                *(
                    f"{field.field}: {field.message}" if field.field else field.message
                    for field in error.fields
                )
            )
        case AppError():
            return Failed(error.user_message)
        case SettingsError():
            return Failed(*error.problems)
        case SchemaNotCurrentError():
            return Failed(str(error))
        case SealBroken():
            return Failed(
                "LEAVEWELL_SECRET does not open what is stored; put the secret of then behind the new one."
            )
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return Failed(f"{named}{error.strerror or error}.")
        case _:
            said = " ".join(str(error).split())[:300]
            return Failed(
                f"Unforeseen: {type(error).__name__}: {said} (LEAVEWELL_LOG_LEVEL=debug shows where; please report it)"
            )


@dataclass(frozen=True)
class Workshop:
    """What commands that touch the database work with."""

    settings: Settings
    database: Database
    vault: Vault
    now: datetime


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Settings and a database of the right version, for one command."""
    settings = read_settings()
    check_schema(settings)
    with Database(settings.database_url, pool_size=1) as database:
        yield Workshop(settings, database, Vault(settings.secrets), SystemClock().now())


def read_settings() -> Settings:
    """Raises SettingsError."""
    return Settings.from_env(os.environ)


def check_schema(settings: Settings) -> None:
    """Raises SchemaNotCurrentError."""
    revision = schema.current_revision(settings.database_url)
    if revision != schema.HEAD:
        raise SchemaNotCurrentError(
            f"The database is at revision {revision or 'none'}, this version needs {schema.HEAD}. "
            "Run `leavewell migrate`."
        )


# --- Output -----------------------------------------------------------------------------------------------------------


def say(text: str = "") -> None:
    """One line, without what could steer a terminal: names and answers come from outside."""
    click.echo(clean(text))


def remark(text: str) -> None:
    """For the person, not for the pipe."""
    click.echo(clean(text), err=True)


def clean(text: str) -> str:
    return _UNPRINTABLE.sub("�", text)


def pairs(rows: Sequence[tuple[str, object]], indent: str = "") -> None:
    """Names and values, the values in one column."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"{indent}{name:<{width}}  {shown(value)}".rstrip())


def table(head: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Columns as wide as they need to be; `empty` where there is nothing."""
    if not rows:
        remark(empty)
        return
    cells = [[clean(shown(cell)).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    for row in [list(head), *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shown(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S UTC")
        case list() | tuple():
            return ", ".join(shown(item) for item in value) or "-"
        case _:
            return str(value)


def customer(customer_id: str) -> str:
    """Whose something is; of what was erased there is only that it was."""
    return "(erased)" if customer_id == NOBODY else customer_id


def read_text(path: str) -> str:
    """A file's text, or, for `-`, what is piped in."""
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError:
        raise Failed(f"{path}: this is not UTF-8 text.") from None


def assignments(given: Sequence[str]) -> dict[str, str]:
    """`name=value` arguments; `name=@file` takes the value from a file, so that a secret is in no shell history."""
    found: dict[str, str] = {}
    for number, text in enumerate(given, start=1):
        name, equals, value = text.partition("=")
        if not equals or not name:  # not quoted: it may be a secret whose name was forgotten
            raise click.UsageError(f"Number {number} of the fields is not of the form name=value.")
        if name in found:
            raise click.UsageError(f"{name} is given twice.")
        found[name] = read_text(value[1:]).strip() if value.startswith("@") else value
    return found


def span(option: str, text: str) -> timedelta:
    """How long `30m`, `12h` or `7d` is. Raises Failed, which names the option."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise Failed(f"{option}: Must be a number with m, h or d, such as 30m, 12h or 7d.")
    return int(found[1]) * _UNITS[found[2]]
