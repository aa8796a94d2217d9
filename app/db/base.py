"""What every table is made of: names, ids, column types. Holds no engine and no query."""

import secrets
from typing import Any, ClassVar

import msgspec
from sqlalchemy import JSON, Index, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime as UtcDateTime

__all__ = [
    "Json",
    "Table",
    "UtcDateTime",
    "added",
    "dump_json",
    "load_json",
    "metadata",
    "new_id",
    "still_personal",
    "where_known",
]

# Named constraints, because a migration can only drop or alter what it can name.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# `none_as_null`: an absent value is SQL NULL, never the JSON text `null`.
# A change inside a value goes unnoticed: assign a new dict or list.
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Table(SQLModel):
    """Base of the tables. A `datetime` column is aware UTC on both databases and refuses a naive value."""

    metadata: ClassVar[MetaData] = metadata


def added(default: str | int) -> Any:
    """A column that came to a table with rows in it: the database, too, knows what those have."""
    return Field(default=default, sa_column_kwargs={"server_default": str(default)})


def where_known(column: str) -> Index:
    """An index of the rows that have the value: few do, and the others pay nothing for it."""
    has_it = text(f"{column} IS NOT NULL")
    return Index(None, column, sqlite_where=has_it, postgresql_where=has_it)


def where_open(column: str) -> Index:
    """An index of the rows that are not closed yet: however many there have been, those are few."""
    is_open = text("closed_at IS NULL")
    return Index(None, column, sqlite_where=is_open, postgresql_where=is_open)


def still_personal(table: str, *columns: str, where: str) -> Index:
    """An index of what retention has yet to take out of a table, oldest first: it stays as small as that is."""
    is_personal = text(where)
    return Index(f"ix_{table}_personal", *columns, sqlite_where=is_personal, postgresql_where=is_personal)


def new_id(prefix: str) -> str:
    """A fresh id such as `cs_3f0c…`: 96 random bits, so ids neither collide nor can be guessed."""
    return f"{prefix}_{secrets.token_hex(12)}"


def dump_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load_json(text: str | bytes) -> Any:
    return msgspec.json.decode(text)
