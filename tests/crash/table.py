"""The crash matrix as Markdown: a section for each provider, its actions across, what went wrong down."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tests.crash.actions import ACTIONS, Action
from tests.crash.faults import FAULTS, Fault
from tests.crash.matrix import Result, Run

INTRODUCTION: Final = """\
# Crash matrix

Each change that a customer can ask for, at each billing system, with each thing that can go wrong while it is made. In
every case a real server process talks to a billing system in a process of its own: the demo's service, and simulated
vendors that speak each vendor's HTTP as its documentation has it (`tests/support/<vendor>`); no vendor was asked
himself. `make crash-matrix` carries it out, in about twenty minutes, and writes this page;
`make crash-matrix ARGS="--vendor stripe"` does one provider. `make test` carries out a sample.

A case holds (✓) when, after everything goes on again, all of these are so:

- the billing system has made exactly one change, and has what was promised;
- the session is finished with the right outcome, and the page says so;
- the effect and the offer are on record as applied, and the events say so once;
- one signed receipt confirms it, and its dates and prices are those that the billing system has.

*Killed* is SIGKILL, and a new process on the same database. *Before the commit* and *after the commit* are the two
halves of each call that changes something: asked for and not done, done and not answered. A number counts the calls
where a change takes several; the fault is then put into each of them. *Stale* reads show what was so before the change.
A ✗ did not hold; what disagreed stands below the table. · marks what cannot happen there.
"""


def section(provider: str, outcome: Run) -> str:
    """One provider's table, and what of it did not come out right."""
    results = [result for result in outcome.results if result.provider == provider]
    actions = [action for action in ACTIONS if (provider, action) not in outcome.impossible]
    missing = [action.title for action in ACTIONS if action not in actions]
    lines = [f"## {provider}", ""]
    lines += [f"| What goes wrong | When | {' | '.join(action.title for action in actions)} |"]
    lines += [f"|---|---|{'---|' * len(actions)}"]
    for fault in (None, *FAULTS):
        cells = [_cell(results, action, fault) for action in actions]
        if any(cell != "·" for cell in cells):
            what, when = (fault.kind, fault.moment) if fault else ("Nothing", "")
            lines.append(f"| {what} | {when} | {' | '.join(cells)} |")
    held = sum(result.disagreement is None for result in results)
    lines += ["", f"{held} of {len(results)} cases hold."]
    if missing:
        lines[-1] += f" It cannot do: {', '.join(missing)}."
    for result in results:
        if result.disagreement is not None:
            lines += ["", f"✗ {result}:", "", *(f"    {line}" for line in result.disagreement.splitlines())]
    return "\n".join(lines) + "\n"


def _cell(results: Sequence[Result], action: Action, fault: Fault | None) -> str:
    mine = [result for result in results if result.action == action and result.fault == fault]
    if not mine:
        return "·"
    mark = "✓" if all(result.disagreement is None for result in mine) else "✗"
    return f"{mark} {len(mine)}" if len(mine) > 1 else mark


def page(known: str, sections: Mapping[str, str], *, order: Sequence[str]) -> str:
    """The whole page: the sections given, and of the others what the page had."""
    kept = {
        name: f"## {name}{text}".rstrip() + "\n"
        for name, text in re.findall(r"^## (\w+)(.*?)(?=^## |\Z)", known, flags=re.MULTILINE | re.DOTALL)
    }
    all_of_them = {**kept, **sections}
    return "\n".join([INTRODUCTION, *(all_of_them[name] for name in order if name in all_of_them)])
