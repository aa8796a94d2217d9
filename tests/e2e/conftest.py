"""What a journey gets: one demo a worker, as if nobody had been there, and people with browsers."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import BrowserContext

from tests.e2e.stage import Stage, opened
from tests.e2e.visitor import Look, Visitor
from tests.support.browser import Contexts


class Visitors(Protocol):
    """Makes visitors, each with a browser of their own (`options` are those of `new_context`) or sharing one."""

    def __call__(
        self, *, look: Look = ..., context: BrowserContext | None = None, **options: Any
    ) -> Visitor: ...


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with opened(tmp_path_factory.mktemp("demo")) as stage:
        yield stage


@pytest.fixture
def stage(demo: Stage) -> Stage:
    """The demo with six fresh customers."""
    demo.reset()
    return demo


@pytest.fixture
def visitor(stage: Stage, new_context: Contexts) -> Visitors:
    def make(
        *, look: Look = lambda page: None, context: BrowserContext | None = None, **options: Any
    ) -> Visitor:
        return Visitor((context or new_context(**options)).new_page(), stage.url, look)

    return make
