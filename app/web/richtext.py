"""A merchant's rich text, reduced to a few harmless elements. Values are escaped before they get in."""

import re

import nh3
from markupsafe import Markup

_TAGS = {"a", "b", "br", "em", "i", "li", "ol", "p", "strong", "ul"}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"a": {"href"}},
    url_schemes={"https", "mailto", "tel"},
    link_rel="noopener noreferrer nofollow",
)
_BLOCK = re.compile(r"<(p|ul|ol)\b", re.IGNORECASE)


def rich_text(text: str) -> Markup:
    """Return markup that is safe in a page. Text without blocks of its own is cut at its empty lines."""
    clean = _CLEANER.clean(text).strip()
    if clean and not _BLOCK.search(clean):
        paragraphs = re.split(r"\n\s*\n", clean)
        clean = "".join(f"<p>{paragraph.strip().replace(chr(10), '<br>')}</p>" for paragraph in paragraphs)
    return Markup(clean)  # noqa: S704 - just cleaned
