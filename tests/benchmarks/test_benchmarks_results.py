"""Every result runs, in its smallest size; and the federation in memory keeps the laws of a real one."""

import csv
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.result import CannotRun, Line, Options, at_least
from benchmarks.results import __main__ as results
from benchmarks.results.report import Result, tables, write
from benchmarks.results.simulation import Clients, Federation, Setting
from tests.shared import missing
from torch import nn

from benchmarks import __main__ as program
from foedus.core.canonical import derive_seed
from foedus.core.ids import ClientId
from foedus.learn import attacks
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import Examples
from foedus.learn.robust import RobustRule
from foedus.learn.state import load_weights, weights_of
from foedus.learn.training import TrainSettings, local_sgd

TRAINING = TrainSettings(1, 4, 0.1)


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def clients(count: int, examples: int = 9) -> Clients:
    random = torch.Generator().manual_seed(2)
    return {
        ClientId(f"c{number:02}"): Examples(
            torch.randn(examples, 4, generator=random), torch.randint(0, 3, (examples,), generator=random)
        )
        for number in range(count)
    }


def last_weights(name: str, setting: Setting, rounds: int = 3, count: int = 5, **params: float) -> dict:
    federation = Federation(model(), get_strategy(name, params), clients(count), setting)
    *_, last = federation.rounds(rounds)
    return dict(last.state.weights)


def same(first: dict, second: dict) -> bool:
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("name", results.NAMES)
def test_every_result_runs(name: str) -> None:
    folder = program.mnist_folder()
    if folder is None and name != "prox_synthetic":
        missing("a folder of MNIST idx files (set FOEDUS_SHARED)")
    experiment = importlib.import_module(f"benchmarks.results.{name}").run
    result = experiment(Options(quick=True, mnist=folder, say=lambda text: None))
    assert result.name == name
    assert result.targets
    assert all(line.target is not None and line.value is not None for line in result.targets)
    assert len({tuple(row) for row in result.rows}) == 1
    json.dumps(result.to_json(), allow_nan=False)
    assert tables(result)


@pytest.mark.slow
def test_the_command_writes_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "prox_synthetic",
        "--quick",
        "--json",
        str(tmp_path / "one.json"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert results.main(arguments) == 0
    shown = capsys.readouterr().out
    written = json.loads((tmp_path / "one.json").read_text())
    assert written == json.loads((tmp_path / "out/prox_synthetic.json").read_text())
    assert written["title"] in shown
    assert written["machine"]["cores"]
    with (tmp_path / "out/prox_synthetic.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(written["rows"])
    assert (tmp_path / "out/prox_synthetic.png").read_bytes()[1:4] == b"PNG"


def test_without_mnist_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOEDUS_SHARED", str(tmp_path))
    assert results.main(["mcmahan"]) == 1
    assert "FOEDUS_SHARED" in capsys.readouterr().out


def test_usps_cannot_be_had_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fedheal = importlib.import_module("benchmarks.results.fedheal")
    monkeypatch.setenv("FOEDUS_SHARED", str(tmp_path))
    with pytest.raises(CannotRun, match=r"usps\.h5|h5py"):
        fedheal.usps(Options())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CannotRun, match="pip install h5py"):
        fedheal.usps(Options())


def test_a_missed_target_is_shown_as_missed(tmp_path: Path) -> None:
    missed = Line("accuracy", 0.5, "", at_least(0.9))
    result = Result("x", "X", "some", {"seed": "1"}, [{"what": "a", "value": 0.5}], [missed])
    write(result, {"cores": 2}, tmp_path)
    assert json.loads((tmp_path / "x.json").read_text())["targets"][0]["verdict"] == "missed"
    assert not (tmp_path / "x.png").exists()


# --- the federation in memory ---


def test_a_round_of_everybody_is_local_sgd_and_a_weighted_mean() -> None:
    one, start, found = clients(2), weights_of(model()), []
    federation = Federation(model(), get_strategy("fedavg"), one, Setting(3, TRAINING))
    federation.round()
    for client, data in one.items():
        local = model()
        load_weights(local, start)
        found.append(local_sgd(local, data, TRAINING, derive_seed(3, 1, client) + 1).weights)
    for name, values in federation.state.weights.items():
        np.testing.assert_allclose(values, (found[0][name] + found[1][name]) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", ["fedavg", "fedsgd", "fedadam", "scaffold", "fednova", "fedheal"])
def test_a_federation_repeats_to_the_byte(name: str) -> None:
    setting = Setting(4, TRAINING, fraction=0.5)
    assert same(last_weights(name, setting), last_weights(name, setting))
    assert not same(last_weights(name, setting), last_weights(name, Setting(5, TRAINING, fraction=0.5)))


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 1), (0.29, 29), (0.1, 10), (1.0, 100)])
def test_as_many_clients_are_drawn_as_mcmahan_draws(fraction: float, count: int) -> None:
    federation = Federation(model(), get_strategy("fedavg"), clients(100, 1), Setting(1, TRAINING, fraction))
    drawn = [federation.round().clients for _ in range(2)]
    assert [len(set(one)) for one in drawn] == [count, count]
    assert (drawn[0] == drawn[1]) == (count == 100)


