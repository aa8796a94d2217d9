"""Nobody is stuck without a link: by an address and a code, with JavaScript and without, the same screens and requests."""

import pytest

from tests.e2e.by_email import WAYS, Way
from tests.e2e.conftest import Visitors
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.walk.__name__)
def test_whoever_has_no_link_gets_out(stage: Stage, visitor: Visitors, way: Way) -> None:
    sent = []
    for javascript in (True, False):
        stage.reset()
        people: list[Visitor] = []

        def newcomer(javascript: bool = javascript, people: list[Visitor] = people) -> Visitor:
            people.append(visitor(javascript=javascript))
            return people[-1]

        way.walk(stage, newcomer)
        assert {name: stage.changes(name) for name in way.changes} == way.changes
        sent.append([person.sent for person in people])
    assert sent[0] == sent[1]
