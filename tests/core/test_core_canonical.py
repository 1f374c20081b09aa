"""Canonical JSON, seeds and fixed-point scores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.canonical import canonical_json, derive_seed, parse_canonical_json, to_ppb
from foedus.core.errors import FoedusError, Reverted, UpdateRefused

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_what_is_written_is_read_back(value: object) -> None:
    try:
        data = canonical_json(value)  # type: ignore[arg-type]
    except UnicodeEncodeError:  # half a character cannot be said in UTF-8
        return
    assert canonical_json(parse_canonical_json(data)) == data


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    assert canonical_json({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"é"],"b":1}\n'.encode()


@pytest.mark.parametrize(
    "data",
    [b'{"b":1,"a":2}\n', b'{"a": 1}\n', b'{"a":1}', b"", b"\xff\n", b"NaN\n", b"[" * 100_000, b"1e999\n"],
)
def test_any_other_form_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the fault, it is a ValueError
        parse_canonical_json(data)


def test_too_much_json_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="exceed the limit of 4"):
        parse_canonical_json(b"[1,2]\n", limit_bytes=4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json([value])


def test_seeds_depend_on_every_part_and_its_place() -> None:
    seeds = {
        derive_seed(*parts) for parts in [("a", 1), ("a", 2), ("b", 1), (1, "a"), ("a1",), ("a", "1", "")]
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(("score", "ppb"), [(0.0, 0), (1.0, 10**9), (0.1, 10**8), (1 / 3, 333_333_333)])
def test_scores_become_parts_per_billion(score: float, ppb: int) -> None:
    assert to_ppb(score) == ppb


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_what_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        to_ppb(score)


def test_errors_show_message_and_hint() -> None:
    assert str(FoedusError("broken", "mend it")) == "broken\nmend it"
    assert str(FoedusError("broken")) == "broken"
    assert Reverted("Foedus: no").reason == "Foedus: no"
    assert UpdateRefused("shape", "wrong").code == "shape"
