"""A newcomer's five minutes: the README's commands are run in order, as they stand, up to a first screen."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from app.cli import main
from tests.docs import pages
from tests.support import server
from tests.support.pages import FROM_A_PAGE

README = pages.ROOT / "README.md"
FLOWS = pages.ROOT / "docs" / "flows.md"
BIN = Path(sys.executable).parent


class Terminal:
    """A shell that stays open: what is exported in one line is there in the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("LEAVEWELL_")}
        self._env["PATH"] = f"{BIN}:{self._env['PATH']}"

    def run(self, command: str) -> str:
        """What the command printed."""
        done = subprocess.run(
            ["bash", "-euc", f"{command}\nenv -0 > environment"],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        pairs = (self._folder / "environment").read_text().split("\0")
        self._env = dict(pair.split("=", 1) for pair in pairs if pair)
        return done.stdout

    @property
    def env(self) -> dict[str, str]:
        return self._env


def commands_of(block: str) -> list[str]:
    return re.sub(r"\\\n\s*", "", block).splitlines()


def test_the_five_minutes_lead_to_the_first_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the server's data goes where it is started
    terminal = Terminal(tmp_path)
    exports, setup, start = (
        next(block for block in pages.blocks(README, "sh") if mark in block)
        for mark in ("export LEAVEWELL_SECRET", "leavewell orgs create", "python3 merchant.py")
    )
    for line in commands_of(exports):
        if line.startswith("export"):
            terminal.run(line)
    told: dict[str, str] = {}
    *lines, last = commands_of(setup)
    assert last == "leavewell serve"
    for line in lines:
        printed = terminal.run(line.replace("app_test_…", told.get("app", "")))
        for name, pattern in (("app", r"\bapp_test_\w+"), ("key", r"\btest_[\w-]{43}")):
            if name not in told and (found := re.search(pattern, printed)):
                told[name] = found[0]
    assert "todo" not in terminal.run(f"leavewell setup show {told['app']}")
    serve = [str(BIN / "leavewell"), "serve"]
    with server.started(serve, env=terminal.env, log=tmp_path / "log") as leavewell:
        export, run = commands_of(start)
        terminal.run(
            export.replace("http://127.0.0.1:8000", leavewell.url)
            .replace("app_test_…", told["app"])
            .replace("test_…", told["key"])
        )
        program, *_ = re.findall(r"merchant\.py", run)
        (tmp_path / program).write_text(pages.program(README, program), "utf-8")
        command = [sys.executable, str(tmp_path / program)]
        with server.started(command, env=terminal.env, log=tmp_path / "shop.log", ready="/") as shop:
            pressed = httpx.post(f"{shop.url}/cancel")
            with httpx.Client(headers=FROM_A_PAGE, follow_redirects=True) as browser:
                screen = browser.get(pressed.headers["location"])
    assert screen.status_code == 200
    assert "What makes you want to leave?" in screen.text


def test_simulating_prints_what_the_page_on_flows_shows(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    (tmp_path / "flow.yaml").write_text(pages.program(README, "flow.yaml"), "utf-8")
    *_, customer = pages.blocks(FLOWS, "json")
    (tmp_path / "kim.json").write_text(customer, "utf-8")
    command, shown = pages.blocks(FLOWS, "sh")[-1], pages.blocks(FLOWS, "text")[-1]
    assert terminal.run(command).strip().startswith(shown.strip())


# --- The command line -----------------------------------------------------------------------------------------------


def mentions() -> Iterator[tuple[str, str]]:
    """Every `leavewell …` of the documentation, in code blocks and in passing."""
    for page in pages.PAGES:
        blocks = [line for block in pages.blocks(page, "sh") for line in commands_of(block)]
        passing = re.findall(r"`([^`\n]*\bleavewell [^`\n]*)`", pages.without_blocks(page))
        for code in (*blocks, *passing, *pages.blocks(page, "ini")):
            for found in re.findall(r"(?:^|[ /=])leavewell ((?:[a-z-]+)[^\n#|>)]*)", code, re.MULTILINE):
                yield pages.name(page), found.rstrip()


@pytest.mark.parametrize(("page", "mention"), sorted(set(mentions())))
def test_every_command_that_is_documented_exists(page: str, mention: str) -> None:
    words = shlex.split(mention.replace('"', ""))
    command: click.Command = main
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0].rstrip("."))
        assert found is not None, f"{page}: leavewell {mention}"
        command, words = found, words[1:]
    options = {one for given in command.params for one in (*given.opts, *given.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_group_of_commands_is_in_the_table_and_no_other() -> None:
    named = [name.split()[0] for name in pages.table(README, "Commands").names()]
    assert sorted(named) == sorted(main.commands)


def test_every_group_of_commands_is_shown_at_work() -> None:
    said = " ".join(mention for _, mention in mentions())
    for name in main.commands:
        assert re.search(rf"\b{name}\b", said), name
