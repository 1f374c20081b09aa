"""What hostile clients hand over, against numbers computed by hand."""

import math

import numpy as np
import pytest
import torch
from learn_tools import blobs

from foedus.core.errors import InvalidData, UpdateRefused
from foedus.learn import attacks
from foedus.learn.examples import Examples
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Parts, Weights, specs_of

SERVER = {"w": np.array([1.0, 2.0], np.float32), "n": np.array(5, np.int64)}
OWN = {"w": np.array([2.0, 0.0], np.float32), "n": np.array(6, np.int64)}
HONEST = [
    {"w": np.array(values, np.float32), "n": np.array(6, np.int64)} for values in ([1, 4], [3, 4], [5, 1])
]


def all_attacks() -> dict[str, Weights]:
    return {
        "sign_flip": attacks.sign_flip(OWN, SERVER),
        "boost": attacks.boost(OWN, SERVER),
        "nan": attacks.nan(OWN),
        "alie": attacks.alie(HONEST, 1, z=2.0),
        "ipm": attacks.ipm(HONEST, SERVER),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sign_flip", [0, 4]),
        ("boost", [101, -198]),
        ("nan", [math.nan, math.nan]),
        ("alie", [3 - 2 * math.sqrt(8 / 3), 3 - 2 * math.sqrt(2)]),
        ("ipm", [1 - 0.1 * 2, 2 - 0.1 * 1]),
    ],
)
def test_by_hand(name: str, expected: list[float]) -> None:
    update = all_attacks()[name]
    np.testing.assert_allclose(update["w"], expected, rtol=1e-6)
    assert {key: (value.dtype, value.shape) for key, value in update.items()} == {
        key: (value.dtype, value.shape) for key, value in OWN.items()
    }
    assert update["n"] == 6


def test_scale_and_strength() -> None:
    np.testing.assert_array_equal(attacks.sign_flip(OWN, SERVER, scale=3)["w"], [-2, 8])
    np.testing.assert_array_equal(attacks.ipm(HONEST, SERVER, epsilon=2)["w"], [-3, 0])
    np.testing.assert_array_equal(attacks.boost(OWN, SERVER, factor=1)["w"], OWN["w"])
    np.testing.assert_array_equal(attacks.alie(HONEST, 1, z=0)["w"], [3, 3])


def test_nothing_is_shared_or_modified() -> None:
    before = [{name: array.copy() for name, array in one.items()} for one in (OWN, SERVER, *HONEST)]
    for update in all_attacks().values():
        for array in update.values():
            array[...] = -7
    for one, copy in zip((OWN, SERVER, *HONEST), before, strict=True):
        assert all((one[name] == copy[name]).all() for name in one)


def test_all_but_nan_pass_the_filter() -> None:
    """They are what a robust rule has to withstand; what is not finite never gets there."""
    parts = Parts(trainable=("w",), other_buffers=("n",))
    for name, update in all_attacks().items():
        if name != "nan":
            check_update(MemorySource(update), specs_of(SERVER), SERVER, parts)
    with pytest.raises(UpdateRefused, match="not finite"):
        check_update(MemorySource(attacks.nan(OWN)), specs_of(SERVER), SERVER, parts)


@pytest.mark.parametrize(
    ("clients", "hostile", "z"),
    [
        (10, 2, 0.0),  # s = 4 of 8 honest: Φ(z) = 1/2
        (10, 4, 0.43073),  # s = 2 of 6: Φ(z) = 2/3
        (50, 24, 1.42608),  # s = 2 of 26: Φ(z) = 24/26
        (3, 1, 0.0),  # s = 1 of 2
        (100, 1, 0.0),  # below the mean: no harm
    ],
)
def test_z_of_a_little_is_enough(clients: int, hostile: int, z: float) -> None:
    assert attacks.alie_z(clients, hostile) == pytest.approx(z, abs=1e-4)


def test_z_is_chosen_by_who_there_is() -> None:
    honest = [{"w": np.array([float(value)])} for value in range(6)]
    expected = 2.5 - attacks.alie_z(10, 4) * math.sqrt(35 / 12)
    assert attacks.alie(honest, 4)["w"][0] == pytest.approx(expected)


@pytest.mark.parametrize(("clients", "hostile"), [(4, 2), (3, 0), (3, 3), (0, 0)])
def test_a_majority_needs_no_hiding(clients: int, hostile: int) -> None:
    with pytest.raises(InvalidData, match="minority"):
        attacks.alie_z(clients, hostile)


def test_without_honest_updates_there_is_nothing_to_look_at() -> None:
    for attack in (lambda: attacks.alie([], 1, 1.0), lambda: attacks.ipm([], SERVER)):
        with pytest.raises(InvalidData, match="honest"):
            attack()


def test_beyond_the_type_is_infinite_without_a_warning() -> None:
    far = {"w": np.array([3e38], np.float32)}
    assert np.isinf(attacks.boost(far, {"w": np.zeros(1, np.float32)})["w"])


def test_labels_are_mirrored_and_back() -> None:
    data = blobs(9)
    flipped = attacks.label_flip(data, 3)
    assert flipped.targets.tolist() == [2 - label for label in data.targets.tolist()]
    assert torch.equal(flipped.inputs, data.inputs)
    assert torch.equal(attacks.label_flip(flipped, 3).targets, data.targets)


@pytest.mark.parametrize("targets", [torch.tensor([3]), torch.tensor([-1]), torch.tensor([0.5])])
def test_what_is_no_label_cannot_be_flipped(targets: torch.Tensor) -> None:
    with pytest.raises(InvalidData, match=r"0\.\.2"):
        attacks.label_flip(Examples(torch.zeros(1, 4), targets), 3)
