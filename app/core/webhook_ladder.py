"""When a webhook that was not taken is tried again, and when to stop. Figures only: no clock, no chance."""

from datetime import datetime, timedelta
from typing import Final

# From one try to the next; the first is at once. Standard Webhooks 1.0, "Deliverability and reliability".
LADDER_S: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
MOST_TRIES: Final = len(LADDER_S)
JITTER: Final = 0.2  # of a wait, added at most: what failed together does not come again together
LONGEST_WAIT: Final = timedelta(days=1)


def next_try(
    *, tries: int, failed_at: datetime, chance: float, retry_after_s: float | None = None
) -> datetime | None:
    """When to try again after `tries` that failed; None when that was the last one.

    `chance` is random, from 0 to 1. `Retry-After` lengthens a wait and never shortens it.
    """
    if tries >= MOST_TRIES:
        return None
    wait = LADDER_S[tries] * (1 + JITTER * chance)
    asked = min(retry_after_s or 0.0, LONGEST_WAIT.total_seconds())
    return failed_at + timedelta(seconds=max(wait, asked))
