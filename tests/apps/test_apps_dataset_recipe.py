"""Steps by hand, their canonical form, and splits that no duplicate straddles."""

import hashlib
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foedus.apps.datasets.recipe import (
    Step,
    apply_step,
    checked_recipe,
    grey,
    hash_of,
    measured,
    parse_step,
    resized,
)
from foedus.apps.datasets.source import Source
from foedus.apps.datasets.splits import split_parts
from foedus.core.errors import InvalidData, InvalidSpec

VALUES = np.array([[[0, 255], [255, 0]], [[9, 9], [9, 9]], [[0, 255], [255, 0]], [[1, 2], [3, 4]]], np.uint8)
LABELS = np.array([0, 1, 0, 2])


def after(text: str) -> tuple[list[Any], list[int]]:
    found = apply_step(parse_step(text), Source(VALUES, LABELS))
    assert found.labels is not None
    return found.values.tolist(), found.labels.tolist()


def test_deduplicate_keeps_the_first_of_equal_examples_in_order() -> None:
    values, labels = after("deduplicate")
    assert values == VALUES[[0, 1, 3]].tolist()
    assert labels == [0, 1, 2]


@pytest.mark.parametrize(
    ("step", "rows"),
    [
        ("filter labels=0,2", [0, 2, 3]),
        ("filter min_std=1", [0, 2, 3]),
        ("filter labels=1,2 min_std=0.5", [3]),
    ],
)
def test_filter_keeps_what_fits(step: str, rows: list[int]) -> None:
    assert after(step) == (VALUES[rows].tolist(), LABELS[rows].tolist())


def test_resize_takes_the_mean_of_the_area() -> None:
    assert after("resize height=1 width=1")[0] == [[[128]], [[9]], [[128]], [[2]]]  # 127.5 and 2.5 to even
    assert after("resize height=2 width=1")[0][3] == [[2], [4]]  # 1.5, 3.5
    np.testing.assert_allclose(resized(np.array([[1.0, 2.0, 6.0]]), 1, 2), [[4 / 3, 14 / 3]], rtol=1e-15)


def test_resize_to_a_multiple_repeats_pixels() -> None:
    assert resized(VALUES[3:], 4, 4).tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_resize_keeps_the_mean(height: int, width: int, side: int) -> None:
    images = np.random.default_rng(height).uniform(0, 1, (2, side, side))
    found = resized(images, height, width)
    assert found.shape == (2, height, width)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), images.mean(axis=(1, 2)), rtol=1e-12)


def test_grey_is_as_bright_as_the_eye_sees_and_as_pillow_makes_it() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (2, 3, 5, 4), dtype=np.uint8)
    found = grey(colours)
    assert found.dtype == np.uint8
    theirs = [np.asarray(Image.fromarray(one.transpose(1, 2, 0)).convert("L"), int) for one in colours]
    np.testing.assert_allclose(found.astype(int), theirs, atol=1)  # it rounds down
    np.testing.assert_allclose(grey(np.ones((1, 3, 2, 2))), np.ones((1, 2, 2)))
    assert grey(VALUES) is VALUES
    for others in (np.zeros((2, 2, 4, 4)), np.zeros((2, 5))):
        with pytest.raises(InvalidData, match="3 channels"):
            grey(others)


@pytest.mark.parametrize(
    ("step", "files"), [("deduplicate", "abd"), ("filter labels=1,2", "bd"), ("grey", "abcd")]
)
def test_each_example_keeps_the_name_of_its_file(step: str, files: str) -> None:
    assert apply_step(parse_step(step), Source(VALUES, LABELS, files=tuple("abcd"))).files == tuple(files)


def test_normalise_divides_whole_numbers_by_their_largest_first() -> None:
    values = apply_step(parse_step("normalise mean=0.5 std=0.25"), Source(VALUES, None)).values
    assert values.dtype == np.float32
    assert values[0].tolist() == [[-2.0, 2.0], [2.0, -2.0]]


def test_normalise_leaves_fractions_as_they_are() -> None:
    found = apply_step(parse_step("normalise mean=1 std=2"), Source(np.array([[1.0, 5.0]]), None))
    assert found.values.tolist() == [[0.0, 2.0]]


