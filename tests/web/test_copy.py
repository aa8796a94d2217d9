import re
from pathlib import Path

import pytest
from markupsafe import Markup

from app.main import ROOT
from app.web.copy import (
    Copy,
    Entry,
    MissingCopyError,
    catalogues,
    copy_for,
    negotiate,
    parse_locale,
    placeholders,
)

ENGLISH = catalogues()["en"]


def forms(entry: Entry) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry.values())


def test_words_are_filled_in() -> None:
    assert Copy().t("failure.reference", reference="7F3K") == "Reference 7F3K"


def test_plural_forms_follow_the_count() -> None:
    assert Copy().t("span.month", count=1) == "1 month"
    assert Copy().t("span.month", count=0) == "0 months"


def test_plain_arguments_give_plain_text_and_markup_gives_markup_with_the_rest_escaped() -> None:
    assert Copy().t("failure.reference", reference="<b>") == "Reference <b>"
    with_markup = Copy().t("price.per", amount=Markup("<b>$1</b>"), every="<i>")
    assert isinstance(with_markup, Markup)
    assert with_markup == "<b>$1</b> &lt;i&gt;"


@pytest.mark.parametrize(
    ("key", "args"),
    [("no.such.key", {}), ("failure.reference", {}), ("span.month", {}), ("span.month", {"count": "3"})],
)
def test_missing_words_or_arguments_are_an_error(key: str, args: dict[str, object]) -> None:
    with pytest.raises(MissingCopyError):
        Copy().t(key, **args)


def test_a_locale_without_a_catalogue_speaks_english() -> None:
    assert Copy("sw").t("frame.exit") == Copy("en").t("frame.exit")


@pytest.mark.parametrize(
    ("requested", "accept_language", "default", "chosen"),
    [
        ("en-GB", "en-US", None, "en_GB"),
        (None, "sw;q=1, en-GB;q=0.8, en;q=0.9", None, "en"),
        (None, "en-AU", "en-GB", "en_AU"),
        (None, None, "en-US", "en_US"),
        (None, None, None, "en"),
        ("sw", "sw", "sw", "en"),
        ("", "", "", "en"),
        ("../../etc/passwd", ";;;,,q=,en;q=2,en;q=abc", "\x00", "en"),
        ("e" * 5000, "en-GB," * 5000, None, "en_GB"),
        (None, "*", None, "en"),
        (None, "en-GB;q=0", None, "en"),
        ("EN_us", None, None, "en_US"),
        ("en-Nowhere", None, None, "en"),
    ],
)
def test_the_locale_is_the_first_wish_we_have_words_for(
    requested: str | None, accept_language: str | None, default: str | None, chosen: str
) -> None:
    assert negotiate(requested=requested, accept_language=accept_language, default=default) == chosen


def test_the_page_language_is_a_language_tag() -> None:
    assert copy_for("en_GB").language == "en-GB"


@pytest.mark.parametrize("language", catalogues())
def test_every_catalogue_says_everything_with_the_same_arguments(language: str) -> None:
    catalogue = catalogues()[language]
    assert catalogue.keys() == ENGLISH.keys()
    for key, entry in catalogue.items():
        expected = frozenset().union(*(placeholders(text) for text in forms(ENGLISH[key])))
        for text in forms(entry):
            assert text.strip(), key
            assert placeholders(text) <= expected, key
            assert not re.search(r"\{(?!\w+\})|(?<!\w)\}", text), f"{key}: a brace that is no argument"
        assert isinstance(entry, str) == isinstance(ENGLISH[key], str), key


@pytest.mark.parametrize("language", catalogues())
def test_every_catalogue_has_the_plural_forms_of_its_language(language: str) -> None:
    locale = parse_locale(language)
    assert locale is not None
    needed = locale.plural_form.tags | {"other"}
    for key, entry in catalogues()[language].items():
        assert isinstance(entry, str) or entry.keys() == needed, key


def test_every_key_that_a_template_or_a_module_names_exists() -> None:
    sources = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "app").rglob("*.py")]
    for source in sources:
        for key in named_keys(source):
            assert key in ENGLISH, f"{source.relative_to(ROOT)} says {key!r}"


def named_keys(source: Path) -> list[str]:
    """Keys written out in full; those put together at run time are for their page's test to find."""
    return re.findall(r"""\bt\(\s*["']([a-z0-9_.]+)["']\s*[,)]""", source.read_text())
