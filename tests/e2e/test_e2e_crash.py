"""Kill -9 of everything at random moments: the run comes to the very same model, nothing happens twice."""

import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.runs import finish, new_run, start

from foedus.chain import ChainReader
from foedus.core.records import Phase
from foedus.rounds.home import Home
from foedus.rounds.verify import verify_run

KILLS = 20
ROUNDS = 10


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    undisturbed, disturbed = Home(tmp_path / "undisturbed"), Home(tmp_path / "disturbed")
    expected = finish(undisturbed, new_run(undisturbed, ROUNDS))
    run = new_run(disturbed, ROUNDS)
    luck = random.Random(7)
    kills = 0
    while kills < KILLS:
        process = start(disturbed, run)
        try:
            process.wait(timeout=luck.uniform(0.5, 4.5))  # it starts within two seconds or so
        except subprocess.TimeoutExpired:
            kill_group(process)
            kills += 1
            continue
        process.communicate()
        assert process.returncode == 0
        run = restart_when_done(disturbed, expected, run)
    assert finish(disturbed, run) == expected
    require_single_effects(disturbed)
    verify_run(disturbed, run)


OPEN = {"beta": -1.0, "epsilon": 1.0, "floor_ratio": 0.0}


def kill_when(process: subprocess.Popen[str], folder: Path) -> None:
    """Kill a run as soon as it makes the job folder of a certain exchange."""
    while not folder.exists():
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the run ended before it came to {folder.name}: {process.communicate()[1]}")
    assert process.poll() is None
    kill_group(process)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scaffold", "fedheal"])
def test_kills_leave_no_trace_in_what_an_algorithm_remembers(tmp_path: Path, name: str) -> None:
    sections = {"algorithm": {"name": name}, "policy": OPEN}
    undisturbed, disturbed = Home(tmp_path / "undisturbed"), Home(tmp_path / "disturbed")
    expected = finish(undisturbed, new_run(undisturbed, 3, **sections))
    run = new_run(disturbed, 3, **sections)
    for seconds in (1.8, 2.3, 2.8, 3.3):  # it starts within two seconds or so
        process = start(disturbed, run)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
        else:
            process.communicate()
    assert finish(disturbed, run) == expected
    require_single_effects(disturbed)
    verify_run(disturbed, run)


@pytest.mark.slow
def test_kills_between_the_exchanges_of_a_round_leave_no_trace(tmp_path: Path) -> None:
    """The clients of FedMA hold half-matched models then, and train on from what they kept of the last."""
    sections = {"algorithm": {"name": "fedma"}, "policy": OPEN}
    undisturbed, disturbed = Home(tmp_path / "undisturbed"), Home(tmp_path / "disturbed")
    expected = finish(undisturbed, new_run(undisturbed, 3, **sections))
    run = new_run(disturbed, 3, **sections)
    jobs = disturbed.runs / run / "jobs"
    for exchange in ("r00001.2", "r00001.3", "r00002.2", "r00002.3"):
        kill_when(start(disturbed, run), jobs / exchange)
        assert not (jobs / "r00003.1").exists()
    assert finish(disturbed, run) == expected
    require_single_effects(disturbed)
    verify_run(disturbed, run)


def restart_when_done(home: Home, expected: str, run: str) -> str:
    """The run ended before all kills were spent: check it, and go on with a further one."""
    assert finish(home, run) == expected
    return new_run(home, ROUNDS)


def require_single_effects(home: Home) -> None:
    reader = ChainReader.open(home.chain)
    events = list(reader.events())
    reader.close()
    for name, who in (("Registered", "client"), ("Voted", "voter"), ("RewardPaid", "client")):
        keys = ("run", "round", "step", who)
        found = Counter(tuple(e.args.get(key) for key in keys) for e in events if e.name == name)
        assert found
        assert max(found.values()) == 1
    finals = Counter((e.args["run"], e.args["round"]) for e in events if e.name == "Finalized")
    assert max(finals.values()) == 1
    assert any(e.args["outcome"] == Phase.ACCEPTED for e in events if e.name == "Finalized")
