"""Every algorithm goes through real rounds, with chain, store and votes, and is verified afterwards."""

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.runs import new_run

from foedus.client.status import chain_events, run_status
from foedus.core.errors import TaskFailed
from foedus.core.records import Phase
from foedus.learn.algorithms import describe
from foedus.rounds.documents import StateDocument, fetch
from foedus.rounds.home import Home
from foedus.rounds.progress import Progress
from foedus.rounds.runs import drive_run
from foedus.rounds.verify import verify_run
from foedus.store import DirectoryStore, get_manifest, lineage

NORMALISED = {"model": {"name": "cnn-bn"}}


def driven(home: Home, rounds: int = 5, **sections: Any) -> str:  # noqa: ANN401 - sections of a spec
    run = new_run(home, rounds, **sections)
    drive_run(home, run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", [info.name for info in describe()])
def test_five_rounds_end_to_end(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path)
    run = driven(home, algorithm={"name": name}, policy={"beta": -1.0, "epsilon": 1.0, "floor_ratio": 0.0})
    status = run_status(home, run)
    assert [one.outcome for one in status.history] == ["accepted"] * 5
    assert status.version == 5
    found = verify_run(home, run)
    assert (found.version, found.rounds) == (5, 5)
    versions = [manifest.version for _, manifest in lineage(DirectoryStore(home.store), found.current)]
    assert versions == [5, 4, 3, 2, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("buffers", ["average", "pooled", "local"])
def test_batch_normalisation_goes_through_rounds(tmp_path: Path, buffers: str) -> None:
    home = Home(tmp_path)
    policy = {"beta": -1.0, "epsilon": 1.0, "floor_ratio": 0.0, "buffers": buffers}
    run = driven(home, 2, **NORMALISED, policy=policy)
    assert verify_run(home, run).version == 2
    store = DirectoryStore(home.store)
    versions = [manifest for _, manifest in lineage(store, verify_run(home, run).current)]
    last = store.get(versions[0].updates[0].cid)
    assert (b"running_mean" in last) == (buffers != "local")


@pytest.mark.slow
@pytest.mark.parametrize(
    "robust",
    [
        {"rule": "median"},
        {"rule": "trimmed-mean", "byzantine": 1},
        {"rule": "geometric-median", "byzantine": 1, "clip": 2.0, "mix": True},
        {"rule": "centred-clipping", "byzantine": 1},
        {"rule": "multi-krum", "byzantine": 1},
    ],
    ids=lambda robust: robust["rule"],
)
def test_robust_rules_go_through_rounds(tmp_path: Path, robust: dict[str, Any]) -> None:
    home = Home(tmp_path)
    policy = {"beta": -1.0, "epsilon": 1.0}
    run = driven(
        home,
        2,
        robust=robust,
        policy=policy,
        partition={"kind": "iid", "clients": 5},
        algorithm={"name": "fedavg"},
    )
    assert verify_run(home, run).version == 2


@pytest.mark.slow
def test_too_few_clients_for_a_robust_rule_are_refused_before_the_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(TaskFailed, match="krum"):
        driven(home, 1, robust={"rule": "krum", "byzantine": 1})


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["serial", "vmap"])
def test_hosts_simulate_many_clients(tmp_path: Path, batch: str) -> None:
    home = Home(tmp_path)
    run = driven(
        home,
        2,
        data={"images": 900, "test": 60, "shared": 60, "source": "small"},
        partition={"kind": "iid", "clients": 30},
        jobs={"launcher": "batched", "hosts": 2, "batch": batch},
        policy={"beta": -1.0, "epsilon": 1.0, "fraction": 0.5},
    )
    status = run_status(home, run)
    assert status.clients == ("host-1", "host-2")
    found = verify_run(home, run)
    assert found.version == 2
    assert found.updates == 4  # two objects a round stand for fifteen clients


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["damaged", "gone"])
def test_who_lost_its_own_tensors_abstains_and_stops_nobody(tmp_path: Path, fault: str) -> None:
    home = Home(tmp_path)
    policy = {"beta": -1.0, "epsilon": 1.0, "floor_ratio": 0.0, "buffers": "local"}
    clients = {"kind": "iid", "clients": 4}  # three of four answers are a quorum
    run = new_run(home, 2, **NORMALISED, policy=policy, partition=clients)

    def sabotage(progress: Progress) -> None:
        if progress.what == "round-ended" and progress.round == 1:
            memory = home.runs / run / "jobs" / "r00001.1" / "client-2.train" / "memory.safetensors"
            memory.write_bytes(memory.read_bytes()[:-8]) if fault == "damaged" else memory.unlink()

    drive_run(home, run, sabotage)
    second = run_status(home, run).history[1]
    assert second.outcome == "accepted"
    assert "client-2" in second.declined
    assert second.votes == {"yes": 3, "no": 0, "abstain": 1}
    assert verify_run(home, run).version == 2


@pytest.mark.slow
def test_fedma_simulates_clients_in_whole_model_exchanges(tmp_path: Path) -> None:
    """A host's gate scores the matched model: a plain mean of its clients' nets would fail at once."""
    home = Home(tmp_path)
    run = driven(
        home,
        3,
        data={"images": 1500, "test": 60, "shared": 60, "source": "small"},
        partition={"kind": "iid", "clients": 6},
        algorithm={"name": "fedma", "params": {"exchange": "model"}},
        training={"learning_rate": 0.1, "batch_size": 16, "epochs": 3},
        jobs={"launcher": "batched", "hosts": 2, "batch": "serial"},
        policy={"beta": -0.2, "epsilon": 0.2, "floor_ratio": 0.1},
    )
    assert [one.outcome for one in run_status(home, run).history] == ["accepted"] * 3


@pytest.mark.slow
def test_rounds_with_a_drawn_share_of_the_clients(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run = driven(
        home,
        3,
        partition={"kind": "iid", "clients": 6},
        policy={"beta": -1.0, "epsilon": 1.0, "fraction": 0.34},
    )
    assert [len(one.local_f1) for one in run_status(home, run).history] == [2, 2, 2]
    assert verify_run(home, run).votes == 18


@pytest.mark.slow
def test_a_rejected_ballot_leaves_version_and_state(tmp_path: Path) -> None:
    """A server step that ruins the model is voted down; the next round starts from the very same state."""
    home = Home(tmp_path)
    run = driven(
        home,
        2,
        algorithm={"name": "fedadam", "params": {"server_lr": 100.0}},
        policy={"beta": -1.0, "epsilon": 0.0},
        training={"learning_rate": 0.1, "batch_size": 16, "epochs": 2},
    )
    events = [event for event in chain_events(home) if event.name in ("RoundOpened", "Finalized")]
    outcomes = [int(e.args["outcome"]) for e in events if e.name == "Finalized"]
    assert outcomes == [Phase.REJECTED, Phase.ACCEPTED]
    assert len({e.args["base"] for e in events if e.name == "RoundOpened"}) == 1
    found = verify_run(home, run)
    store = DirectoryStore(home.store)
    manifest = get_manifest(store, found.current)
    assert manifest.version == 1
    assert manifest.state is not None
    assert fetch(store, manifest.state, StateDocument).counters == {"t": 1}  # not a second step
