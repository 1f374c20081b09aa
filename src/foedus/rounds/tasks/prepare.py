"""The prepare task: load the data, deal it out to simulated clients, make the initial model.

At real sites the data lie there already; what remains of this task is the initial model and the published
sets.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foedus.core.canonical import Json, derive_seed
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec, UnsupportedModel
from foedus.core.ids import Cid, ClientId
from foedus.launch import JobFolder
from foedus.learn.algorithms import get_strategy
from foedus.learn.batched import require_plain
from foedus.learn.datasets import ImageSet, covid, frames, lungs, mnist
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import examples_for
from foedus.learn.models import build_model, initial_weights, model_info
from foedus.learn.partitions import Split, partition, split, stratified_sample
from foedus.learn.state import has_batch_norm, parts_of, weights_of
from foedus.learn.strategy import MergeRules
from foedus.learn.training import TrainSettings
from foedus.rounds.documents import ModelSpec, PrepareOrder, PrepareResult, TensorEntry
from foedus.rounds.home import make_folder, sync_folder
from foedus.rounds.spec import DataSection, RunSpec
from foedus.rounds.tasks.project import TRAIN_COUNTS
from foedus.store import Schema, cid_of, encode

Indices = npt.NDArray[np.int64]
Tensors: TypeAlias = dict[str, npt.NDArray[np.generic]]


def run_prepare(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Write `initial`, `shared`, `test` (.safetensors) beside the result, and each client's own dataset."""
    order = PrepareOrder.from_json(values, "the order")
    spec = order.run_spec
    if spec.data.name == "members":
        raise InvalidSpec(
            'data.name = "members" is for runs of the platform, whose members bring datasets',
            "Use another data.name, or start the run in the platform.",
        )
    images = _load(spec.data, spec.seed, Path(order.data_cache))
    test, shared, rest = _set_aside(images, spec)
    sets = {"shared": tensors_of(images, {"": shared}), "test": tensors_of(images, {"": test})}
    if spec.partition.shared_fraction:
        mixed, rest = _to_share(images, rest, spec)
        sets["mixed"] = tensors_of(images, {"": mixed})
    datasets, histograms = _deal(images, rest, spec, order.members, Path(order.data_folder))
    publish_sets(folder, spec, images, sets, datasets, histograms)


def publish_sets(
    folder: JobFolder,
    spec: RunSpec,
    images: ImageSet,
    sets: Mapping[str, Tensors],
    datasets: dict[str, str],
    histograms: dict[str, list[int]],
    mixed: Sequence[str] = (),
) -> None:
    """Write the published `sets` (shared, test, mixed), make the initial model, and finish the task.

    `images` are any of those that the model must fit. `datasets` are the CIDs of the clients' own files;
    `mixed` those of data to train with that the project has published before.
    """
    exchanges = _exchanges(spec)
    _require_fit(spec, images)
    weights = initial_weights(
        spec.model.name, spec.model.args, derive_seed("initial", spec.seed), spec.model.init
    )
    named = {**sets, "initial": weights}
    files = {name: write_tensors(folder.path / f"{name}.safetensors", of) for name, of in named.items()}
    schema = Schema.of(weights)
    folder.finish(
        PrepareResult(
            data=images.source,
            labels=images.label_count,
            exchanges=exchanges,
            histograms=histograms,
            files={name: str(cid) for name, cid in files.items()},
            mixed=[*mixed, *(str(files[name]) for name in sets if name == "mixed")],
            datasets=datasets,
            model=ModelSpec(
                name=spec.model.name,
                args=spec.model.args,
                tensors={
                    name: TensorEntry(dtype=found.dtype, shape=list(found.shape))
                    for name, found in schema.items()
                },
            ),
        ).to_json()
    )


def _exchanges(spec: RunSpec) -> int:
    """Return how many exchanges a round has. Raises when algorithm, model and robust rule do not fit."""
    strategy = get_strategy(spec.algorithm.name, spec.algorithm.params)
    model, robust = build_model(spec.model.name, spec.model.args), spec.robust.as_rule()
    robust.require(spec.updates_per_merge)
    strategy.check(model, robust, TrainSettings(**spec.training.model_dump()))
    if spec.is_batched and spec.jobs.batch == "vmap" and strategy.plain_pull is not None:
        require_plain(model)
    if spec.is_batched and strategy.steps(model) > 1:
        raise UnsupportedModel(
            f"clients of {spec.algorithm.name} remember things between the exchanges of a round, "
            "which simulated ones cannot",
            'Use jobs.launcher = "local", or parameters that make it one exchange a round.',
        )
    if spec.policy.buffers == "local" and not has_batch_norm(model):
        raise UnsupportedModel(
            f'buffers = "local" keeps batch normalisation with its client, but {spec.model.name!r} has none',
            'Use buffers = "average", or a model with batch normalisation.',
        )
    rules = MergeRules(parts_of(model, spec.policy.buffers == "local"), spec.policy.buffers, robust, model)
    strategy.update_specs(strategy.init(weights_of(model)), ClientId("client-1"), rules)
    return strategy.steps(model)


def _load(data: DataSection, seed: int, cache: Path) -> ImageSet:
    images = _everything(data, cache)
    if data.images is None or data.images == len(images):
        return images
    return images.take(data.images, derive_seed("images", seed))


