"""The words and paths of mistakes, and that the published schema tells the truth."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import AppError, FieldError, InvalidInput, TooManyRequests
from app.core.fields import (
    MAX_ID,
    MAX_METADATA_BYTES,
    MAX_TEXT,
    Id,
    Metadata,
    Text,
    dotted,
    field_errors,
    sift_metadata,
)


def test_paths_are_written_as_a_developer_writes_them() -> None:
    assert dotted(("subscriptions", 0, "items", 12, "price")) == "subscriptions[0].items[12].price"
    assert dotted((0, "id"), "subscriptions") == "subscriptions[0].id"
    assert dotted((), "customer") == "customer"
    assert dotted(()) == ""


def test_without_the_data_the_path_is_pydantics_own() -> None:
    with pytest.raises(ValidationError) as caught:
        DirectCustomer.model_validate({"id": 5})
    assert field_errors(caught.value) == [FieldError("id", "Must be a string.")]


@pytest.mark.parametrize(
    "text", ["cus_123", "a b", "🙂", "ä", " a", "a ", "a\nb", "a\x00", "a\x85b", "\t", ""]
)
def test_the_schema_of_an_id_says_what_is_checked(text: str) -> None:
    schema = TypeAdapter(Id).json_schema()
    is_described = bool(re.search(schema["pattern"], text)) and len(text) >= schema["minLength"]
    assert is_described is _is_taken(Id, text)


@pytest.mark.parametrize("text", ["", " ", "a\nb\tc", "a\rb", "a\x1b", "\x7f", "<b>🙂</b>"])
def test_the_schema_of_a_text_says_what_is_checked(text: str) -> None:
    assert bool(re.search(TypeAdapter(Text).json_schema()["pattern"], text)) is _is_taken(Text, text)


def _is_taken(kind: object, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


def test_the_published_shapes_use_the_names_on_the_wire() -> None:
    shape = TypeAdapter(list[DirectSubscription]).json_schema()["$defs"]["DirectCoupon"]
    assert {"percentOff", "amountOff", "durationInMonths"} <= set(shape["properties"])
    assert shape["additionalProperties"] is False


def test_an_error_says_what_and_where() -> None:
    error = InvalidInput(fields=[FieldError("customerId", "This field is required.")])
    assert str(error) == "Some of what was sent is not valid.; customerId: This field is required."
    assert (error.code, error.status) == ("invalid_input", 422)


def test_an_error_may_be_worded_for_its_case() -> None:
    error = TooManyRequests("Wait a little.", retry_after=7)
    assert (error.user_message, error.retry_after, TooManyRequests.retry_after) == ("Wait a little.", 7, 60)


def test_errors_have_codes_of_their_own() -> None:
    codes = [kind.code for kind in AppError.__subclasses__() if kind.__module__ == "app.core.errors"]
    assert len(codes) == len(set(codes))


# --- Sifting what a billing system keeps with an object ---------------------------------------------------------


def test_flat_values_are_kept_in_their_order() -> None:
    given = {"team": "blue", "seats": 4, "rate": 1.5, "is_vip": True, "note": "a\nb\tc", "empty": ""}
    assert list(sift_metadata(given).items()) == list(given.items())


@pytest.mark.parametrize("given", [None, "text", 7, True, ["a"], [("a", "b")]])
def test_what_is_no_object_has_nothing_to_keep(given: object) -> None:
    assert sift_metadata(given) == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": 1},
        ["a"],
        "x" * (MAX_TEXT + 1),
        "a\x00",
        "a\rb",
        "\ud800",
        2**63,
        -(2**63),
        math.nan,
        math.inf,
        b"bytes",
    ],
)
def test_a_value_that_does_not_fit_is_left_out_and_spoils_nothing(value: object) -> None:
    assert sift_metadata({"first": "1", "odd": value, "last": 2}) == {"first": "1", "last": 2}


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "\x85", "\ud800", "x" * (MAX_ID + 1), 7, None])
def test_a_name_that_does_not_fit_is_left_out_and_spoils_nothing(name: object) -> None:
    assert sift_metadata({"first": "1", name: "odd", "last": 2}) == {"first": "1", "last": 2}


def test_the_longest_names_and_texts_are_kept_whole() -> None:
    given = {"x" * MAX_ID: "y" * MAX_TEXT, "most": 2**63 - 1, "least": 1 - 2**63}
    assert sift_metadata(given) == given


def test_the_first_fifty_that_fit_are_kept() -> None:
    given = {"nested": {}, **{f"key_{number}": number for number in range(60)}}
    assert sift_metadata(given) == {f"key_{number}": number for number in range(50)}


@pytest.mark.parametrize("letter", ["x", "ä", "🙂", '"', "\n"])
def test_the_size_is_that_of_the_json_and_used_up_to_the_last_byte(letter: str) -> None:
    def size(values: dict[str, str]) -> int:
        return len(json.dumps(values, ensure_ascii=False).encode())

    kept = sift_metadata({f"key_{number:03}": letter * 400 for number in range(50)})
    room = MAX_METADATA_BYTES - size({**kept, "z": ""})
    while room > MAX_TEXT:  # fill up, so that what is left fits one value
        kept[f"more_{len(kept)}"] = "x" * 100
        room = MAX_METADATA_BYTES - size({**kept, "z": ""})
    assert room >= 0
    assert sift_metadata({**kept, "z": "x" * room}) == {**kept, "z": "x" * room}
    assert sift_metadata({**kept, "z": "x" * (room + 1)}) == kept


def test_what_is_too_large_leaves_room_for_what_comes_after_it() -> None:
    large = {f"key_{number}": "x" * 450 for number in range(17)}
    kept = sift_metadata({**large, "more": "x" * 500, "small": "y"})
    assert kept == {**large, "small": "y"}


@given(
    st.dictionaries(
        st.text(max_size=300) | st.integers(),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600) | st.lists(st.text()),
        max_size=70,
    )
)
def test_what_was_sifted_is_always_metadata(given: dict[str, object]) -> None:
    kept = sift_metadata(given)
    assert TypeAdapter(Metadata).validate_python(kept) == kept
    assert sift_metadata(kept) == kept
