"""What a request may say: bracketed forms unfolded, and names that the library's types do not know refused."""

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from stripe import RequestOptions

Params = dict[str, Any]

_STEP = re.compile(r"\[([^\[\]]*)\]")
_TYPE = re.compile(r"\b([A-Z][A-Za-z0-9]*Params[A-Za-z0-9]*)\b")
_OF_THE_LIBRARY = frozenset(RequestOptions.__annotations__)


class Refusal(Exception):
    """A request that Stripe answers with an error object."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {
            "type": kind,
            "message": message,
            **({"code": code} if code else {}),
            **({"param": param} if param else {}),
        }

    @property
    def is_validation(self) -> bool:
        """Refused before anything was done: such answers are kept under no idempotency key."""
        return str(self.error.get("code", "")).startswith("parameter_")


def unfold(pairs: Iterable[tuple[str, str]]) -> Params:
    """`items[0][price]=x` as `{"items": [{"price": "x"}]}`."""
    tree: Params = {}
    for name, value in pairs:
        first, _, rest = name.partition("[")
        steps = [first, *_STEP.findall("[" + rest if rest else "")]
        at = tree
        for step in steps[:-1]:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                raise Refusal(f"Invalid {name}", code="parameter_invalid", param=name)
        at[steps[-1]] = value
    return {name: _listed(value) for name, value in tree.items()}


def check(params: Params, module: str, name: str) -> None:
    """Raises Refusal for a parameter that there is not, at whatever depth."""
    _check(params, import_module(f"stripe.params.{module}"), name, "")


def flag(params: Params, name: str) -> bool | None:
    match params.get(name):
        case None:
            return None
        case "true":
            return True
        case "false":
            return False
    raise Refusal(f"Invalid boolean: {params[name]}", code="parameter_invalid_boolean", param=name)


def number(
    params: Params, name: str, *, at_least: int | None = None, at_most: int | None = None
) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"-?\d{1,15}", str(value)):
        raise Refusal(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    found = int(value)
    if at_least is not None and found < at_least:
        raise Refusal(f"This value must be greater than or equal to {at_least}.", param=name)
    if at_most is not None and found > at_most:
        raise Refusal(f"This value must be less than or equal to {at_most}.", param=name)
    return found


def required(params: Params, name: str) -> str:
    value = params.get(name)
    if not value:
        raise Refusal(f"Missing required param: {name}.", code="parameter_missing", param=name)
    return str(value)


def strings(value: object) -> Sequence[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(one) for name, one in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def _check(params: Params, module: Any, name: str, path: str) -> None:
    known = {
        key: annotation
        for one in reversed(getattr(module, name).__mro__)
        for key, annotation in getattr(one, "__annotations__", {}).items()
        if path or key not in _OF_THE_LIBRARY
    }
    for key, value in params.items():
        where = f"{path}[{key}]" if path else key
        if key not in known:
            raise Refusal(f"Received unknown parameter: {where}", code="parameter_unknown", param=where)
        inner = [found for found in _TYPE.findall(str(known[key])) if hasattr(module, found)]
        for one in inner[:1]:
            entries = value if isinstance(value, list) else [value]
            for number, entry in enumerate(entries):
                if isinstance(entry, dict):
                    _check(entry, module, one, f"{where}[{number}]" if isinstance(value, list) else where)
