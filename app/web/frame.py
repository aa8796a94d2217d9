"""The frame around every hosted page: whose page it is, how it looks, where one can go. Decides nothing."""

from dataclasses import dataclass

from app.core.errors import FieldError


@dataclass(frozen=True, slots=True)
class Frame:
    """What `layouts/hosted.html` draws around a screen. The defaults are a page that names no organization.

    `title` is the screen's heading. `exit` shows "Cancel now", which submits the form `#step`; `action` is
    that form's address. `notice` is a sentence before the heading. `refresh_seconds` makes a
    page without JavaScript load itself again. `theme` is the style sheet of app/web/theme.py.
    """

    title: str
    brand_name: str = ""
    lang: str = "en"
    direction: str = "ltr"
    logo_url: str | None = None
    theme: str = ""
    color_scheme: str = "auto"
    is_test: bool = False
    contact_label: str | None = None
    contact_href: str | None = None
    exit: bool = False
    back_href: str | None = None
    csrf_token: str | None = None
    action: str = ""
    errors: tuple[FieldError, ...] = ()
    notice: str | None = None
    refresh_seconds: int | None = None
