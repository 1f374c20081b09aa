"""Robust aggregation: rules that bound what a minority of hostile clients can do to a merge."""

from foedus.learn.robust.rule import MEAN, RobustRule

__all__ = ["MEAN", "RobustRule"]
