"""Who works in many transactions leaves room for others, as long as each of them took where others cannot queue."""

from app.db.database import Database
from app.db.turns import LONGEST_S, SHORTEST_S, pause_s


def test_gaps_are_as_long_as_what_lies_between_them_where_others_have_to_look_for_them(
    database: Database,
) -> None:
    took = {0.0: SHORTEST_S, SHORTEST_S: SHORTEST_S, 0.1: 0.1, LONGEST_S: LONGEST_S, 30.0: LONGEST_S}
    for took_s, expected in took.items():
        assert pause_s(database, took_s) == (expected if database.is_sqlite else SHORTEST_S)
