"""What `foedus job` says of batch jobs that nobody follows: what their files tell, or the cluster does."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.client.client_tools import call, start
from tests.client.job_tools import home_with_jobs, made
from tests.client.slurm_commands import VERSION, commands, slurm_home

from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home
from foedus.site.batch_jobs import find_batch_job

LIMIT_S = 20.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_jobs(tmp_path / "home")


def submitted(home: Home, below: str, state: JobState, scheduler_id: str, **spec: str) -> JobFolder:
    """Make a job folder as a launcher of a cluster leaves it that saw this state last."""
    path = home.root / below
    folder = JobFolder(path) if path.exists() else made(home.root, below, **spec)
    folder.begin(below, Resources(walltime_s=60))
    journal = Journal.new(folder, below)
    Journal(journal.key, journal.name, scheduler_id=scheduler_id).write(folder)
    folder.write_status(JobStatus(NativeId(journal.name), state, "", scheduler_id, state.upper()))
    return folder


def name_of(folder: JobFolder) -> str:
    journal = Journal.read(folder)
    assert journal is not None
    return journal.full_name


def slurm(home: Home, folder: Path, **states: str) -> Path:
    """Make commands of a Slurm that knows these batch jobs, each by its id; return the log of its squeue."""
    log = folder / "asked"
    lines = "\n".join(f'echo "{number[1:]}|{told}"' for number, told in states.items())
    slurm_home(home.root, commands(folder, squeue=f"echo x >> {log}\n{lines}", sbatch=VERSION))
    return log


def listed(home: Home) -> dict[str, dict[str, Any]]:
    found = json.loads(call("job", "list", "--format", "json", "--home", home.root).stdout)
    return {job["name"]: job for job in found}


@pytest.mark.parametrize(
    ("outcome", "state"), [("completed", JobState.COMPLETED), ("failed", JobState.FAILED)]
)
def test_what_an_attempt_left_counts_though_nobody_took_it_over(
    home: Home, outcome: str, state: JobState
) -> None:
    attempt = JobFolder(home.root / "jobs/sim-1", "attempt-00.00")
    attempt.claim()
    attempt.finish({}) if outcome == "completed" else attempt.fail(ValueError("boom"))
    attempt.write_exit({"seconds": 4.0, "host": "n1"})
    found = find_batch_job(home, "sim-1")
    assert (found.state, found.node, found.running_s, found.as_of) == (state, "n1", 4.0, None)
    assert "boom" in found.cause or outcome == "completed"


def test_a_result_leaves_no_older_word_of_the_scheduler(home: Home) -> None:
    folder = submitted(home, "jobs/sim-3", JobState.RUNNING, "5", application="SIM")
    folder.finish({})
    folder.write_status(
        JobStatus(NativeId(Journal.new(folder, "jobs/sim-3").name), JobState.COMPLETED, "", "5", "RUNNING")
    )
    assert find_batch_job(home, "sim-3").scheduler_state == ""


def test_where_the_cluster_cannot_be_asked_the_clock_stops(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = find_batch_job(home, "sim-1")
    assert noted.as_of is not None
    monkeypatch.setattr("time.time", lambda: noted.as_of + 1000)
    later = find_batch_job(home, "sim-1")
    assert (later.as_of, later.queued_s) == (noted.as_of, noted.queued_s)
    assert "queued as of" in call("job", "list", "--home", home.root).stdout


@pytest.mark.slow
def test_the_cluster_is_asked_once_for_all(home: Home, tmp_path: Path) -> None:
    waiting = JobFolder(home.root / "jobs/sim-1")
    gone = submitted(home, "jobs/sim-4", JobState.RUNNING, "80", application="SIM")
    fell = submitted(home, "jobs/sim-5", JobState.QUEUED, "81", application="SIM")
    failed = submitted(home, "jobs/sim-6", JobState.RUNNING, "82", application="SIM")
    log = slurm(
        home,
        tmp_path / "bin",
        _77=f"RUNNING|None|{name_of(waiting)}",
        _81=f"NODE_FAIL|None|{name_of(fell)}",
        _82=f"COMPLETED|None|{name_of(failed)}",
    )
    before = {path: path.read_bytes() for path in home.root.rglob("status.json")}
    found = listed(home)
    assert found["sim-1"]["state"] == "running"
    assert found["sim-1"]["scheduler_state"] == "RUNNING"
    assert (found["sim-4"]["state"], "does not know it" in found["sim-4"]["cause"]) == ("unknown", True)
    assert (found["sim-5"]["state"], "app resume sim-5" in found["sim-5"]["cause"]) == ("unknown", True)
    assert (found["sim-6"]["state"], found["sim-6"]["cause"]) == (
        "failed",
        "the batch job ended without a result",
    )
    assert all(found[job]["as_of"] is None for job in ("sim-1", "sim-4", "sim-5", "sim-6"))
    assert gone.read_status() is not None
    assert log.read_text() == "x\n"
    assert before == {path: path.read_bytes() for path in home.root.rglob("status.json")}


@pytest.mark.slow
@pytest.mark.parametrize(("said", "state"), [("RUNNING", "running"), ("COMPLETED", "unknown")])
def test_a_task_of_a_held_allocation_goes_with_that(
    home: Home, tmp_path: Path, said: str, state: str
) -> None:
    task = "runs/mnist-1/jobs/r00002.1/client-2.train"
    submitted(home, task, JobState.RUNNING, "90", kind="train", client="client-2")
    holder = submitted(home, "runs/mnist-1/held/0a1b/0001", JobState.RUNNING, "90")
    slurm(home, tmp_path / "bin", _90=f"{said}|None|{name_of(holder)}")
    found = listed(home)
    assert found["mnist-1/r00002.1/client-2.train"]["state"] == state
    assert found["mnist-1/held/0a1b/0001"]["state"] == said.lower()


@pytest.mark.slow
def test_a_scheduler_that_is_down_takes_no_list_away(home: Home, tmp_path: Path) -> None:
    down = "echo 'Unable to contact slurm controller' >&2; exit 1"
    slurm_home(home.root, commands(tmp_path / "bin", squeue=down, sbatch=VERSION))
    told = call("job", "list", "--home", home.root)
    assert "queued as of" in told.stdout
    assert "Unable to contact" in told.stderr


@pytest.mark.slow
def test_following_a_log_ends_with_the_batch_job_though_nobody_notes_it(home: Home, tmp_path: Path) -> None:
    slurm(home, tmp_path / "bin", _77=f"CANCELLED|None|{name_of(JobFolder(home.root / 'jobs/sim-1'))}")
    began = time.monotonic()
    with start("job", "log", "-f", "sim-1", "--home", home.root) as process:
        assert process.wait(LIMIT_S) == 0
    assert time.monotonic() - began < LIMIT_S
