"""A train task that is warned or killed goes on in its next attempt, and its result is that of any other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tests.rounds.fakes import BASE, CLIENTS, NOW, TERMS, opening
from tests.rounds.project import World, build_world

from foedus.core.errors import FoedusError, Interrupted
from foedus.core.ids import ClientId, TxHash
from foedus.core.records import Event, TaskKind
from foedus.launch import JobFolder
from foedus.learn.training import OnStep
from foedus.rounds.documents import TrainOrder
from foedus.rounds.effects import Member, order_for
from foedus.rounds.tasks import run_task, train
from foedus.rounds.view import RunView

SCRIPT = Path(__file__).with_name("checkpoint_script.py")
NAME = "checkpoint.safetensors"
ALWAYS, NEVER = 1e-9, 1e9  # seconds between two checkpoints
LIMIT_S = 60.0
Act = Callable[[int], None]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A project whose training has momentum, weight decay, batch normalisation and a pull."""
    return build_world(
        tmp_path_factory.mktemp("trained"),
        model={"name": "cnn-bn"},
        data={"images": 150, "test": 10, "shared": 10, "source": "small"},
        training={"epochs": 2, "batch_size": 16, "momentum": 0.9, "weight_decay": 0.01},
        policy={"floor_ratio": 0.0},
    )


def order_of(world: World, client: str, checkpoint_s: float) -> TrainOrder:
    return TrainOrder(
        store=str(world.project.store.root),
        terms=world.project.terms_cid,
        base=world.version0,
        current=world.version0,
        client=client,
        round=1,
        step=1,
        dataset=str(world.folder / "data" / f"{client}.safetensors"),
        memory=None,
        checkpoint_s=checkpoint_s,
    )


def job(path: Path, world: World, client: str = "client-1", checkpoint_s: float = NEVER) -> Path:
    path.mkdir(parents=True)
    JobFolder(path).write_spec(order_of(world, client, checkpoint_s).to_json())
    return path


def attempt(path: Path, number: int) -> JobFolder:
    folder = JobFolder(path, f"attempt-{number:02}.00")
    folder.claim()
    return folder


def outcome(folder: JobFolder) -> tuple[object, ...]:
    """Everything in a result but the time it took."""
    values = dict(folder.read_result())
    values.pop("seconds")
    with folder.open_update() as file:
        return values, file.read()


@pytest.fixture(scope="module")
def expected(trained: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """What the undisturbed task gives."""
    path = job(tmp_path_factory.mktemp("undisturbed") / "job", trained)
    run_task(JobFolder(path))
    return outcome(JobFolder(path))


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Act], list[int]]]:
    """Have something done after each step; returns the list of steps that were made."""

    def install(act: Act) -> list[int]:
        made: list[int] = []

        def reporter(folder: JobFolder) -> OnStep:
            def report(done: int, total: int, loss: torch.Tensor) -> None:
                made.append(done)
                act(done)

            return report

        monkeypatch.setattr(train, "_reporter", reporter)
        return made

    before = signal.getsignal(signal.SIGUSR1)
    yield install
    assert signal.getsignal(signal.SIGUSR1) is before


def warn_at(step: int) -> Act:
    return lambda done: signal.raise_signal(signal.SIGUSR1) if done == step else None


# --- warned ---


def test_a_warned_task_goes_on_in_its_next_attempts_with_the_same_result(
    trained: World, tmp_path: Path, expected: tuple[object, ...], at_step: Callable[[Act], list[int]]
) -> None:
    path, total = job(tmp_path / "job", trained), int(expected[0]["steps"])
    done = 0
    for number, step in enumerate([2, 3, total], 1):
        made = at_step(warn_at(step))
        folder = attempt(path, number)
        with pytest.raises(Interrupted, match="next attempt goes on"):
            run_task(folder)
        assert made == list(range(done + 1, step + 1))
        done = step
        assert (folder.outputs / NAME).stat().st_mode & 0o777 == 0o600
        assert folder.read_result() is None
    folder, made = attempt(path, 4), at_step(lambda done: None)
    run_task(folder)
    assert made == []  # all steps were made
    folder.adopt(folder.outputs.name)
    assert outcome(JobFolder(path)) == expected
    assert [name for _, _, names in os.walk(path) for name in names if "checkpoint" in name] == []


def test_a_warning_after_the_training_changes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = train._write

    def warned(*arguments: object) -> object:
        signal.raise_signal(signal.SIGUSR1)
        return write(*arguments)

    monkeypatch.setattr(train, "_write", warned)
    path = job(tmp_path / "job", world)
    run_task(JobFolder(path))
    assert JobFolder(path).read_result() is not None


def test_without_warning_and_before_its_time_nothing_is_saved(
    world: World, tmp_path: Path, at_step: Callable[[Act], list[int]]
) -> None:
    folder = JobFolder(job(tmp_path / "job", world))
    at_step(lambda done: None if folder.open_checkpoint() is None else pytest.fail("there is a checkpoint"))
    run_task(folder)


def test_tasks_of_hosts_have_no_checkpoints(tmp_path: Path, at_step: Callable[[Act], list[int]]) -> None:
    crowd = build_world(
        tmp_path / "crowd",
        partition={"kind": "iid", "clients": 4},
        jobs={"launcher": "batched", "hosts": 2, "batch": "serial"},
    )
    before = signal.getsignal(signal.SIGUSR1)
    path = job(tmp_path / "job", crowd, "host-1", ALWAYS)

    def look(done: int) -> None:
        assert signal.getsignal(signal.SIGUSR1) is before
        assert not (path / NAME).exists()

    made = at_step(look)
    run_task(JobFolder(path))
    assert made


