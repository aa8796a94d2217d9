"""A merchant's colours, font and logo: checked, and made readable in light and in dark. Pure.

Contrast is WCAG 2.2's. What draws lines and marks gets the 4.5:1 of text, more than the 3:1 they need, so
that it can be written in as well (success criteria 1.4.3 and 1.4.11).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, cast

from app.core.errors import FieldError, InvalidInput

Scheme = Literal["auto", "light", "dark"]

READABLE: Final = 4.5

# System fonts only: nothing is fetched, and nothing that a merchant types gets into the style sheet.
FONTS: Final[Mapping[str, str]] = MappingProxyType({
    "system": 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif',
    "humanist": 'Seravek,"Gill Sans Nova",Ubuntu,Calibri,"DejaVu Sans",sans-serif',
    "geometric": 'Avenir,Montserrat,Corbel,"URW Gothic",sans-serif',
    "rounded": 'ui-rounded,"Hiragino Maru Gothic ProN",Quicksand,"Arial Rounded MT Bold",Calibri,sans-serif',
    "serif": 'Charter,"Bitstream Charter","Sitka Text",Cambria,serif',
    "mono": 'ui-monospace,"Cascadia Code",Menlo,Consolas,"DejaVu Sans Mono",monospace',
})  # fmt: skip
SCHEMES: Final = ("auto", "light", "dark")
MAX_RADIUS: Final = 24
FIELDS: Final = ("brand", "font", "radius", "scheme", "logo")

_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_OWN_PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


@dataclass(frozen=True, slots=True)
class Colour:
    """An opaque sRGB colour, each channel 0 to 255."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    def luminance(self) -> float:
        """Relative luminance, 0 for black to 1 for white (WCAG 2.2, glossary)."""
        red, green, blue = (_linear(channel / 255) for channel in (self.red, self.green, self.blue))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def mix(self, other: "Colour", share: float) -> "Colour":
        """This colour with `share` (0 to 1) of another one, as CSS color-mix(in srgb) has it."""
        pairs = ((self.red, other.red), (self.green, other.green), (self.blue, other.blue))
        red, green, blue = (round(mine + (theirs - mine) * share) for mine, theirs in pairs)
        return Colour(red, green, blue)


BLACK: Final = Colour(0, 0, 0)
WHITE: Final = Colour(255, 255, 255)
DEFAULT_BRAND: Final = Colour(0x3B, 0x5B, 0xDB)

# What the accent stands on in static/css/hosted.css: the sheet and the page, and the share of the accent
# that tints the sheet under a chosen card.
TINT: Final = 0.06
LIGHT_GROUNDS: Final = (Colour(255, 255, 255), Colour(0xF5, 0xF6, 0xF8))
DARK_GROUNDS: Final = (Colour(0x17, 0x1A, 0x20), Colour(0x0E, 0x10, 0x14))


@dataclass(frozen=True, slots=True)
class Shade:
    """One scheme's colours: `brand` is filled and written on in `on_brand`, `accent` draws on the sheet."""

    brand: Colour
    on_brand: Colour
    accent: Colour


@dataclass(frozen=True, slots=True)
class Theme:
    brand: Colour = DEFAULT_BRAND
    font: str = "system"
    radius: int = 14
    scheme: Scheme = "auto"
    logo_url: str | None = None

    def light(self) -> Shade:
        """The merchant's own colour; lines get a darker one where it is too pale for them."""
        accent = readable(self.brand, towards=BLACK, grounds=LIGHT_GROUNDS)
        return Shade(self.brand, on(self.brand), accent)

    def dark(self) -> Shade:
        """The merchant's colour, lightened as far as a dark page needs."""
        accent = readable(self.brand, towards=WHITE, grounds=DARK_GROUNDS)
        return Shade(accent, on(accent), accent)

    def css(self) -> str:
        """Return what overrides the tokens of hosted.css; every part of it is ours or was checked."""
        light, dark = self.light(), self.dark()
        plain = ";".join(f"{name}:{colour}" for name, colour in _tokens(light))
        both = ";".join(
            f"{name}:light-dark({day},{night})"
            for (name, day), (_, night) in zip(_tokens(light), _tokens(dark), strict=True)
        )
        return (
            f":root{{{plain};--font:{FONTS[self.font]};--radius:{self.radius}px}}"
            f"@supports (color:light-dark(red,red)){{:root{{{both}}}}}"
        )


def parse_theme(given: Mapping[str, object]) -> Theme:
    """Return the theme an administrator set; raises InvalidInput that names each wrong field."""
    problems = [FieldError(str(name), "is not part of a theme") for name in given if name not in FIELDS]
    brand, font = given.get("brand", str(DEFAULT_BRAND)), given.get("font", "system")
    radius, scheme, logo = given.get("radius", 14), given.get("scheme", "auto"), given.get("logo")
    if not (isinstance(brand, str) and _HEX.fullmatch(brand)):
        problems.append(FieldError("brand", "must be a colour such as #3b5bdb"))
    if not (isinstance(font, str) and font in FONTS):
        problems.append(FieldError("font", f"must be one of {', '.join(FONTS)}"))
    if isinstance(radius, bool) or not isinstance(radius, int) or not 0 <= radius <= MAX_RADIUS:
        problems.append(FieldError("radius", f"must be a whole number of pixels from 0 to {MAX_RADIUS}"))
    if scheme not in SCHEMES:
        problems.append(FieldError("scheme", f"must be one of {', '.join(SCHEMES)}"))
    if logo is not None and not (isinstance(logo, str) and len(logo) <= 200 and _OWN_PATH.fullmatch(logo)):
        problems.append(FieldError("logo", "must be a path on this server, such as /static/img/logo.svg"))
    if problems:
        raise InvalidInput(fields=problems)
    return Theme(
        brand=_colour(cast("str", brand)),
        font=cast("str", font),
        radius=cast("int", radius),
        scheme=cast("Scheme", scheme),
        logo_url=cast("str | None", logo),
    )


def stored_theme(stored: Mapping[str, object]) -> Theme:
    """Return an environment's theme. It was checked when saved; if it is not valid any more, that costs its colours."""
    return _stored_theme(json.dumps(stored, sort_keys=True))


@lru_cache(maxsize=256)
def _stored_theme(stored: str) -> Theme:
    try:
        return parse_theme(json.loads(stored))
    except InvalidInput:
        return Theme()


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio, 1 to 21 (WCAG 2.2, glossary)."""
    darker, lighter = sorted((one.luminance(), other.luminance()))
    return (lighter + 0.05) / (darker + 0.05)


def on(ground: Colour) -> Colour:
    """Return black or white, whichever reads better on a ground; one of them always has 4.5:1."""
    return max(WHITE, BLACK, key=lambda ink: contrast(ink, ground))


def readable(colour: Colour, *, towards: Colour, grounds: tuple[Colour, ...]) -> Colour:
    """Return the colour, or its nearest mix with `towards` that reads on every ground, tinted or not."""
    return next(
        shade
        for shade in _mixes(colour, towards)
        if all(
            contrast(shade, g) >= READABLE and contrast(shade, g.mix(shade, TINT)) >= READABLE
            for g in grounds
        )
    )


def _mixes(colour: Colour, towards: Colour) -> Iterator[Colour]:
    return (colour.mix(towards, step / 64) for step in range(65))


def _tokens(shade: Shade) -> tuple[tuple[str, Colour], ...]:
    return ("--brand", shade.brand), ("--on-brand", shade.on_brand), ("--accent", shade.accent)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _colour(text: str) -> Colour:
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return Colour(*(int(digits[at : at + 2], 16) for at in (0, 2, 4)))
