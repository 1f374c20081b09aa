"""`foedus job cancel`: whoever follows the batch job; what ended by itself is not cancelled."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.client.client_tools import call
from tests.client.job_tools import home_with_jobs, made
from tests.client.slurm_commands import VERSION, commands, slurm_home

from foedus.core.errors import Interrupted
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home
from foedus.site.batch_jobs import find_batch_job


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_jobs(tmp_path)


@pytest.mark.slow
def test_what_cannot_be_cancelled_says_why(home: Home) -> None:
    assert "has ended" in call("job", "cancel", "mnist-1/r", "--home", home.root).stdout
    assert "Ctrl-C" in call("job", "cancel", "sim-2", "--home", home.root).stderr
    assert "FOEDUS_LAUNCHER" in call("job", "cancel", "sim-1", "--home", home.root).stderr


def slurm(home: Home, folder: Path, states: str) -> Path:
    """Make commands of a Slurm that has job sim-1, in one state until it is cancelled, then in another."""
    journal = Journal.read(JobFolder(home.root / "jobs/sim-1"))
    assert journal is not None
    before, after = (f'echo "77|{state}|None|{journal.full_name}"' for state in states.split())
    mark = folder / "cancelled"
    programs = commands(
        folder,
        squeue=f"if [ -e {mark} ]; then {after}; else {before}; fi",
        scancel=f'echo "$@" > {mark}',
        sbatch=VERSION,
    )
    slurm_home(home.root, programs)
    return mark


@pytest.mark.slow
@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_is_cancelled_by_its_name_whoever_follows_it(home: Home, tmp_path: Path, state: str) -> None:
    mark = slurm(home, tmp_path / "bin", f"{state} CANCELLED")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout == "sim-1 is cancelled\n"
    assert "--name=foedus-" in mark.read_text()
    found = find_batch_job(home, "sim-1")
    assert (found.state, found.cause) == (JobState.CANCELLED, "cancelled by `foedus job cancel`")


@pytest.mark.slow
def test_a_job_that_ended_meanwhile_is_not_called_cancelled(home: Home, tmp_path: Path) -> None:
    slurm(home, tmp_path / "bin", "RUNNING COMPLETED")
    with (tmp_path / "bin/scancel").open("a") as file:
        file.write(f"echo '{{}}' > {home.root / 'jobs/sim-1/result.json'}\n")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout == "sim-1 is completed\n"


@pytest.mark.slow
def test_a_job_that_the_scheduler_does_not_know_is_left_alone(home: Home, tmp_path: Path) -> None:
    slurm_home(home.root, commands(tmp_path / "bin", squeue="exit 0", scancel="exit 0", sbatch=VERSION))
    before = (home.root / "jobs/sim-1/status.json").read_bytes()
    refused = call("job", "cancel", "sim-1", "--home", home.root)
    assert refused.exit_code == 1
    assert "does not know sim-1" in refused.stderr
    assert (home.root / "jobs/sim-1/status.json").read_bytes() == before


@pytest.mark.slow
def test_a_scheduler_that_is_down_is_told_at_once(home: Home, tmp_path: Path) -> None:
    down = "echo 'Unable to contact slurm controller' >&2; exit 1"
    slurm_home(home.root, commands(tmp_path / "bin", squeue=down, scancel=down, sbatch=VERSION))
    began = time.monotonic()
    assert "Unable to contact" in call("job", "cancel", "sim-1", "--home", home.root).stderr
    assert time.monotonic() - began < 5


def status_of(home: Home) -> bytes:
    return (home.root / "jobs/sim-1/status.json").read_bytes()


def ended_attempt(home: Home, outcome: str) -> None:
    """Leave an attempt of sim-1 that has ended, and that nobody has taken over yet."""
    attempt = JobFolder(home.root / "jobs/sim-1", "attempt-00.00")
    attempt.claim()
    if outcome == "completed":
        attempt.finish({})
    else:
        attempt.fail(Interrupted() if outcome == "interrupted" else ValueError("boom"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "outcome", "words"),
    [
        ("COMPLETED", "completed", "it is completed"),
        ("FAILED", "failed", "it is failed"),
        ("FAILED", "", "the scheduler says FAILED"),
        ("CANCELLED", "", "the scheduler says CANCELLED"),
    ],
)
def test_what_has_ended_already_is_not_cancelled(
    home: Home, tmp_path: Path, state: str, outcome: str, words: str
) -> None:
    mark, before = slurm(home, tmp_path / "bin", f"{state} {state}"), status_of(home)
    if outcome:
        ended_attempt(home, outcome)
    said = call("job", "cancel", "sim-1", "--home", home.root).stdout
    assert said.startswith(f"sim-1 has ended: {words}")
    assert not mark.exists()
    assert status_of(home) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "outcome", "words"),
    [
        ("CANCELLED", "completed", "is completed"),
        ("FAILED", "failed", "has ended: the scheduler says FAILED"),
        ("FAILED", "", "has ended: the scheduler says FAILED"),
    ],
)
def test_what_ends_by_itself_meanwhile_is_not_noted_as_cancelled(
    home: Home, tmp_path: Path, state: str, outcome: str, words: str
) -> None:
    slurm(home, tmp_path / "bin", f"RUNNING {state}")
    before = status_of(home)
    if outcome:  # its attempt ends while it is being cancelled
        ended_attempt(home, outcome)
        attempt = (home.root / "jobs/sim-1/attempt-00.00").rename(tmp_path / "attempt")
        with (tmp_path / "bin/scancel").open("a") as file:
            file.write(f"mv {attempt} {home.root / 'jobs/sim-1/attempt-00.00'}\n")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout.startswith(f"sim-1 {words}")
    assert status_of(home) == before


@pytest.mark.slow
def test_an_attempt_that_wrote_its_checkpoint_when_told_to_end_was_cancelled(
    home: Home, tmp_path: Path
) -> None:
    slurm(home, tmp_path / "bin", "RUNNING CANCELLED")
    ended_attempt(home, "interrupted")
    assert call("job", "cancel", "sim-1", "--home", home.root).stdout == "sim-1 is cancelled\n"
    assert find_batch_job(home, "sim-1").state is JobState.CANCELLED


def noted(home: Home, name: str) -> Journal:
    journal = Journal.read(find_batch_job(home, name).folder)
    assert journal is not None
    return journal


@pytest.mark.slow
def test_whoever_follows_it_is_told_before_it_is_stopped(home: Home, tmp_path: Path) -> None:
    slurm(home, tmp_path / "bin", "RUNNING CANCELLED")
    seen = tmp_path / "seen"
    with (tmp_path / "bin/scancel").open("a") as file:
        file.write(f"cp {home.root / 'jobs/sim-1/batch.json'} {seen}\n")
    call("job", "cancel", "sim-1", "--home", home.root)
    assert '"is_cancelled":true' in seen.read_text()
    assert noted(home, "sim-1").is_cancelled


# --- all of a run ---


def submitted(home: Home, name: str, scheduler_id: str) -> str:
    """Make a batch job of run mnist-1 that is on a cluster, and return how that calls it."""
    folder = made(home.root, f"runs/mnist-1/{name}", kind="train")
    journal = replace(Journal.new(folder, name), scheduler_id=scheduler_id)
    journal.write(folder)
    folder.write_status(JobStatus(NativeId(journal.name), JobState.RUNNING, "", scheduler_id))
    return journal.full_name


def run_on_slurm(home: Home, programs: Path) -> None:
    """Have two tasks of a run on a Slurm that ends by scancel alone what it is told to end."""
    (home.runs / "mnist-1/spec.json").write_text("{}")
    names = {number: submitted(home, f"jobs/r00002.1/client-{number}.train", number) for number in ("1", "2")}
    submitted(home, "jobs/r00002.1/client-3.train", "3")  # which is gone
    state = f"[ -e {programs}/$1 ] && echo CANCELLED || echo RUNNING"
    lines = "\n".join(f'echo "{number}|$(state {name})|None|{name}"' for number, name in names.items())
    stop = 'for a in "$@"; do case $a in --name=*) touch ' + f"{programs}/${{a#*=}};; esac; done"
    slurm_home(
        home.root,
        commands(programs, squeue=f"state() {{ {state}; }}\n{lines}", scancel=stop, sbatch=VERSION),
    )


@pytest.mark.slow
def test_all_batch_jobs_of_a_run_are_cancelled_and_no_others(home: Home, tmp_path: Path) -> None:
    run_on_slurm(home, tmp_path / "bin")
    before = status_of(home)
    said = call("job", "cancel", "--run", "mnist-1", "--home", home.root).stdout.splitlines()
    assert sorted(said) == [f"mnist-1/r00002.1/client-{number}.train is cancelled" for number in (1, 2)]
    assert find_batch_job(home, "mnist-1/r00002.1/client-2").state is JobState.CANCELLED
    assert find_batch_job(home, "mnist-1/r00002.1/client-3").state is JobState.RUNNING
    assert status_of(home) == before
    again = call("job", "cancel", "--run", "mnist-1", "--home", home.root).stdout
    assert again == "the cluster has no batch job of mnist-1\n"


def test_one_batch_job_or_one_run_is_named(home: Home) -> None:
    for named in ((), ("sim-1", "--run", "mnist-1")):
        refused = call("job", "cancel", *named, "--home", home.root)
        assert (refused.exit_code, "either a batch job or a run" in refused.stderr) == (2, True)
    refused = call("job", "cancel", "--run", "mnist-7", "--home", home.root)
    assert "there is no run 'mnist-7'" in refused.stderr
