"""Makes and changes webhook endpoints the way a person does: says what is wrong before anything is saved."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.vault import Vault
from app.core.errors import FieldError, InvalidInput
from app.core.events import EventType
from app.db.tables.webhooks import WebhookEndpoint
from app.settings import Network
from app.setup.addresses import outbound_problem
from app.webhooks import endpoints
from app.webhooks.endpoints import NewSecret
from app.webhooks.kinds import Format, SigningScheme

LONGEST_DESCRIPTION: Final = 200
# A test goes to whom it is meant for, without being chosen.
CHOOSABLE: Final = tuple(type for type in EventType if type is not EventType.WEBHOOK_TEST)


def add_endpoint(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    url: str,
    types: Sequence[str],
    description: str | None,
    format: Format,
    scheme: SigningScheme,
    allowed: Sequence[Network],
    now: datetime,
) -> NewSecret:
    """No types are all. Raises InvalidInput, EnvironmentNotFound, TooManyEndpoints."""
    accounts.get_environment(db, app_id)
    problems = [
        *_url_problems(url, allowed),
        *_type_problems(types, format),
        *_description_problems(description),
    ]
    if format is Format.COMPATIBLE and scheme is SigningScheme.V1A:
        problems.append(
            FieldError(
                "scheme", "The compatible format is signed with a shared secret (v1): ck-signature needs one."
            )
        )
    if problems:
        raise InvalidInput(fields=problems)
    return endpoints.add(
        db,
        vault,
        app_id=app_id,
        url=url,
        types=[EventType(type) for type in types] or None,
        description=description or None,
        format=format,
        scheme=scheme,
        now=now,
    )


def update_endpoint(
    db: Session,
    *,
    app_id: str,
    endpoint_id: str,
    url: str | None,
    types: Sequence[str] | None,
    description: str | None,
    allowed: Sequence[Network],
) -> WebhookEndpoint:
    """What is None stays; no types are all; an empty description takes it away.

    Raises InvalidInput, EndpointNotFound.
    """
    endpoint = endpoints.get(db, app_id=app_id, endpoint_id=endpoint_id, locked=True)
    format = Format(endpoint.format)
    problems = [
        *(_url_problems(url, allowed) if url is not None else ()),
        *_type_problems(types or (), format),
        *_description_problems(description),
    ]
    if problems:
        raise InvalidInput(fields=problems)
    if url is not None:
        endpoint.url = url
    if types is not None:
        endpoint.types = endpoints.types_of(format, [EventType(type) for type in types])
    if description is not None:
        endpoint.description = description or None
    return endpoint


def _url_problems(url: str, allowed: Sequence[Network]) -> list[FieldError]:
    problem = outbound_problem(url, allowed)
    return [FieldError("url", problem)] if problem else []


def _type_problems(types: Sequence[str], format: Format) -> list[FieldError]:
    known = {str(type) for type in CHOOSABLE}
    problems = [
        FieldError("types", f"{_no_such_type(type)} There are: {', '.join(sorted(known))}.")
        for type in types
        if type not in known
    ]
    if types and format is Format.COMPATIBLE:
        problems.append(
            FieldError("types", "The compatible format tells of finished sessions, and of nothing else.")
        )
    return problems[:1]


def _no_such_type(type: str) -> str:
    if type == EventType.WEBHOOK_TEST:
        return f"{type} is sent by `leavewell webhooks test` alone, to any endpoint."
    return f"There is no type {type}."


def _description_problems(description: str | None) -> list[FieldError]:
    if description is None or (len(description) <= LONGEST_DESCRIPTION and description.isprintable()):
        return []
    return [FieldError("description", f"Must be one line of at most {LONGEST_DESCRIPTION} characters.")]
