"""The measured processes: `python -m tests.bench.serve leavewell|front|bare|outside`, each one uvicorn on one loop.

`outside` is what the merchant has: the demo's billing service and a customer data endpoint.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from litestar import Litestar, post
from litestar.types import ASGIApp, Receive, Scope, Send

from app.main import create_app
from app.settings import Smtp, WorkerPlace
from demo.billing.faults import Faults
from demo.billing.seed import seed, subscriptions_of
from demo.billing.service import create_app as create_billing
from demo.billing.store import Store
from tests.bench.bare import create_bare
from tests.support.apps import make_settings
from tests.support.merchant import BILLING_KEY, LOOPBACK

CUSTOMER_DATA = "/customer-data"
CUSTOMERS = 400  # who land; each has the history of a few sessions, not of thousands
WALKER = "cus_bench_walker"  # who goes all the way, and is canceled then
LIKE = "cus_ben"  # Pro, paid monthly, 18 months: is shown half a price, then a smaller plan


def customer_id(number: int) -> str:
    return f"cus_bench_{number % CUSTOMERS:04}"


def leavewell() -> ASGIApp:
    """The product as it is shipped, log and worker included; only the limit of mints is out of the way."""
    return create_app(
        make_settings(os.environ["DATABASE_URL"], allowed_networks=(LOOPBACK,), api_rate=10_000_000)
    )


def front() -> ASGIApp:
    """The same with the worker in a process of its own, which is not there: looking up who has an address and mailing
    a code is no part of the request that asks for it. Behind a proxy, so that each request comes from somebody else."""
    return create_app(
        make_settings(
            os.environ["DATABASE_URL"],
            allowed_networks=(LOOPBACK,),
            smtp=Smtp(host="127.0.0.1", port=9, sender="leave@northwind.example"),
            trusted_proxies=(LOOPBACK,),
            worker=WorkerPlace.NONE,
        )
    )


def bare() -> ASGIApp:
    return create_bare(os.environ["DATABASE_URL"], os.environ["LEAVEWELL_BENCH_OUTSIDE"])


def outside() -> ASGIApp:
    now = datetime.now(UTC)
    store = Store(Path(os.environ["LEAVEWELL_BENCH_BILLING"]))
    seed(store, now)
    customer = store.find_customer("test", LIKE)
    assert customer is not None
    for known_as in (WALKER, *(customer_id(number) for number in range(CUSTOMERS))):
        subscriptions = [
            {**one, "id": known_as.replace("cus_", "sub_"), "customerId": known_as}
            for one in subscriptions_of(LIKE, now)
        ]
        store.put_customer("test", {**customer, "id": known_as}, subscriptions)
    billing = create_billing(store, key=BILLING_KEY, faults=Faults())
    endpoint = Litestar([customer_data], logging_config=None)

    async def doors(scope: Scope, receive: Receive, send: Send) -> None:
        is_endpoint = scope.get("path") == CUSTOMER_DATA
        await (endpoint if is_endpoint else billing)(scope, receive, send)

    return doors


@post(CUSTOMER_DATA, status_code=200)
async def customer_data() -> dict[str, object]:
    return {"customerAttributes": {"plan": "Pro", "tenureMonths": 18, "openTickets": 0, "notesCount": 1240}}


if __name__ == "__main__":
    role = sys.argv[1]
    app = {"leavewell": leavewell, "front": front, "bare": bare, "outside": outside}[role]()
    config = uvicorn.Config(
        app,
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=role == "bare",  # ours has a log of its own, the merchant's systems are not measured
        log_level="info" if role == "bare" else "warning",
        server_header=False,
    )
    uvicorn.Server(config).run()
