"""A token bucket for each key, in this process's memory: bounds what one caller costs. No lock on a door."""

import math
from collections import OrderedDict
from datetime import datetime

from app.core.errors import TooManyRequests


class TokenBucket:
    """Lets `burst` through at once and `per_minute` on the long run, for each key.

    At most `max_keys` are remembered; the one idle longest is forgotten, which can only be to its favour.
    """

    def __init__(self, *, per_minute: float, burst: int | None = None, max_keys: int = 10_000) -> None:
        if per_minute <= 0:
            raise ValueError("a rate is above zero")
        self._per_second = per_minute / 60
        self._burst = float(burst if burst is not None else max(1, math.ceil(per_minute)))
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> tokens left, and when

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: datetime) -> None:
        """Use one token; raises TooManyRequests with the seconds until there is one."""
        if not self.spend(key, now):
            self.check(key, now)

    def check(self, key: str, now: datetime) -> None:
        """Use none; raises TooManyRequests where there is none."""
        left = self._left(key, now)
        if left < 1:
            raise TooManyRequests(retry_after=max(1, math.ceil((1 - left) / self._per_second)))

    def spend(self, key: str, now: datetime) -> bool:
        """Use one token if there is one; say whether there was."""
        left = self._left(key, now)
        self._buckets[key] = (left - 1 if left >= 1 else left, now.timestamp())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return left >= 1

    def _left(self, key: str, now: datetime) -> float:
        at = now.timestamp()
        left, last = self._buckets.get(key, (self._burst, at))
        return min(self._burst, left + max(0.0, at - last) * self._per_second)
