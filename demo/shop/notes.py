"""The notes that a customer finds in the app. Sample texts only; the shop is about leaving it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Note:
    """One card on the desk."""

    title: str
    tag: str
    when: str
    lines: tuple[str, ...]

    @property
    def is_list(self) -> bool:
        """Whether the lines are things to tick off."""
        return self.tag == "Lists"


_ALL: Final = (
    Note(
        "Slow Sunday soup",
        "Kitchen",
        "Yesterday",
        ("Leeks, white beans, a rind of parmesan.", "Let it stand. It is better at four."),
    ),
    Note(
        "Before the trip",
        "Lists",
        "On Monday",
        ("Passport until 2029", "Ask Jo about the cat", "Offline maps", "Wool socks, two pairs"),
    ),
    Note(
        "On listening",
        "Thoughts",
        "Last week",
        ("Ask one more question than feels polite, then wait for the answer behind the answer.",),
    ),
    Note(
        "Workshop, second draft",
        "Work",
        "Last week",
        ("Open with the map, not the numbers.", "Cut the middle in half. End on the harbour photo."),
    ),
    Note("Birds at the feeder", "Garden", "Two weeks ago", ("Two goldfinches, one very bossy nuthatch.",)),
    Note(
        "Books to borrow",
        "Lists",
        "Two weeks ago",
        ("The Living Mountain", "A Pattern Language", "The Summer Book"),
    ),
    Note(
        "Call with Ingrid",
        "People",
        "In October",
        ("She moves in spring. Offered to help with the boxes, meant it.",),
    ),
    Note(
        "Bread, attempt seven",
        "Kitchen",
        "In October",
        ("Less water, longer rest. The crust sang this time.",),
    ),
)


def notes_on_the_desk(position: int, *, count: int = 6) -> Sequence[Note]:
    """A few notes for the customer at this position of the list: each desk is a little different."""
    return tuple(_ALL[(position + step) % len(_ALL)] for step in range(count))
