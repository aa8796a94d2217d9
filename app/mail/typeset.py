"""Sets plain text for mails: one safe line, paragraphs, rows, quotations. Pure, and knows no mail."""

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from html import unescape
from typing import Final, Protocol

MEASURE: Final = 72  # columns, as plain-text mail is read everywhere
WIDEST_LABEL: Final = 24
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNFIT: Final = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


class Row(Protocol):
    """A fact: what it is, its value, and perhaps the same said in another way."""

    @property
    def label(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def note(self) -> str | None: ...


def one_line(text: str, most: int) -> str:
    """Return the text as one line of at most `most` characters that means nothing to a header, and cannot turn what
    stands around it back to front."""
    fit = "".join(
        " " if character.isspace() or unicodedata.category(character) in _UNFIT else character
        for character in text[: 10 * most]
        if character not in _BIDI_CONTROLS
    )
    # What looks like an encoded word of RFC 2047 would be decoded by whoever writes the header.
    line = " ".join(fit.split()).replace("=?", "= ?")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def lines_of(text: str) -> str:
    """Return the text with its line breaks, and nothing else in it that cannot be seen."""
    return "\n".join(
        "".join(c for c in line if c not in _BIDI_CONTROLS and unicodedata.category(c) not in _UNFIT)
        for line in text.expandtabs(4).splitlines()
    )


def paragraph(text: str, indent: str = "") -> str:
    """Return the text in lines of at most 72 columns, longer only where a word (an address) is longer."""
    return textwrap.fill(
        text,
        MEASURE,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def underlined(title: str) -> str:
    """Return a heading with its line below; a heading that takes two lines has no line."""
    lines = paragraph(title)
    return lines if "\n" in lines else f"{lines}\n{'-' * columns(lines)}"


def table(rows: Sequence[Row]) -> str:
    """Return rows with their values below each other."""
    width = min(max((columns(row.label) for row in rows), default=0), WIDEST_LABEL)
    return "\n".join(_row(row, width) for row in rows)


def quotation(text: str) -> str:
    """Return somebody else's words, each line marked as such: nothing in them can pass for ours."""
    lines = []
    for line in lines_of(text).split("\n"):
        lines += textwrap.wrap(line, MEASURE - 2, break_on_hyphens=False) or [""]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def columns(text: str) -> int:
    """How wide the text is where letters have one width, and those of East Asia two."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def plain(markup: str) -> str:
    """Return what a few harmless elements say without them: for text that a merchant wrote as rich text."""
    text = re.sub(r"<(?:br|/p|/li)\b[^>]*>", "\n", markup, flags=re.IGNORECASE)
    return unescape(re.sub(r"<[^>]*>", "", text)).strip()


def _row(row: Row, width: int) -> str:
    gap = " " * max(width - columns(row.label), 0)
    head = f"{row.label}{gap}  "
    hang = " " * (width + 2)
    if columns(row.label) > width:  # too long to stand beside its value
        return "\n".join([row.label, *(_hung(text, hang) for text in _said(row))])
    first, *others = (_hung(text, hang) for text in _said(row))
    return "\n".join([head + first.removeprefix(hang), *others])


def _said(row: Row) -> list[str]:
    return [row.value, row.note] if row.note else [row.value]


def _hung(text: str, hang: str) -> str:
    return paragraph(text, hang)
