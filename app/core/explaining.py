"""Why rules did or did not match, as stored with a session, in lines to read. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.core.eligibility import Blocker, ManualReason

MARKS: Final = {"yes": "✓", "no": "✗", "unknown": "?"}
SENTENCES: Final = {str(reason): reason.sentence for reason in (*Blocker, *ManualReason)}


def explained(why: object) -> Iterator[str]:
    """A step's or a branch's rule, or for a place with offers each offer: was it shown, and why."""
    if isinstance(why, list):
        for offer in why:
            yield f"{offer['offer']}: {'shown' if offer['shown'] else 'not shown'}"
            if offer["when"]:
                yield from (f"  {line}" for line in _tree(offer["when"]))
            yield from (f"  ✗ {SENTENCES.get(name, name)}" for name in offer["blockers"])
    elif isinstance(why, Mapping):
        yield from _tree(why)


def _tree(node: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    name = f"{node['attribute']} {node['op']}" if "attribute" in node else node["op"]
    yield f"{indent}{MARKS[node['verdict']]} {name}: {node['why']}"
    for part in node.get("parts", ()):
        yield from _tree(part, indent + "  ")
