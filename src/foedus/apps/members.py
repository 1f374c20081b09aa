"""Prepares a run in which each client brings a private dataset of its own.

One batch job reads the datasets of all clients, so it must run where, and as whom, all of them can be read.
It writes each client's examples beside the run, for that client's tasks alone. Of one dataset, which its
owner gave for that, it publishes the validation part as shared evaluation set and the test part as test set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from foedus.apps.datasets.loading import Loaded, load
from foedus.apps.datasets.splits import PARTS
from foedus.core.canonical import Json
from foedus.core.errors import InvalidData
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.datasets import ImageSet
from foedus.learn.examples import examples_for
from foedus.learn.models import ModelInfo, build_model, model_info
from foedus.learn.objectives import CLASSIFICATION
from foedus.rounds.documents import CidText, Document, PrepareOrder
from foedus.rounds.home import Home
from foedus.rounds.spec import Name, RunSpec
from foedus.rounds.tasks.prepare import Tensors, publish_sets, tensors_of, write_tensors
from foedus.store import DirectoryStore, TensorFile


class Source(Document):
    """A registered dataset: the folder with its owner's catalogue, and its name there."""

    home: str
    dataset: str


class MembersOrder(Document):
    """Load each client's dataset, publish the evaluation sets, and make the initial model."""

    kind: Literal["prepare-members"] = "prepare-members"
    prepare: PrepareOrder
    sources: dict[Name, Source]
    evaluation: Source
    store: str
    shared: list[CidText]  # the project's shared datasets: tensors `images` and `labels`


def run_prepare_members(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Do what the order says. Raises `InvalidData` naming the client whose data do not suit."""
    order = MembersOrder.from_json(values, "the order")
    spec, target = order.prepare.run_spec, Path(order.prepare.data_folder)
    published = _read("the evaluation dataset", order.evaluation)
    clients = {name: _read(f"the dataset of {name}", source) for name, source in order.sources.items()}
    shared = [_shared(order.store, Cid(cid), model_info(spec.model.name)) for cid in order.shared]
    found = [published, *clients.values()]
    known = [_most_label(one) for one in found] + [int(one["labels"].max()) for one in shared]
    labels = max(_told_apart(spec, published), *(label + 1 for label in known))
    shapes = {one.values.shape[1:] for one in found} | {one["images"].shape[1:] for one in shared}
    if len(shapes) > 1:
        raise InvalidData(
            f"examples have different shapes: {', '.join(map(str, sorted(shapes)))}",
            "Members agree on one, with the recipe step `resize`.",
        )
    datasets, histograms = {}, {}
    for name, loaded in clients.items():
        images = _images(loaded, labels)
        tensors = tensors_of(images, {f"{part}_": loaded.rows(part) for part in PARTS})
        datasets[name] = str(write_tensors(target / f"{name}.safetensors", tensors))
        histograms[name] = [int(n) for n in np.bincount(images.labels, minlength=labels)]
    images = _images(published, labels)
    sets = {
        "shared": tensors_of(images, {"": published.rows("val")}),
        "test": tensors_of(images, {"": published.rows("test")}),
    }
    highest = _images(max(found, key=_most_label), labels)  # of whose labels the model must know all
    publish_sets(folder, spec, highest, sets, datasets, histograms, order.shared)


def _read(whose: str, source: Source) -> Loaded:
    loaded = load(Home(Path(source.home)), source.dataset)
    if loaded.labels is None:
        raise InvalidData(f"{whose} has no labels", "Contribute one with labels.")
    if loaded.values.dtype != np.uint8 or loaded.values.ndim not in (3, 4):
        raise InvalidData(
            f"{whose} holds {loaded.values.dtype} of shape {loaded.values.shape[1:]}, not pictures of bytes",
            "Models here take grey or coloured pictures of 0 to 255; leave the step `normalise` away.",
        )
    missing = [part for part in PARTS if not len(loaded.rows(part))]
    if missing:
        raise InvalidData(f"{whose} has no {' and no '.join(missing)} examples", "Bring more examples.")
    return loaded


def _shared(store: str, cid: Cid, model: ModelInfo) -> Tensors:
    with DirectoryStore(store).open(cid) as file:
        tensors = TensorFile(file)
        wanted = (
            ("images", "labels") if model.objective is CLASSIFICATION else ("images", "labels", "targets")
        )
        if "targets" in wanted and "targets" not in tensors.names():
            raise InvalidData(
                f"the shared dataset {cid} has no targets for {model.objective.name}",
                "Its owner shares examples with masks, or you choose a model that classifies.",
            )
        found = {name: tensors.read(name) for name in wanted}
    images, labels, masks = found["images"], found["labels"], found.get("targets")
    if images.dtype != np.uint8 or labels.dtype != np.int64 or labels.shape != (len(images),):
        raise InvalidData(f"the shared dataset {cid} holds no pictures of bytes with labels")
    if not len(labels) or labels.min() < 0:
        raise InvalidData(f"the shared dataset {cid} has no examples, or negative labels")
    sizes = (len(images), *images.shape[-2:])
    if masks is not None and (masks.dtype != np.uint8 or masks.shape != sizes or masks.max() > 1):
        raise InvalidData(f"the targets of the shared dataset {cid} are no masks of 0 and 1 for its pictures")
    return found


def _told_apart(spec: RunSpec, loaded: Loaded) -> int:
    """Return how many labels a classifier tells apart: it may know more of them than the data have."""
    info, few = model_info(spec.model.name), loaded.rows("test")[:2]
    if info.objective is not CLASSIFICATION:
        return 1
    assert loaded.labels is not None, "_read refuses data without"
    examples = examples_for(info, loaded.values[few], loaded.labels[few])
    with torch.no_grad():
        return int(build_model(spec.model.name, spec.model.args).eval()(examples.inputs).shape[1])


def _most_label(loaded: Loaded) -> int:
    return int(loaded.labels.max()) if loaded.labels is not None else 0


def _images(loaded: Loaded, labels: int) -> ImageSet:
    assert loaded.labels is not None, "_read refuses data without"
    source, targets = "members' own data", loaded.targets
    return ImageSet(loaded.values, loaded.labels, labels, len(loaded.values), source, targets)
