"""Which pattern a state of the Gray–Scott model shows, by measures that anybody can repeat.

In this order, with v the second field, in the units of `foedus.apps.gray_scott.model`:

    uniform   the standard deviation of v is below 0.01
    waves     rms(∂v/∂t) / std(v) is above 0.005 per unit of time: waves, chaos, and patterns that still form
    spots     parts where v is above the middle of its range have a mean elongation of at most 2
    holes     parts where v is below it have
    stripes   all else: stripes, worms, labyrinths

The elongation of a part is its perimeter squared over 4π times its area: 1 for a disc, 2.3 for a stripe five
times as long as wide. The mean is weighted by area. Perimeters are π/4 times the number of edges between
cells (Cauchy and Crofton, for edges in all directions alike). Measured on known parameters: static patterns
have rates of at most 0.003, moving ones of 0.007 and more; spots and holes elongations of at most 1.2,
stripes of 2.7 and more.
"""

import math
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from foedus.apps.gray_scott.rates import Rates

Grid: TypeAlias = npt.NDArray[np.floating]

_LEAST_CONTRAST: Final = 0.01
_MOVING_PER_TIME: Final = 0.005
_MOST_ELONGATED: Final = 2.0
_AROUND: Final = ((0, 1), (0, -1), (1, 1), (1, -1))  # axis and shift of the four neighbours


def regime(u: Grid, v: Grid, rates: Rates) -> str:
    """Classify one state; both fields are (size, size) and periodic."""
    u, v = u.astype(np.float64), v.astype(np.float64)
    contrast = float(v.std())
    if contrast < _LEAST_CONTRAST:
        return "uniform"
    if rate(u, v, rates) / contrast > _MOVING_PER_TIME:
        return "waves"
    is_high = v > (v.max() + v.min()) / 2
    if elongation(is_high) <= _MOST_ELONGATED:
        return "spots"
    return "holes" if elongation(~is_high) <= _MOST_ELONGATED else "stripes"


def rate(u: Grid, v: Grid, rates: Rates) -> float:
    """Return the root mean square of ∂v/∂t over the grid, by the five-point stencil."""
    laplacian = sum(np.roll(v, shift, axis) for axis, shift in _AROUND) - 4 * v
    change = rates.diffusion_v * laplacian + u * v * v - (rates.feed + rates.kill) * v
    return math.sqrt(float(np.mean(change * change)))


def elongation(is_part: npt.NDArray[np.bool_]) -> float:
    """Return the mean elongation of the connected parts, weighted by area; infinite when there are none."""
    if not is_part.any() or is_part.all():
        return math.inf
    labels = _periodic_labels(is_part)
    areas = np.bincount(labels[is_part])
    edges = sum(
        np.bincount(labels[is_part & ~np.roll(is_part, shift, axis)], minlength=len(areas))
        for axis, shift in _AROUND
    )
    areas, edges = areas[areas > 0], np.asarray(edges)[areas > 0]
    # Σ area · perimeter² / (4π area) / Σ area
    return float(((math.pi / 4 * edges) ** 2).sum() / (4 * math.pi) / areas.sum())


def _periodic_labels(is_part: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Number the connected parts from 1, those that meet across the edges of the grid as one."""
    labels, count = ndimage.label(is_part)
    joined = np.arange(count + 1)
    for one, other in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
        for a, b in set(zip(one.tolist(), other.tolist(), strict=True)):
            if a and b:
                joined[joined == joined[a]] = joined[b]
    return np.asarray(joined[labels], dtype=np.int64)
