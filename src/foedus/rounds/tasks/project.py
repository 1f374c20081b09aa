"""What every task needs of its project: terms, model, sets of examples, and scores that are known already.

A warm worker serves many tasks, so what is addressed by CID is kept between them: it cannot go stale.
"""

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch

from foedus.core.errors import InvalidData, ObjectDamaged, UpdateRefused
from foedus.core.ids import Cid, ClientId
from foedus.learn.algorithms import get_strategy
from foedus.learn.devices import CPU, pick_device, prepare_gpu
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples, examples_for
from foedus.learn.models import build_model, model_info
from foedus.learn.state import parts_of
from foedus.learn.strategy import MergeRules, ServerState
from foedus.learn.weights import SHARED, Specs, Weights
from foedus.rounds.documents import ModelSpec, Scores, StateDocument, Terms, fetch
from foedus.rounds.hosting import hosted
from foedus.rounds.sampling import drawn
from foedus.rounds.tasks.memory import read_memory
from foedus.store import DirectoryStore, ModelManifest, Schema, TensorFile, TensorSpec, get_manifest

TRAIN_COUNTS = "train_counts"
"""In a host's dataset: how many training examples each of its clients has."""

_LOSS_LIMIT = 1e30  # an infinite loss is reported as this: JSON has no infinity

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class _Recent(Generic[KeyT, ValueT]):
    """The few values that were asked for last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[KeyT, ValueT] = OrderedDict()

    def get(self, key: KeyT, make: Callable[[], ValueT]) -> ValueT:
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


class _StoredParts(Mapping[str, Weights]):
    """Parts of a server state, each read when it is first asked for: a client's task needs few of them."""

    def __init__(self, cids: Mapping[str, str], read: Callable[[Cid], Weights]) -> None:
        self._cids, self._read = cids, read
        self._known: dict[str, Weights] = {}

    def __getitem__(self, name: str) -> Weights:
        if name not in self._known:
            self._known[name] = self._read(Cid(self._cids[name]))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cids)

    def __len__(self) -> int:
        return len(self._cids)


