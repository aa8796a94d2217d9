"""What is vendored is what its release published: every file has its row, every row its file and checksum."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "static" / "vendor", ROOT / "tests" / "support" / "vendor"]
ROW = re.compile(r"^\| `(?P<file>[^`]+)` .* `(?P<sha256>[0-9a-f]{64})` \|$", re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_vendored_files_have_the_checksums_of_their_note(folder: Path) -> None:
    noted = {row["file"]: row["sha256"] for row in ROW.finditer((folder / "VENDOR.md").read_text())}
    present = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    del present["VENDOR.md"]
    assert present == noted
