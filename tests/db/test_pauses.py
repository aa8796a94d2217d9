"""Who works in many transactions leaves room for others, as long as each of them took where others cannot queue."""

from app.db.database import Database
from app.db.pauses import LONGEST_S, LOOK_S, SHORT_S, pause_s


def test_no_gap_is_shorter_than_others_take_between_two_looks_where_they_have_to_look_for_it(
    database: Database,
) -> None:
    took = {0.0: LOOK_S, LOOK_S: LOOK_S, 0.2: 0.2, LONGEST_S: LONGEST_S, 30.0: LONGEST_S}
    for took_s, expected in took.items():
        assert expected > 0.1  # SQLite's busy handler looks no less often
        assert pause_s(database, took_s) == (expected if database.is_sqlite else SHORT_S)
