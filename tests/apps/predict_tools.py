"""Small models of masks and fields whose answers are known, in the store of a home folder."""

from collections.abc import Mapping

import numpy as np
from apps_tools import make_job

from foedus.apps.builtin import FL_PREDICT
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.models import initial_weights
from foedus.rounds.documents import ModelSpec, TensorEntry, publish
from foedus.rounds.home import Home
from foedus.store import AlgorithmRef, DirectoryStore, ModelManifest, Schema, encode, put_manifest

Weights = Mapping[str, np.ndarray]
Arguments = dict[str, int | float | str | list[int] | list[list[int]]]  # of a model, as JSON has them

UNET: Arguments = {"width": 2, "depth": 1, "norm": "none"}
SURROGATE: Arguments = {"width": 2, "depth": 0}

_FAR = np.float32(100.0)  # so far from zero GELU changes nothing


def put_model(home: Home, name: str, args: Arguments, weights: Weights) -> Cid:
    """Put a version 0 with these weights into the store."""
    home.store.mkdir(parents=True, exist_ok=True)
    store = DirectoryStore(home.store)
    tensors = {
        key: TensorEntry(dtype=one.dtype, shape=list(one.shape)) for key, one in Schema.of(weights).items()
    }
    spec = publish(store, ModelSpec(name=name, args=args, tensors=tensors))
    stored = store.put(encode(weights))
    return put_manifest(store, ModelManifest(0, spec, stored, None, AlgorithmRef("fedavg", {})))


def bright_is_inside() -> Weights:
    """Return weights of a U-Net whose logit is 1 where an image is white, and −1 where it is black."""
    weights = _zeros("unet", UNET)
    for name in ("down.0.0", "down.0.3", "up.0.0", "up.0.3"):
        weights[f"{name}.weight"][0, 0, 1, 1] = 1.0
    weights["head.weight"][0, 0, 0, 0], weights["head.bias"][0] = 1.0, -1.0
    return weights  # white is 2 after normalisation, black −2, of which ReLU makes 0


def same_again(first_is_more_by: float = 0.0) -> Weights:
    """Return weights of a surrogate that answers with the fields it is given, the first a little higher."""
    weights = _zeros("surrogate", SURROGATE)
    for layer in ("0", "2"):
        for channel in (0, 1):
            weights[f"{layer}.weight"][channel, channel, 1, 1] = 1.0
    weights["0.bias"][:] = _FAR
    weights["2.bias"][:] = np.array([first_is_more_by - _FAR, -_FAR], np.float32)
    return weights


def order(home: Home, name: str, model: Cid, dataset: str, **more: object) -> JobFolder:
    """Make the job folder of a prediction."""
    values = FL_PREDICT.checked({"model": str(model), "dataset": dataset, **more})
    return make_job(home.root, "FL_PREDICT", values, name)


def _zeros(name: str, args: Arguments) -> dict[str, np.ndarray]:
    return {key: np.zeros_like(value) for key, value in initial_weights(name, args, 0).items()}
