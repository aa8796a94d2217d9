"""`leavewell mcp` says what it lacks, and weighs nothing where it is not used."""

import subprocess
import sys

from tests.cli.conftest import Run


def test_it_asks_for_one_way_and_for_a_key(run: Run, app_id: str) -> None:
    assert "Give an APP_ID, or --http HOST:PORT." in run("mcp").err
    assert "Give an APP_ID, or --http HOST:PORT." in run("mcp", app_id, "--http", "127.0.0.1:1").err
    assert "--http must be HOST:PORT" in run("mcp", "--http", "8090").err
    (error,) = run("mcp", app_id).errors
    assert error.startswith("No data key: set LEAVEWELL_DATA_KEY, or give --key-file.")


def test_a_key_that_is_none_is_refused_before_anything_is_served(run: Run, app_id: str) -> None:
    refused = run("mcp", app_id, LEAVEWELL_DATA_KEY="test_data_nonsense")
    assert refused.code != 0
    assert refused.out == ""
    assert refused.errors == ["The app ID and API key do not belong together, or are missing."]


def test_a_server_and_the_other_commands_do_not_load_the_library() -> None:
    looks = "import sys, app.cli, app.main; sys.exit('mcp' in sys.modules or 'starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looks], check=False, timeout=60).returncode == 0
