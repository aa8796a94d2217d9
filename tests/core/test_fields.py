"""The words and paths of mistakes, and that the published schema tells the truth."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from app.core.direct import DirectCustomer, DirectSubscription
from app.core.errors import AppError, FieldError, InvalidInput, TooManyRequests
from app.core.fields import Id, Text, dotted, field_errors


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
