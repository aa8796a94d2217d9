"""Sets this checkout up and runs it: `python3 scripts/bootstrap.py run|install|test|setup|lock`.

Standard library only, and readable by any Python 3.7: its first job is to say that a newer one is needed.
What is installed is exactly what the lock files say; it is done again only when they change.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".leavewell.json"
OLDEST = (3, 11)
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"  # everything of RUNTIME_LOCK, at the same versions, and the tools

USAGE = """usage: python3 scripts/bootstrap.py COMMAND

  run             set up what is needed to run, then start the demo (PORT=8000, PROVIDER=demo)
  install         set up what is needed to run, and stop there: .venv/bin/leavewell is the command line
  test [ARGS…]    set up what is needed to test, then run pytest with ARGS
  setup           set up what is needed to test, and stop there
  lock [ARGS…]    write the lock files anew (ARGS such as --upgrade go to the resolver)"""


def main(arguments: list[str]) -> None:
    use_new_enough_python()
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    os.chdir(ROOT)
    if command == "run":
        install(RUNTIME_LOCK)
        become("-m", "demo", *rest)
    elif command == "install":
        install(RUNTIME_LOCK)
    elif command in ("test", "setup"):
        install(DEV_LOCK)
        run(VENV_PYTHON, "-m", "scripts.provision")
        if command == "test":
            become("-m", "pytest", *rest)
    elif command == "lock":
        write_locks(rest)
    else:
        sys.exit(USAGE)


def use_new_enough_python() -> None:
    """Go on under a newer Python from PATH if this one is too old."""
    if sys.version_info[:2] >= OLDEST:
        return
    for minor in range(20, OLDEST[1] - 1, -1):
        newer = shutil.which("python3.%d" % minor)  # noqa: UP031 - old Pythons read this line
        if newer:
            os.execv(newer, [newer, *sys.argv])  # noqa: S606 - that very interpreter, no shell
    sys.exit(
        "Leavewell needs Python 3.11 or newer; this is Python {}.{} ({}).\n"
        "Install a newer one and try again, or name it: make PYTHON=/path/to/python3.11 …".format(
            *sys.version_info[:2], sys.executable
        )
    )


def install(lock: str) -> None:
    """Bring the virtual environment to what `lock` says, unless it is there already."""
    checkout = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(checkout, fcntl.LOCK_EX)  # two commands at once would trample on each other
    try:
        create_venv()
        wanted = {name: checksum(name) for name in (lock, RUNTIME_LOCK, "pyproject.toml")}
        done = json.loads(STAMP.read_text()) if STAMP.exists() else {}
        if wanted.items() <= done.items():
            return
        say(f"Installing what {lock} lists (once; takes well under a minute) …")
        pip("install", "--require-hashes", "--requirement", lock)
        pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")
        STAMP.write_text(json.dumps(wanted))
    finally:
        os.close(checkout)


def create_venv() -> None:
    works = VENV_PYTHON.exists() and succeeds(
        VENV_PYTHON, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    )
    if works:
        return
    if not find_spec("ensurepip") and not install_ensurepip():
        sys.exit(
            "This Python cannot make virtual environments (its `ensurepip` is missing).\n"
            "On Debian and Ubuntu: apt install python3-venv. Then try again."
        )
    say("Creating .venv …")
    venv.create(VENV, clear=True, with_pip=True)


def install_ensurepip() -> bool:
    """Debian and Ubuntu package it apart from Python; root may fetch it without asking."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    package = f"python3.{sys.version_info[1]}-venv"
    say(f"Installing {package} (once) …")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    return succeeds("apt-get", "update") and succeeds(
        "apt-get", "install", "-y", "--no-install-recommends", package
    )


def write_locks(extra: list[str]) -> None:
    """Resolve for every platform, with every hash, keeping present versions unless `extra` says otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
        compile_lock = (python, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal")
        options = ("--python-version", "3.11", "--generate-hashes", "--custom-compile-command", "make lock")
        run(*compile_lock, *options, "--group", "build", "--output-file", RUNTIME_LOCK, *extra)
        run(
            *compile_lock,
            *options,
            "--group",
            "dev",
            "--constraint",
            RUNTIME_LOCK,
            "--output-file",
            DEV_LOCK,
            *extra,
        )


def pip(*arguments: str) -> None:
    run(VENV_PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def run(*command: str | Path) -> None:
    """Run to the end, or stop with its exit code: it has said itself what is wrong."""
    code = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        sys.exit(code)


def succeeds(*command: str | Path) -> bool:
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


def become(*arguments: str) -> None:
    """Hand over to the virtual environment's Python, so that signals reach it and its exit code is ours."""
    sys.stdout.flush()
    os.execv(VENV_PYTHON, [str(VENV_PYTHON), *arguments])  # noqa: S606 - no shell is meant


def checksum(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
