"""`/v1/data/dsr`, described for the published document."""

from typing import Any, Final

from app.accounts.service import Scope, ScopeMissing
from app.core.errors import InvalidInput
from app.db.database import TookTooLong
from app.insights import dsr
from app.insights.dsr import AboutWhom, AccessPage, ErasurePage
from app.privacy.access import SECTIONS, TooMuchToTell
from app.privacy.service import ErasureNotFound
from app.web.reference import ALWAYS, WITH_BODY, Operation, Parameter, Success, refusal

TAG: Final = "Data subject requests"
ABOUT: Final = (
    "What is kept about a person, and its erasure. It takes a data key with the scope "
    f"`{Scope.DSR}`, of either environment: both modes of your organization are meant."
)

_PREFIX: Final = "/v1/data"
_WHO: Final[dict[str, Any]] = {"email": "ada@example.com"}
_REFUSALS: Final = (
    *ALWAYS,
    refusal(ScopeMissing, "The key has not the scope `dsr`."),
)
_PROOF: Final[dict[str, Any]] = {
    "data": {
        "id": "ers_5d1c0f3a9e7b42d68c15f0aa",
        "status": "done",
        "addressHash": "6f1d0c5b8a7e49d2b3c4f5061728394a6f1d0c5b8a7e49d2b3c4f5061728394a",
        "requestedBy": "key_1b0f6f1e2d3c4b5a69788796",
        "requestedAt": "2026-11-21T09:00:00Z",
        "finishedAt": "2026-11-21T09:00:01Z",
        "waiting": 0,
        "counts": {"events": 6, "links": 1, "mails": 2, "offers": 1, "receipts": 1, "sessions": 1},
    }
}
_RUNNING: Final[dict[str, Any]] = {
    "data": {**_PROOF["data"], "status": "running", "finishedAt": None, "waiting": 1}
}
_LATER: Final = Success(
    status=202,
    description="It goes on; ask again after `Retry-After` seconds.",
    model=ErasurePage,
    example=_RUNNING,
    headers={"Retry-After": "Seconds to wait."},
)

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="post",
        path=f"{_PREFIX}{dsr.ACCESS}",
        id="accessPersonalData",
        tag=TAG,
        summary="Read everything about a person",
        description=(
            "All that is kept about an address, as it is stored: sessions with their answers, offers, changes, "
            "receipts, events, deliveries and mails; links, requests, codes. Only secrets are left out. Also sessions "
            "of the same customer of which no address is known."
        ),
        body=AboutWhom,
        body_example=_WHO,
        success=Success(
            status=200,
            description="What there is; nothing is an answer, too.",
            model=AccessPage,
            example={"data": {"email": "ada@example.com", **{name: [] for name in SECTIONS}}},
        ),
        refusals=(
            *_REFUSALS,
            *WITH_BODY,
            refusal(TooMuchToTell, "There is too much for one answer."),
            refusal(
                TookTooLong,
                "To find it took longer than 30 seconds; `leavewell privacy access` takes its time.",
            ),
            refusal(InvalidInput, "The address is none, or a field is unknown."),
        ),
    ),
    Operation(
        method="post",
        path=f"{_PREFIX}{dsr.DELETE}",
        id="erasePersonalData",
        tag=TAG,
        summary="Erase everything about a person",
        description=(
            "For good. A session in progress is ended first; one whose change is still being made at the billing "
            "provider is erased when that is done. Counts and outcomes stay, and this answer, which proves it and "
            "names nobody. Asked again while it goes on, it is the same one."
        ),
        body=AboutWhom,
        body_example=_WHO,
        success=Success(status=200, description="All is erased.", model=ErasurePage, example=_PROOF),
        also=(_LATER,),
        refusals=(
            *_REFUSALS,
            *WITH_BODY,
            refusal(InvalidInput, "The address is none, or a field is unknown."),
        ),
    ),
    Operation(
        method="get",
        path=f"{_PREFIX}{dsr.DELETE}/{{erasure_id}}",
        id="readErasure",
        tag=TAG,
        summary="Read how an erasure stands",
        description="The proof of an erasure, also years later.",
        parameters=(
            Parameter(
                name="erasure_id",
                place="path",
                description="An erasure of your organization.",
                schema={"type": "string", "pattern": "^ers_[0-9a-f]{24}$"},
                example="ers_5d1c0f3a9e7b42d68c15f0aa",
                is_required=True,
            ),
        ),
        success=Success(status=200, description="It is done.", model=ErasurePage, example=_PROOF),
        also=(_LATER,),
        refusals=(*_REFUSALS, refusal(ErasureNotFound, "Your organization has no such erasure.")),
    ),
)
