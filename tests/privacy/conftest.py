"""A merchant with mail and a webhook endpoint, and two customers who leave traces everywhere."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from app.accounts import service as accounts
from app.core.direct import parse_customer
from app.db.database import Database
from app.db.tables.privacy import Erasure
from app.links import service as links
from app.links.service import LinkOrder
from app.main import privacy_ports_of
from app.privacy import service
from app.privacy.service import PrivacyPorts
from app.setup import webhooks as endpoints
from app.webhooks.kinds import Format, SigningScheme
from demo.billing.actions import ACTIONS, Refused
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.codes import Mailbox, code_for
from tests.support.desk import BillingServer, Desk
from tests.support.merchant import LOOPBACK
from tests.support.pages import FROM_A_PAGE, Page, Visitor
from tests.support.press import press
from tests.support.receiver import Answer, Receiver, receiving

BEN, CHEN = "ben@example.com", "chen@example.com"


@dataclass
class Bureau:
    """The desk, who listens to it, and the office that forgets."""

    desk: Desk
    mailbox: Mailbox
    receiver: Receiver

    @property
    def database(self) -> Database:
        return self.desk.database

    @property
    def organization_id(self) -> str:
        return self.database.read_sync(
            lambda db: accounts.get_environment(db, self.desk.merchant.app_id).organization_id
        )

    def ports(self) -> PrivacyPorts:
        return privacy_ports_of(self.desk.ports, "this process")

    async def erase(self, email: str) -> Erasure:
        return await service.delete(
            self.ports(), organization_id=self.organization_id, email=email, requested_by="cli"
        )

    async def work(self) -> None:
        await self.desk.worker().drain()

    # --- What customers do ---

    async def begin(self, visitor: Visitor, customer: str, words: str) -> Page:
        """Come by a link whose attributes are `words`, and give them as an answer."""
        link = self.desk.merchant.mint(customer, attributes={"nickname": words})
        page = await visitor.open(link, headers=FROM_A_PAGE)
        return await visitor.submit(
            page, "Continue", {"reason": "missing", "follow_up--missing": f"{words} in the survey"}
        )

    async def walk_and_cancel(
        self, visitor: Visitor, customer: str, words: str, *, is_done: bool = True
    ) -> Page:
        """See an offer, say `words` wherever something can be said, and cancel."""
        page = await self.begin(visitor, customer, words)
        page = await press(visitor, page, "decline")
        page = await visitor.submit(page, "Continue")
        page = await visitor.submit(page, "Continue", {"feedback": f"{words} as feedback"})
        page = await press(visitor, page, "confirm")
        assert not is_done or page.h1 == "Your subscription is canceled"
        return page

    async def cancel_in_vain(self, visitor: Visitor, customer: str, words: str, refusal: str) -> None:
        """Say `words`, cancel, and have billing refuse it in the words of `refusal`: it is left to a person."""

        def refuse(*_: object) -> None:
            raise Refused("debt", refusal)

        with pytest.MonkeyPatch.context() as patched:
            patched.setitem(ACTIONS, "cancel", (refuse, ACTIONS["cancel"][1]))
            await self.walk_and_cancel(visitor, customer, words, is_done=False)
        assert refusal in dump(self.database)

    async def request(self, visitor: Visitor, email: str, words: str) -> Page:
        """Leave a request without proof."""
        page = await visitor.open(f"/cancel/r/{self.desk.merchant.app_id}")
        return await visitor.submit(page, "Send my request", {"email": email, "note": words})

    async def prove(self, visitor: Visitor, email: str, words: str) -> Page:
        """Enter by a mailed code."""
        page = await visitor.open(f"/cancel/{self.desk.merchant.app_id}")
        page = await visitor.submit(page, "Send me a code", {"email": email})
        code = await code_for(self.desk, email)
        return await visitor.submit(page, "Continue", {"code": code})

    async def mint_direct(self, customer_id: str, email: str) -> str:
        """A link of a customer that the merchant tells of; nobody has followed it yet."""
        now = self.desk.clock.now()
        order = LinkOrder(
            customer_id=customer_id,
            expires_at=now + timedelta(hours=1),
            customer=parse_customer({"id": customer_id, "email": email}),
        )
        minted = links.draft(
            self.desk.ports.signer,
            app_id=self.desk.merchant.app_id,
            api_key_id=self.desk.merchant.key_id,
            return_origins=[],
            order=order,
            now=now,
        )
        self.database.write_sync(links.store, minted, now=now)
        return f"/cancel/{minted.token}"

    # --- What is around ---

    def listen(self) -> None:
        """An endpoint that is told everything, and echoes it."""
        self.receiver.on_message = lambda got: self.receiver.then.append(Answer(200, {}, got.body))
        self.database.write_sync(
            endpoints.add_endpoint,
            self.desk.ports.vault,
            app_id=self.desk.merchant.app_id,
            url=self.receiver.url,
            types=(),
            description=None,
            format=Format.STANDARD,
            scheme=SigningScheme.V1,
            allowed=(LOOPBACK,),
            now=self.desk.clock.now(),
        )

    def another_organization(self) -> str:
        made = self.database.write_sync(
            accounts.create_organization, name="Other", slug="other", now=self.desk.clock.now()
        )
        return made.id

    def vacuum(self) -> bytes:
        """Have the database give back what was deleted; what its file then holds (of PostgreSQL, its rows)."""
        if not self.database.is_sqlite:
            return dump(self.database).encode()
        file = self.database.url.database
        assert file
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return b"".join(each.read_bytes() for each in Path(file).parent.glob(f"{Path(file).name}*"))


def dump(database: Database) -> str:
    """Every value of every row of every table, as text, and not escaped."""
    return "\n".join(
        f"{table}: {row}" for table, rows in database.read_sync(desks._everything).items() for row in rows
    )


@pytest.fixture(scope="session")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.fixture
async def bureau(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Bureau]:
    mailbox = Mailbox()
    with receiving() as receiver:
        async with desks.desk_of(database, clock, tmp_path, billing_server, mailer=mailbox) as desk:
            yield Bureau(desk, mailbox, receiver)
