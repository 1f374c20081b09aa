"""Hosts: each simulated client trains by itself; the merge takes a host's update apart and distrusts it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.rounds.project import World, build_world, to_bytes

from foedus.core.canonical import derive_seed
from foedus.core.ids import ClientId
from foedus.learn.strategy import Turn
from foedus.learn.training import TrainSettings
from foedus.learn.weights import EXAMPLES, Weights
from foedus.rounds.documents import UpdateEntry
from foedus.rounds.tasks.hosted import host_turn, train_hosted
from foedus.rounds.tasks.merging import Merged, Place, merge
from foedus.store import cid_of

HOST = ClientId("host-1")
CLIENTS = tuple(ClientId(f"client-{number}") for number in range(1, 5))
SETTINGS = TrainSettings(1, 8, 0.1)
Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Eight simulated clients of two hosts."""
    return build_world(
        tmp_path_factory.mktemp("crowd"),
        partition={"kind": "iid", "clients": 8},
        jobs={"launcher": "batched", "hosts": 2, "batch": "serial"},
    )


def dataset(world: World) -> str:
    return str(world.folder / "data" / "host-1.safetensors")


def trained(world: World) -> Weights:
    state = world.project.state(world.version0)
    turn = host_turn(world.project, HOST, dataset(world), 1, 1, None)
    return train_hosted(world.project, state, SETTINGS, turn).handed_over


def merged(world: World, *updates: Tensors, claims: tuple[int, ...] = ()) -> Merged:
    counts = claims or tuple(int(update[EXAMPLES].sum()) for update in updates)
    entries = [
        UpdateEntry(client=f"host-{n}", cid=world.put(to_bytes(update)), num_examples=count, reward=0)
        for n, (update, count) in enumerate(zip(updates, counts, strict=True), 1)
    ]
    return merge(world.project, world.version0, Place(1, 1, 1), entries)


def rows(world: World, shift: float = 0.01) -> Tensors:
    """An update of four clients, the k-th moved by (k + 1) times `shift`."""
    steps = np.arange(1, 5, dtype=np.float32)
    moved = {n: np.stack([t + np.float32(shift) * k for k in steps]) for n, t in world.initial.items()}
    return {**moved, EXAMPLES: np.array([10, 20, 30, 40])}


def test_every_client_has_the_update_that_it_would_have_alone(crowd: World) -> None:
    project, update = crowd.project, trained(crowd)
    examples = project.private_by_client(dataset(crowd))
    assert update[EXAMPLES].tolist() == [len(own) for own in examples]
    for row, (client, own) in enumerate(zip(CLIENTS, examples, strict=True)):
        seed = derive_seed(project.terms_cid, project.terms.seed, 1, client) + 1
        alone = project.strategy.train(
            project.model, project.state(crowd.version0), own, SETTINGS, Turn(client, seed)
        )
        for name, tensor in alone.weights.items():
            assert update[name][row].tobytes() == tensor.tobytes()


def test_what_the_gate_scores_is_what_the_algorithm_makes_of_the_hosts_clients(crowd: World) -> None:
    state = crowd.project.state(crowd.version0)
    turn = host_turn(crowd.project, HOST, dataset(crowd), 1, 1, None)
    result = train_hosted(crowd.project, state, SETTINGS, turn)
    shares = result.handed_over[EXAMPLES] / result.handed_over[EXAMPLES].sum()
    for name, tensor in result.weights.items():
        mean = np.tensordot(shares, result.handed_over[name].astype(np.float64), axes=1)
        np.testing.assert_allclose(tensor, mean, rtol=1e-6, atol=1e-8)


def test_a_stack_is_merged_like_its_rows(crowd: World) -> None:
    """As if the eight clients had registered by themselves: the weighted mean of all rows."""
    one, other = rows(crowd), rows(crowd, -0.02)
    found = merged(crowd, one, other)
    assert not found.manifest.refused
    weights = np.concatenate([one[EXAMPLES], other[EXAMPLES]]).astype(np.float64)
    weights = np.minimum(weights, 3 * np.median(weights))
    for name, tensor in found.state.weights.items():
        stacked = np.concatenate([one[name], other[name]]).astype(np.float64)
        expected = np.tensordot(weights / weights.sum(), stacked, axes=1)
        np.testing.assert_allclose(tensor, expected, rtol=1e-6, atol=1e-8)


def nan_in_the_second(update: Tensors) -> None:
    update["1.weight"][1, 0, 0] = np.nan


def no_examples_in_the_third(update: Tensors) -> None:
    update[EXAMPLES][2] = 0


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (nan_in_the_second, {"client-2": "nonfinite"}),
        (no_examples_in_the_third, {"client-3": "samples"}),
    ],
)
def test_one_bad_client_of_a_host_is_refused_alone(
    crowd: World, change: Callable[[Tensors], None], refused: dict[str, str]
) -> None:
    update = rows(crowd)
    change(update)
    found = merged(crowd, update)
    assert dict(found.manifest.refused) == refused
    assert [used.client for used in found.manifest.updates] == [HOST]


def one_row_less(update: Tensors) -> None:
    for name in list(update):
        update[name] = update[name][:3]


def negative(update: Tensors) -> None:
    update[EXAMPLES][:] = [-10, 40, 30, 40]


def without_counts(update: Tensors) -> None:
    del update[EXAMPLES]


@pytest.mark.parametrize(
    ("change", "claim", "code"),
    [
        (one_row_less, 60, "shape"),
        (negative, 100, "samples"),
        (lambda update: None, 101, "samples"),
        (without_counts, 100, "keys"),
    ],
)
def test_a_broken_stack_is_refused_as_a_whole(
    crowd: World, change: Callable[[Tensors], None], claim: int, code: str
) -> None:
    update = rows(crowd)
    change(update)
    found = merged(crowd, update, rows(crowd, -0.01), claims=(claim, 100))
    assert dict(found.manifest.refused) == {"host-1": code}
    assert [used.client for used in found.manifest.updates] == ["host-2"]


def test_a_stranger_among_the_hosts_has_no_clients(crowd: World) -> None:
    entry = UpdateEntry(client="host-9", cid=crowd.put(to_bytes(rows(crowd))), num_examples=100, reward=0)
    found = merge(crowd.project, crowd.version0, Place(1, 1, 1), [entry])
    assert dict(found.manifest.refused) == {"host-9": "keys"}


def test_a_missing_stack_is_refused_as_missing(crowd: World) -> None:
    entry = UpdateEntry(client="host-1", cid=cid_of(b"nowhere"), num_examples=100, reward=0)
    found = merge(crowd.project, crowd.version0, Place(1, 1, 1), [entry])
    assert dict(found.manifest.refused) == {"host-1": "missing"}


def test_a_host_without_a_drawn_client_hands_over_nothing(tmp_path: Path) -> None:
    world = build_world(
        tmp_path,
        partition={"kind": "iid", "clients": 8},
        jobs={"launcher": "batched", "hosts": 8, "batch": "serial"},
        policy={"fraction": 0.125},
    )
    hosts = list(world.project.hosted)
    drawn = [host for host in hosts if world.project.drawn_of(host, 1)]
    assert len(drawn) == 1
    idle = next(host for host in hosts if host not in drawn)
    path = str(world.folder / "data" / f"{idle}.safetensors")
    turn = host_turn(world.project, idle, path, 1, 1, None)
    result = train_hosted(world.project, world.project.state(world.version0), SETTINGS, turn)
    assert (result.num_examples, result.handed_over) == (0, {})
