"""What an adapter is given when it is connected, and what it asks a merchant for. Knows no vendor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.core.direct import DirectCustomer, DirectSubscription

Mode = Literal["live", "test"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The customer and subscriptions that the merchant sent along; all that there is to see for `direct`."""

    customer: DirectCustomer | None = None
    subscriptions: tuple[DirectSubscription, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """One environment's way to its billing system. `config` has the values of the credential fields."""

    config: Mapping[str, str]
    mode: Mode
    http: OutboundHttp
    clock: Clock
    snapshot: Snapshot = Snapshot()


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One thing that a merchant enters to connect a billing system. Secrets are shown to nobody again.

    `modes`: beginnings of values that are of one mode only. `begins`: how each of its values, with spaces between, has
    to begin. `is_for_webhooks`: no secret, and without it none can be checked.
    """

    name: str
    label: str
    hint: str
    kind: Literal["text", "url", "signing_secrets"] = "text"
    is_secret: bool = False
    is_required: bool = True
    choices: tuple[str, ...] = ()  # if there are any, the value is one of them
    modes: tuple[tuple[str, Mode], ...] = ()
    begins: str = ""
    is_for_webhooks: bool = False


# Another address than the vendor's own: his sandbox, a proxy, or a simulator in tests.
API_BASE = CredentialField(
    "api_base",
    "API address",
    "Only to talk to another address than the vendor's.",
    kind="url",
    is_required=False,
)


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """A billing system that can be connected. Its `module`, loaded on first use, has a `connect`.

    `most_at_once`: how many calls of one process may be under way at one connection. `has_inbound`: the vendor tells
    of changes by webhooks, which `verify_inbound` checks. `challenged_by`: the query field in which the vendor sends
    the challenge that `answer_challenge` is for, before he takes an address for his webhooks; "" if he sends none.
    """

    name: str
    label: str
    module: str
    credential_fields: tuple[CredentialField, ...]
    most_at_once: int = 32
    has_inbound: bool = False
    challenged_by: str = ""
