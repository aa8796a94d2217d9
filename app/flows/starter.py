"""The flow that a new organization begins with. It makes no offers, so every billing system can carry it out."""

from functools import cache
from pathlib import Path
from typing import Final

from app.core.flow import FlowDefinition
from app.flows.files import load_yaml

FILE: Final = Path(__file__).with_name("starter.yaml")


@cache
def starter_flow() -> FlowDefinition:
    return load_yaml(FILE.read_text(encoding="utf-8"), FILE.name)
