"""The colours of a mail: those of the hosted page, written out, because mail readers know no variables. Pure."""

from dataclasses import dataclass
from typing import Final

from app.web.theme import DARK_GROUNDS, LIGHT_GROUNDS, TINT, Colour, Shade

EDGE: Final = 0.22  # the accent's share in the line around a card


@dataclass(frozen=True, slots=True)
class Palette:
    """One scheme: grounds, inks and lines as in static/css/hosted.css, the rest from the merchant's theme."""

    page: Colour
    sheet: Colour
    ink: str
    soft: str
    line: str
    warn: str
    brand: Colour
    on_brand: Colour
    accent: Colour
    card: Colour
    edge: Colour


def light(shade: Shade) -> Palette:
    return _palette(shade, LIGHT_GROUNDS, ink="#16181d", soft="#565d6b", line="#dfe3ea", warn="#8a5300")


def dark(shade: Shade) -> Palette:
    return _palette(shade, DARK_GROUNDS, ink="#eceff4", soft="#a6aebd", line="#2b303a", warn="#ffc46b")


def _palette(
    shade: Shade, grounds: tuple[Colour, ...], *, ink: str, soft: str, line: str, warn: str
) -> Palette:
    sheet, page = grounds
    return Palette(
        page=page,
        sheet=sheet,
        ink=ink,
        soft=soft,
        line=line,
        warn=warn,
        brand=shade.brand,
        on_brand=shade.on_brand,
        accent=shade.accent,
        card=sheet.mix(shade.accent, TINT),
        edge=sheet.mix(shade.accent, EDGE),
    )
