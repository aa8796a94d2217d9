"""The six customers walk through, with JavaScript and without: the same screens, requests and changes."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Visitors
from tests.e2e.journeys import JOURNEYS, Journey
from tests.e2e.stage import Stage, opened
from tests.e2e.visitor import Visitor
from tests.support.browser import Contexts

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.walk.__name__)
def test_each_customer_goes_their_own_way(stage: Stage, visitor: Visitors, journey: Journey) -> None:
    sent = []
    for javascript in (True, False):
        stage.reset()
        customer = visitor(javascript=javascript)
        journey.walk(customer)
        assert {name: stage.changes(name) for name in journey.changes} == journey.changes
        sent.append(customer.sent)
    assert sent[0] == sent[1]


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo with the shop's own action URL in place of the billing service's API."""
    with opened(tmp_path_factory.mktemp("direct"), provider="direct") as stage:
        yield stage


_ON_DIRECT = ("half_price_for_a_long_pro", "a_break_of_a_year_that_is_paid_for", "one_of_two_subscriptions")
DIRECT = [j for j in JOURNEYS if j.walk.__name__ in _ON_DIRECT]


@pytest.mark.parametrize("journey", DIRECT, ids=lambda journey: journey.walk.__name__)
def test_the_shop_can_carry_changes_out_itself(
    direct: Stage, new_context: Contexts, journey: Journey
) -> None:
    direct.reset()
    journey.walk(Visitor(new_context().new_page(), direct.url))
    assert {name: direct.changes(name) for name in journey.changes} == journey.changes
