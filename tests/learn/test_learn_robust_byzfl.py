"""Our rules against those of the library `byzfl`, on the same vectors, to 1e-10.

Its conventions: Krum and Multi-Krum count a vector among its own n − f nearest, so its f + 1 sums the
n − f − 2 others of the paper and of ours. Its smoothing, radius and limit of clipping are lengths; ours are
relative to the median length where that is the default, and are given to it as numbers.
"""

import numpy as np
import pytest
from byzfl_tools import byzfl
from hypothesis import given
from hypothesis import strategies as st
from robust_tools import Memory, centre, clouds

from foedus.learn.robust import RobustRule, select

pytestmark = pytest.mark.slow

BYZFL = byzfl()
CLOUDS = clouds(least=7, most=12)
HOSTILE = st.integers(1, 2)
SPREAD = st.sampled_from([1.0, 30.0, 1e4])


def near(found: np.ndarray, expected: np.ndarray, scale: float = 1.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * scale)


def selected(rows: np.ndarray, rule: RobustRule) -> np.ndarray:
    vectors = [Memory({"w": row}) for row in rows]
    found = select(vectors, [1.0] * len(rows), {"w": rows.shape[1]}, ["w"], rule)
    return np.array([vector.block("w", 0, rows.shape[1]) for vector in found.vectors])


@given(cloud=CLOUDS, hostile=HOSTILE, spread=SPREAD)
def test_median_and_trimmed_mean(cloud: np.ndarray, hostile: int, spread: float) -> None:
    cloud[0] *= spread
    near(centre(cloud, RobustRule("median", hostile)), BYZFL.Median()(cloud))
    near(centre(cloud, RobustRule("trimmed-mean", hostile)), BYZFL.TrMean(hostile)(cloud))


@given(cloud=CLOUDS, hostile=HOSTILE, spread=SPREAD)
def test_krum(cloud: np.ndarray, hostile: int, spread: float) -> None:
    cloud[0] *= spread
    near(centre(cloud, RobustRule("krum", hostile)), BYZFL.Krum(hostile + 1)(cloud))


@given(cloud=CLOUDS, hostile=HOSTILE, spread=SPREAD)
def test_multi_krum_takes_one_more_than_byzfl_does(cloud: np.ndarray, hostile: int, spread: float) -> None:
    cloud[0] *= spread
    count = len(cloud)
    ours = selected(cloud, RobustRule("multi-krum", hostile))
    near(centre(cloud, RobustRule("multi-krum", hostile)), ours.mean(axis=0), spread)
    theirs = BYZFL.MultiKrum(hostile + 1)(cloud) * (count - hostile - 1)
    assert len(ours) == count - hostile
    one_more = ours.sum(axis=0) - theirs
    assert np.abs(ours - one_more).max(axis=1).min() < 1e-9


@given(
    cloud=CLOUDS, iterations=st.integers(1, 12), spread=SPREAD, smoothing=st.sampled_from([1e-6, 0.1, 1.0])
)
def test_geometric_median(cloud: np.ndarray, iterations: int, spread: float, smoothing: float) -> None:
    cloud[0] *= spread
    length = float(np.median(np.linalg.norm(cloud, axis=1)))
    rule = RobustRule("geometric-median", 1, iterations=iterations, smoothing=smoothing)
    near(centre(cloud, rule), BYZFL.GeometricMedian(nu=smoothing * length, T=iterations)(cloud))


@given(cloud=CLOUDS, iterations=st.integers(1, 12), spread=SPREAD, radius=st.sampled_from([0.0, 0.3, 5.0]))
def test_centred_clipping(cloud: np.ndarray, iterations: int, spread: float, radius: float) -> None:
    cloud[0] *= spread
    length = float(np.median(np.linalg.norm(cloud, axis=1)))
    rule = RobustRule("centred-clipping", 1, iterations=iterations, radius=radius)
    near(centre(cloud, rule), BYZFL.CenteredClipping(L=iterations, tau=radius or length)(cloud))


@given(cloud=CLOUDS, hostile=HOSTILE, spread=SPREAD)
def test_mixing(cloud: np.ndarray, hostile: int, spread: float) -> None:
    cloud[0] *= spread
    near(selected(cloud, RobustRule(byzantine=hostile, mix=True)), BYZFL.NNM(hostile)(cloud), spread)


@given(cloud=CLOUDS, spread=SPREAD, clip=st.sampled_from([0.5, 1.0, 2.0]))
def test_clipping(cloud: np.ndarray, spread: float, clip: float) -> None:
    cloud[0] *= spread
    length = float(np.median(np.linalg.norm(cloud, axis=1)))
    near(selected(cloud, RobustRule(clip=clip)), BYZFL.Clipping(c=clip * length)(cloud.copy()))


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "geometric-median", "centred-clipping"])
@given(cloud=CLOUDS, hostile=HOSTILE, spread=SPREAD)
def test_clipping_then_mixing_then_the_rule(
    name: str, cloud: np.ndarray, hostile: int, spread: float
) -> None:
    cloud[0] *= spread
    length = float(np.median(np.linalg.norm(cloud, axis=1)))
    clipped = BYZFL.Clipping(c=2.0 * length)(cloud.copy())
    mixed = BYZFL.NNM(hostile)(clipped)
    typical = float(np.median(np.linalg.norm(mixed, axis=1)))
    theirs = {
        "median": BYZFL.Median(),
        "trimmed-mean": BYZFL.TrMean(hostile),
        "geometric-median": BYZFL.GeometricMedian(nu=0.1 * typical, T=4),
        "centred-clipping": BYZFL.CenteredClipping(L=4, tau=typical),
    }[name]
    rule = RobustRule(name, hostile, 2.0, mix=True, iterations=4, smoothing=0.1)
    near(centre(cloud, rule), theirs(mixed))
