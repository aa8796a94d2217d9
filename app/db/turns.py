"""How long work in many transactions stands back between two of them, so that who else waits to write goes first."""

from typing import Final

from app.db.database import Database

SHORTEST_S: Final = 0.01  # who waits in this process, or for PostgreSQL's rows, is next anyway
LONGEST_S: Final = 0.25


def pause_s(database: Database, took_s: float) -> float:
    """The pause after a transaction that took so long, in seconds.

    On SQLite another process does not queue for the one writer: it looks again, in the end every 100 ms, and after some
    seconds gives up. Where gaps are as long as what lies between them, every other look finds one.
    """
    if not database.is_sqlite:
        return SHORTEST_S
    return min(max(took_s, SHORTEST_S), LONGEST_S)
