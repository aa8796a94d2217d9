"""`leavewell reconcile`: what was promised against what there is."""

from tests.cli.conftest import Run


def test_where_nothing_was_changed_there_is_nothing_to_compare(run: Run, app_id: str) -> None:
    ran = run("reconcile", app_id)
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing was changed in the last 30 days." in ran.err


def test_an_environment_that_is_not_there_is_named(run: Run) -> None:
    ran = run("reconcile", "app_test_nothing")
    assert ran.code == 1
    assert ran.errors


def test_how_far_to_look_back_is_bounded(run: Run, app_id: str) -> None:
    assert run("reconcile", app_id, "--days", "401").code == 2
