"""A host's train task: the drawn ones of its simulated clients, one after the other or many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from foedus.core.canonical import derive_seed
from foedus.core.ids import ClientId
from foedus.learn.batched import train_batched, train_serial
from foedus.learn.examples import Examples
from foedus.learn.robust import MEAN
from foedus.learn.strategy import ServerState, Turn, Update
from foedus.learn.training import LocalResult, OnStep, TrainSettings
from foedus.learn.weights import EXAMPLES, MemorySource, Row, Weights
from foedus.rounds.tasks.project import Project


@dataclass(frozen=True, slots=True)
class HostTurn:
    """One host's turn to train: its drawn clients with their examples, and where progress is told."""

    clients: Sequence[ClientId]
    data: Sequence[Examples]
    seeds: Sequence[int]
    on_step: OnStep | None


def host_turn(
    project: Project, host: ClientId, dataset: str, number: int, step: int, on_step: OnStep | None
) -> HostTurn:
    """Return which of a host's clients train in this round, each with a seed of its own."""
    everybody = dict(zip(project.hosted[host], project.private_by_client(dataset), strict=True))
    clients = project.drawn_of(host, number)
    seeds = [derive_seed(project.terms_cid, project.terms.seed, number, client) + step for client in clients]
    return HostTurn(clients, [everybody[client] for client in clients], seeds, on_step)


def train_hosted(
    project: Project, state: ServerState, settings: TrainSettings, turn: HostTurn
) -> LocalResult:
    """Train all drawn clients from the state.

    The update holds their updates stacked, one row each in the order of the clients, and how many examples
    are behind each. The local model, which the gate scores, is what the algorithm makes of these clients
    alone. Without a drawn client it has no examples.
    """
    if not turn.clients:
        return LocalResult(state.weights, 0, 0, (), update={})
    assert project.terms.hosting is not None
    pull = project.strategy.plain_pull
    if pull is None:
        found = _one_by_one(project, state, settings, turn)
    else:
        found = _by_sgd(project, state, settings, turn, pull)
    merged = _merged(project, state, turn.clients, found)
    project.load(merged)
    share = found.examples / found.examples.sum()
    return LocalResult(
        merged,
        int(found.examples.sum()),
        int(found.steps.sum()),
        tuple(float(loss) for loss in share @ found.losses),
        update={**found.update, EXAMPLES: found.examples},
    )


@dataclass(frozen=True, slots=True)
class _Stacked:
    """What all clients gave, one row each."""

    update: Weights
    examples: np.ndarray  # (clients,) int64
    steps: np.ndarray  # (clients,) int64
    losses: np.ndarray  # (clients, epochs)


def _by_sgd(
    project: Project, state: ServerState, settings: TrainSettings, turn: HostTurn, pull: float
) -> _Stacked:
    """Train clients that do plain SGD: many at once, or one after the other with the bits of `local_sgd`."""
    assert project.terms.hosting is not None
    train = train_batched if project.terms.hosting.batch == "vmap" else train_serial
    result = train(
        project.model, state.weights, turn.data, settings, turn.seeds, mu=pull, on_block=_told(turn.on_step)
    )
    update = project.strategy.hand_over(result.weights, result.steps)
    return _Stacked(update, result.num_examples, result.steps, result.losses)


def _one_by_one(project: Project, state: ServerState, settings: TrainSettings, turn: HostTurn) -> _Stacked:
    tell, results = _told(turn.on_step), []
    for done, (client, data, seed) in enumerate(zip(turn.clients, turn.data, turn.seeds, strict=True), 1):
        own = Turn(client, seed)
        results.append(project.strategy.train(project.model, state, data, settings, own))
        tell(done, len(turn.clients), results[-1].data_losses[-1] if results[-1].data_losses else 0.0)
    updates = [result.handed_over for result in results]
    return _Stacked(
        {name: np.stack([update[name] for update in updates]) for name in updates[0]},
        np.array([result.num_examples for result in results]),
        np.array([result.steps for result in results]),
        np.array([result.data_losses for result in results], dtype=np.float64).reshape(len(results), -1),
    )


def _merged(project: Project, state: ServerState, clients: Sequence[ClientId], found: _Stacked) -> Weights:
    """Return what the algorithm makes of the host's clients alone. Nobody else computes it."""
    rules = replace(project.rules(1), robust=MEAN)  # a host does not suspect its own clients
    source = MemorySource(found.update)
    updates = [
        Update(client, Row(source, row), int(found.examples[row])) for row, client in enumerate(clients)
    ]
    return project.strategy.aggregate(state, updates, rules).weights


def _told(on_step: OnStep | None) -> Callable[[int, int, float], None]:
    """Let a batch's progress appear as that of any training: clients done, of all."""

    def tell(done: int, total: int, loss: float) -> None:
        if on_step is not None:
            on_step(done, total, torch.tensor(loss))

    return tell
