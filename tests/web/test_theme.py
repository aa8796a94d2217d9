"""A merchant's theme is readable in light and dark, and nothing that was typed gets into the style sheet."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.web.theme import (
    BLACK,
    DARK_GROUNDS,
    FONTS,
    LIGHT_GROUNDS,
    READABLE,
    TINT,
    WHITE,
    Colour,
    Theme,
    contrast,
    parse_theme,
)

CSS = Path("static/css/hosted.css").read_text("utf-8")
channel = st.integers(0, 255)
colours = st.builds(Colour, channel, channel, channel)


def test_contrast_is_wcags() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == pytest.approx(1)
    assert contrast(Colour(0x77, 0x77, 0x77), WHITE) == pytest.approx(4.48, abs=0.01)  # the classic near miss


@given(colours)
def test_every_brand_colour_is_readable_in_light_and_dark(brand: Colour) -> None:
    theme = Theme(brand)
    for shade, grounds in ((theme.light(), LIGHT_GROUNDS), (theme.dark(), DARK_GROUNDS)):
        assert contrast(shade.on_brand, shade.brand) >= READABLE
        for ground in grounds:
            assert contrast(shade.accent, ground) >= READABLE
            assert contrast(shade.accent, ground.mix(shade.accent, TINT)) >= READABLE


def test_a_brand_colour_that_is_readable_stays_the_merchants_own() -> None:
    theme = parse_theme({"brand": "#3B5BDB"})
    assert str(theme.light().accent) == str(theme.light().brand) == "#3b5bdb"


def test_pale_brand_keeps_its_fill_but_draws_darker_lines() -> None:
    shade = parse_theme({"brand": "#fe0"}).light()
    assert str(shade.brand) == "#ffee00"
    assert shade.on_brand == BLACK
    assert shade.accent != shade.brand


def test_the_page_grounds_are_those_of_the_stylesheet() -> None:
    for name, light, dark in zip(("sheet", "page"), LIGHT_GROUNDS, DARK_GROUNDS, strict=True):
        found = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", CSS)
        assert found is not None
        assert [str(parse_theme({"brand": value}).brand) for value in found.groups()] == [
            str(light),
            str(dark),
        ]
    assert f"var(--accent) {TINT:.0%}" in CSS


def test_body_text_is_readable_on_every_ground() -> None:
    for name in ("ink", "soft", "good", "warn", "bad"):
        found = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", CSS)
        assert found is not None
        for value, grounds in zip(found.groups(), (LIGHT_GROUNDS, DARK_GROUNDS), strict=True):
            ink = parse_theme({"brand": value}).brand
            tinted = [ground.mix(ink, TINT) for ground in grounds]
            assert all(contrast(ink, ground) >= READABLE for ground in (*grounds, *tinted)), name


def test_the_edge_of_a_field_is_visible() -> None:
    found = re.search(r"--edge: light-dark\((#\w+), (#\w+)\)", CSS)
    assert found is not None
    for value, grounds in zip(found.groups(), (LIGHT_GROUNDS, DARK_GROUNDS), strict=True):
        assert all(contrast(parse_theme({"brand": value}).brand, ground) >= 3 for ground in grounds)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("brand", "red"),
        ("brand", "#12345"),
        ("brand", "#fff;background:url(//x)"),
        ("brand", "#fff\n"),
        ("brand", 255),
        ("font", "Comic Sans"),
        ("font", ["system"]),
        ("radius", -1),
        ("radius", 25),
        ("radius", True),
        ("radius", "4px"),
        ("scheme", "sepia"),
        ("logo", "https://elsewhere.example/logo.png"),
        ("logo", "//elsewhere.example/logo.png"),
        ("logo", "/static/../secrets"),
        ("logo", "javascript:alert(1)"),
        ("logo", '/a"onerror="x'),
        ("colour", "#fff"),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_theme({field: value})
    assert [error.field for error in refused.value.fields] == [field]


def test_every_font_and_scheme_makes_a_style_sheet_that_cannot_leave_its_element() -> None:
    for font in FONTS:
        css = parse_theme({"font": font, "radius": 0, "scheme": "dark", "logo": "/static/img/logo.svg"}).css()
        assert css.count("{") == css.count("}")
        assert "<" not in css
        assert "url" not in css
