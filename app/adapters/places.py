"""How many calls may be under way at one address at once, in this process. Knows nobody who calls."""

import asyncio
from weakref import WeakValueDictionary


class Place:
    """One address. `news` counts how often this process has learned that its state is no longer what it was."""

    def __init__(self, most: int) -> None:
        self.slots = asyncio.Semaphore(most)
        self.news = 0


class Places:
    """One place for each name, as long as somebody holds it."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[str, Place] = WeakValueDictionary()

    def at(self, name: str, *, most: int) -> Place:
        """The place of that name. `most` holds from when it is first asked for."""
        place = self._held.get(name)
        if place is None:
            place = self._held[name] = Place(most)
        return place
