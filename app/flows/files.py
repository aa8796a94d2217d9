"""Flow files: YAML text to a flow definition and back, every mistake with its line and column.

Reads text only: no files, no database. YAML 1.2's core types, as editors use them: `no` is a word, not false.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.core.errors import FieldError, InvalidInput
from app.core.fields import dotted
from app.core.flow import FlowDefinition, dump_flow
from app.core.flow_check import InvalidFlow, Problem, parse_flow

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40

Way = tuple[str | int, ...]
Mark = Any  # yaml's, or its C twin's, which share no type; None where there is no place


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One mistake in a file. Lines and columns count from 1; `field` is "" for what concerns the whole."""

    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}"
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class FlowFileError(InvalidInput):
    """A flow file that cannot be read; `problems` in the order of the file."""

    code = "invalid_flow_file"
    user_message = "The flow file has mistakes."

    def __init__(self, filename: str, problems: Sequence[FileProblem]) -> None:
        self.filename = filename
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
        super().__init__(fields=[FieldError(problem.field, problem.message) for problem in self.problems])

    def __str__(self) -> str:
        return "\n".join(f"{self.filename}, {problem}" for problem in self.problems)


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A flow as read, and where each of its fields stands."""

    definition: FlowDefinition
    positions: "Positions"

    def locate(self, problems: Sequence[Problem]) -> list[FileProblem]:
        """The same problems, as `validate_flow` finds them, with their places in the file."""
        return self.positions.locate(problems)


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each path of a file stands: line and column, from 1."""

    by_path: dict[str, tuple[int, int]] = field(default_factory=dict)

    def locate(self, problems: Sequence[Problem]) -> list[FileProblem]:
        return [FileProblem(*self.find(problem.path), problem.path, problem.message) for problem in problems]

    def find(self, path: str) -> tuple[int, int]:
        """The place of a path, or of what should have held it."""
        while path and path not in self.by_path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.by_path.get(path, (1, 1))


def load_yaml(text: str, filename: str) -> FlowDefinition:
    """Read a flow file. Raises FlowFileError with every mistake that can be told apart."""
    return read_yaml(text, filename).definition


def read_yaml(text: str, filename: str) -> FlowFile:
    """As load_yaml, with the place of each field, for problems that are found later."""
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise FlowFileError(
            filename, [FileProblem(1, 1, "", f"The file is larger than {MAX_BYTES // 1024} KB.")]
        )
    reading = _Reading()
    try:
        data = reading.document(text)
    except yaml.MarkedYAMLError as error:
        raise FlowFileError(filename, [_syntax_problem(error)]) from None
    except yaml.reader.ReaderError as error:
        raise FlowFileError(filename, [_character_problem(text, error.position)]) from None
    if reading.problems:
        raise FlowFileError(filename, reading.problems)
    try:
        return FlowFile(parse_flow(data), reading.positions)
    except InvalidFlow as error:
        raise FlowFileError(filename, reading.positions.locate(error.problems)) from None


# --- Reading --------------------------------------------------------------------------------------

_NULL = re.compile(r"~|null|Null|NULL|", re.ASCII)
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE", re.ASCII)
_INT = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)


class _NotHere(yaml.MarkedYAMLError):
    """Good YAML that flow files have no use for."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, bounded; which scalars are not text is decided by `_typed` alone."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        mark: Mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            said = "Anchors and aliases are not used in flow files: write it out."
            raise _NotHere(problem=said, problem_mark=mark)
        if self.depth == MAX_DEPTH:
            raise _NotHere(problem=f"Nested deeper than {MAX_DEPTH} levels.", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reading:
    """One run over a file: what it said, where, and what was wrong."""

    def __init__(self) -> None:
        self.problems: list[FileProblem] = []
        self.positions = Positions()

    def document(self, text: str) -> object:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        if node is None:
            self._refuse(None, "", "The file is empty.")
            return None
        return self._value(node, ())

    def _value(self, node: yaml.Node, way: Way) -> object:
        self.positions.by_path.setdefault(dotted(way), _place(node.start_mark))
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return dict(self._entries(node, way))
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self._value(inner, (*way, number)) for number, inner in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node, way)
            case _:
                self._refuse(node.start_mark, dotted(way), f"There is no such tag here: {node.tag}.")
                return None

    def _entries(self, node: yaml.MappingNode, way: Way) -> Iterator[tuple[str, object]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key.start_mark, dotted(way), "A field's name must be text.")
                continue
            inner = (*way, key.value)
            self.positions.by_path.setdefault(dotted(inner), _place(key.start_mark))
            if key.value in seen:
                self._refuse(key.start_mark, dotted(inner), "This field is given twice.")
            seen.add(key.value)
            yield key.value, self._value(value, inner)

    def _scalar(self, node: yaml.ScalarNode, way: Way) -> object:
        text = node.value
        if node.tag != "tag:yaml.org,2002:str":
            self._refuse(node.start_mark, dotted(way), f"There is no such tag here: {node.tag}.")
        return _typed(text) if node.style is None else text

    def _refuse(self, mark: Mark, path: str, message: str) -> None:
        self.problems.append(FileProblem(*_place(mark), path, message))


def _typed(text: str) -> object:
    """A plain scalar as null, boolean, number or text."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _place(mark: Mark) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _syntax_problem(error: yaml.MarkedYAMLError) -> FileProblem:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    if not isinstance(error, _NotHere):
        said = f"This is not valid YAML: {said}."
    return FileProblem(*_place(error.problem_mark or error.context_mark), "", said)


def _character_problem(text: str, position: int) -> FileProblem:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return FileProblem(line, column, "", "There is a character here that YAML does not allow.")


# --- Writing --------------------------------------------------------------------------------------

FIRST = ("version", "name", "kind", "id", "label", "title", "headline", "body", "when")
LAST = ("copy", "offers", "branches")
"""The fields that stand first and last where there are any; the others keep the order of their definition."""


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented, paragraphs as blocks, text in quotes where it could be taken for a number."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    is_plain = isinstance(_typed(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text_node)


def dump_yaml(definition: FlowDefinition) -> str:
    """Write a flow file without what is at its default; load_yaml reads it back to an equal definition."""
    return yaml.dump(
        _ordered(dump_flow(definition)), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )


def _ordered(node: object) -> object:
    if isinstance(node, list):
        return [_ordered(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    middle = [key for key in node if key not in FIRST and key not in LAST]
    return {key: _ordered(node[key]) for key in (*FIRST, *middle, *LAST) if key in node}
