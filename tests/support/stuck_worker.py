"""A worker process that takes a job and never finishes it, to be killed. `python -m tests.support.stuck_worker URL`"""

import asyncio
import sys

from app.adapters.clock import SystemClock
from app.db.database import Database
from app.db.outbox import Job
from app.worker import Worker


async def never_finish(job: Job) -> None:
    sys.stdout.write(f"{job.id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def main(url: str) -> None:
    with Database(url) as database:
        await Worker(database, SystemClock(), handlers={"effect": never_finish}, name="doomed").run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