# --- killed ---


@pytest.mark.slow
def test_a_task_that_is_killed_twice_gives_the_same_result(
    trained: World, tmp_path: Path, expected: tuple[object, ...]
) -> None:
    path, total = job(tmp_path / "job", trained, checkpoint_s=ALWAYS), int(expected[0]["steps"])
    saved = 0
    for number, step in enumerate([2, total, 0], 1):
        folder = attempt(path, number)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(path), folder.outputs.name, str(step)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == (-signal.SIGKILL if step else 0), done.stderr
        made = [int(line.removeprefix("step ")) for line in done.stdout.splitlines() if "step " in line]
        assert made == list(range(saved + 1, (step or total) + 1))
        assert ("goes on from a checkpoint" in done.stdout) == (saved > 0)
        saved = step - 1  # it was killed before it saved that one
    folder.adopt(folder.outputs.name)
    assert outcome(JobFolder(path)) == expected


@pytest.mark.slow
def test_a_batch_job_that_is_told_to_end_ends_with_a_checkpoint(tmp_path: Path) -> None:
    """The supervisor hands the warning on; SIGTERM, as preemption sends it, is one as well."""
    world = build_world(tmp_path / "world", training={"epochs": 400, "batch_size": 4})
    undisturbed, path = (job(tmp_path / name, world, checkpoint_s=0.05) for name in ("one", "two"))
    run_task(JobFolder(undisturbed))
    for number, told in enumerate([signal.SIGUSR1, signal.SIGTERM], 1):
        process = supervised(path, number)
        wait_for(path / f"attempt-{number:02}.00" / NAME, process)
        process.send_signal(told)
        assert process.wait(LIMIT_S) == os.EX_TEMPFAIL
    assert supervised(path, 3).wait(LIMIT_S) == 0
    JobFolder(path).adopt("attempt-03.00")
    assert outcome(JobFolder(path)) == outcome(JobFolder(undisturbed))
    assert JobFolder(path).read_log().count("goes on from a checkpoint") == 2
    assert not (path / NAME).exists()


def supervised(path: Path, number: int) -> subprocess.Popen[bytes]:
    arguments = ["foedus.rounds.tasks:run_task", str(path), str(number)]
    return subprocess.Popen([sys.executable, "-m", "foedus.launch.inside", *arguments])


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists():
        assert process.poll() is None, "it ended before it saved anything"
        assert time.monotonic() < deadline, "it never saved anything"
        time.sleep(0.005)


# --- with a file that is no good ---


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + bytes([data[-1] ^ 1])],
    ids=["cut off", "empty", "one bit"],
)
def test_a_task_with_a_damaged_checkpoint_starts_again_and_gives_the_same_result(
    trained: World,
    tmp_path: Path,
    expected: tuple[object, ...],
    at_step: Callable[[Act], list[int]],
    damage: Callable[[bytes], bytes],
) -> None:
    path = job(tmp_path / "job", trained)
    at_step(warn_at(2))
    with pytest.raises(Interrupted):
        run_task(attempt(path, 1))
    place = path / "attempt-01.00" / NAME
    place.write_bytes(damage(place.read_bytes()))
    made = at_step(lambda done: None)
    folder = attempt(path, 2)
    run_task(folder)
    assert made[0] == 1
    assert outcome(folder) == expected


def test_a_checkpoint_of_another_clients_task_is_ignored(
    trained: World, tmp_path: Path, expected: tuple[object, ...], at_step: Callable[[Act], list[int]]
) -> None:
    other, own = job(tmp_path / "other", trained, "client-2"), job(tmp_path / "own", trained)
    at_step(warn_at(2))
    with pytest.raises(Interrupted):
        run_task(JobFolder(other))
    os.rename(other / NAME, own / NAME)
    made = at_step(lambda done: None)
    run_task(JobFolder(own))
    assert made[0] == 1
    assert outcome(JobFolder(own)) == expected


# --- the order ---


@pytest.mark.parametrize("value", [0, -1.0, "60", None])
def test_an_order_says_how_often(world: World, value: object) -> None:
    values = order_of(world, "client-1", 2.5).to_json()
    assert TrainOrder.from_json(values, "it").checkpoint_s == 2.5
    assert TrainOrder.from_json({**values, "checkpoint_s": 60}, "it").checkpoint_s == 60
    with pytest.raises(FoedusError, match="checkpoint_s"):
        TrainOrder.from_json({**values, "checkpoint_s": value}, "it")


def test_the_order_of_a_run_carries_what_its_spec_says() -> None:
    run = RunView(1, project=1)
    for name, args in opening():
        run.apply(Event(name, args, 1, NOW, TxHash("0x"), 0))
    me = Member(ClientId(CLIENTS[0]), CLIENTS[0], Path("/data"))
    order = order_for(TaskKind.TRAIN, run, me, Path("/store"), Path("/jobs"), 1.5)
    assert isinstance(order, TrainOrder)
    assert (order.checkpoint_s, order.base, order.terms) == (1.5, BASE, TERMS)
