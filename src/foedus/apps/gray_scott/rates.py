"""The constants of the Gray–Scott model, and which time step they allow."""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Stencil: TypeAlias = Literal["5", "9"]

LARGEST_EIGENVALUE: Final[dict[Stencil, float]] = {"5": 8.0, "9": 16.0 / 3.0}
"""Of the negative Laplacian's stencil: that of the checkerboard, whichever the number of points."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The model's constants, per unit of time; diffusion in cells² per unit of time."""

    feed: float
    kill: float
    diffusion_u: float
    diffusion_v: float


def longest_dt(rates: Rates, stencil: Stencil) -> float:
    """Return the step above which forward Euler is unstable: the fastest linear mode must not overshoot.

    With λ the stencil's largest eigenvalue: dt (λ Du + F) ≤ 2 and dt (λ Dv + F + k) ≤ 2. Where nothing is
    fed, removed or diffused, any step is stable.
    """
    eigenvalue = LARGEST_EIGENVALUE[stencil]
    of_u = eigenvalue * rates.diffusion_u + rates.feed
    fastest = max(of_u, eigenvalue * rates.diffusion_v + rates.feed + rates.kill)
    return 2.0 / fastest if fastest > 0 else math.inf
