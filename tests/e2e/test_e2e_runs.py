"""Whole runs: the same model whatever serves them, and rounds that go on when clients cannot."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.runs import new_run

from foedus.core.errors import FoedusError, InvalidData
from foedus.core.ids import Cid
from foedus.rounds.backend import local_launcher, local_resources
from foedus.rounds.home import Home
from foedus.rounds.progress import Progress
from foedus.rounds.runs import drive_run, load_run_spec
from foedus.rounds.setup import prepare


def drive(path: Path, rounds: int = 2, **sections: object) -> tuple[list[Progress], Cid]:
    home, seen = Home(path), list[Progress]()
    return seen, drive_run(home, new_run(home, rounds, **sections), seen.append).current


def told(seen: list[Progress], what: str) -> list[object]:
    return [progress.values for progress in seen if progress.what == what]


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_model(tmp_path: Path) -> None:
    found = {drive(tmp_path / str(workers), jobs={"workers": workers})[1] for workers in (1, 3)}
    assert len(found) == 1


@pytest.mark.slow
def test_a_second_run_in_the_same_home_gives_the_same_model(tmp_path: Path) -> None:
    assert drive(tmp_path)[1] == drive(tmp_path)[1]


@pytest.mark.slow
def test_rounds_in_which_everybody_diverges_are_empty(tmp_path: Path) -> None:
    seen, _ = drive(
        tmp_path, training={"learning_rate": 100.0, "momentum": 0.99, "weight_decay": 1e30, "epochs": 3}
    )
    assert [values["outcome"] for values in told(seen, "round-ended")] == ["empty", "empty"]  # type: ignore[index]
    assert len(told(seen, "declined")) == 6
    assert all("diverged" in str(values) for values in told(seen, "task-failed"))


@pytest.mark.slow
def test_a_threshold_below_all_clients_ends_rounds_early(tmp_path: Path) -> None:
    seen, _ = drive(tmp_path, policy={"threshold": 2, "beta": -1.0, "epsilon": 1.0})
    assert len(told(seen, "registered")) >= 4
    assert [values["outcome"] for values in told(seen, "round-ended")] == ["accepted", "accepted"]  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"partition": {"kind": "shards", "clients": 300}}, "client-"),
        (
            {"partition": {"kind": "labels", "clients": 3, "args": {"sets": [[0], [1], []]}}},
            "labels of a client",
        ),
        ({"data": {"images": 100, "test": 60, "shared": 30, "source": "small"}}, "too few to train on"),
        ({"data": {"source": "folder", "folder": "/nowhere"}}, "/nowhere"),
        ({"model": {"name": "cnm"}}, "cnn"),
        ({"model": {"name": "2nn", "init": "zeros"}}, "gradient"),
        ({"algorithm": {"name": "fedprox", "params": {"nu": 1.0}}}, "mu"),
    ],
)
def test_what_cannot_be_prepared_says_why_and_leaves_the_chain_alone(
    tmp_path: Path, sections: dict[str, object], message: str
) -> None:
    with pytest.raises(FoedusError, match=message):
        drive(tmp_path, **sections)


@pytest.mark.slow
def test_a_name_is_never_given_twice(tmp_path: Path) -> None:
    home = Home(tmp_path)
    drive(tmp_path)
    shutil.rmtree(home.runs / "tiny-1")
    assert new_run(home, 1) == "tiny-2"


@pytest.mark.slow
def test_a_damaged_file_of_the_prepare_task_is_not_published(tmp_path: Path) -> None:
    home = Home(tmp_path)
    name = new_run(home, 1)
    spec, folder = load_run_spec(home, name), home.run_folder(name)
    with local_launcher(spec, tmp_path) as launcher:
        prepare(spec, folder, launcher, partial(local_resources, spec), home.data)
    (folder / "jobs" / "prepare" / "initial.safetensors").write_bytes(b"")
    with pytest.raises(InvalidData, match=r"initial.safetensors is not what"):
        drive_run(home, name)
    shutil.rmtree(folder / "jobs" / "prepare")
    assert drive_run(home, name).version == 1
