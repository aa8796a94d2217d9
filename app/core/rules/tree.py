"""The nodes of a rule. Frozen; a leaf whose operator cannot work with its value cannot be built."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from app.core.rules.operators import Expected, Op, problem_with_value


class Node(ABC):
    """A condition or a group of them. Annotate with `Rule`, and pydantic reads it from JSON."""

    __slots__ = ()

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The node as it stands in a flow file; `parse` reads it again."""


@dataclass(frozen=True, slots=True)
class All(Node):
    """Yes when every part is."""

    parts: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        return {"all": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class AnyOf(Node):
    """Yes when one part is."""

    parts: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        return {"any": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Not(Node):
    """Yes when its part is no."""

    part: Node

    def to_json(self) -> dict[str, Any]:
        return {"not": self.part.to_json()}


@dataclass(frozen=True, slots=True)
class Leaf(Node):
    """One question about one attribute. `value` is None for `exists` and `not_exists`, a tuple for lists."""

    attribute: str
    op: Op
    value: Expected = None

    def __post_init__(self) -> None:
        if problem := problem_with_value(self.op, self.value):
            raise ValueError(f"{self.attribute} {self.op}: {problem}")

    def to_json(self) -> dict[str, Any]:
        leaf: dict[str, Any] = {"attribute": self.attribute, "op": self.op.value}
        if self.value is not None:
            leaf["value"] = list(self.value) if isinstance(self.value, tuple) else self.value
        return leaf


def dump(rule: Node) -> dict[str, Any]:
    """The JSON of a rule; `parse` reads it again."""
    return rule.to_json()
