"""Builds the frame around a screen: the merchant's name, colours and contact, and the ways back and out."""

from functools import lru_cache
from typing import Final

from app.cancel.screens import Link
from app.core import regions
from app.core.errors import FieldError
from app.db.tables.accounts import Environment
from app.web.copy import Copy
from app.web.frame import Frame
from app.web.theme import Theme, stored_theme

RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur", "yi"})


def frame_of(
    environment: Environment,
    *,
    brand_name: str,
    copy: Copy,
    title: str,
    action: str = "",
    exit: bool = False,
    back_href: str | None = None,
    csrf_token: str | None = None,
    errors: tuple[FieldError, ...] = (),
    notice: str | None = None,
    refresh_seconds: int | None = None,
) -> Frame:
    """The frame of one of the merchant's pages."""
    theme = stored_theme(environment.theme)
    contacts = contacts_of(environment)
    return Frame(
        title=title,
        brand_name=brand_name,
        lang=copy.language,
        direction="rtl" if copy.locale.language in RIGHT_TO_LEFT else "ltr",
        logo_url=theme.logo_url,
        theme=_css(theme),
        color_scheme=theme.scheme,
        is_test=environment.mode == "test",
        contact_label=contacts[0].label if contacts else None,
        contact_href=contacts[0].href if contacts else None,
        exit=exit,
        back_href=back_href,
        csrf_token=csrf_token,
        action=action,
        errors=errors,
        notice=notice,
        refresh_seconds=refresh_seconds,
    )


def contacts_of(environment: Environment) -> tuple[Link, ...]:
    """How to reach the merchant, as a person reads it."""
    ways = []
    if environment.contact_email:
        ways.append(Link(environment.contact_email, f"mailto:{environment.contact_email}"))
    if environment.contact_url:
        ways.append(Link(environment.contact_url.split("://", 1)[-1].rstrip("/"), environment.contact_url))
    return tuple(ways)


def has_exit_everywhere(environment: Environment, country: str | None) -> bool:
    """Whether *Cancel now* stands on every screen."""
    return regions.has_exit_everywhere(environment.exit_policy, country)


@lru_cache(maxsize=256)
def _css(theme: Theme) -> str:
    return theme.css()
