"""Wires the server: the only place that makes ports and lists what is served. Decides nothing else."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
from jinja2 import BaseLoader, FileSystemLoader
from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from app.adapters.clock import Clock, SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.mail import Mailer, SmtpMailer
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.cancel.landing import landing
from app.cancel.pages import show, submit
from app.cancel.receipts import receipt_file, show_receipt, undo_cancellation
from app.cancel.requests import show_request, submit_request
from app.cancel.verifying import show_verification, submit_verification
from app.connections import api as hooks
from app.connections import inbound
from app.connections import queries as connections
from app.connections import service as billing
from app.db import schema
from app.db.database import Database
from app.db.limits import forget_expired
from app.docs import pages as docs
from app.insights import api as data_api
from app.insights import slack
from app.insights.access import DataDesk
from app.insights.slack import SlackPorts
from app.insights.usage import UsageCounter
from app.links import api as links_api
from app.links import queries as links
from app.mail import delivery
from app.mail import service as mail
from app.mail.delivery import MailPorts
from app.manual import notifying
from app.manual import service as manual
from app.manual.notifying import ManualPorts
from app.privacy import retention
from app.privacy import service as privacy
from app.privacy.service import PrivacyPorts
from app.receipts import issuing
from app.receipts import service as receipts
from app.receipts.api import public_keys
from app.receipts.issuing import IssuingPorts
from app.receipts.keys import Notary
from app.sessions import carrying, noticing, reconciling, recording, records, reminding
from app.sessions import service as sessions
from app.sessions.ports import SessionPorts
from app.settings import LogFormat, Settings, WorkerPlace
from app.verify import looking
from app.verify import service as verify
from app.verify.looking import VerifyPorts
from app.web import logs
from app.web.assets import Assets, static_file
from app.web.deps import Ports, after_ports, dependencies
from app.web.edge import Edge
from app.web.errors import on_exception
from app.web.health import favicon, healthz, home, robots
from app.web.render import Renderer
from app.webhooks.dispatching import Dispatcher, WebhookPorts
from app.webhooks.endpoints import forget_deliveries
from app.worker import Sweep, Worker, new_worker_name

log = structlog.get_logger("leavewell")

ROOT = Path(__file__).resolve().parent.parent
MAX_BODY_BYTES = 1024 * 1024  # where a handler has no bound of its own; forms and the API have lower ones

MakeWorker: TypeAlias = Callable[[Ports], Worker]

WEB: Sequence[ControllerRouterHandler] = (home, healthz, robots, favicon, static_file)
FEATURES: Sequence[ControllerRouterHandler] = (
    landing,
    show,
    submit,
    show_verification,
    submit_verification,
    show_request,
    submit_request,
    show_receipt,
    undo_cancellation,
    receipt_file,
    public_keys,
)

CLOSE_IDLE_EVERY_S = 60
FORGET_EVERY_S = 3600
FORGET_AT_ONCE = 500


class SchemaNotCurrentError(RuntimeError):
    """The database was made by another version of this program."""


def create_app(
    settings: Settings,
    *,
    database: Database | None = None,
    clock: Clock | None = None,
    http: OutboundHttp | None = None,
    mailer: Mailer | None = None,
    templates: BaseLoader | None = None,
    make_worker: MakeWorker | None = None,
    extra_handlers: Sequence[ControllerRouterHandler] = (),
) -> Litestar:
    """Return the application. It closes what it made itself; what it was given stays the giver's.

    The worker runs beside the requests and is stopped with them, unless the settings say that it runs elsewhere;
    `make_worker` puts another one in its place.
    """
    ports = make_ports(
        settings, database=database, clock=clock, http=http, mailer=mailer, templates=templates
    )
    session_ports = session_ports_of(ports)
    usage = UsageCounter(ports.database, ports.clock)
    if make_worker is None and settings.worker is WorkerPlace.EMBEDDED:
        make_worker = worker_of
    app = Litestar(
        [
            *WEB,
            *FEATURES,
            links_api.router(settings.api_rate),
            hooks.router(settings.api_rate),
            data_api.router(DataDesk(settings.api_rate, usage)),
            docs.router,
            *extra_handlers,
        ],
        dependencies={
            **dependencies(ports),
            **after_ports(
                session_ports=session_ports,
                privacy_ports=privacy_ports_of(ports, session_ports.holder),
                notary=Notary(ports.vault),
            ),
        },
        exception_handlers={Exception: on_exception},
        lifespan=[
            _lifespan(ports, make_worker, owns_database=database is None, owns_http=http is None),
            usage.lifespan(),
        ],
        logging_config=None,  # web/errors.py and web/edge.py log, without what a customer typed
        openapi_config=None,  # our own document is served from our own address, without a CDN
        request_max_body_size=MAX_BODY_BYTES,
        state=State({"ports": ports}),
    )
    app.asgi_handler = Edge(app.asgi_handler)
    return app


def make_ports(
    settings: Settings,
    *,
    database: Database | None = None,
    clock: Clock | None = None,
    http: OutboundHttp | None = None,
    mailer: Mailer | None = None,
    templates: BaseLoader | None = None,
) -> Ports:
    """This process's ways out, each made here unless it is given."""
    logs.configure(level=settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    assets = Assets(ROOT / "static")
    return Ports(
        settings=settings,
        database=database or Database(settings.database_url, pool_size=settings.database_pool),
        clock=clock or SystemClock(),
        signer=Signer(settings.secrets),
        vault=Vault(settings.secrets),
        http=http or OutboundHttp(settings.allowed_networks),
        mailer=mailer or (SmtpMailer(settings.smtp) if settings.smtp else None),
        renderer=Renderer(templates or FileSystemLoader(ROOT / "templates"), assets),
        assets=assets,
    )


def session_ports_of(ports: Ports) -> SessionPorts:
    """What sessions need, under a name of this process's own: its leases are told by it."""
    return SessionPorts(
        ports.database,
        ports.clock,
        ports.http,
        ports.vault,
        holder=new_worker_name(),
        base_url=ports.settings.base_url,
        lease_s=ports.settings.lease_s,
        places=ports.places,
    )


def privacy_ports_of(ports: Ports, holder: str) -> PrivacyPorts:
    """What erasing needs; `holder` is who does it."""
    return PrivacyPorts(ports.database, ports.clock, ports.vault, ports.signer, holder)


def slack_ports_of(ports: Ports) -> SlackPorts:
    return SlackPorts(ports.database, ports.clock, ports.http, ports.vault)


def worker_of(ports: Ports) -> Worker:
    """The worker with everything that it does: embedded in the server, or apart as `leavewell worker`."""
    work = session_ports_of(ports)
    database, clock, vault, signer = ports.database, ports.clock, ports.vault, ports.signer
    base_url = ports.settings.base_url
    mails = MailPorts(database, clock, vault, ports.mailer, ports.renderer)
    verifications = VerifyPorts(
        database, clock, ports.http, vault, signer, base_url, mails, places=ports.places
    )
    return Worker(
        database,
        clock,
        name=work.holder,
        lease_s=work.lease_s,
        lanes=[
            frozenset({records.EFFECT_JOB}),
            frozenset({mail.MAIL_JOB, looking.CODE_MAIL_JOB}),
            frozenset({verify.JOB}),
            frozenset({inbound.RECONCILE_JOB}),
            frozenset({privacy.JOB}),
            frozenset({noticing.SLACK_JOB}),
        ],
        companions=[
            Dispatcher(
                WebhookPorts(database, clock, ports.http, vault, work.holder, timedelta(seconds=work.lease_s))
            )
        ],
        handlers={
            records.EFFECT_JOB: partial(carrying.work_on, work),
            reminding.REMINDER_JOB: partial(reminding.remind, work),
            inbound.RECONCILE_JOB: partial(reconciling.work_on, work),
            recording.BACKFILL_JOB: partial(recording.backfill, database, clock),
            receipts.RECEIPT_JOB: partial(
                issuing.sign_and_mail,
                IssuingPorts(database, clock, vault, signer, Notary(vault), base_url),
            ),
            manual.JOB: partial(notifying.notify, ManualPorts(database, clock, vault, signer, base_url)),
            verify.JOB: partial(looking.look_up, verifications),
            looking.CODE_MAIL_JOB: partial(looking.send_code, verifications),
            mail.MAIL_JOB: partial(delivery.deliver, mails),
            noticing.SLACK_JOB: partial(slack.tell, slack_ports_of(ports)),
            privacy.JOB: partial(privacy.work_on, privacy_ports_of(ports, work.holder)),
        },
        sweeps=[
            Sweep("idle_sessions", CLOSE_IDLE_EVERY_S, partial(_close_idle, work)),
            Sweep("idempotency", FORGET_EVERY_S, partial(_forget, ports, links.forget_idempotency)),
            Sweep("verifications", FORGET_EVERY_S, partial(_forget, ports, verify.forget)),
            Sweep("limits", FORGET_EVERY_S, partial(_forget, ports, forget_expired)),
            Sweep("webhooks", FORGET_EVERY_S, partial(_forget, ports, connections.forget_events)),
            Sweep("deliveries", FORGET_EVERY_S, partial(_forget, ports, forget_deliveries)),
            Sweep("retention", FORGET_EVERY_S, partial(retention.sweep, database, clock, retention.Rota())),
        ],
    )


async def _close_idle(ports: SessionPorts) -> None:
    while await ports.database.write(sessions.close_idle, now=ports.clock.now()):
        pass


async def _forget(ports: Ports, forget: Callable[..., int]) -> None:
    """Delete what is over, in bites that hold nobody up."""
    while await ports.database.write(forget, now=ports.clock.now(), limit=FORGET_AT_ONCE):
        pass


async def run_worker(settings: Settings) -> None:
    """The worker alone, until SIGTERM or SIGINT; what it has begun is finished first."""
    ports = make_ports(settings)
    worker = worker_of(ports)
    async with _opened(ports, owns_database=True, owns_http=True):
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, worker.stop)
        log.info("worker started", name=worker.name)
        await worker.run()
        log.info("worker stopped")


