"""What the documentation says of billing systems is what the code can do."""

import pytest

from app.adapters.billing.registry import PROVIDERS
from tests.docs import capabilities, pages

README = pages.ROOT / "README.md"
VENDORS = [name for name in PROVIDERS if name not in ("direct", "demo")]


def test_the_readmes_table_is_made_from_the_code() -> None:
    """Print it anew with `python -m tests.docs.capabilities`."""
    assert f"<!-- providers: Capability -->\n{capabilities.table()}" in pages.read(README)


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_vendor_has_a_page_and_a_section(vendor: str) -> None:
    page = pages.ROOT / "docs" / "providers" / f"{vendor}.md"
    text = pages.read(page)
    assert f"/hooks/{vendor}/" in text
    assert f"docs/providers/{vendor}.md" in pages.read(README)
    assert f"leavewell setup provider app_test_… {vendor}" in pages.read(README)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_command_in_the_readme_names_the_fields_that_there_are(vendor: str) -> None:
    (command,) = [
        line
        for block in pages.blocks(README, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if f"setup provider app_test_… {vendor} " in line
    ]
    given = {word.partition("=")[0] for word in command.split() if "=" in word}
    known = {field.name: field for field in PROVIDERS[vendor].credential_fields}
    assert given <= known.keys()
    assert given >= {name for name, field in known.items() if field.is_required}
