"""What the house asks of source code and no linter checks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The registry loads an adapter, and with it the vendor's library, when it is first used: for memory's sake.
MAY_IMPORT_IN_FUNCTIONS = {"app/adapters/billing/registry.py"}
CLOCKS = re.compile(r"\.(now|utcnow|today|monotonic|perf_counter)\(|\btime\.time\(|\buuid[14]\(")


def sources(*folders: str) -> list[Path]:
    return sorted(
        file for folder in folders for file in (ROOT / folder).rglob("*.py") if "versions" not in file.parts
    )


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


PRODUCT = [pytest.param(file, id=name(file)) for file in sources("app", "demo")]


@pytest.mark.parametrize("file", PRODUCT)
def test_a_module_says_what_it_owns(file: Path) -> None:
    code = file.read_text()
    assert not code or ast.get_docstring(ast.parse(code)), "needs a docstring of one to three lines"


@pytest.mark.parametrize("file", PRODUCT)
def test_imports_stand_at_the_top(file: Path) -> None:
    if name(file) in MAY_IMPORT_IN_FUNCTIONS:
        return
    assert list(nested_imports(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize("file", PRODUCT)
def test_no_import_is_for_the_type_checker_alone(file: Path) -> None:
    assert "TYPE_CHECKING" not in file.read_text(), "Litestar resolves annotations at run time"


@pytest.mark.parametrize("file", [pytest.param(file, id=name(file)) for file in sources("app/core")])
def test_the_core_reads_no_clock(file: Path) -> None:
    code = ast.unparse(ast.parse(file.read_text()))
    assert CLOCKS.search(code) is None, "time comes in as an argument"


@pytest.mark.parametrize("file", [pytest.param(file, id=name(file)) for file in sources("app/db/tables")])
def test_tables_keep_their_annotations(file: Path) -> None:
    assert "from __future__ import annotations" not in file.read_text(), "SQLModel reads them at run time"


def test_every_exception_to_a_linter_has_a_reason() -> None:
    unexplained = [
        f"{name(file)}:{number}: {line.strip()}"
        for file in sources("app", "demo", "scripts", "tests")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"# (noqa|type: ignore)", line) and not is_explained(line)
    ]
    assert unexplained == []


def test_every_rule_that_is_switched_off_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    switched_off = re.findall(r'^  "[A-Z]+\d+",.*$', text, flags=re.MULTILINE)
    assert switched_off
    assert [line for line in switched_off if not re.search(r",\s+# \S", line)] == []
    templates = re.search(r'^ignore = "(H.*)"$', text, flags=re.MULTILINE)
    assert templates
    for rule in templates[1].split(","):
        assert re.search(rf"^# {rule}  \w", text, flags=re.MULTILINE), f"{rule} has no reason"


def nested_imports(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield f"line {node.lineno}: {ast.unparse(node)}"


def is_explained(line: str) -> bool:
    """`# noqa: S608 - only names of our own` and `# type: ignore[misc] - the stub is wrong` say why."""
    return (
        re.search(r"# (noqa: [A-Z0-9, ]+?|type: ignore\[[\w, -]+\])[ #(–-]+[a-z]\w*.* \w", line, re.I)
        is not None
    )


def test_no_application_of_a_test_takes_the_log_over() -> None:
    """Litestar sets the root logger up for every application that does not say otherwise, for all later tests. So does
    a RequestFactory that is given none: it makes one."""
    takers = [
        f"{name(file)}:{call.lineno}"
        for file in sources("app", "demo", "tests")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and (call.func.id == "Litestar" or (call.func.id == "RequestFactory" and not call.args))
        and not any(given.arg == "logging_config" for given in call.keywords)
    ]
    assert takers == []
