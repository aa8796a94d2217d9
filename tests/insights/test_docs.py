"""docs/data-api.md lists what there is in the code, no more and no less."""

import pytest

from app.accounts.service import Scope
from app.insights.dimensions import DIMENSIONS
from app.insights.filters import FILTERS
from app.insights.reference import OPERATIONS
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "data-api.md"
SPAN = {"startDate", "endDate", "timeZone", "format"}


@pytest.mark.parametrize(
    ("subject", "expected"),
    [("Scope", set(Scope)), ("Filters", set(FILTERS)), ("Dimensions", set(DIMENSIONS))],
)
def test_tables_have_every_word(subject: str, expected: set[str]) -> None:
    names = pages.table(PAGE, subject).names()
    assert set(names) == expected
    assert len(names) == len(set(names))


def test_the_published_document_has_every_parameter() -> None:
    described = {one.path.rpartition("/")[2]: {p.name for p in one.parameters} for one in OPERATIONS}
    assert described["sessions"] == {*FILTERS, *SPAN, "limit", "skip", "cursor"}
    assert described["session-aggregation"] == {*FILTERS, *SPAN, "breakdown", "sum"}
    assert described["api-usage"] == SPAN - {"timeZone"}
