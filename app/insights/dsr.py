"""`/v1/data/dsr`: what is kept about a person, and its erasure. Both modes of the organization, whichever key asks."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, Literal

from litestar import Response, post, route
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from app.accounts.service import DataCaller, Scope
from app.core.calendar import iso
from app.core.email_address import MAX_KNOWN
from app.core.errors import AppError
from app.db.tables.privacy import Erasure
from app.insights.access import DataDesk
from app.links.api import Asked
from app.privacy import access as accessing
from app.privacy import service as privacy
from app.privacy.access import Known
from app.privacy.service import PrivacyPorts
from app.web.assets import READ
from app.web.bodies import AnyRequest
from app.web.deps import Ports
from app.web.problems import parse_body

ACCESS: Final = "/dsr/access"
DELETE: Final = "/dsr/delete"
HEADERS: Final = {"Cache-Control": "no-store"}


class AboutWhom(BaseModel):
    """Whose data."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Annotated[
        str,
        Field(
            min_length=3,
            max_length=MAX_KNOWN,
            description="The person's address; case makes no difference, all else does.",
            examples=["ada@example.com"],
            repr=False,
        ),
    ]


class ErasureShape(BaseModel):
    """An erasure, and the proof of it. The address is not in it: `addressHash` is an HMAC-SHA256 with a key of this
    installation."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: str = Field(pattern="^ers_")
    status: Literal["done", "running"]
    address_hash: str = Field(alias="addressHash", pattern="^[0-9a-f]{64}$")
    requested_by: str = Field(alias="requestedBy", description="The key that asked, or `cli`.")
    requested_at: str = Field(alias="requestedAt")
    finished_at: str | None = Field(alias="finishedAt")
    waiting: int = Field(description="Sessions whose change is still being made at the billing provider.")
    counts: dict[str, int] = Field(description="How many rows of what were erased.")


class ErasurePage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    data: ErasureShape


class AccessData(BaseModel):
    """All that is kept. Rows are told as they are stored."""

    model_config = ConfigDict(extra="forbid")

    email: str
    sessions: list[dict[str, Any]]
    links: list[dict[str, Any]]
    requests: list[dict[str, Any]] = Field(description="Cancellation requests that came out of no session.")
    verifications: list[dict[str, Any]]
    mails: list[dict[str, Any]]
    records: list[dict[str, Any]] = Field(description="Records of sessions that are not here themselves.")


class AccessPage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    data: AccessData


@post(ACCESS, status_code=200)
async def access(
    request: AnyRequest, ports: NamedDependency[Ports], desk: NamedDependency[DataDesk]
) -> Response[Any]:
    """Everything about an address. A long answer is read and sent in pieces."""
    async with desk.admitted(request, ports) as asked:
        email = await _read_email(desk, asked, request)
        caller, known = await desk.read(asked, Scope.DSR, _look_up, email)
    await desk.usage.note(caller, "dsr/access", rows=len(known.ids["sessions"]))
    return Stream(_told(ports, desk, known), media_type=MediaType.JSON, headers=HEADERS)


@post(DELETE, status_code=200)
async def delete(
    request: AnyRequest,
    ports: NamedDependency[Ports],
    desk: NamedDependency[DataDesk],
    privacy_ports: NamedDependency[PrivacyPorts],
) -> Response[bytes]:
    """Erase everything about an address: 200 when it is done, 202 where the worker goes on."""
    async with desk.admitted(request, ports) as asked:
        email = await _read_email(desk, asked, request)
        caller, _ = await desk.read(asked, Scope.DSR, _nothing)
        erasure = await privacy.delete(
            privacy_ports,
            organization_id=caller.organization_id,
            email=email,
            requested_by=caller.key_id,
        )
    await desk.usage.note(caller, "dsr/delete", rows=sum(erasure.counts.values()))
    return _answer(erasure)


@route(f"{DELETE}/{{erasure_id:str}}", http_method=READ)
async def show_erasure(
    request: AnyRequest,
    erasure_id: FromPath[str],
    ports: NamedDependency[Ports],
    desk: NamedDependency[DataDesk],
) -> Response[bytes]:
    """How an erasure stands."""
    async with desk.admitted(request, ports) as asked:
        caller, erasure = await desk.read(asked, Scope.DSR, _find, erasure_id)
    await desk.usage.note(caller, "dsr/delete", rows=1)
    return _answer(erasure)


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (access, delete, show_erasure)


async def _read_email(desk: DataDesk, asked: Asked, request: AnyRequest) -> str:
    try:
        email = (await parse_body(request, AboutWhom)).email
        privacy.check_address(email)
    except AppError:
        await desk.read(asked, Scope.DSR, _nothing)  # a stranger learns nothing else
        raise
    return email


def _nothing(db: Session, caller: DataCaller) -> None:
    """Only to authenticate."""


def _look_up(db: Session, caller: DataCaller, email: str) -> Known:
    return accessing.look_up(db, organization_id=caller.organization_id, email=email, most=accessing.MOST)


def _find(db: Session, caller: DataCaller, erasure_id: str) -> Erasure:
    return privacy.get(db, organization_id=caller.organization_id, erasure_id=erasure_id)


async def _told(ports: Ports, desk: DataDesk, known: Known) -> AsyncIterator[str]:
    yield f'{{"data":{{"email":{json.dumps(known.whose.key)}'
    for section in accessing.SECTIONS:
        yield f',"{section}":['
        comma = ""
        for ids in known.bites(section):
            for row in await desk.read_on(ports, accessing.tell, section, ids):
                yield comma + json.dumps(row)
                comma = ","
        yield "]"
    yield "}}"


def _answer(erasure: Erasure) -> Response[bytes]:
    is_done = erasure.finished_at is not None
    shape = ErasurePage(data=shape_of(erasure))
    return Response(
        shape.model_dump_json(by_alias=True).encode(),
        status_code=200 if is_done else 202,
        media_type=MediaType.JSON,
        headers=HEADERS if is_done else {**HEADERS, "Retry-After": "5"},
    )


def shape_of(erasure: Erasure) -> ErasureShape:
    return ErasureShape(
        id=erasure.id,
        status="done" if erasure.finished_at else "running",
        addressHash=erasure.address_mac,
        requestedBy=erasure.requested_by,
        requestedAt=iso(erasure.requested_at),
        finishedAt=iso(erasure.finished_at) if erasure.finished_at else None,
        waiting=erasure.waiting,
        counts=erasure.counts,
    )
