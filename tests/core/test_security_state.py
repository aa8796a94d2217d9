"""What is stored of a customer stays out of error messages: those are logged."""

import pytest
from pydantic import ValidationError

from app.core.state import SessionState
from app.core.world import read_world

PRIVATE = "ada@example.com, who wrote this in confidence"


def test_a_stored_session_that_cannot_be_read_any_more_says_so_without_repeating_it() -> None:
    for read, stored in (
        (read_world, {"mode": "test", "locale": "en", "customer": {"id": "cus_ada", "gone": PRIVATE}}),
        (read_world, {"mode": "test", "locale": "en", "gone": PRIVATE}),
        (SessionState.model_validate, {"answers": {"why": {"text": PRIVATE, "at": PRIVATE}}}),
        (SessionState.model_validate, {"gone": PRIVATE}),
    ):
        with pytest.raises(ValidationError) as caught:
            read(stored)
        assert "ada@example.com" not in str(caught.value)