class Project:
    """One project, opened by a task. Use `open_project`, which keeps it for the next task.

    Its model computes on `device`; simulated clients do on the CPU.
    """

    def __init__(self, store_root: str, terms_cid: Cid, device: torch.device = CPU) -> None:
        self.store = DirectoryStore(store_root)
        self.terms = fetch(self.store, terms_cid, Terms)
        self.terms_cid = terms_cid
        spec = fetch(self.store, Cid(self.terms.model), ModelSpec)
        self.model = build_model(spec.name, spec.args).to(CPU if self.terms.hosting else device)
        self.info = model_info(spec.name)
        self.parts = parts_of(self.model, is_norm_local=self.terms.buffers == "local")
        self.schema = Schema(
            {name: TensorSpec(entry.dtype, tuple(entry.shape)) for name, entry in spec.tensors.items()}
        )
        self.strategy = get_strategy(self.terms.algorithm.name, self.terms.algorithm.params)
        self.steps = self.strategy.steps(self.model)
        hosting = self.terms.hosting
        self.hosted = hosted(hosting.clients, hosting.hosts) if hosting else {}
        self._states: _Recent[Cid, ServerState] = _Recent(2)
        self._scores: _Recent[tuple[Cid, str], Scores] = _Recent(64)

    def manifest(self, cid: Cid) -> ModelManifest:
        """Return the manifest of a version."""
        return get_manifest(self.store, cid)

    def rules(self, step: int) -> MergeRules:
        """Return what a merge of this exchange must know."""
        terms = self.terms
        return MergeRules(
            parts=self.parts,
            buffer_mode=terms.buffers,
            robust=terms.robust.as_rule(),
            model=self.model,
            step=step,
            learning_rate=terms.training.learning_rate,
            momentum=terms.training.momentum,
            cap_ratio=terms.cap_ratio,
        )

    def update_specs(self, state: ServerState, client: ClientId, step: int) -> Specs:
        """Return type and shape of every tensor of a client's update, in this exchange."""
        specs = self.strategy.update_specs(state, client, self.rules(step))
        return {**specs, SHARED: ("I64", (1,))} if self.terms.mixed else specs

    # --- the states of versions ---

    def state(self, manifest_cid: Cid) -> ServerState:
        """Return the server state of a version. Raises `ObjectDamaged` when it does not fit the model."""
        return self._states.get(manifest_cid, lambda: self._read_state(manifest_cid))

    def remember_state(self, manifest_cid: Cid, state: ServerState) -> None:
        """Keep a state that was just computed: the next task most likely starts from it."""
        self._states.get(manifest_cid, lambda: state)

    def _read_state(self, manifest_cid: Cid) -> ServerState:
        manifest = self.manifest(manifest_cid)
        schema = self.schema if self.strategy.has_fixed_shapes else None
        weights = self._read_tensors(manifest.weights, schema)
        if manifest.state is None:
            return self.strategy.init(weights)
        document = fetch(self.store, manifest.state, StateDocument)
        return ServerState(weights, _StoredParts(document.parts, self._read_tensors), document.counters)

    def _read_tensors(self, cid: Cid, schema: Schema | None = None) -> Weights:
        try:
            with self.store.open(cid) as file:
                return TensorFile(file, schema).read_all()
        except UpdateRefused as error:
            raise ObjectDamaged(f"the tensors {cid} do not fit the model: {error.message}") from error

    def with_local(self, weights: Weights, memory: Weights) -> Weights:
        """Return weights as one client sees them: with the tensors that never leave it (FedBN)."""
        return {**weights, **{name: memory[name] for name in self.parts.local if name in memory}}

    # --- scores ---

    def load(self, weights: Weights) -> None:
        """Put weights into the project's one model object."""
        self.strategy.fit(self.model, weights)

    def score(self, weights_cid: Cid, weights: Weights, set_name: str, examples: Examples) -> Scores:
        """Score weights on a named set; asked again for the same, the answer is known."""

        def compute() -> Scores:
            self.load(weights)
            return self._evaluate(examples)

        return self._scores.get((weights_cid, set_name), compute)

    def score_as(
        self, memory: str | None, weights_cid: Cid, weights: Weights, set_name: str, examples: Examples
    ) -> Scores:
        """Score a version as one client sees it: with the tensors it kept in the job folder `memory`."""
        if not self.parts.local:
            return self.score(weights_cid, weights, set_name, examples)
        own = self.with_local(weights, read_memory(memory, is_needed=True))
        return self.score(weights_cid, own, f"{memory}#{set_name}", examples)

    def score_loaded(self, weights_cid: Cid, set_name: str, examples: Examples) -> Scores:
        """Score what the model object holds, which is `weights_cid`."""
        return self._scores.get((weights_cid, set_name), lambda: self._evaluate(examples))

    def _evaluate(self, examples: Examples) -> Scores:
        found = evaluate(self.model, examples, self.terms.labels)
        loss = found.loss if math.isfinite(found.loss) else _LOSS_LIMIT
        return Scores(
            loss=min(loss, _LOSS_LIMIT), f1=found.f1, accuracy=found.accuracy, examples=found.examples
        )

    # --- sets of examples ---

    @lru_cache(maxsize=4)  # noqa: B019 - a worker holds a handful of projects, and the sets with them
    def published(self, cid: Cid) -> Examples:
        """Return the shared evaluation set or the test set."""
        with self.store.open(cid) as file:
            return self._examples(TensorFile(file), "", f"the set {cid}")

    @lru_cache(maxsize=8)  # noqa: B019 - as above
    def private(self, path: str, part: str) -> Examples:
        """Return one part (`train`, `val`, `test`) of a client's own examples."""
        try:
            with Path(path).open("rb") as file:
                return self._examples(TensorFile(file), f"{part}_", path)
        except OSError as error:
            raise InvalidData(f"cannot read the dataset {path}: {error.strerror}") from error

    @lru_cache(maxsize=4)  # noqa: B019 - as above
    def mixed_into(self, path: str) -> Examples:
        """Return a client's own training examples, and then all that the project shares for training."""
        return self.private(path, "train").joined([self.published(Cid(cid)) for cid in self.terms.mixed])

    @cache  # noqa: B019 - as above
    def shared_examples(self) -> int:
        """Return how many examples the project shares for training."""
        return sum(len(self.published(Cid(cid))) for cid in self.terms.mixed)

    def drawn_of(self, host: ClientId, number: int) -> list[ClientId]:
        """Return which of a host's simulated clients train in a round, in order."""
        everybody = [client for block in self.hosted.values() for client in block]
        chosen = drawn(everybody, self.terms_cid, number, self.terms.fraction)
        return [client for client in self.hosted.get(host, ()) if client in chosen]

    @lru_cache(maxsize=8)  # noqa: B019 - as above
    def private_by_client(self, path: str) -> tuple[Examples, ...]:
        """Return the training examples of each client that a host simulates, in order."""
        everything = self.private(path, "train")
        with Path(path).open("rb") as file:
            counts = TensorFile(file).read(TRAIN_COUNTS)
        stops = np.cumsum(counts)
        if counts.dtype != np.int64 or counts.min() < 1 or stops[-1] != len(everything):
            raise InvalidData(f"{path} is not the dataset of a host: its counts are wrong")
        return tuple(everything.part(int(stop - n), int(stop)) for n, stop in zip(counts, stops, strict=True))

    def _examples(self, tensors: TensorFile, prefix: str, where: str) -> Examples:
        try:
            images, labels = tensors.read(f"{prefix}images"), tensors.read(f"{prefix}labels")
            name = f"{prefix}targets"
            targets = tensors.read(name) if name in tensors.names() else None
        except (KeyError, UpdateRefused) as error:
            raise InvalidData(f"{where} is not a dataset of Foedus: {error}") from error
        if labels.dtype != np.int64 or labels.ndim != 1 or not len(labels):
            raise InvalidData(f"{where} has no usable labels")
        if labels.min() < 0 or labels.max() >= self.terms.labels:
            raise InvalidData(f"{where} has labels outside the project's 0..{self.terms.labels - 1}")
        return examples_for(self.info, images, labels, targets)


@lru_cache(maxsize=2)
def open_project(store_root: str, terms_cid: Cid, device: torch.device = CPU) -> Project:
    """Open a project, or return the one that an earlier task of this worker opened."""
    return Project(store_root, terms_cid, device)


def open_for_task(store_root: str, terms_cid: Cid) -> Project:
    """Open a project on the device that this machine has for tasks. Raises as `pick_device` does."""
    device = pick_device(os.environ.get("FOEDUS_DEVICE", "").lower())
    if device.type == "cuda":
        prepare_gpu()
    return open_project(store_root, terms_cid, device)
