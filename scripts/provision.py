"""Finds, or else installs, what the tests need beside Python: a Chromium, a PostgreSQL and curl.

Standard library only. A need that cannot be met is a failure with a way out, never a silent skip.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
CHROMIUM_PLACES = (
    "/usr/lib/chromium/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PLAYWRIGHT_PLACES = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)
POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


def find_chromium() -> str | None:
    """The first Chromium that starts: `CHROMIUM`, PATH, known places, Playwright's own."""
    for candidate in _chromium_candidates():
        if _starts(candidate):
            return candidate
    return None


def find_postgres() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, of the newest version there is."""
    on_path = shutil.which("pg_ctl")
    # A link on PATH may point to a wrapper; its neighbours are what is needed.
    folders = [Path(on_path).parent, Path(on_path).resolve().parent] if on_path else []
    for pattern in POSTGRES_PLACES:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    return next((folder for folder in folders if _has_postgres(folder)), None)


def main() -> None:
    if not (find_chromium() or _install_chromium()):
        sys.exit(
            "The tests need a Chromium that starts. Install one (apt install chromium,\n"
            "brew install --cask chromium), or name yours: CHROMIUM=/path/to/chromium."
        )
    if not (os.environ.get("TEST_DATABASE_URL") or find_postgres() or _install_postgres()):
        sys.exit(
            "The tests need a PostgreSQL. Install one (apt install postgresql, brew install postgresql),\n"
            "or name a server whose user may create databases:\n"
            "TEST_DATABASE_URL=postgresql://user:password@host/postgres."
        )
    if not (shutil.which("curl") or _apt("curl")):
        sys.exit(
            "The tests run what the README tells, and that needs curl (apt install curl, brew install curl)."
        )


def _install_chromium() -> bool:
    if os.environ.get("CHROMIUM"):
        return False  # that one is wanted and no other
    if _apt("chromium") and find_chromium():
        return True
    # Playwright's own build, where there is no package.
    print("Downloading Chromium (once) …", flush=True)
    with_libraries = ["--with-deps"] if _may_use_apt() else []
    command = (sys.executable, "-m", "playwright", "install", *with_libraries, "chromium")
    return _quietly(command, os.environ) and find_chromium() is not None


def _install_postgres() -> bool:
    return _apt("postgresql") and find_postgres() is not None


def _chromium_candidates() -> Iterator[str]:
    named = os.environ.get("CHROMIUM")
    if named:
        yield named
        return
    yield from filter(None, map(shutil.which, CHROMIUM_NAMES))
    yield from CHROMIUM_PLACES
    own = [Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright"]
    if "PLAYWRIGHT_BROWSERS_PATH" in os.environ:
        own = [Path(os.environ["PLAYWRIGHT_BROWSERS_PATH"])]
    for folder in own:
        for pattern in PLAYWRIGHT_PLACES:
            yield from map(str, sorted(folder.glob(pattern), reverse=True))


def _starts(command: str) -> bool:
    """Whether it is there and runs: on Ubuntu `chromium-browser` may be a stub that only asks for a snap."""
    if not os.access(command, os.X_OK) or os.path.isdir(command):
        return False
    try:
        done = subprocess.run([command, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "pg_ctl", "postgres"))


def _version(folder: Path) -> tuple[int, ...]:
    digits = "".join(character if character.isdigit() else " " for character in folder.parent.name)
    return tuple(int(part) for part in digits.split())


def _may_use_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt(package: str) -> bool:
    """Install a Debian package; a mirror may fail for a moment, so try three times, and never for ever."""
    if not _may_use_apt():
        return False
    print(f"Installing {package} (once) …", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ("-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3")
    steps = (
        ("apt-get", "update", *options),
        ("apt-get", "install", "-y", "--no-install-recommends", *options, package),
    )
    for attempt in range(3):
        time.sleep(5 * attempt)
        if all(_quietly(step, environment) for step in steps):
            return True
    return False


def _quietly(command: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    """Run without output; if it fails, show its last lines."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{' '.join(command)}: no end after ten minutes", file=sys.stderr)
        return False
    if done.returncode:
        print(
            f"{' '.join(command)}:",
            *(done.stdout + done.stderr).splitlines()[-5:],
            sep="\n  ",
            file=sys.stderr,
        )
    return done.returncode == 0


if __name__ == "__main__":
    main()
