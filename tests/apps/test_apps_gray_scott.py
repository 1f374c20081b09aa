"""The Gray–Scott model: its step by hand, its conserved sums, the limit of its time step, its regimes."""

import itertools
import math

import numpy as np
import pytest
import torch

from foedus.apps.gray_scott.model import GrayScott, start
from foedus.apps.gray_scott.names import REGIMES
from foedus.apps.gray_scott.rates import LARGEST_EIGENVALUE, Rates, Stencil, longest_dt
from foedus.apps.gray_scott.regimes import elongation, rate, regime

RATES = Rates(0.0545, 0.062, 0.16, 0.08)
NOTHING = Rates(0.0, 0.0, 0.16, 0.08)
WEIGHTS = {
    "5": {(0, 0): -4.0, (0, 1): 1.0, (1, 1): 0.0},
    "9": {(0, 0): -20 / 6, (0, 1): 4 / 6, (1, 1): 1 / 6},
}


def laplacian_by_hand(field: np.ndarray, stencil: Stencil) -> np.ndarray:
    found, size = np.zeros_like(field), len(field)
    for x, y, dx, dy in itertools.product(range(size), range(size), (-1, 0, 1), (-1, 0, 1)):
        weight = WEIGHTS[stencil][(min(abs(dx), abs(dy)), max(abs(dx), abs(dy)))]
        found[x, y] += weight * field[(x + dx) % size, (y + dy) % size]
    return found


def after(
    u: np.ndarray, v: np.ndarray, rates: Rates, dt: float, steps: int, stencil: Stencil = "9"
) -> GrayScott:
    state = GrayScott(u, v, rates, dt, stencil)
    with torch.inference_mode():
        for _ in range(steps):
            state.step()
    return state


@pytest.mark.parametrize("stencil", ["5", "9"])
def test_a_step_is_what_the_equations_say(stencil: Stencil) -> None:
    random = np.random.default_rng(3)
    u, v = random.uniform(0, 1, (2, 6, 6))

    state = after(u, v, RATES, 0.5, 1, stencil)

    reaction = u * v * v
    of_u = 0.16 * laplacian_by_hand(u, stencil) - reaction + 0.0545 * (1 - u)
    of_v = 0.08 * laplacian_by_hand(v, stencil) + reaction - (0.0545 + 0.062) * v
    np.testing.assert_allclose(state.u, u + 0.5 * of_u, rtol=0, atol=1e-14)
    np.testing.assert_allclose(state.v, v + 0.5 * of_v, rtol=0, atol=1e-14)


def test_the_uniform_state_without_v_stays() -> None:
    state = after(np.ones((8, 8)), np.zeros((8, 8)), RATES, 1.0, 20)
    assert np.all(state.u == 1.0)
    assert np.all(state.v == 0.0)


def test_traces_too_small_for_normal_numbers_vanish() -> None:
    state = after(np.ones((8, 8), np.float32), np.full((8, 8), 1e-36, np.float32), NOTHING, 0.1, 1)
    assert np.all(state.v == 0.0)


@pytest.mark.parametrize("stencil", ["5", "9"])
def test_diffusion_alone_conserves_the_sum_and_evens_out(stencil: Stencil) -> None:
    u = np.random.default_rng(1).uniform(0, 1, (16, 16))
    state = after(u, np.zeros((16, 16)), NOTHING, 1.0, 300, stencil)
    assert math.isclose(float(state.u.sum()), float(u.sum()), rel_tol=1e-12)
    assert state.u.std() < 0.1 * u.std()


@pytest.mark.parametrize("stencil", ["5", "9"])
def test_where_nothing_happens_any_dt_is_stable(stencil: Stencil) -> None:
    assert longest_dt(Rates(0.0, 0.0, 0.0, 0.0), stencil) == math.inf


