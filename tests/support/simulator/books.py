"""A simulated vendor's memory: objects in the vendor's own shape, and what was really changed, in order."""

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Document = dict[str, Any]


@dataclass
class Books:
    """One account in one mode.

    `state` is the vendor's to shape; plain JSON. `changes` are the commits that changed a subscription: `type` is the
    demo billing service's word for it (cancel, uncancel, discount, pause, resume, change-plan, extend-trial), `key` the
    idempotency key or the marker it was made under, or "". With `file`, everything is kept there.
    """

    mode: str = "test"
    file: Path | None = None
    state: Document = field(default_factory=dict)
    changes: list[Document] = field(default_factory=list)
    before: Document | None = None  # the state before the last commit: what a stale read sees

    @classmethod
    def open(cls, mode: str, file: Path | None) -> "Books":
        """The books as they were left."""
        books = cls(mode, file)
        if file is not None and file.exists():
            kept = json.loads(file.read_text())
            books.state, books.changes = kept["state"], kept["changes"]
        return books

    @contextmanager
    def commit(self) -> Iterator[Document]:
        """Change the state, all or nothing: an exception leaves everything as it was."""
        draft = copy.deepcopy(self.state)
        yield draft
        self.before, self.state = self.state, draft
        self._keep()

    def record(self, subscription_id: str, type: str, key: str, now: datetime) -> None:
        """Write down that a subscription was changed; called with the commit that did it."""
        at = now.isoformat().replace("+00:00", "Z")
        self.changes.append(
            {"type": type, "subscriptionId": subscription_id, "idempotencyKey": key, "at": at}
        )
        self._keep()

    def changes_of(self, subscription_id: str) -> list[Document]:
        return [change for change in self.changes if change["subscriptionId"] == subscription_id]

    def _keep(self) -> None:
        if self.file is None:
            return
        draft = self.file.with_name(f".{self.file.name}")
        draft.write_text(json.dumps({"state": self.state, "changes": self.changes}))
        os.replace(draft, self.file)