def _everything(data: DataSection, cache: Path) -> ImageSet:
    folder = Path(data.folder).expanduser() if data.folder else None
    if data.name == "mnist":
        return mnist(data.source, folder, cache)
    if folder is None:
        raise InvalidData(
            f"data.name = {data.name!r} needs data.folder", "Name the folder that holds the data."
        )
    if data.name == "frames":
        return frames(folder, data.ahead, data.rates)
    return (lungs if data.name == "lungs" else covid)(folder, data.side)


def _require_fit(spec: RunSpec, images: ImageSet) -> None:
    """Score two images, so that a model that does not fit them is found before a run begins.

    One of them has the highest label, which a model of too few labels does not know.
    """
    info, few = model_info(spec.model.name), np.array([0, images.labels.argmax()])
    targets = None if images.targets is None else images.targets[few]
    examples = examples_for(info, images.images[few], images.labels[few], targets)
    try:
        evaluate(build_model(spec.model.name, spec.model.args), examples, images.label_count)
    except FoedusError:
        raise
    except Exception as error:  # whatever a model raises, its author must hear of it
        raise UnsupportedModel(
            f"model {spec.model.name!r} does not fit images of shape {images.images.shape[1:]}"
            f" with {images.label_count} labels: {error}",
            "Look at the sizes of its layers and at `input_shape`.",
        ) from error


def _set_aside(images: ImageSet, spec: RunSpec) -> tuple[Indices, Indices, Indices]:
    """Return the rows of the test set, of the shared evaluation set, and those left for the clients.

    The test set is drawn from the dataset's own test part where it has one that is large enough.
    """
    wanted = spec.data.test + spec.data.shared
    if wanted >= len(images) // 2:
        raise InvalidData(
            f"data.test + data.shared = {wanted} of {len(images)} images leave too few to train on",
            "Lower data.test or data.shared, or use more images.",
        )
    random = np.random.default_rng(derive_seed("test", spec.seed))
    everything = np.arange(len(images))
    own_part = everything[images.train_count :]
    pool = own_part if len(own_part) >= spec.data.test else everything
    test = pool[stratified_sample(images.labels[pool], spec.data.test, random)]
    rest = np.setdiff1d(everything[: images.train_count] if pool is own_part else everything, test)
    shared = rest[stratified_sample(images.labels[rest], spec.data.shared, random)]
    return test, shared, np.setdiff1d(rest, shared)


def _to_share(images: ImageSet, rest: Indices, spec: RunSpec) -> tuple[Indices, Indices]:
    """Return the rows that the project publishes for training, and those left for the clients."""
    random = np.random.default_rng(derive_seed("mixed", spec.seed))
    count = round(spec.partition.shared_fraction * len(rest))
    if not count:
        raise InvalidData(
            f"partition.shared_fraction of {len(rest)} examples is less than one",
            "Raise it, or leave it away.",
        )
    mixed = rest[stratified_sample(images.labels[rest], count, random)]
    return mixed, np.setdiff1d(rest, mixed)


def _deal(
    images: ImageSet, rest: Indices, spec: RunSpec, members: Mapping[str, Sequence[str]], target: Path
) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Write every member's dataset; return their CIDs, and how many examples of each label clients hold."""
    labels = images.labels[rest]
    seed = derive_seed("partition", spec.seed)
    kind = spec.partition
    clients = [client for hosted in members.values() for client in hosted]
    dealt = partition(kind.kind, labels, clients, seed, kind.args)
    datasets = {}
    for member, hosted in members.items():
        parts = [split(dealt[c], labels, derive_seed("split", spec.seed, c)) for c in hosted]
        tensors = tensors_of(images, _joined(parts, rest))
        if spec.is_batched:
            tensors[TRAIN_COUNTS] = np.array([len(one.train) for one in parts], dtype=np.int64)
        datasets[member] = str(write_tensors(target / f"{member}.safetensors", tensors))
    counts = {c: np.bincount(labels[rows], minlength=images.label_count) for c, rows in dealt.items()}
    return datasets, {client: [int(count) for count in found] for client, found in counts.items()}


def _joined(parts: Sequence[Split], rest: Indices) -> dict[str, Indices]:
    """Return the rows of a member's training, validation and test examples, client after client."""
    return {
        "train_": rest[np.concatenate([one.train for one in parts])],
        "val_": rest[np.concatenate([one.val for one in parts])],
        "test_": rest[np.concatenate([one.test for one in parts])],
    }


def tensors_of(images: ImageSet, parts: Mapping[str, Indices]) -> Tensors:
    """Return images, labels and targets of these rows, their names beginning as the parts say."""
    named: Tensors = {}
    for prefix, rows in parts.items():
        named[f"{prefix}images"] = images.images[rows]
        named[f"{prefix}labels"] = images.labels[rows]
        if images.targets is not None:
            named[f"{prefix}targets"] = images.targets[rows]
    return named


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # these are a client's own rows


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Cid:
    """Write a file durably: the result that comes after it will be trusted. Returns its CID."""
    make_folder(path.parent)
    buffers = encode(tensors)
    with open(path, "wb", opener=_private) as file:
        file.writelines(buffers)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return cid_of(buffers)
