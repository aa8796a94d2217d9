"""What the shop has to be told before it opens: its two services, and the secrets shared with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeGuard

from demo.mailbox import Mailbox

Mode = Literal["test", "live"]
MODES: Final[tuple[Mode, ...]] = ("test", "live")

SUPPORT_EMAIL: Final = "help@northwind.example"


def is_mode(value: object) -> TypeGuard[Mode]:
    """Whether a value from outside names one of the two modes."""
    return value in MODES


@dataclass(frozen=True)
class Keys:
    """How Leavewell knows the shop in one mode. The API key also proves what Leavewell sends."""

    app_id: str
    api_key: str


@dataclass(frozen=True)
class ShopConfig:
    """The shop's settings.

    `origins` are the addresses that the shop answers on; the first is used where a request names another one.
    `action_secrets` (`whsec_…`) and `sends_billing_data` are for Leavewell's `direct` provider: it has no
    billing system to look in, so each link is minted with customer and subscriptions in Direct shapes.
    `provider` is the billing system's name; `names` says what it calls what the demo calls `cus_ben` and so on.
    `mail` is where Leavewell's mails arrive: a mailbox to look into, or the name of a server that has none here.
    """

    origins: tuple[str, ...]
    leavewell_url: str
    billing_url: str
    billing_key: str
    cookie_secret: str
    keys: Mapping[Mode, Keys]
    action_secrets: Mapping[Mode, str]
    sends_billing_data: bool = False
    mail: Mailbox | str = ""
    support_email: str = SUPPORT_EMAIL
    provider: str = "demo"
    names: Mapping[str, str] = field(default_factory=dict)

    def billing_id(self, name: str) -> str:
        """What the billing system calls a customer of the demo."""
        return self.names.get(name, name)

    def demo_name(self, billing_id: str) -> str:
        """The other way round."""
        return next((name for name, given in self.names.items() if given == billing_id), billing_id)
