"""The little of Markdown that descriptions use: paragraphs, `code`, *emphasis*. Everything else is text."""

import re

from markupsafe import Markup, escape

_INLINE = re.compile(r"`([^`]+)`|\*([^*]+)\*")

_CODE = Markup("<code>{}</code>")
_EMPHASIS = Markup("<em>{}</em>")


def inline(text: str) -> Markup:
    """One line of prose as HTML."""
    parts: list[Markup] = []
    at = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[at : found.start()]))
        code, emphasis = found.groups()
        parts.append(_CODE.format(code) if code else _EMPHASIS.format(emphasis))
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def prose(text: str) -> Markup:
    """Paragraphs, divided by empty lines."""
    return Markup("\n").join(Markup("<p>{}</p>").format(inline(part)) for part in text.split("\n\n"))
