"""What hostile clients hand over: a tool for experiments with robust rules, not part of any run.

Pure functions. An update is a local model by tensor name; `server` are the weights it started from. Only
float tensors are changed, the others are those of the client's own (or the first honest) update. Attacks that
look at the honest updates assume the worst: that hostile clients see all of them and act together.
"""

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch

from foedus.core.errors import InvalidData
from foedus.learn.examples import Examples
from foedus.learn.weights import Array, Weights


def sign_flip(own: Weights, server: Weights, scale: float = 1.0) -> Weights:
    """Return θ − scale · (θ_k − θ): a step back along the client's own update.

    Li, Xu, Chen, Giannakis, Ling: RSA. AAAI 2019. https://arxiv.org/abs/1811.03761
    """
    return _along(own, server, -scale)


def boost(own: Weights, server: Weights, factor: float = 100.0) -> Weights:
    """Return θ + factor · (θ_k − θ): an update so long that it replaces the mean of the others.

    Bagdasaryan, Veit, Hua, Estrin, Shmatikov: How to backdoor federated learning. AISTATS 2020.
    https://arxiv.org/abs/1807.00459 (model replacement)
    """
    return _along(own, server, factor)


def nan(own: Weights) -> Weights:
    """Return an update of values that are no numbers, which `check_update` refuses."""
    return _changed(own, lambda name: np.full(own[name].shape, np.nan))


def alie(honest: Sequence[Weights], hostile: int, z: float | None = None) -> Weights:
    """Return mean − z · std of the honest updates, element by element: far off, less than some honest.

    `hostile`: f, how many hand this over. Without `z` it is what n = honest + f clients and f give
    (`alie_z`); 0, which does no harm, when f is too small for a majority that this hides in.
    Baruch, Baruch, Goldberg: A little is enough. NeurIPS 2019. https://arxiv.org/abs/1902.06156
    """
    _require_some(honest)
    chosen = alie_z(len(honest) + hostile, hostile) if z is None else z

    def shifted(name: str) -> Array:
        values = _stacked(honest, name)
        return np.asarray(values.mean(axis=0) - chosen * values.std(axis=0))

    return _changed(honest[0], shifted)


def alie_z(clients: int, hostile: int) -> float:
    """Return z with Φ(z) = (n − f − s) / (n − f), s = ⌊n/2 + 1⌋ − f; at least 0.

    s is how many honest clients it takes, with the f hostile ones, to be a majority.
    Raises `InvalidData` unless 0 < 2 f < n.
    """
    if not 0 < 2 * hostile < clients:
        raise InvalidData(f"{hostile} hostile clients of {clients} are no minority")
    honest = clients - hostile
    supporters = clients // 2 + 1 - hostile
    return max(0.0, NormalDist().inv_cdf((honest - supporters) / honest))


def ipm(honest: Sequence[Weights], server: Weights, epsilon: float = 0.1) -> Weights:
    """Return θ − ε · mean(θ_j − θ) of the honest: the merged step then points away from theirs.

    Xie, Koyejo, Gupta: Fall of empires. UAI 2020. https://arxiv.org/abs/1903.03936
    """
    _require_some(honest)

    def reversed_mean(name: str) -> Array:
        start = server[name].astype(np.float64)
        return np.asarray(start - epsilon * (_stacked(honest, name).mean(axis=0) - start))

    return _changed(honest[0], reversed_mean)


def label_flip(data: Examples, classes: int) -> Examples:
    """Return the examples with label c as classes − 1 − c: a client that trains honestly on false labels.

    Fang, Cao, Jia, Gong: Local model poisoning attacks. USENIX Security 2020. https://arxiv.org/abs/1911.11815
    Raises `InvalidData` for labels outside 0..classes − 1.
    """
    labels = data.targets
    if labels.dtype != torch.int64 or bool(((labels < 0) | (labels >= classes)).any()):
        raise InvalidData(f"labels to flip must lie in 0..{classes - 1}")
    return Examples(data.inputs, classes - 1 - labels, data.channels_last)


def _along(own: Weights, server: Weights, factor: float) -> Weights:
    def moved(name: str) -> Array:
        start = server[name].astype(np.float64)
        return start + factor * (own[name].astype(np.float64) - start)

    return _changed(own, moved)


def _changed(like: Weights, values: Callable[[str], Array]) -> Weights:
    """Return new tensors of the same types: `values` where they are floats, copies elsewhere."""
    with np.errstate(over="ignore"):
        return {
            name: values(name).astype(array.dtype) if array.dtype.kind == "f" else array.copy()
            for name, array in like.items()
        }


def _stacked(honest: Sequence[Weights], name: str) -> npt.NDArray[np.float64]:
    return np.stack([weights[name].astype(np.float64) for weights in honest])


def _require_some(honest: Sequence[Weights]) -> None:
    if not honest:
        raise InvalidData("this attack looks at the honest updates, and there are none")
