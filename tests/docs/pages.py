"""The documentation as tests read it: pages, code blocks, tables, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^<!-- (\w+): ([\w ]+) -->\n((?:\|.*\n)+)", re.MULTILINE)
_LINK = re.compile(r"""(?:\]\(|(?:src|srcset)=")([^)"\s]+)""")


@dataclass(frozen=True)
class Table:
    """A table that says, in a comment before it, what it is a table of."""

    kind: str
    subjects: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def names(self) -> list[str]:
        """What the first cells have in backticks."""
        return [name for row in self.rows for name in re.findall(r"`([^`]+)`", row[0])]


def read(page: Path) -> str:
    return page.read_text("utf-8")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [code for written, code in _BLOCK.findall(read(page)) if written == language]


def program(page: Path, file: str) -> str:
    """The code block that begins with a comment naming `file`."""
    named = re.compile(rf"(#|//) {re.escape(file)}\b")
    (found,) = [code for _, code in _BLOCK.findall(read(page)) if named.match(code)]
    return str(found)


def without_blocks(page: Path) -> str:
    return _BLOCK.sub("", read(page))


def tables(page: Path) -> Iterator[Table]:
    for kind, subjects, text in _TABLE.findall(read(page)):
        rows = [tuple(cell.strip() for cell in line.strip()[1:-1].split("|")) for line in text.splitlines()]
        yield Table(kind, tuple(subjects.split()), tuple(rows[2:]))


def table(page: Path, subject: str) -> Table:
    (found,) = [one for one in tables(page) if one.subjects == (subject,)]
    return found


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead."""
    return [str(target) for target in _LINK.findall(without_blocks(page))]


def anchors(page: Path) -> set[str]:
    """The names of the page's headings, as they are linked to."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
