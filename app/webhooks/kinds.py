"""The words of this room: what an endpoint gets, how it is signed, why it is off, what became of a delivery. Pure."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

KEPT: Final = timedelta(days=30)  # the log of deliveries
OLD_SECRET_FOR: Final = timedelta(hours=24)
LONGEST_OLD_SECRET: Final = timedelta(days=30)
MOST_ENDPOINTS: Final = 20  # of an environment: each event becomes a row for every one


class Format(StrEnum):
    """`standard`: every event as Standard Webhooks has it. `compatible`: a finished session in Churnkey's envelope."""

    STANDARD = "standard"
    COMPATIBLE = "compatible"


class SigningScheme(StrEnum):
    """`v1`: HMAC-SHA256, one secret on both sides. `v1a`: Ed25519, the receiver has only the public key."""

    V1 = "v1"
    V1A = "v1a"


class DisabledReason(StrEnum):
    """`gone`: it answered 410. `failing`: it took nothing for as long as a delivery is tried."""

    OPERATOR = "operator"
    GONE = "gone"
    FAILING = "failing"


class DeliveryStatus(StrEnum):
    """`failed`: every try of a round did, and nobody has asked for another."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
