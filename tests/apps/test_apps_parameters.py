"""Parameters take what they say and refuse everything else in one clear error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.apps.parameters import Kind, Parameter, Value, check_parameters
from foedus.core.errors import InvalidSpec

FEED = Parameter("F", Kind.REAL, "feed rate", default=0.03, minimum=0, maximum=0.2)
STEPS = Parameter("steps", Kind.INTEGER, "steps", minimum=1, maximum=10_000)
STENCIL = Parameter("stencil", Kind.CHOICE, "points", default="9", choices=("5", "9"))


@pytest.mark.parametrize(
    ("parameter", "given", "value"),
    [
        (STEPS, "12", 12),
        (STEPS, 12, 12),
        (FEED, "2e-2", 0.02),
        (FEED, 0, 0.0),
        (STENCIL, "5", "5"),
        (Parameter("b", Kind.BOOLEAN, ""), "True", True),
        (Parameter("b", Kind.BOOLEAN, ""), False, False),
        (Parameter("t", Kind.TEXT, ""), "spots & stripes; $(true)", "spots & stripes; $(true)"),
        (Parameter("d", Kind.DATASET, ""), "my-images_2", "my-images_2"),
        (Parameter("c", Kind.CID, ""), "bafkrei" + "a" * 52, "bafkrei" + "a" * 52),
        (Parameter("n", Kind.INTEGER, "", default=None), None, None),
    ],
)
def test_a_value_comes_back_in_the_type_of_its_parameter(
    parameter: Parameter, given: object, value: Value
) -> None:
    found = parameter.check(given)

    assert found == value
    assert type(found) is type(value) or (parameter.kind is Kind.REAL and isinstance(found, float))


@pytest.mark.parametrize(
    ("parameter", "given", "words"),
    [
        (STEPS, "0", "1 to 10,000"),
        (STEPS, "1.5", "a whole number"),
        (STEPS, True, "a whole number"),
        (STEPS, "1_0", "a whole number"),
        (STEPS, "٣", "a whole number"),
        (STEPS, None, "a whole number"),
        (FEED, "0.3", "0 to 0.2"),
        (FEED, "nan", "a number"),
        (FEED, "-inf", "a number"),
        (FEED, "1" * 5000, "a number"),
        (STENCIL, "7", "one of its choices"),
        (Parameter("b", Kind.BOOLEAN, ""), "1", "true or false"),
        (Parameter("t", Kind.TEXT, ""), "a\nb", "control characters"),
        (Parameter("t", Kind.TEXT, ""), "--help", "hyphen"),
        (Parameter("t", Kind.TEXT, ""), "x" * 1001, "1000 characters"),
        (Parameter("t", Kind.TEXT, ""), 5, "a text"),
        (Parameter("d", Kind.DATASET, ""), "../secret", "name of a dataset"),
        (Parameter("d", Kind.DATASET, ""), "a" * 49, "name of a dataset"),
        (Parameter("c", Kind.CID, ""), "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "content id"),
    ],
)
def test_a_wrong_value_is_told_with_name_and_what_is_valid(
    parameter: Parameter, given: object, words: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parameter.check(given)

    assert caught.value.message.startswith(f"{parameter.name} must be ")
    assert words in caught.value.message
    assert len(caught.value.message) < 250


def test_all_values_come_back_with_defaults_filled_in() -> None:
    assert check_parameters("APP", (FEED, STEPS, STENCIL), {"steps": "5"}) == {
        "F": 0.03,
        "steps": 5,
        "stencil": "9",
    }


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidSpec, match="APP has no parameter 'step'") as caught:
        check_parameters("APP", (FEED, STEPS), {"step": 5})
    assert caught.value.hint == "Did you mean 'steps'?"


def test_a_missing_value_is_told_by_name() -> None:
    with pytest.raises(InvalidSpec, match="APP needs steps"):
        check_parameters("APP", (FEED, STEPS), {})


@given(st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.booleans(), st.none(), st.binary()))
def test_a_number_is_within_its_range_or_refused(value: object) -> None:
    try:
        found = FEED.check(value)
    except InvalidSpec:
        return
    assert isinstance(found, float) or (isinstance(found, int) and not isinstance(found, bool))
    assert math.isfinite(found)
    assert 0 <= found <= 0.2


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (FEED, "0 to 0.2"),
        (STENCIL, "5 or 9"),
        (Parameter("x", Kind.REAL, ""), "any number"),
        (Parameter("x", Kind.INTEGER, "", minimum=1), "at least 1"),
        (Parameter("x", Kind.INTEGER, "", maximum=9), "at most 9"),
    ],
)
def test_ranges_are_told_in_words(parameter: Parameter, words: str) -> None:
    assert parameter.range_text == words