def test_stragglers_work_less_or_are_left_out() -> None:
    def epochs_of(number: int, drawn: Sequence[ClientId]) -> dict[ClientId, int]:
        return {client: 1 if client == "c00" else 2 for client in drawn}

    full = TrainSettings(2, 4, 0.1)
    kept = last_weights("fedavg", Setting(1, full, epochs_of=epochs_of), 1)
    dropped = Federation(
        model(),
        get_strategy("fedavg"),
        clients(5),
        Setting(1, full, epochs_of=epochs_of, drops_stragglers=True),
    )
    assert dropped.round().clients == ["c01", "c02", "c03", "c04"]
    assert not same(kept, last_weights("fedavg", Setting(1, full), 1))
    assert not same(kept, dict(dropped.state.weights))


def test_hostile_updates_are_merged_or_refused() -> None:
    """One who multiplies its update rules the mean, but not the median; NaN is refused."""
    honest = last_weights("fedavg", Setting(1, TRAINING), 1)
    boosted = {ClientId("c00"): lambda own, honest, server: attacks.boost(own, server, 1000)}
    ruled = last_weights("fedavg", Setting(1, TRAINING, hostile=boosted), 1)
    rule = RobustRule("median", byzantine=1)
    robust = last_weights("fedavg", Setting(1, TRAINING, hostile=boosted, robust=rule), 1)
    assert max(np.abs(ruled[name] - honest[name]).max() for name in honest) > 1
    assert max(np.abs(robust[name] - honest[name]).max() for name in honest) < 0.5
    nobody = {ClientId("c00"): lambda own, honest, server: attacks.nan(own)}
    federation = Federation(model(), get_strategy("fedavg"), clients(5), Setting(1, TRAINING, hostile=nobody))
    assert federation.round().refused == ["c00"]


def test_without_a_robust_centre_nothing_moves() -> None:
    setting = Setting(1, TRAINING, robust=RobustRule("median", byzantine=1))
    federation = Federation(model(), get_strategy("fedavg"), clients(2), setting)
    done = federation.round()
    assert done.refused == ["c00", "c01"]
    assert same(dict(done.state.weights), dict(weights_of(model())))


@pytest.mark.slow
def test_rounds_of_several_exchanges_keep_what_clients_remember() -> None:
    strategy = get_strategy("fedma", {"retrain_epochs": 1})
    torch.manual_seed(1)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    federation = Federation(chain, strategy, clients(3), Setting(1, TRAINING))
    done = list(federation.rounds(2))
    assert not any(one.refused for one in done)
    assert done[-1].state.weights["1.weight"].shape == (5, 4)
