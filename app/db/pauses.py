"""How long work in many transactions stands back between two of them, so that who else waits to write goes first."""

from typing import Final

from app.db.database import Database

SHORT_S: Final = 0.01  # who waits in this process, or for PostgreSQL's rows, is next anyway
LOOK_S: Final = 0.11
LONGEST_S: Final = 0.25


def pause_s(database: Database, took_s: float) -> float:
    """The pause after a transaction that took so long, in seconds.

    On SQLite another process does not queue for the one writer: it looks again, in the end every 100 ms, and after some
    seconds gives up. No gap is shorter than that, nor, within reason, than what lies between two of them.
    """
    if not database.is_sqlite:
        return SHORT_S
    return min(max(took_s, LOOK_S), LONGEST_S)
