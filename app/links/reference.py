"""The cancel-session API, described for the published document. Its shapes are those of forms.py."""

from typing import Any, Final

from app.core.errors import InvalidInput
from app.links import api
from app.links.forms import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    LinkPage,
    LinkShape,
    MintBody,
    MintedLink,
)
from app.links.idempotency import MAX_LENGTH, IdempotencyKeyReused, IdempotencyKeyUnreadable
from app.links.service import LinkNotFound
from app.web.reference import ALWAYS, WITH_BODY, Operation, Parameter, Success, refusal

TAG: Final = "Cancel links"

_MINTED: Final[dict[str, Any]] = {
    "id": "lnk_5d1c0f3a9e7b42d68c15f0aa",
    "url": "https://leave.example.com/cancel/cl_EAAAAAAAAAAAAAAAAAAAAA.c2lnbmF0dXJl",
    "token": "cl_EAAAAAAAAAAAAAAAAAAAAA.c2lnbmF0dXJl",
    "expiresAt": "2026-12-01T12:00:00Z",
    "customerId": "cus_R4nd0m",
    "subscriptionId": "sub_R4nd0m",
    "singleUse": True,
    "mode": "test",
    "status": "active",
    "createdAt": "2026-12-01T11:00:00Z",
}
_LINK: Final[dict[str, Any]] = {
    **{name: value for name, value in _MINTED.items() if name not in ("url", "token")},
    "exchangedAt": None,
    "consumedAt": None,
    "revokedAt": None,
    "returnUrl": "https://app.example.com/billing",
    "locale": "en",
}
_LINK_ID: Final = Parameter(
    name="link_id",
    place="path",
    description="The link's id.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    example=_LINK["id"],
    is_required=True,
)
_NOT_FOUND: Final = refusal(LinkNotFound, "No link has this id, or another environment's has.")

OPERATIONS: Final = (
    Operation(
        method="post",
        path=api.PATH,
        id="mintCancelLink",
        tag=TAG,
        summary="Make a cancel link",
        description=(
            "Call it from your backend when a customer presses *Cancel*, and redirect to `url` at once.\n\n"
            "The link is for that customer alone. Following it from a page opens the flow; a mail scanner or a chat "
            "preview that fetches it changes nothing."
        ),
        parameters=(
            Parameter(
                name="Idempotency-Key",
                place="header",
                description=(
                    "A value of your own for this one attempt, such as a UUID. For 24 hours the same key with the same "
                    "body gets the same answer, and only one link exists, however often you have to try."
                ),
                schema={
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_LENGTH,
                    "pattern": r"^[\x20-\x7e]+$",
                },
                example="4f0d7a52-6d3c-4c37-9a0b-1f5e2f0c8e11",
            ),
        ),
        body=MintBody,
        body_example={
            "customerId": "cus_R4nd0m",
            "expiresAt": "2026-12-01T12:00:00Z",
            "subscriptionId": "sub_R4nd0m",
            "returnUrl": "https://app.example.com/billing",
            "customerAttributes": {"plan": "Pro", "openTickets": 2},
        },
        success=Success(
            status=201,
            description="The link. Send the customer to `url` now; it is not told again.",
            model=MintedLink,
            example=_MINTED,
            headers={"Idempotent-Replayed": "`true` where this is an earlier answer, told again."},
        ),
        refusals=(
            *WITH_BODY,
            *ALWAYS,
            refusal(
                IdempotencyKeyReused, "The `Idempotency-Key` came with another body in the last 24 hours."
            ),
            refusal(
                IdempotencyKeyUnreadable,
                "The answer to this key was kept under a secret that has been dropped in the last 24 hours.",
            ),
            refusal(InvalidInput, "Fields are missing, unknown or not valid; `errors` names each."),
        ),
    ),
    Operation(
        method="get",
        path=api.PATH,
        id="listCancelLinks",
        tag=TAG,
        summary="List cancel links",
        description="The environment's links, newest first, a page at a time.",
        parameters=(
            Parameter(
                name="limit",
                place="query",
                description="How many links a page has at most.",
                schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                example=DEFAULT_LIMIT,
            ),
            Parameter(
                name="cursor",
                place="query",
                description="Where to go on: the `nextCursor` of the page before.",
                schema={"type": "string", "minLength": 1, "maxLength": 255},
            ),
            Parameter(
                name="customerId",
                place="query",
                description="Only this customer's links.",
                schema=MintBody.model_json_schema()["properties"]["customerId"],
                example="cus_R4nd0m",
            ),
        ),
        success=Success(
            status=200,
            description="A page of links.",
            model=LinkPage,
            example={"data": [_LINK], "nextCursor": None},
        ),
        refusals=(
            *ALWAYS,
            refusal(InvalidInput, "A parameter is unknown, given twice or not valid; `errors` names it."),
        ),
    ),
    Operation(
        method="get",
        path=f"{api.PATH}/{{link_id}}",
        id="readCancelLink",
        tag=TAG,
        summary="Read a cancel link",
        description="What has become of a link. Its token is not told again.",
        parameters=(_LINK_ID,),
        success=Success(status=200, description="The link.", model=LinkShape, example=_LINK),
        refusals=(*ALWAYS, _NOT_FOUND),
    ),
    Operation(
        method="post",
        path=f"{api.PATH}/{{link_id}}/revoke",
        id="revokeCancelLink",
        tag=TAG,
        summary="Revoke a cancel link",
        description=(
            "From now on the link opens nothing. Doing it again changes nothing, and a flow that it has opened already "
            "goes on."
        ),
        parameters=(_LINK_ID,),
        success=Success(
            status=200,
            description="The link, revoked.",
            model=LinkShape,
            example={**_LINK, "status": "revoked", "revokedAt": "2026-12-01T11:30:00Z"},
        ),
        refusals=(*ALWAYS, _NOT_FOUND),
    ),
)