def _lifespan(
    ports: Ports, make_worker: MakeWorker | None, *, owns_database: bool, owns_http: bool
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with _opened(ports, owns_database=owns_database, owns_http=owns_http):
            if make_worker is None:
                yield
            else:
                async with _running(make_worker(ports)):
                    yield

    return lifespan


@asynccontextmanager
async def _opened(ports: Ports, *, owns_database: bool, owns_http: bool) -> AsyncIterator[None]:
    """The database connected and of the right version, and billing ready; at the end what is ours is closed."""
    async with AsyncExitStack() as closing:
        if owns_http:
            closing.push_async_callback(ports.http.aclose)
        if owns_database:
            closing.push_async_callback(ports.database.close)
            await ports.database.connect()
        await _check_schema(ports.database)
        await billing.load_connected(ports.database)
        yield


async def _check_schema(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    revision = await asyncio.to_thread(schema.current_revision, url)
    if revision != schema.HEAD:
        raise SchemaNotCurrentError(
            f"The database is at revision {revision or 'none'}, this version needs {schema.HEAD}. "
            "Run `leavewell migrate`."
        )


@asynccontextmanager
async def _running(worker: Worker) -> AsyncIterator[None]:
    """Run the worker beside the body; at its end let the jobs under way finish. It may fail without us."""
    task = asyncio.create_task(worker.run(), name="worker")
    task.add_done_callback(_report)
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait([task])


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the worker ended", exc_info=error)