@pytest.mark.parametrize("stencil", ["5", "9"])
def test_the_longest_dt_is_where_forward_euler_becomes_unstable(stencil: Stencil) -> None:
    board = 1.0 - 2.0 * (np.indices((8, 8)).sum(axis=0) % 2)
    stripes = 1.0 - 2.0 * (np.indices((8, 8))[0] % 2)
    limit = longest_dt(NOTHING, stencil)
    worst = max((board, stripes), key=lambda mode: -(laplacian_by_hand(mode, stencil) * mode).mean())

    below = after(1 + worst, np.zeros((8, 8)), NOTHING, 0.99 * limit, 200, stencil)
    above = after(1 + worst, np.zeros((8, 8)), NOTHING, 1.01 * limit, 200, stencil)

    assert np.abs(below.u - 1).max() < 0.1
    assert np.abs(above.u - 1).max() > 10
    assert math.isclose(-(laplacian_by_hand(worst, stencil) * worst).mean(), LARGEST_EIGENVALUE[stencil])


def test_the_number_of_threads_changes_no_bit() -> None:
    u, v = (field.astype(np.float32) for field in start(300, "spots", 1))
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            state = after(u, v, RATES, 1.0, 3)
            found.append((state.u.tobytes(), state.v.tobytes()))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("pattern", ["spots", "centre", "noise"])
def test_a_start_is_determined_by_its_seed(pattern: str) -> None:
    one, same, other = (start(32, pattern, seed) for seed in (7, 7, 8))  # type: ignore[arg-type]
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[1], other[1])
    assert one[1].max() > 0.2
    assert all(field.min() >= 0 and field.max() <= 1 for field in one)


def disc(size: int, radius: float) -> np.ndarray:
    x, y = np.indices((size, size)) - size / 2
    return x * x + y * y < radius * radius


def test_a_disc_is_round_wherever_it_lies() -> None:
    middle = disc(64, 12)
    assert 0.9 < elongation(middle) < 1.1
    assert elongation(np.roll(middle, (32, 32), (0, 1))) == elongation(middle)  # cut in four by the edges


def test_a_long_rectangle_is_not_round() -> None:
    part = np.zeros((64, 64), dtype=bool)
    part[10:14, 5:45] = True  # 4 × 40: edges 88, area 160
    assert math.isclose(elongation(part), (math.pi / 4 * 88) ** 2 / (4 * math.pi * 160))


def test_parts_weigh_by_their_area() -> None:
    part = np.zeros((64, 64), dtype=bool)
    part[2:6, 2:6] = True  # edges 16, area 16
    part[20:22, 20:40] = True  # edges 44, area 40
    square, bar = (
        ((math.pi / 4 * edges) ** 2 / (4 * math.pi * area), area) for edges, area in ((16, 16), (44, 40))
    )
    assert math.isclose(elongation(part), (square[0] * 16 + bar[0] * 40) / 56)


def test_nothing_and_everything_have_no_elongation() -> None:
    assert elongation(np.zeros((4, 4), dtype=bool)) == math.inf
    assert elongation(np.ones((4, 4), dtype=bool)) == math.inf


def test_the_rate_is_that_of_the_equation() -> None:
    random = np.random.default_rng(3)
    u, v = random.uniform(0, 1, (2, 8, 8))
    change = 0.08 * laplacian_by_hand(v, "5") + u * v * v - (0.0545 + 0.062) * v
    assert math.isclose(rate(u, v, RATES), math.sqrt((change**2).mean()))


KNOWN = [  # F, k and the pattern that Pearson and later authors describe there
    (0.1, 0.05, "uniform"),
    (0.06, 0.07, "uniform"),
    (0.035, 0.065, "spots"),
    (0.0367, 0.0649, "spots"),
    (0.0545, 0.062, "stripes"),
    (0.029, 0.057, "stripes"),
    (0.039, 0.058, "holes"),
    (0.018, 0.051, "waves"),
    (0.026, 0.051, "waves"),
    (0.014, 0.054, "waves"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("feed", "kill", "expected"), KNOWN)
def test_known_parameters_give_the_known_patterns(feed: float, kill: float, expected: str) -> None:
    rates = Rates(feed, kill, 0.16, 0.08)
    u, v = (field.astype(np.float32) for field in start(64, "spots", 1))
    state = after(u, v, rates, 1.0, 4000)
    assert regime(state.u, state.v, rates) == expected
    assert expected in REGIMES
