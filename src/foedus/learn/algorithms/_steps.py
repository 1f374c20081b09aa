"""Updates that say how many local steps they took."""

import dataclasses

import numpy as np

from foedus.core.errors import TaskFailed
from foedus.learn.training import LocalResult
from foedus.learn.weights import Array, Weights

STEPS = "@steps"
"""How many steps of local SGD lie behind an update."""


def steps_beside(weights: Weights, steps: int | Array) -> Weights:
    """Return the update that carries the number of steps beside the model; or numbers, one per client."""
    return {**weights, STEPS: np.array(steps, np.int64)}


def with_steps(result: LocalResult) -> LocalResult:
    """Return the result whose update carries its number of steps. Raises `TaskFailed` when there was none."""
    if not result.steps:
        raise TaskFailed(
            "training made no step, so there is nothing to hand over",
            "Give it at least one epoch and, with batch normalisation, at least two examples.",
        )
    return dataclasses.replace(result, update=steps_beside(result.weights, result.steps))
