"""The catalogue of what Leavewell itself says, one TOML file a language, and which of them a visitor gets.

Owns no sentence (they are in `locales/`) and formats no value: dates and money come in as finished text.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from babel import Locale, UnknownLocaleError
from markupsafe import Markup, escape

LOCALES = Path(__file__).parent / "locales"
FALLBACK = "en"
PLURAL_CATEGORIES = frozenset({"zero", "one", "two", "few", "many", "other"})
LONGEST_ACCEPT_LANGUAGE = 500

Entry: TypeAlias = str | Mapping[str, str]


class MissingCopyError(LookupError):
    """A template or a service asked for words that no catalogue has, or left out one of their arguments."""


class Copy:
    """What we say in one locale: its own catalogue first, then English. `locale` is the one that is spoken, which is
    English where we have no words for the one asked for."""

    def __init__(self, locale: str = FALLBACK) -> None:
        wanted = parse_locale(locale)
        self.locale = wanted if wanted and wanted.language in catalogues() else Locale(FALLBACK)
        self._entries = {**catalogues()[FALLBACK], **catalogues()[self.locale.language]}
        self._plural_category = self.locale.plural_form

    @property
    def language(self) -> str:
        """The tag for `<html lang>`."""
        return str(self.locale).replace("_", "-")

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def t(self, key: str, /, **args: object) -> str:
        """Return the words under `key` with `{name}` filled in; of plural forms, the one for `count`.

        Plain text, unless an argument is markup: then markup with everything else escaped.
        Raises MissingCopyError.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise MissingCopyError(key)
        pattern = entry if isinstance(entry, str) else self._plural(key, entry, args)
        try:
            if any(hasattr(value, "__html__") for value in args.values()):
                return Markup(escape(pattern)).format(**args)  # noqa: S704 - the pattern is escaped right here
            return pattern.format(**args)
        except KeyError as error:
            raise MissingCopyError(f"{key} needs {error}") from error

    def _plural(self, key: str, forms: Mapping[str, str], args: Mapping[str, object]) -> str:
        count = args.get("count")
        if not isinstance(count, int):
            raise MissingCopyError(f"{key} needs 'count'")
        return forms.get(self._plural_category(count)) or forms["other"]


@lru_cache(maxsize=64)
def copy_for(locale: str) -> Copy:
    """Return the shared `Copy` of a locale; building one reads no file after the first."""
    return Copy(locale)


@lru_cache(maxsize=1)
def catalogues() -> Mapping[str, Mapping[str, Entry]]:
    """Return every language there is, each flat: `{"survey.title": "…"}`."""
    files = sorted(LOCALES.glob("*.toml"))
    return {path.stem: flatten(tomllib.loads(path.read_text("utf-8"))) for path in files}


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, Entry]:
    """Join nested tables with dots; a table of plural forms stays one entry."""
    flat: dict[str, Entry] = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, str) or (isinstance(value, Mapping) and _is_plural(value)):
            flat[key] = value
        elif isinstance(value, Mapping):
            flat.update(flatten(value, f"{key}."))
        else:
            raise ValueError(f"the catalogue's {key} is neither text nor a table")
    return flat


def placeholders(text: str) -> frozenset[str]:
    """Return the argument names of a pattern."""
    return frozenset(re.findall(r"\{(\w+)\}", text))


def negotiate(
    *, requested: str | None = None, accept_language: str | None = None, default: str | None = None
) -> str:
    """Return the first locale we have words for: the link's, the browser's, the merchant's; else `en`.

    The region is kept: `en-GB` reads the `en` catalogue but writes dates the British way.
    """
    for tag in (requested, *_accepted(accept_language or ""), default):
        locale = parse_locale(tag) if tag else None
        if locale is not None and locale.language in catalogues():
            return str(locale)
    return FALLBACK


def customary(
    *, requested: str | None = None, accept_language: str | None = None, default: str | None = None
) -> str:
    """Return the locale of a visit: the one that was requested, if there is such a one, with or without words of
    ours; else the first that we have words for. Figures follow it, and words as far as there are any."""
    locale = parse_locale(requested) if requested else None
    return str(locale) if locale else negotiate(accept_language=accept_language, default=default)


@lru_cache(maxsize=256)
def parse_locale(tag: str) -> Locale | None:
    """Return what CLDR knows under a BCP 47 tag, or under its language alone; None for anything else."""
    if len(tag) > 35:  # RFC 5646 §4.4.1
        return None
    subtags = re.split("[-_]", tag.strip())
    for candidate in ("_".join(subtags), subtags[0]):
        try:
            return Locale.parse(candidate)
        except (ValueError, TypeError, UnknownLocaleError):
            continue
    return None


def _accepted(header: str) -> Sequence[str]:
    """Return the tags of an Accept-Language header, best first; a malformed part is skipped."""
    weighed = []
    for part in header[:LONGEST_ACCEPT_LANGUAGE].split(","):
        tag, _, weight = part.strip().partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", weight) if weight else None
        if tag and tag != "*" and (not weight or quality):
            weighed.append((float(quality[1]) if quality else 1.0, tag.strip()))
    return [tag for quality, tag in sorted(weighed, key=lambda item: -item[0]) if quality > 0]


def _is_plural(table: Mapping[str, object]) -> bool:
    return "other" in table and table.keys() <= PLURAL_CATEGORIES
