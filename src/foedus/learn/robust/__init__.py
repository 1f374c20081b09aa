"""Robust aggregation: rules that bound what a minority of hostile clients can do to a merge.

One file per family, each opening with its source and equation: `clipping`, `mixing`, `coordinate`, `krum`,
`geometric`. `combine` gives one centre, `select` the updates that are let through.
"""

from foedus.learn.robust.combine import Selection, combine, medians, select
from foedus.learn.robust.rule import MEAN, PARAMETERS, NoCentre, RobustRule

__all__ = ["MEAN", "PARAMETERS", "NoCentre", "RobustRule", "Selection", "combine", "medians", "select"]
