"""The train task: Algorithm 1 on a client's private examples, and the scores that Algorithm 2 asks for."""

import time
from collections.abc import Mapping

import torch

from foedus.core.canonical import Json, derive_seed
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.training import OnStep, TrainSettings
from foedus.learn.updates import update_norm
from foedus.learn.weights import MemorySource
from foedus.rounds.documents import TrainOrder, TrainResult
from foedus.rounds.tasks.project import open_project
from foedus.store import cid_of, encode

_REPORT_S = 0.2  # how often a task says how far it is


def run_train(folder: JobFolder, values: Mapping[str, Json]) -> None:
    """Train, score, write the update and then the result."""
    started = time.monotonic()
    order = TrainOrder.from_json(values, "the order")
    project = open_project(order.store, Cid(order.terms))
    terms = project.terms
    base_cid = project.manifest(Cid(order.base)).weights
    base = project.weights(base_cid)
    val, shared = project.private(order.dataset, "val"), project.published(Cid(terms.shared))
    own = f"{order.dataset}#val"
    base_scores = project.score(base_cid, base, own, val)
    shared_base = project.score(base_cid, base, terms.shared, shared)

    result = project.strategy.train(
        project.model,
        base,
        project.private(order.dataset, "train"),
        TrainSettings(**terms.training.model_dump()),
        derive_seed(order.terms, terms.seed, order.round, order.client) + order.step,
        {},
        _reporter(folder),
    )
    buffers = encode(result.weights)
    update = cid_of(buffers)
    folder.write_update(buffers)
    local = project.score_loaded(update, own, val)
    shared_local = project.score_loaded(update, terms.shared, shared)
    folder.finish(
        TrainResult(
            update=update,
            num_examples=result.num_examples,
            steps=result.steps,
            train_loss=list(result.data_losses),
            penalty=result.penalty,
            local=local,
            base=base_scores,
            shared_local=shared_local,
            shared_base=shared_base,
            is_above_floor=shared_local.f1 >= terms.floor_ratio * shared_base.f1,
            update_norm=update_norm(MemorySource(result.weights), base, project.parts),
            seconds=time.monotonic() - started,
        ).to_json()
    )


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
