"""Why a change was not made, or a person has to make it: reasons of ours, told from what billing systems and merchants
say. Pure."""

from collections.abc import Iterable
from typing import Final

from app.core.eligibility import Blocker, ManualReason

NOT_MADE: Final = "not_made"
# Reasons of ours, why a change was not made or a person has to make it.
REASONS: Final = frozenset(
    {*map(str, Blocker), *map(str, ManualReason), NOT_MADE}
    | {"subscription_unclear", "subscription_not_found", "withdrawn", "changed_since_shown"}
    | {"provider_unavailable", "not_verified"}
)
EMAIL_NOT_VERIFIED: Final = "email_not_verified"  # of each request whose address nobody has proven
# All that a session or a request can give as a reason in words of ours. Whatever else stands there was said by
# somebody else, who may have named the customer.
OWN_REASONS: Final = REASONS | {EMAIL_NOT_VERIFIED}


def own_reasons(reasons: Iterable[str]) -> tuple[str, ...]:
    """As many reasons, in their order, with NOT_MADE in the place of each that is not of OWN_REASONS."""
    return tuple(reason if reason in OWN_REASONS else NOT_MADE for reason in reasons)
