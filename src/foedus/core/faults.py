"""What is wrong with a value, in our words instead of Pydantic's."""

from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": 'must be a text in quotes: "…"',
    "string_too_long": "must have at most {max_length:,} characters",
    "list_type": "must be a list: [ … ]",
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
    "less_than": "must be below {lt:,.15g}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "dict_type": "must be a section of keys and values",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
}
_LEAST: Final = {"string_too_short": "characters", "too_short": "entries"}


def in_words(fault: Mapping[str, Any], patterns: Mapping[str, str] | None = None) -> str:
    """Say one of Pydantic's errors as a predicate of its key; unusual ones keep their words.

    So does whatever `ValueError` a validator of ours raised. `patterns` says what each pattern asks for.
    """
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "string_pattern_mismatch" and context["pattern"] in (patterns or {}):
        return (patterns or {})[context["pattern"]]
    if kind in _LEAST:
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least:,} {_LEAST[kind]}"
    if kind in _TYPES:
        return _TYPES[kind].format(**context)
    return str(fault["msg"]).removeprefix("Value error, ")
