"""The train task: Algorithm 1 on a client's private examples, and the scores that Algorithm 2 asks for."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch

from foedus.core.canonical import Json, derive_seed
from foedus.core.ids import Cid, ClientId
from foedus.launch import JobFolder
from foedus.learn.checkpoints import Checkpoints
from foedus.learn.examples import Examples
from foedus.learn.strategy import ServerState, Turn
from foedus.learn.training import LocalResult, OnStep, TrainSettings
from foedus.learn.updates import distance_moved
from foedus.learn.weights import SHARED, Weights
from foedus.rounds.documents import Scores, TrainOrder, TrainResult
from foedus.rounds.tasks.checkpoint import checkpoints_in
from foedus.rounds.tasks.hosted import host_turn, train_hosted
from foedus.rounds.tasks.memory import read_memory
from foedus.rounds.tasks.project import Project, open_for_task
from foedus.store import cid_of, encode

_REPORT_S = 0.2  # how often a task says how far it is


def run_train(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Train, score, write the update and then the result. Of an earlier attempt, go on from its checkpoint.

    Raises `Interrupted` when it is warned (SIGUSR1) while training.
    """
    started = time.monotonic()
    order = TrainOrder.from_json(values, "the order")
    project = open_for_task(order.store, Cid(order.terms))
    is_hosted = project.terms.hosting is not None  # many clients in one task: these have no checkpoints
    with nullcontext() if is_hosted else checkpoints_in(folder, order.checkpoint_s) as checkpoints:
        _run(folder, project, order, checkpoints, started)


def _run(
    folder: JobFolder, project: Project, order: TrainOrder, checkpoints: Checkpoints | None, started: float
) -> None:
    terms = project.terms
    memory = read_memory(order.memory, is_needed=bool(project.parts.local))
    base, shared_base = _score_version(project, order)

    state = project.state(Cid(order.base))
    state = replace(state, weights=project.with_local(state.weights, memory))
    result = _train(project, order, state, memory, _reporter(folder), checkpoints)
    num_shared = len(_data(project, order)) - len(project.private(order.dataset, "train"))
    update = _write(folder, project, result, num_shared)
    local = project.score_loaded(update, f"{order.dataset}#val", project.private(order.dataset, "val"))
    shared_local = project.score_loaded(update, terms.shared, project.published(Cid(terms.shared)))
    folder.finish(
        TrainResult(
            update=update,
            num_examples=result.num_examples,
            num_shared=num_shared,
            steps=result.steps,
            train_loss=list(result.data_losses),
            penalty=result.penalty,
            local=local,
            base=base,
            shared_local=shared_local,
            shared_base=shared_base,
            is_above_floor=shared_local.f1 >= terms.floor_ratio * shared_base.f1,
            update_norm=distance_moved(result.weights, state.weights, project.parts.trainable),
            seconds=time.monotonic() - started,
        ).to_json()
    )


def _train(
    project: Project,
    order: TrainOrder,
    state: ServerState,
    memory: Weights,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
) -> LocalResult:
    settings = TrainSettings(**project.terms.training.model_dump())
    client = ClientId(order.client)
    if project.terms.hosting is not None:
        turn = host_turn(project, client, order.dataset, order.round, order.step, on_step)
        return train_hosted(project, state, settings, turn)
    seed = derive_seed(order.terms, project.terms.seed, order.round, order.client) + order.step
    data = _data(project, order)
    own = Turn(client, seed, order.step, memory, on_step, checkpoints)
    return project.strategy.train(project.model, state, data, settings, own)


def _data(project: Project, order: TrainOrder) -> Examples:
    """Return what a client trains with: its own examples, and what the project shares if it wants that."""
    if project.terms.mixed and order.mixes_shared:
        return project.mixed_into(order.dataset)
    return project.private(order.dataset, "train")


def _score_version(project: Project, order: TrainOrder) -> tuple[Scores, Scores]:
    """Score the version in force on the client's validation split and on the shared evaluation set."""
    current, shared = Cid(order.current), Cid(project.terms.shared)
    version, weights = project.manifest(current).weights, project.state(current).weights
    val = project.private(order.dataset, "val")
    return (
        project.score_as(order.memory, version, weights, f"{order.dataset}#val", val),
        project.score_as(order.memory, version, weights, shared, project.published(shared)),
    )


def _write(folder: JobFolder, project: Project, result: LocalResult, num_shared: int) -> Cid:
    """Write what goes to the others, and what the client keeps; return the CID of the former."""
    own = project.parts.local
    tensors = {name: tensor for name, tensor in result.handed_over.items() if name not in own}
    if project.terms.mixed:
        tensors[SHARED] = np.array([num_shared])
    buffers = encode(tensors)
    folder.write_update(buffers)
    kept = {**result.memory, **{name: result.weights[name] for name in own}}
    if kept:
        folder.write_memory(encode(kept))
    return cid_of(buffers)


def _reporter(folder: JobFolder) -> OnStep:
    last = -_REPORT_S

    def report(done: int, total: int, loss: torch.Tensor) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_S:
            last = now
            folder.emit({"done": done, "total": total, "loss": _finite(float(loss))})

    return report


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None  # NaN compares false, too
