"""Every benchmark runs, in its smallest size. What it measures there means nothing and is not looked at."""

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.machine import Watch
from benchmarks.plain import Config
from benchmarks.programs import ONE_THREAD, Program
from benchmarks.result import CannotRun, Line, Options, at_least, at_most
from tests.shared import missing

from benchmarks import __main__ as program

SMALL = {  # benchmark: the lines with a target that it must give
    "aggregation": 2,
    "clients": 4,
    "crowd": 1,
    "endurance": 2,
    "ledger": 4,
    "matching": 4,
    "platform": 7,
    "robust": 14,
    "startup": 3,
    "store": 3,
}


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(quick=True, rounds=3, scratch=tmp_path, say=lambda text: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_gives_a_figure_for_each_of_its_targets(name: str, options: Options) -> None:
    lines = importlib.import_module(f"benchmarks.{name}").run(options)
    assert sum(line.target is not None for line in lines) == SMALL[name]
    assert all(line.value is not None and math.isfinite(line.value) for line in lines)
    assert len({line.what for line in lines}) == len(lines)


@pytest.mark.slow
def test_the_federation_is_compared_with_the_plain_program(options: Options) -> None:
    if (folder := program.mnist_folder()) is None:
        missing("a folder of MNIST idx files (set FOEDUS_SHARED)")
    lines = importlib.import_module("benchmarks.federation").run(replace(options, mnist=folder))
    assert [line.unit for line in lines if line.target] == ["×"]


@pytest.mark.slow
def test_nano_tells_how_long_each_kind_of_task_took(options: Options) -> None:
    lines = importlib.import_module("benchmarks.nano").run(options)
    assert sum(line.target is not None for line in lines) == 2
    found = {line.what for line in lines}
    assert {f"nano: slowest {kind} task" for kind in ("train", "aggregate", "verify")} <= found


def test_without_mnist_the_federation_says_so(options: Options) -> None:
    with pytest.raises(CannotRun, match="FOEDUS_SHARED"):
        importlib.import_module("benchmarks.federation").run(options)


@pytest.mark.slow
def test_the_plain_program_learns(tmp_path: Path) -> None:
    if (folder := program.mnist_folder()) is None:
        missing("a folder of MNIST idx files (set FOEDUS_SHARED)")
    config = Config(1, 2, 640, 60, 60, 200, str(folder), batch_size=16, learning_rate=0.05)
    with Program("benchmarks.plain", json.dumps(config.__dict__), environ=ONE_THREAD) as plain:
        assert plain.next_line()["accuracy"] > 0.5


def test_a_program_that_dies_says_why() -> None:
    with Program("benchmarks.nothing") as broken, pytest.raises(CannotRun, match="No module named"):
        broken.next_line()


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (Line("a", 1.0, "s", at_most(1.0)), "met"),
        (Line("a", 1.1, "s", at_most(1.0)), "missed"),
        (Line("a", 1.0, "s", at_least(1.1)), "missed"),
        (Line("a", 1.0, "s"), "information"),
        (Line("a", None, "s", at_least(1.1)), "not measured"),
    ],
)
def test_a_line_says_whether_its_target_is_met(line: Line, verdict: str) -> None:
    assert line.verdict == verdict


def test_a_benchmark_that_cannot_run_makes_the_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOEDUS_SHARED", str(tmp_path))
    target = tmp_path / "figures.json"
    assert program.main(["--quick", "--only", "federation", "--json", str(target)]) == 1
    (benchmark,) = json.loads(target.read_text())["benchmarks"]
    assert "MNIST" in benchmark["problem"]
    assert "could not run" in capsys.readouterr().out


def test_a_missed_target_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Line("speed", 2.0, "s", at_most(1.0))
    monkeypatch.setattr("benchmarks.store.run", lambda options: [missed])
    target = tmp_path / "figures.json"
    assert program.main(["--only", "store", "--json", str(target)]) == 0
    (benchmark,) = json.loads(target.read_text())["benchmarks"]
    assert benchmark["lines"][0]["verdict"] == "missed"


def test_the_watch_does_not_count_our_own_work() -> None:
    assert Watch.begin().cores_of_others() >= 0
