from datetime import UTC, datetime, timedelta

import pytest

from app.core.errors import TooManyRequests
from app.web.ratelimit import TokenBucket

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def seconds(number: float) -> datetime:
    return NOW + timedelta(seconds=number)


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(per_minute=60, burst=3)
    for _ in range(3):
        bucket.take("a", NOW)
    with pytest.raises(TooManyRequests) as refused:
        bucket.take("a", NOW)
    assert refused.value.retry_after == 1
    bucket.take("a", seconds(1))
    with pytest.raises(TooManyRequests):
        bucket.take("a", seconds(1.5))


def test_the_wait_is_long_enough() -> None:
    bucket = TokenBucket(per_minute=1, burst=1)
    bucket.take("a", NOW)
    with pytest.raises(TooManyRequests) as refused:
        bucket.take("a", seconds(10))
    assert refused.value.retry_after is not None
    bucket.take("a", seconds(10 + refused.value.retry_after))


def test_one_caller_does_not_use_up_anothers_share() -> None:
    bucket = TokenBucket(per_minute=1, burst=1)
    bucket.take("a", NOW)
    bucket.take("b", NOW)


def test_rest_does_not_save_up_more_than_a_burst() -> None:
    bucket = TokenBucket(per_minute=60, burst=2)
    bucket.take("a", NOW)
    for _ in range(2):
        bucket.take("a", seconds(86_400))
    with pytest.raises(TooManyRequests):
        bucket.take("a", seconds(86_400))


def test_a_clock_that_goes_back_refunds_nothing() -> None:
    bucket = TokenBucket(per_minute=60, burst=1)
    bucket.take("a", NOW)
    with pytest.raises(TooManyRequests):
        bucket.take("a", seconds(-3600))


def test_a_million_callers_do_not_fill_the_memory() -> None:
    bucket = TokenBucket(per_minute=60, burst=1, max_keys=100)
    for number in range(1000):
        bucket.take(str(number), NOW)
    assert len(bucket) == 100
    with pytest.raises(TooManyRequests):
        bucket.take("999", NOW)
