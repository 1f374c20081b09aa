"""What is wrong with a value in an application's file, in our words instead of Pydantic's."""

from collections.abc import Mapping
from typing import Any, Final

from foedus.apps import application, parameters

LINE: Final = r"^[^\x00-\x1f\x7f]+$"
ARGUMENT: Final = r"^[^\x00]*$"
WORD: Final = r"^[A-Za-z0-9_.,:=&|*\[\]()/-]*$"
APPLICATION_NAME: Final = f"^{application.NAME.pattern}$"
PARAMETER_NAME: Final = f"^{parameters.NAME.pattern}$"

_PATTERNS: Final = {
    LINE: "must be one line of text, without control characters",
    ARGUMENT: "must be text without the character 0",
    WORD: "must have letters, digits and _ . , : = & | * [ ] ( ) / - only",
    APPLICATION_NAME: "must be up to 32 capital letters, digits and _, a letter first",
    PARAMETER_NAME: "must be up to 32 letters, digits and _, a letter first",
}
_TYPES: Final = {
    "missing": "is missing",
    "string_type": 'must be a text in quotes: "…"',
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length:,} characters",
    "list_type": "must be a list: [ … ]",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length:,} entries",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number that is not as large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge:,.15g}",
    "greater_than": "must be above {gt:,.15g}",
    "less_than_equal": "must be at most {le:,.15g}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
}


def in_words(fault: Mapping[str, Any]) -> str:
    """Say one of Pydantic's errors as a predicate of its key; unusual ones keep their words.

    So does whatever `ValueError` a validator of ours raised.
    """
    context = fault.get("ctx", {})
    if fault["type"] == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]  # each pattern of the file is one of ours
    if fault["type"] in _TYPES:
        return _TYPES[fault["type"]].format(**context)
    return str(fault["msg"]).removeprefix("Value error, ")
