"""Pydantic's errors in our words."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foedus.core.faults import in_words


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    count: int = Field(1, ge=1, le=1000)
    share: float = Field(0.5, gt=0, lt=1)
    word: Annotated[str, Field(min_length=2, pattern="^[a-z]+$")] = "ab"
    many: list[int] = Field([1], min_length=1)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("count", 0, "must be at least 1"),
        ("count", 2000, "must be at most 1,000"),
        ("count", "x", "must be a whole number"),
        ("share", 0, "must be above 0"),
        ("share", 1.5, "must be below 1"),
        ("share", "x", "must be a number"),
        ("share", float("nan"), "must be a finite number"),
        ("word", "a", "must have at least 2 characters"),
        ("word", "A1", "must be small letters"),
        ("many", [], "must not be empty"),
        ("other", 1, "is not known here"),
    ],
)
def test_a_fault_is_said_as_a_predicate(key: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate({key: value})
    fault = dict(caught.value.errors()[0])
    assert in_words(fault, {"^[a-z]+$": "must be small letters"}) == words
