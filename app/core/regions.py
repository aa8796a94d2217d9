"""Where the law asks for more than elsewhere. Pure."""

from typing import Final

# Where the law asks for an exit on every screen: EU and EEA, the United Kingdom, the United States (DESIGN §5).
REGULATED: Final = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO GB US".split()  # noqa: SIM905 - reads as what it is, a list of country codes
)


def has_exit_everywhere(exit_policy: str, country: str | None) -> bool:
    """Whether *Cancel now* stands on every screen; an unknown country counts as a regulated one."""
    return exit_policy != "regulated" or country is None or country.upper() in REGULATED
