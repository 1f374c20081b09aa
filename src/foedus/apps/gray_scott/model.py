"""The Gray–Scott model on a periodic square grid, by forward Euler.

P. Gray, S. K. Scott: Autocatalytic reactions in the isothermal, continuous stirred tank reactor. Chem. Eng.
Sci. 39 (1984) 1087–1097. J. E. Pearson: Complex patterns in a simple system. Science 261 (1993) 189–192,
https://arxiv.org/abs/patt-sol/9304003. Nine-point stencil: M. Patra, M. Karttunen: Stencils with isotropic
discretization error for differential operators. Numer. Methods Partial Differ. Equ. 22 (2006) 936–953.

    ∂u/∂t = Du ∇²u − u v² + F (1 − u)
    ∂v/∂t = Dv ∇²v + u v² − (F + k) v                                lengths in cells of the grid (h = 1)

    five points:  ∇²c ≈ N + S + E + W − 4 c
    nine points:  ∇²c ≈ (4 (N + S + E + W) + NE + NW + SE + SW − 20 c) / 6

Every step is a fixed series of element-wise additions and multiplications, each rounded by itself, so neither
the number of threads nor the instruction set changes a bit.
"""

from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from foedus.apps.gray_scott.rates import Rates, Stencil

Start: TypeAlias = Literal["spots", "centre", "noise"]
Grid: TypeAlias = npt.NDArray[np.floating]

_TINY: Final = 1e-30  # less of v is none: numbers that are no longer normal would take processors ages
_SEED_U, _SEED_V = 0.5, 0.25  # the state that Pearson starts his squares from
_NOISE: Final = 0.01
_SPOT, _CELLS_PER_SPOT = 16, 2048  # smaller squares die out where spots are barely stable


def start(size: int, pattern: Start, seed: int) -> tuple[Grid, Grid]:
    """Return u and v (size, size) at time 0, float64: all u, disturbed as the pattern says."""
    random = np.random.default_rng(seed)
    u, v = np.ones((size, size)), np.zeros((size, size))
    if pattern == "noise":
        return u * _SEED_U + _NOISE * _drawn(random, size), v + _SEED_V + _NOISE * _drawn(random, size)
    side = min(size // 2, _SPOT if pattern == "spots" else max(_SPOT, size // 10))
    corners = [(size // 2 - side // 2,) * 2]
    if pattern == "spots":
        count = max(1, size * size // _CELLS_PER_SPOT)
        corners = [(int(x), int(y)) for x, y in random.integers(0, size, (count, 2))]
    for x, y in corners:
        rows, columns = np.arange(x, x + side) % size, np.arange(y, y + side) % size
        u[np.ix_(rows, columns)], v[np.ix_(rows, columns)] = _SEED_U, _SEED_V
    noise = _NOISE * np.abs(_drawn(random, size))
    return u * (1 - noise), v + noise


def _drawn(random: np.random.Generator, size: int) -> Grid:
    return random.uniform(-1.0, 1.0, (size, size))


class GrayScott:
    """The state of a simulation. Both fields lie in arrays with a border that repeats the opposite side."""

    def __init__(self, u: Grid, v: Grid, rates: Rates, dt: float, stencil: Stencil) -> None:
        self._rates, self._dt, self._is_nine = rates, dt, stencil == "9"
        kind = torch.from_numpy(u[:1]).dtype
        self._u, self._v = (_bordered(torch.from_numpy(field)) for field in (u, v))
        size = len(u)
        self._laplacian, self._reaction, self._term = (torch.empty(size, size, dtype=kind) for _ in range(3))

    @property
    def u(self) -> Grid:
        """The present u, a copy."""
        return np.array(_inner(self._u).numpy())

    @property
    def v(self) -> Grid:
        """The present v, a copy."""
        return np.array(_inner(self._v).numpy())

    def step(self) -> None:
        """Go on by dt."""
        rates = self._rates
        u, v = _inner(self._u), _inner(self._v)
        torch.mul(v, v, out=self._reaction).mul_(u)
        change = self._diffused(self._u).mul_(rates.diffusion_u).sub_(self._reaction)
        change.add_(torch.mul(u, -rates.feed, out=self._term).add_(rates.feed))
        u.add_(change.mul_(self._dt))
        change = self._diffused(self._v).mul_(rates.diffusion_v).add_(self._reaction)
        change.sub_(torch.mul(v, rates.feed + rates.kill, out=self._term))
        v.add_(change.mul_(self._dt))
        torch.nn.functional.threshold(v, _TINY, 0.0, inplace=True)

    def _diffused(self, field: torch.Tensor) -> torch.Tensor:
        """Return the Laplacian of a bordered field, in the buffer."""
        _wrap(field)
        found, term, centre = self._laplacian, self._term, field[1:-1, 1:-1]
        torch.add(field[:-2, 1:-1], field[2:, 1:-1], out=found).add_(field[1:-1, :-2]).add_(field[1:-1, 2:])
        if not self._is_nine:
            return found.sub_(torch.mul(centre, 4.0, out=term))
        found.mul_(4.0).sub_(torch.mul(centre, 20.0, out=term))
        for corner in (field[:-2, :-2], field[:-2, 2:], field[2:, :-2], field[2:, 2:]):
            found.add_(corner)
        return found.mul_(1.0 / 6.0)


def _bordered(field: torch.Tensor) -> torch.Tensor:
    wide = torch.zeros(len(field) + 2, len(field) + 2, dtype=field.dtype)
    _inner(wide).copy_(field)
    return wide


def _inner(field: torch.Tensor) -> torch.Tensor:
    return field[1:-1, 1:-1]


def _wrap(field: torch.Tensor) -> None:
    """Copy the rows and columns at the edges to the borders opposite; the corners come with the columns."""
    field[0, :].copy_(field[-2, :])
    field[-1, :].copy_(field[1, :])
    field[:, 0].copy_(field[:, -2])
    field[:, -1].copy_(field[:, 1])
