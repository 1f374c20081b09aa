"""A version of a model, out of the store by the CID of its manifest, ready to predict."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from foedus.core.errors import ObjectDamaged, UpdateRefused
from foedus.core.ids import Cid
from foedus.learn.algorithms import get_strategy
from foedus.learn.models import ModelInfo, build_model, model_info
from foedus.rounds.documents import ModelSpec, fetch
from foedus.store import DirectoryStore, Schema, TensorFile, TensorSpec, get_manifest


@dataclass(frozen=True, slots=True)
class Version:
    """A model with its weights, in evaluation mode."""

    network: nn.Module
    info: ModelInfo
    version: int


def open_version(store: DirectoryStore, cid: Cid) -> Version:
    """Build the model of a manifest, with its weights. Raises `ObjectMissing`, `ObjectDamaged`."""
    manifest = get_manifest(store, cid)
    spec = fetch(store, manifest.model, ModelSpec)
    params: dict[str, Any] = dict(manifest.algorithm.params)
    strategy = get_strategy(manifest.algorithm.name, params)
    schema = Schema({name: TensorSpec(one.dtype, tuple(one.shape)) for name, one in spec.tensors.items()})
    network = build_model(spec.name, spec.args)
    try:
        with store.open(manifest.weights) as file:
            weights = TensorFile(file, schema if strategy.has_fixed_shapes else None).read_all()
    except UpdateRefused as error:
        raise ObjectDamaged(f"the weights of {cid} do not fit the model: {error.message}") from error
    strategy.fit(network, weights)
    return Version(network.eval(), model_info(spec.name), manifest.version)
