"""A worker that is killed again and again loses nothing and repeats nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.server.conftest import ENGINES
from tests.server.federation import federation

from foedus.rounds.verify import verify_run
from foedus.server.db import ChainAnswer, ChainRun, ChainVote, Metric, Run, Worker
from foedus.server.index.follow import open_chain, rebuild
from foedus.server.platform import Platform

pytestmark = pytest.mark.slow
ROUNDS, KILLS, LIMIT_S = 10, 4, 240.0


@pytest.fixture
def home(platform: Platform, tmp_path: Path) -> Path:
    federation(platform, tmp_path, rounds=ROUNDS)
    return platform.home.root


def test_killed_workers_lose_and_repeat_nothing(platform: Platform, home: Path) -> None:
    moments = random.Random(7)
    process = _started(home)
    for _ in range(KILLS):
        _sleep_while_running(platform, process, moments.uniform(0.5, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process = _started(home)
    deadline = time.monotonic() + LIMIT_S
    while not _is_over(platform) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.terminate()
    assert process.wait(30) == 0
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, run.cause, run.version) == ("completed", "", ROUNDS)
        losses = db.scalars(select(Metric).where(Metric.name == "loss")).all()
        assert len(losses) == 2 * ROUNDS, "of some rounds nothing was told"
        states = set(db.scalars(select(Worker.state)))
        assert states <= {"working", "standby", "stopped"}
    rebuild(platform)
    with platform.reading() as db:
        assert len(db.scalars(select(ChainRun)).all()) == 1
        assert len(db.scalars(select(ChainAnswer)).all()) == 2 * ROUNDS
        assert len(db.scalars(select(ChainVote)).all()) == 2 * ROUNDS
    with open_chain(platform) as reader:
        sent = Counter(
            (event.name, event.args["round"], event.args.get("client", event.args.get("voter")))
            for event in reader.events()
            if event.name in ("Registered", "Voted")
        )
    assert set(sent.values()) == {1}
    assert verify_run(platform.home, run.name).version == ROUNDS


@pytest.mark.parametrize("database_kind", ENGINES)
def test_a_second_worker_stands_by_and_takes_over(platform: Platform, home: Path) -> None:
    first = _started(home)
    _wait_for_state(platform, "working", 1)
    second = _started(home)
    _wait_for_state(platform, "standby", 1)
    with platform.reading() as db:
        said = db.scalars(select(Worker.doing).where(Worker.state == "standby")).one()
    assert said.startswith(f"process {first.pid} is working")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    deadline = time.monotonic() + LIMIT_S
    while not _is_over(platform) and time.monotonic() < deadline:
        time.sleep(0.2)
    second.terminate()
    assert second.wait(30) == 0
    assert _is_over(platform)


def _started(home: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "foedus.client.cli", "worker", "--home", str(home)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


def _is_over(platform: Platform) -> bool:
    with platform.reading() as db:
        return db.scalars(select(Run)).one().is_over


def _sleep_while_running(platform: Platform, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until the worker works, and then for so long."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with platform.reading() as db:
            names = db.scalars(select(Worker.name).where(Worker.state == "working")).all()
        if any(f"-{process.pid}-" in name for name in names):
            break
        time.sleep(0.05)
    time.sleep(seconds)


def _wait_for_state(platform: Platform, state: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with platform.reading() as db:
            if len(db.scalars(select(Worker).where(Worker.state == state)).all()) >= count:
                return
        time.sleep(0.05)
    raise AssertionError(f"no worker is {state}")
