"""Rules as fields of pydantic models: each mistake is reported at its node, JSON Schema describes them."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from app.core.fields import refusal
from app.core.rules.parsing import InvalidRule, parse
from app.core.rules.schema import rule_json_schema
from app.core.rules.tree import Node, dump

_NAME = "Rule"


def _validate(obj: object) -> Node:
    try:
        return parse(obj)
    except InvalidRule as error:
        mistakes = [
            InitErrorDetails(type=refusal(p.message), loc=p.location, input=None) for p in error.problems
        ]
        raise ValidationError.from_exception_data(_NAME, mistakes) from None


class _RuleField:
    """Tells pydantic how a rule is read, written and described."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(dump)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(_DEFINITION)


def _describe(schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    return rule_json_schema(handler(_REFERENCE)["$ref"])


# A rule contains rules, so its description must be a named definition of the document it ends up in.
_REFERENCE = core_schema.definition_reference_schema(_NAME)
_DEFINITION = core_schema.definitions_schema(
    _REFERENCE, [core_schema.any_schema(ref=_NAME, metadata={"pydantic_js_functions": [_describe]})]
)

Rule = Annotated[Node, _RuleField]
