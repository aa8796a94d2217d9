"""How often somebody may have something, in any stretch of time. Figures only: `db/limits.py` counts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in any `window`, for each party that it counts."""

    name: str
    most: int
    window: timedelta


# Mails that strangers have us send. By address: nobody is flooded. By network: nobody floods many.
SEND_GAP: Final = Limit("send_gap", 1, _MINUTE)
SENDS_PER_HOUR: Final = Limit("sends_per_hour", 5, _HOUR)
SENDS_PER_DAY: Final = Limit("sends_per_day", 20, _DAY)
SENDS_PER_IP: Final = Limit("sends_per_ip", 20, _HOUR)
SENDS_PER_ENVIRONMENT: Final = Limit("sends_per_environment", 1_000, _HOUR)

# Wrong codes. By address and across codes: a new code buys no new tries.
WRONG_PER_ADDRESS: Final = Limit("wrong_per_address", 10, _HOUR)
WRONG_PER_IP: Final = Limit("wrong_per_ip", 50, _HOUR)

# Requests that somebody leaves whose address nobody has proven.
REQUESTS_PER_IP: Final = Limit("requests_per_ip", 10, _HOUR)
REQUESTS_PER_ADDRESS: Final = Limit("requests_per_address", 3, _DAY)
REQUESTS_PER_ENVIRONMENT: Final = Limit("requests_per_environment", 200, _HOUR)
