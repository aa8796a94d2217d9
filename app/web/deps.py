"""What a handler may ask for by name. The ports are made once, in `app.main`, and never change."""

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.mail import Mailer
from app.adapters.places import Places
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.db.database import Database
from app.settings import Settings
from app.web.assets import Assets
from app.web.render import Renderer


class Ports:
    """The process's ways out. A handler takes `ports: NamedDependency[Ports]`, or one of them by its name.

    Not a dataclass: Litestar would have msgspec look into its fields, which it cannot (and `settings`, which is
    one, cannot be asked for by itself).
    """

    __slots__ = (
        "assets",
        "clock",
        "database",
        "http",
        "mailer",
        "places",
        "renderer",
        "settings",
        "signer",
        "vault",
    )

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        clock: Clock,
        signer: Signer,
        vault: Vault,
        http: OutboundHttp,
        mailer: Mailer | None,
        renderer: Renderer,
        assets: Assets,
    ) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock
        self.signer = signer
        self.vault = vault
        self.http = http
        self.mailer = mailer  # None: no mail can be sent
        self.renderer = renderer
        self.assets = assets
        self.places = Places()


def ports_of(state: State) -> Ports:
    """Return the ports of an application's state."""
    ports: Ports = state.ports
    return ports


def dependencies(ports: Ports) -> dict[str, Provide]:
    """Return a provider for the ports and for each of them: `ports`, `database`, `clock`, …"""
    named = {name: getattr(ports, name) for name in Ports.__slots__ if name != "settings"}
    return constants(ports=ports, **named)


def constants(**values: object) -> dict[str, Provide]:
    """Return a provider for each value, by its name."""
    return {name: _constant(value) for name, value in values.items()}


def after_ports(**values: object) -> dict[str, Provide]:
    """As `constants`, each resolved after `ports`: for two that stand side by side Litestar starts a task group, and
    that takes a tenth of a request."""
    return {name: _after_ports(value) for name, value in values.items()}


def _after_ports(value: object) -> Provide:
    def provide(ports: NamedDependency[Ports]) -> object:
        return value

    return Provide(provide, sync_to_thread=False)


def _constant(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)