def test_measured_numbers_give_mean_0_and_deviation_1() -> None:
    step = measured(VALUES)
    values = apply_step(step, Source(VALUES, None)).values
    assert abs(float(values.mean())) < 1e-6
    assert abs(float(values.std()) - 1) < 1e-6
    with pytest.raises(InvalidData, match="all values are the same"):
        measured(np.full((3, 2), 7.0))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("normalize", "there is no step 'normalize'", "Did you mean 'normalise'?"),
        ("resize height=4", "needs height and width", ""),
        ("resize height=4 widht=4", "has no argument 'widht'", "Did you mean 'width'?"),
        ("resize height=0 width=4", "height cannot be '0'", ""),
        ("resize height=1e9 width=4", "height cannot be '1e9'", ""),
        ("resize height width=4", "'height' is no argument", "Write NAME=VALUE."),
        ("resize height=0000000019999 width=4", "height cannot be '0000000019999'", ""),
        (f"filter labels={'0' * 5000}", "labels cannot be '000", ""),
        ("filter labels=1,0000000001", "labels cannot be", ""),
        ("filter labels=99999,100000", "labels cannot be", ""),
        ("filter", "needs labels or min_std", ""),
        ("filter labels=a", "labels cannot be 'a'", ""),
        ("filter labels=1,-2", "labels cannot be", ""),
        ("normalise mean=0", "mean and std, or neither", ""),
        ("normalise mean=0 std=0", "std cannot be '0'", ""),
        ("normalise mean=nan std=1", "mean cannot be 'nan'", ""),
        ("", "there is no step ''", ""),
    ],
)
def test_wrong_steps_are_told(text: str, words: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_step(text)
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_nothing_comes_after_normalise() -> None:
    with pytest.raises(InvalidSpec, match="must be the last step"):
        checked_recipe([parse_step("normalise"), parse_step("deduplicate")])


def test_a_recipe_has_one_canonical_form() -> None:
    steps = (parse_step("filter labels=6,0,6"), parse_step("resize width=2 height=2"))
    same = (parse_step("filter  labels=0,6"), parse_step("resize height=2 width=2"))
    split = {"seed": 1, "val": 0.1, "test": 0.2}
    text = (
        '[{"args":{"labels":[0,6]},"step":"filter"},{"args":{"height":2,"width":2},"step":"resize"},'
        '{"args":{"seed":1,"test":0.2,"val":0.1},"step":"split"}]\n'
    )
    assert hash_of(steps, split) == hash_of(same, split) == hashlib.sha256(text.encode()).hexdigest()
    assert hash_of(steps[::-1], split) != hash_of(steps, split)
    assert hash_of(steps, {**split, "seed": 2}) != hash_of(steps, split)


@pytest.mark.parametrize("text", ["deduplicate", "filter labels=1,2 min_std=0.5", "normalise mean=1 std=2"])
def test_what_is_written_down_is_read_back(text: str) -> None:
    assert Step.from_json(parse_step(text).to_json()) == parse_step(text)


def test_a_recipe_that_leaves_nothing_is_told() -> None:
    with pytest.raises(InvalidData, match="no example is left"):
        apply_step(parse_step("filter labels=7"), Source(VALUES, LABELS))
    with pytest.raises(InvalidData, match="no labels to filter by"):
        apply_step(parse_step("filter labels=0"), Source(VALUES, None))


# --- splits ---

contents = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=60)


@settings(deadline=None)
@given(contents, st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.2, 0.5]))
def test_equal_examples_fall_to_one_part(
    examples: list[tuple[int, int]], seed: int, val: float, test: float
) -> None:
    values = np.array([[content] for content, _ in examples])
    labels = np.array([label for _, label in examples])
    try:
        parts = split_parts(values, labels, seed, val, test)
    except InvalidData:
        return
    homes: dict[int, set[int]] = {}
    for value, part in zip(values[:, 0].tolist(), parts.tolist(), strict=True):
        homes.setdefault(value, set()).add(part)
    assert all(len(found) == 1 for found in homes.values())


@settings(deadline=None)
@given(contents, st.randoms(use_true_random=False))
def test_the_part_of_an_example_does_not_depend_on_the_order(
    examples: list[tuple[int, int]], random: Random
) -> None:
    def parts_of(listed: list[tuple[int, int]]) -> dict[int, int]:
        values = np.array([[content] for content, _ in listed])
        parts = split_parts(values, np.array([label for _, label in listed]), 1, 0.2, 0.2)
        return dict(zip(values[:, 0].tolist(), parts.tolist(), strict=True))

    shuffled = list(examples)
    random.shuffle(shuffled)
    try:
        assert parts_of(examples) == parts_of(shuffled)
    except InvalidData:
        with pytest.raises(InvalidData):
            parts_of(shuffled)


def test_each_label_is_divided_in_the_wanted_shares() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    parts = split_parts(np.arange(150)[:, None], labels, 1, 0.1, 0.2)
    found = Counter(zip(labels.tolist(), parts.tolist(), strict=True))
    assert [[found[label, part] for part in range(3)] for label in range(3)] == [
        [70, 10, 20],
        [28, 4, 8],
        [7, 1, 2],
    ]


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
def test_small_classes_together_give_the_wanted_shares(size: int) -> None:
    labels = np.repeat(np.arange(100), size)
    parts = split_parts(np.arange(100 * size)[:, None], labels, 1, 0.1, 0.2)
    if size > 1:
        assert np.bincount(parts).tolist() == [70 * size, 10 * size, 20 * size]
    assert set(labels[parts == 0]) == set(range(100))  # what nothing learns cannot be tested


def test_another_seed_draws_others() -> None:
    values = np.arange(200)[:, None]
    one, same, other = (split_parts(values, None, seed, 0.1, 0.1) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (-0.1, 0), (0, 1), (float("nan"), 0)])
def test_impossible_shares_are_refused(val: float, test: float) -> None:
    with pytest.raises(InvalidSpec, match="shares"):
        split_parts(np.zeros((4, 1)), None, 1, val, test)


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(InvalidData, match="train on"):
        split_parts(np.zeros((1, 1)), None, 1, 0.0, 0.9)
