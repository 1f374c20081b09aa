"""Updates that say how many local steps they took."""

import dataclasses

import numpy as np

from foedus.learn.training import LocalResult

STEPS = "@steps"
"""How many steps of local SGD lie behind an update."""


def with_steps(result: LocalResult) -> LocalResult:
    """Return the result whose update carries the number of steps beside the model."""
    return dataclasses.replace(result, update={**result.weights, STEPS: np.array(result.steps, np.int64)})
