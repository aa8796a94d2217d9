"""`python -m tests.support.watched_imports DATABASE PROVIDER LATER`: a server whose merchant is connected to one vendor
when it starts, and to another one by the time a customer comes. Prints in which thread each library was imported."""

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from app.adapters.vault import Vault
from app.db.database import Database
from tests.adapters.billing.test_registry import GOOD
from tests.support.clock import FakeClock
from tests.support.merchant import open_merchant
from tests.support.pages import FROM_A_PAGE, new_client

LIBRARIES: Final = ("stripe", "braintree")
NOBODY: Final = {"api_base": "http://127.0.0.1:9"}  # answers there
CONFIGS: Final = {"demo": GOOD["demo"], **{vendor: {**GOOD[vendor], **NOBODY} for vendor in LIBRARIES}}


class Watch(MetaPathFinder):
    """Finds nothing, and remembers who looked for a library."""

    def __init__(self) -> None:
        self.threads: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in LIBRARIES:
            is_main = threading.current_thread() is threading.main_thread()
            self.threads[fullname] = "the event loop's" if is_main else "another thread"
        return None


async def serve(url: str, at_start: str, later: str) -> dict[str, dict[str, str]]:
    watch = Watch()
    sys.meta_path.insert(0, watch)
    with Database(url) as database:
        merchant = open_merchant(database, FakeClock(), provider=at_start, config=CONFIGS[at_start])
        app = merchant.app()
        async with app.lifespan(), new_client(app) as client:
            found = {"at_start": dict(watch.threads)}
            sealed = Vault(merchant.settings.secrets).seal(json.dumps(CONFIGS[later]))
            merchant.change(provider=later, provider_config=sealed)
            answer = await client.get(merchant.mint("cus_ben"), headers=FROM_A_PAGE)
            assert answer.status_code == 200, answer.text
    return {**found, "at_end": dict(watch.threads)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(serve(*sys.argv[1:]))) + "\n")
