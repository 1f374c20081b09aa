"""Submitting: what is written, what is refused before anything is, and that nothing is done twice."""

import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from apps_tools import InlineLauncher, make_job, run_here, write_application
from datasets_tools import npz_file

from foedus.apps.datasets.loading import register
from foedus.apps.entry import run_job
from foedus.apps.order import Order
from foedus.apps.registry import applications, find_application
from foedus.apps.submit import AppJob, again, job_folder, job_names, result_of, submit, wait_for
from foedus.apps.sweep import MOST_JOBS, combinations, submit_each
from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.rounds.home import Home

PROGRAM = """
import pathlib, sys
upto, output = int(sys.argv[2]), pathlib.Path(sys.argv[3])
with (output / "numbers.txt").open("a") as file:
    file.write("".join(f"{n}\\n" for n in range(upto)))
sys.exit(upto == 13)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    write_application(tmp_path, PROGRAM)
    return Home(tmp_path)


def send(home: Home, launcher: InlineLauncher, **parameters: object):  # noqa: ANN201 - an AppJob
    application = find_application(home, "SIM_COUNT")
    return submit(home, launcher, application, parameters, application.resources)


def ignore(job: AppJob, status: JobStatus, event: Mapping[str, object] | None) -> None:
    """Watch nothing."""


def test_a_batch_job_has_a_private_folder_with_its_order(home: Home) -> None:
    launcher = InlineLauncher()

    job = send(home, launcher, upto="4")

    assert job.name == "sim_count-1"
    assert stat.S_IMODE(job.folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.root / "jobs").stat().st_mode) == 0o700
    order = Order.read(job.folder)
    assert order.parameters == {"upto": 4}
    assert order.resources == Resources(cpus=2, walltime_s=60)
    assert Order.read(job.folder).to_json() == order.to_json()
    (spec, key), *others = launcher.submitted
    assert not others
    assert (spec.application, spec.folder, spec.resources) == (
        "SIM_COUNT",
        str(job.folder.path),
        order.resources,
    )
    assert key == "app/sim_count-1"


def test_each_batch_job_gets_the_next_number(home: Home) -> None:
    launcher = InlineLauncher()
    assert [send(home, launcher).name for _ in range(3)] == ["sim_count-1", "sim_count-2", "sim_count-3"]
    assert job_names(home) == ["sim_count-1", "sim_count-2", "sim_count-3"]


def test_submitting_again_repeats_nothing(home: Home) -> None:
    launcher = InlineLauncher()
    job = send(home, launcher, upto=2)

    repeated = again(home, InlineLauncher(), job.name)

    assert repeated.native_id == job.native_id
    assert (job.folder.path / "output" / "numbers.txt").read_text() == "0\n1\n"


def test_a_home_folder_may_be_moved(home: Home, tmp_path: Path) -> None:
    register(home, "mine", "arrays", npz_file(tmp_path.parent / f"{tmp_path.name}.npz"))
    command = ("/bin/sh", "-c", 'echo "$FOEDUS_HOME" > home; test -f "$0"', "{data}")
    make_job(home.root, "SIM_X", {"data": "mine"}, "sim_x-1", command=command, datasets=("data",))
    moved = Home(home.root.rename(tmp_path.parent / f"{tmp_path.name}-moved"))

    job = again(moved, launcher := InlineLauncher(), "sim_x-1")

    assert launcher.statuses[job.native_id].state is JobState.COMPLETED
    assert (job.folder.path / "output" / "home").read_text() == f"{moved.root}\n"
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resources": {"walltime_s": "abc"}}, "resources.walltime_s"),
        ({"resources": {"cups": 1}}, "resources.cups"),
        ({"resources": []}, "resources"),
        ({"parameters": {"upto": []}}, "parameters.upto"),
        ({"command": "rm"}, "command"),
        ({"more": 1}, "more"),
    ],
)
def test_a_damaged_order_is_told(home: Home, change: Mapping[str, Json], words: str) -> None:
    job = send(home, InlineLauncher())
    job.folder.write_spec({**job.order.to_json(), **change})
    with pytest.raises(InvalidSpec, match=f"holds no application's order: {words}"):
        Order.read(job.folder)


def test_orders_of_earlier_versions_are_read(home: Home) -> None:
    job = send(home, InlineLauncher())
    job.folder.write_spec({**job.order.to_json(), "home": "/gone"})
    assert Order.read(job.folder) == job.order


def test_waiting_returns_the_result(home: Home) -> None:
    launcher, seen = InlineLauncher(), []
    job = send(home, launcher)

    [(ended, status)] = wait_for(launcher, [job], lambda job, status, event: seen.append(status.state))

    assert ended is job
    assert result_of(job, status)["files"] == 1
    assert seen == [JobState.COMPLETED]


def test_each_of_several_is_told_once_it_has_ended(home: Home) -> None:
    launcher = InlineLauncher()
    jobs = [send(home, launcher, upto=upto) for upto in (1, 13, 2)]
    ended = {job.name: status for job, status in wait_for(launcher, jobs, ignore)}
    assert [ended[job.name].state for job in jobs] == [
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.COMPLETED,
    ]


def test_a_failure_tells_what_the_task_said(home: Home) -> None:
    launcher = InlineLauncher()
    job = send(home, launcher, upto=13)
    [(_, status)] = wait_for(launcher, [job], ignore)
    with pytest.raises(TaskFailed, match="sim_count-1 failed: the program ended with exit code 1"):
        result_of(job, status)


@pytest.mark.parametrize("parameters", [{"upto": 0}, {"up": 3}, {"upto": "x"}])
def test_wrong_parameters_are_refused_before_anything_is_written(
    home: Home, parameters: dict[str, object]
) -> None:
    launcher = InlineLauncher()
    with pytest.raises(InvalidSpec):
        send(home, launcher, **parameters)
    assert not launcher.submitted
    assert not (home.root / "jobs").exists()


def test_a_sweep_has_each_combination_once() -> None:
    assert combinations({"a": 1}, {"b": ["2", "3"], "c": ["4", "5"]}) == [
        {"a": 1, "b": "2", "c": "4"},
        {"a": 1, "b": "2", "c": "5"},
        {"a": 1, "b": "3", "c": "4"},
        {"a": 1, "b": "3", "c": "5"},
    ]


@pytest.mark.parametrize(
    ("each", "words"),
    [
        ({"upto": ["2"]}, "upto is given twice"),
        ({"b": range(40), "c": range(40)}, "these are 1,600 batch jobs"),
        ({"b": range(MOST_JOBS + 1)}, "these are 1,001 batch jobs"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(each: Mapping[str, Sequence[object]], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        combinations({"upto": "1"}, each)


def test_of_a_sweep_all_are_checked_before_one_is_submitted(home: Home) -> None:
    application, launcher = find_application(home, "SIM_COUNT"), InlineLauncher()
    with pytest.raises(InvalidSpec, match="upto must be in its range"):
        submit_each(home, launcher, application, [{"upto": 1}, {"upto": 0}], application.resources)
    assert (launcher.submitted, job_names(home)) == ([], [])


def test_a_sweep_submits_one_batch_job_for_each_variant(home: Home) -> None:
    application, launcher = find_application(home, "SIM_COUNT"), InlineLauncher()
    jobs = submit_each(home, launcher, application, [{"upto": 1}, {"upto": 2}], application.resources)
    assert [job.name for job in jobs] == ["sim_count-1", "sim_count-2"]
    assert [job.order.parameters for job in jobs] == [{"upto": 1}, {"upto": 2}]
    assert [key for _, key in launcher.submitted] == ["app/sim_count-1", "app/sim_count-2"]


def test_tasks_of_rounds_are_not_submitted_by_people(home: Home) -> None:
    with pytest.raises(InvalidSpec, match="FL_TRAIN is a task of a round: rounds submit it"):
        submit(home, InlineLauncher(), applications(home)["FL_TRAIN"], {}, Resources())


@pytest.mark.parametrize("name", ["sim_count-9", "../runs/x-1", "", "."])
def test_an_unknown_batch_job_is_told_with_those_there_are(home: Home, name: str) -> None:
    send(home, InlineLauncher())
    with pytest.raises(InvalidSpec) as caught:
        job_folder(home, name)
    assert "sim_count-1" in caught.value.hint


def test_an_order_of_an_unknown_application_is_refused(home: Home) -> None:
    with pytest.raises(InvalidSpec, match="'SIM_GONE' is no application that runs as a batch job"):
        run_here(make_job(home.root, "SIM_GONE", {}))
    with pytest.raises(InvalidSpec, match="'FL_TRAIN' is no application"):
        run_here(make_job(home.root, "FL_TRAIN", {}, "job-2"))


def test_a_task_of_a_round_is_run_as_such(home: Home) -> None:
    folder = JobFolder(home.root)
    folder.write_spec({"kind": "nonsense"})
    with pytest.raises(InvalidSpec, match="'nonsense' is not a task"):
        run_job(folder)


@pytest.mark.parametrize(
    ("dataset", "words"), [("taken", "the output of SIM_COUNT is no dataset"), ("A b", "no dataset")]
)
def test_a_name_for_a_dataset_that_cannot_be_is_refused(home: Home, dataset: str, words: str) -> None:
    application = find_application(home, "SIM_COUNT")
    with pytest.raises(InvalidSpec, match=words):
        submit(home, InlineLauncher(), application, {}, application.resources, dataset)
    simulation = find_application(home, "SIM_REACTION_DIFFUSION")
    (home.root / "datasets").mkdir(exist_ok=True)
    (home.root / "datasets" / "taken.json").write_text("{}")
    with pytest.raises(InvalidSpec, match=r"already|no name of a dataset"):
        submit(home, InlineLauncher(), simulation, {}, simulation.resources, dataset)
    assert not (home.root / "jobs").exists()


@pytest.mark.slow
def test_submitting_loads_neither_torch_nor_matplotlib() -> None:
    modules = ("registry", "submit", "entry", "builtin", "files", "datasets.catalogue")
    program = "; ".join(["import sys", *(f"import foedus.apps.{name}" for name in modules)])
    program += "; sys.exit(str({'torch', 'matplotlib', 'scipy', 'eth'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
